"""The processes of the benchmarks: nobody waits for ever for one that has died."""

import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from benchmarks.children import Child, ChildError
from benchmarks.server import Contents, served


def echo(control: Connection) -> None:
    control.send(os.getpid())
    while True:
        control.send(control.recv())


def fail(words: str, control: Connection) -> None:
    control.recv()
    raise RuntimeError(words)


def test_a_child_answers_and_ends_with_its_block() -> None:
    with Child("the echo", echo) as child:
        pid = child.receive()
        child.send("hello")
        assert child.receive() == "hello"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_child_that_fails_is_missed_with_its_words() -> None:
    with Child("the child", fail, "no room left") as child:
        child.send("begin")
        with pytest.raises(ChildError, match=r"(?s)the child failed.*no room left"):
            child.receive()
        with pytest.raises(ChildError, match="the child"):
            child.receive()


def test_a_child_that_was_killed_is_missed_at_once() -> None:
    with Child("the echo", echo) as child:
        os.kill(child.receive(), signal.SIGKILL)
        with pytest.raises(ChildError, match="the echo is gone: its process ended with -9"):
            child.receive()


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    (tmp_path / "server").write_text("in the way")
    with (
        pytest.raises(ChildError, match=r"(?s)the simulator failed.*FileExistsError"),
        served(tmp_path / "server", Contents(), tls=True),
    ):
        pass

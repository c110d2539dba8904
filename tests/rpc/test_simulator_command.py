"""`axxonfs simulate` as a process."""

import argparse
import contextlib
import json
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from axxonfs.cli import simulate
from axxonfs.core import errors
from axxonfs.stubs import authentication_pb2_grpc, export_service_pb2_grpc
from axxonfs.wire.authentication_pb2 import AuthenticateRequest
from axxonfs.wire.export_service_pb2 import ListSessionsRequest

TIMEOUT_S = 30.0
PROGRAM = """
import argparse, sys
from axxonfs.cli import simulate
parser = argparse.ArgumentParser(prog="axxonfs")
simulate.add_parser(parser.add_subparsers())
args = parser.parse_args()
sys.exit(args.run(args))
"""
INVITATION = re.compile(
    r"axxonfs mount (?P<user>\w+)@127\.0\.0\.1:(?P<port>\d+) MOUNTPOINT"
    r" -o (tls_ca=(?P<ca>[^,]+)|plaintext),password_file=(?P<password>.+)\n"
)


@contextlib.contextmanager
def running(*words: str) -> Iterator[tuple[subprocess.Popen[str], re.Match[str]]]:
    """Run the command until the test is done with it; give what it invites to."""
    command = [sys.executable, "-c", PROGRAM, "simulate", "--listen", "127.0.0.1:0", *words]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            match = INVITATION.fullmatch(process.stdout.readline())
            assert match is not None
            yield process, match
        finally:
            process.kill()


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    simulate.add_parser(parser.add_subparsers())
    args = parser.parse_args(["simulate", *words])
    return int(args.run(args))


def count_sessions(invitation: re.Match[str]) -> int:
    """Log in as the invitation says, and count the sessions."""
    credentials = grpc.ssl_channel_credentials(Path(invitation["ca"]).read_bytes())
    options = [("grpc.ssl_target_name_override", "Server")]
    with grpc.secure_channel(f"127.0.0.1:{invitation['port']}", credentials, options) as channel:
        password = Path(invitation["password"]).read_text(encoding="utf-8").strip()
        request = AuthenticateRequest(user_name=invitation["user"], password=password)
        login = authentication_pb2_grpc.AuthenticationServiceStub(channel).AuthenticateEx2(request, timeout=TIMEOUT_S)
        answers = export_service_pb2_grpc.ExportServiceStub(channel).ListSessions(
            ListSessionsRequest(page_size=1000), metadata=((login.token_name, login.token_value),), timeout=TIMEOUT_S
        )
        return sum(len(answer.sessions) for answer in answers)


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_it_says_how_to_connect_and_ends_cleanly(tmp_path: Path, ending: signal.Signals) -> None:
    log = tmp_path / "calls.jsonl"
    with running("--directory", str(tmp_path / "d"), "--sessions", "12", "--call-log", str(log)) as (process, match):
        assert count_sessions(match) == 12
        process.send_signal(ending)
        assert process.wait(TIMEOUT_S) == 0
    assert [json.loads(line)["method"] for line in log.read_text().splitlines()] == ["AuthenticateEx2", "ListSessions"]


def test_it_does_what_is_typed_while_it_runs_and_says_so(tmp_path: Path) -> None:
    words = ("--directory", str(tmp_path), "--sessions", "2", "--do", "add 3", "--commands")
    with running(*words) as (process, match):
        assert process.stdin is not None
        assert process.stdout is not None

        def answer(line: str) -> str:
            process.stdin.write(f"{line}\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            return process.stdout.readline()  # type: ignore[union-attr]

        assert count_sessions(match) == 5
        assert answer("explode").startswith("not done: 'explode' is no command")
        assert answer("fault ListSessions status=UNAVAILABLE").startswith("not done: ")
        assert answer("fault ListSessions status status=ABORTED") == "status for ListSessions\n"
        with pytest.raises(grpc.RpcError, match="ABORTED"):
            count_sessions(match)
        assert answer("restart forget") == "restarted\n"
        assert count_sessions(match) == 0


def test_a_wrong_command_for_the_start_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigurationError, match="--do 'explode': 'explode' is no command"):
        run("--directory", str(tmp_path), "--listen", "127.0.0.1:0", "--do", "explode")


def test_being_told_twice_is_as_good_as_once(tmp_path: Path) -> None:
    with running("--directory", str(tmp_path)) as (process, _):
        for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            process.send_signal(ending)
        assert process.wait(TIMEOUT_S) == 0


def test_the_demo_password_is_made_up_once_and_kept_from_others(tmp_path: Path) -> None:
    passwords = set()
    for _ in range(2):
        with running("--directory", str(tmp_path)) as (_, match):
            path = Path(match["password"])
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            passwords.add(path.read_text(encoding="utf-8"))
            assert count_sessions(match) == 0
    assert len(passwords) == 1


def test_an_account_can_be_given(tmp_path: Path) -> None:
    password = tmp_path / "secret"
    password.write_text("of my own\n", encoding="utf-8")
    words = ("--directory", str(tmp_path / "d"), "--user", "operator", "--password-file", str(password))
    with running(*words) as (_, match):
        assert (match["user"], match["password"]) == ("operator", str(password))
        assert count_sessions(match) == 0
    assert not (tmp_path / "d" / "password").exists()


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("--switch=chunk_index=both", "absolute|relative"),
        ("--export-speed=0", "above zero"),
        ("--time-factor=fast", "could not convert"),
        ("--file-size=big", "not a size"),
        ("--cameras=-1", "not a count"),
        ("--listen=::1", "[IPV6]:PORT"),
    ],
)
def test_a_wrong_word_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str, text: str
) -> None:
    with pytest.raises(SystemExit):
        run("--directory", str(tmp_path / "d"), word)
    assert text in capsys.readouterr().err
    assert not (tmp_path / "d").exists()


def test_a_port_that_is_taken_is_said_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(
            errors.ConfigurationError, match=f"--listen: cannot listen on {address}: Address already in use"
        ):
            run("--directory", str(tmp_path), "--listen", address)


def test_a_password_file_that_is_missing_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(errors.CredentialsError, match="--password-file"):
        run("--directory", str(tmp_path), "--password-file", str(tmp_path / "none"))


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines\n", b"\xff\xfe\n"])
def test_a_password_file_that_a_mount_would_refuse_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "password").write_bytes(content)
    with pytest.raises(errors.CredentialsError, match="--password-file"):
        run("--directory", str(tmp_path), "--listen", "127.0.0.1:0", "--password-file", str(tmp_path / "password"))


def test_a_directory_that_cannot_be_used_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "secret").write_text("x\n")
    with pytest.raises(errors.CredentialsError, match="--directory"):
        run("--directory", str(tmp_path / "file"))
    with pytest.raises(errors.ConfigurationError, match="cannot be used"):
        run("--directory", str(tmp_path / "file"), "--password-file", str(tmp_path / "secret"))
    with pytest.raises(errors.ConfigurationError, match="--call-log"):
        run("--directory", str(tmp_path / "d"), "--call-log", str(tmp_path / "missing" / "log"))


def test_a_second_simulator_in_the_same_directory_is_refused(tmp_path: Path) -> None:
    with (
        running("--directory", str(tmp_path)),
        pytest.raises(errors.ConfigurationError, match="no other simulator in it"),
    ):
        run("--directory", str(tmp_path), "--listen", "127.0.0.1:0")


def test_the_switches_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--list-switches") == 0
    assert "chunk_index=absolute|relative (default: absolute)" in capsys.readouterr().out

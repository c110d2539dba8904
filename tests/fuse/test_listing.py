"""Thousands of sessions: looking costs the server nothing, and comings and goings disturb nobody who looks."""

import os
import select
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest

from axxonfs.core.names import tag
from tests.fuse.harness import QUICK, Rig, module_rig, needs, pattern_file, plain_options, wait_until

MANY = 1000


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with module_rig(tmp_path_factory, sessions=MANY) as rig:
        yield rig


def output(*words: str | Path, cwd: Path | None = None) -> list[str]:
    """Return the lines that a program prints; it must succeed and must not complain."""
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


# -- looking costs nothing ---------------------------------------------------------------


@needs("getfattr", "jq")
@pytest.mark.parametrize(
    ("command", "lines"),
    [
        ("ls -f sessions", MANY),
        ("ls -lR sessions", 8 * MANY),
        ("find .", 6 * MANY),
        ("find sessions -name *.mp4 -size +10k -newermt 2000-01-01 -printf %s\\n", MANY),
        ("find sessions -name status.json -exec jq -r .id {} +", MANY),
        ("du -s sessions", 1),
        ("getfattr -R -d -m - sessions", 8 * MANY),
        ("grep -rl --include=state completed sessions", MANY),
    ],
)
def test_looking_at_a_thousand_sessions_makes_no_call(many: Rig, command: str, lines: int) -> None:
    many.sim.calls.clear()
    done = subprocess.run(command.split(), cwd=many.path, capture_output=True, check=True, timeout=60)
    assert len(done.stdout.splitlines()) >= lines
    assert {call.method for call in many.sim.calls.entries()} <= {"ListSessions"}


def test_every_session_of_the_server_has_one_directory(many: Rig) -> None:
    tags = {tag(record.session_id) for record in many.sim.sessions.records()}
    names = output("ls", "-U", many.path / "sessions")
    assert len(names) == MANY
    assert {name.rpartition("_")[2] for name in names} == tags


def test_looking_resets_no_timer_of_the_server(many: Rig) -> None:
    before = {record.session_id: record.used_s for record in many.sim.sessions.records()}
    output("find", many.path / "sessions", "-newer", many.path)
    output("cat", *(session / "status.json" for session in many.sessions[:50]))
    assert {record.session_id: record.used_s for record in many.sim.sessions.records()} == before


# -- while sessions come and go -------------------------------------------------------------


class Traffic:
    """Sessions that come and go at the server while a test looks; the mount follows, because somebody polls."""

    def __init__(self, rig: Rig) -> None:
        self.lasting = {path.name for path in rig.sessions}
        self._rig = rig
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        wait_until(lambda: {path.name for path in self._rig.sessions} == self.lasting, "all that came have gone")

    def _run(self) -> None:
        sessions = self._rig.sim.sessions
        with (self._rig.path / ".axxonfs" / "spec.schema.json").open() as text:
            poll = select.poll()
            poll.register(text, select.POLLPRI)
            poll.poll(0)
            while not self._stopping.is_set():
                added = sessions.add_many([(plain_options(), (pattern_file(1000),))] * 20)
                self._stopping.wait(0.2)
                for session_id in added:
                    sessions.destroy(session_id)
                self._stopping.wait(0.2)
            # Somebody polls until nothing is left to be seen to go.
            self._rig.look()


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A mount that looks ten times a second while somebody follows a text."""
    with module_rig(tmp_path_factory, options=QUICK, sessions=300) as rig:
        yield rig


def names_seen(rig: Rig, look: Callable[[], list[str]], traffic: Traffic) -> set[str]:
    """Look until sessions were seen to come and to go; whatever was there all the time must be there every time."""
    come: set[str] = set()
    gone: set[str] = set()
    while len(gone) < 20:
        names = look()
        assert len(names) == len(set(names)), "a name twice"
        assert traffic.lasting <= set(names), "a session was not listed"
        gone |= come - set(names)
        come |= set(names) - traffic.lasting
    return come


def test_listings_are_whole_while_sessions_come_and_go(quick: Rig) -> None:
    with Traffic(quick) as traffic:
        names_seen(quick, lambda: os.listdir(quick.path / "sessions"), traffic)  # noqa: PTH208 - names, as readdir has them


def test_a_listing_that_was_begun_goes_on_whole_while_sessions_come_and_go(quick: Rig) -> None:
    def slowly() -> list[str]:
        with os.scandir(quick.path / "sessions") as entries:
            first = [next(entries).name for _ in range(10)]
            before = set(os.listdir(quick.path / "sessions"))  # noqa: PTH208 - as above
            wait_until(lambda: set(os.listdir(quick.path / "sessions")) != before, "a change")  # noqa: PTH208
            return [*first, *(entry.name for entry in entries)]

    with Traffic(quick) as traffic:
        names_seen(quick, slowly, traffic)


def test_find_misses_nothing_while_sessions_come_and_go(quick: Rig) -> None:
    def look() -> list[str]:
        words = ["find", "sessions", "-name", "*.m??", "-printf", "%h\n"]
        done = subprocess.run(words, cwd=quick.path, capture_output=True, text=True, check=False, timeout=60)
        # What goes between its name and its opening is an error on every file system; no other may be.
        assert all(line.endswith("No such file or directory") for line in done.stderr.splitlines()), done.stderr
        return [line.removeprefix("sessions/") for line in done.stdout.splitlines()]

    with Traffic(quick) as traffic:
        names_seen(quick, look, traffic)


def test_nothing_is_left_of_a_session_that_went_while_it_was_in_use(quick: Rig) -> None:
    wait_until(lambda: quick.nameless() == 0, "the kernel to forget what other tests left")
    result = quick.hold_bytes(5000)
    session = result.parent
    descriptors = [os.open(path, os.O_RDONLY) for path in (result, session / "state", session)]
    quick.sim.sessions.destroy(quick.session_id(session))
    wait_until(lambda: not session.exists(), "the directory goes")
    assert quick.nameless() >= len(descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    wait_until(lambda: quick.nameless() == 0, "the kernel to forget it")


def test_what_has_gone_cannot_be_opened_and_what_came_can_be_read(quick: Rig) -> None:
    path = quick.hold_bytes(5000)
    assert path.read_bytes() == quick.truth(path)
    quick.sim.sessions.destroy(quick.session_id(path.parent))
    wait_until(lambda: not path.parent.exists(), "the directory goes")
    assert path.parent.name not in os.listdir(quick.path / "sessions")  # noqa: PTH208 - as above
    with pytest.raises(FileNotFoundError):
        path.stat()

"""Crashes, restarts, lost answers and servers that go away, on a real mount: nothing lost, nothing started twice."""

import contextlib
import errno
import itertools
import json
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from axxonfs.core.timers import LOOK_FOR_S
from axxonfs.fs import mountpoint
from axxonfs.simulator.switches import Switches
from tests.fuse.harness import CLIP, USER, Rig, module_rig, needs, pattern_file, wait_until

Rigs = Callable[..., Rig]
AWAY = "server away"
FAST = {"time_factor": "20"}


def write(rig: Rig, name: str, **keys: object) -> "subprocess.Popen[bytes]":
    """Write a spec as a shell does, and do not wait for it."""
    return subprocess.Popen(["bash", "-c", 'echo "$1" > "$0".json', name, json.dumps(keys)], cwd=rig.new)


def picture(rig: Rig) -> dict[str, tuple[int, int, str]]:
    """Return mode, time and content of everything in `new/`."""

    def of(path: Path) -> tuple[int, int, str]:
        status = path.lstat()
        content = str(path.readlink()) if path.is_symlink() else path.read_text()
        return stat.S_IMODE(status.st_mode), status.st_mtime_ns, content

    return {path.name: of(path) for path in rig.new.iterdir()}


def is_dead(path: Path) -> bool:
    with pytest.raises(OSError, match="not connected") as caught:
        os.listdir(path)  # noqa: PTH208 - what is asked for is the error of readdir itself
    return caught.value.errno == errno.ENOTCONN


# -- ends and new beginnings ----------------------------------------------------------


def filled(rig: Rig) -> dict[str, Path]:
    """Leave some of everything in `new/`; return the sessions."""
    sessions = {"done": rig.exported("done").parent, "live": rig.write_spec("live", camera="1", live=True)}
    with pytest.raises(OSError, match="Invalid argument"):
        (rig.new / "wrong.json").write_text("{}")
    (rig.new / "notes.txt").write_text("of the case")
    (rig.new / "draft.json").touch()
    (rig.new / "done.json").chmod(0o640)
    os.utime(rig.new / "done.json", ns=(7, 1_000_000_007))
    (sessions["done"] / "control").write_text("keep")
    return sessions


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_after_an_end_the_next_mount_goes_on_where_the_last_one_was(rigs: Rigs, number: signal.Signals) -> None:
    rig = rigs(options=FAST, file_size_bytes=1000)
    names = {what: session.name for what, session in filled(rig).items()}
    before = picture(rig)
    rig.write_spec("fence", camera="1", at="-1h")  # the journal has written down what came before it
    (rig.new / "fence.json").unlink()
    (rig.new / "fence.session").unlink()
    rig.path.stat()  # the kernel remembers it, and must not be asked whether the mount is dead
    assert rig.stop(number) == (0 if number == signal.SIGTERM else -number)
    if number == signal.SIGKILL:
        assert is_dead(rig.path)
    rig.start()
    assert {name: row for name, row in picture(rig).items() if "fence" not in name} == before
    done, live = (rig.path / "sessions" / names[what] for what in ("done", "live"))
    assert rig.status(done)["kept_because"] == "told to keep"
    assert rig.status(live)["kept_because"] == "started here and running"
    assert [rig.status(session)["label"] for session in (done, live)] == ["done", "live"]
    assert rig.results(done)[0].read_bytes() == rig.truth(rig.results(done)[0])
    assert rig.starts == 3


def test_a_document_of_an_earlier_run_starts_nothing_again(rigs: Rigs) -> None:
    rig = rigs(options=FAST, file_size_bytes=1000)
    clip = CLIP()
    first = rig.session_id(rig.write_spec("again", **clip))
    assert rig.stop() == 0
    rig.start()
    assert rig.session_id(rig.write_spec("again", **clip)) == first
    assert rig.starts == 1


def test_a_session_that_went_while_nobody_looked_stays_as_a_directory_that_says_so(rigs: Rigs) -> None:
    rig = rigs(options=FAST, file_size_bytes=1000)
    session = rig.exported("lost").parent.resolve()
    session_id = rig.session_id(session)
    assert rig.stop() == 0
    rig.sim.sessions.destroy(session_id)
    rig.start()
    session = rig.session_dir(session_id)
    rig.wait_for_state(session, "removed")
    assert "gone before it was read whole" in rig.status(session)["last_error"]
    assert rig.results(session) == []


@needs("rsync")
def test_a_dead_mount_never_looks_empty_and_rsync_deletes_nothing_from_its_mirror(rigs: Rigs, tmp_path: Path) -> None:
    rig = rigs(file_size_bytes=1000)
    rig.exported("mirrored")
    mirror = tmp_path / "mirror"
    words = ["rsync", "-a", "--delete", f"{rig.path}/sessions/", f"{mirror}/"]
    subprocess.run(words, check=True, timeout=60)
    before = sorted(mirror.rglob("*"))
    rig.stop(signal.SIGKILL)
    assert subprocess.run(words, capture_output=True, timeout=60, check=False).returncode == 23
    assert is_dead(rig.path)
    assert sorted(mirror.rglob("*")) == before
    # A mount that does not come up leaves it as it is.
    rig.sim.logins.set_password(USER, "another")
    failed = subprocess.run(rig.command, capture_output=True, timeout=60, check=False)
    assert failed.returncode == 4
    assert is_dead(rig.path)


WATCHER = """
import errno, os, select, sys, time
last = None
while not select.select([sys.stdin], [], [], 0)[0]:
    try:
        seen = "entries" if os.listdir(sys.argv[1]) else "empty"
    except OSError as error:
        seen = errno.errorcode[error.errno]
    now_s = time.monotonic()
    if seen != last:
        print(seen, now_s, flush=True)
        last = seen
print("end", time.monotonic())
"""


@contextlib.contextmanager
def watched(path: Path) -> Iterator[list[tuple[str, float]]]:
    """Look at a directory without a pause; yield what was seen, and for how many seconds, in order."""
    seen: list[tuple[str, float]] = []
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", WATCHER, path], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        yield seen
        lines += process.communicate("end", timeout=60)[0].splitlines()
    rows = [(what, float(at_s)) for what, at_s in (line.split() for line in lines)]
    seen += [(what, until_s - at_s) for (what, at_s), (_, until_s) in itertools.pairwise(rows)]


def can_be_put_beneath() -> bool:
    """Whether this is root, and the kernel knows MOVE_MOUNT_BENEATH."""
    return os.geteuid() == 0 and tuple(int(word) for word in re.findall(r"\d+", os.uname().release)[:2]) >= (6, 5)


# Two calls, or two programs: moments on an idle machine, and the test is about what is between.
REPLACED_S = 0.5


@pytest.mark.parametrize("kernel", ["this one", "before 6.5", "before 5.2"])
def test_a_dead_mount_is_replaced_without_an_empty_directory_in_between(
    rigs: Rigs, record_property: Callable[[str, object], None], kernel: str
) -> None:
    rig = rigs()
    rig.stop(signal.SIGKILL)
    assert is_dead(rig.path)
    call = {"this one": "", "before 6.5": "beneath", "before 5.2": "fsopen"}[kernel]
    rig.program = ["tests.fuse.older", call] if call else rig.program
    with watched(rig.path) as seen:
        rig.start()
        assert list((rig.path / "sessions").iterdir()) == []
    empty_s = sum(for_s for what, for_s in seen if what == "empty")
    record_property("empty", f"{kernel}: for {empty_s * 1000:.1f} ms")
    assert [what for what, _ in seen if what != "empty"] == ["ENOTCONN", "entries"]
    if call or not can_be_put_beneath():
        assert empty_s < REPLACED_S
    else:
        assert [what for what, _ in seen] == ["ENOTCONN", "entries"]
    # It is one mount, and it ends as any other.
    assert Path("/proc/self/mountinfo").read_text().count(f" {rig.path} ") == 1
    assert rig.stop() == 0
    assert mountpoint.find(rig.path) is None


def words_of(rig: Rig) -> str:
    """Return the type, the source and the options of a mount as the kernel has them."""
    line = Path("/proc/self/mountinfo").read_text().partition(f" {rig.path} ")[2].partition("\n")[0]
    return re.sub(r"\b(shared|master):\d+ ", "", line)


def test_a_mount_that_replaced_a_dead_one_ends_when_it_is_unmounted_from_outside(rigs: Rigs) -> None:
    rig = rigs(options={"allow_other": "", "ro": ""})
    plain = words_of(rig)
    rig.stop(signal.SIGKILL)
    rig.start()
    assert words_of(rig) == plain, "the kernel has it with the same words"
    assert rig.process is not None
    subprocess.run(["umount", rig.path], check=True, timeout=60)
    assert rig.process.wait(60) == 0
    rig.ended = True


def let_doubts_age(rig: Rig) -> None:
    """Make a start in doubt a minute older, in the journal of a mount that has ended: listings lag behind starts."""
    with contextlib.closing(sqlite3.connect(rig.scratch / "state" / "journal.sqlite")) as database, database:
        assert database.execute("UPDATE intents SET at_s = at_s - 60").rowcount == 1


# -- starts whose answer is lost --------------------------------------------------------


def check_started_once(rig: Rig, name: str) -> None:
    """Check that NAME has one session, here and there, and that it is this mount's own."""
    session = rig.session_of(name)
    said = rig.status(session)
    assert (said["own"], said["label"]) == (True, name)
    assert not (rig.new / f"{name}.error").exists()
    known = [rig.session_id(path) for path in rig.sessions]
    assert known.count(rig.session_id(session)) == 1
    assert sorted(known) == sorted(record.session_id for record in rig.sim.sessions.records())


@pytest.mark.parametrize("options", [{}, {"settings": [{"file_name": "mine"}]}], ids=["marker", "equal fields"])
def test_a_lost_answer_is_found_in_the_listing(rigs: Rigs, options: dict[str, object]) -> None:
    rig = rigs(options=FAST, file_size_bytes=1000)
    rig.sim.faults.add(method="StartSession", action="lose_reply", status="UNAVAILABLE")
    assert write(rig, "lost", **CLIP(), options=options).wait(60) == 0
    assert (rig.starts, len(rig.sim.sessions.records())) == (1, 1)
    check_started_once(rig, "lost")


def test_a_token_that_ran_out_is_renewed_in_the_middle_of_a_start(rigs: Rigs) -> None:
    rig = rigs(options=FAST, file_size_bytes=1000)
    rig.sim.logins.revoke_all()
    assert write(rig, "token", **CLIP()).wait(60) == 0
    assert len(rig.sim.sessions.records()) == 1
    check_started_once(rig, "token")


def test_a_daemon_that_is_killed_during_a_start_adopts_the_session_after_its_restart(rigs: Rigs) -> None:
    rig = rigs(options=FAST, file_size_bytes=1000)
    slow = rig.sim.faults.add(method="StartSession", action="delay", delay_s=60)
    with write(rig, "killed", **CLIP()) as writer:
        assert rig.sim.faults.wait_for_hits(slow, 1, 30)
        rig.stop(signal.SIGKILL)
        assert writer.wait(60) != 0
    rig.sim.faults.clear()
    rig.sim.calls.wait_for("StartSession", 1, 30)
    assert len(rig.sim.sessions.records()) == 1
    rig.start()
    wait_until((rig.new / "killed.session").is_symlink, "the session to be found")
    check_started_once(rig, "killed")
    assert rig.starts == 1


def test_a_start_that_a_killed_daemon_never_made_is_made_when_the_document_comes_again(rigs: Rigs) -> None:
    rig = rigs(options=FAST, file_size_bytes=1000)
    clip = CLIP()
    rig.sim.faults.add(method="StartSession", status="UNAVAILABLE")
    fault = rig.sim.faults.add(method="ListSessions", action="delay", delay_s=60, times=1000)
    with write(rig, "killed", **clip) as writer:
        rig.sim.calls.wait_for("StartSession", 1, 30)
        assert rig.sim.faults.wait_for_hits(fault, 1, 30)
        rig.stop(signal.SIGKILL)
        assert writer.wait(60) != 0
    rig.sim.faults.clear()
    let_doubts_age(rig)
    rig.start()
    assert write(rig, "killed", **clip).wait(60) == 0
    check_started_once(rig, "killed")
    assert len(rig.sim.sessions.records()) == 1


def test_a_server_without_an_export_agent_says_so_within_seconds_and_nothing_is_started_twice(rigs: Rigs) -> None:
    rig = rigs(options=FAST, file_size_bytes=1000, switches=Switches(no_agent="UNAVAILABLE"))
    clip = CLIP()
    before_s = time.monotonic()
    assert write(rig, "agent", **clip).wait(60) == 1
    assert time.monotonic() - before_s < LOOK_FOR_S
    said = (rig.new / "agent.error").read_text()
    assert "Export agent is not available" in said
    assert "the server lists no such export" in said
    rig.sim.switches = Switches()
    assert write(rig, "agent", **clip).wait(60) == 0
    check_started_once(rig, "agent")


@pytest.mark.expects_warnings(AWAY)
@pytest.mark.expects_warnings("login not renewed")
def test_a_start_that_never_reached_the_server_leaves_no_doubt(rigs: Rigs) -> None:
    rig = rigs(options=FAST, file_size_bytes=1000)
    rig.sim.stop()
    assert write(rig, "unreached", **CLIP()).wait(60) == 1
    said = (rig.new / "unreached.error").read_text()
    assert "cannot start the export" in said or "cannot log in" in said
    assert "not known" not in said
    rig.stop(signal.SIGKILL)
    with contextlib.closing(sqlite3.connect(rig.scratch / "state" / "journal.sqlite")) as database:
        assert database.execute("SELECT count(*) FROM intents").fetchone() == (0,)


@pytest.fixture(scope="module")
def doubtful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Two starts in doubt: `made` was made, `never` was not, and no listing said which when their writers gave up."""
    with module_rig(tmp_path_factory, options=FAST, file_size_bytes=1000, declared=[AWAY]) as rig:
        made = rig.sim.faults.add(method="StartSession", action="lose_reply", status="UNAVAILABLE")
        rig.sim.faults.add(method="ListSessions", status="UNAVAILABLE", times=10_000)
        first = write(rig, "made", **{**CLIP(), "comment": "made"})
        assert rig.sim.faults.wait_for_hits(made, 1, 30)
        rig.sim.faults.add(method="StartSession", status="UNAVAILABLE")
        second = write(rig, "never", **{**CLIP(), "comment": "never"})
        assert [first.wait(60), second.wait(60)] == [1, 1]
        yield rig


def test_a_start_in_doubt_is_an_error_that_says_so_and_is_resolved_later(doubtful: Rig) -> None:
    rig = doubtful
    for name in ("made", "never"):
        assert "it is not known whether the export started" in (rig.new / f"{name}.error").read_text()
    rig.sim.faults.clear()
    wait_until(lambda: not (rig.new / "made.error").exists(), "the doubt to end")
    assert write(rig, "made", **json.loads((rig.new / "made.json").read_text())).wait(60) == 0
    assert rig.stop() == 0
    let_doubts_age(rig)
    rig.start()
    assert write(rig, "never", **json.loads((rig.new / "never.json").read_text())).wait(60) == 0
    for name in ("made", "never"):
        check_started_once(rig, name)
    assert len(rig.sim.sessions.records()) == 2


# -- a server that is away ---------------------------------------------------------------


@pytest.mark.expects_warnings(AWAY)
@pytest.mark.expects_warnings("login not renewed")
@pytest.mark.expects_warnings("keep-alive failed")
def test_while_the_server_is_away_the_last_picture_stands_and_afterwards_all_goes_on(rigs: Rigs) -> None:
    rig = rigs(options=FAST, file_size_bytes=1000, sessions=3)
    session = rig.exported("before").parent.resolve()
    before = sorted(path.name for path in rig.sessions)
    rig.sim.stop()
    wait_until(lambda: rig.status(session)["stale_since"], "the mount to notice")
    assert sorted(path.name for path in rig.sessions) == before
    assert (session / "state").read_text() == "completed\n"
    with pytest.raises(OSError, match="Input/output error"):
        (session / "control").write_text("destroy")
    rig.sim.start()
    wait_until(lambda: rig.status(session)["stale_since"] is None, "the mount to notice")
    assert sorted(path.name for path in rig.sessions) == before
    assert rig.results(session)[0].read_bytes() == rig.truth(rig.results(session)[0])
    rig.write_spec("after", **CLIP())


@pytest.mark.expects_warnings(AWAY)
def test_a_listing_that_breaks_off_changes_nothing(rigs: Rigs) -> None:
    rig = rigs(options=FAST, file_size_bytes=1000, sessions=20)
    before = sorted(path.name for path in rig.sessions)
    assert len(before) == 20
    fault = rig.sim.faults.add(method="ListSessions", action="cut", status="INTERNAL", times=10_000, after_chunks=1)
    for hits in (1, 2, 3, 4):
        rig.look()
        assert rig.sim.faults.wait_for_hits(fault, hits, 30)
    assert sorted(path.name for path in rig.sessions) == before


@pytest.mark.expects_warnings(AWAY)
@pytest.mark.expects_warnings("login not renewed")
@pytest.mark.expects_warnings("keep-alive failed")
def test_refused_credentials_are_tried_once_and_again_when_their_file_changes(rigs: Rigs) -> None:
    rig = rigs(options=FAST, file_size_bytes=1000)
    session = rig.hold(pattern_file(100))
    before = rig.sim.calls.count("AuthenticateEx2")
    rig.sim.logins.set_password(USER, "another")
    rig.sim.logins.revoke_all()
    for _ in range(3):
        with pytest.raises(PermissionError):
            (session / "control").write_text("destroy")
    assert rig.sim.calls.count("AuthenticateEx2") == before + 1
    (rig.scratch / "password").write_text("another")
    (session / "control").write_text("destroy")
    assert rig.sim.calls.count("AuthenticateEx2") == before + 2

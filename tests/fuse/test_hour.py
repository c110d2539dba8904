"""What an hour does to sessions: one run with the timers of both sides sixty times faster, seen from all sides.

The server stops a live clip after 5 minutes (5 s here) and deletes results after an
hour (a minute here), counted from the last call that is use. All sessions are made
at the beginning; then twelve results are copied one after the other, which takes
longer than the hour, while programs look at everything without a pause.
"""

import dataclasses
import hashlib
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from axxonfs.simulator.records import SessionRecord
from axxonfs.wire import export_pb2
from axxonfs.wire.export_service_pb2 import EState
from tests.fuse.harness import Rig, module_rig, needs, pattern_file, wait_until

pytestmark = [needs("pv"), pytest.mark.timeout(400)]

FACTOR = 60
HOUR_S = 3600 / FACTOR
COPIES = 12
LARGE = 3 << 20  # no look at its head makes the kernel fetch it whole
RATE = int(LARGE * COPIES / (1.06 * HOUR_S))  # so that all of them take more than the hour


@dataclasses.dataclass(frozen=True)
class Hour:
    """A mount an hour after it all began."""

    rig: Rig
    ids: dict[str, str]  # of the sessions, by what they are
    copies: dict[str, str]  # hash of each copy, by its name
    truth: dict[str, str]  # what it must be
    took_s: float
    looks: int  # how often programs looked at everything
    held: bytes  # what the file that was open all the time gave at the end
    stopped: SessionRecord  # the live export of somebody else, when it had ended


def _look(rig: Rig, stop: threading.Event, looks: list[int]) -> None:
    commands = ("find .", "ls -lR .", "stat sessions/*/*")
    while not stop.is_set():
        for command in commands:
            # What goes meanwhile is an error for them, but nothing else is.
            done = subprocess.run(["sh", "-c", command], cwd=rig.path, capture_output=True, text=True, check=False)
            assert done.returncode == 0 or "No such file" in done.stderr, done.stderr
        looks.append(1)


def _begin(rig: Rig) -> dict[str, str]:
    """Make the sessions; return their ids."""
    ids = {"own live": rig.session_id(rig.write_spec("live", camera="1.Front door", live=True))}
    options = export_pb2.Options()
    options.CopyFrom(rig.sim.sessions.record(ids["own live"]).options)
    ids["foreign live"] = rig.sim.sessions.start(options, "somebody").session_id
    for what in ("foreign", "told to keep", "told to keep for a day", "open"):
        ids[what] = rig.session_id(rig.hold(pattern_file(1000)))
    for what in ("read", "released", *(f"copy{number}" for number in range(COPIES))):
        ids[what] = rig.session_id(rig.exported(what, comment=what).parent)
    (rig.session_dir(ids["told to keep"]) / "control").write_text("keep")
    (rig.session_dir(ids["told to keep for a day"]) / "control").write_text("keep 24h")
    (rig.session_dir(ids["released"]) / "control").write_text("release")
    rig.results(rig.session_dir(ids["read"]))[0].read_bytes()
    return ids


def _copy_all(rig: Rig, ids: dict[str, str], directory: Path) -> dict[str, str]:
    copies = {}
    for what in (f"copy{number}" for number in range(COPIES)):
        [result] = rig.results(rig.session_dir(ids[what]))
        with (directory / what).open("wb") as copy:
            subprocess.run(["pv", "-q", "-L", str(RATE), result], stdout=copy, check=True, timeout=HOUR_S)
        copies[what] = hashlib.sha256((directory / what).read_bytes()).hexdigest()
    return copies


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hour]:
    options = {"time_factor": str(FACTOR)}
    with module_rig(tmp_path_factory, options=options, time_factor=FACTOR, file_size_bytes=LARGE) as rig:
        ids = _begin(rig)
        truth = {}
        for what in (f"copy{number}" for number in range(COPIES)):
            [result] = rig.sim.sessions.record(ids[what]).results
            truth[what] = rig.sim.sessions.result_sha256(ids[what], result.path)
        stopped = rig.sim.sessions.wait_for_state(ids["foreign live"], EState.S_COMPLETED, HOUR_S)
        stop, looks = threading.Event(), list[int]()
        looker = threading.Thread(target=_look, args=[rig, stop, looks])
        began_s = time.monotonic()
        with rig.results(rig.session_dir(ids["open"]))[0].open("rb") as held:
            looker.start()
            try:
                copies = _copy_all(rig, ids, tmp_path_factory.mktemp("copies"))
                took_s = time.monotonic() - began_s
                for what in ("foreign live", "foreign", "released", "read"):
                    rig.sim.sessions.wait_until_gone(ids[what], HOUR_S)
                yield Hour(rig, ids, copies, truth, took_s, len(looks), held.read(), stopped)
            finally:
                stop.set()
                looker.join()


def exists(hour: Hour, what: str) -> bool:
    return hour.ids[what] in [record.session_id for record in hour.rig.sim.sessions.records()]


def test_a_live_export_that_this_mount_started_runs_on_though_nobody_looks_at_it(hour: Hour) -> None:
    assert hour.rig.sim.sessions.record(hour.ids["own live"]).running


def test_a_live_export_of_somebody_else_is_stopped_by_the_server(hour: Hour) -> None:
    assert hour.stopped.state == EState.S_COMPLETED
    assert not exists(hour, "foreign live")


def test_a_result_of_somebody_else_is_deleted_although_programs_look_at_it_all_the_time(hour: Hour) -> None:
    assert hour.looks >= COPIES
    calls = [call for call in hour.rig.sim.calls.entries() if call.method in {"GetSessionState", "DownloadFile"}]
    assert calls
    assert not [call for call in calls if hour.ids["foreign"] in call.request]
    wait_until(lambda: hour.ids["foreign"] not in hour.rig.ids(), "the foreign session to leave the tree")


@pytest.mark.parametrize("what", ["open", "told to keep", "told to keep for a day"])
def test_a_result_that_somebody_needs_is_kept(hour: Hour, what: str) -> None:
    assert exists(hour, what)
    [result] = hour.rig.results(hour.rig.session_dir(hour.ids[what]))
    assert len(result.read_bytes()) == 1000
    assert len(hour.held) == 1000


def test_own_results_are_kept_until_they_are_copied_however_long_that_takes(hour: Hour) -> None:
    assert hour.took_s > HOUR_S
    assert hour.copies == hour.truth


def test_an_own_result_that_was_read_whole_is_let_go_and_leaves_the_tree(hour: Hour) -> None:
    assert not exists(hour, "read")
    wait_until(lambda: hour.ids["read"] not in hour.rig.ids(), "the session to leave the tree")


def test_an_own_result_that_went_unread_stays_as_a_directory_that_says_why(hour: Hour) -> None:
    session = hour.rig.session_dir(hour.ids["released"])
    hour.rig.wait_for_state(session, "removed")
    assert hour.rig.results(session) == []
    assert "gone before it was read whole" in hour.rig.status(session)["last_error"]
    session.rmdir()
    assert hour.ids["released"] not in hour.rig.ids()

"""Starts whose answers are lost: after a crash, and where other machines ask for the very same meanwhile."""

import contextlib
import datetime as dt
import errno
import json
import stat
import threading
import time
import types
from collections.abc import Iterator
from pathlib import Path

import pyfuse3
import pytest
import trio

from axxonfs.core import spec
from axxonfs.core.cameras import Archive, Camera
from axxonfs.core.timers import Timers
from axxonfs.exporting import doubts
from axxonfs.exporting.records import Intent
from axxonfs.fs.journal import FileChanges, Journal, SavedFile
from axxonfs.remote.exports import ExportClient
from axxonfs.simulator.server import Simulator
from axxonfs.simulator.switches import Switches
from axxonfs.wire import export_pb2
from tests.rpc.support import connect
from tests.rpc.unmounted import Unmounted, endless

CLIP = {"camera": "1.Front door", "from": "2026-01-02T10:15:00Z", "to": "2026-01-02T10:15:20Z"}
# With a name of its own an export carries no marker.
UNMARKED = {**CLIP, "file_name": "door"}
IN_FLIGHT_S = 5.0
ORIGIN = "hosts/Server/DeviceIpint.1/SourceEndpoint.video:0:0"
STORAGE = "hosts/Server/MultimediaStorage.AliceBlue/MultimediaStorage"


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[Simulator]:
    with endless(tmp_path) as running:
        yield running


@contextlib.contextmanager
def machine(sim: Simulator, directory: Path, timers: Timers | None = None) -> Iterator[Unmounted]:
    """A mount with a state directory of its own."""
    directory.mkdir()
    with (
        contextlib.closing(connect(sim, directory)) as link,
        Unmounted(ExportClient(link), directory / "state", timers) as mount,
    ):
        yield mount


@contextlib.contextmanager
def after_a_crash(sim: Simulator, directory: Path, intent: Intent) -> Iterator[Unmounted]:
    """A mount whose last run ended in the middle of a start."""
    directory.mkdir()
    file = SavedFile(b"door.json", "file", b"{}", b"{}", stat.S_IFREG | 0o600, 0, 0, 7, None)
    with contextlib.closing(Journal(directory / "state")) as journal:
        journal.intend(intent, FileChanges(saved=(file,)))
    with contextlib.closing(connect(sim, directory)) as link:
        mount = Unmounted(ExportClient(link), directory / "state")
        with mount:
            mount.run(trio.sleep, 0)  # for what it starts behind
            yield mount


def resolved(**more: str) -> export_pb2.Options:
    """Return what the mount would ask the server for."""
    now = dt.datetime.now(dt.UTC)
    document = {**CLIP, **more}
    cameras = (Camera(ORIGIN, "1", "Front door", "Server", (Archive("AliceBlue", STORAGE, default=True),)),)
    return spec.resolve(document, cameras=cameras, now=now, timezone=None, marker="axxonfs-77").options


def left(directory: Path) -> list[Intent]:
    """Return what the journal of an ended mount still takes for a start without an answer."""
    with contextlib.closing(Journal(directory / "state")) as journal:
        return journal.intents()


def test_a_start_that_nobody_asked_for_before_the_crash_is_made_after_it(sim: Simulator, tmp_path: Path) -> None:
    intent = Intent("axxonfs-77", "door", resolved(), time.time(), asked=False)
    with after_a_crash(sim, tmp_path / "a", intent) as mount:
        [record] = sim.sessions.records()
        assert own(mount) == [record.session_id]
        assert mount.names("new") == {"door.json", "door.session"}
    assert left(tmp_path / "a") == []


@pytest.mark.parametrize(
    ("more", "age_s", "says"),
    [({}, 1000.0, "it was not started; write it again"), ({"password": "hush"}, 0.0, "type the password again")],
)
def test_a_start_that_cannot_be_made_any_more_says_what_to_do(
    sim: Simulator, tmp_path: Path, more: dict[str, str], age_s: float, says: str
) -> None:
    options = spec.without_secrets(resolved(**more))
    intent = Intent("axxonfs-77", "door", options, time.time() - age_s, asked=False)
    with after_a_crash(sim, tmp_path / "a", intent) as mount:
        assert sim.sessions.records() == []
        assert mount.names("new") == {"door.json", "door.error"}
        assert says in mount.read("new", "door.error").decode()
    assert left(tmp_path / "a") == []


@pytest.mark.parametrize(("age_s", "remain"), [(100.0, 1), (1000.0, 0)])
def test_a_start_that_no_listing_shows_was_not_made(sim: Simulator, tmp_path: Path, age_s: float, remain: int) -> None:
    intent = Intent("axxonfs-77", "door", resolved(), time.time() - age_s)
    with after_a_crash(sim, tmp_path / "a", intent) as mount:
        mount.refresh()
        assert mount.names("new") == {"door.json", "door.error"}
        assert "the server does not list it: it was not started" in mount.read("new", "door.error").decode()
    assert len(left(tmp_path / "a")) == remain


def test_a_start_that_was_made_before_the_crash_is_known_at_once(sim: Simulator, tmp_path: Path) -> None:
    record = sim.sessions.start(resolved(), "root")
    with after_a_crash(sim, tmp_path / "a", Intent("axxonfs-77", "door", resolved(), time.time())) as mount:
        assert own(mount) == [record.session_id]
        assert mount.names("new") == {"door.json", "door.session"}
    assert left(tmp_path / "a") == []


def submit(mount: Unmounted, document: dict[str, str], outcome: list[int]) -> threading.Thread:
    """Write a spec in a thread; note its errno, 0 for none."""

    def write() -> None:
        try:
            mount.write(json.dumps(document), "new", "door.json")
            outcome.append(0)
        except pyfuse3.FUSEError as error:
            outcome.append(error.errno)

    thread = threading.Thread(target=write)
    thread.start()
    return thread


def own(mount: Unmounted) -> list[str]:
    return [entry.session.id for entry in mount.view.entries.values() if entry.facts.own]


def test_two_machines_that_lose_the_answers_to_the_same_spec_take_over_each_its_own(
    sim: Simulator, tmp_path: Path
) -> None:
    with machine(sim, tmp_path / "a") as one, machine(sim, tmp_path / "b") as other:
        sim.faults.add(method="StartSession", action="lose_reply", times=2)
        outcome = list[int]()
        for thread in [submit(mount, CLIP, outcome) for mount in (one, other)]:
            thread.join(60)
        assert outcome == [0, 0]
        assert sorted(own(one) + own(other)) == sorted(record.session_id for record in sim.sessions.records())
        assert (len(own(one)), len(own(other))) == (1, 1)


def test_of_several_equal_exports_without_a_marker_none_is_taken_over(sim: Simulator, tmp_path: Path) -> None:
    with machine(sim, tmp_path / "a") as mount:
        sim.faults.add(method="StartSession", action="lose_reply")
        slow = sim.faults.add(method="StartSession", action="delay", delay_s=IN_FLIGHT_S)
        outcome = list[int]()
        thread = submit(mount, UNMARKED, outcome)
        assert sim.faults.wait_for_hits(slow, 1, 30)
        with machine(sim, tmp_path / "b") as other:
            other.write(json.dumps(UNMARKED), "new", "door.json")
            thread.join(60)
            assert outcome != [0]
            assert len(sim.sessions.records()) == 2
            assert (own(mount), len(own(other))) == ([], 1)


def test_an_equal_export_that_was_there_before_is_not_taken_over(sim: Simulator, tmp_path: Path) -> None:
    with machine(sim, tmp_path / "b") as other:
        other.write(json.dumps(UNMARKED), "new", "door.json")
        with machine(sim, tmp_path / "a") as mount:
            sim.faults.add(method="StartSession", status="UNAVAILABLE")
            outcome = list[int]()
            submit(mount, UNMARKED, outcome).join(60)
            assert outcome != [0]
            assert "the server lists no such export" in mount.read("new", "door.error").decode()
            assert (own(mount), len(own(other))) == ([], 1)


@pytest.mark.parametrize("shift_s", [-3600.0, 3600.0])
def test_a_clock_that_is_set_neither_puts_off_nor_hastens_the_end_of_a_doubt(
    sim: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shift_s: float
) -> None:
    doubt_s = 8.0
    with machine(sim, tmp_path / "a", Timers(doubt_s=doubt_s)) as mount:
        sim.faults.add(method="StartSession", status="UNAVAILABLE")
        outcome = list[int]()
        submit(mount, CLIP, outcome).join(60)
        # Here alone: gRPC, which reckons its deadlines by it, would see two clocks.
        monkeypatch.setattr(doubts, "time", types.SimpleNamespace(time=lambda: time.time() + shift_s))
        submit(mount, CLIP, outcome).join(60)
        assert outcome == [errno.EIO, 0]
        first_s, second_s = (call.monotonic_s for call in sim.calls.entries() if call.method == "StartSession")
        # A listing may lag behind a start for so long; it was asked for a little after the doubt began.
        assert second_s - first_s > doubt_s - 2


def test_a_lost_answer_is_found_where_the_server_does_not_repeat_the_marker(sim: Simulator, tmp_path: Path) -> None:
    sim.switches = Switches(echoed_options="stripped")
    with machine(sim, tmp_path / "a") as mount:
        sim.faults.add(method="StartSession", action="lose_reply")
        outcome = list[int]()
        submit(mount, CLIP, outcome).join(60)
        submit(mount, CLIP, outcome).join(60)
        assert outcome == [0, 0]
        [record] = sim.sessions.records()
        assert own(mount) == [record.session_id]


def test_an_equal_export_whose_marker_the_server_left_out_is_not_taken_over(sim: Simulator, tmp_path: Path) -> None:
    sim.switches = Switches(echoed_options="stripped")
    with machine(sim, tmp_path / "b") as other:
        other.write(json.dumps(CLIP), "new", "door.json")
        with machine(sim, tmp_path / "a") as mount:
            sim.faults.add(method="StartSession", status="UNAVAILABLE")
            outcome = list[int]()
            submit(mount, CLIP, outcome).join(60)
            assert outcome != [0]
            assert (own(mount), len(own(other))) == ([], 1)

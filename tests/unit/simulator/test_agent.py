import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from axxonfs.core.timers import Timers
from axxonfs.simulator.agent import Agent, Export
from axxonfs.simulator.plan import Plan
from axxonfs.simulator.records import SessionRecord
from axxonfs.simulator.sessions import Sessions
from axxonfs.simulator.store import Store
from axxonfs.simulator.switches import Switches
from axxonfs.simulator.writers import Piece
from axxonfs.wire.export_pb2 import Options
from axxonfs.wire.export_service_pb2 import EState
from tests.unit.simulator.support import HOUR_MS, NOW_MS, Clock, clip, frame, live_clip, plan

SPEED = 10.0


class Notes:
    """A writer that notes which intervals it was given; one finished piece, once it has any."""

    def __init__(self, made: Plan) -> None:
        self.group_ms = made.group_ms
        self.plan = made
        self.written: list[tuple[int, int]] = []
        self.closed = False
        self.broken = False
        self.while_writing: Callable[[], None] = lambda: None

    def write(self, begin_ms: int, end_ms: int) -> None:
        self.while_writing()
        if self.broken:
            raise OSError("disk full")
        self.written.append((begin_ms, end_ms))

    def pieces(self) -> tuple[Piece, ...]:
        if not self.written:
            return ()
        return (Piece(self.plan.cameras[0], "mkv", 1, self.written[0][0], self.written[-1][1], seed=1),)

    def close(self) -> None:
        self.closed = True


class World:
    """An agent that is stepped by hand."""

    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self.switches = Switches()
        self.notes: dict[str, Notes] = {}
        self.sessions = Sessions(
            Store(directory), node_name="Server", timers=Timers(), clock=self.clock, switches=lambda: self.switches
        )
        self.agent = self.new_agent()

    def new_agent(self) -> Agent:
        return Agent(self.sessions, self._export, timers=Timers(), clock=self.clock, switches=lambda: self.switches)

    def start(self, options: Options) -> str:
        return self.sessions.start(options, "root").session_id

    def record(self, session_id: str) -> SessionRecord:
        return self.sessions.record(session_id)

    def step_after(self, seconds: float) -> float:
        self.clock.now_s += seconds
        return self.agent.step()

    def _export(self, record: SessionRecord) -> Export:
        made = plan(record.options, now_ms=round(record.started_s * 1000))
        self.notes[record.session_id] = Notes(made)
        return Export(record, made, self.notes[record.session_id], SPEED)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


# The clip of five seconds whose delivery begins at a key frame half a second earlier.
FROM_MS = NOW_MS - HOUR_MS
CLIP = clip(FROM_MS, FROM_MS + 5_000)


def test_footage_is_exported_group_by_group_at_the_configured_speed(world: World) -> None:
    session_id = world.start(CLIP)
    assert world.step_after(0) == pytest.approx(world.clock.now_s + 0.2)
    assert world.notes[session_id].written == [(FROM_MS - 500, FROM_MS + 1500)]
    assert world.record(session_id).last_frame_ms == FROM_MS + 1300
    next_s = world.step_after(0.1)
    assert len(world.notes[session_id].written) == 1
    while world.record(session_id).running:
        world.clock.now_s = next_s
        next_s = world.agent.step()
    assert world.clock.now_s == pytest.approx(NOW_MS / 1000 + 0.55)
    assert world.notes[session_id].written[1:] == [
        (FROM_MS + 1500, FROM_MS + 3500),
        (FROM_MS + 3500, FROM_MS + 5000),
    ]
    record = world.record(session_id)
    assert (record.state, record.succeeded, len(record.results)) == (EState.S_COMPLETED, True, 1)
    assert record.last_frame_ms == FROM_MS + 4900
    assert world.notes[session_id].closed


def test_a_snapshot_takes_its_time(world: World) -> None:
    session_id = world.start(frame(FROM_MS))
    world.step_after(17.9)
    assert world.record(session_id).running
    world.step_after(0.2)
    assert world.record(session_id).succeeded


def test_live_footage_is_exported_as_it_happens(world: World) -> None:
    session_id = world.start(live_clip(3))
    assert world.step_after(0) == pytest.approx(NOW_MS / 1000)
    assert world.notes[session_id].written == []
    world.step_after(1.5)
    assert world.notes[session_id].written == [(NOW_MS - 500, NOW_MS + 1500)]
    world.step_after(1.5)
    assert world.notes[session_id].written[-1] == (NOW_MS + 1500, NOW_MS + 3000)
    assert world.record(session_id).succeeded


def test_a_stopped_live_clip_has_everything_up_to_the_stop(world: World) -> None:
    session_id = world.start(live_clip())
    world.step_after(2)
    world.clock.now_s += 3
    world.sessions.ask_to_stop(session_id)
    world.step_after(1)
    written = world.notes[session_id].written
    assert written == [
        (NOW_MS - 500, NOW_MS + 1500),
        (NOW_MS + 1500, NOW_MS + 3500),
        (NOW_MS + 3500, NOW_MS + 5000),
    ]
    assert world.record(session_id).succeeded


def test_a_stopped_archive_clip_keeps_the_part_so_far(world: World) -> None:
    session_id = world.start(clip(FROM_MS, FROM_MS + 60_000))
    world.step_after(0)
    world.step_after(0.2)
    world.sessions.ask_to_stop(session_id)
    world.step_after(0)
    assert len(world.notes[session_id].written) == 2
    assert world.record(session_id).succeeded


def test_an_archive_clip_that_is_stopped_at_once_has_one_group(world: World) -> None:
    session_id = world.start(CLIP)
    world.sessions.ask_to_stop(session_id)
    world.step_after(0)
    assert len(world.notes[session_id].written) == 1
    assert world.record(session_id).succeeded


def test_a_stopped_snapshot_has_no_result(world: World) -> None:
    session_id = world.start(frame(FROM_MS))
    world.sessions.ask_to_stop(session_id)
    world.step_after(0)
    assert (world.record(session_id).state, world.record(session_id).succeeded) == (EState.S_COMPLETED, False)


def test_an_export_without_recordings_completes_without_success(world: World) -> None:
    session_id = world.start(clip(NOW_MS + HOUR_MS, NOW_MS + 2 * HOUR_MS))
    world.step_after(20)
    assert (world.record(session_id).state, world.record(session_id).succeeded) == (EState.S_COMPLETED, False)


def test_a_timer_stops_an_export_that_nobody_asks_for(world: World) -> None:
    session_id = world.start(live_clip())
    world.step_after(300)
    world.step_after(0.01)
    assert world.record(session_id).succeeded


def test_a_switch_lets_every_export_fail(world: World) -> None:
    world.switches = Switches(exports_fail=True)
    session_id = world.start(CLIP)
    for _ in range(4):
        world.step_after(0.5)
    assert (world.record(session_id).state, world.record(session_id).succeeded) == (EState.S_COMPLETED, False)


def test_an_export_goes_on_after_a_restart(world: World) -> None:
    session_id = world.start(CLIP)
    world.step_after(0)
    world.agent.stop()
    assert world.notes[session_id].closed
    world.agent = world.new_agent()
    for _ in range(4):
        world.step_after(0.5)
    assert world.notes[session_id].written[0][0] == FROM_MS - 500
    assert world.record(session_id).succeeded


def test_a_destroyed_export_is_abandoned(world: World) -> None:
    session_id = world.start(CLIP)
    world.step_after(0)
    world.sessions.destroy(session_id)
    world.step_after(0.2)
    assert len(world.notes[session_id].written) == 1
    assert world.notes[session_id].closed


def test_an_export_that_is_destroyed_while_it_is_written_has_not_failed(world: World) -> None:
    session_id = world.start(CLIP)
    world.step_after(0)
    notes = world.notes[session_id]
    notes.while_writing, notes.broken = lambda: world.sessions.destroy(session_id), True
    world.step_after(0.2)  # without a word in the log
    assert notes.closed
    assert world.sessions.records() == []


@pytest.mark.expects_warnings("event=export_failed")
def test_an_export_that_cannot_be_written_fails_and_holds_up_no_other(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    broken, whole = world.start(CLIP), world.start(CLIP)
    world.step_after(0)
    world.notes[broken].broken = True
    for _ in range(4):
        world.step_after(0.5)
    assert "disk full" in caplog.text
    assert (world.record(broken).state, world.record(broken).succeeded) == (EState.S_COMPLETED, False)
    assert world.record(whole).succeeded


def test_the_thread_notices_a_new_session_at_once(world: World) -> None:
    world.agent.start()
    try:
        session_id = world.start(CLIP)
        world.sessions.ask_to_stop(session_id)
        assert world.sessions.wait_for_state(session_id, EState.S_COMPLETED, 10).succeeded
    finally:
        world.agent.stop()


@pytest.mark.parametrize(
    ("form", "path"),
    [
        ("uuid", None),
        ("name", "Server_DeviceIpint.1[20270115T070000-20270115T070005].mkv"),
        ("slash", "/1.mkv"),
    ],
)
def test_a_switch_chooses_the_form_of_file_ids(world: World, form: str, path: str | None) -> None:
    world.switches = dataclasses.replace(world.switches, file_id=form)  # type: ignore[arg-type]  # a table of literals
    session_id = world.start(CLIP)
    for _ in range(4):
        world.step_after(0.5)
    found = world.record(session_id).results[0].path
    assert found.endswith(path) if path else len(found) == 36

import stat
from pathlib import Path

import pytest

from axxonfs.core.timers import Timers
from axxonfs.simulator.pattern import pattern
from axxonfs.simulator.records import ResultFile, SessionRecord, from_json, state_message, to_json
from axxonfs.simulator.refusal import Refusal
from axxonfs.simulator.sessions import Sessions
from axxonfs.simulator.store import Store
from axxonfs.simulator.switches import Switches
from axxonfs.wire.export_pb2 import Options
from axxonfs.wire.export_service_pb2 import EState
from tests.unit.simulator.support import Clock, clip, live_clip, live_frame

MINUTE_S, HOUR_S = 60.0, 3600.0
RESULT = ResultFile(path="id-1", size=10_000, kind="mkv", min_ms=1000, max_ms=2000, seed=5)


class World:
    """An engine over a directory; `restart` makes it anew from what is on disk."""

    def __init__(self, directory: Path) -> None:
        self.clock = Clock()
        self.switches = Switches()
        self.directory = directory
        self.store = Store(directory)
        self.sessions = self._load()

    def restart(self) -> None:
        self.store.close()
        self.store = Store(self.directory)
        self.sessions = self._load()

    def _load(self) -> Sessions:
        return Sessions(
            self.store, node_name="Server", timers=Timers(), clock=self.clock, switches=lambda: self.switches
        )

    def running(self, options: Options | None = None) -> str:
        return self.sessions.start(options or clip(), "root").session_id

    def completed(self) -> str:
        session_id = self.running()
        self.sessions.complete(self.sessions.record(session_id), 2000, (RESULT,))
        return session_id

    def state(self, session_id: str) -> int | None:
        """Return the state that a client would see, None for NOT_FOUND."""
        try:
            return self.sessions.get(session_id, "root").state
        except Refusal:
            return None

    def listed(self, user: str = "root") -> list[str]:
        return [record.session_id for record in self.sessions.listed(user, 0, 1000)]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_an_id_has_the_form_and_length_of_the_real_ones(world: World) -> None:
    session_id = world.running()
    assert session_id.startswith("hosts/Server/")
    assert len(session_id) == 49
    world.switches = Switches(session_id="uuid")
    assert len(world.running()) == 36


@pytest.mark.parametrize(
    ("options", "limit_s"),
    [
        (live_clip(), 5 * MINUTE_S),
        (live_clip(30), 5 * MINUTE_S),
        (live_frame(), 30 * MINUTE_S),
        (clip(), 30 * MINUTE_S),
    ],
)
def test_a_running_export_that_nobody_asks_for_is_told_to_stop(world: World, options: Options, limit_s: float) -> None:
    session_id = world.running(options)
    world.clock.now_s += limit_s - 1
    world.sessions.sweep()
    assert world.sessions.record(session_id).stop_s is None
    end_s = world.clock.now_s + 1
    world.clock.now_s += 100
    world.sessions.sweep()
    assert world.sessions.record(session_id).stop_s == end_s
    assert world.state(session_id) == EState.S_RUNNING


def test_being_asked_for_keeps_a_running_export_alive(world: World) -> None:
    session_id = world.running(live_clip())
    for _ in range(10):
        world.clock.now_s += 4 * MINUTE_S
        world.sessions.touch(session_id)
        world.sessions.sweep()
    assert world.sessions.record(session_id).stop_s is None


def test_results_are_deleted_an_hour_after_completion(world: World) -> None:
    session_id = world.running()
    world.clock.now_s += 20 * MINUTE_S
    world.sessions.complete(world.sessions.record(session_id), 2000, (RESULT,))
    world.clock.now_s += HOUR_S - 1
    assert world.state(session_id) == EState.S_COMPLETED
    world.clock.now_s += 1
    assert world.state(session_id) is None
    assert world.listed() == []


def test_every_use_starts_the_hour_anew_and_listing_is_no_use(world: World) -> None:
    used, listed = world.completed(), world.completed()
    for _ in range(3):
        world.clock.now_s += HOUR_S / 2
        world.sessions.touch(used)
        world.listed()
    assert world.state(used) == EState.S_COMPLETED
    assert world.state(listed) is None


def test_expiry_needs_no_sweep(world: World) -> None:
    session_id = world.completed()
    world.clock.now_s += HOUR_S
    assert world.listed() == []
    assert world.sessions.is_gone(session_id)


def test_an_expired_session_may_be_removed_for_a_while(world: World) -> None:
    world.switches = Switches(removed_state_s=10)
    session_id = world.completed()
    world.clock.now_s += HOUR_S
    assert world.state(session_id) == EState.S_REMOVED
    assert world.listed() == [session_id]
    world.sessions.touch(session_id)
    world.clock.now_s += 10
    assert world.state(session_id) is None
    assert world.listed() == []


def test_a_destroyed_session_is_not_found(world: World) -> None:
    session_id = world.completed()
    world.sessions.destroy(session_id)
    assert world.state(session_id) is None
    assert world.listed() == []


def test_a_session_is_destroyed_once(world: World) -> None:
    session_id = world.completed()
    world.switches = Switches(destroyed_lingers_s=10)
    world.sessions.destroy(session_id)
    for gone in (session_id, "unknown"):
        with pytest.raises(Refusal, match="NOT_FOUND: There is no session"):
            world.sessions.destroy(gone)


def test_what_is_on_disk_is_for_its_owner_only(world: World) -> None:
    world.completed()
    assert {stat.S_IMODE(path.stat().st_mode) for path in world.directory.glob("sessions.sqlite*")} == {0o600}


def test_a_destroyed_session_may_linger_in_lists_only(world: World) -> None:
    world.switches = Switches(destroyed_lingers_s=10)
    session_id = world.completed()
    world.sessions.destroy(session_id)
    assert world.state(session_id) is None
    assert world.listed() == [session_id]
    world.clock.now_s += 10
    assert world.listed() == []


def test_an_export_that_fails_is_completed_without_success(world: World) -> None:
    session_id = world.running()
    world.sessions.complete(world.sessions.record(session_id), None, ())
    record = world.sessions.record(session_id)
    assert (record.state, record.succeeded, record.results) == (EState.S_COMPLETED, False, ())


def test_everybody_sees_everything_unless_a_switch_says_otherwise(world: World) -> None:
    own, other = world.running(), world.sessions.add(user="somebody")
    assert world.listed() == [own, other]
    world.switches = Switches(sessions_of_all=False)
    assert world.listed() == [own]
    assert world.state(other) is None


def test_a_list_begins_behind_a_session_and_ends_at_its_limit(world: World) -> None:
    ids = [world.completed() for _ in range(5)]
    second = world.sessions.record(ids[1]).sequence
    assert [record.session_id for record in world.sessions.listed("root", second, 2)] == ids[2:4]


def test_progress_and_results_of_a_running_export_are_seen(world: World) -> None:
    session_id = world.running()
    world.sessions.progress(session_id, 1_800_000_000_200, (RESULT,))
    seen = state_message(world.sessions.get(session_id, "root"), Switches())
    assert (seen.state, seen.last_frame_timestamp) == (EState.S_RUNNING, "20270115T080000.200000")
    assert not seen.HasField("result")
    partial = state_message(world.sessions.get(session_id, "root"), Switches(partial_result=True))
    assert [file.path for file in partial.result.files] == ["id-1"]
    assert not partial.result.succeeded


def test_switches_change_how_a_state_looks(world: World) -> None:
    running, completed = (world.sessions.record(session) for session in (world.running(), world.completed()))
    assert state_message(running, Switches(running_as=17)).state == 17
    file = state_message(completed, Switches(size_error=-1, mime_type="other", timestamp_digits=9)).result.files[0]
    assert (file.size, file.mime_type, file.min_timestamp) == (9_999, "video/mkv", "19700101T000001")
    exact = state_message(completed, Switches(timestamp_drops_zero=False, mime_type="empty")).result.files[0]
    assert (exact.min_timestamp, exact.mime_type) == ("19700101T000001.000000", "")


def test_sessions_results_and_timers_survive_a_restart(world: World) -> None:
    running, completed = world.running(live_clip(7)), world.completed()
    world.sessions.touch(completed)
    before = world.sessions.records()
    world.clock.now_s += 4 * MINUTE_S
    world.restart()
    assert world.sessions.records() == before
    assert world.sessions.record(running).options == live_clip(7)
    world.clock.now_s += MINUTE_S
    world.sessions.sweep()
    assert world.sessions.record(running).stop_s is not None
    world.clock.now_s += HOUR_S - 5 * MINUTE_S
    assert world.state(completed) is None
    world.restart()
    assert world.listed() == [running]


def test_a_new_session_never_takes_the_place_of_an_older_one(world: World) -> None:
    old = world.completed()
    world.restart()
    new = world.completed()
    assert world.sessions.record(new).sequence > world.sessions.record(old).sequence


def test_the_bytes_of_a_result_are_known_to_the_test(world: World) -> None:
    session_id = world.sessions.add(files=[RESULT])
    assert world.sessions.result_bytes(session_id, "id-1") == pattern(5, 0, 10_000)
    with pytest.raises(KeyError):
        world.sessions.result_bytes(session_id, "id-2")


def test_files_are_deleted_with_their_session(world: World) -> None:
    session_id = world.running()
    record = world.sessions.record(session_id)
    directory = world.store.directory_of(record)
    directory.mkdir(parents=True)
    (directory / "1.mkv").write_bytes(b"clip")
    stored = ResultFile(path="p", size=4, kind="mkv", stored="1.mkv")
    world.sessions.complete(record, None, (stored,))
    assert world.sessions.result_bytes(session_id, "p") == b"clip"
    world.sessions.destroy(session_id)
    assert not directory.exists()


def test_files_that_were_written_after_a_destroy_are_deleted_too(world: World) -> None:
    session_id = world.running()
    record = world.sessions.record(session_id)
    world.sessions.destroy(session_id)
    directory = world.store.directory_of(record)
    directory.mkdir(parents=True)
    world.sessions.complete(record, 2000, (RESULT,))
    assert not directory.exists()
    assert world.state(session_id) is None


def test_waiting_ends_with_the_state_or_with_the_time(world: World) -> None:
    session_id = world.completed()
    assert world.sessions.wait_for_state(session_id, EState.S_COMPLETED, 1).session_id == session_id
    with pytest.raises(TimeoutError, match="not in state"):
        world.sessions.wait_for_state(session_id, EState.S_REMOVED, 0.01)
    with pytest.raises(TimeoutError, match="still exists"):
        world.sessions.wait_until_gone(session_id, 0.01)
    world.sessions.destroy(session_id)
    world.sessions.wait_until_gone(session_id, 0.01)


def test_a_record_is_read_from_json_as_it_was_written(world: World) -> None:
    record: SessionRecord = world.sessions.record(world.completed())
    assert from_json(to_json(record)) == record

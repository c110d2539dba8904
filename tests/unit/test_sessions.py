import datetime as dt
import math

import pytest

from axxonfs.core import sessions
from axxonfs.core.sessions import Facts, Kind, State
from axxonfs.core.timers import Timers, scaled
from axxonfs.wire import export_pb2, export_service_pb2
from tests.unit import builders

NOW_S = 1_000_000.0
TIMERS = Timers()


def session(info: builders.SessionInfo) -> sessions.Session:
    return sessions.session_of(info)


RUNNING = session(builders.running())
LIVE = session(builders.running(options=builders.live_clip()))
COMPLETED = session(builders.completed())
LARGE = session(builders.completed("1", builders.file(size=3 << 20)))  # no look at its head fetches it whole


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (export_service_pb2.S_NONE, State.UNKNOWN),
        (export_service_pb2.S_RUNNING, State.RUNNING),
        (export_service_pb2.S_REMOVED, State.REMOVED),
        (17, State.UNKNOWN),
    ],
)
def test_the_state_is_one_of_five_words(number: export_service_pb2.EState.ValueType, state: State) -> None:
    info = builders.running()
    info.state.state = number
    assert session(info).state is state
    assert session(info).server_state == number


def test_completed_needs_success_and_a_result() -> None:
    assert COMPLETED.state is State.COMPLETED
    assert session(builders.completed(succeeded=False)).state is State.FAILED
    empty = builders.completed()
    del empty.state.result.files[:]
    assert session(empty).state is State.FAILED


@pytest.mark.parametrize(
    ("options", "kind", "form"),
    [
        (builders.archive_clip(), Kind.ARCHIVE_CLIP, "mp4"),
        (builders.live_clip(), Kind.LIVE_CLIP, "mkv"),
        (builders.frame(), Kind.ARCHIVE_FRAME, "jpeg"),
        (export_pb2.Options(), Kind.UNKNOWN, "mkv"),
    ],
)
def test_kind_and_format_follow_from_the_options(options: export_pb2.Options, kind: Kind, form: str) -> None:
    record = session(builders.running(options=options))
    assert (record.kind, record.form) == (kind, form)


def test_progress_is_where_the_last_frame_is() -> None:
    start = builders.START
    assert RUNNING.progress is None
    half = session(builders.running(last=start + dt.timedelta(minutes=2.5)))
    assert half.progress == pytest.approx(0.5)
    late = session(builders.running(last=start + dt.timedelta(minutes=50)))
    assert late.progress == 1.0
    assert COMPLETED.progress == 1.0
    assert LIVE.progress is None


def test_delivered_covers_all_results() -> None:
    early = builders.START - dt.timedelta(seconds=2)
    record = session(builders.completed("1", builders.file("a"), builders.file("b", start=early)))
    assert record.delivered == (early, builders.START + dt.timedelta(minutes=5))
    assert record.requested == (builders.START, builders.START + dt.timedelta(minutes=5))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"store_result_by_export_agent": True}, "agent"),
        ({"external_directory": "D:/out"}, "external directory"),
    ],
)
def test_results_that_stay_elsewhere_say_why(change: dict[str, object], words: str) -> None:
    options = builders.archive_clip()
    options.MergeFrom(export_pb2.Options(**change))  # type: ignore[arg-type]
    record = session(builders.completed(options=options))
    assert words in record.files[0].obstacle
    assert not sessions.unread(record, Facts())


def test_a_result_in_the_cloud_cannot_be_downloaded() -> None:
    file = builders.file()
    file.cloud_id = "x"
    assert "cloud" in session(builders.completed("1", file)).files[0].obstacle


@pytest.mark.parametrize(
    ("record", "facts", "why"),
    [
        (RUNNING, Facts(), ""),
        (RUNNING, Facts(own=True), "started here and running"),
        (RUNNING, Facts(own=True, going=True), ""),
        (RUNNING, Facts(own=True, released=True), ""),
        (COMPLETED, Facts(open_results=1), "a result is open"),
        (COMPLETED, Facts(keep_until_s=math.inf), "told to keep"),
        (COMPLETED, Facts(keep_until_s=NOW_S - 1), ""),
        (COMPLETED, Facts(own=True, finished_s=NOW_S), "started here and not read whole yet"),
        (COMPLETED, Facts(own=True, finished_s=NOW_S, read_whole={"id-1"}), "started here and not read whole yet"),
        (LARGE, Facts(own=True, finished_s=NOW_S), "started here and not read whole yet"),
        (LARGE, Facts(own=True, finished_s=NOW_S, read_whole={"id-1"}), ""),
        (COMPLETED, Facts(own=True, finished_s=NOW_S - 25 * 3600), ""),
    ],
)
def test_what_is_kept_alive_and_why(record: sessions.Session, facts: Facts, why: str) -> None:
    assert sessions.kept_because(record, facts, TIMERS, NOW_S) == why


@pytest.mark.parametrize(
    ("record", "cadence_s"),
    [(LIVE, TIMERS.keep_live_clip_s), (RUNNING, TIMERS.keep_running_s), (COMPLETED, TIMERS.keep_completed_s)],
)
def test_keep_alive_is_due_once_in_its_cadence(record: sessions.Session, cadence_s: float) -> None:
    facts = Facts(own=True, touched_s=NOW_S, finished_s=NOW_S)
    assert not sessions.keep_alive_due(record, facts, TIMERS, NOW_S + cadence_s - 1)
    assert sessions.keep_alive_due(record, facts, TIMERS, NOW_S + cadence_s)
    assert sessions.keep_alive_due(record, Facts(own=True), TIMERS, NOW_S)


@pytest.mark.parametrize("record", [LIVE, RUNNING, COMPLETED])
def test_a_clock_that_was_set_back_puts_no_keep_alive_off(record: sessions.Session) -> None:
    before_s = NOW_S + 3600
    touched = Facts(own=True, touched_s=before_s, asked_s=before_s, finished_s=before_s)
    assert sessions.keep_alive_due(record, touched, TIMERS, NOW_S)
    touched.asked_s = touched.touched_s = NOW_S
    assert not sessions.keep_alive_due(record, touched, TIMERS, NOW_S + 1)


def test_live_clips_are_asked_for_first_and_then_who_waits_longest() -> None:
    waiting = [(COMPLETED, 5.0), (RUNNING, 7.0), (COMPLETED, None), (LIVE, 9.0), (LIVE, 8.0)]
    ordered = sorted(waiting, key=lambda pair: sessions.keep_alive_order(pair[0], Facts(asked_s=pair[1]), TIMERS))
    assert ordered == [(LIVE, 8.0), (LIVE, 9.0), (RUNNING, 7.0), (COMPLETED, None), (COMPLETED, 5.0)]


def test_the_cadences_leave_room_for_lost_calls() -> None:
    assert TIMERS.live_clip_s / TIMERS.keep_live_clip_s >= 4
    assert TIMERS.running_s / TIMERS.keep_running_s >= 4
    assert TIMERS.completed_s / TIMERS.keep_completed_s >= 4


def test_one_factor_scales_the_whole_table() -> None:
    fast = scaled(60)
    assert (fast.live_clip_s, fast.poll_active_s, fast.completed_s) == (5.0, 2 / 60, 60.0)


@pytest.mark.parametrize(
    ("record", "facts", "at_s"),
    [
        (LIVE, Facts(started_s=NOW_S), NOW_S + 300),
        (RUNNING, Facts(started_s=NOW_S), NOW_S + 1800),
        (RUNNING, Facts(started_s=NOW_S, touched_s=NOW_S + 50), NOW_S + 1850),
        (COMPLETED, Facts(finished_s=NOW_S), NOW_S + 3600),
    ],
)
def test_expiry_counts_from_what_is_known(record: sessions.Session, facts: Facts, at_s: float) -> None:
    estimate = sessions.expiry(record, facts, TIMERS)
    assert estimate is not None
    assert estimate.at_s == at_s


def test_without_anything_to_count_from_there_is_no_estimate() -> None:
    assert sessions.expiry(RUNNING, Facts(), TIMERS) is None

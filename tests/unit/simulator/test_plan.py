from collections.abc import Callable

import pytest

from axxonfs.simulator.plan import is_live_clip
from axxonfs.simulator.refusal import Refusal
from axxonfs.simulator.switches import Switches
from axxonfs.wire.export_pb2 import FF_QUARTER, Options, SnapshotType, StreamType
from tests.unit.simulator.support import HOUR_MS, NOW_MS, archive, clip, frame, live_clip, live_frame, origin, plan

Change = Callable[[Options], object]


def test_a_clip_begins_at_the_key_frame_before_what_was_asked_for() -> None:
    made = plan(clip(NOW_MS - HOUR_MS + 1_700, NOW_MS - HOUR_MS + 9_900))
    assert made.begin_ms == NOW_MS - HOUR_MS + 1_500
    assert made.begin_ms % 2000 == 0
    assert made.end_ms == NOW_MS - HOUR_MS + 9_900


def test_a_frame_is_the_one_at_or_before_the_instant() -> None:
    made = plan(frame(NOW_MS - HOUR_MS + 1))
    assert made.still
    assert (made.begin_ms, made.end_ms) == (NOW_MS - HOUR_MS - 100, NOW_MS - HOUR_MS - 99)


def test_a_live_clip_runs_for_its_duration_or_until_stopped() -> None:
    assert plan(live_clip(30)).end_ms == NOW_MS + 30_000
    assert plan(live_clip()).end_ms is None
    assert plan(live_clip()).begin_ms == NOW_MS - 500


def test_a_live_frame_is_taken_now() -> None:
    assert plan(live_frame()).begin_ms == NOW_MS - 100


@pytest.mark.parametrize(
    ("begin_ms", "end_ms"),
    [
        (NOW_MS - 48 * HOUR_MS, NOW_MS - 47 * HOUR_MS),
        (NOW_MS + HOUR_MS, NOW_MS + 2 * HOUR_MS),
        (NOW_MS - 25 * HOUR_MS, NOW_MS - 24 * HOUR_MS),
    ],
)
def test_an_interval_without_recordings_is_an_export_without_result(begin_ms: int, end_ms: int) -> None:
    assert plan(clip(begin_ms, end_ms)).empty
    assert not plan(clip()).empty


def test_only_what_is_recorded_is_delivered() -> None:
    made = plan(clip(NOW_MS - 30 * HOUR_MS, NOW_MS + HOUR_MS))
    assert (made.begin_ms, made.end_ms) == (NOW_MS - 24 * HOUR_MS - 500, NOW_MS)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (StreamType.DEFAULT, "mkv"),
        (StreamType.MKV, "mkv"),
        (StreamType.AVI, "avi"),
        (StreamType.EXE, "exe"),
        (StreamType.MP4, "mp4"),
    ],
)
def test_clips_have_the_format_asked_for_and_matroska_by_default(kind: StreamType.EFormat.ValueType, name: str) -> None:
    assert plan(clip(kind=kind)).format == name


@pytest.mark.parametrize(
    ("kind", "name"), [(SnapshotType.DEFAULT, "jpeg"), (SnapshotType.JPEG, "jpeg"), (SnapshotType.PDF, "pdf")]
)
def test_frames_have_the_format_asked_for_and_jpeg_by_default(kind: SnapshotType.EFormat.ValueType, name: str) -> None:
    assert plan(frame(NOW_MS - HOUR_MS, kind)).format == name


def test_settings_change_the_plan() -> None:
    options = clip()
    options.stream.settings.add(frame_frequency=FF_QUARTER)
    options.stream.settings.add(password="x")
    options.stream.settings.add(reject_audio=True)
    options.settings.add(comment="seen")
    options.settings.add(timezone=-90)
    options.max_file_size = 1000
    options.archive.discrete = True
    made = plan(options)
    assert (made.step_ms, made.group_ms) == (800, 2400)
    assert (made.password, made.comment, made.timezone_min) == ("x", "seen", -90)
    assert (made.max_file_bytes, made.discrete) == (1000, True)


def test_a_time_lapse_takes_key_frames_only() -> None:
    options = clip()
    options.stream.settings.add().time_lapse.speed = 8
    assert (plan(options).step_ms, plan(options).speed) == (2000, 8.0)


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        (lambda options: setattr(options, "cloud_export", True), "cloud"),
        (lambda options: setattr(options, "external_directory", "//nas/x"), "external"),
        (lambda options: setattr(options, "store_result_by_export_agent", True), "by_agent"),
    ],
)
def test_results_may_be_kept_elsewhere(change: Change, kept: str) -> None:
    options = clip()
    change(options)
    assert plan(options).kept == kept


def test_a_password_is_not_shown_with_the_plan() -> None:
    options = clip()
    options.stream.settings.add(password="s3cr3t")
    assert "s3cr3t" not in repr(plan(options))


def _with(options: Options, change: Change) -> Options:
    change(options)
    return options


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (Options(), "mode is not set"),
        (archive(NOW_MS - 2, NOW_MS - 1), "Output type is not set"),
        (_with(clip(), lambda options: options.archive.ClearField("sources")), "Sources are not set"),
        (_with(clip(), lambda options: setattr(options.archive.sources[0], "origin", "")), "Empty access point"),
        (_with(clip(), lambda options: options.archive.sources[0].ClearField("storages")), "Storages are not set"),
        (_with(clip(), lambda options: setattr(options.archive, "end_timestamp", "")), "Bad timestamp"),
        (_with(clip(), lambda options: setattr(options.archive, "start_timestamp", "past")), "Bad timestamp"),
        (clip(NOW_MS - 1000, NOW_MS - 1000), "does not end after"),
        (_with(clip(), lambda options: setattr(options.stream, "format", 77)), "Unknown output format 77"),
        (live_clip(0), "Duration is not positive"),
    ],
)
def test_wrong_options_are_refused_in_a_sentence(options: Options, words: str) -> None:
    with pytest.raises(Refusal, match=f"INVALID_ARGUMENT: .*{words}"):
        plan(options)


@pytest.mark.parametrize(
    "access_point",
    [origin(99), "hosts/Server/DeviceIpint.1/SourceEndpoint.video:0:9", "1.Front door"],
)
def test_an_unknown_camera_cannot_be_resolved(access_point: str) -> None:
    options = _with(live_clip(), lambda options: setattr(options.live.sources[0], "origin", access_point))
    with pytest.raises(Refusal, match=f"INTERNAL: Can't resolve reference to {access_point}"):
        plan(options)


def test_an_archive_that_does_not_record_the_camera_cannot_be_resolved() -> None:
    with pytest.raises(Refusal, match="INTERNAL: Can't resolve reference to hosts/Server/Mult"):
        plan(clip(cameras=(8,)))


def test_an_unknown_agent_cannot_be_resolved_and_the_known_one_can() -> None:
    options = _with(
        clip(), lambda options: setattr(options, "export_agent_access_point", "hosts/Server/MMExportAgent.0")
    )
    assert plan(options) == plan(clip())
    options.export_agent_access_point = "hosts/Server/MMExportAgent.1"
    with pytest.raises(Refusal, match="INTERNAL: Can't resolve reference"):
        plan(options)


@pytest.mark.parametrize("status", ["UNAVAILABLE", "NOT_FOUND", "INTERNAL"])
def test_a_switch_takes_the_agent_away(status: str) -> None:
    with pytest.raises(Refusal, match=f"{status}: Export agent"):
        plan(clip(), Switches(no_agent=status))  # type: ignore[arg-type]  # a table of literals


def test_switches_let_bad_times_and_empty_storages_pass() -> None:
    options = _with(clip(), lambda options: setattr(options.archive, "start_timestamp", "past"))
    assert plan(options, Switches(bad_time="silent")).empty
    options = _with(clip(), lambda options: options.archive.sources[0].ClearField("storages"))
    assert not plan(options, Switches(empty_storages="accept")).empty


def test_the_agent_may_split_unasked() -> None:
    assert plan(clip()).max_file_bytes == 0
    assert plan(clip(), Switches(agent_file_limit=4 << 30)).max_file_bytes == 4 << 30


def test_only_live_clips_have_the_short_timer() -> None:
    assert [is_live_clip(options) for options in (live_clip(), live_frame(), clip())] == [True, False, False]

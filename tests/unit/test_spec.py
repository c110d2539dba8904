import contextlib
import datetime as dt
import json
import zoneinfo
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axxonfs.core import spec
from axxonfs.core.errors import SpecError
from axxonfs.core.schema import Spec
from axxonfs.wire import export_pb2
from tests.unit.wire_strategies import ALICE, CORAL, DOOR, GATE, OTHER_GATE, SITE

NOW = dt.datetime(2026, 11, 22, 10, 15, tzinfo=dt.UTC)
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
MARKER = "axxonfs-3f2a9c1d"

CLIP = {"camera": "1.Front door", "from": "2026-11-22T10:15:00+02:00", "to": "2026-11-22T10:20:00+02:00"}
FRAME = {"camera": "1.Front door", "at": "2026-11-22T10:15:00+02:00"}
LIVE = {"camera": "1.Front door", "live": True}


def resolve(
    document: dict[str, Any], timezone: zoneinfo.ZoneInfo | None = None, marker: str | None = None
) -> spec.Resolved:
    return spec.resolve(document, cameras=SITE, now=NOW, timezone=timezone, marker=marker)


def refusal(document: dict[str, Any], timezone: zoneinfo.ZoneInfo | None = None) -> SpecError:
    with pytest.raises(SpecError) as caught:
        resolve(document, timezone)
    return caught.value


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


# -- the four kinds --------------------------------------------------------------


def test_from_and_to_make_a_clip_from_the_default_archive() -> None:
    resolved = resolve(CLIP)
    expected = export_pb2.Options(stream=export_pb2.StreamType(format=export_pb2.StreamType.MKV))
    expected.archive.sources.add(origin=DOOR.access_point, storages=[ALICE.access_point])
    expected.archive.start_timestamp = "20261122T081500.000000"
    expected.archive.end_timestamp = "20261122T082000.000000"
    assert resolved.options == expected
    assert resolved.cameras == (DOOR,)
    assert resolved.requested == (utc("2026-11-22T08:15"), utc("2026-11-22T08:20"))
    assert not resolved.relative


def test_at_makes_a_frame_from_the_archive() -> None:
    resolved = resolve(FRAME)
    expected = export_pb2.Options(snapshot=export_pb2.SnapshotType(format=export_pb2.SnapshotType.JPEG))
    expected.archive.sources.add(origin=DOOR.access_point, storages=[ALICE.access_point])
    expected.archive.start_timestamp = "20261122T081500.000000"
    assert resolved.options == expected
    assert resolved.requested == (utc("2026-11-22T08:15"), utc("2026-11-22T08:15"))


def test_live_makes_a_clip_until_stopped() -> None:
    resolved = resolve(LIVE)
    expected = export_pb2.Options(stream=export_pb2.StreamType(format=export_pb2.StreamType.MKV))
    expected.live.sources.add(origin=DOOR.access_point)
    assert resolved.options == expected
    assert not resolved.options.live.HasField("duration")
    assert resolved.requested == (None, None)
    assert resolved.relative


def test_live_with_a_duration_makes_a_clip_of_that_length() -> None:
    options = resolve({**LIVE, "duration": "1m30.5s", "format": "mp4"}).options
    assert options.live.duration.ToTimedelta() == dt.timedelta(seconds=90.5)
    assert options.stream.format == export_pb2.StreamType.MP4


def test_live_with_an_image_format_makes_a_frame() -> None:
    options = resolve({**LIVE, "format": "jpeg"}).options
    assert options.WhichOneof("mode") == "live"
    assert options.snapshot.format == export_pb2.SnapshotType.JPEG


@pytest.mark.parametrize("word", ["mkv", "mp4", "avi", "exe"])
def test_each_format_of_clips_is_asked_for_by_its_name(word: str) -> None:
    options = resolve({**CLIP, "format": word}).options
    assert export_pb2.StreamType.EFormat.Name(options.stream.format) == word.upper()


@pytest.mark.parametrize("word", ["jpeg", "pdf"])
def test_each_format_of_frames_is_asked_for_by_its_name(word: str) -> None:
    options = resolve({**FRAME, "format": word}).options
    assert export_pb2.SnapshotType.EFormat.Name(options.snapshot.format) == word.upper()


# -- when ------------------------------------------------------------------------


def test_relative_instants_count_from_now() -> None:
    resolved = resolve({"camera": "1", "from": "-5m", "to": "now"})
    assert resolved.requested == (utc("2026-11-22T10:10"), utc("2026-11-22T10:15"))
    assert resolved.relative


@pytest.mark.parametrize(
    ("named", "given"), [("Europe/Berlin", None), (None, BERLIN), ("Europe/Berlin", zoneinfo.ZoneInfo("UTC"))]
)
def test_a_local_time_is_read_in_the_zone_of_the_spec_else_of_the_mount(
    named: str | None, given: zoneinfo.ZoneInfo | None
) -> None:
    document = {"camera": "1", "at": "2026-11-22T10:15:00", **({"timezone": named} if named else {})}
    assert resolve(document, given).requested[0] == utc("2026-11-22T09:15")


def test_a_local_time_without_zone_is_refused_with_the_offset_added() -> None:
    error = refusal({**FRAME, "at": "2026-11-22T10:15:00"})
    assert 'add it, as in "2026-11-22T10:15:00+02:00"' in str(error)
    assert error.path == "at"


def test_a_local_time_that_exists_twice_is_refused_with_both_instants() -> None:
    error = refusal({**FRAME, "at": "2026-10-25T02:30:00"}, BERLIN)
    assert 'write "2026-10-25T02:30:00+02:00" or "2026-10-25T02:30:00+01:00"' in str(error)


# -- which cameras ---------------------------------------------------------------


def test_several_cameras_make_one_export_with_one_storage_each() -> None:
    document = {**CLIP, "cameras": ["1", OTHER_GATE.access_point], "archive": "Coral"}
    del document["camera"]
    resolved = resolve(document)
    assert resolved.cameras == (DOOR, OTHER_GATE)
    assert [[*source.storages] for source in resolved.options.archive.sources] == [[CORAL.access_point]] * 2


def test_a_camera_may_say_more_and_then_counts_more_than_the_whole_spec() -> None:
    document = {
        **CLIP,
        "crop": {"right": 0.5},
        "text_color": "#00ff00",
        "cameras": ["1", {"name": GATE.access_point, "crop": {"left": 0.5}, "text_color": "#ff0000"}],
    }
    del document["camera"]
    options = resolve(document).options
    first, second = options.archive.sources
    assert first.settings[0].crop_area.right == 0.5
    assert second.settings[0].crop_area.left == 0.5
    assert second.settings[1].text_color.red == 1
    assert options.settings[0].text_color.green == 1


# -- raw options -----------------------------------------------------------------


def test_raw_options_alone_will_do() -> None:
    raw = {
        "archive": {
            "sources": [{"origin": "hosts/X/camera", "storages": ["hosts/X/archive"]}],
            "startTimestamp": "20261122T081500",
            "end_timestamp": "20261122T082000",
        },
        "stream": {"format": "AVI"},
    }
    resolved = resolve({"options": raw})
    assert resolved.options.archive.sources[0].origin == "hosts/X/camera"
    assert resolved.options.stream.format == export_pb2.StreamType.AVI
    assert resolved.cameras == ()
    assert resolved.requested == (utc("2026-11-22T08:15"), utc("2026-11-22T08:20"))


def test_raw_options_replace_fields_and_append_to_lists() -> None:
    raw = {
        "maxFileSize": "5",
        "settings": [{"burnSubtitle": True}],
        "archive": {"sources": [{"origin": "hosts/X/camera"}]},
    }
    options = resolve({**CLIP, "max_file_size": "1M", "comment": "x", "options": raw}).options
    assert options.max_file_size == 5
    assert [setting.WhichOneof("setting") for setting in options.settings] == ["comment", "burn_subtitle"]
    assert [source.origin for source in options.archive.sources] == [DOOR.access_point, "hosts/X/camera"]


def test_a_default_in_raw_options_replaces_as_well() -> None:
    assert resolve({**CLIP, "options": {"stream": {"format": "DEFAULT"}}}).options.stream.format == 0
    assert resolve({**CLIP, "options": {"stream": {}}}).options.stream.format == export_pb2.StreamType.MKV


@pytest.mark.parametrize(
    ("document", "keys"),
    [
        ({**CLIP, "options": {"live": {}}}, ("from", "options.live")),
        ({**FRAME, "options": {"stream": {}}}, ("at", "options.stream")),
        ({**LIVE, "options": {"archive": {}}}, ("live", "options.archive")),
        ({**CLIP, "format": "mp4", "options": {"snapshot": {}}}, ("from", "options.snapshot")),
        ({**CLIP, "options": {"live": {}, "archive": {}}}, ("options.live", "options.archive")),
        ({**CLIP, "comment": "x", "options": {"settings": [{"font": {}}, {"comment": "y"}]}},
         ("comment", "options.settings[1].comment")),
        ({**CLIP, "password": "x", "options": {"stream": {"settings": [{"password": "y"}]}}},
         ("password", "options.stream.settings[0].password")),
    ],
)  # fmt: skip
def test_two_values_for_one_choice_are_refused_with_both_keys(document: dict[str, Any], keys: tuple[str, str]) -> None:
    text = str(refusal(document))
    assert all(f'"{key}"' in text for key in keys)


# -- markers and secrets ---------------------------------------------------------


def test_the_marker_goes_into_the_file_name() -> None:
    options = resolve(CLIP, marker=MARKER).options
    assert spec.marker_of(options) == MARKER
    assert spec.same_export(options, resolve(CLIP, marker="axxonfs-other").options)
    assert spec.marker_of(resolve(CLIP).options) is None


@pytest.mark.parametrize(
    "more",
    [
        {"file_name": "door"},
        {"store_on_agent": True},
        {"external_directory": "D:\\Export"},
        {"cloud_export": True},
        {"options": {"settings": [{"file_name": "door"}]}},
        {"options": {"cloud_export": True}},
    ],
)
def test_a_marker_never_becomes_the_name_of_a_file_that_somebody_gets(more: dict[str, Any]) -> None:
    assert spec.marker_of(resolve({**CLIP, **more}, marker=MARKER).options) is None


@pytest.mark.parametrize("more", [{"password": "****"}, {"options": {"stream": {"settings": [{"password": "*"}]}}}])
def test_a_masked_password_has_to_be_typed_again(more: dict[str, Any]) -> None:
    assert "type the password again" in str(refusal({**CLIP, **more}))


@pytest.mark.parametrize(
    "document",
    [
        {**CLIP, "password": ["hush"]},
        {**CLIP, "password": {"hush": "hush"}},
        {**FRAME, "password": "hush"},
        {**CLIP, "options": {"stream": {"settings": [{"password": ["hush"]}]}}},
        {**CLIP, "options": {"stream": {"settings": [{"password": "hush", "video_codec": "VC_H265"}]}}},
    ],
)
def test_no_refusal_shows_a_secret(document: dict[str, Any]) -> None:
    error = refusal(document)
    assert "hush" not in str(error)
    assert error.__cause__ is None
    assert error.__context__ is None


# -- same exports ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({**CLIP}, True),
        ({**CLIP, "camera": "1"}, True),
        ({**CLIP, "from": "2026-11-22T08:15:00Z"}, True),
        ({**CLIP, "format": "mkv", "archive": "AliceBlue"}, True),
        ({**CLIP, "options": {"archive": {"startTimestamp": "20261122T081500"}}}, True),
        ({**CLIP, "options": {"settings": [{}]}}, True),
        ({**CLIP, "format": "mp4"}, False),
        ({**CLIP, "archive": "Coral"}, False),
        ({**CLIP, "to": "2026-11-22T08:20:00.000001Z"}, False),
        ({**CLIP, "comment": ""}, False),
    ],
)
def test_exports_are_the_same_if_they_ask_for_the_same(other: dict[str, Any], same: bool) -> None:  # noqa: FBT001 - expected
    assert spec.same_export(resolve(CLIP).options, resolve(other).options) is same


def test_the_order_of_settings_does_not_make_another_export() -> None:
    one, other = resolve({**CLIP, "comment": "x", "file_name": "y"}).options, resolve(CLIP).options
    other.settings.add(file_name="y")
    other.settings.add(comment="x")
    assert spec.same_export(one, other)
    other.settings.add(comment="z")
    assert not spec.same_export(one, other)


# -- first mistakes --------------------------------------------------------------

MISTAKES: list[tuple[dict[str, Any], str, str]] = [
    ({}, "", 'write "from" and "to" for a clip, "at" for a frame, or "live": true'),
    ({"camera": "1"}, "", 'write "from" and "to" for a clip'),
    ({"from": "-5m", "to": "now"}, "camera", '"camera" is missing: add it, as in "camera": "1.Front door"'),
    ({"camera": "1", "from": "-5m"}, "to", '"to" is missing'),
    ({"camera": "1", "to": "now"}, "from", '"from" is missing'),
    ({"camera": "1", "archive": "Coral"}, "from", '"from" is missing'),
    ({"camera": "1", "archive": "Coral", "format": "jpeg"}, "at", '"at" is missing'),
    ({**CLIP, "camera": "Front dor"}, "camera", 'there is no camera "Front dor": did you mean "1.Front door"'),
    ({**CLIP, "camera": "Gate"}, "camera", "may be several cameras"),
    ({**CLIP, "camera": 1}, "camera", 'must be a text in double quotes, as in "camera": "1.Front door"'),
    ({"camera": "4", "at": "now"}, "archive", 'camera "4.Bare" records to no archive'),
    ({**CLIP, "archive": "Alice"}, "archive", 'did you mean "AliceBlue"?'),
    ({**CLIP, "cameras": ["1"]}, "cameras", '"camera" and "cameras" both name cameras'),
    ({"cameras": [], "at": "now"}, "cameras", 'must have 1 items or more, as in "cameras": ['),
    ({"cameras": ["1", "9"], "at": "now"}, "cameras[1]", '"cameras[1]": there is no camera "9"'),
    ({"cameras": [{"archive": "Coral"}], "at": "now"}, "cameras[0].name", '"cameras[0].name": is missing'),
    ({"cameras": ["1", {"name": "1", "archive": "x"}], "at": "now"}, "cameras[1].archive", 'no archive "x"'),
    ({**CLIP, "start": "-5m"}, "start", 'there is no such key: did you mean "from"'),
    ({**CLIP, "fromat": "mp4"}, "fromat", 'did you mean "format"'),
    ({**CLIP, "Format": "mp4"}, "Format", 'did you mean "format"'),
    ({**CLIP, "reject_audio": True}, "reject_audio", 'did you mean "audio"'),
    ({**CLIP, "xyzzy": 1}, "xyzzy", "all keys are described in .axxonfs/spec.schema.json"),
    ({**CLIP, "crop": {"x": 0}}, "crop.x", 'write "left", "top", "right" or "bottom"'),
    ({**CLIP, "format": "mp5"}, "format", '"mp5" is not known: did you mean "mp4"?'),
    ({**CLIP, "format": "MP4"}, "format", 'did you mean "mp4"'),
    ({**CLIP, "format": "webm"}, "format", 'write "mkv", "mp4", "avi", "exe", "jpeg" or "pdf"'),
    (
        {**CLIP, "format": "jpeg"},
        "format",
        '"from" asks for a clip, but "format" for a frame: keep one of them, or write another "format"',
    ),
    ({**FRAME, "format": "mp4"}, "format", '"at" asks for a frame, but "format" for a clip'),
    ({**CLIP, "at": "now"}, "at", '"from" asks for a clip, but "at" for a frame'),
    ({**CLIP, "live": True}, "live", '"from" asks for recorded video, but "live" for live video'),
    ({**FRAME, "live": True}, "live", '"at" asks for recorded video, but "live" for live video'),
    ({**LIVE, "archive": "Coral"}, "archive", '"live" asks for live video, but "archive" for recorded video'),
    ({"camera": {"name": "1", "archive": "Coral"}, "live": True}, "camera.archive", '"camera.archive" for recorded'),
    ({**CLIP, "duration": "90s"}, "duration", '"from" asks for recorded video, but "duration" for live video'),
    ({"camera": "1", "duration": "90s"}, "duration", 'add "live": true'),
    ({**LIVE, "duration": "90s", "format": "jpeg"}, "format", '"duration" asks for a clip, but "format" for a frame'),
    ({**LIVE, "duration": 90}, "duration", 'must be a text in double quotes, as in "duration": "90s"'),
    ({**LIVE, "duration": "90"}, "duration", '"90" is not a duration: write it as in "90s"'),
    ({**LIVE, "duration": "0s"}, "duration", "must be longer than nothing"),
    ({**LIVE, "live": "yes"}, "live", 'must be true or false, without quotes, as in "live": true'),
    ({**CLIP, "to": CLIP["from"]}, "from", '"from" must be before "to": 2026-11-22T08:15:00Z is not before'),
    ({**CLIP, "from": "yesterday"}, "from", 'is not an instant: write it as in "2026-11-22T10:15:00+02:00"'),
    ({**CLIP, "from": 1700000000}, "from", "must be a text in double quotes"),
    ({**CLIP, "to": None}, "to", "null is no value: leave the key out, or give one"),
    ({**CLIP, "timezone": "Berlin"}, "timezone", 'did you mean "Europe/Berlin"?'),
    ({**CLIP, "max_file_size": "2GB"}, "max_file_size", 'units are binary and have one letter, write "2G"'),
    ({**CLIP, "max_file_size": 0}, "max_file_size", "must be greater than 0"),
    ({**CLIP, "password": ""}, "password", "must not be empty"),
    ({**FRAME, "password": "x"}, "password", '"at" asks for a frame, but "password" for a clip'),
    ({**CLIP, "pdf_layout": "portrait"}, "pdf_layout", '"from" asks for a clip, but "pdf_layout" for a frame'),
    ({**CLIP, "text_color": "red"}, "text_color", 'must have another form, as in "text_color": "#ffffff"'),
    ({**CLIP, "display_timezone": "Europe/Berlin"}, "display_timezone", 'as in "display_timezone": "+02:00"'),
    ({**CLIP, "crop": {"left": 50, "right": 100}}, "crop.left", "must be less than or equal to 1, as in"),
    ({**CLIP, "crop": {"left": 0.5, "right": 0.2}}, "crop", "left must be less than right"),
    ({**CLIP, "crop": [0, 0, 1, 1]}, "crop", 'must be an object, in { }, as in "crop": {"left": 0.25'),
    ({**CLIP, "masks": [[0, 0], [1, 1]]}, "masks[0][0]", "must be a list, in [ ], as in"),
    ({**CLIP, "masks": [[[0, 0], [1, 1]]]}, "masks[0]", "must have 3 items or more, as in"),
    ({**CLIP, "tracks": "hosts/x"}, "tracks", "must be a list, in [ ]"),
    ({**CLIP, "subtitles": {"show": ["time"]}}, "subtitles.mode", '"subtitles.mode": is missing'),
    ({**CLIP, "subtitles": {"mode": "soft", "show": ["time"]}}, "subtitles.show[0]", 'did you mean "timestamp"?'),
    ({**CLIP, "font": {"size": "12"}}, "font.size", "must be a number, without quotes"),
    ({**CLIP, "font": {"size": 1e39}}, "", "a number is too large for its field"),
    ({**CLIP, "time_lapse": {"fps": float("nan")}}, "time_lapse.fps", "must be a finite number"),
    ({**CLIP, "quality": "high"}, "quality", 'is not known: write "best", "fine"'),
    ({**CLIP, "options": []}, "options", "must be an object, in { }"),
    ({**CLIP, "options": {"setings": []}}, "options.setings", 'there is no such field: did you mean "settings"?'),
    ({**CLIP, "options": {"stream": {"format": "MP5"}}}, "options.stream.format", 'did you mean "MP4"?'),
    ({**CLIP, "options": {"max_file_size": "2G"}}, "options.max_file_size", "must be a whole number that fits"),
    ({"crop": {}, "options": {"live": {"sources": [{}]}}}, "crop", 'add the "camera" that it is about'),
    (
        {"camera": "1", "options": {"archive": {"start_timestamp": "2026-11-22T10:15:00Z"}, "snapshot": {}}},
        "options.archive.start_timestamp",
        'must be an instant in UTC, as in "20261122T081500.000000"',
    ),
]


@pytest.mark.parametrize(("document", "path", "says"), MISTAKES, ids=[f"{path}: {says}" for _, path, says in MISTAKES])
def test_a_first_mistake_is_refused_with_what_to_write_instead(document: dict[str, Any], path: str, says: str) -> None:
    error = refusal(document)
    assert says in str(error)
    assert error.path == path
    assert f'"{path}"' in str(error) or not path
    assert "Input should" not in str(error)


# -- anything --------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
likely_values: st.SearchStrategy[Any] = st.sampled_from(
    [
        "1",
        "now",
        "-5m",
        "",
        "mp4",
        "jpeg",
        "2026-11-22T10:15:00",
        "90s",
        "#ff0000",
        "****",
        True,
        0,
        1,
        0.5,
        {},
        [],
        None,
    ]
)
keys = st.sampled_from(Spec.names())


@settings(deadline=None)
@given(st.dictionaries(keys, likely_values | json_values, max_size=6))
def test_any_values_of_any_keys_resolve_or_are_refused(document: dict[str, Any]) -> None:
    with contextlib.suppress(SpecError):
        assert resolve(document, marker=MARKER).options.WhichOneof("mode")


raw_names = st.sampled_from(sorted({field.name for field in export_pb2.Options.DESCRIPTOR.fields}))


@settings(deadline=None)
@given(st.dictionaries(raw_names, json_values | likely_values, max_size=3), st.sampled_from([CLIP, FRAME, LIVE, {}]))
def test_any_raw_options_resolve_or_are_refused(raw: dict[str, Any], document: dict[str, Any]) -> None:
    with contextlib.suppress(SpecError):
        assert resolve({**document, "options": raw}, marker=MARKER).options.WhichOneof("mode")


@settings(deadline=None)
@given(st.binary(max_size=40), st.integers(0, 200), st.sampled_from([CLIP, FRAME, LIVE]))
def test_any_bytes_are_an_export_or_refused(noise: bytes, place: int, document: dict[str, Any]) -> None:
    text = json.dumps(document).encode()
    place = min(place, len(text))
    with contextlib.suppress(SpecError):
        resolved = resolve(spec.parse_document(text[:place] + noise + text[place:]))
        assert resolved.options.WhichOneof("mode")


@pytest.mark.parametrize("key", [*Spec.names(), "options.max_file_size", "options.stream"])
def test_a_deeply_nested_value_is_refused(key: str) -> None:
    document: dict[str, Any] = {**CLIP}
    nested: Any = []
    for _ in range(900):
        nested = [nested]
    for step in reversed(key.split(".")):
        nested = {step: nested}
    document |= nested
    assert f'"{key}' in str(refusal(document))

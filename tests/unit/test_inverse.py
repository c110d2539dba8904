import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import HealthCheck, example, given, settings

from axxonfs.core import inverse, spec
from axxonfs.core.errors import SpecError
from axxonfs.wire import export_pb2
from tests.unit.wire_strategies import ALICE, BARE, DOOR, GATE, SITE, TWIN, exports, messages

NOW = dt.datetime(2026, 11, 22, 10, 15, tzinfo=dt.UTC)
TYPED = "typed again"
MKV, MP4 = export_pb2.StreamType.MKV, export_pb2.StreamType.MP4


def resolve(document: dict[str, Any]) -> export_pb2.Options:
    return spec.resolve(document, cameras=SITE, now=NOW, timezone=None).options


def empty_filter() -> export_pb2.Options:
    """Return an export with a filter that has no name and nothing in it, which is not the same as none."""
    options = export_pb2.Options(snapshot=export_pb2.SnapshotType())
    source = options.archive.sources.add(origin=DOOR.access_point, storages=[ALICE.access_point])
    source.mask_filter[""].SetInParent()
    options.archive.start_timestamp = "20000101T000000.000000"
    return options


def largest_float() -> export_pb2.Options:
    """Protobuf's JSON writes it rounded up, and refuses what it wrote."""
    options = export_pb2.Options()
    options.archive.sources.add()
    options.archive.start_timestamp, options.archive.end_timestamp = "20000101T000000", "20000101T000001"
    options.snapshot.settings.add().snapshot_place.bottom = 3.4028234663852886e38
    return options


def typed(value: Any) -> Any:
    """Type the password wherever its mask stands."""
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    return TYPED if value == inverse.MASK else value


def with_typed_password(options: export_pb2.Options) -> export_pb2.Options:
    copy = export_pb2.Options()
    copy.CopyFrom(options)
    for setting in copy.stream.settings if copy.HasField("stream") else ():
        if setting.password:
            setting.password = TYPED
    return copy


@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], deadline=None)
@example(largest_float())
@example(empty_filter())
@given(exports())
def test_the_spec_of_any_export_starts_the_same_export_again(options: export_pb2.Options) -> None:
    document = spec.spec_from_options(options, cameras=SITE)
    again = resolve(typed(document))
    assert spec.same_export(again, with_typed_password(options)), document


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(messages(export_pb2.Options.DESCRIPTOR))
def test_whatever_a_server_sends_becomes_some_spec_without_secrets(options: Any) -> None:
    for setting in options.stream.settings if options.HasField("stream") else ():
        if setting.password:
            setting.password = "a secret that nobody sees"
    text = json.dumps(spec.spec_from_options(options, cameras=SITE))
    assert "a secret" not in text


def archive_clip(
    form: export_pb2.StreamType.EFormat.ValueType, *stream_settings: export_pb2.StreamSetting
) -> export_pb2.Options:
    stream = export_pb2.StreamType(format=form, settings=stream_settings)
    options = export_pb2.Options(stream=stream)
    options.archive.sources.add(origin=DOOR.access_point, storages=[ALICE.access_point])
    options.archive.start_timestamp = "20261122T081500.000000"
    options.archive.end_timestamp = "20261122T082000.500000"
    return options


def test_a_plain_clip_is_said_in_words() -> None:
    options = archive_clip(MP4)
    options.settings.add(comment="case 4711")
    options.settings.add(file_name="axxonfs-3f2a9c1d")
    assert spec.spec_from_options(options, cameras=SITE) == {
        "camera": "1.Front door",
        "archive": "AliceBlue",
        "from": "2026-11-22T08:15:00Z",
        "to": "2026-11-22T08:20:00.500000Z",
        "format": "mp4",
        "comment": "case 4711",
    }


def test_cameras_that_differ_are_said_one_by_one() -> None:
    options = archive_clip(MKV)
    second = options.archive.sources.add(origin=GATE.access_point, storages=[TWIN.access_point])
    second.settings.add(text_color=export_pb2.ColorInfo(red=1, alpha=1))
    document = spec.spec_from_options(options, cameras=SITE)
    assert document["cameras"] == [
        {"name": "1.Front door", "archive": "AliceBlue"},
        # Its label and the name of its archive would each fit two.
        {"name": GATE.access_point, "archive": TWIN.access_point, "text_color": "#ff0000"},
    ]
    assert "options" not in document


def test_a_live_clip_is_said_in_words() -> None:
    options = export_pb2.Options(stream=export_pb2.StreamType(format=MKV))
    options.live.sources.add(origin=DOOR.access_point)
    options.live.duration.FromTimedelta(dt.timedelta(seconds=90))
    document = spec.spec_from_options(options, cameras=SITE)
    assert document == {"camera": "1.Front door", "live": True, "duration": "1m30s", "format": "mkv"}


def test_cameras_of_which_nothing_more_is_said_are_names_alone() -> None:
    options = export_pb2.Options(stream=export_pb2.StreamType(format=MKV))
    options.live.sources.add(origin=DOOR.access_point)
    options.live.sources.add(origin=BARE.access_point)
    assert spec.spec_from_options(options, cameras=SITE)["cameras"] == ["1.Front door", "4.Bare"]


def test_a_camera_of_which_not_all_can_be_said_stays_raw_as_a_whole() -> None:
    options = archive_clip(MKV)
    (source,) = options.archive.sources
    source.settings.add(mask_detector="detector")
    source.mask_filter["detector"].allow = True
    document = spec.spec_from_options(options, cameras=SITE)
    assert "camera" not in document
    assert resolve(document) == options


def test_a_password_has_to_be_typed_again() -> None:
    options = archive_clip(MKV, export_pb2.StreamSetting(password="hush"))
    document = spec.spec_from_options(options, cameras=SITE)
    assert document["password"] == inverse.MASK
    with pytest.raises(SpecError, match="type the password again"):
        resolve(document)


def test_a_camera_that_is_not_known_stays_raw() -> None:
    document = spec.spec_from_options(archive_clip(MKV), cameras=())
    assert document["options"]["archive"]["sources"] == [
        {"origin": DOOR.access_point, "storages": [ALICE.access_point]}
    ]
    assert "camera" not in document


def test_options_that_are_none_become_an_empty_spec() -> None:
    assert spec.spec_from_options(export_pb2.Options(), cameras=SITE) == {}


def test_a_duration_that_is_none_is_left_out() -> None:
    options = export_pb2.Options(live=export_pb2.LiveMode(), max_file_size=1024)
    options.live.duration.seconds, options.live.duration.nanos = 1, -1
    assert spec.spec_from_options(options, cameras=SITE) == {"live": True, "max_file_size": 1024}


# Every field, member of a choice and value of an enumeration, each in a message of its own.
# What is only right as a whole is set as a whole.
SAMPLES: dict[str, dict[str, Any]] = {
    "ViewArea": {"left": 0.25, "top": 0.25, "right": 0.75, "bottom": 0.75},
    "MaskSpace": {"space": [{"points": [{"x": 0.1, "y": 0.2}, {"x": 0.3, "y": 0.4}, {"x": 0.5, "y": 0.6}]}]},
    "Duration": {"seconds": 90},
    "TimeRange": {"begin_time": "20261122T081500.000000", "end_time": "20261122T081600.000000"},
    "TrackFilter": {"allow": True, "tracks": [7]},
}
INSTANTS = {"start_timestamp": "20261122T081500.000000", "end_timestamp": "20261122T082000.000000"}
SCALARS: dict[int, Any] = {
    FieldDescriptor.TYPE_BOOL: True,
    FieldDescriptor.TYPE_BYTES: b"\xff",
    FieldDescriptor.TYPE_FLOAT: 1.0,
    FieldDescriptor.TYPE_DOUBLE: 1.0,
    FieldDescriptor.TYPE_INT32: 60,
    FieldDescriptor.TYPE_UINT64: 1024,
    FieldDescriptor.TYPE_STRING: "text",
}


def variants(descriptor: Descriptor | None, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield messages as nested values, each with one thing set, named by its path."""
    assert descriptor is not None
    if descriptor.name in SAMPLES:
        yield path, SAMPLES[descriptor.name]
        return
    for field in descriptor.fields:
        for name, value in _field_variants(field, f"{path}.{field.name}".removeprefix(".")):
            yield name, {field.name: [value] if field.is_repeated and not isinstance(value, Map) else value}


class Map(dict[str, Any]):
    """The value of a map field."""


def _field_variants(field: FieldDescriptor, path: str) -> Iterator[tuple[str, Any]]:
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        yield from ((name, Map(key=value)) for name, value in variants(entry.fields[1].message_type, path))
    elif entry is not None:
        yield from variants(entry, path)
    elif field.enum_type is not None:
        yield from ((f"{path}={value.name}", value.number) for value in field.enum_type.values)
    else:
        yield path, INSTANTS.get(field.name, SCALARS[field.type])


def completed(path: str, values: dict[str, Any]) -> export_pb2.Options:
    """Add what every export has."""
    options = export_pb2.Options(**values)
    mode = options.live if options.HasField("live") else options.archive
    if not mode.sources:
        mode.sources.add()
    source = mode.sources[0]
    source.origin = source.origin or DOOR.access_point
    if options.HasField("archive"):
        options.archive.sources[0].storages[:] = options.archive.sources[0].storages or [ALICE.access_point]
        options.archive.start_timestamp = INSTANTS["start_timestamp"]
        if not options.HasField("snapshot"):
            options.archive.end_timestamp = INSTANTS["end_timestamp"]
    if options.HasField("snapshot") and path != "snapshot.format=DEFAULT":
        options.snapshot.format = options.snapshot.format or export_pb2.SnapshotType.JPEG
    if not options.HasField("snapshot") and path != "stream.format=DEFAULT":
        options.stream.format = options.stream.format or MKV
    return options


VARIANTS = dict(variants(export_pb2.Options.DESCRIPTOR))
# What has no key, and is said in `options`. A new field of the wire is added here or gets a key.
RAW_ONLY = {
    "settings.burn_subtitle",  # deprecated
    "stream.format=DEFAULT",
    "snapshot.format=DEFAULT",
    "snapshot.settings.snapshot.timestamp",
    "snapshot.settings.snapshot.image",
    "archive.timeline_mask",
    "archive.sources.timeline_mask",
    "archive.sources.mask_filter",
    # Of cameras and archives that are not known:
    "archive.sources.origin",
    "archive.sources.storages",
    "live.sources.origin",
}


@pytest.mark.parametrize(("path", "values"), VARIANTS.items(), ids=VARIANTS.keys())
def test_every_field_and_choice_and_value_can_be_said_in_a_spec(path: str, values: dict[str, Any]) -> None:
    options = completed(path, values)
    document = spec.spec_from_options(options, cameras=SITE)
    assert spec.same_export(resolve(typed(document)), with_typed_password(options))
    assert ("options" in document) == (path in RAW_ONLY)

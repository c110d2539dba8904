"""Random messages of the wire, drawn from their descriptors."""

import datetime as dt
import math
from collections.abc import Callable
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

from axxonfs.core import instants
from axxonfs.core.cameras import Archive, Camera
from axxonfs.wire import export_pb2

ALICE = Archive("AliceBlue", "hosts/Server/MultimediaStorage.AliceBlue/MultimediaStorage", default=True)
CORAL = Archive("Coral", "hosts/Server/MultimediaStorage.Coral/MultimediaStorage")
TWIN = Archive("AliceBlue", "hosts/Second/MultimediaStorage.AliceBlue/MultimediaStorage")


def _camera(number: int, name: str, *archives: Archive, node: str = "Server") -> Camera:
    access_point = f"hosts/{node}/DeviceIpint.{number}/SourceEndpoint.video:0:0"
    return Camera(access_point, str(number), name, node, archives)


DOOR = _camera(1, "Front door", CORAL, ALICE)
GATE = _camera(2, "Gate", ALICE, TWIN)
OTHER_GATE = _camera(2, "Gate", CORAL, node="Second")
BARE = _camera(4, "Bare")
SITE = (DOOR, GATE, OTHER_GATE, BARE)

_NAN = st.just(math.nan)  # JSON knows one only, whatever its sign and payload


_SCALARS: dict[int, Callable[[], st.SearchStrategy[Any]]] = {
    FieldDescriptor.TYPE_BOOL: st.booleans,
    FieldDescriptor.TYPE_BYTES: lambda: st.binary(max_size=5),
    FieldDescriptor.TYPE_DOUBLE: lambda: st.floats(allow_nan=False) | _NAN,
    FieldDescriptor.TYPE_FLOAT: lambda: (
        st.floats(width=32, allow_nan=False) | _NAN | st.sampled_from([0.25, 0.5, 1.0, 26 / 255])
    ),
    FieldDescriptor.TYPE_INT32: lambda: st.integers(-(2**31), 2**31 - 1) | st.integers(-720, 720),
    FieldDescriptor.TYPE_INT64: lambda: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_STRING: lambda: st.text(max_size=5),
    FieldDescriptor.TYPE_UINT32: lambda: st.integers(0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: lambda: st.integers(0, 2**64 - 1),
}


def _values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.message_type is not None:
        if field.message_type.full_name == "google.protobuf.Duration":
            return st.timedeltas(min_value=dt.timedelta(days=-1), max_value=dt.timedelta(days=999_999))
        return messages(field.message_type)
    if field.enum_type is not None:
        return st.sampled_from([value.number for value in field.enum_type.values]) | st.just(99)
    return _SCALARS[field.type]()


def _set(message: Message, field: FieldDescriptor, draw: st.DrawFn) -> None:
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        for key, value in draw(
            st.dictionaries(st.text(max_size=3), messages(entry.fields[1].message_type), max_size=2)
        ).items():
            getattr(message, field.name)[key].CopyFrom(value)
    elif field.is_repeated:
        getattr(message, field.name).extend(draw(st.lists(_values(field), max_size=3)))
    elif entry is not None and entry.full_name == "google.protobuf.Duration":
        getattr(message, field.name).FromTimedelta(draw(_values(field)))
    elif entry is not None:
        getattr(message, field.name).CopyFrom(draw(_values(field)))
    else:
        setattr(message, field.name, draw(_values(field)))


@st.composite
def messages(draw: st.DrawFn, descriptor: Descriptor | None) -> Message:
    """Any message of this type, its fields set or not, one of each choice."""
    assert descriptor is not None  # as the stubs of protobuf would allow
    message = message_factory.GetMessageClass(descriptor)()
    choices = [draw(st.none() | st.sampled_from(list(choice.fields))) for choice in descriptor.oneofs]
    plain = [field for field in descriptor.fields if field.containing_oneof is None and draw(st.booleans())]
    for field in (*plain, *(field for field in choices if field is not None)):
        _set(message, field, draw)
    return message


wire_instants = st.datetimes(min_value=dt.datetime(1900, 1, 1), timezones=st.just(dt.UTC)).map(instants.format_wire)  # noqa: DTZ001 - hypothesis adds the zone
# As servers write it: without fraction, with six digits, with nine.
_spellings = st.sampled_from([lambda text: text, lambda text: text[:15], lambda text: text + "000"])


@st.composite
def exports(draw: st.DrawFn) -> export_pb2.Options:
    """Any options that a server may have accepted: a mode with a source, an output, an interval."""
    options = draw(messages(export_pb2.Options.DESCRIPTOR))
    assert isinstance(options, export_pb2.Options)
    mode = options.live if draw(st.booleans()) else options.archive
    mode.SetInParent()
    output = options.stream if draw(st.booleans()) else options.snapshot
    output.SetInParent()
    if not mode.sources:
        mode.sources.add()
    for source in mode.sources:
        if draw(st.booleans()):
            _use_camera(source, draw)
    if options.HasField("archive"):
        start, end = sorted(
            draw(st.tuples(wire_instants, wire_instants).filter(lambda pair: pair[0][:15] != pair[1][:15]))
        )
        options.archive.start_timestamp = draw(_spellings)(start)
        options.archive.end_timestamp = draw(_spellings)(end)
    return options


def _use_camera(source: Any, draw: st.DrawFn) -> None:
    camera = draw(st.sampled_from(SITE))
    source.origin = camera.access_point
    if isinstance(source, export_pb2.ArchiveMode.Source):
        del source.storages[:]
        source.storages.extend(draw(st.sampled_from([[archive.access_point] for archive in camera.archives] or [[]])))
        if draw(st.booleans()):
            del source.timeline_mask[:]
            source.mask_filter.clear()

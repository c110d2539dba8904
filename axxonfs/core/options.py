"""Raw export options: protobuf's JSON form to messages and back, merged, and compared.

Decides what the key `options` of a spec may hold, how it is laid over what the
other keys say, and when two exports are the same. A "form" is protobuf's JSON with
the field names of the wire. Pure; imports the wire's messages, instants, the
domain errors and the words of error texts. Facts: sections 1.2 and 3 of the wire
contract.
"""

import math
from collections.abc import Iterator
from typing import Any, cast

from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from axxonfs.core import instants, words
from axxonfs.core.errors import SpecError
from axxonfs.wire import export_pb2

MARKER_PREFIX = "axxonfs-"
_OPTIONS = export_pb2.Options.DESCRIPTOR
_DURATION = "google.protobuf.Duration"
_EXPECTED = {
    FieldDescriptor.TYPE_STRING: "a text in double quotes",
    FieldDescriptor.TYPE_BYTES: "bytes in base64, in double quotes",
    FieldDescriptor.TYPE_BOOL: "true or false, without quotes",
    FieldDescriptor.TYPE_FLOAT: "a number that fits",
    FieldDescriptor.TYPE_DOUBLE: "a number that fits",
    FieldDescriptor.TYPE_MESSAGE: 'a duration in seconds, as in "90s"',
}
# The largest float of 32 bits, and how protobuf's JSON writes it: larger than any, and so refused when it is read.
_LARGEST_FLOAT, _LARGEST_ROUNDED = 2.0**128 - 2.0**104, 3.4028235e38

Form = dict[str, Any]


def read_form(raw: object, descriptor: Descriptor = _OPTIONS, path: str = "options") -> Form:
    """Return raw options with the field names of the wire, every key and value checked.

    Raises:
        SpecError: for the first thing that is wrong; `path` leads to it.
    """
    if not isinstance(raw, dict):
        raise SpecError(f"{words.quote(path)}: must be an object, in {{ }}", path)
    fields = _fields_of(descriptor)
    form: Form = {}
    for key, value in raw.items():
        where = f"{path}.{key}"
        field = fields.get(key)
        if field is None:
            hint = words.suggestion(key, [field.name for field in descriptor.fields])
            raise SpecError(f"{words.quote(where)}: there is no such field: {hint}", where)
        if field.name in form:
            raise SpecError(f"{words.quote(where)}: this field stands twice, under both of its names", where)
        if value is not None:  # null is the default
            form[field.name] = _read_field(value, field, where)
    _check_choices(form, descriptor, path)
    return form


def _fields_of(descriptor: Descriptor) -> dict[str, FieldDescriptor]:
    return {**descriptor.fields_by_name, **descriptor.fields_by_camelcase_name}


def _read_field(value: object, field: FieldDescriptor, path: str) -> object:
    entry = field.message_type
    if entry is not None and entry.GetOptions().map_entry:
        if not isinstance(value, dict):
            raise SpecError(f"{words.quote(path)}: must be an object, in {{ }}", path)
        inner = entry.fields_by_name["value"]
        return {key: _read_single(item, inner, f"{path}.{key}") for key, item in value.items()}
    if field.is_repeated:
        if not isinstance(value, list):
            raise SpecError(f"{words.quote(path)}: must be a list, in [ ]", path)
        return [_read_single(item, field, f"{path}[{index}]") for index, item in enumerate(value)]
    return _read_single(value, field, path)


def _read_single(value: object, field: FieldDescriptor, path: str) -> object:
    if field.message_type is not None and field.message_type.full_name != _DURATION:
        return read_form(value, field.message_type, path)
    holder = message_factory.GetMessageClass(field.containing_type)()  # type: ignore[arg-type] # it has one
    try:
        json_format.ParseDict({field.name: [value] if field.is_repeated else value}, holder)
    except json_format.ParseError:
        error = SpecError(f"{words.quote(path)}: {_expectation(field, value)}", path)
    else:
        return value
    raise error  # without its cause: that one repeats the value, be it a secret


def _expectation(field: FieldDescriptor, value: object) -> str:
    if field.enum_type is not None:
        return f"{words.quote(value)} is not known: {words.suggestion(str(value), field.enum_type.values_by_name)}"
    return f"must be {_EXPECTED.get(field.type, 'a whole number that fits')}"


def _check_choices(form: Form, descriptor: Descriptor, path: str) -> None:
    for choice in descriptor.oneofs:
        given = [field.name for field in choice.fields if field.name in form]
        if len(given) > 1:
            both = f'"{path}.{given[0]}" and "{path}.{given[1]}"'
            raise SpecError(f"{both} are two values for one choice: keep one of them", f"{path}.{given[1]}")


def merged(form: Form, over: Form) -> Form:
    """Return `form` with `over` laid upon it: fields are replaced, lists are appended to."""
    result = dict(form)
    for name, value in over.items():
        result[name] = _merged_value(result[name], value) if name in result else value
    return result


def _merged_value(value: Any, over: Any) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, dict) and isinstance(over, dict):
        return merged(value, over)
    if isinstance(value, list) and isinstance(over, list):
        return [*value, *over]
    return over


def build(form: Form) -> export_pb2.Options:
    """Return the message of a form.

    Raises:
        SpecError: a value does not fit its field.
    """
    try:
        return json_format.ParseDict(form, export_pb2.Options())
    except json_format.ParseError:
        error = SpecError("a number is too large for its field")
    raise error  # as above


def form_of(options: export_pb2.Options) -> Form:
    """Return the form of a message; unknown fields and a duration that is none are left out."""
    try:
        form = json_format.MessageToDict(options, preserving_proto_field_name=True)
    except json_format.SerializeToJsonError:
        valid = export_pb2.Options()
        valid.CopyFrom(options)
        valid.live.ClearField("duration")
        form = json_format.MessageToDict(valid, preserving_proto_field_name=True)
    return cast("Form", _readable(form))


def _readable(value: object) -> object:
    """Return a value of a form as protobuf reads it again: it rounds the largest float up, and then refuses it."""
    match value:
        case dict():
            return {key: _readable(item) for key, item in value.items()}
        case list():
            return [_readable(item) for item in value]
        case float() if abs(value) == _LARGEST_ROUNDED:
            return math.copysign(_LARGEST_FLOAT, value)
        case _:
            return value


def settings_of(form: Form) -> list[Form]:
    """Return all wrappers of a form whose settings may hold a secret or the marker."""
    return [*form.get("settings", ()), *form.get("stream", {}).get("settings", ())]


def marker_of(options: export_pb2.Options) -> str | None:
    """Return the marker by which a mount knows its own session again, if there is one."""
    return next((setting.file_name for setting in options.settings if _is_marker(setting)), None)


def file_name_of(options: export_pb2.Options) -> str | None:
    """Return the setting that a marker stands in, whoever set it; None where it is not set."""
    named = (setting.file_name for setting in options.settings if setting.HasField("file_name"))
    return next(named, None)


def without_marker(options: export_pb2.Options) -> export_pb2.Options:
    """Return a copy without markers."""
    copy = export_pb2.Options()
    copy.CopyFrom(options)
    del copy.settings[:]
    copy.settings.extend(setting for setting in options.settings if not _is_marker(setting))
    return copy


def _is_marker(setting: export_pb2.CommonSetting) -> bool:
    return setting.file_name.startswith(MARKER_PREFIX)


_WHOLE_SECONDS = len("YYYYMMDDTHHMMSS")


def same_export(one: export_pb2.Options, other: export_pb2.Options) -> bool:
    """Whether both ask for the same, whatever their markers, the order of settings and the digits of instants."""
    # Cheap, and true of nearly all pairs: who compares one export with thousands holds up everything else.
    if one.archive.start_timestamp[:_WHOLE_SECONDS] != other.archive.start_timestamp[:_WHOLE_SECONDS]:
        return False
    return _canonical(one) == _canonical(other)


def _canonical(options: export_pb2.Options) -> bytes:
    """Return bytes that are equal for equal exports; bytes, because a NaN equals itself in them."""
    copy = without_marker(options)
    copy.DiscardUnknownFields()
    for settings in _settings_lists(copy):
        ordered = sorted((setting for setting in settings if setting.WhichOneof("setting")), key=_setting_number)
        del settings[:]
        settings.extend(ordered)
    for name in ("start_timestamp", "end_timestamp"):
        _normalize_instant(copy, name)
    return copy.SerializeToString(deterministic=True)


def _settings_lists(options: export_pb2.Options) -> Iterator[Any]:
    yield options.settings
    for part in ("stream", "snapshot"):
        if options.HasField(part):
            yield getattr(options, part).settings
    for mode in ("live", "archive"):
        if options.HasField(mode):
            yield from (source.settings for source in getattr(options, mode).sources)


def _setting_number(setting: Message) -> int:
    return setting.DESCRIPTOR.fields_by_name[setting.WhichOneof("setting") or ""].number


def _normalize_instant(options: export_pb2.Options, name: str) -> None:
    """Write an instant with six digits: a server may drop the zeros. What is finer than that stays as it is."""
    text = getattr(options.archive, name) if options.HasField("archive") else ""
    instant = instants.parse_wire(text)
    if instant is not None and len(text) <= len("YYYYMMDDTHHMMSS.ffffff"):
        setattr(options.archive, name, instants.format_wire(instant))


def secrets_in(options: export_pb2.Options) -> list[str]:
    """Return the passwords among the options."""
    return [setting.password for setting in _passwords(options)]


def has_secret(options: export_pb2.Options) -> bool:
    """Whether there is a password among the settings, be it taken out by `without_secrets`."""
    return any(True for _ in _passwords(options))


def without_secrets(options: export_pb2.Options) -> export_pb2.Options:
    """Return a copy with empty passwords, for whatever outlives the start of an export."""
    copy = export_pb2.Options()
    copy.CopyFrom(options)
    for setting in _passwords(copy):
        setting.password = ""
    return copy


def _passwords(options: export_pb2.Options) -> list[export_pb2.StreamSetting]:
    settings = options.stream.settings if options.HasField("stream") else ()
    return [setting for setting in settings if setting.WhichOneof("setting") == "password"]

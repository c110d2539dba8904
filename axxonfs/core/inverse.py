"""From export options back to a spec that would start the same export again, without secrets.

Decides which keys say what a server reports. A key is used where it says exactly
what the options hold; all else stays raw, so that nothing is lost on the way.
Never fails, whatever a server sends. Pure; imports the wire's messages and its
neighbours in `core`.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Any

from google.protobuf import json_format

from axxonfs.core import fields, instants, options
from axxonfs.core.cameras import Archive, Camera, find_archive, find_camera
from axxonfs.core.errors import SpecError
from axxonfs.core.fields import Keys, Wire
from axxonfs.core.options import Form
from axxonfs.core.schema import OUTPUT_OF_FORMAT, CameraKeys, PerCamera, Spec
from axxonfs.wire import export_pb2

MASK = "********"  # of one length for all: the length of a password is not shown


def spec_from_options(message: export_pb2.Options, *, cameras: Sequence[Camera]) -> dict[str, Any]:
    """Return a spec for these options. A password is masked, so that whoever submits the spec has to type it.

    Args:
        message: as the server reports them, from whatever client.
        cameras: all that are known; others are named by raw options.
    """
    form = options.form_of(options.without_marker(message))
    _mask(form)
    mode, output = message.WhichOneof("mode") or "", message.WhichOneof("output_type") or ""
    spec: dict[str, Any] = {}
    if mode:
        spec |= _take_cameras(form[mode], mode, cameras)
        spec |= _take_interval(form[mode], mode, output)
    if output:
        spec |= _take_format(form[output])
    keys = {key: wire for key, wire in Spec.wires().items() if key not in PerCamera.model_fields}
    spec |= _take_keys(form, Spec, {key: _under(wire, mode) for key, wire in keys.items()})
    rest = _pruned(form)
    return spec | ({"options": rest} if rest else {})


def _mask(form: Form) -> None:
    for setting in options.settings_of(form):
        if setting.get("password"):
            setting["password"] = MASK


def _under(wire: Wire, mode: str) -> Wire:
    return Wire(wire.path.replace("mode.", f"{mode}."), wire.codec)


def _take_cameras(form: Form, mode: str, cameras: Sequence[Camera]) -> dict[str, Any]:
    """Move the sources into `camera` or `cameras`; all of them or, as their order counts, none."""
    entries = [_entry_of(source, mode, cameras) for source in form.get("sources", ())]
    complete = [entry for entry in entries if entry is not None]
    if not entries or len(complete) < len(entries):
        return {}
    del form["sources"]
    if len(complete) > 1:
        return {"cameras": [entry if len(entry) > 1 else entry["name"] for entry in complete]}
    (entry,) = complete
    if entry.keys() <= {"name", *PerCamera.model_fields}:
        return {"camera": entry.pop("name"), **entry}
    return {"camera": entry}


def _entry_of(source: Form, mode: str, cameras: Sequence[Camera]) -> dict[str, Any] | None:
    """Return what `cameras` says of a source; None if it cannot say all."""
    rest = {**source, "settings": [dict(setting) for setting in source.get("settings", ())]}
    origin = rest.pop("origin", "")
    camera = next((camera for camera in cameras if camera.access_point == origin), None)
    if camera is None:
        return None
    entry: dict[str, Any] = {"name": _name_of(camera, cameras)}
    if mode == "archive":
        archive = _archive_name(camera, rest.pop("storages", []))
        if archive is None:
            return None
        entry["archive"] = archive
    entry |= _take_keys(rest, CameraKeys, CameraKeys.wires())
    return None if _pruned(rest) else entry


def _name_of(camera: Camera, cameras: Sequence[Camera]) -> str:
    try:
        is_unique = find_camera(cameras, camera.label) == camera
    except SpecError:
        is_unique = False
    return camera.label if is_unique else camera.access_point


def _archive_name(camera: Camera, storages: Sequence[str]) -> str | None:
    known = [archive for archive in camera.archives if [archive.access_point] == storages]
    return next((query for archive in known for query in _queries(archive) if _finds(camera, query, archive)), None)


def _queries(archive: Archive) -> tuple[str, ...]:
    return archive.name, archive.access_point


def _finds(camera: Camera, query: str, archive: Archive) -> bool:
    try:
        return bool(query) and find_archive(camera, query) == archive
    except SpecError:
        return False


def _take_interval(form: Form, mode: str, output: str) -> dict[str, Any]:
    if mode == "live":
        return {"live": True, **(_take_duration(form) if output == "stream" else {})}
    names = {"from": "start_timestamp", "to": "end_timestamp"} if output == "stream" else {"at": "start_timestamp"}
    instants_of = {key: _exact_instant(form.get(name, "")) for key, name in names.items()}
    known = {key: instant for key, instant in instants_of.items() if instant}
    if len(known) < len(names) or sorted(known.values()) != list(known.values()):
        return {}
    for name in names.values():
        del form[name]
    return {key: instants.format_rfc3339(instant) for key, instant in known.items()}


def _exact_instant(text: str) -> dt.datetime | None:
    """Return the instant of a wire string that says no more than the instant does."""
    instant = instants.parse_wire(text)
    return instant if instant and instants.format_wire(instant) == text else None


def _take_duration(form: Form) -> dict[str, str]:
    try:
        duration = instants.parse_duration(form.get("duration", ""))
    except ValueError:  # none, negative, or finer than a microsecond
        return {}
    if not duration:
        return {}
    del form["duration"]
    return {"duration": instants.format_duration(duration)}


def _take_format(form: Form) -> dict[str, str]:
    word = str(form.get("format", "DEFAULT")).lower()
    if word in OUTPUT_OF_FORMAT:
        del form["format"]
        return {"format": word}
    form.setdefault("format", "DEFAULT")  # said aloud, or the mount's own default would take its place
    return {}


def _take_keys(form: Form, model: type[Keys], wires: dict[str, Wire]) -> dict[str, Any]:
    """Move out of `form` what keys of `model` say exactly."""
    taken = {}
    for key, wire in wires.items():
        holder, member = _find(form, wire.path)
        if holder is not None and member in holder:
            value = _value_of(model, key, wire, holder[member])
            if value is not None:
                taken[key] = value
                del holder[member]
    return taken


def _find(form: Form, path: str) -> tuple[Form | None, str]:
    """Return the object that holds the last step of `path`, and that step; no object if it is not just one."""
    head, _, rest = path.partition(".")
    if not rest:
        return form, head
    if head == "settings":
        holders = [setting for setting in form.get("settings", ()) if rest in setting]
        return holders[0] if len(holders) == 1 else None, rest
    return _find(form[head], rest) if head in form else (None, rest)


def _value_of(model: type[Keys], key: str, wire: Wire, form: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return the value of a key that is written as `form`; None if there is none."""
    try:
        value = wire.codec.decode(form)
        again = wire.codec.encode(getattr(fields.validated(model, {key: value}), key))
        is_exact = _written(wire, model, again) == _written(wire, model, form)
    except (KeyError, TypeError, ValueError, SpecError, json_format.ParseError):  # TypeError: "NaN" for a number
        return None
    return value if is_exact else None


def _written(wire: Wire, model: type[Keys], value: object) -> bytes:
    """Return the bytes of the message in which only this is set."""
    form: Form = {}
    fields.put(form, wire.path, value)
    message = export_pb2.Options() if model is Spec else export_pb2.ArchiveMode.Source()
    return json_format.ParseDict(form, message).SerializeToString(deterministic=True)


_PARTS = frozenset({"live", "archive", "stream", "snapshot"})


def _pruned(form: Form) -> Form:
    """Return what is left of a form, without wrappers and parts that became empty."""
    # Only in these keys were taken out; elsewhere an empty object says something, as in a map.
    rest = {name: _pruned(value) if name in _PARTS else value for name, value in form.items()}
    if "settings" in rest:
        rest["settings"] = [setting for setting in rest["settings"] if setting]
    return {name: value for name, value in rest.items() if value not in ({}, [])}

"""From a spec to export options, and the door to all that concerns specs.

Decides what the keys of a spec mean together: which of the four kinds of export,
which cameras and archives, which instants; and refuses what contradicts itself or
is not said. Pure: `now` is handed in. Imports the wire's messages and its
neighbours in `core` that know the text, the keys and the raw options. Facts:
docs/semantics.md, "Starting an export".
"""

import dataclasses
import datetime as dt
import zoneinfo
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from axxonfs.core import fields, instants
from axxonfs.core import options as raw_options
from axxonfs.core.cameras import Camera, find_archive, find_camera
from axxonfs.core.errors import SpecError
from axxonfs.core.inverse import spec_from_options
from axxonfs.core.jsontext import mask_secrets, parse_document
from axxonfs.core.options import Form, file_name_of, has_secret, marker_of, same_export, without_secrets
from axxonfs.core.schema import OUTPUT_OF_FORMAT, CameraEntry, PerCamera, Spec, spec_schema
from axxonfs.wire import export_pb2

__all__ = [
    "Resolved",
    "Spec",
    "file_name_of",
    "has_secret",
    "marker_of",
    "mask_secrets",
    "parse_document",
    "resolve",
    "same_export",
    "spec_from_options",
    "spec_schema",
    "without_secrets",
]

Interval = tuple[dt.datetime | None, dt.datetime | None]

# What each key says about the export: (mode, output).
_CLAIMS = {
    "from": ("archive", "stream"),
    "to": ("archive", "stream"),
    "at": ("archive", "snapshot"),
    "live": ("live", None),
    "duration": ("live", "stream"),
    "archive": ("archive", None),
}
_MEANING = {"archive": "recorded video", "live": "live video", "stream": "a clip", "snapshot": "a frame"}
# What may have been meant by the key that came second.
_INSTEAD = {"format": ', or write another "format"', "duration": ', or write "to" for the end of the clip'}
_DEFAULT_FORMATS = {"stream": "MKV", "snapshot": "JPEG"}
_WHEN = 'write "from" and "to" for a clip, "at" for a frame, or "live": true for live video'


@dataclasses.dataclass(frozen=True, slots=True)
class Resolved:
    """What a spec asks for."""

    options: export_pb2.Options
    relative: bool  # live, or counted from now: the same document means another export later
    cameras: tuple[Camera, ...]
    requested: Interval  # a frame has its instant twice, live video none


@dataclasses.dataclass(frozen=True, slots=True)
class _Kind:
    mode: str  # live or archive
    output: str  # stream or snapshot


def resolve(
    document: Mapping[str, Any],
    *,
    cameras: Sequence[Camera],
    now: dt.datetime,
    timezone: zoneinfo.ZoneInfo | None,
    marker: str | None = None,
) -> Resolved:
    """Return the export that a document asks for.

    Args:
        document: as `parse_document` returns it.
        cameras: all that can be exported.
        now: aware; what relative instants count from.
        timezone: the zone of instants without offset, unless the document names one.
        marker: what the mount knows its session by (it begins with `axxonfs-`); left out
            where it would become the name of a file that somebody gets.

    Raises:
        SpecError: something is wrong, missing, or could mean two things.
    """
    spec = fields.validated(Spec, document)
    raw = raw_options.read_form(spec.options or {})
    kind = _kind_of(spec, raw)
    _check_given_once(spec, raw)
    form = raw_options.merged(_form_of(spec, kind, cameras=cameras, now=now, timezone=timezone), raw)
    _check_secrets(form)
    _check_sources(form, kind)
    requested = _requested(form, kind)
    if marker is not None and _takes_marker(form):
        fields.put(form, "settings.file_name", marker)
    return Resolved(
        options=raw_options.build(form),
        relative=kind.mode == "live" or any(map(instants.is_relative, _instant_texts(spec).values())),
        cameras=_cameras_in(form[kind.mode]["sources"], cameras),
        requested=requested,
    )


def _kind_of(spec: Spec, raw: Form) -> _Kind:
    claims = list(_claims(spec, raw))
    mode = _agreed([(key, mode) for key, mode, _ in claims if mode])
    output = _agreed([(key, output) for key, _, output in claims if output])
    if mode is None:
        raise SpecError(f"the spec does not say when: {_WHEN}")
    if spec.duration and not spec.live and "live" not in raw:
        raise SpecError(
            '"duration": add "live": true, or write "from" and "to" for a clip from the archive', "duration"
        )
    return _Kind(mode, output or "stream")


def _claims(spec: Spec, raw: Form) -> Iterator[tuple[str, str | None, str | None]]:
    """Yield each key that says something about the kind of export, and what: (key, mode, output)."""
    given = {**_instant_texts(spec), "live": spec.live, "duration": spec.duration, "archive": spec.archive}
    yield from ((key, *claim) for key, claim in _CLAIMS.items() if given.get(key))
    yield from ((f"{path}.archive", "archive", None) for path, entry in _entries(spec) if entry.archive)
    yield from ((f"options.{mode}", mode, None) for mode in ("live", "archive") if mode in raw)
    yield from ((f"options.{output}", None, output) for output in ("stream", "snapshot") if output in raw)
    if spec.format:
        yield "format", None, OUTPUT_OF_FORMAT[spec.format]
    for key, wire, _ in fields.encoded(spec):
        head = wire.path.partition(".")[0]
        if head in _DEFAULT_FORMATS:
            yield key, None, head


def _instant_texts(spec: Spec) -> dict[str, str]:
    texts = {"from": spec.from_, "to": spec.to, "at": spec.at}
    return {key: text for key, text in texts.items() if text is not None}


def _agreed(claims: Sequence[tuple[str, str]]) -> str | None:
    """Return what all claims say; None if there are none."""
    for key, choice in claims[1:]:
        first, chosen = claims[0]
        if choice != chosen:
            problem = f'"{first}" asks for {_MEANING[chosen]}, but "{key}" for {_MEANING[choice]}'
            raise SpecError(f"{problem}: keep one of them{_INSTEAD.get(key, '')}", key)
    return claims[0][1] if claims else None


def _check_given_once(spec: Spec, raw: Form) -> None:
    """Refuse a setting that has a key and stands among the raw settings as well."""
    for key, wire, _ in fields.encoded(spec):
        path, _, member = wire.path.rpartition("settings.")
        if key in PerCamera.model_fields or member == wire.path:
            continue
        part = raw.get(path.rstrip("."), {}) if path else raw
        for index, setting in enumerate(part.get("settings", ())):
            if member in setting:
                where = f"options.{path}settings[{index}].{member}"
                raise SpecError(f'"{key}" and "{where}" are two values for one choice: keep one of them', where)


def _form_of(
    spec: Spec, kind: _Kind, *, cameras: Sequence[Camera], now: dt.datetime, timezone: zoneinfo.ZoneInfo | None
) -> Form:
    """Return what the keys say, but for `options`, in protobuf's JSON form."""
    form: Form = {kind.mode: {"sources": _sources(spec, kind, cameras)}, kind.output: {}}
    form[kind.output]["format"] = spec.format.upper() if spec.format else _DEFAULT_FORMATS[kind.output]
    for key, text in _instant_texts(spec).items():
        instant = _read_instant(key, text, now=now, timezone=spec.timezone or timezone)
        form["archive"]["end_timestamp" if key == "to" else "start_timestamp"] = instants.format_wire(instant)
    if spec.duration:
        seconds, rest = divmod(spec.duration, dt.timedelta(seconds=1))
        form["live"]["duration"] = f"{seconds}.{rest.microseconds:06}s"
    for key, wire, value in fields.encoded(spec):
        if key not in PerCamera.model_fields:
            fields.put(form, wire.path.replace("mode.", f"{kind.mode}."), value)
    return form


def _read_instant(key: str, text: str, *, now: dt.datetime, timezone: zoneinfo.ZoneInfo | None) -> dt.datetime:
    try:
        return instants.parse_instant(text, now=now, timezone=timezone)
    except ValueError as error:
        raise SpecError(f'"{key}": {error}', key) from None


def _entries(spec: Spec) -> list[tuple[str, CameraEntry]]:
    """Return the cameras that the spec names, each with its path."""
    if spec.camera and spec.cameras:
        raise SpecError('"camera" and "cameras" both name cameras: keep one of them', "cameras")
    if spec.camera:
        return [("camera", spec.camera)]
    return [(f"cameras[{index}]", entry) for index, entry in enumerate(spec.cameras or ())]


def _sources(spec: Spec, kind: _Kind, cameras: Sequence[Camera]) -> list[Form]:
    common = {key: (wire, value) for key, wire, value in fields.encoded(spec) if key in PerCamera.model_fields}
    entries = _entries(spec)
    lonely = [*common, *(["archive"] if spec.archive else [])]
    if lonely and not entries:
        raise SpecError(f'"{lonely[0]}": add the "camera" that it is about', lonely[0])
    sources = []
    for path, entry in entries:
        source = _source(find_camera(cameras, entry.name, path), entry, path, spec.archive, kind)
        own = {key: (wire, value) for key, wire, value in fields.encoded(entry)}
        for wire, value in {**common, **own}.values():
            fields.put(source, wire.path, value)
        sources.append(source)
    return sources


def _source(camera: Camera, entry: CameraEntry, path: str, archive: str | None, kind: _Kind) -> Form:
    source: Form = {"origin": camera.access_point}
    if kind.mode == "archive":
        where = f"{path}.archive" if entry.archive else "archive"
        # Always one: whether the server would choose by itself is not known.
        source["storages"] = [find_archive(camera, entry.archive or archive, where).access_point]
    return source


def _check_secrets(form: Form) -> None:
    for setting in raw_options.settings_of(form):
        password = setting.get("password", "")
        if password and not password.strip("*"):
            raise SpecError('"password": only its mask stands here: type the password again', "password")


def _check_sources(form: Form, kind: _Kind) -> None:
    if not form[kind.mode].get("sources"):
        raise SpecError('"camera" is missing: add it, as in "camera": "1.Front door"', "camera")


def _requested(form: Form, kind: _Kind) -> Interval:
    """Return the interval that a form asks for, and refuse one that is none."""
    if kind.mode == "live":
        return None, None
    if kind.output == "snapshot":
        instant = _wire_instant(form, "start_timestamp", "at")
        return instant, instant
    start = _wire_instant(form, "start_timestamp", "from")
    end = _wire_instant(form, "end_timestamp", "to")
    if start >= end:
        shown = f"{instants.format_rfc3339(start)} is not before {instants.format_rfc3339(end)}"
        raise SpecError(f'"from" must be before "to": {shown}', "from")
    return start, end


def _wire_instant(form: Form, name: str, key: str) -> dt.datetime:
    text = form["archive"].get(name)
    if not text:
        raise SpecError(f'"{key}" is missing: {_WHEN}', key)
    instant = instants.parse_wire(text)
    if instant is None:  # a server may take what it cannot read, and deliver nothing
        path = f"options.archive.{name}"
        raise SpecError(f'"{path}": must be an instant in UTC, as in "20261122T081500.000000"', path)
    return instant


def _takes_marker(form: Form) -> bool:
    is_named = any("file_name" in setting for setting in form.get("settings", ()))
    elsewhere = ("cloud_export", "store_result_by_export_agent", "external_directory")
    return not is_named and not any(form.get(name) for name in elsewhere)


def _cameras_in(sources: Sequence[Form], cameras: Sequence[Camera]) -> tuple[Camera, ...]:
    known = {camera.access_point: camera for camera in cameras}
    origins = [source.get("origin") for source in sources]
    return tuple(known[origin] for origin in origins if origin in known)

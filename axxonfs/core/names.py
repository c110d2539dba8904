"""Labels from the server made into legal, unique, stable file names.

Decides what a session directory and its results are called. Nothing that the
server sends becomes a name as it is. Pure; imports nothing of ours. The rules
are those of docs/semantics.md, "The tree".
"""

import dataclasses
import datetime as dt
import hashlib
import unicodedata
from collections.abc import Collection, Sequence

MAX_NAME_BYTES = 255
# Room for what is put around a label: instant, parts, extension, a number that makes it unique.
_MAX_LABEL_BYTES = 120
_PUNCTUATION = frozenset("._-+")
_LETTERS_AND_DIGITS = frozenset("LNM")  # M: vowel signs and accents belong to their letters

_EXTENSION_OF_MIME = {
    "application/pdf": "pdf",
    "application/zip": "zip",
    "application/x-zip-compressed": "zip",
    "image/jpeg": "jpg",
    "video/avi": "avi",
    "video/mp4": "mp4",
    "video/msvideo": "avi",
    "video/x-matroska": "mkv",
    "video/x-msvideo": "avi",
}


def clean(label: str) -> str:
    """Return `label` with letters and digits of any script and `._-+` kept and all else made `_`.

    Never empty, `.`, `..` or hidden; at most 120 bytes in UTF-8.
    """
    text = unicodedata.normalize("NFC", label)
    kept = "".join(char if _is_plain(char) else "_" for char in text)
    kept = kept.encode()[:_MAX_LABEL_BYTES].decode(errors="ignore")
    return "_" + kept[1:] if kept.startswith(".") else kept or "_"


def _is_plain(char: str) -> bool:
    return char in _PUNCTUATION or unicodedata.category(char)[0] in _LETTERS_AND_DIGITS


def tag(session_id: str) -> str:
    """Return the eight characters that identify a session id, the same on every mount and for ever."""
    return hashlib.sha256(session_id.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def instant_label(instant: dt.datetime, zone: dt.tzinfo | None = None) -> str:
    """Return an aware instant as a part of a name: `20261122T101500Z`, or local with its offset."""
    try:
        if zone is not None:
            return instant.astimezone(zone).strftime("%Y%m%dT%H%M%S%z")
    except OverflowError:
        pass  # at the edge of the calendar there is no local time; servers may send anything
    return instant.astimezone(dt.UTC).strftime("%Y%m%dT%H%M%SZ")


def session_name(*, start: str, cameras: Sequence[str], form: str, session_id: str) -> str:
    """Return the name of a session's directory.

    Args:
        start: an `instant_label`, or `live`.
        cameras: the labels (`id.name`) of its cameras; the first one is shown.
        form: `mkv`, `jpeg`, ...
        session_id: as the server gave it.
    """
    first = clean(cameras[0]) if cameras else "unknown"
    more = f"_and{len(cameras) - 1}" if len(cameras) > 1 else ""
    return f"{start}_{first}{more}_{form}_{tag(session_id)}"


def unique(name: str, taken: Collection[str]) -> str:
    """Return `name`, or `name~2`, `name~3`, ...: the first that is not taken."""
    if name not in taken:
        return name
    number = 2
    while f"{name}~{number}" in taken:
        number += 1
    return f"{name}~{number}"


@dataclasses.dataclass(frozen=True, slots=True)
class ResultLabel:
    """What the name of a result is made from."""

    start: dt.datetime | None
    mime_type: str


def extension(requested: str, mime_type: str) -> str:
    """Return the extension for a requested format (`jpeg`, `mp4`, ...), or what the mime type says against it."""
    asked = {"jpeg": "jpg"}.get(requested, requested)
    told = _EXTENSION_OF_MIME.get(mime_type.partition(";")[0].strip().lower())
    return told or asked


def result_names(
    results: Sequence[ResultLabel], *, cameras: Sequence[str], requested: str, zone: dt.tzinfo | None
) -> list[str]:
    """Return one unique name for each result, in the order given.

    Several results are numbered in time order, and carry a camera's name only
    where the session has one camera.
    """
    camera = [clean(cameras[0])] if len(cameras) == 1 else []
    order = sorted(range(len(results)), key=lambda place: (results[place].start or _LAST, place))
    part = {place: f"part{number}" for number, place in enumerate(order, 1)}
    names = []
    for place, result in enumerate(results):
        pieces = [*camera, *([instant_label(result.start, zone)] if result.start else [])]
        pieces += [part[place]] if len(results) > 1 else []
        names.append(f"{'_'.join(pieces) or 'export'}.{extension(requested, result.mime_type)}")
    return names


_LAST = dt.datetime.max.replace(tzinfo=dt.UTC)

"""What `status.json` says of a session.

Decides the words and keys that people and scripts read; absolute times only, so
that the text changes only when something happened. Pure; imports instants,
sessions, timers and treatment. The keys are described in docs/semantics.md.
"""

import dataclasses
import datetime as dt
import json
import math
from collections.abc import Mapping
from typing import Any

from axxonfs.core import instants, sessions, treatment
from axxonfs.core.timers import Timers

VERSION = 1


@dataclasses.dataclass(frozen=True, slots=True)
class Context:
    """What the text needs besides the session: names given here, and how fresh the picture is."""

    cameras: tuple[str, ...]  # labels, in the order of the request
    names: Mapping[str, str]  # path -> name of the result
    timers: Timers
    now_s: float
    stale_since_s: float | None = None
    stale_because: str = ""


def document(session: sessions.Session, facts: sessions.Facts, context: Context) -> dict[str, Any]:
    """Return everything known about the session as one JSON object."""
    kept = sessions.kept_because(session, facts, context.timers, context.now_s)
    treated = treatment.treatment_of(session.options)
    return {
        "version": VERSION,
        "id": session.id,
        "state": session.state.value,
        "server_state": session.server_state,
        "kind": session.kind.value,
        "format": session.form,
        "cameras": list(context.cameras),
        "origins": list(session.origins),
        "requested": _interval(session.requested),
        "delivered": _interval(session.delivered),
        "recompressed": treated.recompressed,
        "recompressed_because": list(treated.reasons),
        "burnt_in": treated.burnt_in,
        "progress": None if session.progress is None else round(session.progress, 3),
        "last_frame": instant(session.last_frame),
        "estimated_end": _estimated_end(session, facts, context.now_s),
        "files": [_file(file, facts, context) for file in session.files],
        "own": facts.own,
        "label": facts.label or None,
        "started": epoch(facts.started_s),
        "finished": epoch(facts.finished_s),
        "kept": bool(kept),
        "kept_because": kept or None,
        "kept_until": epoch(facts.keep_until_s),
        "expires": _expiry(session, facts, context.timers),
        "stale_since": epoch(context.stale_since_s),
        "stale_because": context.stale_because or None,
        "last_error": facts.last_error or None,
    }


def render(document: Mapping[str, Any]) -> bytes:
    """Return a JSON object as the text of a file: indented, UTF-8, one newline at the end."""
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "replace")


def _file(file: sessions.ResultFile, facts: sessions.Facts, context: Context) -> dict[str, Any]:
    return {
        "name": context.names.get(file.path),
        "path": file.path,
        "size": file.size,
        "interval": _interval((file.start, file.end)),
        "mime_type": file.mime_type or None,
        "downloadable": not file.obstacle,
        "why_not": file.obstacle or None,
        "read_whole": file.path in facts.read_whole,
    }


def _estimated_end(session: sessions.Session, facts: sessions.Facts, now_s: float) -> str | None:
    progress = session.progress
    if session.state is not sessions.State.RUNNING or facts.started_s is None or not progress:
        return None
    # To whole ten seconds: an estimate that moves with every look would make every look a change.
    estimate_s = facts.started_s + (now_s - facts.started_s) / progress
    return epoch(math.ceil(estimate_s / 10) * 10)


def _expiry(session: sessions.Session, facts: sessions.Facts, timers: Timers) -> dict[str, str | None] | None:
    estimate = sessions.expiry(session, facts, timers)
    return None if estimate is None else {"at": epoch(estimate.at_s), "basis": estimate.basis}


def _interval(ends: tuple[dt.datetime | None, dt.datetime | None]) -> dict[str, str | None]:
    return {"from": instant(ends[0]), "to": instant(ends[1])}


def instant(value: dt.datetime | None) -> str | None:
    """Return an aware instant as RFC 3339 in UTC; None for none."""
    return None if value is None else instants.format_rfc3339(value)


def epoch(time_s: float | None) -> str | None:
    """Return a time in seconds since the epoch as RFC 3339 in UTC; None for none and for never."""
    if time_s is None or math.isinf(time_s):
        return None
    return instant(dt.datetime.fromtimestamp(round(time_s, 3), dt.UTC))

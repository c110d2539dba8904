"""What an export was to deliver, and what it did.

Decides how far the results fall short of what was asked for, and the one word
that says how an export came out. Takes `status.json` and `spec.json` as programs
read them. Pure; imports instants.
"""

import dataclasses
import datetime as dt
import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from axxonfs.core import instants

Interval = tuple[dt.datetime, dt.datetime]


class Outcome(enum.Enum):
    """How an export came out."""

    DELIVERED = "delivered"
    COMPLETED = "completed"  # and nobody asked how much of it came
    LESS = "less than asked"
    ELSEWHERE = "kept elsewhere"  # its results cannot be downloaded, as the spec wanted
    FAILED = "failed"
    REFUSED = "refused"  # it was never started
    GONE = "gone"  # before it was done or fetched
    UNFINISHED = "unfinished"


@dataclasses.dataclass(frozen=True, slots=True)
class Difference:
    """Delivered less requested, in seconds; None where there is nothing to compare."""

    begins_s: float | None  # negative: it begins earlier than asked, at a key frame
    ends_s: float | None  # negative: it ends earlier than asked
    missing: tuple[Interval, ...]  # parts of what was asked that no result covers, longer than the tolerance
    missing_s: float  # their length

    def as_document(self) -> dict[str, Any]:
        """Return it as a manifest has it."""
        return {
            "begins_s": self.begins_s,
            "ends_s": self.ends_s,
            "missing": [{"from": _written(start), "to": _written(end)} for start, end in self.missing],
            "missing_s": self.missing_s,
        }


def difference(
    status: Mapping[str, Any], spec: Mapping[str, Any], *, tolerance: dt.timedelta = dt.timedelta()
) -> Difference:
    """Return how what was delivered differs from what was asked for.

    Args:
        status: the content of `status.json`.
        spec: that of `spec.json`; it has the duration of live video.
        tolerance: what is missing for no longer is not counted: a clip ends with
            the last frame before the end that was asked for.
    """
    covered = _merged(_intervals(file["interval"] for file in status["files"]))
    requested = _interval(status["requested"])
    if requested is None or not covered:
        return _of_length(covered, spec, tolerance)
    start, end = requested
    missing = tuple(gap for gap in _gaps(requested, covered) if gap[1] - gap[0] > tolerance)
    return Difference(
        begins_s=_seconds(covered[0][0] - start),
        ends_s=_seconds(covered[-1][1] - end),
        missing=missing,
        missing_s=_seconds(sum((stop - begin for begin, stop in missing), dt.timedelta())),
    )


def _of_length(covered: Sequence[Interval], spec: Mapping[str, Any], tolerance: dt.timedelta) -> Difference:
    """Compare lengths: live video has no instants that were asked for."""
    short = dt.timedelta()
    if covered and spec.get("live") and "duration" in spec:
        length = sum((end - start for start, end in covered), dt.timedelta())
        short = instants.parse_duration(spec["duration"]) - length
    return Difference(None, None, (), _seconds(short) if short > tolerance else 0.0)


def end_of(status: Mapping[str, Any]) -> tuple[Outcome, str]:
    """Return how a session ended, and why it did not complete."""
    if status["state"] == "removed":
        return Outcome.GONE, status["last_error"] or "the server has it no more"
    if status["state"] != "completed":
        return Outcome.FAILED, "the server ended the export without success, and does not say why"
    return Outcome.COMPLETED, ""


def outcome(status: Mapping[str, Any], found: Difference) -> tuple[Outcome, str]:
    """Return how a session that has ended came out, and why it is not as it should be."""
    ended, why = end_of(status)
    if ended is not Outcome.COMPLETED:
        return ended, why
    obstacles = dict.fromkeys(file["why_not"] for file in status["files"] if not file["downloadable"])
    if found.missing_s:
        return Outcome.LESS, _shortfall(found)
    if obstacles:
        return Outcome.ELSEWHERE, "; ".join(obstacles)
    return Outcome.DELIVERED, ""


def _shortfall(found: Difference) -> str:
    where = ", ".join(f"{_written(start)} to {_written(end)}" for start, end in found.missing)
    return f"{found.missing_s:g} s are missing{f': {where}' if where else ''}"


def _gaps(requested: Interval, covered: Sequence[Interval]) -> list[Interval]:
    """Return the parts of `requested` that no interval covers; `covered` is in order and does not overlap."""
    start, end = requested
    gaps = []
    for begin, stop in covered:
        if begin > start:
            gaps.append((start, min(begin, end)))
        start = max(start, stop)
        if start >= end:
            return gaps
    return [*gaps, (start, end)]


def _merged(intervals: Iterable[Interval]) -> list[Interval]:
    merged: list[Interval] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _intervals(documents: Iterable[Mapping[str, Any]]) -> list[Interval]:
    return [interval for document in documents if (interval := _interval(document)) is not None]


def _interval(document: Mapping[str, Any]) -> Interval | None:
    if not (document["from"] and document["to"]):
        return None
    return dt.datetime.fromisoformat(document["from"]), dt.datetime.fromisoformat(document["to"])


def _written(instant: dt.datetime) -> str:
    return instants.format_rfc3339(instant)


def _seconds(length: dt.timedelta) -> float:
    return round(length.total_seconds(), 3)

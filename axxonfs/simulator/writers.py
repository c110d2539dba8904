"""Where the footage of an export goes: the interface of writers, and the one that writes nothing.

Decides the names of results. A writer is used by the agent's thread only.
"""

import dataclasses
import uuid
import zlib
from pathlib import Path
from typing import Protocol

from axxonfs.simulator.plan import Plan
from axxonfs.simulator.records import ResultFile
from axxonfs.simulator.site import Camera
from axxonfs.simulator.times import wire_time

# Results that are kept elsewhere have to have some size.
_ELSEWHERE_BYTES = 1 << 20
# The progress of an export whose content nobody draws moves about as often as this.
_PATTERN_STEPS = 50


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """A finished result before it has its file id."""

    camera: Camera  # the first of those in it
    kind: str
    size: int
    min_ms: int
    max_ms: int
    stored: str | None = None
    seed: int | None = None


class Writer(Protocol):
    """Takes footage in order, a whole number of groups of pictures at a time."""

    group_ms: int  # how much footage one write takes

    def write(self, begin_ms: int, end_ms: int) -> None:
        """Take the frames from `begin_ms` (a key frame) up to, not including, `end_ms`."""

    def pieces(self) -> tuple[Piece, ...]:
        """Return what is finished, in the order of time."""

    def close(self) -> None:
        """Finish what has been written; more than once is harmless."""


class PatternWriter:
    """Results of a given size whose bytes are a pattern, or that are kept elsewhere and have none."""

    def __init__(self, plan: Plan, size: int | None, seed: int) -> None:
        length_ms = (plan.end_ms or 0) - plan.begin_ms
        self.group_ms = plan.group_ms * max(1, length_ms // _PATTERN_STEPS // plan.group_ms)
        self._plan = plan
        self._size = _ELSEWHERE_BYTES if size is None else size
        self._seed = seed
        self._end_ms = plan.begin_ms

    def write(self, begin_ms: int, end_ms: int) -> None:
        """Note how far the footage reaches."""
        self._end_ms = last_frame(self._plan, begin_ms, end_ms) + self._plan.step_ms

    def pieces(self) -> tuple[Piece, ...]:
        """Return the results: one for each camera if they are separate, and parts of at most the limit."""
        if self._end_ms == self._plan.begin_ms:
            return ()
        cameras = self._plan.cameras if self._plan.discrete else self._plan.cameras[:1]
        limit = self._plan.max_file_bytes or self._size
        sizes = [min(limit, self._size - start) for start in range(0, self._size, limit)] if self._size else [0]
        return tuple(
            self._piece(camera, part, size, len(sizes)) for camera in cameras for part, size in enumerate(sizes)
        )

    def close(self) -> None:
        """Do nothing: there is no file."""

    def _piece(self, camera: Camera, part: int, size: int, parts: int) -> Piece:
        begin_ms, length_ms = self._plan.begin_ms, self._end_ms - self._plan.begin_ms
        return Piece(
            camera,
            self._plan.format,
            size,
            begin_ms + length_ms * part // parts,
            begin_ms + length_ms * (part + 1) // parts,
            seed=self._seed + 1000 * camera.number + part if self._plan.kept == "here" else None,
        )


def last_frame(plan: Plan, begin_ms: int, end_ms: int) -> int:
    """Return the last frame before `end_ms` in footage that begins at `begin_ms`."""
    return begin_ms + (max(end_ms, begin_ms + 1) - 1 - begin_ms) // plan.step_ms * plan.step_ms


def seed_of(session_id: str) -> int:
    """Return the seed of a session's patterns."""
    return zlib.crc32(session_id.encode())


def name_results(pieces: tuple[Piece, ...], plan: Plan, session_id: str, form: str) -> tuple[ResultFile, ...]:
    """Return the results under the file ids that clients name them by."""
    return tuple(_result(piece, plan, session_id, form, number) for number, piece in enumerate(pieces, 1))


def _result(piece: Piece, plan: Plan, session_id: str, form: str, number: int) -> ResultFile:
    file_id = _file_id(piece, session_id, form, number)
    if plan.kept in ("by_agent", "external"):
        suffix = f"_{number}" if number > 1 else ""
        file_id = str(Path(plan.directory) / f"{plan.file_name or piece.camera.device}{suffix}.{piece.kind}")
    return ResultFile(
        path=file_id,
        size=piece.size,
        kind=piece.kind,
        min_ms=piece.min_ms,
        max_ms=piece.max_ms,
        timezone_min=plan.timezone_min,
        cloud_id=f"cloud-{file_id}" if plan.kept == "cloud" else "",
        stored=piece.stored,
        seed=piece.seed,
    )


def _file_id(piece: Piece, session_id: str, form: str, number: int) -> str:
    session_name = session_id.rpartition("/")[2]
    if form == "slash":
        return f"{session_name}/{number}.{piece.kind}"
    if form == "name":
        interval = "-".join(wire_time(instant, 0) for instant in (piece.min_ms, piece.max_ms))
        return f"{piece.camera.access_point.split('/')[1]}_{piece.camera.device}[{interval}].{piece.kind}"
    if form == "hostile":
        return f"../..//{session_name}\n\u202e/\0{number}/.."
    # The same session gives the same ids again when a restarted simulator renders it anew.
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{session_name}/{number}"))

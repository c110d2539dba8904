"""Finished sessions for a new simulator, so that there is something to look at, or ten thousand of it.

Pure. The results are patterns: ten thousand of them cost no disk and no time.
"""

import uuid
from collections.abc import Iterator

from axxonfs.simulator.pattern import PAGE_BYTES
from axxonfs.simulator.records import ResultFile
from axxonfs.simulator.site import Camera, Site
from axxonfs.simulator.times import wire_time
from axxonfs.wire.export_pb2 import Options, StreamType

_CLIP_MS = 300_000
_APART_MS = 600_000
_SIZE_BYTES = 5 * PAGE_BYTES


def sample_sessions(
    site: Site, count: int, now_ms: int, size: int | None
) -> Iterator[tuple[Options, tuple[ResultFile, ...]]]:
    """Yield options and results of so many clips of the recorded cameras, the oldest first."""
    recorded = [camera for camera in site.cameras if camera.storages]
    for number in range(count if recorded else 0):
        begin_ms = now_ms - (count - number) * _APART_MS
        result = ResultFile(
            path=str(uuid.uuid5(uuid.NAMESPACE_OID, f"sample/{number}")),
            size=_SIZE_BYTES if size is None else size,
            kind="mp4",
            min_ms=begin_ms,
            max_ms=begin_ms + _CLIP_MS,
            seed=number,
        )
        yield _options(recorded[number % len(recorded)], begin_ms), (result,)


def _options(camera: Camera, begin_ms: int) -> Options:
    options = Options()
    options.archive.sources.add(origin=camera.access_point, storages=camera.storages[:1])
    options.archive.start_timestamp = wire_time(begin_ms)
    options.archive.end_timestamp = wire_time(begin_ms + _CLIP_MS)
    options.stream.format = StreamType.MP4
    return options

"""The readers of one process: one for each result that was read of late.

Decides in which pieces much is read, how many readers there are, and that scattered
ranges are read by themselves, without anything around them. Belongs to the loop.
"""

import bisect
import collections
import contextlib
import dataclasses
from collections.abc import Callable, Sequence

import trio

from axxonfs.core import errors
from axxonfs.core.chunks import Data, Range, assemble, merged_ranges
from axxonfs.core.line import MIB
from axxonfs.fsspec.picture import Wanted
from axxonfs.reading.loans import Loan, Soon
from axxonfs.reading.pool import Pool
from axxonfs.reading.reader import ResultReader, Source

# A read of more is made piece by piece, each with a deadline of its own. Chunks of a long run are as large, and so
# come as they are, without a copy.
PIECE_BYTES = MIB
# Readers cost little, and the cache bounds their chunks; beyond this the one unused for longest goes.
MOST_READERS = 128
# Scattered ranges of one result that are on their way at once. Guessed: half of what all may have.
MOST_SCATTERED = 8


@dataclasses.dataclass(slots=True)
class _Kept:
    reader: ResultReader
    reads: int = 0  # that wait for it now


class Readers:
    """Reads results; `touched` is told of which session bytes came."""

    def __init__(self, pool: Pool, read_timeout_s: float, touched: Callable[[str], None]) -> None:
        self._pool = pool
        self._read_timeout_s = read_timeout_s
        self._touched = touched
        self._kept: collections.OrderedDict[Wanted, _Kept] = collections.OrderedDict()

    async def read(self, wanted: Wanted, start: int, stop: int, waited_s: float = 0.0) -> list[Data]:
        """Return the bytes from `start` to `stop`, as `Client.read`. Raises as `ResultReader.read`."""
        kept = self._reader(wanted)
        pieces: list[Data] = []
        kept.reads += 1
        try:
            while start < stop:
                end = min(stop, start - start % PIECE_BYTES + PIECE_BYTES)
                pieces.append(await kept.reader.read(start, end - start, self._deadline_s() - waited_s))
                start, waited_s = end, 0.0
        finally:
            kept.reads -= 1
        return pieces

    async def read_ranges(self, wanted: Wanted, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return scattered ranges. Raises as `ResultReader.read`."""
        # No chunk is asked for twice: what shares one is read as one.
        runs = merged_ranges(ranges, self._pool.sizes.narrow, wanted.size_bytes)
        limits = dataclasses.replace(self._pool.limits, max_window=0, max_gap=0, max_streams=MOST_SCATTERED)
        with contextlib.closing(ResultReader(self._pool, self._source(wanted), limits)) as reader:
            pieces = await self._read_runs(reader, runs)
        begins = [begin for begin, _ in runs]
        return [
            bytes(assemble(pieces[bisect.bisect(begins, begin) - 1], begin, end)) if end > begin else b""
            for begin, end in ranges
        ]

    async def _read_runs(self, reader: ResultReader, runs: Sequence[Range]) -> list[list[tuple[int, Data]]]:
        """Return the pieces of each run; the first error is raised when all have ended."""
        pieces: list[list[tuple[int, Data]]] = [[] for _ in runs]
        limiter = trio.CapacityLimiter(MOST_SCATTERED)
        failures: list[errors.AxxonfsError] = []

        async def read_run(number: int) -> None:
            begin, end = runs[number]
            async with limiter:
                try:
                    for place in range(begin, 0 if failures else end, PIECE_BYTES):
                        size = min(PIECE_BYTES, end - place)
                        pieces[number].append((place, await reader.read(place, size, self._deadline_s())))
                except errors.AxxonfsError as error:
                    failures.append(error)

        async with trio.open_nursery() as nursery:
            for number in range(len(runs)):
                nursery.start_soon(read_run, number)
        if failures:
            raise failures[0]
        return pieces

    def lend(self, wanted: Wanted, soon: Soon) -> Loan | None:
        """Return a loan of the stream that brings a result, if there may be one."""
        return self._reader(wanted).reader.lend(soon, self._read_timeout_s)

    def leave(self, wanted: Wanted) -> None:
        """Take note that somebody reads a result no more: what was on its way for a run would delay the next one."""
        kept = self._kept.get(wanted)
        if kept is not None and not kept.reads:
            kept.reader.leave(None)

    def stop_idle(self) -> None:
        """Cancel the streams that nobody used for a while."""
        for kept in self._kept.values():
            kept.reader.stop_idle()

    def close(self) -> None:
        """Fail whatever waits for bytes."""
        for kept in self._kept.values():
            kept.reader.close()
        self._kept.clear()

    def _deadline_s(self) -> float:
        return trio.current_time() + self._read_timeout_s

    def _source(self, wanted: Wanted) -> Source:
        return Source(wanted.session_id, wanted.path, wanted.size_bytes, lambda: self._touched(wanted.session_id))

    def _reader(self, wanted: Wanted) -> _Kept:
        kept = self._kept.get(wanted)
        if kept is None:
            self._make_room()
            kept = self._kept[wanted] = _Kept(ResultReader(self._pool, self._source(wanted)))
        self._kept.move_to_end(wanted)
        return kept

    def _make_room(self) -> None:
        unused = [wanted for wanted, kept in self._kept.items() if not kept.reads]
        for wanted in unused[: max(0, len(self._kept) - MOST_READERS + 1)]:
            self._kept.pop(wanted).reader.close()

"""Open results: file objects that read through the client of their process.

Decides how much a read asks the loop for: little at first and after a jump, and
several chunks once reading is sequential, so that small reads do not cost a change
of threads each. What is fetched ahead is not decided here but by
`core/readahead.py`. Blocking; a file object belongs to one thread at a time, as
Python's do.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from fsspec.caching import BaseCache, Fetcher, register_cache
from fsspec.spec import AbstractBufferedFile

from axxonfs.core.chunks import KIB, Data, assemble
from axxonfs.core.line import MIB
from axxonfs.reading.loans import Loan

# What a read asks for at least: a chunk of a narrow stream, so that less would cost the same.
_LEAST_BYTES = 64 * KIB
# And at most, if nobody asked for more. A change of threads costs 55 us (measured), 1 % of the time of 4 MiB at 1 GB/s.
_MOST_BYTES = 4 * MIB

# Who has read so much on and on gets the stream itself, once there is one of large chunks. Guessed.
_RUN_BYTES = 2 * MIB


class RunCache(BaseCache):  # type: ignore[misc]  # fsspec has no types
    """Keeps the pieces that were fetched last, and copies each byte once; more are fetched while reading is sequential.

    `fetch_pieces` is set by the file: other caches of fsspec know no pieces.
    """

    name: ClassVar[str] = "axxon"
    fetch_pieces: Callable[[int, int, int], Sequence[Data]]

    def __init__(self, blocksize: int, fetcher: Fetcher, size: int) -> None:
        super().__init__(blocksize, fetcher, size)
        self._start = self._end = 0
        self._pieces: list[tuple[int, Data]] = []
        self._next_bytes = _LEAST_BYTES

    def _fetch(self, start: int | None, stop: int | None) -> bytes:
        start = 0 if start is None else start
        stop = self.size if stop is None else min(stop, self.size)
        if start >= stop:
            return b""
        if self._start <= start and stop <= self._end:
            self.hit_count += 1
            return self._cut(start, stop)
        self.miss_count += 1
        if self._start <= start <= self._end:
            head = self._cut(start, self._end)
            return head + self._further(self._end, stop)
        self._next_bytes = _LEAST_BYTES
        return self._further(start, stop)

    def _further(self, start: int, stop: int) -> bytes:
        """Fetch what is wanted and a little more, up to a multiple of what is fetched by now."""
        unit = self._next_bytes
        end = min(self.size, max(stop, start - start % unit + unit))
        self._next_bytes = min(_MOST_BYTES, 2 * unit)
        self._pieces, place = [], start
        for piece in self.fetch_pieces(start, stop, end):
            self._pieces.append((place, piece))
            place += len(piece)
        self.total_requested_bytes += place - start
        self._start, self._end = start, place
        return self._cut(start, stop)

    def _cut(self, start: int, stop: int) -> bytes:
        return bytes(assemble(self._pieces, start, stop)) if stop > start else b""


register_cache(RunCache, clobber=True)


class AxxonFile(AbstractBufferedFile):  # type: ignore[misc]  # as above
    """A result, open for reading."""

    def __init__(self, fs: Any, path: str, mode: str = "rb", **kwargs: Any) -> None:
        kwargs["cache_type"] = kwargs.get("cache_type") or RunCache.name
        self._loan: Loan | None = None
        self._run = (0, 0)  # what was fetched on and on: start, end
        super().__init__(fs, path, mode, **kwargs)
        if isinstance(self.cache, RunCache):
            self.cache.fetch_pieces = self._fetch_pieces

    def close(self) -> None:
        """Close the file, give back what it was lent, and say that nothing more of it is wanted."""
        if not self.closed:
            self._give_back()
            if self._details is not None:  # else nothing was read, and closing asks for nothing
                self.fs.leave(self._details)
        super().close()

    def _fetch_pieces(self, start: int, least: int, end: int) -> Sequence[Data]:
        """Return the bytes from `start` to `least`, and on to `end` where that costs no more, in pieces."""
        loan = self._loan_at(start)
        pieces: list[Data] = []
        while start < least:
            began_s = time.monotonic()
            piece = loan.take(start) if loan else None
            if piece is None:
                stop = min(end, loan.until(start)) if loan else end
                pieces += self.fs.read_pieces(self.details, start, stop, time.monotonic() - began_s)
                start = stop
            else:
                pieces.append(piece)
                start += len(piece)
        self._run = (self._run[0], start)
        return pieces

    def _loan_at(self, start: int) -> Loan | None:
        """Return what a file is lent that has read on and on up to `start`."""
        begin, end = self._run
        if start != end:
            self._give_back()
            self._run = (start, start)
        elif self._loan is None and end - begin >= _RUN_BYTES:
            self._loan = self.fs.lend(self.details)
            self._run = (start, start)
        return self._loan

    def _give_back(self) -> None:
        loan, self._loan = self._loan, None
        if loan is not None:
            loan.give_back()

    def _fetch_range(self, start: int, end: int) -> bytes:
        return joined(self.fs.read_pieces(self.details, start, end))


def joined(pieces: Sequence[Data]) -> bytes:
    """Return pieces as one."""
    return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)

"""Open results: file objects that read through the client of their process.

Decides how much a read asks the loop for: little at first and after a jump, and
several chunks once reading is sequential, so that small reads do not cost a change
of threads each. What is fetched ahead is not decided here but by
`core/readahead.py`. Blocking; a file object belongs to one thread at a time, as
Python's do.
"""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from fsspec.caching import BaseCache, Fetcher, register_cache
from fsspec.spec import AbstractBufferedFile

from axxonfs.core.chunks import KIB, Data, assemble
from axxonfs.core.line import MIB

# What a read asks for at least: a chunk of a narrow stream, so that less would cost the same.
_LEAST_BYTES = 64 * KIB
# And at most, if nobody asked for more. A change of threads costs 55 us (measured), 1 % of the time of 4 MiB at 1 GB/s.
_MOST_BYTES = 4 * MIB


class RunCache(BaseCache):  # type: ignore[misc]  # fsspec has no types
    """Keeps the pieces that were fetched last, and copies each byte once; more are fetched while reading is sequential.

    `fetch_pieces` is set by the file: other caches of fsspec know no pieces.
    """

    name: ClassVar[str] = "axxon"
    fetch_pieces: Callable[[int, int], Sequence[Data]]

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
        self.total_requested_bytes += end - start
        self._pieces, place = [], start
        for piece in self.fetch_pieces(start, end):
            self._pieces.append((place, piece))
            place += len(piece)
        self._start, self._end = start, end
        return self._cut(start, stop)

    def _cut(self, start: int, stop: int) -> bytes:
        return bytes(assemble(self._pieces, start, stop)) if stop > start else b""


register_cache(RunCache, clobber=True)


class AxxonFile(AbstractBufferedFile):  # type: ignore[misc]  # as above
    """A result, open for reading."""

    def __init__(self, fs: Any, path: str, mode: str = "rb", **kwargs: Any) -> None:
        kwargs["cache_type"] = kwargs.get("cache_type") or RunCache.name
        super().__init__(fs, path, mode, **kwargs)
        if isinstance(self.cache, RunCache):
            self.cache.fetch_pieces = self._fetch_pieces

    def _fetch_pieces(self, start: int, end: int) -> Sequence[Data]:
        pieces: Sequence[Data] = self.fs.read_pieces(self.details, start, end)
        return pieces

    def _fetch_range(self, start: int, end: int) -> bytes:
        return joined(self._fetch_pieces(start, end))


def joined(pieces: Sequence[Data]) -> bytes:
    """Return pieces as one."""
    return bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)

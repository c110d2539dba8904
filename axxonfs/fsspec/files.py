"""Open results: file objects that read through the client of their process.

Decides how much a read asks the loop for: little at first and after a jump, and a
whole chunk once reading is sequential, so that small reads do not cost a change of
threads each. What is fetched ahead is not decided here but by `core/readahead.py`.
Blocking; a file object belongs to one thread at a time, as Python's do.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from fsspec.caching import BaseCache, Fetcher, register_cache
from fsspec.spec import AbstractBufferedFile

from axxonfs.core.chunks import KIB
from axxonfs.core.line import MIB

# What a read asks for at least: a chunk of a narrow stream, so that less would cost the same.
_LEAST_BYTES = 64 * KIB
# And at most, if nobody asked for more: a chunk of a wide stream arrives without a copy.
_MOST_BYTES = MIB


class RunCache(BaseCache):  # type: ignore[misc]  # fsspec has no types
    """Keeps the piece that was fetched last; pieces grow while reading is sequential."""

    name: ClassVar[str] = "axxon"

    def __init__(self, blocksize: int, fetcher: Fetcher, size: int) -> None:
        super().__init__(blocksize, fetcher, size)
        self._start = 0
        self._piece = b""
        self._next_bytes = _LEAST_BYTES

    def _fetch(self, start: int | None, stop: int | None) -> bytes:
        start = 0 if start is None else start
        stop = self.size if stop is None else min(stop, self.size)
        if start >= stop:
            return b""
        end = self._start + len(self._piece)
        if self._start <= start and stop <= end:
            self.hit_count += 1
            return self._cut(start, stop)
        self.miss_count += 1
        if start == end:
            return self._further(start, stop)
        if self._start <= start < end:
            return self._cut(start, end) + self._further(end, stop)
        self._next_bytes = _LEAST_BYTES
        return self._further(start, stop)

    def _further(self, start: int, stop: int) -> bytes:
        """Fetch what is wanted and a little more, up to a multiple of what is fetched by now."""
        unit = self._next_bytes
        end = min(self.size, max(stop, start - start % unit + unit))
        self._next_bytes = min(_MOST_BYTES, 2 * unit)
        self.total_requested_bytes += end - start
        self._start, self._piece = start, self.fetcher(start, end)
        return self._cut(start, stop)

    def _cut(self, start: int, stop: int) -> bytes:
        return self._piece[start - self._start : stop - self._start]


register_cache(RunCache, clobber=True)


class AxxonFile(AbstractBufferedFile):  # type: ignore[misc]  # fsspec has no types
    """A result, open for reading."""

    def __init__(self, fs: Any, path: str, mode: str = "rb", **kwargs: Any) -> None:
        kwargs["cache_type"] = kwargs.get("cache_type") or RunCache.name
        super().__init__(fs, path, mode, **kwargs)

    def _fetch_range(self, start: int, end: int) -> bytes:
        return joined(self.fs.read_pieces(self.details, start, end))


def joined(pieces: Sequence[bytes | memoryview]) -> bytes:
    """Return pieces as one; a whole chunk is returned as it came."""
    if len(pieces) != 1:
        return b"".join(pieces)
    piece = pieces[0]
    if isinstance(piece, memoryview):
        whole = piece.obj
        return whole if isinstance(whole, bytes) and len(whole) == piece.nbytes else piece.tobytes()
    return piece

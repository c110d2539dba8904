"""Byte ranges and chunk indices; the check of a stream of chunks.

Decides which chunks a read touches, and whether a chunk that arrived is the one
that was due. Knows no gRPC and no clock. Not thread-safe: a `ChunkStream` belongs
to one thread at a time. Facts: section 7 of the wire contract.
"""

from collections.abc import Iterable, Sequence

from axxonfs.core import errors

KIB = 1024

Data = bytes | memoryview  # bytes of a result; a view holds no more than its chunk

# 4096 KiB of data no longer fit a message of gRPC's default 4 MiB limit (measured).
CHUNK_KB_RANGE = range(1, 4096)


class ChunkSizeClampedError(errors.StreamBrokenError):
    """The server cuts chunks smaller than it was asked to; ask for `chunk_size_bytes` instead."""

    def __init__(self, chunk_size_bytes: int) -> None:
        super().__init__(f"the server limits chunks to {chunk_size_bytes} bytes")
        self.chunk_size_bytes = chunk_size_bytes


class CountedAnewError(errors.StreamBrokenError):
    """The server counts chunks from the start of the file, other than was learnt before; ask again, and learn it."""


def chunk_count(file_size_bytes: int, chunk_size_bytes: int) -> int:
    """Return how many chunks a file has."""
    return -(-file_size_bytes // chunk_size_bytes)


def chunk_length(index: int, chunk_size_bytes: int, file_size_bytes: int) -> int:
    """Return the exact length of chunk `index` in bytes; 0 past the end of the file."""
    return max(0, min(chunk_size_bytes, file_size_bytes - index * chunk_size_bytes))


def telling_start(index: int, chunk_size_bytes: int, file_size_bytes: int) -> int:
    """Return where a download of chunk `index` must begin for its first chunk to tell how large the server cuts.

    A short last chunk does not: a server that cuts to just that length would send bytes of another place unnoticed.
    """
    short = chunk_length(index, chunk_size_bytes, file_size_bytes) < chunk_size_bytes
    return index - 1 if short and index > 0 else index


class ChunkStream:
    """Checks the chunks of one DownloadFile call and places them by a counter of its own.

    Whether a server counts `index` from the start of the file or from the start
    of the call is unknown; `relative` is learnt from the first chunk of a call
    that starts past 0 (None until then). What counts from the start of a call may
    turn out to count from that of the file. The other way round it is taken for a
    server that began at a wrong place: its chunks would look the same.
    """

    def __init__(
        self, start_index: int, chunk_size_bytes: int, file_size_bytes: int, *, relative: bool | None = None
    ) -> None:
        self.relative = relative
        self._start = start_index
        self._next = start_index
        self._chunk_size_bytes = chunk_size_bytes
        self._file_size_bytes = file_size_bytes

    def accept(self, index: int, length: int) -> int | None:
        """Return the absolute index of the chunk that arrived; None for an empty one after the end.

        Raises:
            ChunkSizeClampedError: the first chunk is shorter than asked for, in whole KiB.
            CountedAnewError: the first chunk is the one that was due if counted from the start of the file.
            WrongBytesError: it is not the chunk that was due, or not of its length.
        """
        due = chunk_length(self._next, self._chunk_size_bytes, self._file_size_bytes)
        if due == 0 and length == 0:
            return None
        if length != due:
            self._explain_length(length, due)
        self._check_index(index)
        self._next += 1
        return self._next - 1

    def finish(self) -> None:
        """Check that the whole rest of the file came.

        Raises:
            StreamBrokenError: the stream ended early; it may go on where it is resumed.
            WrongBytesError: it ended before it began: for the server the file has no such chunk.
        """
        if self._next * self._chunk_size_bytes >= self._file_size_bytes:
            return
        kind = errors.WrongBytesError if self._next == self._start else errors.StreamBrokenError
        raise kind(f"the download ended before chunk {self._next}")

    def _check_index(self, index: int) -> None:
        counted_from_start = self._next - self._start
        # From an index that is neither nothing is learnt.
        if self.relative is None and self._start > 0 and index in (self._next, counted_from_start):
            self.relative = index != self._next
        expected = counted_from_start if self.relative else self._next
        if index != expected:
            # In the middle of a call nothing may change it.
            anew = index == self._next == self._start
            kind = CountedAnewError if anew else errors.WrongBytesError
            raise kind(f"chunk {index} came where {expected} was due")

    def _explain_length(self, length: int, due: int) -> None:
        first = self._next == self._start
        if first and 0 < length < due and length % KIB == 0:
            raise ChunkSizeClampedError(length)
        raise errors.WrongBytesError(f"chunk {self._next} has {length} bytes instead of {due}")


Range = tuple[int, int]  # begin, end in bytes


def subtract(ranges: Sequence[Range], begin: int, end: int) -> list[Range]:
    """Return what is left of disjoint ranges without the bytes from `begin` to `end`."""
    left = []
    for first, last in ranges:
        left += [(first, min(last, begin))] if first < begin else []
        left += [(max(first, end), last)] if last > end else []
    return left


def merged_ranges(ranges: Iterable[Range], unit: int, size_bytes: int) -> list[Range]:
    """Return the ranges of whole chunks of `unit` bytes that ranges within a file touch, in order and disjoint."""
    merged: list[Range] = []
    for begin, end in sorted(ranges):
        first, last = begin - begin % unit, min(size_bytes, -(-end // unit) * unit)
        if end <= begin:
            continue
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged


def assemble(held: Iterable[tuple[int, Data]], begin: int, end: int) -> Data:
    """Return the bytes from `begin` to `end` out of chunks (start, data) that cover them; no copy out of one chunk."""
    views: list[memoryview] = []
    place = begin
    for start, data in sorted(held, key=lambda chunk: chunk[0]):
        if start <= place < min(end, start + len(data)):
            views.append(memoryview(data)[place - start : end - start])
            place = start + len(data)
    return views[0] if len(views) == 1 else b"".join(views)

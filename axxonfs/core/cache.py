"""The cache of chunks, and which of them stay: those that somebody comes to soonest.

A reader that moves forward is a cursor. Chunks ahead of one will be read, the
sooner the nearer and the faster it is, and go last, the latest-needed first: the
rule of the best possible cache, with a forecast in the place of the future.
Behind all cursors nobody is on the way. There the forecast is that whoever read
will do so again in the same way, after as long as it is ago that the last one
began: what a reader met first when it opened a file (its head, its tail, where it
jumped to) outlives what it met later, and a scan through a file larger than the
cache leaves the beginning for the next one. Where a file has several readers already,
the next one is counted on as much as one that is on its way. Least recently used is the opposite:
it drops just what the next reader needs.

Pure: times are handed in. Belongs to the event loop. The cache is checked against
the best possible one, which knows the future, in tests/unit/test_cache.py.
"""

import bisect
import collections
import dataclasses
import math

from axxonfs.core.chunks import KIB, Data, Range

# The kernel has up to 2 MiB of one reader in flight, out of order (measured).
_STEP_BYTES = 2048 * KIB
# Who pauses longer than this, or comes to a chunk only later, is not counted on. Guessed.
_COMING_S = 10.0
# More readers of one file than this share cursors; a bound, far above what was seen.
_MAX_CURSORS = 64
# Looking over all chunks has its price: one look says of a part of them in which order they may go. It holds no
# longer than this; of less where somebody reads elsewhere, or where readers share a file. Guessed.
_LEAVING_PART, _SURELY_LEAVING_PART = 8, 64
_LEAVING_S = 0.25
_LEAST_RATE = 1.0  # bytes per second


@dataclasses.dataclass(slots=True)
class _Cursor:
    """Where a reader is, and since when it has been moving forward."""

    by: object
    origin: int
    place: int  # one past the highest byte it asked for
    began_s: float
    used_s: float

    def wait_s(self, start: int, now_s: float) -> float:
        """Return in how many seconds it will be at `start`, if it goes on as before."""
        rate = max(_LEAST_RATE, (self.place - self.origin) / max(self.used_s - self.began_s, 1e-3))
        return now_s - self.used_s + max(0, start - self.place) / rate


class _Readers:
    """The cursors of one file."""

    def __init__(self) -> None:
        self._cursors: list[_Cursor] = []

    def step(self, by: object, begin: int, end: int, now_s: float) -> tuple[float, bool]:
        """Move the cursor that a read belongs to, or make one; return since when it moves, and whether it jumped."""
        mine = (cursor for cursor in self._cursors if cursor.by == by)
        near = min(mine, key=lambda cursor: abs(cursor.place - begin), default=None)
        jumped = near is not None and abs(near.place - begin) > _STEP_BYTES
        if near is None or jumped:
            near = _Cursor(by, begin, begin, now_s, now_s)
            self._cursors.append(near)
            if len(self._cursors) > _MAX_CURSORS:
                self._cursors.remove(min(self._cursors, key=lambda cursor: cursor.used_s))
        near.place, near.used_s = max(near.place, end), now_s
        return near.began_s, jumped

    def began_s(self, start: int, now_s: float) -> float:
        """Return since when the reader has been moving that is nearest to `start`; now where there is none."""
        near = min(self._cursors, key=lambda cursor: abs(cursor.place - start), default=None)
        return near.began_s if near else now_s

    @property
    def number(self) -> int:
        """How many different readers there are."""
        return len({cursor.by for cursor in self._cursors})

    def leave(self, by: object) -> None:
        """Forget the cursors of one reader."""
        self._cursors = [cursor for cursor in self._cursors if cursor.by != by]

    def coming(self, now_s: float) -> list[_Cursor]:
        """Return the cursors that are on their way, in the order of the file; forget those that paused for long."""
        self._cursors = [cursor for cursor in self._cursors if now_s - cursor.used_s < _COMING_S]
        # One read alone is no way.
        moving = (cursor for cursor in self._cursors if cursor.used_s > cursor.began_s)
        return sorted(moving, key=lambda cursor: cursor.place)


@dataclasses.dataclass(slots=True)
class _Chunk:
    data: Data
    unread_bytes: int
    # Where nobody is on the way to it: the less, the later it is expected to be read again. The run that
    # read it began at b and was here at t. Another that begins as long from now as b is ago is here at
    # now + (now - b) + (t - b): the order of that does not depend on now, and is the order of b + b - t.
    worth_s: float


_Key = tuple[int, int, int]  # file, chunk size, start


class ChunkCache:
    """Chunks of all files, within `budget_bytes`.

    A file may be cut into chunks of several sizes; each chunk begins at a
    multiple of its size.
    """

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self.used_bytes = 0
        self.jumps = 0  # of readers, to elsewhere than they were going
        self._chunks: dict[_Key, _Chunk] = {}
        self._sizes: dict[int, collections.Counter[int]] = {}  # file -> chunk size -> how many are here
        self._readers: dict[int, _Readers] = {}
        self._leaving: list[_Key] = []  # the least needed last
        self._spared: set[_Key] = set()  # of these, what was used since
        self._looked_s = -math.inf

    def __len__(self) -> int:
        return len(self._chunks)

    def find(self, file: int, place: int) -> tuple[int, Data] | None:
        """Return start and data of the chunk that holds a byte."""
        found = self._find(file, place)
        return found and (found[0][2], found[1].data)

    def read(
        self, file: int, begin: int, end: int, now_s: float, by: object = None
    ) -> tuple[list[tuple[int, Data]], list[Range]]:
        """Return the chunks that are here of what `by` reads, and what is missing: disjoint ranges in their order."""
        began_s = self.step(file, begin, end, now_s, by)
        sizes = self._sizes.get(file)
        if not sizes:
            return [], [(begin, end)]
        held: list[tuple[int, Data]] = []
        missing: list[Range] = []
        place = begin
        while place < end:
            found = self._find(file, place)
            if found is not None:
                key, chunk = found
                self._spare(key)
                chunk.worth_s = max(chunk.worth_s, 2 * began_s - now_s)
                chunk.unread_bytes -= min(end, key[2] + len(chunk.data)) - place
                held.append((key[2], chunk.data))
                place = key[2] + len(chunk.data)
                continue
            after = min(end, *(place - place % size + size for size in sizes))
            if missing and missing[-1][1] == place:
                missing[-1] = missing[-1][0], after
            else:
                missing.append((place, after))
            place = after
        return held, missing

    def step(self, file: int, begin: int, end: int, now_s: float, by: object = None) -> float:
        """Take note that `by` reads from `begin` to `end`; return since when it moves forward."""
        began_s, jumped = self._readers.setdefault(file, _Readers()).step(by, begin, end, now_s)
        self.jumps += jumped
        if began_s == now_s:  # somebody begins here
            self._keep_of_leaving(_SURELY_LEAVING_PART)
        return began_s

    def readers(self, file: int) -> int:
        """Return how many readers a file has."""
        return self._readers[file].number if file in self._readers else 0

    def leave(self, file: int, by: object) -> None:
        """Take note that a reader is done with a file."""
        if file in self._readers:
            self._readers[file].leave(by)

    def covers(self, file: int, begin: int, end: int) -> bool:
        """Whether all bytes of a range are here."""
        place = begin
        while place < end:
            found = self._find(file, place)
            if found is None:
                return False
            place = found[0][2] + len(found[1].data)
        return True

    def put(self, file: int, size: int, start: int, data: Data, now_s: float, wanted_bytes: int = 0) -> int:
        """Take a checked chunk of chunk size `size`, and let others go until the budget holds; return as `shrink`.

        `wanted_bytes` of it are read already, by those who waited for it.
        """
        key = (file, size, start)
        wasted_bytes = self._drop(key)
        self._spare(key)
        began_s = self._readers.setdefault(file, _Readers()).began_s(start, now_s)
        self._chunks[key] = _Chunk(data, len(data) - wanted_bytes, 2 * began_s - now_s)
        self._sizes.setdefault(file, collections.Counter())[size] += 1
        self.used_bytes += len(data)
        return wasted_bytes + self.shrink(now_s)

    def shrink(self, now_s: float) -> int:
        """Let chunks go until the budget holds: those first that are needed last; return how many bytes nobody read."""
        wasted_bytes = 0
        if now_s - self._looked_s > _LEAVING_S:
            self._leaving, self._spared = [], set()
        while self.used_bytes > self.budget_bytes and self._leaving:
            key = self._leaving.pop()
            if key not in self._spared:
                wasted_bytes += self._drop(key)
        if self.used_bytes <= self.budget_bytes:
            return wasted_bytes
        self._leaving, self._spared, self._looked_s = self._least_needed_first(now_s)[::-1], set(), now_s
        while self.used_bytes > self.budget_bytes and self._leaving:
            wasted_bytes += self._drop(self._leaving.pop())
        # Where readers share a file the order changes with each of their steps.
        self._keep_of_leaving(_SURELY_LEAVING_PART if self._shared() else _LEAVING_PART)
        return wasted_bytes

    def _spare(self, key: _Key) -> None:
        if self._leaving:
            self._spared.add(key)

    def _keep_of_leaving(self, part: int) -> None:
        """Forget the order in which chunks may go but for the first of them."""
        del self._leaving[: max(0, len(self._leaving) - len(self._chunks) // part)]

    def drop_file(self, file: int) -> int:
        """Forget all chunks of a file, and its readers; return how many bytes nobody read."""
        self._readers.pop(file, None)
        return sum(self._drop(key) for key in [key for key in self._chunks if key[0] == file])

    def _find(self, file: int, place: int) -> tuple[_Key, _Chunk] | None:
        for size in self._sizes.get(file, ()):
            key = (file, size, place - place % size)
            chunk = self._chunks.get(key)
            if chunk is not None and place < key[2] + len(chunk.data):
                return key, chunk
        return None

    def _least_needed_first(self, now_s: float) -> list[_Key]:
        coming = {file: readers.coming(now_s) for file, readers in self._readers.items()}
        places = {file: [cursor.place for cursor in cursors] for file, cursors in coming.items()}
        shared = self._shared()

        def need(item: tuple[_Key, _Chunk]) -> tuple[bool, float]:
            (file, _, start), chunk = item
            # The nearest cursor that has not read it whole.
            number = bisect.bisect_left(places.get(file, ()), start + len(chunk.data))
            wait_s = coming[file][number - 1].wait_s(start, now_s) if number else _COMING_S
            if file in shared:
                wait_s = min(wait_s, now_s - chunk.worth_s)
            return (True, -wait_s) if wait_s < _COMING_S else (False, chunk.worth_s)

        return [key for key, _ in sorted(self._chunks.items(), key=need)]

    def _shared(self) -> set[int]:
        """Return the files that have several readers."""
        return {file for file, readers in self._readers.items() if readers.number > 1}

    def _drop(self, key: _Key) -> int:
        """Let a chunk go; return how many of its bytes nobody read."""
        chunk = self._chunks.pop(key, None)
        if chunk is None:
            return 0
        self.used_bytes -= len(chunk.data)
        file, size, _ = key
        self._sizes[file][size] -= 1
        if not self._sizes[file][size]:
            del self._sizes[file][size]
        if not self._sizes[file]:
            del self._sizes[file]
        return max(0, chunk.unread_bytes)

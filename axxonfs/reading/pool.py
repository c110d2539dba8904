"""What all results of a mount share: the cache, the line's measure, and the bounds of streams and bytes.

Belongs to the event loop. Imports core and remote.
"""

import collections
import dataclasses
import logging
import time
import weakref
from collections.abc import Sequence
from typing import Protocol

import trio

from axxonfs.core import chunks, readahead
from axxonfs.core.breaker import Breaker
from axxonfs.core.budget import Budget
from axxonfs.core.cache import ChunkCache
from axxonfs.core.latencies import Latencies
from axxonfs.core.line import FirstChunk, Line, Sample, within
from axxonfs.reading.tasks import Tasks
from axxonfs.remote.exports import ExportClient

log = logging.getLogger(__name__)

# A stream that others wait for gives its slot up after this. Guessed: long enough to be worth a
# round trip, short enough for a dozen turns within the deadline of a read.
TURN_S = 2.0
# One session has all but a quarter of the streams at most: if it is stuck, others are not.
RESERVE = 4


@dataclasses.dataclass(slots=True)
class Counters:
    """What `stats.json` shows of reading. Bytes, unless named otherwise."""

    hits: int = 0
    misses: int = 0
    fetched_bytes: int = 0
    served_bytes: int = 0
    wasted_bytes: int = 0  # fetched, and let go without anybody having read them
    seeks: int = 0  # of readers, to elsewhere than they were going
    streams_opened: int = 0
    streams_open: int = 0
    wide_streams_opened: int = 0
    retries: int = 0
    failures: int = 0
    refused: int = 0  # reads that failed at once


class Streams(Protocol):
    """A result that has streams open."""

    @property
    def session_id(self) -> str:
        """Whose result it is."""

    @property
    def ending_bytes(self) -> int:
        """What streams have in flight that were stopped and are about to end."""

    def left_open(self) -> list[tuple[float, int]]:
        """Return the same as `unused` where nobody has the result open any more."""

    def unused(self) -> list[tuple[float, int]]:
        """Return when each stream that nobody waits for was last used, and its number."""

    def stop_stream(self, stream: int) -> None:
        """Cancel one stream."""


class Pool:
    """The shared means of one mount."""

    def __init__(
        self,
        client: ExportClient,
        tasks: Tasks,
        *,
        cache_bytes: int,
        chunk_size_bytes: int,
        max_streams: int,
        rate_limit_bytes: int = 0,
        breaker: Breaker | None = None,
    ) -> None:
        self.client = client
        self.tasks = tasks
        self.budget = Budget(cache_bytes, max_streams)
        self.cache = ChunkCache(cache_bytes)
        self.line = Line()
        self.sizes = readahead.Sizes()
        # Chunks that fill the cache would push each other out before they are read to their ends.
        self.clamp(min(chunk_size_bytes, cache_bytes // 8 // chunks.KIB * chunks.KIB))
        self.slots = trio.CapacityLimiter(self.budget.max_streams)
        self._most_for_one = max(1, self.budget.max_streams - self.budget.max_streams // RESERVE)
        self._slots_of: weakref.WeakValueDictionary[str, trio.CapacityLimiter] = weakref.WeakValueDictionary()
        self.breaker = breaker or Breaker()
        self.limits = readahead.Limits(
            max_window=min(readahead.Limits().max_window, cache_bytes // 8), cache_bytes=cache_bytes
        )
        self.counters = Counters()
        self.first_chunks = Latencies()
        self.reads = Latencies()
        self.relative_index: bool | None = None  # how this server counts chunks, once seen
        self._rate_limit_bytes = rate_limit_bytes
        self._next_fetch_s = 0.0
        self._streaming: collections.Counter[Streams] = collections.Counter()  # who has streams, and how many
        self._warm: set[int] = set()
        self._next_file = 0

    def add(self) -> int:
        """Take a result in; return the number of its chunks in the cache."""
        self._next_file += 1
        return self._next_file

    def remove(self, file: int) -> None:
        """Let a result and its chunks go."""
        self.counters.wasted_bytes += self.cache.drop_file(file)

    def most_in_flight(self, *, seek: bool) -> float:
        """Return how much one more stream may have in flight.

        Where a seek would get less than the line holds, streams of results that nobody has open make room for it.
        """
        while (most_bytes := self._most_in_flight(seek=seek)) < self.line.seek_bytes and seek:
            left = [(used_s, stream, reader) for reader in self._streaming for used_s, stream in reader.left_open()]
            if not left:
                break
            _stop_oldest(left)
        return most_bytes

    def _most_in_flight(self, *, seek: bool) -> float:
        ending_bytes = sum(reader.ending_bytes for reader in self._streaming)
        return self.budget.most_in_flight(seek=seek, ending_bytes=ending_bytes)

    def take(self, reader: Streams, in_flight_bytes: int) -> None:
        """Take note of a stream that is going to have so much in flight: the cache makes room for it."""
        self._streaming[reader] += 1
        self.budget.take(in_flight_bytes)
        self.cache.budget_bytes = self.budget.cache_bytes
        self.counters.wasted_bytes += self.cache.shrink(trio.current_time())

    def give_back(self, reader: Streams, in_flight_bytes: int) -> None:
        """Take note of the end of such a stream."""
        self._streaming[reader] -= 1
        if not self._streaming[reader]:
            del self._streaming[reader]
        self.budget.give_back(in_flight_bytes)
        self.cache.budget_bytes = self.budget.cache_bytes

    def learn(self, samples: Sequence[Sample]) -> None:
        """Take note of what a stream has shown of the line, and connect behind what the next ones will use."""
        for sample in samples:
            self.line.note(sample)
            if isinstance(sample, FirstChunk):
                self.first_chunks.note(sample.waited_s)
        if samples:
            self.warm()

    def warm(self) -> None:
        """Connect behind what streams that begin now would use: then no reader pays for it."""
        run_bytes = within(min(self.line.run_bytes, self.budget.most_for_a_run_bytes))
        wanted = {self.line.seek_bytes} | ({run_bytes} if self.line.is_fast else set())
        for in_flight_bytes in wanted - self._warm:
            self.client.link.warm(in_flight_bytes)
        self._warm |= wanted

    def note_failed_read(self) -> None:
        """Take note of a read that got nothing before its deadline."""
        self.counters.failures += 1
        if self.breaker.read_failed(time.time()):
            log.warning("server away, reads fail at once until it answers")

    async def pace(self, fetched_bytes: int) -> None:
        """Wait as long as the rate limit asks for after `fetched_bytes`."""
        if self._rate_limit_bytes:
            now_s = trio.current_time()
            self._next_fetch_s = max(self._next_fetch_s, now_s) + fetched_bytes / self._rate_limit_bytes
            await trio.sleep(self._next_fetch_s - now_s)

    @property
    def is_paced(self) -> bool:
        """Whether bytes have to wait for a rate limit."""
        return bool(self._rate_limit_bytes)

    @property
    def most_ahead_bytes(self) -> int:
        """How far each stream may run ahead, so that none pushes out of the cache what another fetched for later."""
        return self.cache.budget_bytes // 2 // max(1, self.counters.streams_open)

    def slots_of(self, session_id: str) -> trio.CapacityLimiter:
        """Return what bounds the streams of one session."""
        limiter = self._slots_of.get(session_id)
        if limiter is None:
            limiter = self._slots_of[session_id] = trio.CapacityLimiter(self._most_for_one)
        return limiter

    def is_short(self, session_id: str) -> bool:
        """Whether streams wait for those of this session to end."""
        limiters = (self.slots, self.slots_of(session_id))
        return any(limiter.statistics().tasks_waiting > 0 for limiter in limiters)

    def make_room(self, session_id: str) -> None:
        """Stop the stream that was unused for longest, where all are taken and one of those is unused."""
        if self.slots.available_tokens <= 0:
            readers = list(self._streaming)
        elif self.slots_of(session_id).available_tokens <= 0:
            readers = [reader for reader in self._streaming if reader.session_id == session_id]
        else:
            return
        unused = [(used_s, stream, reader) for reader in readers for used_s, stream in reader.unused()]
        if unused:
            _stop_oldest(unused)

    def clamp(self, chunk_size_bytes: int) -> None:
        """Go on with no larger chunks than the server is willing to send."""
        narrow = self.sizes.narrow
        if chunk_size_bytes < narrow or chunk_size_bytes % narrow:
            self.sizes = readahead.Sizes(chunk_size_bytes, chunk_size_bytes)
        else:
            self.sizes = readahead.Sizes(narrow, chunk_size_bytes)


def _stop_oldest(unused: Sequence[tuple[float, int, Streams]]) -> None:
    """Stop the stream of which the last use was first: when it was, its number, whose it is."""
    _, stream, reader = min(unused, key=lambda row: row[0])
    reader.stop_stream(stream)

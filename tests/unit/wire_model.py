"""Everything that reads but gRPC, in the clock of trio's tests: readers, cache and policy are the real ones.

A `Wire` stands for server and line, and counts what it sends, as a proxy would. A
stream has at most so much on its way as its limits say; what is on its way when it
is cancelled was sent for nothing. Server, daemon and readers share one processor,
and chance says who has it next.
"""

import collections
import contextlib
import random
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest
import trio

from axxonfs.core.chunks import Data
from axxonfs.core.line import MIB, FirstChunk, Rate, Sample
from axxonfs.reading import reader as reader_module
from axxonfs.reading.pool import Pool
from axxonfs.reading.reader import ResultReader, Source
from axxonfs.reading.tasks import Tasks
from axxonfs.remote.download import Batch, Limits

_ZEROS = memoryview(bytes(4 * MIB))
_FOR_EVER_S = 1e6


class Wire:
    """A line of `round_trip_s`, and a processor that takes `chunk_s` for a message and moves `bytes_per_s`."""

    def __init__(self, nursery: trio.Nursery, *, round_trip_s: float, bytes_per_s: float, chunk_s: float = 0.0) -> None:
        self.round_trip_s = round_trip_s
        self.sent_bytes = 0
        self.streams: list[tuple[int, Limits]] = []  # where each began, and within what bounds
        self.nursery = nursery
        self._bytes_per_s = bytes_per_s
        self._chunk_s = chunk_s
        self._chance = random.Random(1)
        self._busy = False
        self._waiting: list[trio.Event] = []

    async def work(self, size: int) -> float:
        """Have the processor for as long as so many bytes need; return that."""
        needed_s = self._chunk_s + size / self._bytes_per_s
        if self._busy:
            turn = trio.Event()
            self._waiting.append(turn)
            await turn.wait()
        self._busy = True
        try:
            await trio.sleep(needed_s)
        finally:
            self._busy = False
            if self._waiting:
                self._busy = True
                self._waiting.pop(self._chance.randrange(len(self._waiting))).set()
        return needed_s

    def first_byte_s(self) -> float:
        """Return how long a call takes to its first byte: a round trip, and about as much for a busy machine."""
        return self.round_trip_s * (1 + self._chance.expovariate(1))

    @property
    def link(self) -> "Wire":
        """What a pool asks for connections."""
        return self

    def warm(self, in_flight_bytes: int) -> None:
        """Take note that such streams will come: there is nothing to connect."""


class _Stream:
    """What a `DownloadStream` is to a reader of results."""

    def __init__(
        self, wire: Wire, *_result: str, chunk_size_bytes: int, start_index: int, file_size_bytes: int, limits: Limits,
        relative: bool | None,
    ) -> None:  # fmt: skip
        self.relative = relative
        self.dropped_bytes = 0
        self._wire, self._chunk_bytes, self._size_bytes = wire, chunk_size_bytes, file_size_bytes
        self._most_bytes = limits.in_flight_bytes + limits.waiting_bytes
        self._index = start_index
        self._here: collections.deque[tuple[int, Data]] = collections.deque()
        self._here_bytes = 0
        self._samples: list[Sample] = []
        self._changed = trio.Event()
        self._scope = trio.CancelScope()
        self._ended = False
        wire.streams.append((start_index * chunk_size_bytes, limits))
        wire.nursery.start_soon(self._serve)

    async def _serve(self) -> None:
        began_s = trio.current_time()
        with self._scope:
            await trio.sleep(self._wire.first_byte_s())
            while (place := self._index * self._chunk_bytes) < self._size_bytes:
                size = min(self._chunk_bytes, self._size_bytes - place)
                while self._here_bytes + size > self._most_bytes:
                    await self._change()
                with trio.CancelScope(shield=True):
                    needed_s = await self._wire.work(size)
                self._wire.sent_bytes += size
                shown = Rate(size / needed_s) if self._samples else FirstChunk(trio.current_time() - began_s)
                self._samples.append(shown)
                self._here.append((self._index, _ZEROS[:size]))
                self._here_bytes += size
                self._index += 1
                self._notify()
        self._ended = True
        self._notify()

    async def receive(self, most: int | None = None) -> Batch:
        """Return what has come."""
        while not self._here and not self._ended:
            await self._change()
        batch = [self._here.popleft() for _ in range(min(len(self._here), most or len(self._here)))]
        self._here_bytes -= sum(len(data) for _, data in batch)
        self._notify()
        await trio.lowlevel.checkpoint()
        return batch

    def samples(self) -> list[Sample]:
        """Return what the stream has shown of the line."""
        samples, self._samples = self._samples, []
        return samples

    async def aclose(self) -> None:
        """Cancel it."""
        self._scope.cancel()
        await trio.lowlevel.checkpoint()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def _change(self) -> None:
        await self._changed.wait()


@contextlib.asynccontextmanager
async def wired(
    monkeypatch: pytest.MonkeyPatch, *, cache_bytes: int, max_streams: int = 16, **line: float
) -> AsyncIterator[tuple[Wire, Pool]]:
    """Yield a wire and a pool at its end."""
    monkeypatch.setattr(reader_module, "DownloadStream", _Stream)
    async with trio.open_nursery() as nursery:
        wire = Wire(nursery, **line)
        pool = Pool(
            cast("Any", wire), Tasks(nursery), cache_bytes=cache_bytes, chunk_size_bytes=MIB, max_streams=max_streams
        )
        yield wire, pool
        nursery.cancel_scope.cancel()


def result_of(pool: Pool, size_bytes: int, touched: Callable[[], None] = lambda: None) -> ResultReader:
    """Return a result of so many bytes."""
    return ResultReader(pool, Source("session", "path", size_bytes, touched))


async def read(result: ResultReader, offset: int, size: int, by: object = None) -> None:
    """Read, and wait as long as it takes."""
    await result.read(offset, size, trio.current_time() + _FOR_EVER_S, by)

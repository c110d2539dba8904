"""What all results of a mount share: the client, the cache, the slots of the streams, the rate.

Bounds what reading costs the server and this machine. Belongs to the event loop;
the only await is for the rate limit. Imports core and remote.
"""

import dataclasses
from typing import Protocol

import trio

from axxonfs.core import chunks, readahead
from axxonfs.fs.tasks import Tasks
from axxonfs.remote.exports import ExportClient


@dataclasses.dataclass(slots=True)
class Counters:
    """What `stats.json` shows of reading. Bytes, unless named otherwise."""

    hits: int = 0
    misses: int = 0
    fetched_bytes: int = 0
    served_bytes: int = 0
    streams_opened: int = 0
    streams_open: int = 0
    retries: int = 0
    failures: int = 0


class Reader(Protocol):
    """The streams of one result."""

    def unused(self) -> list[tuple[float, int]]:
        """Return when each stream that nobody waits for was last used, and its number."""

    def stop_stream(self, stream: int) -> None:
        """Cancel one stream."""


class Pool:
    """What all results of a mount share: the client, the cache, the tasks of the streams, a bound of streams."""

    def __init__(
        self,
        client: ExportClient,
        tasks: Tasks,
        *,
        cache_bytes: int,
        chunk_size_bytes: int,
        max_streams: int,
        rate_limit_bytes: int = 0,
        limits: readahead.Limits | None = None,
    ) -> None:
        self.client = client
        self.tasks = tasks
        self.cache = chunks.ChunkCache(cache_bytes)
        self.chunk_size_bytes = chunk_size_bytes
        self.slots = trio.CapacityLimiter(max_streams)
        self.limits = limits or readahead.Limits()
        self.counters = Counters()
        self._rate_limit_bytes = rate_limit_bytes
        self._next_fetch_s = 0.0
        self.relative_index: bool | None = None  # how this server counts chunks, once seen
        self.proven_chunk_bytes = 0  # the size of chunks that this server was seen to send
        self._readers: dict[Reader, None] = {}
        self._next_file = 0

    def add(self, reader: Reader) -> int:
        """Take a result in; return the number of its chunks in the cache."""
        self._readers[reader] = None
        self._next_file += 1
        return self._next_file

    def remove(self, reader: Reader, file: int) -> None:
        """Let a result and its chunks go."""
        self._readers.pop(reader, None)
        self.cache.drop_file(file)

    async def pace(self, fetched_bytes: int) -> None:
        """Wait as long as the rate limit asks for after `fetched_bytes`."""
        if self._rate_limit_bytes:
            now_s = trio.current_time()
            self._next_fetch_s = max(self._next_fetch_s, now_s) + fetched_bytes / self._rate_limit_bytes
            await trio.sleep(self._next_fetch_s - now_s)

    def make_room(self) -> None:
        """Stop the stream that was unused for longest, where all are taken and one is unused."""
        if self.slots.available_tokens > 0:
            return
        unused = [(used_s, stream, reader) for reader in self._readers for used_s, stream in reader.unused()]
        if unused:
            _, stream, reader = min(unused, key=lambda row: row[0])
            reader.stop_stream(stream)

"""Results as bytes: chunks from the cache, else from streams, one fetch per chunk whoever asks.

Carries out what `core.readahead` decides: opens, continues and stops streams,
hands arriving chunks to the reads that wait for them, and starts again at the
next missing chunk where a stream broke. Belongs to the event loop; the only
awaits are for a chunk, a stream, or room in a window. Imports core and remote.
"""

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Sequence

import trio

from axxonfs.core import chunks, errors, readahead
from axxonfs.fs.pool import Pool
from axxonfs.remote.download import Batch, DownloadStream

log = logging.getLogger(__name__)

# Between two attempts at the same chunk; the deadline of the read bounds how many there are.
RETRY_PAUSE_S = 0.25


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """Where a result's bytes are, and its exact size."""

    session_id: str
    path: str
    size_bytes: int
    touched: Callable[[], None]  # called when a download begins: it starts the server's timer anew


@dataclasses.dataclass(slots=True, eq=False)
class _Wait:
    """One read that waits for chunks."""

    wanted: range
    missing: set[int]
    got: dict[int, bytes]
    wake: trio.Event = dataclasses.field(default_factory=trio.Event)
    error: errors.AxxonfsError | None = None


class ResultReader:
    """The bytes of one result, for all of its handles."""

    def __init__(self, pool: Pool, source: Source) -> None:
        self._pool = pool
        self._source = source
        self._file = pool.add(self)
        self._chunk_size_bytes = pool.chunk_size_bytes
        self._policy = readahead.ReadAhead(pool.limits)
        self._waits: dict[_Wait, None] = {}
        self._resume: dict[int, trio.Event] = {}
        self._scopes: dict[int, trio.CancelScope] = {}
        self._seen = bytearray()
        self._closed: errors.AxxonfsError | None = None

    @property
    def read_whole(self) -> bool:
        """Whether every chunk was asked for by some reader."""
        count = chunks.chunk_count(self._source.size_bytes, self._chunk_size_bytes)
        return len(self._seen) == count and all(self._seen)

    async def read(self, offset: int, size: int, deadline_s: float) -> bytes | memoryview:
        """Return the bytes from `offset`, `size` of them or up to the end of the result.

        Args:
            offset: in bytes, any.
            size: in bytes, any.
            deadline_s: on trio's clock.

        Raises:
            DeadlineError, StreamBrokenError, ServerAwayError, WrongBytesError: they did not come.
            SessionGoneError: the server has the session no more.
            AccessError: the account may not download it.
        """
        while True:
            chunk_size_bytes = self._chunk_size_bytes
            wanted = chunks.chunks_of(offset, size, chunk_size_bytes, self._source.size_bytes)
            with contextlib.suppress(chunks.ChunkSizeClampedError):
                got = await self._chunks(wanted, deadline_s)
                if chunk_size_bytes == self._chunk_size_bytes:
                    return self._reply(wanted, got, offset, size)

    def close(self) -> None:
        """Cancel all streams, let the cached chunks go, and fail the reads that wait."""
        self._closed = errors.ServerAwayError("the mount ends")
        self._apply(self._policy.stop_all())
        self._pool.remove(self, self._file)
        for wait in self._waits:
            wait.wake.set()

    def stop_idle(self) -> None:
        """Cancel the streams that nobody used for a while."""
        self._apply(self._policy.idle(trio.current_time()))

    def stop_stream(self, stream: int) -> None:
        """Cancel one stream."""
        self._apply(self._policy.stop(stream))

    def unused(self) -> list[tuple[float, int]]:
        """Return when each stream that nobody waits for was last used, and its number."""
        return self._policy.unused()

    # -- from the cache; no await ---------------------------------------------

    def _cached(self, wanted: range) -> dict[int, bytes]:
        found = ((index, self._pool.cache.get(self._key(index))) for index in wanted)
        return {index: data for index, data in found if data is not None}

    def _key(self, index: int) -> chunks.ChunkKey:
        return chunks.ChunkKey(self._file, self._chunk_size_bytes, index)

    def _reply(self, wanted: range, got: dict[int, bytes], offset: int, size: int) -> bytes | memoryview:
        self._mark(wanted)
        reply = self._slice([got[index] for index in wanted], offset, size, wanted.start)
        self._pool.counters.served_bytes += len(reply)
        return reply

    def _cut_anew(self, clamped: chunks.ChunkSizeClampedError) -> None:
        """Go on with the size of chunks that the server is willing to send, here and for new results.

        All reads that wait begin again: what they wait for is counted in the old size.
        """
        if clamped.chunk_size_bytes == self._chunk_size_bytes:
            return
        log.info("chunk size clamped by the server bytes=%d", clamped.chunk_size_bytes)
        self._pool.chunk_size_bytes = self._chunk_size_bytes = clamped.chunk_size_bytes
        self._apply(self._policy.stop_all())
        self._seen = bytearray()
        waits, self._waits = self._waits, {}
        for wait in waits:
            wait.error = clamped
            wait.wake.set()

    def _mark(self, wanted: range) -> None:
        if not self._seen:
            self._seen = bytearray(chunks.chunk_count(self._source.size_bytes, self._chunk_size_bytes))
        for index in wanted:
            self._seen[index] = 1

    def _slice(self, parts: Sequence[bytes], offset: int, size: int, first: int) -> bytes | memoryview:
        if not parts:
            return b""
        begin = offset - first * self._chunk_size_bytes
        if len(parts) == 1:
            return memoryview(parts[0])[begin : begin + size]
        views = [memoryview(part) for part in parts]
        views[0] = views[0][begin:]
        tail = size - sum(len(view) for view in views[:-1])
        views[-1] = views[-1][:tail]
        return b"".join(views)

    # -- waiting ----------------------------------------------------------------

    async def _chunks(self, wanted: range, deadline_s: float) -> dict[int, bytes]:
        got = self._cached(wanted)
        missing = {index for index in wanted if index not in got}
        if not missing:
            self._pool.counters.hits += 1
            self._apply(self._policy.on_read(wanted, (), trio.current_time()))
            return got
        self._pool.counters.misses += 1
        wait = _Wait(wanted, missing, got)
        self._waits[wait] = None
        self._ask(wait)
        try:
            while wait.missing:
                await self._wait(wait, deadline_s)
        except chunks.ChunkSizeClampedError:
            raise
        except errors.AxxonfsError:
            self._pool.counters.failures += 1
            raise
        finally:
            self._waits.pop(wait, None)
        return wait.got

    def _ask(self, wait: _Wait) -> None:
        self._apply(self._policy.on_read(wait.wanted, sorted(wait.missing), trio.current_time()))

    async def _wait(self, wait: _Wait, deadline_s: float) -> None:
        """Wait for the chunks, or for a reason to ask for them again."""
        with trio.move_on_at(deadline_s) as scope:
            await wait.wake.wait()
        error, wait.error, wait.wake = wait.error, None, trio.Event()
        if not wait.missing:
            return
        error = self._closed or error
        if error is not None and (self._closed or not _worth_another_try(error)):
            raise error
        if scope.cancelled_caught or trio.current_time() >= deadline_s:
            raise error or errors.DeadlineError("the bytes did not arrive before the deadline of the read")
        if error is not None:
            self._pool.counters.retries += 1
            await trio.sleep(min(RETRY_PAUSE_S, deadline_s - trio.current_time()))
        # In the order of the file, whoever wakes first: then one stream brings it all.
        for other in sorted(self._waits, key=lambda other: other.wanted.start):
            if other.missing:
                self._ask(other)

    def _deliver(self, index: int, data: bytes) -> None:
        self._pool.cache.put(self._key(index), data)
        for wait in self._waits:
            if index in wait.missing:
                wait.missing.discard(index)
                wait.got[index] = data
                if not wait.missing:
                    wait.wake.set()

    def _wake_unserved(self, error: errors.AxxonfsError | None = None) -> None:
        """Let the reads ask again whose chunks no stream brings; `error` says why."""
        for wait in self._waits:
            if not all(self._policy.is_coming(index) for index in wait.missing):
                wait.error = error or wait.error
                wait.wake.set()

    # -- streams ----------------------------------------------------------------

    def _apply(self, actions: Sequence[readahead.Action]) -> None:
        for action in actions:
            match action:
                case readahead.Start(stream, index):
                    self._resume[stream] = trio.Event()
                    self._scopes[stream] = trio.CancelScope()
                    self._pool.make_room()
                    self._pool.tasks.start(self._run, stream, index)
                case readahead.Continue(stream):
                    self._resume[stream].set()
                case readahead.Stop(stream):
                    self._scopes[stream].cancel()

    async def _run(self, stream: int, index: int) -> None:
        broken: errors.AxxonfsError | None = None
        try:
            with self._scopes[stream]:
                async with self._pool.slots:
                    await self._download(stream, index)
        except chunks.ChunkSizeClampedError as clamped:
            self._cut_anew(clamped)
        except errors.RefusedError as error:
            broken = errors.WrongBytesError(f"the server refuses what it has listed: {error}")
        except errors.AxxonfsError as error:
            log.debug("stream broke session=%s error=%r", self._source.session_id, error)
            broken = error
        except Exception as error:
            broken = errors.WrongBytesError(f"unexpected: {error!r}")
            raise
        finally:
            del self._scopes[stream], self._resume[stream]
            self._policy.on_end(stream)
            self._wake_unserved(broken)

    async def _download(self, stream: int, index: int) -> None:
        counters = self._pool.counters
        download = self._open(index)
        self._source.touched()
        counters.streams_opened += 1
        counters.streams_open += 1
        try:
            while batch := await download.receive():
                await self._pool.pace(sum(len(data) for _, data in batch))
                self._take(stream, batch)
                await self._room(stream)
        finally:
            counters.streams_open -= 1
            if download.relative is not None:
                self._pool.relative_index = download.relative
            with trio.CancelScope(shield=True):
                await download.aclose()

    def _take(self, stream: int, batch: Batch) -> None:
        for place, data in batch:
            if self._scopes[stream].cancel_called:
                return  # another one brings the rest, or it is cut in another size
            self._pool.counters.fetched_bytes += len(data)
            if len(data) == self._chunk_size_bytes:
                self._pool.proven_chunk_bytes = len(data)
            self._deliver(place, data)
            self._apply(self._policy.on_chunk(stream, place))

    def _open(self, index: int) -> DownloadStream:
        size_bytes = self._source.size_bytes
        if self._pool.proven_chunk_bytes != self._chunk_size_bytes:
            index = chunks.telling_start(index, self._chunk_size_bytes, size_bytes)
        return DownloadStream(
            self._pool.client,
            self._source.session_id,
            self._source.path,
            chunk_size_bytes=self._chunk_size_bytes,
            start_index=index,
            file_size_bytes=size_bytes,
            relative=self._pool.relative_index,
        )

    async def _room(self, stream: int) -> None:
        """Wait until the window of the stream has room again."""
        while not self._policy.has_room(stream):
            self._wake_unserved()
            self._resume[stream] = trio.Event()
            await self._resume[stream].wait()


def _worth_another_try(error: errors.AxxonfsError) -> bool:
    """Whether the same chunk may come after a pause: not where the answer was wrong, or a clear no."""
    if isinstance(error, errors.WrongBytesError | chunks.ChunkSizeClampedError):
        return False
    return isinstance(error, errors.UnavailableError | errors.TokenRejectedError)

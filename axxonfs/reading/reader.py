"""Results as bytes: chunks from the cache, else from streams, one fetch per byte whoever asks.

Carries out what `core.readahead` decides: opens, continues and stops streams,
hands arriving chunks to the reads that wait for them, and starts again at the
next missing byte where a stream broke. Belongs to the event loop; the only
awaits are for a chunk, a stream, or room in a window. Imports core and remote.
"""

import contextlib
import dataclasses
import logging
from collections.abc import AsyncIterator, Callable, Sequence

import trio

from axxonfs.core import budget, chunks, errors, readahead
from axxonfs.core.chunks import Data
from axxonfs.reading.loans import Loan, Soon
from axxonfs.reading.pool import TURN_S, Pool
from axxonfs.remote.deadlines import wait_until
from axxonfs.remote.download import Batch, DownloadStream, Limits, Taken

log = logging.getLogger(__name__)

# Between two attempts at the same bytes, doubled each time; the deadline of the read bounds how many there are.
RETRY_PAUSES_S = (0.25, 2.0)

# A server that answers so is there, and says it at once: no evidence of one that is away.
_ANSWERS = (
    errors.WrongBytesError,
    errors.SessionGoneError,
    errors.AccessError,
    errors.InvalidError,
    errors.CertificateError,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """Where a result's bytes are, and its exact size."""

    session_id: str
    path: str
    size_bytes: int
    touched: Callable[[], None]  # called when a download has begun, which starts the server's timer anew


@dataclasses.dataclass(slots=True, eq=False)
class _Wait:
    """One read that waits for bytes."""

    begin: int
    end: int
    held: list[tuple[int, Data]]  # chunks that are here: start, data
    missing: list[chunks.Range]
    wake: trio.Event = dataclasses.field(default_factory=trio.Event)
    error: errors.AxxonfsError | None = None
    pause_s: float = RETRY_PAUSES_S[0]


@dataclasses.dataclass(slots=True, eq=False)
class _Lent:
    """A stream whose chunks a thread takes by itself."""

    start: readahead.Start
    download: DownloadStream
    begin: int
    over: trio.Event = dataclasses.field(default_factory=trio.Event)


class ResultReader:
    """The bytes of one result, for all of its handles; `limits` are the pool's unless others are given."""

    def __init__(self, pool: Pool, source: Source, limits: readahead.Limits | None = None) -> None:
        self._pool = pool
        self._source = source
        self._file = pool.add()
        limits = limits or pool.limits
        self._policy = readahead.ReadAhead(source.size_bytes, pool.sizes, pool.line, limits)
        self._policy.most_in_flight = lambda seek: pool.most_in_flight(seek=seek)
        # Where nothing is read ahead, nothing is taken that nobody asked for, though it may have come.
        self._most_at_once = None if limits.max_window else 1
        self._waits: dict[_Wait, None] = {}
        self._resume: dict[int, trio.Event] = {}
        self._scopes: dict[int, trio.CancelScope] = {}
        self._unread = [(0, source.size_bytes)] if source.size_bytes else []
        self._closed: errors.AxxonfsError | None = None
        self._loan: Loan | None = None
        self._lent: _Lent | None = None

    @property
    def session_id(self) -> str:
        """Whose result it is."""
        return self._source.session_id

    @property
    def read_whole(self) -> bool:
        """Whether every byte was asked for by some reader."""
        return not self._unread

    @property
    def summary(self) -> str:
        """What goes on, on one line for the log."""
        waits = ",".join(f"{wait.begin}-{wait.end}" for wait in self._waits)
        return f"streams={len(self._scopes)} unused={len(self.unused())} waiting_bytes={waits or '-'}"

    async def read(self, offset: int, size: int, deadline_s: float, by: object = None) -> bytes | memoryview:
        """Return the bytes from `offset`, `size` of them or up to the end of the result.

        Args:
            offset: in bytes, any.
            size: in bytes, any.
            deadline_s: on trio's clock.
            by: who reads; what one reader does next is told from what it did before.

        Raises:
            DeadlineError, StreamBrokenError, ServerAwayError, WrongBytesError: they did not come.
            SessionGoneError: the server has the session no more.
            AccessError: the account may not download it.
        """
        end = min(offset + size, self._source.size_bytes)
        if end <= offset:
            return b""
        began_s = trio.current_time()
        held = await self._chunks(offset, end, began_s, deadline_s, by)
        self._pool.reads.note(trio.current_time() - began_s)
        self._unread = chunks.subtract(self._unread, offset, end)
        self._pool.counters.served_bytes += end - offset
        return chunks.assemble(held, offset, end)

    def lend(self, soon: Soon, patience_s: float) -> Loan | None:
        """Return a loan of a stream of large chunks, which begins once nobody else waits for it.

        Whoever has it waits no longer than `patience_s` for a chunk. None where somebody has one, or where bytes have
        to wait for a rate limit.
        """
        if self._loan is not None or self._pool.is_paced:
            return None
        self._loan = Loan(soon, patience_s, self._collect, self._end_loan)
        return self._loan

    def leave(self, by: object) -> None:
        """Take note that a reader reads no more."""
        self._pool.cache.leave(self._file, by)
        if not self._pool.cache.readers(self._file) and not self._waits and self._lent is None:
            self._apply(self._policy.left())

    def close(self) -> None:
        """Cancel all streams, let the cached chunks go, and fail the reads that wait."""
        self._closed = errors.ServerAwayError("the mount ends")
        self._apply(self._policy.stop_all())
        self._pool.remove(self._file)
        for wait in self._waits:
            wait.wake.set()

    def stop_idle(self) -> None:
        """Cancel the streams that nobody used for a while."""
        if self._waiting_stream is not None:
            self._policy.use(self._waiting_stream, trio.current_time())
        wanted = [first for wait in self._waits for first, _ in wait.missing]
        self._apply(self._policy.idle(trio.current_time(), wanted))

    def stop_stream(self, stream: int) -> None:
        """Cancel one stream."""
        self._apply(self._policy.stop(stream))

    @property
    def ending_bytes(self) -> int:
        """What streams have in flight that were stopped and are about to end."""
        return self._policy.ending_bytes

    def left_open(self) -> list[tuple[float, int]]:
        """Return the same as `unused` where nobody has the result open any more."""
        return [] if self._pool.cache.readers(self._file) else self.unused()

    def unused(self) -> list[tuple[float, int]]:
        """Return when each stream that nobody waits for was last used, and its number."""
        return [row for row in self._policy.unused() if row[1] != self._waiting_stream]

    @property
    def _waiting_stream(self) -> int | None:
        """The stream in which the thread waits that it is lent to, which no read here shows."""
        return self._lent.start.stream if self._lent is not None and self._lent.download.is_waited_for else None

    def _cut_anew(self, clamped: chunks.ChunkSizeClampedError) -> None:
        """Go on with the size of chunks that the server is willing to send, here and for new results."""
        if clamped.chunk_size_bytes < self._pool.sizes.wide:
            log.info("chunk size clamped by the server bytes=%d", clamped.chunk_size_bytes)
            self._pool.clamp(clamped.chunk_size_bytes)
        self._policy.sizes = self._pool.sizes
        self._apply(self._policy.stop_all())

    # -- waiting ----------------------------------------------------------------

    async def _chunks(
        self, begin: int, end: int, now_s: float, deadline_s: float, by: object
    ) -> list[tuple[int, Data]]:
        if self._lent is not None and end > self._lent.begin:
            self._take_back()
        held, missing = self._pool.cache.read(self._file, begin, end, now_s, by)
        self._pool.counters.seeks = self._pool.cache.jumps
        if not missing:
            self._pool.counters.hits += 1
            self._ask(begin, end, (), now_s)
            return held
        if self._pool.breaker.is_open:
            self._pool.counters.refused += 1
            raise errors.ServerAwayError("the server is away, and reads fail at once until it answers")
        self._pool.counters.misses += 1
        wait = _Wait(begin, end, held, missing)
        self._waits[wait] = None
        self._ask(begin, end, missing, now_s)
        try:
            while wait.missing:
                await self._wait(wait, deadline_s)
        except _ANSWERS:
            self._pool.counters.failures += 1
            raise
        except errors.AxxonfsError:
            self._pool.note_failed_read()
            raise
        finally:
            del self._waits[wait]
        return wait.held

    def _ask(self, begin: int, end: int, missing: Sequence[chunks.Range], now_s: float) -> None:
        self._policy.readers = self._pool.cache.readers(self._file)
        self._apply(self._policy.on_read(begin, end, missing, now_s))

    async def _wait(self, wait: _Wait, deadline_s: float) -> None:
        """Wait for the bytes, or for a reason to ask for them again."""
        await wait_until(wait.wake, deadline_s)
        if not wait.missing:
            return
        error, wait.error, wait.wake = self._closed or wait.error, None, trio.Event()
        if error is not None and (self._closed or not _worth_another_try(error)):
            raise error
        if trio.current_time() >= deadline_s:
            raise error or errors.DeadlineError("the bytes did not arrive before the deadline of the read")
        if error is not None:
            self._pool.counters.retries += 1
            await trio.sleep(min(wait.pause_s, deadline_s - trio.current_time()))
            wait.pause_s = min(2 * wait.pause_s, RETRY_PAUSES_S[1])
        # In the order of the file, whoever wakes first: then one stream brings it all.
        for other in sorted(self._waits, key=lambda other: other.begin):
            if other.missing:
                self._ask(other.begin, other.end, other.missing, trio.current_time())

    def _deliver(self, size: int, start: int, data: Data) -> None:
        self._pool.breaker.answered()
        end, wanted_bytes = start + len(data), 0
        for wait in self._waits:
            if start < wait.end and end > wait.begin and wait.missing:
                wanted_bytes += min(end, wait.end) - max(start, wait.begin)
                wait.held.append((start, data))
                wait.missing = chunks.subtract(wait.missing, start, end)
                wait.pause_s = RETRY_PAUSES_S[0]
                if not wait.missing:
                    wait.wake.set()
        self._pool.counters.wasted_bytes += self._pool.cache.put(
            self._file, size, start, data, trio.current_time(), wanted_bytes
        )

    def _wake_unserved(self, error: errors.AxxonfsError | None = None) -> None:
        """Let the reads ask again whose bytes no stream brings; `error` says why."""
        for wait in self._waits:
            if not all(self._policy.is_coming(first) for first, _ in wait.missing):
                wait.error = error or wait.error
                wait.wake.set()

    # -- streams ----------------------------------------------------------------

    def _apply(self, actions: Sequence[readahead.Action]) -> None:
        for action in actions:
            match action:
                case readahead.Start(stream):
                    self._resume[stream] = trio.Event()
                    self._scopes[stream] = trio.CancelScope()
                    self._pool.make_room(self.session_id)
                    self._pool.take(self, action.in_flight_bytes)
                    self._pool.tasks.start(self._run, action)
                case readahead.Continue(stream):
                    self._resume[stream].set()
                case readahead.Stop(stream):
                    self._scopes[stream].cancel()

    async def _run(self, start: readahead.Start) -> None:
        stream, wide = start.stream, self._policy.sizes.is_wide(start.chunk_bytes)
        broken: errors.AxxonfsError | None = None
        try:
            with self._scopes[stream]:
                async with _taken(self._pool.slots_of(self.session_id)), _taken(self._pool.slots):
                    await self._download(start, wide=wide)
        except chunks.ChunkSizeClampedError as clamped:
            self._cut_anew(clamped)
        except chunks.CountedAnewError as error:
            log.info("chunks counted anew by the server error=%s", error)
            self._pool.relative_index = None
            broken = error
        except errors.RefusedError as error:
            broken = errors.WrongBytesError(f"the server refuses what it has listed: {error}")
        except errors.AxxonfsError as error:
            if isinstance(error, errors.StalledError):
                self._pool.line.note_stall()
            log.debug("stream broke session=%s error=%r", self._source.session_id, error)
            broken = error
        except Exception as error:
            broken = errors.WrongBytesError(f"unexpected: {error!r}")
            raise
        finally:
            self._pool.give_back(self, start.in_flight_bytes)
            del self._scopes[stream], self._resume[stream]
            self._policy.on_end(stream)
            self._wake_unserved(broken)

    async def _download(self, start: readahead.Start, *, wide: bool) -> None:
        counters = self._pool.counters
        download = self._open(start)
        counters.streams_opened += 1
        counters.wide_streams_opened += wide
        counters.streams_open += 1
        try:
            await self._pump(start, download)
        finally:
            counters.streams_open -= 1
            self._pool.learn(download.samples())
            if download.relative is not None:
                self._pool.relative_index = download.relative
            with trio.CancelScope(shield=True):
                await download.aclose()
            counters.wasted_bytes += download.dropped_bytes

    def _open(self, start: readahead.Start) -> DownloadStream:
        size = start.chunk_bytes
        # Whatever was seen before: what a server cuts may change while the mount lives, as with an update.
        index = chunks.telling_start(start.offset // size, size, self._source.size_bytes)
        return DownloadStream(
            self._pool.client,
            self._source.session_id,
            self._source.path,
            chunk_size_bytes=size,
            start_index=index,
            file_size_bytes=self._source.size_bytes,
            relative=self._pool.relative_index,
            limits=Limits(
                budget.waiting_bytes(start.in_flight_bytes),
                self._pool.line.stall_timeout_s(start.chunk_bytes),
                in_flight_bytes=start.in_flight_bytes,
            ),
        )

    async def _pump(self, start: readahead.Start, download: DownloadStream) -> None:
        """Deliver what comes, as far as the window goes, and measure the line by it."""
        stream = start.stream
        begun = False
        turn_ends_s = trio.current_time() + TURN_S
        while batch := await download.receive(self._most_at_once):
            self._pool.learn(download.samples())
            # Nobody knows whether what follows does as well: a long copy has to be kept alive like a file that is open.
            if not begun:
                self._source.touched()
            begun = True
            await self._take(start, batch)
            if self._may_lend(start):
                await self._lend(start, download, batch)
            done = self._policy.is_satisfied(stream) or trio.current_time() >= turn_ends_s
            if done and self._pool.is_short(self.session_id):
                # Others wait for a slot; whoever still needs this stream asks for another one.
                self._apply(self._policy.stop(stream))
            if not self._has_room(stream):
                await self._room(stream)

    async def _take(self, start: readahead.Start, batch: Batch) -> None:
        scope = self._scopes[start.stream]
        for index, data in batch:
            if self._pool.is_paced and not scope.cancel_called:
                await self._pool.pace(len(data))
            if scope.cancel_called:
                self._pool.counters.wasted_bytes += len(data)
                continue  # another one brings the rest, or it is cut in another size
            self._accept(start, index, data)

    def _accept(self, start: readahead.Start, index: int, data: Data) -> None:
        size = start.chunk_bytes
        self._pool.counters.fetched_bytes += len(data)
        self._deliver(size, index * size, data)
        self._passed(start, index * size + len(data))

    def _passed(self, start: readahead.Start, place: int) -> None:
        """Take note of where a stream is."""
        self._apply(self._policy.on_chunk(start.stream, place))
        self._leave_the_rest(start, place)

    def _leave_the_rest(self, start: readahead.Start, place: int) -> None:
        """Stop a stream where more than what it has on its way is here already, and nobody waits for what follows."""
        end = min(place + max(start.in_flight_bytes, start.chunk_bytes), self._source.size_bytes)
        if place >= end or not self._pool.cache.covers(self._file, place, end):
            return
        # A read would ask for a stream that begins at the same place, and so on.
        if not any(self._policy.brings(start.stream, first) for wait in self._waits for first, _ in wait.missing):
            self._apply(self._policy.stop(start.stream))

    # -- lending ----------------------------------------------------------------

    def _may_lend(self, start: readahead.Start) -> bool:
        if self._loan is None or self._lent is not None:
            return False
        wide = self._policy.sizes.is_wide(start.chunk_bytes) and not self._scopes[start.stream].cancel_called
        return wide and not any(wait.missing for wait in self._waits)

    async def _lend(self, start: readahead.Start, download: DownloadStream, batch: Batch) -> None:
        """Leave a stream to the thread that has the loan, until somebody needs it here."""
        loan = self._loan
        begin = (batch[-1][0] + 1) * start.chunk_bytes
        if loan is None or begin >= self._source.size_bytes:
            return
        self._lent = lent = _Lent(start, download, begin)
        # Of what does not fit the cache nothing is kept: it would push out all else, and what is received into memory
        # that no processor has at hand costs more (docs/design.md, "Why is a stream lent to a reader's thread?").
        fits = self._source.size_bytes <= self._pool.cache.budget_bytes
        loan.lend(download, start.chunk_bytes, begin, keep=fits)
        try:
            await lent.over.wait()
        finally:
            self._take_back()

    def _take_back(self) -> None:
        lent = self._lent
        if lent is not None:
            if self._loan is not None:
                self._loan.take_back()
            self._collect(back=True)
            self._lent = None
            lent.over.set()

    def _end_loan(self, loan: Loan) -> None:
        if loan is self._loan:
            self._take_back()
            self._loan = None

    def _collect(self, *, back: bool = False) -> None:
        """Take note of what a thread has taken; with `back` it takes no more."""
        if self._lent is None:
            return
        start, download = self._lent.start, self._lent.download
        taken = download.taken(back=back)
        self._pool.learn(download.samples())
        if taken:
            begin = taken[0].index * start.chunk_bytes
            end = taken[-1].index * start.chunk_bytes + taken[-1].size_bytes
            self._pool.breaker.answered()
            self._pool.counters.fetched_bytes += end - begin
            self._keep(start.chunk_bytes, taken)
            self._note_step(begin, end)
            self._passed(start, end)
        if not back and self._pool.is_short(self.session_id):
            self._take_back()  # others wait for its slot

    def _keep(self, size: int, taken: Sequence[Taken]) -> None:
        """Put what a thread has read into the cache, unless it is not to be kept."""
        now_s = trio.current_time()
        for chunk in taken:
            if chunk.data is not None:
                self._pool.counters.wasted_bytes += self._pool.cache.put(
                    self._file, size, chunk.index * size, chunk.data, now_s, chunk.size_bytes
                )

    def _note_step(self, begin: int, end: int) -> None:
        """Take note that a thread has read on, which is a step forward like any other."""
        now_s = trio.current_time()
        self._pool.cache.step(self._file, begin, end, now_s)
        self._unread = chunks.subtract(self._unread, begin, end)
        self._pool.counters.served_bytes += end - begin
        self._ask(begin, end, (), now_s)

    def _has_room(self, stream: int) -> bool:
        return self._policy.has_room(stream, self._pool.most_ahead_bytes)

    async def _room(self, stream: int) -> None:
        """Wait until the window of the stream has room again."""
        while not self._has_room(stream):
            self._wake_unserved()
            self._resume[stream] = trio.Event()
            await self._resume[stream].wait()


@contextlib.asynccontextmanager
async def _taken(limiter: trio.CapacityLimiter) -> AsyncIterator[None]:
    """Hold one of a number of slots; without a turn of the event loop where one is free."""
    try:
        limiter.acquire_nowait()
    except trio.WouldBlock:
        await limiter.acquire()
    try:
        yield
    finally:
        limiter.release()


def _worth_another_try(error: errors.AxxonfsError) -> bool:
    """Whether the same bytes may come after a pause: not where the answer was wrong, or a clear no."""
    if isinstance(error, errors.WrongBytesError):
        return False
    # A login that was put off costs no call before it is due; by then the account may be free again.
    return isinstance(error, errors.UnavailableError | errors.TokenRejectedError | errors.LoginDelayedError)

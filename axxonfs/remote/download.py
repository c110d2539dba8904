"""One DownloadFile stream, from its thread into trio, with back-pressure.

Decides which chunks reach the mount (checked ones, in their order), when the
thread parks so that HTTP/2 stops the server, and when a stream counts as broken.
With `deadlines` the only module here that knows trio. Concurrency: a thread of its own, one of
those that trio keeps, iterates the gRPC call; one condition guards what waits
between the two. A thread that is lent the stream takes turns with it in the call.
The stream's thread wakes trio only where trio sleeps: a wake-up for every
chunk halves the throughput (docs/design.md, "gRPC from Python"). It measures the
line as well, because trio may see a chunk late. Facts: section 7 of the wire
contract.
"""

import collections
import contextlib
import dataclasses
import math
import threading
import time

import trio

from axxonfs.core import errors
from axxonfs.core.chunks import KIB, ChunkStream, Data, chunk_count
from axxonfs.core.line import NARROW_BYTES, Meter, Sample
from axxonfs.remote.channel import LOOKUP_TIMEOUT_S
from axxonfs.remote.deadlines import wait_until
from axxonfs.remote.exports import ExportClient
from axxonfs.remote.filechunk import Chunk

# How long closing waits for the thread. It ends at once, unless it is in the
# middle of a login, which others wait for, too.
_CLOSE_TIMEOUT_S = 1.0

# A thread that was parked for longer says nothing about the line; trio takes a chunk in a tenth of it.
_HELD_UP_S = 0.01

# Whoever is lent a stream and was away for less between two chunks waits for the next one in the call itself: to have
# the stream's thread fetch it meanwhile costs a change of threads, and gains less. Who only reads is away for 0.05 to
# 0.1 ms, who hashes a MiB for 0.65 to 0.9 (measured).
_AWAY_S = 0.0003
# So often the stream's thread looks whether the other one waits in vain.
_LOOK_EVERY_S = 0.5

# Of a stream that is lent: one to take, while the next is put down. With one, both threads waited for each other at
# each chunk, and reading took 5 to 13 % longer; four are no better than two (measured).
_LENT_WAITING = 2

# What a thread may have taken of a stream it was lent before the loop hears of it. It does after each sixteenth
# chunk: a loop that is later than that is in trouble. Guessed.
_MOST_TAKEN = 64

Batch = list[tuple[int, Data]]


@dataclasses.dataclass(frozen=True, slots=True)
class Taken:
    """A chunk that a thread has taken of a stream it was lent."""

    index: int
    size_bytes: int
    data: Data | None  # None where nobody is to keep it


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of one stream."""

    # Between thread and trio; beyond it the thread parks. One chunk at least. On
    # loopback 1 MiB is as fast as more (measured); a seek throws it away.
    waiting_bytes: int = 1024 * KIB
    # Without a chunk, while somebody waits for one. Half-open connections would
    # hang for 15 minutes otherwise (measured).
    stall_timeout_s: float = 10.0
    # One of the steps of `core.line`: what a seek wastes, and what a round trip brings.
    in_flight_bytes: int = NARROW_BYTES


DEFAULT_LIMITS = Limits()


class DownloadStream:
    """The chunks of a result from `start_index` on, for one task; `aclose` it in the end.

    `chunk_size_bytes` is a whole number of KiB. `relative` is what an earlier
    stream has learnt about the server's way of counting.
    """

    def __init__(
        self,
        client: ExportClient,
        session_id: str,
        path: str,
        *,
        chunk_size_bytes: int,
        start_index: int,
        file_size_bytes: int,
        relative: bool | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._download = client.open_download(
            session_id,
            path,
            chunk_size_bytes // KIB,
            start_index,
            in_flight_bytes=limits.in_flight_bytes,
            login_timeout_s=LOOKUP_TIMEOUT_S,
        )
        self._chunks = ChunkStream(start_index, chunk_size_bytes, file_size_bytes, relative=relative)
        self._missing = chunk_count(file_size_bytes, chunk_size_bytes) - start_index
        self._chunk_size_bytes = chunk_size_bytes
        self._most_waiting = max(1, limits.waiting_bytes // chunk_size_bytes)
        self._link = client.link
        self._stall_timeout_s = limits.stall_timeout_s
        # Entered by itself: a signal that comes while a reader enters the condition, which is Python, leaves it locked.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._waiting: collections.deque[tuple[int, Data]] = collections.deque()
        self.dropped_bytes = 0  # came, and were not wanted any more
        self._samples: list[Sample] = []
        self._lent = False
        self._keeps_taken = True
        self._patience_s = limits.stall_timeout_s  # of the thread that has the loan
        self._taken: list[Taken] = []
        self._left_s = self._away_s = 0.0  # when it went away with a chunk, and for how long it does
        self._ahead = False  # whether chunks are taken out of the call before it asks for them
        self._sleeper: trio.Event | None = None
        self._ended = self._parked = False
        self._error: BaseException | None = None
        self._call = iter(self._download)
        self._is_fetching = False  # whether a thread is in the call: one at a time
        self._waits_s: float | None = None  # since when it is the one that has the loan
        self._arrived_s = math.inf  # when the last chunk came
        self._is_over = False  # the call has ended
        self._failure: errors.AxxonfsError | None = None  # as which
        self._trio = trio.lowlevel.current_trio_token()
        self._finished = trio.Event()
        self._meter = Meter(limits.in_flight_bytes, time.monotonic())
        # Daemons: one that hangs in a login does not keep the process from its end.
        trio.lowlevel.start_thread_soon(self._run, self._finish, f"download-{start_index}")

    @property
    def relative(self) -> bool | None:
        """Whether the server counts chunks from the start of a call; None while that is unknown."""
        return self._chunks.relative

    def samples(self) -> list[Sample]:
        """Return what the stream has shown of the line since the last call."""
        with self._lock:
            samples, self._samples = self._samples, []
            return samples

    async def receive(self, most: int | None = None) -> Batch:
        """Return the chunks that have come, at least one, with their absolute indices; none at the end of the file.

        With `most` no more than so many; the others wait.

        A checkpoint. Cancelling it loses nothing.

        Raises:
            StreamBrokenError: the stream broke, was cancelled, or (StalledError) brought nothing in time; resume at the
                next chunk.
            TokenRejectedError: the same, for want of a valid token.
            WrongBytesError, ChunkSizeClampedError, CountedAnewError: what came is not what was asked for.
            AxxonfsError: the server refused the download, see axxonfs.remote.statuses.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        batch, sleeper = self._take(most)
        if sleeper is None:
            await trio.lowlevel.cancel_shielded_checkpoint()
            return batch
        await wait_until(sleeper, trio.current_time() + self._stall_timeout_s)
        batch, sleeper = self._take(most)
        if sleeper is not None:
            self._end(self._stalled(self._stall_timeout_s))
            self._download.cancel()
            self._link.distrust(self._stall_timeout_s)
            batch, _ = self._take(most)
        return batch

    def lend(self, patience_s: float, *, keep: bool = True) -> None:
        """Let a thread that is no task `take` the chunks; until they are taken back, `receive` must not be called.

        `patience_s` bounds the wait for a chunk, as the stall timeout does; without `keep` nothing that is taken
        comes back.
        """
        with self._lock:
            self._lent, self._keeps_taken = True, keep
            self._patience_s = min(patience_s, self._stall_timeout_s)
            self._left_s = time.monotonic()
            self._changed.notify_all()

    def take(self, index: int, timeout_s: float) -> Data | None:
        """Return a chunk of a stream that is lent, if it is the next; None too where it does not come in time.

        In time is within `timeout_s`, or for whoever has come back at once, within the patience of the loan.
        """
        if self._is_readers_turn(timeout_s):
            self._fetch(alone=True)
        with self._lock:
            is_next = self._lent and bool(self._waiting) and self._waiting[0][0] == index
            if not is_next or len(self._taken) >= _MOST_TAKEN:
                return None
            _, data = self._waiting.popleft()
            self._taken.append(Taken(index, len(data), data if self._keeps_taken else None))
            if self._ahead:
                self._changed.notify_all()
            self._left_s = time.monotonic()
            return data

    @property
    def is_waited_for(self) -> bool:
        """Whether the thread that has the loan waits in the call."""
        return self._waits_s is not None

    def taken(self, *, back: bool = False) -> list[Taken]:
        """Return what was taken since the last call, in its order; with `back` nothing more is."""
        with self._lock:
            taken, self._taken = self._taken, []
            if back:
                self._lent = False
                self._changed.notify_all()
            return taken

    def cancel(self) -> None:
        """Give the stream up at once; what waits is dropped. Safe at any time, any number of times."""
        with self._lock:
            if self._waiting or not self._ended:
                self._ended, self._error = True, errors.StreamBrokenError("the download was given up")
            self.dropped_bytes += sum(len(data) for _, data in self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
            self._wake()
            parked = self._parked
        # It takes half a millisecond (measured): a thread that is parked does it itself.
        if not parked:
            self._download.cancel()

    async def aclose(self) -> None:
        """Give the stream up and see its thread end."""
        self.cancel()
        with trio.move_on_after(_CLOSE_TIMEOUT_S, shield=True):
            await self._finished.wait()

    def _take(self, most: int | None) -> tuple[Batch, trio.Event | None]:
        """Return what waits, and the event to sleep on where nothing does and more may come."""
        with self._lock:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), most or len(self._waiting)))]
            self._changed.notify()
            if batch:
                return batch, None
            if self._error is not None:
                raise self._error
            if not self._ended:
                self._sleeper = trio.Event()
            return batch, self._sleeper

    def _stalled(self, silent_s: float) -> errors.StalledError | None:
        """Return the error for a silent stream; none where only the server's last word is missing."""
        if self._missing <= 0:
            return None
        return errors.StalledError(f"the download brought nothing for {silent_s:g} s")

    def _end(self, error: BaseException | None) -> None:
        """Let nothing more in; the first to say how it ended is right."""
        with self._lock:
            if not self._ended:
                self._ended, self._error = True, error
            self._changed.notify_all()
            self._wake()

    def _wake(self) -> None:
        """Wake trio if it sleeps; under the lock."""
        sleeper, self._sleeper = self._sleeper, None
        if sleeper is not None:
            self._soon(sleeper)

    def _soon(self, event: trio.Event) -> None:
        with contextlib.suppress(trio.RunFinishedError):  # then nobody is left to be woken
            self._trio.run_sync_soon(event.set)

    def _run(self) -> None:
        """Be the thread of the stream."""
        error: BaseException | None = None
        try:
            self._pump()
        except errors.AxxonfsError as caught:
            error = self._judged(caught)
        except BaseException as caught:  # noqa: BLE001  raised again where somebody sees it: in receive
            error = caught
        self._download.cancel()
        self._end(error)

    def _finish(self, _ended: object) -> None:
        """Say that the thread is free again; in that thread."""
        self._soon(self._finished)

    def _pump(self) -> None:
        """Take chunks out of the call whenever that is for the stream's own thread to do."""
        while self._is_my_turn():
            self._fetch()
        if isinstance(self._failure, errors.StalledError):
            self._link.distrust(self._patience_s)
        if self._failure is not None:
            raise self._failure
        if self._is_over:
            self._chunks.finish()

    def _is_my_turn(self) -> bool:
        """Wait until the stream's own thread is to take the next chunk out of the call; False once nobody is."""
        with self._lock:
            # Parked before the next chunk is asked for: it would make room for more in flight.
            self._parked = True
            while not (self._ended or self._is_over) and (self._is_fetching or not self._wants_more):
                self._changed.wait(_LOOK_EVERY_S if self._lent or self._waits_s is not None else None)
                if self._waits_in_vain:
                    self._is_over, self._failure = True, self._stalled(self._patience_s)
            self._parked = False
            if self._ended or self._is_over:
                return False
            self._begin_fetch()
            return True

    def _is_readers_turn(self, timeout_s: float) -> bool:
        """Wait until something waits, no more than `timeout_s`; True where the reader's thread is to fetch it."""
        with self._lock:
            now_s = time.monotonic()
            deadline_s = now_s + timeout_s
            # Who wants several chunks at a time works between the last of them and the next first one only.
            self._away_s = max(now_s - self._left_s, self._away_s / 2)
            self._ahead = self._away_s > _AWAY_S
            if self._ahead:
                self._changed.notify_all()
            while self._lent and not (self._waiting or self._ended or self._is_over) and now_s < deadline_s:
                if not (self._is_fetching or self._ahead):
                    self._waits_s = self._begin_fetch()
                    return True
                self._changed.wait(deadline_s - now_s)
                now_s = time.monotonic()
            return False

    def _begin_fetch(self) -> float:
        """Take the turn, and return the time; under the lock."""
        now_s = time.monotonic()
        self._is_fetching = True
        if now_s - self._arrived_s > _HELD_UP_S:
            self._samples += self._meter.held_up(self._chunk_size_bytes)
        return now_s

    def _fetch(self, *, alone: bool = False) -> None:
        """Take the next chunk out of the call, in the thread whose turn it is; `alone` while it waits for itself."""
        chunk: Chunk | None = None
        index: int | None = None
        failure: errors.AxxonfsError | None = None
        try:
            chunk = next(self._call, None)
            if chunk is not None:
                index = self._chunks.accept(chunk.index, len(chunk.data))
        except errors.AxxonfsError as error:
            failure = error  # raised again in the stream's own thread
        except BaseException:
            # What a signal's handler raises is for the thread that it came into; a mistake of ours goes to `receive`.
            failure = errors.StreamBrokenError("the reader was interrupted")
            raise
        finally:
            with self._lock:
                self._is_fetching, self._waits_s = False, None
                if not self._is_over:
                    self._is_over, self._failure = chunk is None or failure is not None, failure
                if chunk is not None and index is not None and not self._ended:
                    self._put(index, chunk.data)
                # The other one sleeps on, unless it is wanted.
                if not (alone and self._lent) or self._is_over or self._missing <= 0:
                    self._changed.notify_all()

    def _put(self, index: int, data: Data) -> None:
        """Let a chunk wait; under the lock."""
        self._arrived_s = time.monotonic()
        self._samples += self._meter.arrived(len(data), self._arrived_s)
        self._waiting.append((index, data))
        self._missing -= 1
        self._wake()

    @property
    def _waits_in_vain(self) -> bool:
        """Whether the reader's thread has been in the call for too long; under the lock."""
        # Or was interrupted on its way there.
        return self._waits_s is not None and time.monotonic() - self._waits_s > self._patience_s

    @property
    def _wants_more(self) -> bool:
        """Whether the stream's own thread is to go on; under the lock."""
        # After the last chunk there is only the server's last word, which nobody takes.
        return self._has_room and (self._ahead or not self._lent or self._missing <= 0)

    @property
    def _has_room(self) -> bool:
        """Whether one more chunk may wait; under the lock."""
        return len(self._waiting) < max(self._most_waiting, _LENT_WAITING if self._lent else 1)

    def _judged(self, error: errors.AxxonfsError) -> errors.AxxonfsError | None:
        """Return what a failure means for the stream: once it flowed, the server's absence is a break."""
        away = isinstance(error, (errors.ServerAwayError, errors.DeadlineError))
        if not away or not self._download.begun:
            return error
        # A call that fails after the last chunk has brought everything.
        return errors.StreamBrokenError(str(error)) if self._missing > 0 else None

"""One DownloadFile stream, from its thread into trio, with back-pressure.

Decides which chunks reach the mount (checked ones, in their order), when the
thread parks so that HTTP/2 stops the server, and when a stream counts as broken.
With `deadlines` the only module here that knows trio. Concurrency: a thread of its own, one of
those that trio keeps, iterates the gRPC call; one condition guards what waits
between the two. The thread wakes trio only where trio sleeps: a wake-up for every
chunk halves the throughput (docs/design.md, "gRPC from Python"). It measures the
line as well, because trio may see a chunk late. Facts: section 7 of the wire
contract.
"""

import collections
import contextlib
import dataclasses
import threading
import time

import trio

from axxonfs.core import errors
from axxonfs.core.chunks import KIB, ChunkStream, Data, chunk_count
from axxonfs.core.line import NARROW_BYTES, Meter, Sample
from axxonfs.remote.channel import LOOKUP_TIMEOUT_S
from axxonfs.remote.deadlines import wait_until
from axxonfs.remote.exports import ExportClient

# How long closing waits for the thread. It ends at once, unless it is in the
# middle of a login, which others wait for, too.
_CLOSE_TIMEOUT_S = 1.0

# A thread that was parked for longer says nothing about the line; trio takes a chunk in a tenth of it.
_HELD_UP_S = 0.01

# Of a stream that is lent: one to take, while the next is put down. With one, both threads waited for each other at
# each chunk, and reading took 5 to 13 % longer; four are no better than two (measured).
_LENT_WAITING = 2

# What a thread may have taken of a stream it was lent before the loop hears of it. It does after each eighth chunk:
# a loop that is later than that is in trouble. Guessed.
_MOST_TAKEN = 32

Batch = list[tuple[int, Data]]


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
        self._most_waiting = max(1, limits.waiting_bytes // chunk_size_bytes)
        self._link = client.link
        self._stall_timeout_s = limits.stall_timeout_s
        self._changed = threading.Condition()
        self._waiting: collections.deque[tuple[int, Data]] = collections.deque()
        self.dropped_bytes = 0  # came, and were not wanted any more
        self._samples: list[Sample] = []
        self._lent = False
        self._taken: list[tuple[int, Data]] = []
        self._sleeper: trio.Event | None = None
        self._ended = self._parked = False
        self._error: BaseException | None = None
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
        with self._changed:
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
            self._end(self._stalled())
            self._download.cancel()
            self._link.distrust(self._stall_timeout_s)
            batch, _ = self._take(most)
        return batch

    def lend(self) -> None:
        """Let a thread that is no task `take` the chunks; until they are taken back, `receive` must not be called."""
        with self._changed:
            self._lent = True
            self._changed.notify_all()

    def take(self, index: int, timeout_s: float) -> Data | None:
        """Return a chunk of a stream that is lent, if it is the next; None too where it does not come in time."""
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            while self._lent and not (self._waiting or self._ended) and time.monotonic() < deadline_s:
                self._changed.wait(max(0.0, deadline_s - time.monotonic()))
            is_next = self._lent and bool(self._waiting) and self._waiting[0][0] == index
            if not is_next or len(self._taken) >= _MOST_TAKEN:
                return None
            chunk = self._waiting.popleft()
            self._taken.append(chunk)
            self._changed.notify_all()
            return chunk[1]

    def taken(self, *, back: bool = False) -> Batch:
        """Return what was taken since the last call; with `back` nothing more is."""
        with self._changed:
            batch, self._taken = self._taken, []
            if back:
                self._lent = False
                self._changed.notify_all()
            return batch

    def cancel(self) -> None:
        """Give the stream up at once; what waits is dropped. Safe at any time, any number of times."""
        with self._changed:
            if self._waiting or not self._ended:
                self._ended, self._error = True, errors.StreamBrokenError("the download was given up")
            self.dropped_bytes += sum(len(data) for _, data in self._waiting)
            self._waiting.clear()
            self._changed.notify()
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
        with self._changed:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), most or len(self._waiting)))]
            self._changed.notify()
            if batch:
                return batch, None
            if self._error is not None:
                raise self._error
            if not self._ended:
                self._sleeper = trio.Event()
            return batch, self._sleeper

    def _stalled(self) -> errors.StalledError | None:
        """Return the error for a silent stream; none where only the server's last word is missing."""
        if self._missing <= 0:
            return None
        return errors.StalledError(f"the download brought nothing for {self._stall_timeout_s:g} s")

    def _end(self, error: BaseException | None) -> None:
        """Let nothing more in; the first to say how it ended is right."""
        with self._changed:
            if not self._ended:
                self._ended, self._error = True, error
            self._changed.notify()
            self._wake()

    def _wake(self) -> None:
        """Wake trio if it sleeps; under the condition."""
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
        for chunk in self._download:
            index = self._chunks.accept(chunk.index, len(chunk.data))
            if index is not None and not self._put(index, chunk.data):
                return
        self._chunks.finish()

    def _put(self, index: int, data: Data) -> bool:
        """Hand a chunk over, and park as long as there is no room for another one; False once nobody wants it."""
        arrived_s = time.monotonic()
        with self._changed:
            if self._ended:
                return False
            self._samples += self._meter.arrived(len(data), arrived_s)
            self._waiting.append((index, data))
            self._missing -= 1
            self._wake()
            if self._lent:
                self._changed.notify_all()
            # Parked before the next chunk is asked for: it would make room for more in flight.
            self._parked = True
            while not self._has_room and not self._ended:
                self._changed.wait()
            self._parked = False
            if time.monotonic() - arrived_s > _HELD_UP_S:
                self._samples += self._meter.held_up(len(data))
            return not self._ended

    @property
    def _has_room(self) -> bool:
        """Whether one more chunk may wait; under the condition."""
        return len(self._waiting) < max(self._most_waiting, _LENT_WAITING if self._lent else 1)

    def _judged(self, error: errors.AxxonfsError) -> errors.AxxonfsError | None:
        """Return what a failure means for the stream: once it flowed, the server's absence is a break."""
        away = isinstance(error, (errors.ServerAwayError, errors.DeadlineError))
        if not away or not self._download.begun:
            return error
        # A call that fails after the last chunk has brought everything.
        return errors.StreamBrokenError(str(error)) if self._missing > 0 else None

"""One direction of one connection of a line: what comes in waits in pipes until it is due, and goes out.

Decides when each byte leaves: it waits with the time of its release, so that a
delay costs no throughput. A rate is shared by all flows of one direction, and in
front of it stands a router's buffer of `ROUTER_S`. The bytes never enter Python:
`splice` moves them from socket to pipe to socket. Times are handed in, nothing
here waits. Imports nothing of ours.
"""

import collections
import contextlib
import dataclasses
import fcntl
import os
import socket

_STEP_BYTES = 1 << 20
# A rate is shared in steps as small as this, 3 ms of 10 Mbit/s; a faster one in steps of half a millisecond.
_LIMITED_STEP_BYTES = 4096
_LIMITED_STEP_S = 0.0005
# What a router of a slow line holds back before its senders notice. Guessed: 50 ms to 1 s are seen in the field.
ROUTER_S = 0.1
# What anybody may have; it counts pages, and loopback fills them with 4 MB. All of them hold 30 ms of 2 GB/s.
_PIPE_BYTES = 1 << 20
_MOST_PIPES = 16
_F_SETPIPE_SZ = 1031
_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK


class Rate:
    """The part of a line that lets only so many bytes pass, for one direction of all connections."""

    def __init__(self, delay_s: float, bits_per_s: float) -> None:
        self.delay_s = delay_s
        self._s_per_byte = 8 / bits_per_s if bits_per_s else 0.0
        self.step_bytes = max(_LIMITED_STEP_BYTES, int(bits_per_s / 8 * _LIMITED_STEP_S)) if bits_per_s else _STEP_BYTES
        self._free_s = 0.0  # when the last byte taken in will have passed

    def take(self, now_s: float, size: int) -> float:
        """Return when bytes that come in now go out."""
        self._free_s = max(self._free_s, now_s) + size * self._s_per_byte
        return self._free_s + self.delay_s

    def full_s(self, now_s: float) -> float:
        """Return for how long the router's buffer takes nothing more in; not positive where it does."""
        return self._free_s - now_s - ROUTER_S


class _Pipes:
    """Where the bytes of a flow wait: as many pipes as they need, because the size of one is limited."""

    def __init__(self) -> None:
        self._ends: collections.deque[tuple[int, int]] = collections.deque()
        self.widen()

    @property
    def tail(self) -> int:
        """The end to put bytes in."""
        return self._ends[-1][1]

    @property
    def head(self) -> int:
        """The end to take bytes from."""
        return self._ends[0][0]

    def widen(self) -> bool:
        """Add a pipe behind the last one, if there may be one more."""
        if len(self._ends) >= _MOST_PIPES:
            return False
        ends = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        with contextlib.suppress(OSError):
            fcntl.fcntl(ends[1], _F_SETPIPE_SZ, _PIPE_BYTES)
        self._ends.append(ends)
        return True

    def narrow(self) -> None:
        """Let the first pipe go; it is empty, and another one follows."""
        for end in self._ends.popleft():
            os.close(end)

    def close(self) -> None:
        """Let all go."""
        while self._ends:
            self.narrow()


@dataclasses.dataclass(slots=True)
class _Piece:
    """Bytes that came in together."""

    release_s: float
    left: int  # 0 from the beginning: the end of the flow
    next_pipe: bool  # the first in a new pipe


class Flow:
    """One direction of one connection, whose first bytes set out at `opened_s` at the earliest."""

    def __init__(self, source: socket.socket, sink: socket.socket, rate: Rate, opened_s: float) -> None:
        self.source, self.sink, self.rate = source, sink, rate
        self.blocked = False  # the receiver has to make room first
        self.passed_end = self.closed = False
        self.waits = self.timed = False  # for whoever carries it: for the rate, for the release of its first piece
        self._earliest_s = opened_s + rate.delay_s
        self._pipes = _Pipes()
        self._queue: collections.deque[_Piece] = collections.deque()
        self._full = self._ended = self._widened = False

    @property
    def takes(self) -> bool:
        """Whether there is room for more."""
        return not (self._ended or self._full)

    @property
    def due_s(self) -> float | None:
        """When the next byte leaves; None where none waits, or where the receiver does not take it."""
        return self._queue[0].release_s if self._queue and not self.blocked else None

    def receive(self, now_s: float) -> None:
        """Take in what the source has, which is readable; OSError where it was cut."""
        try:
            size = os.splice(self.source.fileno(), self._pipes.tail, self.rate.step_bytes, flags=_FLAGS)
        except BlockingIOError:
            # The source is readable: so the pipe has no room, unless nothing is in it.
            if self._queue and not self._widened:
                self._widened = self._pipes.widen()
                self._full = not self._widened
            return
        self._ended = size == 0
        # A connection takes its part of the rate when its bytes come, and holds nobody else's up.
        release_s = max(self.rate.take(now_s, size), self._earliest_s)
        self._queue.append(_Piece(release_s, size, self._widened))
        self._widened = False

    def send(self, now_s: float) -> int:
        """Let out what is due; return the bytes. OSError where the sink was cut."""
        sent = 0
        self.blocked = False
        while self._queue and self._queue[0].release_s <= now_s and not self.blocked:
            piece = self._queue[0]
            if piece.next_pipe:
                self._pipes.narrow()
                piece.next_pipe = self._full = False
            if piece.left:
                sent += self._splice(piece)
            else:
                self._end()
            if not piece.left:
                self._queue.popleft()
        return sent

    def _splice(self, piece: _Piece) -> int:
        try:
            size = os.splice(self._pipes.head, self.sink.fileno(), piece.left, flags=_FLAGS)
        except BlockingIOError:
            self.blocked = True
            return 0
        self._full = False
        piece.left -= size
        return size

    def _end(self) -> None:
        self.passed_end = True
        with contextlib.suppress(OSError):
            self.sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Let the pipes and the source go."""
        self.closed = True
        self._pipes.close()
        self.source.close()

"""A line between a client and a server: every byte takes half a round trip, and only so many pass in a second.

Decides when each byte leaves: bytes wait in a queue with the time of their
release, so that a delay costs no throughput. A rate is shared by all connections
of a line, as on a real one, and in front of it stands a router's buffer of
`_ROUTER_S`: what does not fit stays with its sender, and no connection is served
twice before another one that waits. A new connection costs a round trip.
The bytes never enter Python: `splice` moves them from socket to pipe to socket.
One process and one thread for each line, so that what is measured shares no lock
with it. Knows nothing of what it carries. Imports nothing of ours.
"""

import collections
import contextlib
import dataclasses
import fcntl
import itertools
import multiprocessing
import os
import select
import signal
import socket
import time
from collections.abc import Iterator, MutableSequence
from multiprocessing.connection import Connection

Address = tuple[str, int]

_STEP_BYTES = 1 << 20
# A rate is shared in steps as small as this: 3 ms of 10 Mbit/s.
_LIMITED_STEP_BYTES = 4096
# What a router of a slow line holds back before its senders notice. Guessed: 50 ms to 1 s are seen in the field.
_ROUTER_S = 0.1
# Of the sockets in front of a rate: larger ones would be a buffer of megabytes that no line has.
_LIMITED_SOCKET_BYTES = 64 << 10
# What anybody may have; it counts pages, and loopback fills them with 4 MB. All of them hold 30 ms of 2 GB/s.
_PIPE_BYTES = 1 << 20
_MOST_PIPES = 16
_F_SETPIPE_SZ = 1031
_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK
_STOP_TIMEOUT_S = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """What lies between a client and a server."""

    round_trip_s: float = 0.0
    bits_per_s: float = 0.0  # in each direction; 0: as many as this machine can

    def __str__(self) -> str:
        """Return the line in words of a table."""
        rate = f", {self.bits_per_s / 1e6:g} Mbit/s" if self.bits_per_s else ""
        return f"{self.round_trip_s * 1e3:g} ms{rate}"


@dataclasses.dataclass(frozen=True, slots=True)
class Counted:
    """Bytes that have left a line, by direction."""

    up: int = 0  # to the server
    down: int = 0  # to the client

    def __sub__(self, before: "Counted") -> "Counted":
        return Counted(self.up - before.up, self.down - before.down)


class Proxy:
    """A line to `upstream`, in a process of its own: connect to `address`; close it in the end."""

    def __init__(self, upstream: Address, line: Line) -> None:
        context = multiprocessing.get_context("spawn")
        self._counts: MutableSequence[int] = context.Array("Q", 2, lock=False)
        mine, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(upstream, line, self._counts, theirs), daemon=True)
        self._process.start()
        self._control = mine
        self.line = line
        self.address: Address = mine.recv()

    def counted(self) -> Counted:
        """Return the bytes that have passed so far."""
        return Counted(*self._counts)

    def settled(self, quiet_s: float = 0.5) -> Counted:
        """Wait until nothing has passed for a while, then return the bytes that have."""
        before = self.counted()
        quiet_s = max(quiet_s, 3 * self.line.round_trip_s)
        while True:
            time.sleep(quiet_s)
            now = self.counted()
            # A keep-alive is no traffic.
            if now.down - before.down < _LIMITED_STEP_BYTES:
                return now
            before = now

    def close(self) -> None:
        """Cut every connection and end the process."""
        self._control.close()
        self._process.join(_STOP_TIMEOUT_S)
        if self._process.is_alive():
            self._process.kill()


class _Rate:
    """The part of a line that lets only so many bytes pass, for one direction of all connections."""

    def __init__(self, line: Line) -> None:
        self.step_bytes = _LIMITED_STEP_BYTES if line.bits_per_s else _STEP_BYTES
        self._delay_s = line.round_trip_s / 2
        self._s_per_byte = 8 / line.bits_per_s if line.bits_per_s else 0.0
        self._free_s = 0.0  # when the last byte taken in will have passed

    def take(self, now_s: float, size: int) -> float:
        """Return when bytes that come in now go out."""
        self._free_s = max(self._free_s, now_s) + size * self._s_per_byte
        return self._free_s + self._delay_s

    def full_s(self, now_s: float) -> float:
        """Return for how long the router's buffer takes nothing more in."""
        return self._free_s - now_s - _ROUTER_S


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


class _Flow:
    """One direction of one connection."""

    def __init__(self, source: socket.socket, sink: socket.socket, rate: _Rate, opened_s: float) -> None:
        self.source, self.sink, self.rate = source, sink, rate
        self.blocked = False  # the receiver has to make room first
        self.passed_end = False
        self._opened_s = opened_s
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
        """Take in what the source has."""
        try:
            size = os.splice(self.source.fileno(), self._pipes.tail, self.rate.step_bytes, flags=_FLAGS)
        except BlockingIOError:
            # The source is readable: so the pipe has no room, unless nothing is in it.
            if self._queue and not self._widened:
                self._widened = self._pipes.widen()
                self._full = not self._widened
            return
        self._ended = size == 0
        release_s = self.rate.take(max(now_s, self._opened_s), size)
        self._queue.append(_Piece(release_s, size, self._widened))
        self._widened = False

    def send(self, now_s: float) -> int:
        """Let out what is due; return the bytes."""
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
        self._pipes.close()
        self.source.close()


class _Loop:
    """All connections of a line, in one thread."""

    def __init__(self, upstream: Address, line: Line, counts: MutableSequence[int], control: Connection) -> None:
        self._upstream, self._line, self._counts, self._control = upstream, line, counts, control
        self._rates = _Rate(line), _Rate(line)
        self._pairs: collections.deque[tuple[_Flow, _Flow]] = collections.deque()
        self._listener = socket.create_server(("127.0.0.1", 0))
        if line.bits_per_s:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _LIMITED_SOCKET_BYTES)
        control.send(self._listener.getsockname())

    def run(self) -> None:
        """Carry bytes until the other side of the control pipe is closed."""
        while True:
            now_s = time.monotonic()
            flows = list(itertools.chain.from_iterable(self._pairs))
            reading = {flow.source.fileno(): flow for flow in flows if flow.takes and flow.rate.full_s(now_s) <= 0}
            writing = [flow.sink for flow in flows if flow.blocked]
            sources = [self._control.fileno(), self._listener.fileno(), *reading]
            readable, _, _ = select.select(sources, writing, [], self._pause_s(flows, now_s))
            if self._control.fileno() in readable:
                return
            if self._listener.fileno() in readable:
                self._accept()
            self._carry(flows, [reading[source] for source in readable if source in reading])
            self._pairs.rotate()

    def _pause_s(self, flows: list[_Flow], now_s: float) -> float | None:
        """Return how long nothing can happen by itself."""
        times = [flow.due_s - now_s for flow in flows if flow.due_s is not None]
        times += [flow.rate.full_s(now_s) for flow in flows if flow.takes and flow.rate.full_s(now_s) > 0]
        return max(0.0, min(times)) if times else None

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        opened_s = time.monotonic() + self._line.round_trip_s
        try:
            server = self._connect()
        except OSError:
            client.close()
            return
        for end in (client, server):
            end.settimeout(0)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        up, down = self._rates
        self._pairs.append((_Flow(client, server, up, opened_s), _Flow(server, client, down, opened_s)))

    def _connect(self) -> socket.socket:
        server = socket.socket()
        if self._line.bits_per_s:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _LIMITED_SOCKET_BYTES)
        server.connect(self._upstream)
        return server

    def _carry(self, flows: list[_Flow], readable: list[_Flow]) -> None:
        broken = {flow for flow in readable if not self._received(flow)}
        now_s = time.monotonic()
        for flow in flows:
            if flow not in broken and not self._sent(flow, now_s):
                broken.add(flow)
        for pair in [*self._pairs]:
            if broken.intersection(pair) or all(flow.passed_end for flow in pair):
                self._pairs.remove(pair)
                for flow in pair:
                    flow.close()

    def _received(self, flow: _Flow) -> bool:
        """Take in what a source has, unless an earlier one has filled the line; False where it is cut."""
        now_s = time.monotonic()
        with contextlib.suppress(OSError):
            if flow.rate.full_s(now_s) <= 0:
                flow.receive(now_s)
            return True
        return False

    def _sent(self, flow: _Flow, now_s: float) -> bool:
        with contextlib.suppress(OSError):
            # 0 is up, 1 is down.
            self._counts[flow.rate is self._rates[1]] += flow.send(now_s)
            return True
        return False


def _serve(upstream: Address, line: Line, counts: MutableSequence[int], control: Connection) -> None:
    """Be the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the benchmark, which then closes the line
    _Loop(upstream, line, counts, control).run()


@contextlib.contextmanager
def lined(upstream: Address, line: Line) -> Iterator[Proxy]:
    """Yield a line to `upstream`."""
    with contextlib.closing(Proxy(upstream, line)) as proxy:
        yield proxy

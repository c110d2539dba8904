"""A line between a client and a server: every byte takes half a round trip, and only so many pass in a second.

Decides who is served when: on a line with a rate no connection is served twice
before another one that waits, and what does not fit stays with its sender. A new
connection costs a round trip. One process and one thread for each line, so that
what is measured shares no lock with it; a turn of its loop costs in proportion to
what is ready, however many connections there are. Knows nothing of what it carries.
"""

import collections
import contextlib
import dataclasses
import heapq
import itertools
import multiprocessing
import resource
import select
import socket
import time
from collections.abc import Iterator, MutableSequence
from multiprocessing.connection import Connection

from benchmarks.children import Child
from benchmarks.flows import Flow, Rate

Address = tuple[str, int]

# Of the sockets in front of a rate: larger ones would be a buffer of megabytes that no line has.
_LIMITED_SOCKET_BYTES = 64 << 10
# A keep-alive is no traffic.
_TRAFFIC_BYTES = 4096
_QUIET_TIMEOUT_S = 120.0
_GONE = select.EPOLLHUP | select.EPOLLERR  # reported whether asked for or not


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
    """A line to a server, in a process of its own: connect to `address`."""

    def __init__(self, child: Child, line: Line, counts: MutableSequence[int]) -> None:
        self._counts = counts
        self.line = line
        self.address: Address = child.receive()

    def counted(self) -> Counted:
        """Return the bytes that have passed so far."""
        return Counted(*self._counts)

    def settled(self, quiet_s: float = 0.5) -> Counted:
        """Wait until nothing has passed for a while, then return the bytes that have; RuntimeError if it never ends."""
        before, deadline_s = self.counted(), time.monotonic() + _QUIET_TIMEOUT_S
        quiet_s = max(quiet_s, 3 * self.line.round_trip_s)
        while time.monotonic() < deadline_s:
            time.sleep(quiet_s)
            now = self.counted()
            if now.down - before.down < _TRAFFIC_BYTES:
                return now
            before = now
        raise RuntimeError(f"the line is still busy after {_QUIET_TIMEOUT_S:g} s")


@contextlib.contextmanager
def lined(upstream: Address, line: Line) -> Iterator[Proxy]:
    """Yield a line to `upstream`; in the end every connection is cut."""
    counts = multiprocessing.get_context("spawn").Array("Q", 2, lock=False)
    with Child(f"the line of {line}", _serve, upstream, line, counts) as child:
        yield Proxy(child, line, counts)


@dataclasses.dataclass(slots=True)
class _End:
    """A socket of a connection, and the two flows that meet there."""

    socket: socket.socket
    inward: Flow  # what it brings
    outward: Flow  # what it takes
    watched: int = 0  # the events that epoll looks for

    @property
    def wanted(self) -> int:
        """The events that something is to be done at."""
        readable = select.EPOLLIN if self.inward.takes and not self.inward.waits else 0
        return readable | (select.EPOLLOUT if self.outward.blocked else 0)


class _Loop:
    """All connections of a line, in one thread."""

    def __init__(self, upstream: Address, line: Line, counts: MutableSequence[int], control: Connection) -> None:
        self._upstream, self._line, self._counts, self._control = upstream, line, counts, control
        self._epoll = select.epoll()
        # Up and down, as the counts: what waits for a rate, those first that have waited longest.
        self._rates = tuple(Rate(line.round_trip_s / 2, line.bits_per_s) for _ in range(2))
        self._waiting: dict[Rate, collections.deque[Flow]] = {rate: collections.deque() for rate in self._rates}
        self._timed: list[tuple[float, int, Flow]] = []  # a heap: when, a number that decides draws, whose piece
        self._numbers = itertools.count()
        self._ends: dict[int, _End] = {}  # by descriptor
        self._touched: set[int] = set()  # descriptors at which something else may be wanted now
        self._listener = socket.create_server(("127.0.0.1", 0))
        if line.bits_per_s:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _LIMITED_SOCKET_BYTES)
        for lasting in (self._listener, control):
            self._epoll.register(lasting, select.EPOLLIN)
        control.send(self._listener.getsockname())

    def run(self) -> None:
        """Carry bytes until the other side of the control pipe is closed."""
        while True:
            for descriptor, events in self._ready():
                if descriptor == self._control.fileno():
                    return
                if descriptor == self._listener.fileno():
                    self._accept()
                else:
                    self._note(self._ends[descriptor], events)
            now_s = time.monotonic()
            for flow in self._admitted(now_s):
                self._carry(flow, now_s)
            for flow in self._due(now_s):
                self._carry(flow, now_s, out=True)
            self._watch()

    def _ready(self) -> list[tuple[int, int]]:
        pause_s = self._pause_s()
        if pause_s is None:
            return self._epoll.poll()
        # epoll counts milliseconds, select microseconds; and an epoll is ready when something in it is.
        if pause_s > 0:
            select.select([self._epoll], [], [], pause_s)
        return self._epoll.poll(0)

    def _pause_s(self) -> float | None:
        """Return how long nothing can happen by itself."""
        now_s = time.monotonic()
        times = [rate.full_s(now_s) for rate, waiting in self._waiting.items() if waiting]
        times += [self._timed[0][0] - now_s] if self._timed else []
        return max(0.0, min(times)) if times else None

    def _note(self, end: _End, events: int) -> None:
        """Take note of what is ready at a socket."""
        self._touched.add(end.socket.fileno())
        if events & (select.EPOLLIN | _GONE) and end.inward.takes and not end.inward.waits:
            end.inward.waits = True
            self._waiting[end.inward.rate].append(end.inward)
        if events & (select.EPOLLOUT | _GONE) and end.outward.blocked:
            end.outward.blocked = False
            self._time(end.outward)

    def _admitted(self, now_s: float) -> Iterator[Flow]:
        """Yield the flows that may take something in now, each once, as long as a rate has room."""
        for rate, waiting in self._waiting.items():
            while waiting and rate.full_s(now_s) <= 0:
                flow = waiting.popleft()
                flow.waits = False
                if not flow.closed:
                    yield flow

    def _due(self, now_s: float) -> Iterator[Flow]:
        """Yield the flows of which something leaves now."""
        while self._timed and self._timed[0][0] <= now_s:
            _, _, flow = heapq.heappop(self._timed)
            flow.timed = False
            if not flow.closed:
                yield flow

    def _carry(self, flow: Flow, now_s: float, *, out: bool = False) -> None:
        """Take in, or let out; whose connection was cut, or has ended, is closed."""
        self._touched.update((flow.source.fileno(), flow.sink.fileno()))
        try:
            if out:
                self._counts[self._rates.index(flow.rate)] += flow.send(now_s)
            else:
                flow.receive(now_s)
        except OSError:
            self._close(flow)
            return
        self._time(flow)
        if flow.passed_end and self._ends[flow.sink.fileno()].inward.passed_end:
            self._close(flow)

    def _time(self, flow: Flow) -> None:
        """Have a flow looked at when its first piece is due."""
        due_s = flow.due_s
        if due_s is not None and not flow.timed:
            flow.timed = True
            heapq.heappush(self._timed, (due_s, next(self._numbers), flow))

    def _watch(self) -> None:
        """Tell epoll what else is wanted by now."""
        for descriptor in self._touched:
            end = self._ends.get(descriptor)
            if end is None or end.wanted == end.watched:
                continue
            # Where nothing is wanted nothing is registered: an end that has gone would be reported for ever.
            if not end.wanted:
                self._epoll.unregister(descriptor)
            elif end.watched:
                self._epoll.modify(descriptor, end.wanted)
            else:
                self._epoll.register(descriptor, end.wanted)
            end.watched = end.wanted
        self._touched.clear()

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
        up, down = (
            Flow(source, sink, rate, opened_s)
            for source, sink, rate in zip((client, server), (server, client), self._rates, strict=True)
        )
        self._add(_End(client, up, down), _End(server, down, up))

    def _add(self, *ends: _End) -> None:
        for end in ends:
            self._ends[end.socket.fileno()] = end
            self._touched.add(end.socket.fileno())

    def _connect(self) -> socket.socket:
        server = socket.socket()
        if self._line.bits_per_s:
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _LIMITED_SOCKET_BYTES)
        server.connect(self._upstream)
        return server

    def _close(self, flow: Flow) -> None:
        """Cut a connection; closed descriptors leave the epoll by themselves."""
        for end in (self._ends.pop(flow.source.fileno()), self._ends.pop(flow.sink.fileno())):
            end.inward.close()


def _serve(upstream: Address, line: Line, counts: MutableSequence[int], control: Connection) -> None:
    """Be the process."""
    # A connection takes two sockets and four ends of pipes, and more of these where much is in flight.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    _Loop(upstream, line, counts, control).run()

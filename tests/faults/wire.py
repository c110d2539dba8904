"""A TCP connection between a mount and its server that goes wrong on demand: cut, reset, refused, frozen, slow.

Threads of this process carry the bytes, two for each connection. What is frozen
is held back and not lost, so a connection that thaws goes on. Knows nothing of
what it carries. The line of the benchmarks is another thing: it delays bytes
exactly and at gigabits, and never breaks.
"""

import contextlib
import itertools
import socket
import struct
import threading
import time
from collections.abc import Iterator

Address = tuple[str, int]

_PIECE_BYTES = 64 << 10
_CONNECT_TIMEOUT_S = 5.0
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER that makes a close a reset


class Wire:
    """Connect to `address` instead of `upstream`; close it in the end."""

    def __init__(self, upstream: Address) -> None:
        self._upstream = upstream
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.address: Address = self._listener.getsockname()
        self._changed = threading.Condition()
        self._pairs: dict[int, tuple[socket.socket, socket.socket]] = {}
        self._numbers = itertools.count()
        self._stranded: set[int] = set()  # connections that are frozen for ever
        self._frozen = self._refusing = self._closed = False
        self._bytes_per_s = 0.0
        self._free_s = 0.0  # when the last byte will have passed at that rate
        self.carried_bytes = 0
        threading.Thread(target=self._accept, name="wire", daemon=True).start()

    @property
    def connections(self) -> int:
        """How many there are."""
        with self._changed:
            return len(self._pairs)

    def freeze(self) -> None:
        """Let nothing pass from now on, in any direction; connections seem to stand."""
        self._set(_frozen=True)

    def thaw(self) -> None:
        """Let everything pass again, at any speed."""
        self._set(_frozen=False, _refusing=False, _bytes_per_s=0.0)

    def strand(self) -> None:
        """Freeze the connections that there are for ever; new ones pass."""
        with self._changed:
            self._stranded |= self._pairs.keys()

    def throttle(self, bytes_per_s: float) -> None:
        """Let only so much pass, in all."""
        self._set(_bytes_per_s=bytes_per_s)

    def refuse(self) -> None:
        """End every connection and let no new one in."""
        self._set(_refusing=True)
        self.reset()

    def reset(self) -> None:
        """End every connection with a reset."""
        self._end(reset=True)

    def cut(self) -> None:
        """End every connection as if both sides had closed it."""
        self._end(reset=False)

    def close(self) -> None:
        """End everything."""
        self._set(_closed=True)
        # accept does not notice that its socket is closed; a connection wakes it.
        with contextlib.suppress(OSError):
            socket.create_connection(self.address, timeout=1).close()
        self._listener.close()
        self.reset()

    def _set(self, **values: object) -> None:
        with self._changed:
            for name, value in values.items():
                setattr(self, name, value)
            self._changed.notify_all()

    def _end(self, *, reset: bool) -> None:
        with self._changed:
            for ends in self._pairs.values():
                for end in ends:
                    _close(end, reset=reset)
            self._changed.notify_all()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._closed or self._refusing:
                _close(client, reset=True)
                if self._closed:
                    return
                continue
            threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(self._upstream, timeout=_CONNECT_TIMEOUT_S)
        except OSError:
            _close(client, reset=True)
            return
        number = next(self._numbers)
        for end in (client, server):
            end.settimeout(None)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._changed:
            self._pairs[number] = client, server
        for source, sink in ((client, server), (server, client)):
            threading.Thread(target=self._carry, args=(number, source, sink), daemon=True).start()

    def _carry(self, number: int, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_PIECE_BYTES):
                if not self._passes(number, len(data)):
                    break
                sink.sendall(data)
        with self._changed:
            ends = self._pairs.pop(number, ())
        for end in ends:
            _close(end, reset=False)

    def _passes(self, number: int, size: int) -> bool:
        """Wait until bytes of a connection may pass; False where it has ended meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: not self._holds(number))
            self.carried_bytes += size
            now_s = time.monotonic()
            self._free_s = max(self._free_s, now_s) + (size / self._bytes_per_s if self._bytes_per_s else 0.0)
            # A thaw ends the wait as well.
            self._changed.wait_for(lambda: not self._bytes_per_s, self._free_s - now_s if self._bytes_per_s else 0)
            return number in self._pairs

    def _holds(self, number: int) -> bool:
        return number in self._pairs and (self._frozen or number in self._stranded)


def _close(end: socket.socket, *, reset: bool) -> None:
    with contextlib.suppress(OSError):
        if reset:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        else:
            end.shutdown(socket.SHUT_RDWR)
    if reset:
        # Whoever waits in recv is woken by the shutdown; the close then resets.
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RD)
    end.close()


@contextlib.contextmanager
def wired(upstream: Address) -> Iterator[Wire]:
    """Yield a wire to `upstream`."""
    with contextlib.closing(Wire(upstream)) as wire:
        yield wire

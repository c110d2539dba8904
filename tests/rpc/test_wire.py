"""The wire of the fault tests, with real sockets."""

import contextlib
import socket
import time
from collections.abc import Iterator

import pytest

from tests.faults.wire import Wire, wired

TIMEOUT_S = 30.0
Ends = tuple[socket.socket, socket.socket]


@contextlib.contextmanager
def listening() -> Iterator[tuple[socket.socket, Wire]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(TIMEOUT_S)
        with wired(listener.getsockname()) as wire:
            yield listener, wire


@contextlib.contextmanager
def connected(listener: socket.socket, wire: Wire) -> Iterator[Ends]:
    with socket.create_connection(wire.address, timeout=TIMEOUT_S) as client, listener.accept()[0] as server:
        server.settimeout(TIMEOUT_S)
        client.sendall(b"hello")
        assert server.recv(5) == b"hello"
        yield client, server


def is_silent(end: socket.socket) -> bool:
    end.settimeout(0.3)
    try:
        end.recv(1)
    except TimeoutError:
        return True
    finally:
        end.settimeout(TIMEOUT_S)
    return False


def is_refused(wire: Wire) -> bool:
    try:
        with socket.create_connection(wire.address, timeout=TIMEOUT_S) as end:
            return not is_silent(end)
    except ConnectionError:
        return True


def test_what_is_frozen_goes_on_when_it_thaws() -> None:
    with listening() as (listener, wire), connected(listener, wire) as (client, server):
        wire.freeze()
        server.sendall(b"late")
        assert is_silent(client)
        wire.thaw()
        assert client.recv(4) == b"late"


def test_what_is_stranded_stays_so_and_new_connections_pass() -> None:
    with listening() as (listener, wire), connected(listener, wire) as (client, server):
        wire.strand()
        wire.thaw()
        server.sendall(b"never")
        assert is_silent(client)
        with connected(listener, wire):
            assert wire.connections == 2


@pytest.mark.parametrize("kind", ["reset", "refuse"])
def test_a_reset_is_seen_by_both_ends(kind: str) -> None:
    with listening() as (listener, wire), connected(listener, wire) as ends:
        getattr(wire, kind)()
        for end in ends:
            with contextlib.suppress(ConnectionResetError):
                assert end.recv(1) == b""
        assert kind != "refuse" or is_refused(wire)
        wire.thaw()
        with connected(listener, wire):
            pass


def test_a_cut_is_an_ordinary_end() -> None:
    with listening() as (listener, wire), connected(listener, wire) as ends:
        wire.cut()
        assert [end.recv(1) for end in ends] == [b"", b""]


def test_a_throttle_lets_only_so_much_pass() -> None:
    with listening() as (listener, wire), connected(listener, wire) as (client, server):
        wire.throttle(100_000)
        start_s = time.monotonic()
        server.sendall(bytes(50_000))
        left = 50_000
        while left:
            left -= len(client.recv(left))
        assert time.monotonic() - start_s >= 0.4

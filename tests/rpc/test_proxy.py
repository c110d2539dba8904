"""The line of the benchmarks, with real sockets. Times are checked from below only: a busy machine adds to them."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from benchmarks.proxy import Counted, Line, lined

TIMEOUT_S = 30.0


@contextlib.contextmanager
def upstream() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(TIMEOUT_S)
        yield listener


@contextlib.contextmanager
def connected(line: Line) -> Iterator[tuple[socket.socket, socket.socket, Callable[[], Counted]]]:
    """Yield the two ends of a connection over a line, and what the line counts."""
    with (
        upstream() as listener,
        lined(listener.getsockname(), line) as proxy,
        socket.create_connection(proxy.address, timeout=TIMEOUT_S) as client,
        listener.accept()[0] as server,
    ):
        server.settimeout(TIMEOUT_S)
        yield client, server, proxy.settled


def send_all(end: socket.socket, data: bytes) -> None:
    end.sendall(data)
    end.shutdown(socket.SHUT_WR)


def read_all(end: socket.socket) -> bytes:
    return b"".join(iter(lambda: end.recv(1 << 20), b""))


@pytest.mark.parametrize("line", [Line(), Line(0.05), Line(0.0, 400e6)], ids=str)
def test_every_byte_passes_in_order_and_is_counted(line: Line) -> None:
    data = os.urandom(6_000_001)
    with connected(line) as (client, server, counted):
        client.sendall(b"hello")
        assert server.recv(5) == b"hello"
        sender = threading.Thread(target=send_all, args=(server, data))
        sender.start()
        assert read_all(client) == data
        sender.join()
        assert counted() == Counted(5, len(data))


def test_a_half_closed_connection_still_carries_the_other_half() -> None:
    with connected(Line(0.02)) as (client, server, _):
        client.shutdown(socket.SHUT_WR)
        assert read_all(server) == b""
        server.sendall(b"late")
        assert client.recv(4) == b"late"


def test_an_answer_takes_a_round_trip() -> None:
    with connected(Line(0.2)) as (client, server, _):
        for _ in range(2):
            began_s = time.monotonic()
            client.sendall(b"?")
            server.sendall(server.recv(1))
            client.recv(1)
            assert time.monotonic() - began_s >= 0.2


def test_a_delay_costs_no_throughput() -> None:
    # 2 MB that wait half a second each way in pieces would take minutes; together they take the delay.
    data = bytes(2_000_000)
    with connected(Line(1.0)) as (client, server, _):
        sender = threading.Thread(target=send_all, args=(server, data))
        began_s = time.monotonic()
        sender.start()
        assert read_all(client) == data
        sender.join()
        assert 0.5 <= time.monotonic() - began_s < TIMEOUT_S


def test_a_rate_is_shared_by_all_connections_of_a_line() -> None:
    size = 100_000
    with (
        upstream() as listener,
        lined(listener.getsockname(), Line(0.0, 4e6)) as proxy,
        contextlib.ExitStack() as stack,
    ):
        clients = [stack.enter_context(socket.create_connection(proxy.address, TIMEOUT_S)) for _ in range(3)]
        servers = [stack.enter_context(listener.accept()[0]) for _ in clients]
        began_s = time.monotonic()
        for server in servers:
            send_all(server, bytes(size))
        assert [len(read_all(client)) for client in clients] == [size] * 3
        assert time.monotonic() - began_s >= 3 * size * 8 / 4e6 * 0.99


def test_a_client_that_goes_is_noticed_upstream() -> None:
    with connected(Line(0.02)) as (client, server, _):
        client.close()
        assert read_all(server) == b""


def test_nobody_upstream_is_an_end_of_the_connection() -> None:
    with upstream() as listener:
        address = listener.getsockname()
    with lined(address, Line()) as proxy, socket.create_connection(proxy.address, TIMEOUT_S) as client:
        assert read_all(client) == b""

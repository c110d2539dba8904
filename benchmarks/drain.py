"""The same DownloadFile call without a file system: what a short Python program gets out of it.

Decides what counts as a drain: the plain generated stub on a channel with gRPC's
defaults, which iterates the call and looks at each chunk's data; bare, or writing
it into a pipe that somebody reads. In a process of its own, like a mount's daemon.
"""

import contextlib
import dataclasses
import itertools
import os
import resource
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import grpc

from axxonfs.stubs.authentication_pb2_grpc import AuthenticationServiceStub
from axxonfs.stubs.export_service_pb2_grpc import ExportServiceStub
from axxonfs.wire.authentication_pb2 import AuthenticateRequest
from axxonfs.wire.export_service_pb2 import DownloadFileRequest
from benchmarks.children import Child
from benchmarks.proxy import Address
from benchmarks.reading import read_through
from benchmarks.server import PASSWORD, RESULT, USER

CHUNK_KB = (64, 256, 1024, 4095)
_KIB = 1024
_NODE = "Server"  # the name in the simulator's certificate


@dataclasses.dataclass(frozen=True, slots=True)
class Drained:
    """What one drain came to."""

    size_bytes: int
    time_s: float
    cpu_s: float

    @property
    def rate(self) -> float:
        """Bytes per second."""
        return self.size_bytes / self.time_s


@dataclasses.dataclass(frozen=True, slots=True)
class _Order:
    session_id: str
    chunk_kb: int
    start_bytes: int  # rounded up to a chunk
    pipe: Path | None = None
    chunks: int = 0  # cancelled after so many; 0: never


class Drain:
    """A process that drains files of a server."""

    def __init__(self, child: Child) -> None:
        self._child = child
        child.receive()

    def bare(self, session_id: str, chunk_kb: int, start_bytes: int = 0) -> Drained:
        """Drain a file from `start_bytes` on."""
        return self._carry_out(_Order(session_id, chunk_kb, start_bytes))

    def first_chunk(self, session_id: str, chunk_kb: int, start_bytes: int) -> Drained:
        """Begin at `start_bytes`, take one chunk and cancel: what a jump costs at least."""
        return self._carry_out(_Order(session_id, chunk_kb, start_bytes, chunks=1))

    def piped(self, session_id: str, chunk_kb: int, pipe: Path, start_bytes: int = 0) -> Drained:
        """Drain a file into a named pipe, which this process reads; the time is the reader's."""
        began_s = time.monotonic()
        self._child.send(_Order(session_id, chunk_kb, start_bytes, pipe=pipe))
        with pipe.open("rb", buffering=0) as source:
            read_through(source.fileno())
        time_s = time.monotonic() - began_s
        return dataclasses.replace(self._drained(), time_s=time_s)

    def _carry_out(self, order: _Order) -> Drained:
        self._child.send(order)
        return self._drained()

    def _drained(self) -> Drained:
        drained = self._child.receive()
        assert isinstance(drained, Drained)  # noqa: S101 - what _work sends
        return drained


@contextlib.contextmanager
def draining(address: Address, ca_file: Path | None) -> Iterator[Drain]:
    """Yield a process that drains."""
    with Child("the drain", _work, address, ca_file) as child:
        yield Drain(child)


def login(channel: grpc.Channel) -> dict[str, str]:
    """Log in and return what a call must carry."""
    stub = AuthenticationServiceStub(channel)
    reply = stub.AuthenticateEx2(AuthenticateRequest(user_name=USER, password=PASSWORD))
    return {reply.token_name: reply.token_value}


def _work(address: Address, ca_file: Path | None, control: Connection) -> None:
    """Be the process."""
    with _channel(address, ca_file) as channel:
        exports = ExportServiceStub(channel)
        login(channel)
        control.send(None)
        with contextlib.suppress(EOFError):
            while True:
                order = control.recv()
                # Tokens end after minutes; a login is not part of a drain.
                control.send(_drain(exports, login(channel), order))


def _channel(address: Address, ca_file: Path | None) -> grpc.Channel:
    target = f"{address[0]}:{address[1]}"
    if ca_file is None:
        return grpc.insecure_channel(target)
    credentials = grpc.ssl_channel_credentials(ca_file.read_bytes())
    return grpc.secure_channel(target, credentials, [("grpc.ssl_target_name_override", _NODE)])


def _drain(exports: ExportServiceStub, token: dict[str, str], order: _Order) -> Drained:
    request = DownloadFileRequest(
        session_id=order.session_id,
        file_path=RESULT,
        chunk_size_kb=order.chunk_kb,
        start_from_chunk_index=-(-order.start_bytes // (order.chunk_kb * _KIB)),
    )
    before_s, began_s, size_bytes = _cpu_s(), time.monotonic(), 0
    with order.pipe.open("wb", buffering=0) if order.pipe else contextlib.nullcontext() as pipe:
        call = exports.DownloadFile(request, metadata=tuple(token.items()))
        for chunk in itertools.islice(call, order.chunks or None):
            data = chunk.data
            size_bytes += len(data)
            if pipe is not None:
                _write(pipe.fileno(), data)
        call.cancel()  # type: ignore[no-untyped-call]  # the stubs of gRPC forgot it
    return Drained(size_bytes, time.monotonic() - began_s, _cpu_s() - before_s)


def _write(pipe: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(pipe, left) :]


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime

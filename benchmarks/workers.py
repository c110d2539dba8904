"""Processes that read results through fsspec, without a mount: what an engine's workers do.

Decides what a worker's read is: a file opened through fsspec, read in pieces of a
MiB to as far as it is told, hashed where that is wanted; its time is its own clock
from the first byte asked for. Each is a process of its own with a login of its own.
"""

import contextlib
import dataclasses
import hashlib
import os
import resource
import time
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest import mock

from axxonfs.fsspec import AxxonFileSystem
from benchmarks.children import Child
from benchmarks.drain import Drained
from benchmarks.proxy import Address
from benchmarks.server import PASSWORD, USER

_STEP_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class _Order:
    file: int  # which of the server's sessions
    size_bytes: int
    hashed: bool


class Worker:
    """A process that reads."""

    def __init__(self, child: Child) -> None:
        self._child = child

    def ready(self) -> None:
        """Wait until it has looked at the server."""
        self._child.receive()

    def begin(self, file: int, size_bytes: int, *, hashed: bool) -> None:
        """Have it read so much of a file."""
        self._child.send(_Order(file, size_bytes, hashed))

    def end(self) -> Drained:
        """Wait until it has."""
        drained = self._child.receive()
        assert isinstance(drained, Drained)  # noqa: S101 - what _work sends
        return drained


@contextlib.contextmanager
def working(
    address: Address, ca_file: Path | None, count: int, environment: Mapping[str, str]
) -> Iterator[list[Worker]]:
    """Yield so many processes that are ready to read, with so much more in their environment."""
    words = {"host": address[0], "port": address[1], "user": USER, "read_timeout": "120s"}
    words |= {"tls_ca": str(ca_file)} if ca_file else {"plaintext": True}
    with contextlib.ExitStack() as stack:
        # Malloc reads it before anything of theirs runs.
        with mock.patch.dict(os.environ, environment):
            children = [stack.enter_context(Child(f"worker {number}", _work, words)) for number in range(count)]
        workers = [Worker(child) for child in children]
        for worker in workers:
            worker.ready()
        yield workers


def _work(words: dict[str, Any], control: Connection) -> None:
    """Be the process."""
    os.environ["AXXONFS_PASSWORD"] = PASSWORD
    fs = AxxonFileSystem(**words)
    paths = fs.find("")
    control.send(None)
    with contextlib.suppress(EOFError):
        while True:
            order = control.recv()
            control.send(_read(fs, paths[order.file], order))
    fs.close()


def _read(fs: AxxonFileSystem, path: str, order: _Order) -> Drained:
    digest, left = hashlib.sha256(), order.size_bytes
    before_s, began_s = _cpu_s(), time.monotonic()
    with fs.open(path) as file:
        while left and (data := file.read(min(_STEP_BYTES, left))):
            left -= len(data)
            if order.hashed:
                digest.update(data)
    return Drained(order.size_bytes - left, time.monotonic() - began_s, _cpu_s() - before_s)


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime

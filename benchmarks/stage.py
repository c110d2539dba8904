"""What scenarios run on: servers, lines, mounts, drains, and their end.

Decides what is shared (a server for all scenarios with the same encryption) and
what is fresh (mounts and lines, for each scenario; files, for each repetition).
Blocking, in the benchmark's own thread; everything measured is another process.
"""

import contextlib
import itertools
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

from benchmarks import peers, server
from benchmarks.drain import Drain, draining
from benchmarks.mounts import Mount, do_nothing, mount_of_files, mount_of_results, mounted_axxonfs
from benchmarks.proxy import Address, Line, Proxy, lined
from benchmarks.workers import Worker, working

LOOPBACK = Line()
# rclone asks for each file when it lists them, so there are no more than one mount needs.
_PEER_FILES = 40


class Stage:
    """Everything that a run with one kind of encryption needs; a context manager."""

    def __init__(self, scratch: Path, contents: server.Contents, *, tls: bool) -> None:
        self.tls = tls
        self.contents = contents
        self.plain_file = scratch / "plain" / "00000.mkv"  # the same bytes, in tmpfs
        self._scratch = scratch
        self._stack = contextlib.ExitStack()
        self._numbers = itertools.count()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._lay_files()
            self.server = stack.enter_context(server.served(self._scratch / "server", self.contents, tls=self.tls))
            self._http = stack.enter_context(peers.http(self.plain_file.parent, self._scratch, tls=self.tls))
            self._sshd = stack.enter_context(peers.sshd(self._scratch))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextlib.contextmanager
    def axxonfs(self, line: Line = LOOPBACK, *, proxied: bool = False, **options: str) -> Iterator[Mount]:
        """Mount the simulator; `proxied` puts a line, and so a count of bytes, in front of the loopback, too."""
        where, scratch = self._place("axxonfs")
        with (
            _lined(self.server.address, line, proxied=proxied) as (address, proxy),
            mounted_axxonfs(self.server, address, where, scratch, options) as daemon,
        ):
            yield mount_of_results(where, daemon, proxy)

    @contextlib.contextmanager
    def rclone(self, line: Line = LOOPBACK) -> Iterator[Mount]:
        """Mount the same bytes by rclone."""
        where, scratch = self._place("rclone")
        with (
            _lined(self._http.address, line) as (address, proxy),
            peers.rclone(address, self._http.credentials, where, scratch) as daemon,
        ):
            yield mount_of_files("rclone", where, daemon, proxy)

    @contextlib.contextmanager
    def sshfs(self, line: Line = LOOPBACK) -> Iterator[Mount]:
        """Mount the same bytes by sshfs."""
        where, scratch = self._place("sshfs")
        directory = self.plain_file.parent
        with (
            _lined(self._sshd.address, line) as (address, proxy),
            peers.sshfs(address, self._sshd.credentials, directory, where, scratch) as daemon,
        ):
            yield mount_of_files("sshfs", where, daemon, proxy)

    @contextlib.contextmanager
    def nothing(self) -> Iterator[Mount]:
        """Mount the same bytes from memory."""
        where, scratch = self._place("nothing")
        with do_nothing(self.plain_file, where, scratch, files=_PEER_FILES) as daemon:
            yield mount_of_files("nothing", where, daemon, None)

    @contextlib.contextmanager
    def drain(self, line: Line = LOOPBACK) -> Iterator[Drain]:
        """Start a process that drains files."""
        with (
            _lined(self.server.address, line) as (address, _),
            draining(address, self.server.ca_file) as drain,
        ):
            yield drain

    @contextlib.contextmanager
    def workers(
        self, count: int, line: Line = LOOPBACK, environment: Mapping[str, str] | None = None
    ) -> Iterator[list[Worker]]:
        """Start processes that read through fsspec."""
        with (
            _lined(self.server.address, line) as (address, _),
            working(address, self.server.ca_file, count, environment or {}) as workers,
        ):
            yield workers

    def fresh_pipe(self) -> Path:
        """Return a new named pipe."""
        path = self._scratch / f"pipe{next(self._numbers)}"
        os.mkfifo(path)
        return path

    def _place(self, name: str) -> tuple[Path, Path]:
        """Return where to mount and where to keep things."""
        scratch = self._scratch / f"{name}{next(self._numbers)}"
        where = scratch / "mnt"
        where.mkdir(parents=True)
        return where, scratch

    def _lay_files(self) -> None:
        """Lay the files into tmpfs, under as many names as a mount needs fresh files."""
        directory = self.plain_file.parent
        directory.mkdir(parents=True)
        server.write_file(self.plain_file, self.contents.file_bytes)
        for number in range(1, _PEER_FILES):
            (directory / f"{number:05}.mkv").hardlink_to(self.plain_file)
        for number in range(self.contents.clips):
            if self.contents.clip is not None:
                (directory / f"{number:05}.mp4").hardlink_to(self.contents.clip)


@contextlib.contextmanager
def _lined(address: Address, line: Line, *, proxied: bool = False) -> Iterator[tuple[Address, Proxy | None]]:
    """Put a line in front of a server; none where it would change nothing but the load of the machine."""
    if line == LOOPBACK and not proxied:
        yield address, None
        return
    with lined(address, line) as proxy:
        yield proxy.address, proxy

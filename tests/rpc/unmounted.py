"""A mount without its mountpoint: all that runs in it but the kernel, against a simulator.

The requests are those of `fs/operations.py`, called as pyfuse3 would; the event loop
runs in a thread. Nothing looks at the server by itself: `refresh` does.
"""

import contextlib
import functools
import os
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Self

import pyfuse3
import trio

from axxonfs.core import tree
from axxonfs.core.timers import Timers
from axxonfs.core.view import Settings, View
from axxonfs.exporting.catalog import Catalog
from axxonfs.fs.handles import Pollers
from axxonfs.fs.journal import Journal
from axxonfs.fs.operations import Operations
from axxonfs.fs.options import MountOptions
from axxonfs.fs.reveal import Revealer
from axxonfs.fs.state import MountState
from axxonfs.reading.pool import Pool
from axxonfs.reading.tasks import Tasks
from axxonfs.remote.exports import ExportClient
from axxonfs.simulator.server import Simulator
from tests.rpc.support import make_simulator

TIMEOUT_S = 60.0
CONTEXT = pyfuse3.RequestContext()


def endless(directory: Path) -> Simulator:
    """Return a simulator whose archive reaches back far, and on which no export ends by itself."""
    return make_simulator(directory, file_size_bytes=10, export_speed=1e-6, plaintext=True, recorded_s=1e9)


class Unmounted:
    """One mount from its first listing to its end; a context manager."""

    def __init__(self, client: ExportClient, state_directory: Path, timers: Timers | None = None) -> None:
        self._client = client
        self._timers = timers or Timers()
        self._directory = state_directory
        self._thread = threading.Thread(target=lambda: trio.run(self._main))
        self._ready = threading.Event()
        self._ending = trio.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(TIMEOUT_S)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._token.run_sync_soon(self._ending.set)
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive()

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        with contextlib.closing(Journal(self._directory)) as journal:
            self.journal = journal
            self.view = View(Settings(timers=self._timers), time.time())
            catalog = self._catalog = Catalog(self._client, self.view, journal, lambda _notices: None)
            await catalog.refresh_cameras()
            await catalog.refresh()
            async with trio.open_nursery() as streams, trio.open_nursery() as nursery:
                self._nursery = nursery
                tasks = Tasks(nursery)
                options = MountOptions()
                # Streams stay open for a while when nobody reads any more; nobody waits for them.
                pool = Pool(self._client, Tasks(streams), cache_bytes=4 << 20, chunk_size_bytes=1 << 20, max_streams=4)
                state = MountState(options, catalog, pool, Pollers(lambda _handle: None), journal, tasks, Revealer())
                assert state.saved is not None
                self.save = state.saved.now  # what changed in new/
                self._requests = Operations(state)
                state.resume()
                self._ready.set()
                await self._ending.wait()
                state.give_up()
                state.drop_readers()
                await self.save()
                nursery.cancel_scope.cancel()
                streams.cancel_scope.cancel()

    def run(self, function: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        """Run something in the event loop and wait for it, and for what it started behind."""
        return trio.from_thread.run(self._bounded, function, args, trio_token=self._token)

    async def _bounded(self, function: Callable[..., Awaitable[Any]], args: Sequence[Any]) -> Any:
        with trio.fail_after(TIMEOUT_S):
            try:
                return await function(*args)
            finally:
                while self._nursery.child_tasks:  # noqa: ASYNC110 - a nursery has no event for that
                    await trio.sleep(0.001)

    def refresh(self) -> None:
        """Look at the server."""
        self.run(self._catalog.refresh)

    # -- what programs do ------------------------------------------------------------

    def node(self, *names: str) -> tree.Node:
        """Return a node, found by lookups that are taken back at once."""
        node = self.view.tree.root
        for name in names:
            attributes = self.run(self._requests.lookup, node.ino, os.fsencode(name), CONTEXT)
            node = self.view.tree.get(attributes.st_ino)
            self.run(self._requests.forget, [(node.ino, 1)])
        return node

    def names(self, *path: str) -> set[str]:
        """Return what a directory shows."""
        return self.run(self._names, self.node(*path))  # type: ignore[no-any-return]

    async def _names(self, node: tree.Node) -> set[str]:
        return {os.fsdecode(name) for name in self.view.tree.entries(node)}

    def read(self, *path: str) -> bytes:
        """Read a file whole, in pieces."""
        return self.run(self._read, self.node(*path).ino)  # type: ignore[no-any-return]

    async def _read(self, ino: int) -> bytes:
        handle = (await self._requests.open(ino, os.O_RDONLY, CONTEXT)).fh
        pieces = [b""]
        try:
            while piece := await self._requests.read(handle, sum(map(len, pieces)), 4096):
                pieces.append(bytes(piece))
        finally:
            await self._requests.flush(handle)
            await self._requests.release(handle)
        return b"".join(pieces)

    def write(self, text: str, *path: str) -> None:
        """Write a file of `new/` as `cp` does: truncate or create it, write, close."""
        *parents, name = path
        directory = self.node(*parents)
        known = self.view.tree.entries(directory).get(os.fsencode(name))
        if known is not None:
            make = functools.partial(self._requests.open, known.ino, os.O_WRONLY | os.O_TRUNC, CONTEXT)
        else:
            make = functools.partial(self._make, directory.ino, os.fsencode(name))
        self.run(self._write, make, text.encode())

    async def _make(self, directory: int, name: bytes) -> pyfuse3.FileInfo:
        info, attributes = await self._requests.create(directory, name, 0o644, os.O_WRONLY, CONTEXT)
        await self._requests.forget([(attributes.st_ino, 1)])
        return info

    async def _write(self, make: Callable[[], Awaitable[pyfuse3.FileInfo]], data: bytes) -> None:
        handle = (await make()).fh
        try:
            await self._requests.write(handle, 0, data)
        finally:
            with contextlib.suppress(pyfuse3.FUSEError):
                await self._requests.flush(handle)
            await self._requests.release(handle)

    def unlink(self, *path: str) -> None:
        *parents, name = path
        self.run(self._requests.unlink, self.node(*parents).ino, os.fsencode(name), CONTEXT)

    def rmdir(self, *path: str) -> None:
        *parents, name = path
        self.run(self._requests.rmdir, self.node(*parents).ino, os.fsencode(name), CONTEXT)

    def rename(self, directory: str, old: str, new: str) -> None:
        ino = self.node(directory).ino
        self.run(self._requests.rename, ino, os.fsencode(old), ino, os.fsencode(new), 0, CONTEXT)

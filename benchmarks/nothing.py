"""A mount that does nothing but answer: what pyfuse3 and the kernel cost by themselves.

`python -m benchmarks.nothing MOUNTPOINT FILE FILES DIRECTORIES` mounts so many
files whose bytes are those of FILE, from memory, and a directory with so many
empty ones. Names and attributes are remembered by the kernel for as long as those
of axxonfs, and the kernel's limits are raised in the same way. Everything
belongs to the event loop.
"""

import errno
import mmap
import signal
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pyfuse3
import trio

from axxonfs.fs import kernel

DIRECTORIES = "sessions"
_ROOT = pyfuse3.ROOT_INODE
_FOLDER = _ROOT + 1
_FIRST_FILE = _ROOT + 2
_ENTRY_TIMEOUT_S, _FILE_TIMEOUT_S, _DIRECTORY_TIMEOUT_S = 60.0, 3600.0, 1.0
_BLOCK_BYTES = 512
_MAX_TASKS = 4096


class Nothing(pyfuse3.Operations):
    """Files of one content in the root, directories in one of it."""

    supports_dot_lookup = False
    enable_writeback_cache = False

    def __init__(self, content: memoryview, files: int, directories: int) -> None:
        super().__init__()
        self._content = content
        first = _FIRST_FILE + files
        inside = {f"{number:05}.mkv".encode(): _FIRST_FILE + number for number in range(files)}
        self._names = {
            _ROOT: {DIRECTORIES.encode(): _FOLDER, **inside},
            _FOLDER: {f"{number:05}".encode(): first + number for number in range(directories)},
        }
        self._files = range(_FIRST_FILE, first)

    async def lookup(self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        """Find a name."""
        inode = self._names.get(parent_inode, {}).get(name)
        if inode is None:
            raise pyfuse3.FUSEError(errno.ENOENT)
        return self._attributes(inode)

    async def getattr(self, inode: int, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        """Return what stat shows."""
        return self._attributes(inode)

    async def opendir(self, inode: int, ctx: pyfuse3.RequestContext) -> int:
        """Open a directory."""
        return inode

    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """List a directory."""
        for place, (name, inode) in enumerate(list(self._names.get(fh, {}).items())[start_id:], start_id + 1):
            if not pyfuse3.readdir_reply(token, name, self._attributes(inode), place):
                return

    async def open(self, inode: int, flags: int, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        """Open a file."""
        return pyfuse3.FileInfo(fh=inode, keep_cache=True)

    async def read(self, fh: int, off: int, size: int) -> bytes:
        """Return bytes."""
        return cast("bytes", self._content[off : off + size])

    async def releasedir(self, fh: int) -> None:
        """Close a directory."""

    async def flush(self, fh: int) -> None:
        """Answer a close."""

    async def release(self, fh: int) -> None:
        """Close a file."""

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        """Take back lookups."""

    def _attributes(self, inode: int) -> pyfuse3.EntryAttributes:
        is_file = inode in self._files
        entry = pyfuse3.EntryAttributes()
        entry.st_ino = inode
        entry.st_mode = (stat.S_IFREG | 0o444) if is_file else (stat.S_IFDIR | 0o755)
        entry.st_nlink = 1 if is_file else 2
        entry.st_size = len(self._content) if is_file else 0
        entry.st_blocks = -(-entry.st_size // _BLOCK_BYTES)
        entry.entry_timeout = _ENTRY_TIMEOUT_S
        entry.attr_timeout = _FILE_TIMEOUT_S if is_file else _DIRECTORY_TIMEOUT_S
        return entry


async def _serve(where: Path) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_end_on_signal)
        nursery.start_soon(trio.to_thread.run_sync, kernel.raise_limits, where)
        await pyfuse3.main(max_tasks=_MAX_TASKS)
        nursery.cancel_scope.cancel()


async def _end_on_signal() -> None:
    with trio.open_signal_receiver(signal.SIGTERM) as arriving:
        async for _ in arriving:
            pyfuse3.terminate()


def main(where: str, content: Path, files: int, directories: int) -> None:
    """Mount and serve until told to end."""
    place = Path(where).resolve()  # before it is mounted: nobody would answer for it yet
    with content.open("rb") as file:
        memory = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
    pyfuse3.init(Nothing(memory, files, directories), where, {*pyfuse3.default_options, "fsname=nothing"})
    try:
        trio.run(_serve, place)
    finally:
        pyfuse3.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))

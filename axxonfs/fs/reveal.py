"""Names that came from the server, shown to whoever watches a directory: an open window of a file manager.

inotify sees what goes through the kernel, and a new session does not. So a process of the mount's own makes the
directory (or the file) through the mount, as a user would; the request is recognised by its process id, and answered
with what is there already. Watchers get an ordinary IN_CREATE.

It is a process and no thread for the reason that the watchdog is one (axxonfs.cli.systemd): while the daemon is stuck
a thread would wait for it, could not be killed, and would keep the connection to the kernel open. It is forked before
anything of gRPC or trio exists, has no descriptor but its pipe, and ends with the daemon. Nothing waits for it: a pipe
that is full, or a name that somebody has looked up before, costs an event and no more. Where the mount belongs to
another user, or is read-only, the kernel refuses, and nothing happens.
"""

import contextlib
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

from axxonfs.core.entries import Appeared
from axxonfs.core.tree import ROOT_INODE
from axxonfs.fs import detached

_NAME = "axxonfs-reveal"  # what `ps -o comm` shows; at most 15 bytes
_DIRECTORY, _FILE = b"d", b"f"
_END = b"\0"
_READ_BYTES = 65_536
# Names that were told and not made yet. More at once is no window that somebody looks at.
_MOST_WAITING = 256
_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)

Place = tuple[int, bytes]  # inode of the directory, name


class Revealer:
    """The process, and what it was told to make."""

    def __init__(self) -> None:
        self._pipe: int | None = None
        self._pid = 0
        self._begun = False
        self._waiting: dict[Place, bool] = {}  # whether the name is still to be denied once

    def fork(self, mountpoint: Path) -> None:
        """Start the process; only before anything of gRPC or trio exists."""
        reader, self._pipe = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            try:
                _serve(reader, mountpoint)
            finally:
                os._exit(0)
        os.close(reader)
        os.set_blocking(self._pipe, False)

    def begin(self) -> None:
        """Begin to reveal: the mount is there."""
        self._begun = True

    def close(self) -> None:
        """Let the process end."""
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None

    def tell(self, notice: Appeared) -> None:
        """Have a name revealed; never blocks."""
        if not self._begun or self._pipe is None:
            return
        while len(self._waiting) >= _MOST_WAITING:
            # The kernel knew the name already, and never asked.
            del self._waiting[next(iter(self._waiting))]
        kind = _DIRECTORY if notice.is_directory else _FILE
        record = kind + b"/".join(notice.path) + _END
        # Shorter than PIPE_BUF, so whole or not at all; a pipe that is full or broken is a watcher's loss only.
        with contextlib.suppress(OSError):
            os.write(self._pipe, record)
            self._waiting[notice.parent, notice.path[-1]] = True

    def denies(self, pid: int, parent: int, name: bytes) -> bool:
        """Whether this lookup must find nothing, so that the name can be made; so it is once for each name."""
        if pid != self._pid or parent == ROOT_INODE or not self._waiting.get((parent, name)):
            return False
        self._waiting[parent, name] = False
        return True

    def makes(self, pid: int, parent: int, name: bytes) -> bool:
        """Whether this is the process that makes what is there already."""
        return pid == self._pid and self._waiting.pop((parent, name), None) is not None


def _serve(reader: int, mountpoint: Path) -> None:
    """Make what the pipe says until it ends."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(_NAME, "ascii")
    for number in _ENDINGS:
        # The daemon ends it by ending itself.
        signal.signal(number, signal.SIG_IGN)
    os.dup2(reader, 0)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
    # Above all the pipe by which a parent waits for the mount.
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.chdir("/")
    os.umask(0)
    for record in _records(0):
        # Seen so, the mount can be unmounted meanwhile.
        with contextlib.suppress(OSError), detached.view(mountpoint) as root:
            _make(record[:1], record[1:], root)


def _make(kind: bytes, path: bytes, root: int) -> None:
    """Make something at a path that is relative to the directory that `root` is a descriptor of."""
    if kind == _DIRECTORY:
        os.mkdir(path, 0o755, dir_fd=root)
    else:
        os.mknod(path, stat.S_IFREG | 0o444, dir_fd=root)


def _records(reader: int) -> Iterator[bytes]:
    rest = b""
    while data := os.read(reader, _READ_BYTES):
        *whole, rest = (rest + data).split(_END)
        yield from whole

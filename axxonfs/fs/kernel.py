"""What is said to the kernel and to libc besides answers: notifications, and the limits of the mount.

Notifications go out from a thread of their own: from the event loop they can
block for ever against a request that waits for it (measured). Limits are raised
where this process may; where it may not, that is said in words.
"""

import contextlib
import ctypes
import logging
import os
import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import pyfuse3

from axxonfs.core.view import Gone
from axxonfs.fs import detached
from axxonfs.fs import mountpoint as mountpoints
from axxonfs.fs.handles import PollHandle

log = logging.getLogger(__name__)

# A notice that is lost costs a stale name for as long as the kernel remembers names.
MAX_WAITING = 65_536
# READs grow to 1 MiB with it (measured), and fewer, larger READs cost less per byte. Less where the line is slow.
READ_AHEAD_KB = 1024
# The default of 12 lets a few stalled readers delay the readers of other files by seconds (measured).
MAX_BACKGROUND = 1024
STOP_TIMEOUT_S = 1.0
_M_ARENA_MAX = -8  # in malloc.h


class Notifier:
    """Tells the kernel what is gone, and wakes whoever polls."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[Gone | PollHandle | None] = queue.Queue(MAX_WAITING)
        self._thread = threading.Thread(target=self._run, name="axxonfs-notify", daemon=True)

    def start(self) -> None:
        """Begin; only after the mount is there."""
        self._thread.start()

    def stop(self) -> None:
        """End after what waits; the thread may outlive this where the kernel holds it."""
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)
        if self._thread.is_alive():
            self._thread.join(STOP_TIMEOUT_S)

    def tell(self, item: Gone | PollHandle) -> None:
        """Pass something on; never blocks."""
        try:
            self._waiting.put_nowait(item)
        except queue.Full:
            log.warning("kernel not told: too many notices wait")

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            try:
                _notify(item)
            except OSError:
                pass  # the kernel need not know the entry, and the mount may be gone: both are fine
            except Exception:
                # Without this thread stale names would be served, and pollers would sleep for ever.
                log.exception("kernel not told item=%r", item)


def _notify(item: Gone | PollHandle) -> None:
    if isinstance(item, Gone):
        pyfuse3.invalidate_entry(item.parent, item.name, item.ino)
    else:
        item.notify()


def bound_malloc() -> None:
    """Let all threads share one arena of glibc's malloc; call it before there are any.

    Chunks are made in one thread and let go in another: with an arena for each
    thread 534 MiB stayed resident after sequential reads, with one 190 (measured).
    """
    # Elsewhere than with glibc there is no such function, and no such arenas.
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def trim_malloc() -> None:
    """Give what malloc holds free back to the system, a few milliseconds' work; from no thread that others wait for.

    Chunks come and go in many sizes, with small things that stay between them: up to half of the arena was free and
    resident in a mount with 20 readers (measured).
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def raise_limits(mountpoint: Path) -> list[str]:
    """Raise the kernel's read-ahead and its limit of background requests for this mount, as soon as it answers.

    Blocking until then, so never call it from the event loop. Returns what could
    not be done, in words.
    """
    # An answer means that the kernel has been told the limits of libfuse, which would overrule these. There is none
    # where the mount has ended meanwhile.
    with contextlib.suppress(OSError), detached.view(mountpoint) as directory:
        os.statvfs(directory)
    problems = []
    if not set_read_ahead(mountpoint, READ_AHEAD_KB):
        problems.append(f"read-ahead of the kernel not raised: reading is slower; root may write {_bdi(mountpoint)}")
    with _connections() as directory:
        limits = directory / mountpoints.device(mountpoint).rpartition(":")[2]
        if not (_write(limits / "max_background", MAX_BACKGROUND) and _raise_congestion(limits)):
            problems.append("background limit of the kernel not raised: stalled readers delay others; only root may")
    return problems


def set_read_ahead(mountpoint: Path, read_ahead_kb: int) -> bool:
    """Set how much the kernel reads ahead in files of this mount that are opened from now on; False if it may not."""
    return _write(_bdi(mountpoint), read_ahead_kb)


def _bdi(mountpoint: Path) -> Path:
    return Path(f"/sys/class/bdi/{mountpoints.device(mountpoint)}/read_ahead_kb")


def _raise_congestion(limits: Path) -> bool:
    return _write(limits / "congestion_threshold", MAX_BACKGROUND * 3 // 4)


def _write(path: Path, value: int) -> bool:
    try:
        path.write_text(f"{value}\n")
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _connections() -> Iterator[Path]:
    """Yield the directory of FUSE's connections; where the system has not mounted it, from a mount without a place."""
    standard = Path("/sys/fs/fuse/connections")
    if os.path.ismount(standard):
        yield standard
        return
    try:
        descriptor = detached.make("fusectl", {})
    except OSError:
        yield standard  # where nothing is found
        return
    try:
        yield Path(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)

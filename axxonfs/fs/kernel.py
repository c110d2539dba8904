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
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pyfuse3

from axxonfs.core.view import Gone
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


def raise_limits(mountpoint: str) -> list[str]:
    """Raise the kernel's read-ahead and its limit of background requests for this mount.

    Blocking: it asks the mount for its attributes, so never call it from the
    event loop. Returns what could not be done, in words.
    """
    problems = []
    if not set_read_ahead(mountpoint, READ_AHEAD_KB):
        problems.append(f"read-ahead of the kernel not raised: reading is slower; root may write {_bdi(mountpoint)}")
    with _connections() as directory:
        limits = directory / str(os.minor(Path(mountpoint).stat().st_dev))
        if not (_write(limits / "max_background", MAX_BACKGROUND) and _raise_congestion(limits)):
            problems.append("background limit of the kernel not raised: stalled readers delay others; only root may")
    return problems


def set_read_ahead(mountpoint: str, read_ahead_kb: int) -> bool:
    """Set how much the kernel reads ahead in files of this mount that are opened from now on; False if it may not.

    Blocking, as `raise_limits`.
    """
    return _write(_bdi(mountpoint), read_ahead_kb)


def _bdi(mountpoint: str) -> Path:
    device = Path(mountpoint).stat().st_dev
    return Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb")


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
    """Yield the directory of FUSE's connections; mounted for a moment where the system does not."""
    standard = Path("/sys/fs/fuse/connections")
    if os.path.ismount(standard) or os.geteuid() != 0:
        yield standard
        return
    with tempfile.TemporaryDirectory(prefix="axxonfs-") as directory:
        if not _run_quietly("mount", "-t", "fusectl", "fusectl", directory):
            yield standard
            return
        try:
            yield Path(directory)
        finally:
            _run_quietly("umount", directory)


def _run_quietly(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False

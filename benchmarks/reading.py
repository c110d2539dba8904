"""How programs read: through, at random, as players do.

Decides block sizes and what is timed. Every function opens the file anew and
works in the thread that calls it; the kernel's calls release the interpreter's
lock, so that threads are good enough as readers.
"""

import contextlib
import dataclasses
import fcntl
import mmap
import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

KIB, MIB, MB = 1 << 10, 1 << 20, 1_000_000
_BLOCK_BYTES = MIB
_F_SETPIPE_SZ = 1031
_OWN_BYTES = 128 * MIB  # what processes need for themselves while a file is read, and more


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One thing that a player does: read `size` bytes from `offset`."""

    name: str
    offset: int
    size: int


@contextlib.contextmanager
def opened(path: Path, *, direct: bool = False) -> Iterator[int]:
    """Yield a descriptor of a file."""
    descriptor = os.open(path, os.O_RDONLY | (os.O_DIRECT if direct else 0))
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def read_through(descriptor: int) -> int:
    """Read to the end; return how many bytes came."""
    buffer = mmap.mmap(-1, _BLOCK_BYTES)
    with contextlib.suppress(OSError):  # it is no pipe
        fcntl.fcntl(descriptor, _F_SETPIPE_SZ, _BLOCK_BYTES)
    total = 0
    while came := os.readv(descriptor, [buffer]):
        total += came
    return total


def sequential_rate(path: Path, start_bytes: int = 0, *, keep: bool = False) -> float:
    """Read a file from `start_bytes` to its end, and return bytes per second, the open left out.

    Unless asked to `keep` them, the kernel gives the file's pages back afterwards:
    in a virtual machine pages that were never used before cost ten times as much,
    and whoever comes later would meet more of them (measured).
    """
    with opened(path) as descriptor:
        began_s = time.monotonic()
        os.lseek(descriptor, start_bytes, os.SEEK_SET)
        total = read_through(descriptor)
        passed_s = time.monotonic() - began_s
        if not keep:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    return total / passed_s


def use_free_memory(read_bytes: int) -> None:
    """Touch free memory and give it back, so that whoever reads so much next does not wait for new pages.

    A hypervisor may take back what lies free in a machine, and hand it out anew at the first touch: that cost 2.3 s
    for a GiB (measured), and met whoever filled the page cache then. Where none does, this changes nothing.
    """
    mmap.mmap(-1, read_bytes + _OWN_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE).close()


def latencies_s(path: Path, offsets: Sequence[int], size: int, *, direct: bool) -> list[float]:
    """Read `size` bytes at each offset in turn; return how long each read took."""
    with opened(path, direct=direct) as descriptor, _buffer(size) as view:
        return [_timed_read(descriptor, view, offset) for offset in offsets]


def steps_s(path: Path, steps: Sequence[Step], block: int = 64 * KIB) -> list[float]:
    """Take the steps one after the other, as a player does; return how long each took, the open in the first."""
    times, began_s = [], time.monotonic()
    with opened(path) as descriptor, _buffer(block) as view:
        for step in steps:
            for offset in range(step.offset, step.offset + step.size, block):
                _timed_read(descriptor, view, offset)
            times.append(time.monotonic() - began_s)
            began_s = time.monotonic()
    return times


def skipping_s(path: Path, read: int, skip: int) -> float:
    """Read some, skip some, and so on through the file; return the seconds."""
    size = path.stat().st_size
    steps = [Step("", offset, min(read, size - offset)) for offset in range(0, size, read + skip)]
    return sum(steps_s(path, steps, block=256 * KIB))


def playing_s(path: Path, bytes_per_s: float, length_s: float, block: int, *, direct: bool) -> list[float]:
    """Read a file as fast as it plays; return how long each read took but the first, which opens the stream.

    Each read is due when the one before it begins to play, and must be there
    when that one has been played: a player with no more buffer than that.
    """
    times = []
    with opened(path, direct=direct) as descriptor, _buffer(block) as view:
        _timed_read(descriptor, view, 0)
        due_s = time.monotonic()
        for number in range(1, int(bytes_per_s * length_s) // block):
            _sleep_until(due_s)
            times.append(_timed_read(descriptor, view, number * block))
            # A player that had to wait goes on from there.
            due_s = max(due_s + block / bytes_per_s, time.monotonic() - block / bytes_per_s)
    return times


def traced(path: Path, block: int, start: threading.Event) -> list[tuple[float, int]]:
    """Wait for the start, read a file through with O_DIRECT, and return when each block was there."""
    trace = []
    start.wait()
    with opened(path, direct=True) as descriptor, _buffer(block) as view:
        for number in range(-(-path.stat().st_size // block)):
            os.preadv(descriptor, [view], number * block)
            trace.append((time.monotonic(), number))
    return trace


@contextlib.contextmanager
def _buffer(size: int) -> Iterator[memoryview]:
    """Yield memory that is aligned as O_DIRECT wants it."""
    with mmap.mmap(-1, size) as memory, memoryview(memory) as view:
        yield view


def _timed_read(descriptor: int, view: memoryview, offset: int) -> float:
    began_s = time.monotonic()
    os.preadv(descriptor, [view], offset)
    return time.monotonic() - began_s


def _sleep_until(due_s: float) -> None:
    time.sleep(max(0.0, due_s - time.monotonic()))

"""Programs that a benchmark starts: they are ended by it, and only they.

Decides how a program is started (in a session of its own, so that Ctrl-C is for
the benchmark, which then ends it), awaited, measured and ended. Linux's /proc is
where the figures come from.
"""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from axxonfs.fs import mountpoint
from benchmarks.children import ChildError

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 15.0
_LOOK_EVERY_S = 0.01
_KIB = 1024
# Behind the command's name in brackets: state is field 3, utime and stime are 14 and 15 (proc(5)).
_UTIME = 14 - 3


@contextlib.contextmanager
def started(
    words: Sequence[str], ready: Callable[[], bool], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Yield a program once it is ready, and end it; ChildError with its last words if it is not in time."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            words,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _await(process, ready, log)
        yield process
    finally:
        _end(process)


@contextlib.contextmanager
def mounted(
    words: Sequence[str], where: Path, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    """Yield the daemon of a mount once that answers; it is not there any more afterwards."""
    where.mkdir(parents=True, exist_ok=True)
    try:
        with started(
            words, lambda: mountpoint.find(where) is not None and _answers(where), log, environment
        ) as process:
            yield process
    finally:
        if mountpoint.find(where) is not None:
            mountpoint.unmount(where, lazy=True)


def cpu_s(pid: int) -> float:
    """Return the processor seconds that a process has used so far, its threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[_UTIME : _UTIME + 2])) / os.sysconf("SC_CLK_TCK")


def peak_memory_bytes(pid: int) -> int:
    """Return the most memory that a process has had resident."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * _KIB
    raise RuntimeError("the kernel does not say how much memory a process has used")


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody listens on a port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
        return True
    return False


def _answers(where: Path) -> bool:
    with contextlib.suppress(OSError):
        return bool(os.listdir(where))  # noqa: PTH208 - a name each is all that is needed
    return False


def _await(process: "subprocess.Popen[bytes]", ready: Callable[[], bool], log: Path) -> None:
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline_s:
            raise ChildError(f"{process.args!r} did not start: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(_LOOK_EVERY_S)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

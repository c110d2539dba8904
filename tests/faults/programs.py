"""Real programs that use a mount while things go wrong: what they read, how long it took, whether one is stuck."""

import contextlib
import dataclasses
import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.fuse.harness import Rig

ENDS_S = 90.0


@dataclasses.dataclass(slots=True)
class Program:
    """A program in a process of its own."""

    process: "subprocess.Popen[bytes]"
    started_s: float

    @property
    def state(self) -> str:
        """The letter that the kernel has for it; X once it is gone."""
        with contextlib.suppress(OSError):
            return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return "X"

    def end(self, timeout_s: float = ENDS_S) -> tuple[int, bytes, float]:
        """Wait for its end; return status, output and how long it has run."""
        out, err = self.process.communicate(timeout=timeout_s)
        return self.process.returncode, out + err, time.monotonic() - self.started_s


def start(*words: str | Path) -> Program:
    """Start a program."""
    pipe, environment = subprocess.PIPE, {**os.environ, "LC_ALL": "C"}
    process = subprocess.Popen([str(word) for word in words], stdout=pipe, stderr=pipe, env=environment)
    return Program(process, time.monotonic())


@contextlib.contextmanager
def running(*programs: Program) -> Iterator[None]:
    """Let no program outlive a test."""
    try:
        yield
    finally:
        for program in programs:
            if program.process.poll() is None:
                program.process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                program.process.communicate(timeout=ENDS_S)


def sha256sum(path: Path) -> Program:
    """Read a file to its end."""
    return start("sha256sum", path)


def check_hash(program: Program, truth: bytes) -> float:
    """Check that a sha256sum has read the right bytes; return how long it took."""
    status, text, took_s = program.end()
    assert (status, text.split()[:1]) == (0, [hashlib.sha256(truth).hexdigest().encode()]), text
    return took_s


def blocked(rig: Rig) -> dict[tuple[str, bytes], str]:
    """Return the programs in state D that use the mount, each by its process and the count of its reads so far."""
    found = {}
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
            if state == "D" and os.fsencode(rig.path) in (process / "cmdline").read_bytes():
                # Somebody who reads on and on is always in D, but in another read each time.
                words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found[process.name, (process / "io").read_bytes()] = words
    return found


def longest_s(action: Callable[[], object], while_: Callable[[], bool]) -> float:
    """Do something again and again as long as a condition holds; return how long it took at the longest."""
    longest = 0.0
    while while_():
        started_s = time.monotonic()
        action()
        longest = max(longest, time.monotonic() - started_s)
        time.sleep(0.05)
    return longest


def look_around(rig: Rig) -> None:
    """Do what must be answered from memory: list, stat, look for a name, ask for space, read texts."""
    for session in (rig.path / "sessions").iterdir():
        for entry in session.iterdir():
            entry.stat()
        (session / "status.json").read_bytes()
    assert not (rig.path / "sessions" / "none").exists()
    os.statvfs(rig.path)


def kill(program: Program) -> None:
    """End a program with SIGKILL."""
    program.process.send_signal(signal.SIGKILL)

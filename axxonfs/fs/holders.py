"""Which processes hold files below a mountpoint: who is asked to let go before it is unmounted.

Reads /proc and nothing else: where a path of a process leads is answered by the
kernel, so a mount whose daemon hangs is never asked. What can wait all the same
(the command line of a process that is stuck in the kernel) is read in a thread
that is left alone once the time is over. Blocking, bounded.
"""

import contextlib
import dataclasses
import os
import threading
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")
_LINKS = ("cwd", "root", "exe")
_COMMAND_BYTES = 200
_DELETED = " (deleted)"


@dataclasses.dataclass(slots=True)
class Holder:
    """A process, and one of the paths that it holds."""

    pid: int
    name: str
    path: str
    how: str  # `open`, `cwd`, `root`, `exe` or `mapped`
    command: str = ""

    def __str__(self) -> str:
        """Say who it is, on one line that no terminal obeys."""
        text = f"{self.pid} {self.name}: {self.path} ({self.how})" + (f", {self.command}" if self.command else "")
        return "".join(char if char.isprintable() else "?" for char in text)


def holders(mountpoint: Path, *, timeout_s: float) -> list[Holder]:
    """Return who holds files below `mountpoint`, this process aside, as far as the caller may see and time allows."""
    found: list[Holder] = []
    # Of the kind that nobody waits for: should it be stuck in the kernel, this process can still end.
    thread = threading.Thread(target=_look, args=(str(mountpoint), found), daemon=True)
    thread.start()
    thread.join(timeout_s)
    return list(found)


def _look(mountpoint: str, found: list[Holder]) -> None:
    pids = [int(path.name) for path in _PROC.iterdir() if path.name.isdecimal() and int(path.name) != os.getpid()]
    # What cannot wait comes first, for all processes.
    for pid in pids:
        found += _holder(mountpoint, pid, _held(pid))
    for holder in list(found):
        holder.command = _command(holder.pid)
    known = {holder.pid for holder in found}
    for pid in pids:
        if pid not in known:
            found += _holder(mountpoint, pid, _mapped(pid))


def _holder(mountpoint: str, pid: int, held: Iterator[tuple[str, str]]) -> list[Holder]:
    """Return the process as a holder if one of its paths is below the mountpoint."""
    for how, path in held:
        plain = path.removesuffix(_DELETED)
        if plain == mountpoint or plain.startswith(f"{mountpoint}/"):
            return [Holder(pid, _name(pid), plain, how)]
    return []


def _held(pid: int) -> Iterator[tuple[str, str]]:
    # A process may end, or belong to somebody else, at any moment.
    with contextlib.suppress(OSError):
        for descriptor in (_PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):
                yield "open", str(descriptor.readlink())
    for link in _LINKS:
        with contextlib.suppress(OSError):
            yield link, str((_PROC / str(pid) / link).readlink())


def _mapped(pid: int) -> Iterator[tuple[str, str]]:
    with contextlib.suppress(OSError):
        for line in (_PROC / str(pid) / "maps").read_text("utf-8", "surrogateescape").splitlines():
            _, slash, path = line.partition("/")
            if slash:
                yield "mapped", f"/{path}"


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return (_PROC / str(pid) / "comm").read_text("utf-8", "replace").strip()
    return "?"


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        words = (_PROC / str(pid) / "cmdline").read_bytes()[:_COMMAND_BYTES]
        return words.replace(b"\0", b" ").decode("utf-8", "replace").strip()
    return ""

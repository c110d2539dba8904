"""Mounts as values, and how axxonfs and the do-nothing mount are started.

Decides that axxonfs is mounted by its command, as users do, in the foreground,
so that its process is known.
"""

import contextlib
import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import processes, server
from benchmarks.proxy import Address, Proxy

# stats.json is rebuilt once a second.
_STATS_PAUSE_S = 1.3


@dataclasses.dataclass(slots=True)
class Mount:
    """A mounted file system, and files in it that nobody has read yet."""

    name: str
    root: Path
    process: "subprocess.Popen[bytes]"
    files: Iterator[Path]
    clips: Iterator[Path]
    proxy: Proxy | None = None

    def fresh(self) -> Path:
        """Return a file of the usual content that was not read before; the kernel knows its attributes."""
        return _known(next(self.files))

    def fresh_clip(self) -> Path:
        """Return a clip that was not read before."""
        return _known(next(self.clips))

    def cpu_s(self) -> float:
        """Return the processor seconds of the daemon."""
        return processes.cpu_s(self.process.pid)

    def stats(self) -> dict[str, Any]:
        """Return the `stats.json` of an axxonfs mount as it is by now."""
        time.sleep(_STATS_PAUSE_S)
        text: dict[str, Any] = json.loads((self.root / ".axxonfs" / "stats.json").read_text())
        return text

    @property
    def line(self) -> Proxy:
        """The line to the server, for counting."""
        assert self.proxy is not None, "this mount has no line of its own"  # noqa: S101 - a mistake in a scenario
        return self.proxy


def mount_of_results(where: Path, process: "subprocess.Popen[bytes]", proxy: Proxy | None) -> Mount:
    """Return an axxonfs mount with its results."""
    return Mount("axxonfs", where, process, _results(where, "mkv"), _results(where, "mp4"), proxy)


def mount_of_files(name: str, where: Path, process: "subprocess.Popen[bytes]", proxy: Proxy | None) -> Mount:
    """Return a mount whose files lie in its root."""
    names = sorted(path.name for path in where.iterdir())
    files, clips = ([where / name for name in names if name.endswith(kind)] for kind in ("mkv", "mp4"))
    return Mount(name, where, process, iter(files), iter(clips), proxy)


@contextlib.contextmanager
def mounted_axxonfs(
    source: server.Server, address: Address, where: Path, scratch: Path, options: dict[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    """Mount a simulator, which is to be reached at `address`."""
    trust = {"tls_ca": str(source.ca_file)} if source.ca_file else {"plaintext": ""}
    words = {**trust, "state_dir": str(scratch / "state"), "log_level": "warning", **options}
    listed = ",".join(f"{name}={value}" if value else name for name, value in words.items())
    command = [sys.executable, "-m", "axxonfs", "mount", f"{server.USER}@{address[0]}:{address[1]}", str(where)]
    command += ["-o", listed, "--foreground"]
    environment = {"AXXONFS_PASSWORD": server.PASSWORD}
    with processes.mounted(command, where, scratch / "log", environment) as process:
        yield process


@contextlib.contextmanager
def do_nothing(
    content: Path, where: Path, scratch: Path, *, files: int = 0, directories: int = 0
) -> Iterator["subprocess.Popen[bytes]"]:
    """Mount from memory: `files` of one content, and a directory of `directories`."""
    command = [sys.executable, "-m", "benchmarks.nothing", str(where), str(content), str(files), str(directories)]
    with processes.mounted(command, where, scratch / "log") as process:
        yield process


def _results(where: Path, kind: str) -> Iterator[Path]:
    """Yield the results of a kind, one session after the other."""
    for session in sorted((where / "sessions").iterdir()):
        yield from session.glob(f"*.{kind}")


def _known(path: Path) -> Path:
    path.stat()
    return path

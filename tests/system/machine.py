"""A Debian with systemd, booted in a container: the rig of the system tier.

Debian comes from the cache (scripts/image), and each machine writes into an
overlay of its own. It has loopback and nothing else of a network, and device
nodes of its own, so that nothing of it reaches the machine that runs the tests.
"""

import contextlib
import dataclasses
import functools
import itertools
import os
import shlex
import shutil
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.fuse.harness import wait_until

ROOT = Path(__file__).parents[2]
BOOTS_S = 120.0
RUNS_S = 120.0
# /dev/fuse and /dev/autofs; what is done to the modes of these does nothing to those of the host.
DEVICES = {"fuse": (10, 229, 0o666), "autofs": (10, 235, 0o644)}


def packages() -> list[Path]:
    """Return the Debian packages that `make package` has built."""
    return sorted((ROOT / "dist").glob("axxonfs*.deb"))


@functools.cache
def cannot_boot() -> str:
    """Return why no machine can be booted here; empty where one can."""
    missing = [name for name in ("systemd-nspawn", "debootstrap", "nsenter") if shutil.which(name) is None]
    if missing:
        return f"not installed, see scripts/setup: {', '.join(missing)}"
    if os.geteuid() != 0:
        return "booting a machine needs root"
    if "\tfuse\n" not in Path("/proc/filesystems").read_text() or not Path("/dev/autofs").exists():
        return "this kernel has no fuse or no autofs"
    return "" if len(packages()) == 2 else "there are no packages in dist: run `make package`"


class Machine:
    """One machine; `root` is its root directory as the host sees it."""

    def __init__(self, scratch: Path) -> None:
        image = subprocess.run([ROOT / "scripts" / "image", "machine"], stdout=subprocess.PIPE, text=True, check=True)
        self.root = scratch / "root"
        self._devices = scratch / "devices"
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._console = scratch / "console"
        for path in (self.root, scratch / "upper", scratch / "work", self._devices):
            path.mkdir()
        for name, (major, minor, mode) in DEVICES.items():
            os.mknod(self._devices / name, stat.S_IFCHR | mode, os.makedev(major, minor))
            (self._devices / name).chmod(mode)
        layers = f"lowerdir={image.stdout.strip()},upperdir={scratch / 'upper'},workdir={scratch / 'work'}"
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, self.root], check=True)
        # The journal of all boots is kept, to be looked through.
        (self.root / "var/log/journal").mkdir(exist_ok=True)
        (self.root / "etc/hostname").write_text("machine\n")
        (self.root / "etc/hosts").write_text("127.0.0.1 localhost machine\n")

    def close(self) -> None:
        """Cut the power, and take it away."""
        try:
            if self._nspawn is not None:
                self._cut()
        finally:
            subprocess.run(["umount", self.root], check=True)

    # -- power ---------------------------------------------------------------------

    def boot(self) -> None:
        """Boot, and wait until systemd has started what it starts."""
        binds = [f"--bind={self._devices / name}:/dev/{name}" for name in DEVICES]
        words = ["systemd-nspawn", "--boot", "--quiet", f"--directory={self.root}", "--machine=axxonfs-test"]
        words += ["--register=no", "--keep-unit", "--private-network", "--resolv-conf=off", "--timezone=off"]
        with self._console.open("ab") as console:
            self._nspawn = subprocess.Popen(
                [*words, "--console=pipe", *binds], stdin=subprocess.DEVNULL, stdout=console, stderr=console
            )
        wait_until(lambda: self._leader, f"the container to start: {self._console.read_text()}", BOOTS_S)
        # Not multi-user.target: that waits for mounts that wait for their server.
        self.wait("systemctl is-active -q basic.target && systemctl is-active -q systemd-user-sessions", "systemd")

    def power_off(self) -> None:
        """Let systemd stop everything, and cut the power where it would write back the disks of the host."""
        leader = self._leader
        os.kill(leader, signal.SIGRTMIN + 4)
        wait_until(lambda: _name(leader) in {"", "systemd-shutdow"}, "systemd to stop everything", BOOTS_S)
        self._cut()

    def _cut(self) -> None:
        assert self._nspawn is not None
        if self._nspawn.poll() is None and self._leader:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._leader, signal.SIGKILL)
        self._nspawn.wait(BOOTS_S)
        self._nspawn = None

    def reboot(self) -> None:
        self.power_off()
        self.boot()

    @property
    def _leader(self) -> int:
        """The process that is systemd there; 0 while there is none."""
        assert self._nspawn is not None
        assert self._nspawn.poll() is None, self._console.read_text()
        children = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children").read_text().split()
        return int(children[0]) if children else 0

    # -- commands ------------------------------------------------------------------

    def words(self, command: str) -> list[str]:
        """Return the command of the host that runs a command of bash in the machine."""
        environment = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8"]
        return ["nsenter", "-t", str(self._leader), "-a", *environment, "bash", "-c", command]

    def start(self, command: str) -> "subprocess.Popen[str]":
        """Start a command as root, with pipes."""
        pipe = subprocess.PIPE
        return subprocess.Popen(self.words(command), stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def attempt(self, command: str, timeout_s: float = RUNS_S) -> "subprocess.CompletedProcess[str]":
        """Run a command of bash as root."""
        return subprocess.run(
            self.words(command), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=timeout_s,
        )  # fmt: skip

    def run(self, command: str, timeout_s: float = RUNS_S) -> str:
        """Run a command that must succeed, and return what it prints."""
        done = self.attempt(command, timeout_s)
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def ask(self, command: str) -> str:
        """Run a command that may fail, and return what it prints."""
        return self.attempt(command).stdout.strip()

    def wait(self, command: str, what: str) -> None:
        """Wait until a command succeeds."""
        wait_until(lambda: self.attempt(command).returncode == 0, what)

    def property(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.run(f"systemctl show --value -p {name} {shlex.quote(unit)}")

    # -- files ---------------------------------------------------------------------

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file of the machine, which may be off."""
        where = self.root / path.lstrip("/")
        where.parent.mkdir(parents=True, exist_ok=True)
        where.touch(mode)
        where.chmod(mode)
        where.write_text(text)


def _name(pid: int) -> str:
    """Return the name of a process of the host; empty where it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """What a look at a directory gave, for how long: `entries`, `empty`, or the name of the error."""

    what: str
    for_s: float


@contextlib.contextmanager
def watching(machine: Machine, path: str) -> Iterator[list[Seen]]:
    """Look at a directory of the machine all the time, as a copy program would; yield what was seen, in order."""
    program = (
        "import errno, os, select, sys, time\nlast = None\n"
        "def note(now):\n    global last\n"
        "    if now != last:\n        print(now, time.monotonic(), flush=True)\n"
        "    last = now\n"
        "while not select.select([sys.stdin], [], [], 0.005)[0]:\n"
        "    try:\n        note('entries' if os.listdir(sys.argv[1]) else 'empty')\n"
        "    except OSError as error:\n        note(errno.errorcode[error.errno])\n"
        "note('end')\n"
    )
    seen: list[Seen] = []
    with machine.start(f"exec python3 -c {shlex.quote(program)} {shlex.quote(path)}") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        lines = [process.stdout.readline()]
        yield seen
        # nsenter has forked: a signal would not reach the program, the end of its input does.
        process.stdin.close()
        lines += process.stdout.read().splitlines()
    rows = [(what, float(at_s)) for what, at_s in (line.split() for line in lines)]
    seen += [Seen(what, until_s - at_s) for (what, at_s), (_, until_s) in itertools.pairwise(rows)]

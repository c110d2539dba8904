"""Where a mount may go: the checks before it, what a crash left, and the way out.

Blocking; called before the event loop runs and by the commands, and by the mount
where it asks /proc/self/mountinfo only. Beside that the mountpoint itself is
read, nothing else.
"""

import dataclasses
import errno
import os
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from axxonfs.core import errors
from axxonfs.fs import detached

FSTYPE = "fuse.axxonfs"
_ANSWER_TIMEOUT_S = 2.0
AUTOFS = "autofs"  # where systemd mounts at the first access
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclasses.dataclass(frozen=True, slots=True)
class Mounted:
    """A line of /proc/self/mountinfo."""

    fstype: str
    source: str
    device: str = dataclasses.field(default="", compare=False)  # its number, as in `0:41`


def canonical(path: str) -> Path:
    """Return the absolute path without symbolic links, as mountinfo has it; a dead mount at its end is no obstacle."""
    return Path(os.path.realpath(path))


def mounted_path(path: str) -> Path:
    """Return the same for a mountpoint, without asking what is mounted there, which may hang."""
    parent, name = os.path.split(os.path.abspath(path))  # noqa: PTH100 - pathlib resolves, and so asks
    plain = Path(os.path.realpath(parent)) / name
    return plain if find(plain) is not None else canonical(path)


def find(mountpoint: Path) -> Mounted | None:
    """Return what is mounted at the absolute path, the topmost where mounts are stacked; an automount is nothing."""
    found = [mounted for mounted in _mounts(mountpoint) if mounted.fstype != AUTOFS]
    return found[-1] if found else None


def _mounts(mountpoint: Path) -> Iterator[Mounted]:
    """Yield what is mounted at the absolute path, from the bottom up."""
    for line in Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines():
        head, _, tail = line.partition(" - ")
        fields = head.split()
        where = _OCTAL.sub(lambda match: chr(int(match[1], 8)), fields[4])
        if where == str(mountpoint):
            fstype, source, *_ = tail.split()
            yield Mounted(fstype, source, fields[2])


def device(mountpoint: Path) -> str:
    """Return the device number of what is mounted there, as in `0:41`, without asking it; empty where nothing is."""
    mounted = find(mountpoint)
    return mounted.device if mounted is not None else ""


def is_dead(mountpoint: Path) -> bool:
    """Whether a crash left the mountpoint without a daemon (ENOTCONN)."""
    try:
        # Not stat: the kernel answers that from its memory for a second after the crash.
        with detached.view(mountpoint) as root:
            os.statvfs(root)
    except OSError as error:
        return error.errno == errno.ENOTCONN
    return False


def is_known_dead(mountpoint: Path, timeout_s: float = _ANSWER_TIMEOUT_S) -> bool:
    """Whether a mount is dead, as far as that shows in time: one whose daemon hangs does not answer."""
    found: list[bool] = []
    # Of the kind that nobody waits for: the question cannot be taken back.
    thread = threading.Thread(target=lambda: found.append(is_dead(mountpoint)), daemon=True)
    thread.start()
    thread.join(timeout_s)
    return any(found)


def is_dead_mount(mountpoint: Path) -> bool:
    """Whether a dead mount of ours is there, which the next one may replace."""
    mounted = find(mountpoint)
    return mounted is not None and mounted.fstype == FSTYPE and is_dead(mountpoint)


def check_fuse() -> None:
    """Check that this machine can mount.

    Raises:
        NoFuseError: it says what is missing.
    """
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except FileNotFoundError as error:
        raise errors.NoFuseError("there is no /dev/fuse: load the module with `modprobe fuse`") from error
    except OSError as error:
        # An ordinary user may lack the right to open it and still mount by way of fusermount3.
        if os.geteuid() == 0 or error.errno != errno.EACCES:
            raise errors.NoFuseError(f"/dev/fuse cannot be opened: {error.strerror}") from error


def check(mountpoint: Path) -> None:
    """Check that something can be mounted there; a dead mount of ours counts as free.

    Raises:
        MountpointBusyError: something is mounted there.
        MountpointError: it is no directory, or not usable.
    """
    mounted = find(mountpoint)
    if mounted is not None and not is_dead_mount(mountpoint):
        raise errors.MountpointBusyError(
            f"{mountpoint} is in use by {mounted.source} ({mounted.fstype}): run `axxonfs umount {mountpoint}` first"
        )
    # To look into what waits for this very mount would wait for it, too.
    if mounted is not None or any(waiting.fstype == AUTOFS for waiting in _mounts(mountpoint)):
        return
    try:
        if not mountpoint.is_dir():
            raise errors.MountpointError(f"{mountpoint} is not a directory: make it with `mkdir -p {mountpoint}`")
        if any(mountpoint.iterdir()):
            raise errors.MountpointError(f"{mountpoint} is not empty: its files would be hidden; take an empty one")
    except OSError as error:
        raise errors.MountpointError(f"{mountpoint} cannot be used: {error.strerror}") from error


def unmount(mountpoint: Path, *, lazy: bool = False) -> None:
    """Unmount.

    Raises:
        MountpointHeldError: it is in use.
        MountpointError: nothing is mounted there, or it cannot be unmounted.
    """
    if find(mountpoint) is None:
        raise errors.MountpointError(f"nothing is mounted at {mountpoint}")
    flags = ["-l"] if os.geteuid() == 0 else ["-z"]
    # -c: it looks at the mountpoint before, and would wait for a daemon that hangs (measured).
    command = ["umount", "-c"] if os.geteuid() == 0 else ["fusermount3", "-u"]
    words = [*command, *(flags if lazy else []), str(mountpoint)]
    try:
        environment = {**os.environ, "LC_ALL": "C"}
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30, env=environment)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise errors.MountpointError(f"{mountpoint} was not unmounted: {error}") from error
    if done.returncode != 0 and "busy" in done.stderr:
        raise errors.MountpointHeldError(f"{mountpoint} was not unmounted: it is in use")
    if done.returncode != 0 and "not found in /etc/mtab" in done.stderr:
        # What fusermount3 says of the mounts of others.
        raise errors.MountpointError(f"{mountpoint} was not unmounted: only who mounted it can do that, or root")
    if done.returncode != 0:
        raise errors.MountpointError(f"{mountpoint} was not unmounted: {done.stderr.strip()}")

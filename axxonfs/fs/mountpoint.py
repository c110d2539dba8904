"""Where a mount may go: the checks before it, what a crash left, and the way out.

Blocking; called before the event loop runs and by the commands. Reads
/proc/self/mountinfo and the mountpoint itself, nothing else.
"""

import dataclasses
import errno
import os
import re
import subprocess
from pathlib import Path

from axxonfs.core import errors

FSTYPE = "fuse.axxonfs"
_OCTAL = re.compile(r"\\([0-7]{3})")


@dataclasses.dataclass(frozen=True, slots=True)
class Mounted:
    """A line of /proc/self/mountinfo."""

    fstype: str
    source: str


def canonical(path: str) -> Path:
    """Return the absolute path without symbolic links, as mountinfo has it; a dead mount at its end is no obstacle."""
    return Path(os.path.realpath(path))


def find(mountpoint: Path) -> Mounted | None:
    """Return what is mounted at the absolute path, the topmost where mounts are stacked."""
    found = None
    for line in Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines():
        fields, _, tail = line.partition(" - ")
        where = _OCTAL.sub(lambda match: chr(int(match[1], 8)), fields.split()[4])
        if where == str(mountpoint):
            fstype, source, *_ = tail.split()
            found = Mounted(fstype, source)
    return found


def is_dead(mountpoint: Path) -> bool:
    """Whether a crash left the mountpoint without a daemon (ENOTCONN)."""
    try:
        # Not stat: the kernel answers that from its memory for a second after the crash.
        os.statvfs(mountpoint)
    except OSError as error:
        return error.errno == errno.ENOTCONN
    return False


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
    if mounted is not None and not (mounted.fstype == FSTYPE and is_dead(mountpoint)):
        raise errors.MountpointBusyError(
            f"{mountpoint} is in use by {mounted.source} ({mounted.fstype}): run `axxonfs umount {mountpoint}` first"
        )
    if mounted is not None:
        return
    try:
        if not mountpoint.is_dir():
            raise errors.MountpointError(f"{mountpoint} is not a directory: make it with `mkdir -p {mountpoint}`")
        if any(mountpoint.iterdir()):
            raise errors.MountpointError(f"{mountpoint} is not empty: its files would be hidden; take an empty one")
    except OSError as error:
        raise errors.MountpointError(f"{mountpoint} cannot be used: {error.strerror}") from error


def clear_dead(mountpoint: Path) -> None:
    """Take away the dead mount that a crash left; called immediately before the new one is mounted.

    Raises:
        MountpointError: it cannot be taken away.
    """
    if find(mountpoint) is not None and is_dead(mountpoint):
        unmount(mountpoint, lazy=True)


def unmount(mountpoint: Path, *, lazy: bool = False) -> None:
    """Unmount.

    Raises:
        MountpointError: nothing is mounted there, or it is in use.
    """
    if find(mountpoint) is None:
        raise errors.MountpointError(f"nothing is mounted at {mountpoint}")
    flags = ["-l"] if os.geteuid() == 0 else ["-z"]
    command = ["umount"] if os.geteuid() == 0 else ["fusermount3", "-u"]
    words = [*command, *(flags if lazy else []), str(mountpoint)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise errors.MountpointError(f"{mountpoint} was not unmounted: {error}") from error
    if done.returncode != 0:
        raise errors.MountpointError(f"{mountpoint} was not unmounted: {done.stderr.strip()}")

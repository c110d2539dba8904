"""What can be wrong with this machine: FUSE, its helper, its limits, the mountpoint, the state directory.

Blocking, and quick: nothing here uses the network. Changes nothing. Imports neither pyfuse3 nor grpc, which may be
what is missing.
"""

import importlib
import os
import shutil
import stat
from pathlib import Path

from axxonfs.core import errors
from axxonfs.doctor.findings import Finding, ok, problem, skipped, warning
from axxonfs.fs import mountpoint
from axxonfs.fs.options import MountOptions

_FUSE = Path("/dev/fuse")
_FUSE_DEVICE = os.makedev(10, 229)  # fixed by Linux
_FUSE_CONF = Path("/etc/fuse.conf")
_CONNECTIONS = Path("/sys/fs/fuse/connections")
_FUSED_DEFAULT = 12  # of the kernel
# Guessed: journals of thousands of specs have a few MiB, and SQLite needs as much again to write.
_STATE_BYTES = 16 * 1024 * 1024
_MIB = 1024 * 1024


def fuse() -> Finding:
    """Check the device and the library."""
    try:
        importlib.import_module("pyfuse3")
    except ModuleNotFoundError as error:
        return problem("fuse", f"pyfuse3 is not there: {error}", "`pip install 'axxonfs[mount]'`")
    except ImportError as error:
        return problem("fuse", f"pyfuse3 cannot be loaded: {error}", "install libfuse3 (Debian: `apt install fuse3`)")
    try:
        status = _FUSE.stat()
        mountpoint.check_fuse()
    except FileNotFoundError:
        cure = "`modprobe fuse`; in a container, give it the device (docker: --device /dev/fuse --cap-add SYS_ADMIN)"
        return problem("fuse", "there is no /dev/fuse", cure)
    except (OSError, errors.NoFuseError) as error:
        cure = "mend the mode of /dev/fuse (usually 0666), or the device policy of the container or unit"
        return problem("fuse", str(error), cure)
    if not stat.S_ISCHR(status.st_mode) or status.st_rdev != _FUSE_DEVICE:
        cure = "take it away, and make the right one: `mknod -m 666 /dev/fuse c 10 229`"
        return problem("fuse", "/dev/fuse is not the device of FUSE", cure)
    return ok("fuse", "/dev/fuse is there")


def helper() -> Finding:
    """Check fusermount3, by which an ordinary user mounts."""
    path = shutil.which("fusermount3")
    if os.geteuid() == 0:
        return ok("fusermount3", "not needed: root mounts without it")
    cure = "install it (Debian: `apt install fuse3`)"
    if path is None:
        return problem("fusermount3", "there is no fusermount3, by which ordinary users mount", cure)
    status = Path(path).stat()
    if not (status.st_mode & stat.S_ISUID and status.st_uid == 0):
        words = f"{path} is not set-uid root: ordinary users cannot mount"
        return problem("fusermount3", words, f"`chmod u+s {path}`, or {cure}")
    if not os.access(_FUSE, os.R_OK | os.W_OK) and _FUSE.exists():
        return warning("fusermount3", "/dev/fuse is open to root only", "`chmod 666 /dev/fuse` if mounting fails")
    return ok("fusermount3", path)


def allow_other(options: MountOptions) -> Finding:
    """Check whether this user may let others in, where that is asked for."""
    if not options.allow_other:
        return ok("user_allow_other", "not needed: the option allow_other is not given")
    if os.geteuid() == 0:
        return ok("user_allow_other", "not needed: root may always let others in")
    try:
        lines = _FUSE_CONF.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    if "user_allow_other" in (line.strip() for line in lines):
        return ok("user_allow_other", f"{_FUSE_CONF} has it")
    words = f"{_FUSE_CONF} has no line user_allow_other: the option allow_other is refused to ordinary users"
    return problem("user_allow_other", words, f"add the line to {_FUSE_CONF}, or leave allow_other out")


def background(where: Path | None) -> Finding:
    """Check the kernel's limit of requests in the background."""
    check = "background limit"
    found = _limit_of(where) if where else None
    if found is not None:
        if found > _FUSED_DEFAULT:
            return ok(check, f"{found} requests at once for the mount that is there")
    elif os.geteuid() == 0:
        return ok(check, "a mount of root raises it itself")
    words = f"the kernel takes {found or _FUSED_DEFAULT} requests at once: a few stalled readers delay all others"
    return warning(check, words, "mount as root (systemd or fstab, with allow_other): only root may raise it")


def _limit_of(where: Path) -> int | None:
    """Return the limit of the mount that is there; None where it cannot be seen."""
    mounted = mountpoint.find(where)
    if mounted is None or mounted.fstype != mountpoint.FSTYPE:
        return None
    try:
        minor = os.minor(where.stat().st_dev)
        return int((_CONNECTIONS / str(minor) / "max_background").read_text())
    except (OSError, ValueError):
        return None


def place(where: Path | None) -> Finding:
    """Check the mountpoint."""
    if where is None:
        return skipped("mountpoint", "none was given")
    mounted = mountpoint.find(where)
    if mounted is not None and mountpoint.is_dead(where):
        words = f"{where} has a dead mount ({mounted.fstype}) that a crash left"
        return _dead(where, words, ours=mounted.fstype == mountpoint.FSTYPE)
    if mounted is not None and mounted.fstype == mountpoint.FSTYPE:
        return ok("mountpoint", f"{where} is mounted: {mounted.source}")
    try:
        mountpoint.check(where)
    except errors.MountpointError as error:
        return problem("mountpoint", str(error), "do what the message says, or take another mountpoint")
    if not os.access(where, os.W_OK | os.X_OK):
        # What fusermount3 asks for.
        words = f"{where} cannot be written by this user, so fusermount3 refuses to mount there"
        return problem("mountpoint", words, f"`chown` it to this user, or take a directory of one's own: {Path.home()}")
    return ok("mountpoint", f"{where} is an empty directory")


def _dead(where: Path, words: str, *, ours: bool) -> Finding:
    if ours:
        return warning("mountpoint", words, f"mount again, which clears it; or `axxonfs umount {where}`")
    return problem("mountpoint", words, f"`umount -l {where}`")


def state(directory: Path) -> Finding:
    """Check whether the journal can be written."""
    check = "state directory"
    existing = next(path for path in (directory, *directory.parents) if path.exists())
    status = os.statvfs(existing)
    if status.f_flag & os.ST_RDONLY:
        return problem(check, f"{existing} is on a read-only file system", "give another one with state_dir")
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        words = f"{directory} cannot be written"
        return problem(check, words, f"mend the owner or mode of {existing}, or give another one with state_dir")
    free_bytes = status.f_bavail * status.f_frsize
    if free_bytes < _STATE_BYTES:
        words = f"{existing} has {free_bytes // _MIB} MiB free: what a mount starts might not survive a crash"
        return problem(check, words, f"make {_STATE_BYTES // _MIB} MiB of room, or give another one with state_dir")
    return ok(check, f"{directory}, {free_bytes // _MIB} MiB free")

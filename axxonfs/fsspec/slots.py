"""How many logins the processes of one user have open at once on this machine.

A server limits its logins, and a machine may run many worker processes. Each takes
a slot before it logs in: a lock on one of a few files in a directory of the user,
which the kernel takes away with the process, however that ends. Blocking; any
thread may call it. Knows no server.
"""

import contextlib
import fcntl
import os
import stat
import tempfile
import time
from pathlib import Path

from axxonfs.core import errors

# Between two looks at the slots: files give no event when a lock is let go.
_LOOK_EVERY_S = 0.1


class Slot:
    """One place among the logins of this machine, until it is released or the process ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Let others have it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None


def take(directory: Path, name: str, *, slots: int, wait_s: float) -> Slot:
    """Return one of `slots` places called `name`, as soon as there is one.

    Raises:
        LoginDelayedError: there was none within `wait_s`.
        ConfigurationError: the directory cannot be used.
    """
    deadline_s = time.monotonic() + wait_s
    _check(directory)
    while True:
        for number in range(slots):
            slot = _try(directory / f"{name}.{number}")
            if slot is not None:
                return slot
        if time.monotonic() >= deadline_s:
            raise errors.LoginDelayedError(
                f"all {slots} logins that max_logins allows on this machine are taken by other processes: "
                "use fewer of them, or give a larger max_logins if the server has room"
            )
        time.sleep(min(_LOOK_EVERY_S, max(0.0, deadline_s - time.monotonic())))


def default_directory() -> Path:
    """Return where the processes of this user meet."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    if base:
        return Path(base) / "axxonfs"
    if os.geteuid() == 0:
        return Path("/run/axxonfs")
    return Path(tempfile.gettempdir()) / f"axxonfs-{os.geteuid()}"


def _check(directory: Path) -> None:
    """Make the directory, and refuse one that others could have laid there."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = directory.lstat()
    except OSError as error:
        raise errors.ConfigurationError(f"{directory} cannot be used: {error.strerror}") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise errors.ConfigurationError(f"{directory} belongs to somebody else: remove it, or set XDG_RUNTIME_DIR")


def _try(path: Path) -> Slot | None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise errors.ConfigurationError(f"{path} cannot be used: {error.strerror}") from error
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        stack.pop_all()
    return Slot(descriptor)

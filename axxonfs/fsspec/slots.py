"""How many logins the processes of one user have open at once on this machine.

A server limits its logins, and a machine may run many worker processes. Each takes
a slot before it logs in: a lock on one of a few files in a directory of the user.
Blocking; any thread may call it. Knows no server.
"""

import os
import stat
import tempfile
import time
from pathlib import Path

from axxonfs.core import errors
from axxonfs.remote.locks import FileLock, try_lock

# Between two looks at the slots: files give no event when a lock is let go.
_LOOK_EVERY_S = 0.1


def take(directory: Path, name: str, *, slots: int, wait_s: float) -> FileLock:
    """Return one of `slots` places called `name`, as soon as there is one.

    Raises:
        LoginDelayedError: there was none within `wait_s`.
        ConfigurationError: the directory cannot be used.
    """
    deadline_s = time.monotonic() + wait_s
    _check(directory)
    while True:
        for number in range(slots):
            slot = try_lock(directory / f"{name}.{number}")
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

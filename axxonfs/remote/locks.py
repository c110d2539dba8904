"""Locks between the processes of one user on a machine: the kernel takes them away with a process, however it ends.

Decides how a lock is taken without waiting, and that letting it go means just that, also where a child was forked
meanwhile and has the file open as well. Blocking for a moment; any thread may call it. Imports no grpc.
"""

import fcntl
import os
from pathlib import Path

from axxonfs.core import errors


class FileLock:
    """A lock that is held until it is released or the process ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Let others have it; only in the process that took it."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def leave(self) -> None:
        """Leave it, in a forked child, to the process that took it: its end alone lets others have it."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def try_lock(path: Path) -> FileLock | None:
    """Return the lock on a file, which is made if there is none; None while somebody else has it.

    Raises:
        ConfigurationError: the file cannot be used.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise errors.ConfigurationError(f"{path} cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return FileLock(descriptor)

"""The mount as the kernel has it: how it comes to its place, and how it leaves it.

Usually libfuse mounts, and unmounts. A dead mount that a crash left must not look like an empty directory for a moment
while it is replaced: root makes the new mount without a place, puts it under the dead one, and takes that away, so that
whoever looks sees an error, then entries, and nothing in between. Before Linux 6.5 the two change places by two calls,
one right after the other. Where the kernel makes no mounts without a place, and for ordinary users, the dead one is
cleared, and then libfuse mounts. Blocking, for a moment; asks no daemon for anything.
"""

import contextlib
import dataclasses
import errno
import logging
import os
import stat
from pathlib import Path

import pyfuse3

from axxonfs.core import errors
from axxonfs.fs import detached, mountpoint
from axxonfs.fs.operations import Operations

log = logging.getLogger(__name__)

_SUBTYPE = "axxonfs"
# A file is let go at the moment of an unmount: the kernel has taken the request back, and nobody misses the answer.
_NO_NEWS = "fuse_release(): fuse_reply_* failed with No such file or directory"


class Mounting:
    """One mount; `words` are those of FUSE that stand alone, such as `ro`."""

    def __init__(self, where: Path, source: str, words: frozenset[str]) -> None:
        self._where = where
        self._source = source
        self._words = set(pyfuse3.default_options | words)
        self._replaced = ""  # the device number of a mount that libfuse knows nothing of

    def begin(self, operations: Operations) -> None:
        """Mount.

        Raises:
            MountpointError: nothing was mounted.
        """
        logging.getLogger("pyfuse3").addFilter(lambda record: record.getMessage() != _NO_NEWS)
        is_dead = mountpoint.is_dead_mount(self._where)
        replacement = _replacement(self._words, self._source) if is_dead else None
        if is_dead and replacement is None:
            mountpoint.unmount(self._where, lazy=True)
        place = str(self._where) if replacement is None else f"/dev/fd/{replacement.device}"
        options = self._words | {f"fsname={self._source}", f"subtype={_SUBTYPE}", "nodev", "nosuid", "noexec"}
        try:
            pyfuse3.init(operations, place, options)
            if replacement is not None:
                _replace(replacement.mount, self._where)
                self._replaced = mountpoint.device(self._where)
        except RuntimeError as error:
            raise errors.MountpointError(f"{self._where} could not be mounted: the line above says why") from error
        except OSError as error:
            raise errors.MountpointError(f"{self._where} could not be mounted: {error.strerror}") from error

    def end(self, *, unmount: bool) -> None:
        """Let go of the kernel; without `unmount` the mount stays, dead."""
        # libfuse unmounts what it has mounted. Somebody else may have unmounted this, and mounted another there.
        if unmount and self._replaced and mountpoint.device(self._where) == self._replaced:
            with contextlib.suppress(OSError):
                detached.take_away(self._where)
        pyfuse3.close(unmount=unmount)


@dataclasses.dataclass(frozen=True, slots=True)
class _Replacement:
    """A new mount without a place."""

    device: int  # /dev/fuse, opened; libfuse's from the moment it knows of it
    mount: int


def _replacement(words: set[str], source: str) -> _Replacement | None:
    """Return a new mount of FUSE; None where this process or this kernel cannot make one."""
    device = -1
    try:
        device = os.open("/dev/fuse", os.O_RDWR)
        given = {
            "source": source,
            "subtype": _SUBTYPE,
            "fd": str(device),
            "rootmode": f"{stat.S_IFDIR:o}",
            "user_id": str(os.getuid()),
            "group_id": str(os.getgid()),
            **dict.fromkeys(words),
        }
        attributes = detached.NO_DEV | detached.NO_SUID | detached.NO_EXEC
        mount = detached.make("fuse", given, attributes | (detached.READ_ONLY if "ro" in words else 0))
    except OSError as error:
        log.debug("no mount without a place error=%s", error)
        if device >= 0:
            os.close(device)
        return None
    return _Replacement(device, mount)


def _replace(mount: int, where: Path) -> None:
    """Put a mount into the place of a dead one."""
    try:
        detached.place(mount, where, beneath=True)
        detached.take_away(where)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        detached.take_away(where)
        detached.place(mount, where)
    finally:
        os.close(mount)

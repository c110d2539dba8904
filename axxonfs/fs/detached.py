"""Mounts that are nowhere: made without a place, seen through a descriptor, and put into their place in one step.

The calls for that came with Linux 5.2, and `BENEATH` with 6.5; the C library and Python wrap them late or not at all,
so they are made by their numbers, which are the same for all processors that this runs on. All need CAP_SYS_ADMIN.
None asks the daemon of a mount for anything. Facts: include/uapi/linux/mount.h, arch/*/syscall tables.
"""

import contextlib
import ctypes
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

_OPEN_TREE, _MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT = 428, 429, 430, 431, 432
_AT_FDCWD: Final = -100
_CLOEXEC: Final = os.O_CLOEXEC
_OPEN_TREE_CLONE: Final = 1
_FSOPEN_CLOEXEC = _FSMOUNT_CLOEXEC = 1
_SET_FLAG, _SET_STRING, _CREATE = 0, 1, 6  # what fsconfig is told to do
_FROM_DESCRIPTOR, _BENEATH = 0x4, 0x200  # of move_mount
_MNT_DETACH: Final = 2
READ_ONLY, NO_SUID, NO_DEV, NO_EXEC = 1, 2, 4, 8

_libc = ctypes.CDLL(None, use_errno=True)


def make(fstype: str, words: Mapping[str, str | None], attributes: int = 0) -> int:
    """Return the descriptor of a new mount, which ends with it unless it is placed.

    `words` are the options of the file system, None for one that stands alone.

    Raises:
        OSError: this process or this kernel cannot.
    """
    context = _call(_FSOPEN, fstype.encode(), _FSOPEN_CLOEXEC)
    try:
        for key, value in words.items():
            command = _SET_FLAG if value is None else _SET_STRING
            _call(_FSCONFIG, context, command, key.encode(), None if value is None else os.fsencode(value), 0)
        _call(_FSCONFIG, context, _CREATE, None, None, 0)
        return _call(_FSMOUNT, context, _FSMOUNT_CLOEXEC, attributes)
    finally:
        os.close(context)


def place(mount: int, where: Path, *, beneath: bool = False) -> None:
    """Mount what a descriptor stands for; with `beneath` under what is mounted there already, which stays to be seen.

    Raises:
        OSError: EINVAL for `beneath` before Linux 6.5.
    """
    flags = _FROM_DESCRIPTOR | (_BENEATH if beneath else 0)
    _call(_MOVE_MOUNT, mount, b"", _AT_FDCWD, os.fsencode(where), flags)


def take_away(where: Path) -> None:
    """Take what is mounted there out of sight; it ends with the last who uses it.

    Raises:
        OSError: nothing is mounted there.
    """
    if _libc.umount2(os.fsencode(where), _MNT_DETACH) != 0:
        raise _error()


@contextlib.contextmanager
def view(where: Path) -> Iterator[int]:
    """Yield a directory's descriptor by which a mount can be used without keeping `umount` from unmounting it.

    Without the right to that it is the directory itself, as anybody opens it.
    """
    try:
        descriptor = _call(_OPEN_TREE, _AT_FDCWD, os.fsencode(where), _OPEN_TREE_CLONE | _CLOEXEC)
    except OSError:
        descriptor = os.open(where, os.O_PATH | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _call(number: int, *words: int | bytes | None) -> int:
    # All as wide as a register: the C library cannot know what a call takes.
    wide = [ctypes.c_long(word) if isinstance(word, int) else ctypes.c_char_p(word) for word in words]
    answer: int = _libc.syscall(ctypes.c_long(number), *wide)
    if answer < 0:
        raise _error()
    return answer


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))

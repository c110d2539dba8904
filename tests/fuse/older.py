"""axxonfs as users run it, on a kernel that is older than this one: `python -m tests.fuse.older CALL COMMAND...`.

CALL is what the kernel does not know yet: `fsopen` before Linux 5.2, `beneath` before 6.5. Nothing in axxonfs knows of
it; what such a kernel answers is answered in its place.
"""

import errno
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from axxonfs.cli import main
from axxonfs.fs import detached

_place = detached.place


def _make(fstype: str, words: Mapping[str, str | None], attributes: int = 0) -> int:
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


def _place_on_top(mount: int, where: Path, *, beneath: bool = False) -> None:
    if beneath:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    _place(mount, where)


if __name__ == "__main__":
    if sys.argv[1] == "fsopen":
        detached.make = _make
    else:
        detached.place = _place_on_top
    sys.exit(main.main(sys.argv[2:]))

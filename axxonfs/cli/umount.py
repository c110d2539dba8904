"""`axxonfs umount MOUNTPOINT`.

Decides what is asked of a mount that may not answer any more: nothing. Who holds
it is read from /proc.
"""

import argparse
import time
from pathlib import Path

from axxonfs.core import errors
from axxonfs.fs import holders, mountpoint

_LOOK_TIMEOUT_S = 5.0
_SHOWN = 20
# Whoever looks at a name holds the mount for a moment, without a descriptor that could be seen.
_MOMENT_S = 5.0
_AGAIN_S = 0.05


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser of `axxonfs`."""
    parser = subparsers.add_parser(
        "umount",
        help="end a mount",
        description="End a mount, also one that crashed. Where it is in use, it says by whom.",
    )
    parser.add_argument("mountpoint", metavar="MOUNTPOINT")
    parser.add_argument(
        "--lazy",
        action="store_true",
        help="take it out of sight at once; it ends when the last file in it is closed",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Unmount, or say who hinders it."""
    path = mountpoint.mounted_path(args.mountpoint)
    lazy = args.lazy or mountpoint.is_known_dead(path)
    give_up_s = 0.0
    while (error := _attempt(path, lazy=lazy)) is not None:
        give_up_s = give_up_s or time.monotonic() + _MOMENT_S
        found = holders.holders(path, timeout_s=_LOOK_TIMEOUT_S)
        if found or time.monotonic() > give_up_s:
            raise errors.MountpointHeldError(f"{error}{_by_whom(found)}") from error
        time.sleep(_AGAIN_S)
    return 0


def _attempt(path: Path, *, lazy: bool) -> errors.MountpointHeldError | None:
    """Unmount; return what is said where it is in use."""
    try:
        mountpoint.unmount(path, lazy=lazy)
    except errors.MountpointHeldError as error:
        return error
    return None


def _by_whom(found: list[holders.Holder]) -> str:
    if not found:
        return ": nobody is seen who holds it; root sees the processes of all users"
    lines = "".join(f"\n  {holder}" for holder in found[:_SHOWN])
    more = f"\n  and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f" by:{lines}{more}\nend them, or take it away without waiting for them by --lazy"

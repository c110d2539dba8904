"""`mount.axxonfs SPEC DIR [-sfnv] [-o OPTION,...]`: what mount(8) runs for `mount -t axxonfs` and for fstab.

Decides what words of fstab mean here, which of them are none of axxonfs's
business, and which exit status mount(8) understands. Facts: mount(8) of
util-linux 2.38, "EXTERNAL HELPERS" and "EXIT STATUS".
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from axxonfs.cli import exits, main
from axxonfs.core import errors
from axxonfs.fs.options import MountOptions

# Words of fstab that are for mount(8), systemd or the kernel, and true of this mount or without effect on it.
_NOT_OURS: Final = {
    "_netdev", "async", "atime", "auto", "defaults", "group", "lazytime", "loud", "noatime", "noauto", "nodev",
    "nodiratime", "noexec", "nofail", "noiversion", "nolazytime", "nomand", "norelatime", "nostrictatime",
    "nosuid", "nouser", "owner", "relatime", "rw", "silent", "strictatime", "user", "users",
}  # fmt: skip
_PRIVATE: Final = ("x-", "X-", "comment=")
# Nothing in the mount is a device or a program, and nobody may ask for it to be.
_REFUSED: Final = frozenset({"dev", "exec", "suid"})
_USAGE, _FAILED = 1, 32
# systemd gives up an automount that failed five times in ten seconds, and an empty directory is what is left of it
# then: nobody may fail as quickly as that.
_FAIL_AFTER_S: Final = 3.0


def run(argv: Sequence[str] | None = None) -> int:
    """Mount, and return the exit status in the words of mount(8)."""
    began_s = time.monotonic()
    status = main.run(lambda: arguments(parser().parse_args(argv)))
    if status == exits.OK:
        return exits.OK
    if os.environ.get("INVOCATION_ID") and not sys.stdin.isatty():
        time.sleep(max(0.0, began_s + _FAIL_AFTER_S - time.monotonic()))
    return _USAGE if status == exits.USAGE else _FAILED


def parser() -> argparse.ArgumentParser:
    """Return the parser of what mount(8) may pass."""
    helper = argparse.ArgumentParser(
        prog="mount.axxonfs", description="What mount(8) runs for `mount -t axxonfs SPEC DIR` and for lines of fstab."
    )
    helper.add_argument("spec", metavar="SPEC", help="[USER@]HOST[:PORT], or the absolute path of a configuration file")
    helper.add_argument("directory", metavar="DIR", help="an empty directory")
    helper.add_argument("-s", dest="sloppy", action="store_true", help="pass over options that are unknown")
    helper.add_argument("-f", dest="fake", action="store_true", help="look at the options only; mount nothing")
    helper.add_argument("-n", dest="no_mtab", action="store_true", help="without effect")
    helper.add_argument("-v", dest="verbose", action="store_true", help="log more, as log_level=debug")
    helper.add_argument("-N", dest="namespace", metavar="NAMESPACE", help="not possible, and refused")
    helper.add_argument("-t", dest="type", metavar="TYPE", help="without effect")
    helper.add_argument(
        "-o",
        dest="words",
        action="append",
        default=[],
        metavar="OPTION,...",
        help="the options of `axxonfs mount`, and those of fstab",
    )
    return helper


def arguments(args: argparse.Namespace) -> argparse.Namespace:
    """Return the arguments of `axxonfs mount` for those of mount(8).

    Raises:
        ConfigurationError: something is asked for that cannot be.
    """
    if args.namespace:
        raise errors.ConfigurationError("-N is not possible: run mount inside the namespace")
    words = [word for text in args.words for word in text.split(",") if word and not _is_not_ours(word)]
    if "remount" in words:
        raise errors.ConfigurationError("remount is not possible: unmount and mount again")
    if refused := sorted(_REFUSED.intersection(words)):
        raise errors.ConfigurationError(f"{', '.join(refused)}: not possible, the mount has no such files")
    if args.sloppy:
        words = [word for word in words if word.partition("=")[0] in MountOptions.model_fields]
    if args.verbose:
        words.append("log_level=debug")
    mount = main.parse(["mount", "-o", ",".join(words)])
    mount.source = args.spec
    mount.mountpoint = args.directory
    if args.spec.startswith("/"):
        mount.config = Path(args.spec)
    else:
        mount.server = args.spec
    if args.fake:
        mount.run = _look
    return mount


def _look(args: argparse.Namespace) -> int:
    args.look(args)
    return exits.OK


def _is_not_ours(word: str) -> bool:
    return word in _NOT_OURS or word.startswith(_PRIVATE)


if __name__ == "__main__":
    sys.exit(run())

"""`axxonfs umount MOUNTPOINT`."""

import argparse

from axxonfs.fs import mountpoint


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser of `axxonfs`."""
    parser = subparsers.add_parser("umount", help="end a mount", description="End a mount, also one that crashed.")
    parser.add_argument("mountpoint", metavar="MOUNTPOINT")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Unmount."""
    path = mountpoint.canonical(args.mountpoint)
    mountpoint.unmount(path, lazy=mountpoint.is_dead(path))
    return 0

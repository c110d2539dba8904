"""`axxonfs`: finds the command, and says in one line what went wrong.

The only place where a domain error becomes an exit status. Only the module of
the command that was asked for is imported: `axxonfs umount` must not load gRPC,
and `axxonfs mount` and `axxonfs simulate` need extras of the package.
"""

import argparse
import importlib
import importlib.metadata
import logging
import os
import sys
from collections.abc import Callable, Collection, Sequence
from typing import Protocol, cast

from axxonfs.cli import exits, logs
from axxonfs.core import errors

COMMANDS = {
    "mount": "mount a server",
    "umount": "end a mount",
    "doctor": "what would stop a mount here, and how to mend it",
    "export": "export many clips through a mount",
    "wait": "wait until exports are done",
    "trust": "show the server's certificate and pin it",
    "simulate": "an Axxon One export server to try things against",
    "demo": "a simulator, a mount of it, and a first export",
}
# What brings a module that is not there, where it is not the simulator's.
_EXTRAS = {"pyfuse3": "mount"}


class _Command(Protocol):
    """What the module of a command has; `add_parser` makes its parser set `run`."""

    def add_parser(self, subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
        """Add the command to the parser of `axxonfs`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    return run(lambda: parse(list(sys.argv[1:] if argv is None else argv)))


def run(arguments: Callable[[], argparse.Namespace]) -> int:
    """Run the command whose arguments these are, and return its exit status."""
    try:
        args = arguments()
        status: int = args.run(args)
        sys.stdout.flush()
    except errors.AxxonfsError as error:
        print(f"{logs.prefix(logging.ERROR)}axxonfs: {error}", file=sys.stderr)
        return exits.status_of(error)
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does; the interpreter must not complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.FAILED
    return status


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Return the arguments of a command line; `run` in it is the command.

    Raises:
        ConfigurationError: the command needs packages that are not there.
        SystemExit: argparse has said what is wrong.
    """
    return parser([word for word in words if not word.startswith("-")][:1]).parse_args(words)


def parser(wanted: Collection[str]) -> argparse.ArgumentParser:
    """Return the parser of `axxonfs`; of the commands only those that are wanted have their own arguments."""
    whole = argparse.ArgumentParser(
        prog="axxonfs", description="Mount the export sessions of an Axxon One server as a file system."
    )
    whole.add_argument("--version", action="version", version=importlib.metadata.version("axxonfs"))
    subparsers = whole.add_subparsers(required=True, metavar="COMMAND")
    for name, text in COMMANDS.items():
        if name in wanted:
            _load(name).add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=text)
    return whole


def _load(name: str) -> _Command:
    try:
        return cast("_Command", importlib.import_module(f"axxonfs.cli.{name}"))
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("axxonfs"):
            raise
        extra = _EXTRAS.get(error.name or "", "simulator")
        words = f"this command needs more packages: pip install 'axxonfs[{extra}]' ({error})"
        raise errors.ConfigurationError(words) from error


if __name__ == "__main__":
    sys.exit(main())

"""`axxonfs mount [USER@]HOST[:PORT] MOUNTPOINT`: options, credentials, background, logs.

Forks before anything of gRPC is made, and lets the parent answer only when the
mount does. Where the options come from is decided in axxonfs.cli.settings.
"""

import argparse
import os
import textwrap
from collections.abc import Callable
from pathlib import Path

from axxonfs.cli import background, exits, logs, settings, systemd
from axxonfs.core import errors
from axxonfs.fs import mount, privileges
from axxonfs.fs.options import MountOptions
from axxonfs.remote.credentials import PASSWORD_VARIABLE, Credentials

_HELP_COLUMNS = 78  # of the 80 of a terminal, as argparse has it


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser of `axxonfs`."""
    parser = subparsers.add_parser(
        "mount",
        help="mount a server",
        description="Mount the export sessions of an Axxon One server.",
        epilog=f"options for -o, for the file, and as AXXONFS_OPTION for the environment:\n{_option_help()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("server", nargs="?", metavar="[USER@]HOST[:PORT]", help="the server; default port 20109")
    parser.add_argument("mountpoint", nargs="?", metavar="MOUNTPOINT", help="an empty directory")
    parser.add_argument(
        "-o", dest="words", action="append", default=[], metavar="OPTION,...", help="options, see below"
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="TOML file with server, mountpoint and the options below"
    )
    parser.add_argument("--foreground", action="store_true", help="stay; log to the terminal")
    parser.add_argument("--log-format", choices=("text", "json"), default="text", help="default: text")
    parser.set_defaults(run=run, look=make_plan, source="")


def run(args: argparse.Namespace) -> int:
    """Mount; in the background the parent returns once the mount answers."""
    plan = make_plan(args)
    # Before anything else runs, and before any process is forked.
    privileges.forget_variable(PASSWORD_VARIABLE)
    privileges.give_up()
    logs.configure(plan.options.log_level, args.log_format)
    if args.foreground:
        return _serve_here(plan)
    return background.run(lambda ready: _serve(plan, ready))


def make_plan(args: argparse.Namespace) -> mount.Plan:
    """Put file, environment and command line together.

    Raises:
        ConfigurationError: something is missing, unknown or wrong.
    """
    found = settings.gather(server=args.server, where=args.mountpoint, texts=args.words, config=args.config)
    if found.endpoint is None or found.mountpoint is None:
        raise errors.ConfigurationError("give the server and the mountpoint: axxonfs mount USER@HOST MOUNTPOINT")
    user = found.options.user
    if not user:
        raise errors.ConfigurationError("give the account to log in with: axxonfs mount USER@HOST MOUNTPOINT")
    return mount.Plan(found.endpoint, found.mountpoint, Credentials(user, found.password), found.options, args.source)


def _option_help() -> str:
    rows = MountOptions.model_fields.items()
    return "\n".join(
        textwrap.fill(
            field.description or "", _HELP_COLUMNS, initial_indent=f"  {name:<14} ", subsequent_indent=17 * " "
        )
        for name, field in rows
    )


def _serve_here(plan: mount.Plan) -> int:
    service = systemd.Service.of_environment(plan.mountpoint)
    try:
        mount.run(plan, service.ready, service.say)
    except errors.AxxonfsError as error:
        service.say(str(error))
        raise
    return exits.OK


def _serve(plan: mount.Plan, ready: Callable[[], None]) -> None:
    os.chdir("/")
    mount.run(plan, ready)

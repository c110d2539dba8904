"""`axxonfs mount [USER@]HOST[:PORT] MOUNTPOINT`: options, credentials, background, logs.

Decides where each option comes from (a TOML file, then the command line), forks
before anything of gRPC is made, and lets the parent answer only when the mount
does. The password never comes from the command line.
"""

import argparse
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from axxonfs.cli import background, exits, logs
from axxonfs.core import errors
from axxonfs.fs import mount, mountpoint
from axxonfs.fs.options import MountOptions, parse_options, split_words
from axxonfs.remote.certificates import Endpoint
from axxonfs.remote.credentials import Credentials, PasswordFile, PasswordSource, PasswordVariable

PASSWORD_VARIABLE = "AXXONFS_PASSWORD"  # noqa: S105 - the name of a variable
SYSTEMD_CREDENTIAL = "axxonfs.password"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser of `axxonfs`."""
    parser = subparsers.add_parser(
        "mount",
        help="mount a server",
        description="Mount the export sessions of an Axxon One server.",
        epilog=f"options for -o and for the file:\n{_option_help()}",
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
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Mount; in the background the parent returns once the mount answers."""
    plan = make_plan(args)
    logs.configure(plan.options.log_level, args.log_format)
    if args.foreground:
        mount.run(plan, background.tell_systemd)
        return exits.OK
    return background.run(lambda ready: _serve(plan, ready))


def make_plan(args: argparse.Namespace) -> mount.Plan:
    """Put file and command line together; the command line wins.

    Raises:
        ConfigurationError: something is missing, unknown or wrong.
    """
    words = _read_config(args.config) if args.config else {}
    server = args.server or words.pop("server", None)
    where = args.mountpoint or words.pop("mountpoint", None)
    words.pop("server", None)
    words.pop("mountpoint", None)
    for text in args.words:
        words |= split_words(text)
    if not (server and where):
        raise errors.ConfigurationError("give the server and the mountpoint: axxonfs mount USER@HOST MOUNTPOINT")
    user, _, host = str(server).rpartition("@")
    options = parse_options({**words, "user": user or words.get("user", "")})
    if not options.user:
        raise errors.ConfigurationError("give the account to log in with: axxonfs mount USER@HOST MOUNTPOINT")
    path = mountpoint.canonical(where)
    return mount.Plan(Endpoint.parse(host), path, Credentials(options.user, _source(options)), _absolute(options))


def _absolute(options: MountOptions) -> MountOptions:
    """Return the options with absolute paths: in the background the process leaves its directory."""
    paths = {name: getattr(options, name) for name in ("password_file", "tls_ca", "state_dir")}
    return options.model_copy(update={name: path.absolute() for name, path in paths.items() if path})


def _source(options: MountOptions) -> PasswordSource:
    if options.password_file:
        return PasswordFile(options.password_file.absolute())
    if os.environ.get(PASSWORD_VARIABLE):
        return PasswordVariable(PASSWORD_VARIABLE)
    if os.environ.get("CREDENTIALS_DIRECTORY"):
        return PasswordFile.of_systemd(SYSTEMD_CREDENTIAL)
    raise errors.CredentialsError(
        f"no password: give -o password_file=FILE (a file with mode 0600), or set {PASSWORD_VARIABLE}"
    )


def _read_config(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise errors.ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise errors.ConfigurationError(f"{path} is no TOML: {error}") from error


def _option_help() -> str:
    rows = MountOptions.model_fields.items()
    return "\n".join(f"  {name:<14} {field.description}" for name, field in rows)


def _serve(plan: mount.Plan, ready: Callable[[], None]) -> None:
    os.chdir("/")
    mount.run(plan, ready)

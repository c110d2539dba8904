"""`axxonfs simulate`: an Axxon One export server to try things against.

Decides only how the words of the command line become a SimulatorConfig, and
where the demo account's password lies. One thread here; the simulator has its own.
"""

import argparse
import contextlib
import secrets
import signal
import sys
import textwrap
import threading
import urllib.parse
from pathlib import Path

from axxonfs.cli.arguments import checked
from axxonfs.core import errors, instants
from axxonfs.simulator import switches
from axxonfs.simulator.config import SimulatorConfig, default_directory
from axxonfs.simulator.console import Console
from axxonfs.simulator.server import Simulator

_DEFAULT_PORT = 20109  # where Axxon One listens
_ENDING = (signal.SIGINT, signal.SIGTERM)
_TEXT_COLUMNS = 90


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser of `axxonfs`."""
    parser = subparsers.add_parser(
        "simulate",
        help="an Axxon One export server to try things against",
        description="Run an export server with cameras, archives, logins and timers of its own. "
        "It prints how to mount it and runs until interrupted; what it holds survives in its directory.",
    )
    _add_server_options(parser)
    _add_content_options(parser)
    parser.set_defaults(run=run)


def _add_server_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--listen",
        type=checked(_endpoint),
        default=("127.0.0.1", _DEFAULT_PORT),
        metavar="ADDRESS[:PORT]",
        help=f"default 127.0.0.1:{_DEFAULT_PORT}; port 0 picks a free one",
    )
    parser.add_argument(
        "--directory",
        type=Path,
        default=default_directory(),
        help="certificates, sessions and results; default: %(default)s",
    )
    parser.add_argument("--user", default="root", metavar="NAME", help="the account; default: %(default)s")
    parser.add_argument(
        "--password-file", type=Path, metavar="FILE", help="its password; by default one is made up in the directory"
    )
    names = parser.add_mutually_exclusive_group()
    names.add_argument(
        "--san",
        action="append",
        default=[],
        metavar="NAME",
        help="a name or address that the certificate is for besides its common name; repeatable",
    )
    names.add_argument("--cn-only", action="store_true", help="only the common name, as vendor certificates (default)")
    parser.add_argument("--plaintext", action="store_true", help="no TLS")
    parser.add_argument("--call-log", type=Path, metavar="FILE", help="write one JSON line for each call")


def _add_content_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cameras", type=checked(_count), default=8, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--sessions",
        type=checked(_count),
        default=0,
        metavar="N",
        help="finished sessions in a directory that has none",
    )
    parser.add_argument(
        "--time-factor",
        type=checked(_factor),
        default=1.0,
        metavar="F",
        help="divide every timer; 60 makes a minute a second",
    )
    parser.add_argument(
        "--export-speed",
        type=checked(_factor),
        default=60.0,
        metavar="X",
        help="seconds of footage per second; default %(default)s",
    )
    parser.add_argument(
        "--file-size",
        type=checked(instants.parse_size),
        metavar="SIZE",
        help="results are bytes of a pattern, as many as this (64K, 2G), instead of clips",
    )
    parser.add_argument(
        "--switch",
        action="append",
        default=[],
        type=checked(_switch),
        metavar="NAME=VALUE",
        help="answer an open question of the protocol in another way; repeatable",
    )
    parser.add_argument("--list-switches", action="store_true", help="explain the switches and exit")
    parser.add_argument(
        "--do",
        action="append",
        default=[],
        metavar="COMMAND",
        help="carry out a command at the start, as in 'fault DownloadFile stall after=3'; repeatable",
    )
    parser.add_argument(
        "--commands", action="store_true", help="carry out the commands on standard input, too; `help` lists them"
    )


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM."""
    if args.list_switches:
        print(_switch_list())
        return 0
    # Blocked before any thread exists, so that all threads leave them to sigwait.
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        password_file, password = _password(args)
        with contextlib.closing(_simulator(_config(args, password))) as simulator:
            _open_log(simulator)
            console = Console(simulator, args.user)
            _start(simulator)
            _do_at_start(console, args.do)
            print(_invitation(simulator, args.user, password_file), flush=True)
            if args.commands:
                # A daemon: it waits for input that may never come.
                threading.Thread(target=_obey, args=(console,), name="commands", daemon=True).start()
            signal.sigwait(_ENDING)
    finally:
        # A second Ctrl-C while it was ending means no more than the first.
        while signal.sigtimedwait(_ENDING, 0):
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)
    return 0


def _simulator(config: SimulatorConfig) -> Simulator:
    try:
        return Simulator(config)
    except OSError as error:
        raise errors.ConfigurationError(
            f"what the simulator keeps cannot be used ({error}): is {config.directory} writable, and no other "
            "simulator in it?"
        ) from error


def _open_log(simulator: Simulator) -> None:
    try:
        simulator.calls.open()
    except OSError as error:
        raise errors.ConfigurationError(f"--call-log: {error}") from error


def _start(simulator: Simulator) -> None:
    try:
        simulator.start()
    except OSError as error:
        raise errors.ConfigurationError(f"--listen: {error}") from error


def _config(args: argparse.Namespace, password: str) -> SimulatorConfig:
    host, port = args.listen
    return SimulatorConfig(
        directory=args.directory.absolute(),
        host=host,
        port=port,
        plaintext=args.plaintext,
        san=tuple(args.san),
        users={args.user: password},
        cameras=args.cameras,
        time_factor=args.time_factor,
        export_speed=args.export_speed,
        file_size_bytes=args.file_size,
        sessions=args.sessions,
        call_log=args.call_log,
        switches=switches.parse(args.switch),
    )


def _do_at_start(console: Console, lines: list[str]) -> None:
    for line in lines:
        try:
            console.do(line)
        except ValueError as error:
            raise errors.ConfigurationError(f"--do {line!r}: {error}") from error


def _obey(console: Console) -> None:
    """Carry out what is typed, and say what came of it."""
    for line in sys.stdin:
        try:
            print(console.do(line), flush=True)
        except (ValueError, OSError) as error:
            print(f"not done: {error}", flush=True)


def _password(args: argparse.Namespace) -> tuple[Path, str]:
    """Return the password and the file that holds it; made up once if none was named."""
    path: Path = args.password_file or args.directory / "password"
    option = "--directory" if args.password_file is None else "--password-file"
    try:
        if args.password_file is None and not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(secrets.token_urlsafe(12) + "\n", encoding="utf-8")
        password = path.read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise errors.CredentialsError(f"{option}: {error}") from error
    if not password or "\n" in password:
        raise errors.CredentialsError(f"{option}: {path} must hold the password alone, as one line")
    return path.absolute(), password


def _invitation(simulator: Simulator, user: str, password_file: Path) -> str:
    trust = "plaintext" if simulator.config.plaintext else f"tls_ca={simulator.ca_file}"
    options = f"{trust},password_file={password_file}"
    return f"axxonfs mount {user}@{simulator.address} MOUNTPOINT -o {options}"


def _switch_list() -> str:
    return "\n".join(
        f"{name} (default: {default or 'empty'})\n{textwrap.indent(textwrap.fill(text, _TEXT_COLUMNS), '    ')}"
        for name, default, text in switches.explain()
    )


def _endpoint(text: str) -> tuple[str, int]:
    parts = urllib.parse.urlsplit(f"//{text}")
    if not parts.hostname or parts.netloc != text:
        raise ValueError(f"{text!r} is not ADDRESS, ADDRESS:PORT or [IPV6]:PORT")
    return parts.hostname, _DEFAULT_PORT if parts.port is None else parts.port


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ValueError(f"{text!r} is not a count")
    return int(text)


def _factor(text: str) -> float:
    if not float(text) > 0:
        raise ValueError(f"{text!r} is not above zero")
    return float(text)


def _switch(text: str) -> str:
    switches.parse([text])
    return text

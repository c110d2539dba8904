"""`axxonfs export MOUNTPOINT SPEC... | --camera C --from T --until T`: many exports through a mount, and their papers.

Decides what is checked before anything starts, whether a directory can be begun
or gone on with, and what the command's exit status says. The work is done by
`cli.bulk`; what was asked for, what came and what is to be done next is decided
by the core.
"""

import argparse
import contextlib
import datetime as dt
import importlib.metadata
import re
import secrets
import shlex
import sys
import zoneinfo
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from axxonfs.cli import exits
from axxonfs.cli.arguments import checked
from axxonfs.cli.bulk import board, request
from axxonfs.cli.bulk.crew import Crew
from axxonfs.cli.bulk.folder import LEDGER, Folder, Memory, Notes
from axxonfs.cli.bulk.mounted import Mounted
from axxonfs.cli.bulk.stopping import Stop
from axxonfs.cli.bulk.work import Work
from axxonfs.core import batch, errors, instants, ledger, manifest
from axxonfs.core.delivery import Outcome

_MOST_JOBS = 64


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser of `axxonfs`."""
    parser = subparsers.add_parser(
        "export",
        help="export many clips through a mount, with a manifest and checksums",
        description="Export through a mount: as spec files say, or a clip of each --camera. With --into the results "
        "are copied and checked, SHA256SUMS and manifest.json are written, and --resume goes on after an interruption.",
    )
    # Else -1h would be taken for an option.
    parser._negative_number_matcher = re.compile(r"-\d")  # noqa: SLF001 - argparse offers nothing else
    parser.add_argument("mountpoint", metavar="MOUNTPOINT", help="where the server is mounted")
    parser.add_argument("specs", nargs="*", metavar="SPEC", help="a spec file, a directory of them, or - for stdin")
    _add_what(parser)
    _add_how(parser)
    parser.set_defaults(run=run)


def _add_what(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("instead of SPEC")
    what.add_argument(
        "--camera",
        dest="cameras",
        action="append",
        default=[],
        metavar="C",
        help="id, name, ID.NAME or access point; repeatable, one export for each",
    )
    what.add_argument("--from", dest="begin", metavar="T", help="begin: RFC 3339 with an offset, or as -1h30m")
    what.add_argument("--until", metavar="T", help="end, as --from")
    what.add_argument("--at", metavar="T", help="the instant of a frame, instead of a clip")
    what.add_argument("--format", metavar="F", help="mkv (default), mp4, avi, exe, jpeg, pdf")
    what.add_argument(
        "--set",
        dest="settings",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="any other key of a spec; repeatable",
    )
    secret = what.add_mutually_exclusive_group()
    secret.add_argument("--password-file", type=Path, metavar="FILE", help="protect the clips with this password")
    secret.add_argument("--ask-password", action="store_true", help="ask for that password")


def _add_how(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--into", type=Path, metavar="DIR", help="copy the results there; an empty or new directory")
    parser.add_argument(
        "--jobs",
        type=checked(_jobs),
        default=2,
        metavar="N",
        help="exports running at the server at a time; default: %(default)s",
    )
    parser.add_argument(
        "--tolerance",
        type=checked(instants.parse_duration),
        default=dt.timedelta(seconds=2),
        metavar="TIME",
        help="missing for no longer counts as delivered; default: 2s",
    )
    parser.add_argument("--resume", action="store_true", help="go on with what was begun in DIR; start nothing twice")


def run(args: argparse.Namespace) -> int:
    """Export, and copy where that is wanted."""
    mounted = Mounted(args.mountpoint)
    if args.into is None:
        if args.resume:
            raise errors.ConfigurationError("--resume goes on in a directory: give it with --into DIR")
        mounted.check_writable()
        orders = _orders(mounted, args)
        return _carry_out(mounted, args, Memory(_header(mounted), orders), orders)
    with contextlib.closing(Folder(args.into.absolute())) as folder:
        if not folder.has_ledger and args.resume and (done := folder.read_manifest()):
            print(f"nothing is left to do in {folder.path}")
            return exits.status_of_outcomes(manifest.outcomes(done))
        return _carry_out(mounted, args, folder, _prepare(mounted, args, folder))


def _prepare(mounted: Mounted, args: argparse.Namespace, folder: Folder) -> list[batch.Order]:
    """Begin a ledger or take one up; return what was asked for now."""
    if folder.has_ledger:
        if not args.resume:
            raise errors.ConfigurationError(
                f"{folder.path} has exports that are not finished: go on with them by --resume, or take another "
                f"directory (to give them up, remove {folder.path / LEDGER})"
            )
        folder.load()
        return _again(mounted, args, folder)
    if not folder.is_empty:
        raise errors.ConfigurationError(f"--into: {folder.path} is not empty: take a new directory")
    mounted.check_writable()
    orders = _orders(mounted, args)
    folder.begin(_header(mounted), orders)
    return orders


def _again(mounted: Mounted, args: argparse.Namespace, folder: Folder) -> list[batch.Order]:
    """Check that a ledger and what is asked for now belong together; return orders for all that it holds."""
    found, header = _header(mounted), folder.ledger.header
    if (found.server, found.account) != (header.server, header.account):
        raise errors.ConfigurationError(
            f"{folder.path} has exports of {header.account} at {header.server}, but {mounted.path} is a mount of "
            f"{found.account} at {found.server}"
        )
    given = {order.name: order for order in _orders(mounted, args)} if request.is_given(args) else {}
    stored = {item.name: item.masked for item in folder.ledger.items.values()}
    if given and (names := batch.differing(stored, given.values())):
        raise errors.ConfigurationError(
            f"this is not what was begun in {folder.path} ({', '.join(names[:5])}): give the same again, or nothing "
            "but --resume"
        )
    return [_with_secrets(mounted, folder, item, given.get(item.name)) for item in folder.ledger.items.values()]


def _with_secrets(mounted: Mounted, folder: Folder, item: ledger.Item, given: batch.Order | None) -> batch.Order:
    if item.secret and given is not None:
        return batch.Order(item.name, given.given, item.fixed)
    label = f"{item.name}_{folder.ledger.header.batch}"
    if item.secret and ledger.next_step(item, mounted.seen(label)) is ledger.Step.ASK:
        raise errors.ConfigurationError(
            f"{item.name} has a password, which is not kept: give the same specs or options again, with --resume"
        )
    return batch.Order(item.name, item.masked, item.fixed)


def _orders(mounted: Mounted, args: argparse.Namespace) -> list[batch.Order]:
    """Return what was asked for, all of it checked before any of it starts.

    Raises:
        ConfigurationError: something of it is wrong.
    """
    zone = mounted.about()["timezone"]
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    setting = batch.Setting(mounted.cameras(), now, zoneinfo.ZoneInfo(zone) if zone else None)
    orders, wrong = batch.make_orders(request.documents(args, setting.cameras), setting)
    if wrong:
        lines = "\n".join(f"  {name}: {request.problem(args, error)}" for name, error in wrong)
        raise errors.ConfigurationError(f"nothing was started, because something is wrong:\n{lines}")
    if len(orders) > batch.MOST_ORDERS:
        raise errors.ConfigurationError(f"{len(orders)} exports at once are too many: {batch.MOST_ORDERS} at most")
    return orders


def _header(mounted: Mounted) -> ledger.Header:
    about = mounted.about()
    now = instants.format_rfc3339(dt.datetime.now(dt.UTC).replace(microsecond=0))
    return ledger.Header(secrets.token_hex(4), about["server"], about["account"], now)


def _carry_out(mounted: Mounted, args: argparse.Namespace, notes: Notes, orders: Sequence[batch.Order]) -> int:
    folder = notes if isinstance(notes, Folder) else None
    stop = Stop()
    with stop.on_signals(), board.board(len(orders)) as shown:
        by_name = {order.name: order for order in orders}
        work = Work(mounted, notes, by_name, shown, stop, tolerance=args.tolerance)
        todo = [item for item in notes.ledger.items.values() if item.outcome is Outcome.UNFINISHED]
        Crew(work, folder, shown, stop, jobs=args.jobs).run(todo)
    if folder is not None:
        _write_papers(folder, mounted, stop)
    _sum_up(notes, args, folder)
    if stop.failure is not None:
        raise stop.failure
    if stop:
        return exits.INTERRUPTED
    return exits.status_of_outcomes(item.outcome for item in notes.ledger.items.values())


def _write_papers(folder: Folder, mounted: Mounted, stop: Stop) -> None:
    about: dict[str, Any] = {}
    with contextlib.suppress(OSError, errors.AxxonfsError):
        about = mounted.about()
    now = instants.format_rfc3339(dt.datetime.now(dt.UTC).replace(microsecond=0))
    document = manifest.manifest(folder.ledger, about, version=importlib.metadata.version("axxonfs"), written=now)
    try:
        folder.write_papers(document)
    except errors.StoreFullError as error:
        stop.set(error)


def _sum_up(notes: Notes, args: argparse.Namespace, folder: Folder | None) -> None:
    """Say how it came out, and how to go on where something is left."""
    outcomes = [item.outcome for item in notes.ledger.items.values()]
    counts = ", ".join(f"{outcomes.count(kind)} {kind.value}" for kind in Outcome if kind in outcomes)
    print(f"{len(outcomes)} export{'' if len(outcomes) == 1 else 's'}: {counts}")
    if notes.ledger.finished:
        return
    if folder is not None:
        words = [word for word in sys.argv[1:] if word not in {"-", "--resume"}]
        print(f"What is there stays. To go on: axxonfs {shlex.join([*words, '--resume'])}")
    else:
        print(f"What was started goes on at the server: see {args.mountpoint}/new")


def _jobs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_JOBS:
        raise ValueError(f"{text!r} is not a number from 1 to {_MOST_JOBS}")
    return int(text)

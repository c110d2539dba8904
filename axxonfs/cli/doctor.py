"""`axxonfs doctor [USER@]HOST[:PORT] [MOUNTPOINT]`: what would stop a mount here, and how to mend it.

Takes the words of `axxonfs mount`, so that one of them can be put in place of the other. Decides how findings are
shown; what there is to find is in axxonfs.doctor.
"""

import argparse
import contextlib
import dataclasses
import datetime as dt
import importlib.metadata
import json
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, TextIO

from axxonfs.cli import exits, settings
from axxonfs.core import errors, instants, timers
from axxonfs.doctor import leftovers, report, trial
from axxonfs.doctor.examination import Examination, Patient
from axxonfs.doctor.findings import Finding, is_healthy, problem
from axxonfs.doctor.report import Observation
from axxonfs.fs.options import parse_options
from axxonfs.remote.exports import ExportClient
from axxonfs.remote.probe import Probe

_LABELS = 18  # columns for the name of a check
_VERDICTS = 9
_COLUMNS = 100
_VERSION = 1


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser of `axxonfs`."""
    parser = subparsers.add_parser(
        "doctor",
        help="what would stop a mount here, and how to mend it",
        description="Check this machine, the way to a server and the server, one after another, and say how to mend "
        "what is wrong. Takes the words of axxonfs mount. Changes nothing, and tries one login at most.",
    )
    parser.add_argument("server", nargs="?", metavar="[USER@]HOST[:PORT]", help="without it, this machine only")
    parser.add_argument("mountpoint", nargs="?", metavar="MOUNTPOINT", help="where it is to be mounted")
    parser.add_argument("-o", dest="words", action="append", default=[], metavar="OPTION,...", help="as for mount")
    parser.add_argument("--config", type=Path, metavar="FILE", help="as for mount")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines for people")
    parser.add_argument(
        "--start", action="store_true", help="also start an export of a few seconds, and destroy it again"
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="also write, without names and secrets, what this server does where its interface leaves it open",
    )
    parser.add_argument(
        "--patience",
        default="0s",
        metavar="TIME",
        help="with --report and --start: also ask what takes as long as this (75m is enough for all)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Look, say what was found; 1 where something stops a mount or an export."""
    patience_s = _seconds(args.patience)
    if args.report:
        # Now, and not once all has been asked, which may take an hour.
        _open_report(args.report, "a").close()
    findings: list[Finding] = []
    with contextlib.ExitStack() as stack:
        patient, wrong = _patient(args)
        examination = Examination(patient, may_start=args.start)
        for finding in _all(wrong, examination, stack):
            findings.append(finding)
            if not args.json:
                print(lines_of(finding), flush=True)
        if args.report:
            login = next((finding for finding in findings if finding.check == "login"), None)
            seen = list(_observations(examination.client, login, patient, args, patience_s))
            _write(args.report, _document(seen))
            answered = sum(observation.observed is not None for observation in seen)
            if not args.json:
                print(f"\n{args.report}: {answered} of {len(seen)} questions were answered")
    healthy = is_healthy(findings)
    if args.json:
        rows = [dataclasses.asdict(finding) for finding in findings]
        print(json.dumps({"version": _VERSION, "healthy": healthy, "findings": rows}, indent=2, ensure_ascii=False))
    return exits.OK if healthy else exits.FAILED


def lines_of(finding: Finding) -> str:
    """Return a finding for people: what it is about, what was found, and below that the cure."""
    width = min(_COLUMNS, shutil.get_terminal_size((80, 24)).columns)
    margin = " " * (_LABELS + _VERDICTS)
    head = f"{finding.verdict.value:<{_VERDICTS}}{finding.check:<{_LABELS}}"
    lines = textwrap.wrap(finding.words, width, initial_indent=head, subsequent_indent=margin) or [head]
    lines += textwrap.wrap(f"-> {finding.cure}", width, initial_indent=margin, subsequent_indent=f"{margin}   ") * bool(
        finding.cure
    )
    return "\n".join(lines)


def _seconds(text: str) -> float:
    try:
        return instants.parse_duration(text).total_seconds()
    except ValueError as error:
        raise errors.ConfigurationError(f"--patience: {error}") from error


def _patient(args: argparse.Namespace) -> tuple[Patient, Finding | None]:
    """Return what is to be looked at; where the words are wrong, that is a finding, too."""
    try:
        found = settings.gather(server=args.server, where=args.mountpoint, texts=args.words, config=args.config)
    except errors.ConfigurationError as error:
        cure = "mend the word; `axxonfs mount --help` has all of them"
        return Patient(parse_options({})), problem("configuration", str(error), cure)
    try:
        password = found.password
    except errors.CredentialsError as error:
        return Patient(found.options, found.endpoint, found.mountpoint, error), None
    return Patient(found.options, found.endpoint, found.mountpoint, password), None


def _all(wrong: Finding | None, examination: Examination, stack: contextlib.ExitStack) -> Iterator[Finding]:
    if wrong is not None:
        yield wrong
    yield from examination.findings(stack)


# -- the report --------------------------------------------------------------------


def _observations(
    client: ExportClient | None, login: Finding | None, patient: Patient, args: argparse.Namespace, patience_s: float
) -> Iterator[Observation]:
    said = login.words if login else None
    yield Observation("login", "what the login says", said, "" if login else "it did not come to a login")
    if client is None:
        return
    probe = Probe(client.link, report.TIMEOUT_S)
    try:
        cameras = client.list_cameras()
    except errors.AxxonfsError:
        cameras = []
    wanted = trial.options_of(cameras, trial.LONG) if args.start else None
    if wanted is None:
        yield from trial.unasked("no camera is recorded" if args.start else "only an export shows it: --start")
        yield from report.observe(probe)
        return
    table = timers.scaled(patient.options.time_factor)
    session = trial.Trial(client, probe, wanted, table, patience_s)
    try:
        yield from session.run()
        yield from report.observe(probe, [session.info] if session.info.state.state else [])
        yield from session.finish()
        yield from session.refused_starts()
    finally:
        for words in session.clean_up():
            # Not into the report, which holds no ids.
            print(f"axxonfs: doctor: {words}; {leftovers.CURE}", file=sys.stderr)


def _document(observations: Iterable[Observation]) -> dict[str, object]:
    return {
        "version": _VERSION,
        "axxonfs": importlib.metadata.version("axxonfs"),
        "made": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "questions": [dataclasses.asdict(observation) for observation in observations],
    }


def _write(path: Path, document: dict[str, object]) -> None:
    with _open_report(path, "w") as file:
        file.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


def _open_report(path: Path, mode: Literal["a", "w"]) -> TextIO:
    try:
        return path.open(mode, encoding="utf-8")
    except OSError as error:
        raise errors.ConfigurationError(f"--report: {path} cannot be written: {error.strerror}") from error

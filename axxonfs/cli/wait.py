"""`axxonfs wait PATH...`: until export sessions are done.

Decides which session a path stands for, and what the exit status says. Waits by
`poll` on the sessions' texts, so it costs the server nothing. One thread.
"""

import argparse
import contextlib
import datetime as dt
import math
import select
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from axxonfs.cli import exits
from axxonfs.cli.arguments import checked
from axxonfs.cli.bulk.board import Board, board
from axxonfs.cli.bulk.mounted import Following, entered, translated
from axxonfs.cli.bulk.stopping import Stop
from axxonfs.cli.bulk.work import ANSWER_S, ENDED, FOLLOW_S, LOOK_S
from axxonfs.core import delivery, errors, instants
from axxonfs.core.delivery import Outcome

_MOST_PATHS = 1000


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser of `axxonfs`."""
    parser = subparsers.add_parser(
        "wait",
        help="wait until exports are done",
        description="Wait until export sessions are done. PATH is the directory of a session, a file in it, or "
        "NAME.session or NAME.json in new/.",
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="what leads to a session")
    parser.add_argument(
        "--timeout", type=checked(instants.parse_duration), metavar="TIME", help="wait no longer than this, as in 10m"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Wait; the worst outcome decides the exit status."""
    paths = list(dict.fromkeys(args.paths))
    if len(paths) > _MOST_PATHS:
        raise errors.ConfigurationError(f"{len(paths)} paths are too many: {_MOST_PATHS} at most")
    length: dt.timedelta | None = args.timeout
    stop = Stop()
    with contextlib.ExitStack() as stack:
        waits = [stack.enter_context(_Wait(path)) for path in paths]
        stack.enter_context(stop.on_signals())
        shown = stack.enter_context(board(len(paths)))
        _watch(waits, shown, stop, math.inf if length is None else length.total_seconds())
    if stop:
        return exits.INTERRUPTED
    outcomes = [wait.outcome for wait in waits if wait.outcome is not None]
    return exits.status_of_outcomes(outcomes) or (exits.OK if len(outcomes) == len(waits) else exits.NOT_YET)


def _watch(waits: "Sequence[_Wait]", shown: Board, stop: Stop, timeout_s: float) -> None:
    """Look whenever something changes, until all are done or the time is over."""
    deadline_s = time.monotonic() + timeout_s
    while not stop:
        for wait in waits:
            wait.look(shown)
        pending = [wait for wait in waits if wait.outcome is None]
        left_s = deadline_s - time.monotonic()
        if not pending or left_s <= 0:
            return
        poll = select.poll()
        poll.register(stop.descriptor, select.POLLIN)
        for wait in pending:
            if wait.following is not None:
                poll.register(wait.following.descriptor, select.POLLPRI)
        unanswered = any(wait.following is None for wait in pending)
        poll.poll(1000 * min(LOOK_S if unanswered else FOLLOW_S, left_s))


class _Wait:
    """What a path leads to, and how it came out."""

    def __init__(self, path: Path) -> None:
        """Find the session, or what will lead to it.

        Raises:
            ConfigurationError: the path leads to none.
            MountpointError: the mount has gone.
        """
        self.outcome: Outcome | None = None
        self.following: Following | None = None
        self._name = path.name
        self._give_up_s = time.monotonic() + ANSWER_S
        self._session: Path | None = None
        self._stem: Path | None = None
        self._gone = ""
        try:
            with entered(path):
                self._session, self._stem = _resolved(path)
        except errors.SessionGoneError as error:
            self._gone = str(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.following is not None:
            self.following.close()

    def look(self, shown: Board) -> None:
        """Look how far it is."""
        if self._gone and self.outcome is None:
            self._end(shown, Outcome.GONE, self._gone)
        if self.outcome is not None:
            return
        try:
            if self._session is None:
                self._find(shown)
            if self._session is not None:
                self._follow(self._session, shown)
        except errors.SessionGoneError as error:
            self._end(shown, Outcome.GONE, str(error))

    def _find(self, shown: Board) -> None:
        """See what became of a document in `new/`."""
        assert self._stem is not None  # noqa: S101 - a path without session has one
        link, error = (self._stem.with_name(f"{self._stem.name}.{kind}") for kind in ("session", "error"))
        with translated(self._name):
            if error.exists():
                self._end(shown, Outcome.REFUSED, error.read_text("utf-8").strip())
            elif link.is_symlink():
                self._session = link.parent / link.readlink()
            elif time.monotonic() > self._give_up_s:
                raise errors.InDoubtError(f"the mount does not say what became of {self._name}")

    def _follow(self, session: Path, shown: Board) -> None:
        if self.following is None:
            self.following = Following(session)
        status = self.following.look()
        shown.exporting(self._name, status)
        if status["state"] in ENDED:
            self._end(shown, *delivery.end_of(status))

    def _end(self, shown: Board, outcome: Outcome, why: str) -> None:
        self.outcome = outcome
        shown.ended(self._name, outcome, why)


def _resolved(path: Path) -> tuple[Path | None, Path | None]:
    """Return the session's directory, or the NAME in `new/` that will lead to it."""
    for candidate in (path, path.parent):
        if (candidate / "state").is_file() and (candidate / "status.json").is_file():
            return candidate.resolve(), None
    if path.suffix == ".json" and not path.name.startswith(".") and path.is_file() and _is_in_new(path):
        return None, path.with_suffix("")
    if path.is_symlink():
        raise errors.SessionGoneError(f"the session of {path} has gone")
    raise errors.ConfigurationError(
        f"{path} leads to no session: give the directory of a session, or NAME.session or NAME.json in new/"
    )


def _is_in_new(path: Path) -> bool:
    """Whether a file is in the `new/` of a mount, which alone says what becomes of it."""
    return (path.parent / "../.axxonfs/mount.json").is_file()

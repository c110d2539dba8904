"""One export of a batch: submitted, followed, copied, each step from where it was left.

Decides how long a server that is away is waited for, and which failure ends one
export and which all of them. The steps are those of `core.ledger`; everything is
done through the mount, so that "exactly once", keeping alive and naming are the
mount's. Blocking; a thread for each export.
"""

import dataclasses
import datetime as dt
import errno
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from axxonfs.cli.bulk.board import Board
from axxonfs.cli.bulk.folder import Folder, Notes
from axxonfs.cli.bulk.mounted import Following, Mounted, close, read_text, release, translated
from axxonfs.cli.bulk.stopping import Stop
from axxonfs.core import delivery, errors, ledger, manifest
from axxonfs.core.batch import Order
from axxonfs.core.delivery import Outcome
from axxonfs.core.ledger import Item, Step

# How long nothing may come of an export before it is left for a later command. Longer than a server needs to restart.
PATIENCE_S = 300.0
RETRY_S = 5.0
# A write is answered within 30 s, and one that was cut off by our end goes on in the mount.
ANSWER_S = 45.0
AWAIT_S = 1.0
LOOK_S = 0.2
# A change wakes at once; this is for a mount that went away without one.
FOLLOW_S = 5.0
ENDED = frozenset({"completed", "failed", "removed"})
_PIECE_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class Exported:
    """A session that has ended."""

    item: Item
    session: Path
    status: Mapping[str, Any]


class Work:
    """What is done with each export of a batch."""

    def __init__(
        self,
        mounted: Mounted,
        notes: Notes,
        orders: Mapping[str, Order],
        board: Board,
        stop: Stop,
        *,
        tolerance: dt.timedelta,
    ) -> None:
        self._mounted = mounted
        self._notes = notes
        self._orders = orders
        self._board = board
        self._stop = stop
        self._tolerance = tolerance

    def label(self, item: Item) -> str:
        """Return its NAME in `new/`, which no other batch uses."""
        return f"{item.name}_{self._notes.ledger.header.batch}"

    # -- at the server ------------------------------------------------------------------

    def export(self, item: Item) -> Exported | None:
        """Have the server export it; None where there is nothing to copy.

        Raises:
            UnavailableError: the server is away, or it is not known whether it started.
            MountpointError, StoreFullError: nothing can go on.
            StoppedError: it is to end here.
        """
        self._stop.check()
        try:
            session = self._session(item)
            if session is None:
                return None
            status = self._follow(item, session)
            self._note_exported(item, session, status)
        except errors.RefusedError as error:
            self.end(item, Outcome.REFUSED, str(error))
        except errors.SessionGoneError as error:
            self.end(item, Outcome.GONE, str(error))
        else:
            if status["state"] != "removed":
                return Exported(item, session, status)
            self.conclude(item)
        return None

    def _session(self, item: Item) -> Path | None:
        """Return the directory of its session, which is started unless it was; None where all of it is here."""
        if item.session is not None and item.session_id is not None and not item.fetched:
            return self._mounted.find_session(item.session_id, item.session)
        step = ledger.next_step(item, self._mounted.seen(self.label(item)))
        if step is Step.END:
            self.conclude(item)
        if step in {Step.END, Step.DONE}:
            return None
        session = self._started_before(item, step) if item.asked else None
        if session is None:
            self._ask(item)
            session = self._mounted.session_of(self.label(item))
        session_id = read_text(session, "status.json")["id"]
        self._notes.note({"event": "started", "name": item.name, "session": session.name, "id": session_id})
        self._board.started(item.name, session)
        return session

    def _started_before(self, item: Item, step: Step) -> Path | None:
        """Return the session of a document that was submitted before an interruption; None if it started none."""
        label = self.label(item)
        give_up_s = time.monotonic() + ANSWER_S
        while step is not Step.FOLLOW:
            # A mount that crashed knows its sessions, but perhaps not what was in new/ last.
            session = self._mounted.labelled(label)
            if session is not None or step is Step.ASK:
                return session
            if time.monotonic() > give_up_s:
                raise errors.InDoubtError("the mount does not say what became of its document")
            self._stop.sleep(AWAIT_S)
            step = ledger.next_step(item, self._mounted.seen(label))
        return self._mounted.session_of(label)

    def _ask(self, item: Item) -> None:
        self._notes.note({"event": "asked", "name": item.name})
        give_up_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                # The same document again is safe: the mount looks for what it may have started before.
                self._mounted.submit(self.label(item), self._orders[item.name].document)
            except errors.InDoubtError as error:
                if time.monotonic() > give_up_s:
                    raise
                self._board.note(item.name, f"trying again: {error}")
            else:
                return
            self._stop.sleep(RETRY_S)
            if self._mounted.seen(self.label(item)).link:
                return

    def _follow(self, item: Item, session: Path) -> dict[str, Any]:
        with Following(session) as following:
            while True:
                status = following.look()
                self._board.exporting(item.name, status)
                if status["state"] in ENDED:
                    return status
                following.wait(self._stop.descriptor, FOLLOW_S)
                self._stop.check()

    def _note_exported(self, item: Item, session: Path, status: Mapping[str, Any]) -> None:
        if item.verdict is not None:
            return  # before an interruption
        spec = read_text(session, "spec.json")
        found = delivery.difference(status, spec, tolerance=self._tolerance)
        outcome, why = delivery.outcome(status, found)
        facts = manifest.facts_of(status, spec, found)
        self._notes.note({"event": "exported", "name": item.name, "outcome": outcome.value, "why": why, "facts": facts})

    # -- into the directory -------------------------------------------------------------

    def copy(self, exported: Exported, folder: Folder) -> None:
        """Copy its results, and let its session go.

        Raises:
            UnavailableError: they cannot be had now.
            NameTakenError: another file has the name.
            StoreFullError, MountpointError, StoppedError: as `export`.
        """
        self._stop.check()
        item = exported.item
        try:
            files = [file for file in exported.status["files"] if file["downloadable"]]
            claims = [(file, folder.claim(item.name, file)) for file in files]
            self._board.copying(item.name, len(files), sum(file["size"] for file in files))
            for file, copy in claims:
                if copy.sha256 is None:
                    self._copy_one(exported, folder, file, copy)
                else:
                    self._board.copied(item.name, copy.name, copy.size)
        except errors.SessionGoneError as error:
            self.end(item, Outcome.GONE, str(error))
            return
        release(exported.session)
        self.conclude(item)

    def conclude(self, item: Item) -> None:
        """Say how an export came out that is exported, and copied if that was wanted."""
        self.end(item, *(item.verdict or (Outcome.DELIVERED, "")))

    def _copy_one(self, exported: Exported, folder: Folder, file: Mapping[str, Any], copy: ledger.Copy) -> None:
        name = exported.item.name

        def advanced(there: int) -> None:
            self._stop.check()
            self._board.advanced(name, copy.name, there)

        with _Source(exported.session / file["name"], copy.size, self._stop) as source:
            sha256 = folder.receive(copy, source.read, advanced)
        folder.keep(name, file["path"], sha256)
        self._board.copied(name, copy.name, copy.size)

    def end(self, item: Item, outcome: Outcome, why: str) -> None:
        """Tidy up after an export, and note how it came out: nobody comes back to what has that note."""
        if isinstance(self._notes, Folder):
            self._mounted.tidy(self.label(item))
        self._notes.note({"event": "ended", "name": item.name, "outcome": outcome.value, "why": why})
        self._board.ended(item.name, outcome, why)


class _Source:
    """A result in the mount, read with patience for a server that is away."""

    def __init__(self, path: Path, size: int, stop: Stop) -> None:
        self._name = path.name
        self._stop = stop
        with translated(self._name):
            self._file = os.open(path, os.O_RDONLY)
            if os.fstat(self._file).st_size != size:
                close(self._file)
                raise errors.WrongBytesError(f"{self._name} has another size than it was said to have")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        close(self._file)

    def read(self, offset: int) -> bytes:
        """Return a piece; nothing at the end."""
        give_up_s = time.monotonic() + PATIENCE_S
        while True:
            try:
                with translated(self._name):
                    return os.pread(self._file, _PIECE_BYTES, offset)
            except OSError as error:
                if error.errno != errno.EIO or time.monotonic() > give_up_s:
                    raise errors.UnavailableError(f"{self._name} cannot be read: {error.strerror}") from error
            self._stop.sleep(RETRY_S)

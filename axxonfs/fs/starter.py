"""Starts exports: each submitted document exactly once, whatever fails.

Writes the intent into the journal before it is asked for, and the answer down after
it (`exporting/starts.py` asks); in doubt the writer gets an error and the mount goes
on looking. A start runs on when the writer has gone. What it changes in `new/` goes
into the journal with the start itself. Belongs to the event loop.
"""

import contextlib
import dataclasses
import logging
import time
import weakref
import zoneinfo
from collections.abc import Sequence

import trio

from axxonfs.core import errors, sessions, spec
from axxonfs.core.folder import NewFolder
from axxonfs.core.view import Entry
from axxonfs.exporting.catalog import Catalog
from axxonfs.exporting.doubts import DOUBT_ENDS_S, Outcome
from axxonfs.exporting.records import Intent
from axxonfs.exporting.starts import Starts, make_intent
from axxonfs.fs.journal import NO_FILES, FileChanges, Journal
from axxonfs.fs.saved import SavedFolder
from axxonfs.reading.tasks import Tasks

log = logging.getLogger(__name__)

WRITE_DEADLINE_S = 30.0

_NEVER_ASKED = "the mount ended before the server was asked for the export: it was not started; write it again"
_NO_PASSWORD = "the mount ended before the server was asked for the export: type the password again"  # noqa: S105 - a text


@dataclasses.dataclass(slots=True, eq=False)
class _Attempt:
    """One submitted document on its way."""

    label: str
    document: bytes = b""
    resolved: spec.Resolved | None = None
    intent: Intent | None = None  # as the journal has it
    late: bool = False  # an earlier run took it on
    done: trio.Event = dataclasses.field(default_factory=trio.Event)
    error: errors.AxxonfsError | None = None


class Starter:
    """Turns documents into sessions."""

    def __init__(
        self,
        catalog: Catalog,
        new: NewFolder,
        saved: SavedFolder,
        journal: Journal,
        tasks: Tasks,
        zone: zoneinfo.ZoneInfo | None,
    ) -> None:
        self._catalog = catalog
        self._folder = new
        self._saved = saved
        self._journal = journal
        self._tasks = tasks
        intents = journal.intents()
        self._unasked = [intent for intent in intents if not intent.asked]
        outcome = Outcome(self._adopt, self._give_up, self.note_error)
        self._starts = Starts(catalog, tasks, zone, outcome, (intent for intent in intents if intent.asked))
        self._turns: weakref.WeakValueDictionary[str, trio.Lock] = weakref.WeakValueDictionary()

    # -- for the handlers -----------------------------------------------------------

    def check(self, document: bytes) -> spec.Resolved:
        """Resolve a document without starting it.

        Raises:
            SpecError: it is wrong.
        """
        return self._starts.check(spec.parse_document(document))

    async def submit(self, label: str, document: bytes) -> None:
        """Start what the document asks for, and wait for the answer.

        Raises:
            SpecError, RefusedError, AccessError: nothing was started.
            InDoubtError: it is not known whether it was; the mount goes on looking.
            ServerAwayError: nothing was started, as far as a complete listing tells.
        """
        attempt = _Attempt(label, document)
        self._tasks.start(self._attempt, attempt)
        with trio.move_on_after(WRITE_DEADLINE_S):
            await attempt.done.wait()
        if not attempt.done.is_set():
            error = errors.InDoubtError("the server did not answer in time; the mount goes on looking for the export")
            self.note_error(label, error)
            raise error
        if attempt.error is not None:
            raise attempt.error

    async def submit_behind(self, label: str, document: bytes, resolved: spec.Resolved, files: FileChanges) -> None:
        """Journal a checked document with its file and start it behind; a refusal becomes `NAME.error`."""
        attempt = _Attempt(label, document, resolved)
        await self._intend(attempt, dataclasses.replace(make_intent(label, resolved), asked=False), files)
        self._tasks.start(self._attempt, attempt)

    def resume(self) -> None:
        """Start what an earlier run had taken on and not asked the server for yet."""
        for intent in self._unasked:
            self._tasks.start(
                self._attempt, _Attempt(intent.label, resolved=_resolved(intent), intent=intent, late=True)
            )
        self._unasked = []

    # -- one start ------------------------------------------------------------------

    async def _attempt(self, attempt: _Attempt) -> None:
        turn = self._turns.setdefault(attempt.label, trio.Lock())
        try:
            # One after the other for each NAME: an equal document must find what the one before it started.
            async with turn:
                await self._start(attempt)
        except errors.AxxonfsError as error:
            log.info("start refused name=%s error=%s", attempt.label, error)
            attempt.error = error
            await self._refuse(attempt, error)
        except Exception as error:
            attempt.error = errors.UnavailableError(f"unexpected: {error!r}")
            raise
        finally:
            attempt.done.set()

    def note_error(self, label: str, error: errors.AxxonfsError) -> None:
        """Write `NAME.error`."""
        until_s = time.time() + self._catalog.view.settings.timers.error_text_s
        self._folder.note_error(_stem(label), str(error), now_ns=time.time_ns(), until_s=until_s)
        self._saved.later(*_outcome(label))

    async def _refuse(self, attempt: _Attempt, error: errors.AxxonfsError) -> None:
        self.note_error(attempt.label, error)
        intent = attempt.intent
        # In doubt, or where the journal could not be told of a success, the intent is what leads to the session.
        if intent is None or (intent.asked and isinstance(error, errors.InDoubtError | errors.StoreFullError)):
            return
        with contextlib.suppress(errors.StoreFullError):
            await self._give_up(intent, _outcome(attempt.label))

    async def _start(self, attempt: _Attempt) -> None:
        if attempt.late and attempt.intent is not None:
            _check_late(attempt.intent)
        resolved = attempt.resolved or await self._starts.resolve(spec.parse_document(attempt.document))
        intent = dataclasses.replace(attempt.intent or make_intent(attempt.label, resolved), asked=True)
        await self._starts.settle(intent)
        # With a password it is another export: nobody remembers whether it is the same one.
        secret = intent.options != resolved.options
        again = None if resolved.relative or secret else self._started_already(intent)
        if again is not None:
            self._link(attempt.label, again)
            await self._give_up(intent, _outcome(attempt.label))
            return
        intent = await self._starts.with_known(intent)
        await self._intend(attempt, intent, self._saved.changes(_stem(attempt.label) + b".json"))
        await self._starts.start(intent, resolved.options)

    async def _intend(self, attempt: _Attempt, intent: Intent, files: FileChanges) -> None:
        await self._catalog.write_journal(lambda: self._journal.intend(intent, files))
        attempt.intent = intent

    async def _give_up(self, intent: Intent, names: Sequence[bytes] = ()) -> None:
        files = self._saved.changes(*names) if names else NO_FILES
        await self._catalog.write_journal(lambda: self._journal.given_up(intent.marker, files))

    def _started_already(self, intent: Intent) -> Entry | None:
        """Return the session that an equal document of this NAME started, if it is alive and has not failed."""
        alive = {sessions.State.RUNNING, sessions.State.UNKNOWN, sessions.State.COMPLETED}
        mine = (
            entry
            for entry in self._catalog.view.entries.values()
            if entry.facts.own and entry.facts.label == intent.label and not entry.facts.going
        )
        for entry in mine:
            same = entry.facts.sent is not None and spec.same_export(entry.facts.sent, intent.options)
            if same and entry.session.state in alive:
                return entry
        return None

    async def _adopt(self, intent: Intent, session_id: str) -> None:
        # Shown first: so the link is in the journal with the session. Until then the intent leads to it.
        entry = self._starts.show(intent, session_id)
        self._link(intent.label, entry)
        files = self._saved.changes(*_outcome(intent.label))
        await self._catalog.write_journal(lambda: self._journal.started(intent, session_id, entry.facts, files))

    def _link(self, label: str, entry: Entry) -> None:
        self._folder.link_session(_stem(label), entry.node.name, time.time_ns())
        self._saved.later(*_outcome(label))


def _stem(label: str) -> bytes:
    return label.encode(errors="surrogateescape")


def _outcome(label: str) -> tuple[bytes, bytes]:
    """Return the names of what is said of a spec."""
    return _stem(label) + b".error", _stem(label) + b".session"


def _check_late(intent: Intent) -> None:
    """Refuse to start what nobody waits for any more, or what cannot be asked for as it was."""
    if time.time() - intent.at_s > DOUBT_ENDS_S:
        raise errors.UnavailableError(_NEVER_ASKED)
    if spec.has_secret(intent.options):
        raise errors.SpecError(_NO_PASSWORD)


def _resolved(intent: Intent) -> spec.Resolved:
    """Return what an intent of an earlier run asks for; its instants are resolved already."""
    return spec.Resolved(intent.options, relative=intent.options.HasField("live"), cameras=(), requested=(None, None))

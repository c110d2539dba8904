"""Starts exports: each submitted document exactly once, whatever fails.

Resolves a document, writes the intent into the journal, asks the server, writes
the answer down. Where the answer is lost it looks for the session that carries
the intent's marker; in doubt the writer gets an error and the mount goes on
looking. A start runs on when the writer has gone. Belongs to the event loop.
"""

import contextlib
import dataclasses
import datetime as dt
import logging
import time
import uuid
import weakref
import zoneinfo
from collections.abc import Callable, Iterator, Sequence

import trio

from axxonfs.core import errors, sessions, spec
from axxonfs.core.folder import NewFolder
from axxonfs.core.view import Entry, SessionInfo
from axxonfs.exporting.catalog import Catalog
from axxonfs.fs.journal import Intent, Journal
from axxonfs.reading.tasks import Tasks
from axxonfs.wire import export_pb2, export_service_pb2

log = logging.getLogger(__name__)

WRITE_DEADLINE_S = 30.0
START_TIMEOUT_S = 20.0
LOOK_FOR_S = 10.0
LOOK_EVERY_S = 1.0
# No server takes that long to list what it has started.
DOUBT_ENDS_S = 600.0
# A list of cameras this old is fetched anew before a camera is called unknown.
CAMERAS_FRESH_S = 10.0

_STILL_AWAY = "the server is away, and whether the export started before is not known yet"
_NEVER_STARTED = "the export was asked for, and the server never listed it: it was not started; write it again"


@dataclasses.dataclass(slots=True, eq=False)
class _Attempt:
    """One submitted document on its way."""

    label: str
    document: bytes
    resolved: spec.Resolved | None = None
    intent: Intent | None = None  # where it is in the journal already
    done: trio.Event = dataclasses.field(default_factory=trio.Event)
    error: errors.AxxonfsError | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class _Doubt:
    """A start whose answer was lost."""

    intent: Intent
    known: frozenset[str]  # the sessions there were before it
    settled: trio.Event = dataclasses.field(default_factory=trio.Event)  # its session is shown, or it was given up


class Starter:
    """Turns documents into sessions."""

    def __init__(
        self,
        catalog: Catalog,
        folder: NewFolder,
        journal: Journal,
        tasks: Tasks,
        zone: zoneinfo.ZoneInfo | None,
        save: Callable[[bytes, bytes], None],
    ) -> None:
        self._catalog = catalog
        self._folder = folder
        self._journal = journal
        self._tasks = tasks
        self._zone = zone
        own = frozenset(journal.sessions())
        self._doubts = {intent.marker: _Doubt(intent, own) for intent in journal.intents()}
        self._turns: weakref.WeakValueDictionary[str, trio.Lock] = weakref.WeakValueDictionary()
        self._cameras_s = time.time()
        self._save = save  # writes entries of new/ into the journal
        catalog.listeners.append(self._look)
        if self._doubts:
            catalog.poke()

    # -- for the handlers -----------------------------------------------------------

    def check(self, document: bytes) -> spec.Resolved:
        """Resolve a document without starting it.

        Raises:
            SpecError: it is wrong.
        """
        return spec.resolve(
            spec.parse_document(document),
            cameras=self._catalog.view.cameras,
            now=dt.datetime.now(dt.UTC),
            timezone=self._zone,
            marker=f"axxonfs-{uuid.uuid4().hex}",
        )

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
            raise errors.InDoubtError("the server did not answer in time; the mount goes on looking for the export")
        if attempt.error is not None:
            raise attempt.error

    async def submit_behind(self, label: str, document: bytes, resolved: spec.Resolved) -> None:
        """Journal a checked document and start it behind; a refusal becomes `NAME.error`."""
        intent = _intent(label, resolved)
        await self._catalog.write_journal(lambda: self._journal.intend(intent))
        self._tasks.start(self._attempt, _Attempt(label, document, resolved, intent))

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
            self.note_error(attempt.label, error)
        except Exception as error:
            attempt.error = errors.UnavailableError(f"unexpected: {error!r}")
            raise
        finally:
            attempt.done.set()

    def note_error(self, label: str, error: errors.AxxonfsError) -> None:
        """Write `NAME.error`."""
        stem = label.encode(errors="surrogateescape")
        until_s = time.time() + self._catalog.view.settings.timers.error_text_s
        self._folder.note_error(stem, str(error), now_ns=time.time_ns(), until_s=until_s)
        self._save(stem + b".error", stem + b".session")

    async def _start(self, attempt: _Attempt) -> None:
        resolved = attempt.resolved or await self._resolve(attempt.document)
        intent = attempt.intent or _intent(attempt.label, resolved)
        await self._settle_doubts(intent)
        # With a password it is another export: nobody remembers whether it is the same one.
        secret = intent.options != resolved.options
        again = None if resolved.relative or secret else self._started_already(intent)
        if again is not None:
            await self._catalog.write_journal(lambda: self._journal.given_up(intent.marker))
            self._link(attempt.label, again)
            return
        await self._catalog.write_journal(lambda: self._journal.intend(intent))
        known = frozenset(self._catalog.view.entries)
        try:
            session_id = await self._ask(resolved.options)
        except errors.UnavailableError as error:
            await self._find_lost(_Doubt(intent, known), error)
        except errors.AxxonfsError:
            # All other failures say that nothing was started.
            await self._catalog.write_journal(lambda: self._journal.given_up(intent.marker))
            raise
        else:
            await self._adopt(intent, session_id)

    async def _resolve(self, document: bytes) -> spec.Resolved:
        try:
            return self.check(document)
        except errors.SpecError:
            if time.time() - self._cameras_s < CAMERAS_FRESH_S:
                raise
        self._cameras_s = time.time()
        try:
            await self._catalog.refresh_cameras()
        except errors.AxxonfsError as error:
            log.debug("cameras not refreshed error=%s", error)
        return self.check(document)

    async def _ask(self, options: export_pb2.Options) -> str:
        client = self._catalog.client
        try:
            return await self._catalog.call_start(lambda: client.start_session(options, timeout_s=START_TIMEOUT_S))
        except errors.SessionGoneError as error:
            # Here NOT_FOUND is about something that the spec names, such as the export agent.
            raise errors.RefusedError(str(error)) from error

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
        facts = sessions.Facts(own=True, label=intent.label, sent=intent.options, started_s=time.time())
        await self._catalog.write_journal(
            lambda: self._journal.started(intent.marker, session_id, intent.options, facts)
        )
        self._show(intent, session_id, facts)

    def _show(self, intent: Intent, session_id: str, facts: sessions.Facts) -> None:
        session = export_service_pb2.Session(id=session_id, options=intent.options)
        state = export_service_pb2.State(state=export_service_pb2.S_RUNNING)
        known = self._catalog.view.entries.get(session_id)
        info = known.info if known else SessionInfo(session=session, state=state)
        entry = self._catalog.adopt(info, facts)
        log.info("export started name=%s session=%s", intent.label, session_id)
        self._link(intent.label, entry)

    def _link(self, label: str, entry: Entry) -> None:
        stem = label.encode(errors="surrogateescape")
        self._folder.link_session(stem, entry.node.name, time.time_ns())
        self._save(stem + b".error", stem + b".session")

    # -- doubt ----------------------------------------------------------------------

    async def _find_lost(self, doubt: _Doubt, error: errors.UnavailableError) -> None:
        marker = doubt.intent.marker
        self._doubts[marker] = doubt
        with trio.move_on_after(LOOK_FOR_S):
            while marker in self._doubts:
                await self._refreshed()
                await trio.sleep(LOOK_EVERY_S if marker in self._doubts else 0)
        if marker in self._doubts:
            words = "it is not known whether the export started; the mount goes on looking, and the same document"
            raise errors.InDoubtError(f"{error}: {words} written again first looks for it") from error
        await doubt.settled.wait()

    async def _refreshed(self) -> bool:
        try:
            await self._catalog.refresh()
        except errors.AxxonfsError as error:
            log.debug("listing failed while looking for a start error=%s", error)
            return False
        return True

    async def _settle_doubts(self, intent: Intent) -> None:
        """Before an equal document is started again, find out what became of the one in doubt."""
        mine = [
            doubt
            for doubt in self._doubts.values()
            if doubt.intent.label == intent.label and spec.same_export(doubt.intent.options, intent.options)
        ]
        if not mine:
            return
        if not await self._refreshed():
            raise errors.InDoubtError(_STILL_AWAY)
        for doubt in mine:
            await self._outlast(doubt)
            # A complete listing, later than any answer could have been: what is not in it was not started.
            await self._give_up(doubt)
            await doubt.settled.wait()

    async def _outlast(self, doubt: _Doubt) -> None:
        """Look until the doubt is settled, or so old that a start would be listed: listings lag behind starts."""
        grown_s = doubt.intent.at_s + self._catalog.view.settings.timers.doubt_s
        while doubt.intent.marker in self._doubts and time.time() < grown_s:
            await trio.sleep(LOOK_EVERY_S)
            if not await self._refreshed():
                raise errors.InDoubtError(_STILL_AWAY)

    async def _give_up(self, doubt: _Doubt) -> None:
        if self._doubts.pop(doubt.intent.marker, None):
            with _settling(doubt):
                await self._catalog.write_journal(lambda: self._journal.given_up(doubt.intent.marker))

    async def _adopt_found(self, doubt: _Doubt, session_id: str) -> None:
        with _settling(doubt):
            await self._adopt(doubt.intent, session_id)

    def _look(self, listing: Sequence[SessionInfo]) -> None:
        """Adopt the sessions in a listing that starts in doubt became."""
        for info in listing if self._doubts else ():
            doubt = next((doubt for doubt in self._doubts.values() if _matches(doubt, info)), None)
            if doubt is not None:
                del self._doubts[doubt.intent.marker]
                self._tasks.start(self._adopt_found, doubt, info.session.id)
        for doubt in list(self._doubts.values()):
            if time.time() - doubt.intent.at_s > DOUBT_ENDS_S:
                self.note_error(doubt.intent.label, errors.UnavailableError(_NEVER_STARTED))
                self._tasks.start(self._give_up, doubt)


@contextlib.contextmanager
def _settling(doubt: _Doubt) -> Iterator[None]:
    """Let those who wait for the end of a doubt go on, whatever the end is."""
    try:
        yield
    finally:
        doubt.settled.set()


def _intent(label: str, resolved: spec.Resolved) -> Intent:
    marker = spec.marker_of(resolved.options) or uuid.uuid4().hex
    return Intent(marker, label, spec.without_secrets(resolved.options), time.time())


def _matches(doubt: _Doubt, info: SessionInfo) -> bool:
    marker = spec.marker_of(doubt.intent.options)
    if marker is not None:
        return spec.marker_of(info.session.options) == marker
    if info.session.id in doubt.known:
        return False
    return spec.same_export(spec.without_secrets(info.session.options), doubt.intent.options)

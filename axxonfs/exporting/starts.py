"""Starts of exports: a spec becomes a session exactly once, whatever fails.

Resolves a document, asks the server, and where the answer is lost has the session
looked for that carries the intent's marker. What is written down before and after,
and what is said to whom, is for whoever starts. Belongs to the event loop.
"""

import contextlib
import dataclasses
import datetime as dt
import logging
import time
import uuid
import zoneinfo
from collections.abc import Iterable, Mapping
from typing import Any

import trio

from axxonfs.core import errors, sessions, spec
from axxonfs.core.view import Entry, SessionInfo
from axxonfs.exporting.catalog import Catalog
from axxonfs.exporting.doubts import Doubts, Outcome
from axxonfs.exporting.records import Intent
from axxonfs.reading.tasks import Tasks
from axxonfs.wire import export_pb2, export_service_pb2

log = logging.getLogger(__name__)

START_TIMEOUT_S = 20.0
# A list of cameras this old is fetched anew before a camera is called unknown.
CAMERAS_FRESH_S = 10.0


class Starts:
    """Asks for exports; `intents` are those of an earlier run that may have been asked for."""

    def __init__(
        self,
        catalog: Catalog,
        tasks: Tasks,
        zone: zoneinfo.ZoneInfo | None,
        outcome: Outcome,
        intents: Iterable[Intent] = (),
    ) -> None:
        self._catalog = catalog
        self._zone = zone
        self._outcome = outcome
        self._doubts = Doubts(catalog, tasks, intents, outcome)
        self._cameras_s = trio.current_time()

    def check(self, document: Mapping[str, Any]) -> spec.Resolved:
        """Resolve a document without starting it.

        Raises:
            SpecError: it is wrong.
        """
        return spec.resolve(
            document,
            cameras=self._catalog.view.cameras,
            now=dt.datetime.now(dt.UTC),
            timezone=self._zone,
            marker=f"axxonfs-{uuid.uuid4().hex}",
        )

    async def resolve(self, document: Mapping[str, Any]) -> spec.Resolved:
        """Resolve a document; a camera that is not known may be a new one. Raises as `check`."""
        try:
            return self.check(document)
        except errors.SpecError:
            if trio.current_time() - self._cameras_s < CAMERAS_FRESH_S:
                raise
        self._cameras_s = trio.current_time()
        try:
            await self._catalog.refresh_cameras()
        except errors.AxxonfsError as error:
            log.debug("cameras not refreshed error=%s", error)
        return self.check(document)

    async def settle(self, intent: Intent) -> None:
        """Before an equal document is started again, find out what became of the one in doubt.

        Raises:
            InDoubtError: the server is away, and it cannot be found out.
        """
        await self._doubts.settle(intent)

    async def with_known(self, intent: Intent) -> Intent:
        """Note which equal exports there are that no marker will tell this one from."""
        if spec.marker_of(intent.options) is None:
            with contextlib.suppress(errors.AxxonfsError):
                await self._catalog.refresh()
        listed = [entry.session for entry in self._catalog.view.entries.values()]
        unmarked = (session for session in listed if spec.marker_of(session.options) is None)
        equal = (session for session in unmarked if spec.same_export(session.options, intent.options))
        return dataclasses.replace(intent, known=frozenset(session.id for session in equal))

    async def start(self, intent: Intent, options: export_pb2.Options) -> None:
        """Ask for an export of these options, with all secrets, and hand its session to `Outcome.adopt`.

        Raises:
            InDoubtError: it is not known whether it started; it is looked for.
            AxxonfsError: it was not started.
        """
        try:
            session_id = await self._ask(options)
        except errors.NotSentError:
            raise  # as all failures but the next: nothing was started
        except errors.UnavailableError as error:
            await self._doubts.find_lost(intent, error)
        else:
            await self._outcome.adopt(intent, session_id)

    def show(self, intent: Intent, session_id: str) -> Entry:
        """Show the session that an intent became."""
        facts = sessions.Facts(own=True, label=intent.label, sent=intent.options, started_s=time.time())
        session = export_service_pb2.Session(id=session_id, options=intent.options)
        state = export_service_pb2.State(state=export_service_pb2.S_RUNNING)
        known = self._catalog.view.entries.get(session_id)
        info = known.info if known else SessionInfo(session=session, state=state)
        entry = self._catalog.adopt(info, facts)
        log.info("export started name=%s session=%s", intent.label, session_id)
        return entry

    async def _ask(self, options: export_pb2.Options) -> str:
        client = self._catalog.client
        try:
            return await self._catalog.call_start(lambda: client.start_session(options, timeout_s=START_TIMEOUT_S))
        except errors.SessionGoneError as error:
            # Here NOT_FOUND is about something that the spec names, such as the export agent.
            raise errors.RefusedError(str(error)) from error


def make_intent(label: str, resolved: spec.Resolved) -> Intent:
    """Return the intent of a start, without secrets."""
    marker = spec.marker_of(resolved.options) or uuid.uuid4().hex
    return Intent(marker, label, spec.without_secrets(resolved.options), time.time())

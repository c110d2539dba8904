"""Starts whose answer was lost: what became of each of them.

Looks for their sessions in every listing: by the marker that the start carried,
or by equal options where it could carry none. Decides how long a writer waits for
that, and when a start that no listing shows counts as not made. Belongs to the
event loop.
"""

import contextlib
import dataclasses
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

import trio

from axxonfs.core import errors, spec
from axxonfs.core.timers import LISTED_AFTER_S, LOOK_EVERY_S, LOOK_FOR_S
from axxonfs.core.view import LISTINGS_BEFORE_DROPPED, SessionInfo
from axxonfs.core.words import NOT_LISTED
from axxonfs.exporting.catalog import Catalog
from axxonfs.exporting.records import Intent
from axxonfs.reading.tasks import Tasks

log = logging.getLogger(__name__)

# No server takes that long to list what it has started.
DOUBT_ENDS_S = 600.0

_STILL_AWAY = "the server is away, and whether the export started before is not known yet"
_UNKNOWN = (
    "it is not known whether the export started; the mount goes on looking, and the same document written again "
    "first looks for it"
)
_NEVER_STARTED = "the export was asked for, but the server does not list it: it was not started; write it again"
_SEVERAL = "the export was asked for, and the server lists several like it: look which of those in sessions/ it is"

Adopt = Callable[[Intent, str], Awaitable[None]]
GiveUp = Callable[[Intent], Awaitable[None]]
NoteError = Callable[[str, errors.AxxonfsError], None]


@dataclasses.dataclass(slots=True, eq=False)
class _Doubt:
    intent: Intent
    asked_s: float  # on trio's clock: the one on the wall may be set meanwhile
    absent: int = 0  # complete listings without it since it would be listed
    settled: trio.Event = dataclasses.field(default_factory=trio.Event)  # its session is shown, or it was given up


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What is done about the end of a doubt."""

    adopt: Adopt  # show the session that it became
    give_up: GiveUp  # forget the intent: nothing came of it
    note_error: NoteError  # write NAME.error


class Doubts:
    """All starts of one mount of which it is not known whether they were made."""

    def __init__(self, catalog: Catalog, tasks: Tasks, intents: Iterable[Intent], outcome: Outcome) -> None:
        self._catalog = catalog
        self._tasks = tasks
        self._outcome = outcome
        self._doubts = {intent.marker: _doubt(intent) for intent in intents}
        catalog.listeners.append(self._look)
        if self._doubts:
            self._look([entry.info for entry in catalog.view.entries.values()])
            catalog.poke()

    async def find_lost(self, intent: Intent, error: errors.UnavailableError) -> None:
        """Look for a start that ended in `error`, and return once its session is shown.

        Raises:
            InDoubtError: it was not found in time; the mount goes on looking.
        """
        marker = intent.marker
        doubt = self._doubts[marker] = _doubt(intent)
        failed_s = trio.current_time()
        listed = False
        with trio.move_on_after(LOOK_FOR_S):
            while marker in self._doubts and not listed:
                late = trio.current_time() - failed_s >= LISTED_AFTER_S and not isinstance(error, errors.DeadlineError)
                listed = await self._refreshed() and late
                await trio.sleep(LOOK_EVERY_S if marker in self._doubts and not listed else 0)
        if marker in self._doubts:
            raise errors.InDoubtError(f"{error}: {NOT_LISTED if listed else _UNKNOWN}") from error
        await doubt.settled.wait()

    async def settle(self, intent: Intent) -> None:
        """Before an equal document is started again, find out what became of the one in doubt.

        Raises:
            InDoubtError: the server is away, and it cannot be found out.
        """
        mine = [
            doubt
            for doubt in self._doubts.values()
            if doubt.intent.label == intent.label and spec.same_export(doubt.intent.options, intent.options)
        ]
        if mine and not await self._refreshed():
            raise errors.InDoubtError(_STILL_AWAY)
        for doubt in mine:
            await self._outlast(doubt)
            # A complete listing, later than any answer could have been: what is not in it was not started.
            await self._give_up(doubt)
            await doubt.settled.wait()

    async def _refreshed(self) -> bool:
        try:
            await self._catalog.refresh()
        except errors.AxxonfsError as error:
            log.debug("listing failed while looking for a start error=%s", error)
            return False
        return True

    async def _outlast(self, doubt: _Doubt) -> None:
        """Look until the doubt is settled, or so old that a start would be listed: listings lag behind starts."""
        grown_s = doubt.asked_s + self._catalog.view.settings.timers.doubt_s
        while doubt.intent.marker in self._doubts and trio.current_time() < grown_s:
            await trio.sleep(LOOK_EVERY_S)
            if not await self._refreshed():
                raise errors.InDoubtError(_STILL_AWAY)

    async def _give_up(self, doubt: _Doubt) -> None:
        if self._doubts.pop(doubt.intent.marker, None):
            with _settling(doubt):
                await self._outcome.give_up(doubt.intent)

    async def _adopt(self, doubt: _Doubt, session_id: str) -> None:
        with _settling(doubt):
            await self._outcome.adopt(doubt.intent, session_id)

    def _look(self, listing: Sequence[SessionInfo]) -> None:
        """Adopt the sessions in a listing that starts in doubt became."""
        for doubt in list(self._doubts.values()):
            found = [info.session.id for info in listing if self._matches(doubt.intent, info)]
            if len(found) == 1:
                del self._doubts[doubt.intent.marker]
                self._tasks.start(self._adopt, doubt, found[0])
            else:
                self._note_unfound(doubt, _SEVERAL if found else _NEVER_STARTED)

    def _note_unfound(self, doubt: _Doubt, why: str) -> None:
        age_s = trio.current_time() - doubt.asked_s
        doubt.absent += age_s > self._catalog.view.settings.timers.doubt_s
        ended = age_s > DOUBT_ENDS_S
        # The second such listing was begun when the server would have listed it.
        if doubt.absent == LISTINGS_BEFORE_DROPPED or (ended and doubt.absent < LISTINGS_BEFORE_DROPPED):
            self._outcome.note_error(doubt.intent.label, errors.UnavailableError(why))
        if ended:
            self._tasks.start(self._give_up, doubt)

    def _matches(self, intent: Intent, info: SessionInfo) -> bool:
        marker = spec.marker_of(intent.options)
        # A server may leave that setting out of what it repeats: then what else is equal must do.
        if marker is not None and spec.file_name_of(info.session.options) is not None:
            return spec.marker_of(info.session.options) == marker
        entry = self._catalog.view.entries.get(info.session.id)
        if info.session.id in intent.known or (entry is not None and entry.facts.own):
            return False
        return spec.same_export(spec.without_secrets(info.session.options), intent.options)


def _doubt(intent: Intent) -> _Doubt:
    """Return the doubt about a start; one from before the clock was set back is as old as if it were made now."""
    return _Doubt(intent, trio.current_time() - max(0.0, time.time() - intent.at_s))


@contextlib.contextmanager
def _settling(doubt: _Doubt) -> Iterator[None]:
    """Let those who wait for the end of a doubt go on, whatever the end is."""
    try:
        yield
    finally:
        doubt.settled.set()

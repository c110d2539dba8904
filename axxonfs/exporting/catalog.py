"""The snapshot of all sessions: polls, keeps alive, and tells the kernel what changed.

The only task that lists sessions. It hands listings to `core.view`, carries out
what the clocks of `core.sessions` ask for, and passes the notices on. All calls
block in threads of their own limiter, so that a copy never starves them. Belongs
to the event loop.
"""

import contextlib
import functools
import logging
import math
import time
from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

import trio

from axxonfs.core import cameras, errors, sessions
from axxonfs.core.breaker import Breaker
from axxonfs.core.view import LISTINGS_BEFORE_DROPPED, Entry, Notice, SessionInfo, View
from axxonfs.exporting.records import Records
from axxonfs.remote.exports import ExportClient
from axxonfs.wire import export_pb2, export_service_pb2

log = logging.getLogger(__name__)

T = TypeVar("T")

CONTROL_TIMEOUT_S = 10.0
CAMERAS_EVERY_S = 300.0
# While the server is away the mount looks this often, so that it is back soon after the server.
POLL_AWAY_S = 5.0
MAX_CONTROL_CALLS = 8
# Starts may wait for 20 s each; they must not take the threads of those that look and keep alive.
MAX_STARTS = 4
MAX_KEEP_ALIVES = 4
# In one round: where all of them hang, it takes a minute, a fifth of what a live clip has.
KEEP_ALIVES_A_ROUND = 24
# Many sessions may be destroyed at once on a node that does not answer; one look for sessions, and one for cameras.
MAX_LOOKS = 2

Notify = Callable[[Sequence[Notice]], None]
Listener = Callable[[Sequence[SessionInfo]], None]


class Catalog:
    """Keeps the view in step with the server."""

    def __init__(self, client: ExportClient, view: View, journal: Records, notify: Notify) -> None:
        self.client = client
        self.view = view
        self.watchers = 0  # open handles that follow a text
        self.listeners: list[Listener] = []
        self.last_listing_s: float | None = None
        self._failure: type[errors.AxxonfsError] | None = None  # of the last listing
        self.breaker = Breaker()
        self._journal = journal
        self._notify = notify
        self._timers = view.settings.timers
        self._limiter = trio.CapacityLimiter(MAX_CONTROL_CALLS)
        self._look_limiter = trio.CapacityLimiter(MAX_LOOKS)
        self._start_limiter = trio.CapacityLimiter(MAX_STARTS)
        self._keep_alive_limiter = trio.CapacityLimiter(MAX_KEEP_ALIVES)
        self._journal_limiter = trio.CapacityLimiter(1)
        self._listing = trio.Lock()
        self._poke = trio.Event()
        self._looked_s = -math.inf  # the last listing, on trio's clock
        self._listings = 0
        self._finished: set[str] = set()  # own sessions whose end is in the journal
        self._undropped: set[str] = set()  # sessions that have gone, but not yet from the journal
        self._journal_fails = False
        self._cameras_s = -math.inf  # when they were asked for, on trio's clock
        view.known = journal.sessions()

    # -- calls --------------------------------------------------------------------

    async def call(self, function: Callable[[], T], limiter: trio.CapacityLimiter | None = None) -> T:
        """Run a blocking call of the client in a thread; cancellation leaves the thread to its deadline."""
        return await trio.to_thread.run_sync(function, limiter=limiter or self._limiter, abandon_on_cancel=True)

    async def call_start(self, function: Callable[[], T]) -> T:
        """Run a call that starts an export."""
        return await self.call(function, self._start_limiter)

    async def write_journal(self, function: Callable[[], T]) -> T:
        """Run a write to the journal in a thread, in the order of the calls."""
        return await trio.to_thread.run_sync(function, limiter=self._journal_limiter)

    async def _try_write(self, function: Callable[[], None]) -> bool:
        """Do the same where nobody waits for it; say in the log, once, that it fails, and return whether it was done.

        A full disk is no news of the server: no listing may fail for it.
        """
        try:
            await self.write_journal(function)
        except errors.StoreFullError as error:
            if not self._journal_fails:
                log.warning("journal not written, trying again error=%s", error)
            self._journal_fails = True
            return False
        self._journal_fails = False
        return True

    # -- looking ------------------------------------------------------------------

    async def refresh(self) -> None:
        """Make one complete listing and take it over; one at a time, so that none overtakes a later one.

        Raises:
            AxxonfsError: the listing could not be completed; nothing changed.
        """
        async with self._listing:
            self._looked_s = trio.current_time()
            await self._refresh()

    async def _refresh(self) -> None:
        listing = await self.call(self.client.list_sessions, self._look_limiter)
        now_s = time.time()
        self.last_listing_s = now_s
        self._listings += 1
        self._note_answer(now_s)
        before = self.view.held
        notices = self.view.apply_listing(listing, now_s)
        notices += self.view.set_stale(None, now_s)
        self._failure = None
        for listener in self.listeners:
            listener(listing)
        if self._listings == LISTINGS_BEFORE_DROPPED:
            notices += self.view.bury(now_s)
            await self._forget_released()
        self._notify(notices)
        await self._save_finished()
        await self._drop(before - self.view.held)

    async def _save_finished(self) -> None:
        """Write down when own sessions were first seen finished: their results are kept from then on."""
        for session_id, entry in list(self.view.entries.items()):
            new = entry.facts.own and entry.facts.finished_s is not None and session_id not in self._finished
            if new and await self.try_save(entry):
                self._finished.add(session_id)
        self._finished &= self.view.entries.keys()

    async def _forget_released(self) -> None:
        """Drop what an earlier run knew of sessions that have gone and that nobody misses."""
        gone = set(self.view.known)
        self.view.known.clear()
        await self._drop(gone)

    async def _drop(self, gone: Collection[str]) -> None:
        """Take sessions that have gone out of the journal, and those for which that failed before."""
        self._undropped |= set(gone)
        self._undropped -= self.view.entries.keys()
        for session_id in list(self._undropped):
            if await self._try_write(functools.partial(self._journal.drop, session_id)):
                self._undropped.discard(session_id)

    async def refresh_cameras(self) -> None:
        """List the cameras that can be exported."""
        self._cameras_s = trio.current_time()
        listed = await self.call(self.client.list_cameras, self._look_limiter)
        self._notify(self.view.apply_cameras(cameras.cameras_of(listed), time.time()))

    async def renew_cameras(self) -> None:
        """Do the same where there is a list: it stays where that fails, which is no news of the sessions."""
        try:
            await self.refresh_cameras()
        except errors.AxxonfsError as error:
            log.info("cameras not listed, trying again later error=%s", error)

    async def probe(self) -> None:
        """List where that says whether reads should fail at once; for those who do not poll."""
        if self.breaker.is_in_question:
            try:
                await self.refresh()
            except errors.AxxonfsError as error:
                self._note_failure(error)

    def poke(self) -> None:
        """Look at once instead of at the next turn."""
        self._poke.set()

    async def run(self) -> None:
        """Poll for ever."""
        while True:
            with trio.move_on_after(self._pause_s()):
                await self._poke.wait()
            # However often somebody asks: the machine at the other end is recording.
            await trio.sleep_until(self._looked_s + self._timers.poll_active_s)
            self._poke = trio.Event()
            try:
                await self.refresh()
                if trio.current_time() - self._cameras_s > CAMERAS_EVERY_S:
                    await self.renew_cameras()
            except errors.AxxonfsError as error:
                self._note_failure(error)
            except Exception as error:
                self._note_failure(errors.UnavailableError(f"unexpected: {error!r}"))
                raise

    def _pause_s(self) -> float:
        if self.view.stale_since_s is not None:
            return min(POLL_AWAY_S, self._timers.poll_idle_s)
        return self._timers.poll_active_s if self._is_active() else self._timers.poll_idle_s

    def _is_active(self) -> bool:
        return self.watchers > 0 or any(
            entry.facts.own and entry.session.state in {sessions.State.RUNNING, sessions.State.UNKNOWN}
            for entry in self.view.entries.values()
        )

    def _note_answer(self, now_s: float) -> None:
        self.breaker.answered()
        if self.view.stale_since_s is not None:
            log.info("server answers again stale_s=%d", now_s - self.view.stale_since_s)

    def _note_failure(self, error: errors.AxxonfsError) -> None:
        if self.breaker.unanswered(time.time()):
            log.warning("server away, reads fail at once until it answers")
        # Another kind of failure is news; the same one in other words is not worth a change of every text.
        if type(error) is self._failure:
            return
        self._failure = type(error)
        log.warning("server away, showing the last picture error=%s", error)
        since_s = self.view.stale_since_s or self.last_listing_s or time.time()
        self._notify(self.view.set_stale(since_s, time.time(), str(error)))

    # -- keeping alive ------------------------------------------------------------

    async def keep_alive(self) -> None:
        """Ask for the state of whatever has to be kept alive, or should have gone, for ever."""
        while True:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.question)
                for entry in self._due():
                    nursery.start_soon(self._keep, entry)
            # Twice in the shortest cadence, so that none is late by more than half of it.
            await trio.sleep(min(self._timers.keep_live_clip_s / 2, 1.0))

    def _due(self) -> list[Entry]:
        now_s = time.time()
        due = [
            entry
            for entry in self.view.entries.values()
            if sessions.keep_alive_due(entry.session, entry.facts, self._timers, now_s)
        ]
        due.sort(key=lambda entry: sessions.keep_alive_order(entry.session, entry.facts, self._timers))
        return due[:KEEP_ALIVES_A_ROUND]

    async def touch(self, entry: Entry, limiter: trio.CapacityLimiter | None = None) -> None:
        """Ask for a session's state, which starts the server's timer anew.

        Raises:
            AxxonfsError: the server did not answer, or has it no more.
        """
        session_id = entry.session.id
        entry.facts.asked_s = time.time()
        try:
            state = await self.call(lambda: self.client.session_state(session_id, timeout_s=CONTROL_TIMEOUT_S), limiter)
        except errors.SessionGoneError as error:
            self.gone(session_id, str(error))
            raise
        self.took(entry, state)

    async def question(self) -> None:
        """Ask for a session that was destroyed and is still listed: what the server has is not shown as gone."""
        destroyed = self.view.questionable(time.time())
        if destroyed is None or destroyed.entry is None:
            return
        entry = destroyed.entry
        session_id = entry.session.id
        # It is there no more, which is well; or the server does not say, and is asked again later.
        with contextlib.suppress(errors.AxxonfsError):
            state = await self.call(
                lambda: self.client.session_state(session_id, timeout_s=CONTROL_TIMEOUT_S), self._keep_alive_limiter
            )
            if state.state == export_service_pb2.S_REMOVED or not self.view.lingers(destroyed):
                return
            log.warning("session not destroyed, though the server said so session=%s", session_id)
            # It was to go, and nothing keeps it from that.
            entry.facts.released, entry.facts.keep_until_s = True, None
            await self.put_back(entry, "the server said that it was, and still has it")
            back = self.view.entries.get(session_id)
            if back is not None:  # else somebody destroyed it meanwhile
                self.took(back, state)

    async def put_back(self, entry: Entry, why: str) -> None:
        """Show a session again that was not destroyed."""
        self._notify(self.view.put_back(entry, f"not destroyed: {why}", time.time()))
        await self.try_save(entry)

    async def _keep(self, entry: Entry) -> None:
        session_id = entry.session.id
        try:
            await self.touch(entry, self._keep_alive_limiter)
        except errors.SessionGoneError:
            pass  # it is shown as gone already
        except errors.AxxonfsError as error:
            log.info("keep-alive failed, trying again session=%s error=%s", session_id, error)

    def took(self, entry: Entry, state: export_service_pb2.State) -> None:
        """Take over a state that the server has just answered with."""
        now_s = time.time()
        entry.facts.touched_s = now_s
        notices = self.view.apply_state(entry.session.id, state, now_s)
        self._notify(notices + self.view.refresh(entry, now_s))

    def gone(self, session_id: str, why: str) -> None:
        """Take over that the server has a session no more."""
        log.info("session gone session=%s", session_id)
        self._notify(self.view.gone(session_id, time.time(), why))

    def downloading(self, entry: Entry) -> None:
        """Take note that a download has begun, which starts the timer of a finished session anew."""
        entry.facts.touched_s = time.time()

    def changed(self, entry: Entry) -> None:
        """Show that the facts of a session changed."""
        self._notify(self.view.refresh(entry, time.time()))

    async def save(self, entry: Entry) -> None:
        """Write the facts of a session of this mount into the journal."""
        if entry.facts.own and entry.facts.sent is not None:
            await self.write_journal(functools.partial(self._save, entry, entry.facts.sent))

    async def try_save(self, entry: Entry) -> bool:
        """Do the same where nobody waits for it; return whether there is nothing left to write."""
        if not entry.facts.own or entry.facts.sent is None:
            return True
        return await self._try_write(functools.partial(self._save, entry, entry.facts.sent))

    def _save(self, entry: Entry, sent: export_pb2.Options) -> None:
        self._journal.save(entry.session.id, sent, entry.facts)

    # -- control ------------------------------------------------------------------

    async def stop(self, entry: Entry) -> None:
        """Finish an export now; what there is of it is kept."""
        state = await self.call(lambda: self.client.stop_session(entry.session.id, timeout_s=CONTROL_TIMEOUT_S))
        log.info("session stopped session=%s", entry.session.id)
        self.took(entry, state)
        self.poke()

    async def destroy(self, entry: Entry) -> None:
        """Remove an export and its results, here and at the server."""
        session_id = entry.session.id
        await self.call(lambda: self.client.destroy_session(session_id, timeout_s=CONTROL_TIMEOUT_S))
        log.info("session destroyed session=%s", session_id)
        self._notify(self.view.destroyed(session_id, time.time(), accepted=True))
        # The journal forgets it when listings have: until then another mount would have to destroy it once more.
        if not entry.facts.going:
            entry.facts.going = True
            if not await self.try_save(entry):
                self._undropped.add(session_id)

    def adopt(self, info: SessionInfo, facts: sessions.Facts) -> Entry:
        """Show a session that this mount started."""
        self._notify(self.view.add_started(info, facts, time.time()))
        self.poke()
        return self.view.entries[info.session.id]

"""One server as one process uses it: a login, a picture of its sessions, readers, and the loop they live in.

Decides how old the picture may be for which question, what is kept alive for whom,
and how many readers there are. The public methods may be called from any thread
and wait for the loop; what is private belongs to the loop. Made by
axxonfs.fsspec.clients, after any fork.
"""

import collections
import contextlib
import dataclasses
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import trio

from axxonfs.core import errors, sessions, spec, timers
from axxonfs.core.chunks import Data
from axxonfs.core.view import Entry, Settings, View
from axxonfs.exporting.catalog import Catalog
from axxonfs.exporting.doubts import Outcome
from axxonfs.exporting.records import Intent, NoRecords
from axxonfs.exporting.starts import Starts, make_intent
from axxonfs.fsspec import picture
from axxonfs.fsspec.loop import Loop
from axxonfs.fsspec.options import Setup
from axxonfs.fsspec.picture import Info, Wanted
from axxonfs.fsspec.readers import Readers
from axxonfs.reading.loans import Loan
from axxonfs.reading.pool import Counters, Pool
from axxonfs.reading.tasks import Tasks
from axxonfs.remote.channel import Link
from axxonfs.remote.exports import ExportClient

log = logging.getLogger(__name__)

CAMERAS_EVERY_S = 300.0
HOUSEKEEPING_S = 1.0


class Client:
    """A server as this process uses it."""

    def __init__(self, setup: Setup, link: Link) -> None:
        options = setup.options
        self._setup = setup
        self._link = link
        # Results are kept alive for whom asks for it and nobody else: no process sees what others have read.
        self._timers = dataclasses.replace(timers.scaled(options.time_factor), keep_results_s=0.0)
        self._view = View(Settings(timers=self._timers, zone=options.timezone, read_only=True), time.time())
        self._catalog = Catalog(ExportClient(link), self._view, NoRecords(), lambda _notices: None)
        self._looking = trio.Lock()
        self._looked_s = self._cameras_s = -math.inf
        self._held: collections.Counter[str] = collections.Counter()  # ids of sessions that somebody keeps
        self._keeps = False  # whether anything was ever to be kept alive
        self._catalog.listeners.append(lambda _listing: self._hold())
        self._ending = trio.Event()
        self._started: dict[str, Entry] = {}  # by the markers of their intents
        self._doubted: dict[str, Intent] = {}  # of starts that nobody was told the end of
        self._pool: Pool
        self._starts: Starts
        self._readers: Readers
        self._tasks: Tasks
        self._loop = Loop(f"axxonfs {setup.endpoint}", self._run)

    # -- for any thread -----------------------------------------------------------

    @property
    def runs(self) -> bool:
        """Whether it takes calls."""
        return self._loop.runs

    def close(self) -> None:
        """Fail what is in flight and end the loop; the link is left to whoever made it."""
        self._loop.soon(self._ending.set)
        self._loop.join()

    def forget_picture(self) -> None:
        """Have the next question asked of the server, however young the picture is."""
        self._loop.call(self._forget_picture)

    def counters(self) -> Counters:
        """Return what was read so far."""
        return self._pool.counters

    def listing(self, name: str, *, refresh: bool = False) -> list[Info]:
        """Return all sessions, or the results of the session `name`.

        Raises:
            NoSuchNameError: there is no such session.
            AxxonfsError: the server did not say.
        """
        return self._loop.call(self._listing, name, refresh)

    def info(self, name: str, file: str) -> Info:
        """Return what is known of a session, of one of its results, or of the root. Raises as `listing`."""
        return self._loop.call(self._info, name, file)

    def status(self, name: str) -> dict[str, Any]:
        """Return all that is known of a session. Raises as `listing`."""
        return self._loop.call(self._text, name, b"status.json")

    def spec(self, name: str) -> dict[str, Any]:
        """Return a spec that asks for a session's export again, without secrets. Raises as `listing`."""
        return self._loop.call(self._text, name, b"spec.json")

    def read(self, wanted: Wanted, start: int, stop: int, waited_s: float = 0.0) -> list[Data]:
        """Return the bytes from `start` to `stop`, both within the result, in pieces.

        Raises:
            AxxonfsError: as `ResultReader.read`; each piece has the read timeout for itself, the first one less
                `waited_s`, in seconds, which the caller has waited for it already.
        """
        return self._loop.call(self._read, wanted, start, stop, waited_s)

    def read_ranges(self, wanted: Wanted, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return scattered ranges, and fetch no chunk that none of them touches. Raises as `read`."""
        return self._loop.call(self._read_ranges, wanted, ranges)

    def lend(self, wanted: Wanted) -> Loan | None:
        """Return a loan of the stream that brings a result, for one thread that reads it on and on; None for none."""
        return self._loop.call(self._lend, wanted)

    def leave(self, wanted: Wanted) -> None:
        """Take note, soon, that somebody reads a result no more."""
        self._loop.soon(lambda: self._readers.leave(wanted))

    def hold(self, names: Iterable[str]) -> list[str]:
        """Keep sessions alive from now on, and return what `let_go` takes.

        Raises:
            NoSuchNameError, SessionGoneError: one of them is not there; none is kept.
        """
        return self._loop.call(self._take_hold, [*names])

    def let_go(self, held: Iterable[str]) -> None:
        """Take back one `hold`."""
        self._loop.call(self._release, [*held])

    def wait(self, names: Sequence[str], timeout_s: float) -> dict[str, errors.AxxonfsError | None]:
        """Wait for the end of exports; return of each what is wrong with it, None if nothing is.

        Raises:
            DeadlineError: one still runs after `timeout_s`.
        """
        return self._loop.call(self._wait, names, timeout_s)

    def start(self, document: Mapping[str, Any]) -> str:
        """Start the export that a spec asks for, exactly once, and return the name of its session.

        Raises:
            SpecError, RefusedError, AccessError: nothing was started.
            InDoubtError: it is not known whether it was; the same spec again first looks for it.
        """
        return self._loop.call(self._start, document)

    def stop(self, name: str) -> None:
        """Finish an export now; what there is of it is kept.

        Raises:
            InvalidError: it is finished already.
            AxxonfsError: as `listing`.
        """
        self._loop.call(self._stop, name)

    def remove(self, paths: Sequence[tuple[str, str]], *, recursive: bool) -> None:
        """Destroy sessions, and hide results in this process, if the option `destroy` allows all of it.

        Raises:
            NotAllowedError, NotEmptyError: nothing was removed.
            AxxonfsError: as `listing`.
        """
        self._loop.call(self._remove, paths, recursive)

    # -- the loop -----------------------------------------------------------------

    async def _run(self, ready: Callable[[], None]) -> None:
        options = self._setup.options
        async with trio.open_nursery() as nursery:
            self._tasks = Tasks(nursery)
            self._pool = Pool(
                self._catalog.client,
                self._tasks,
                cache_bytes=options.cache_size,
                chunk_size_bytes=options.chunk_size,
                max_streams=options.max_streams,
                rate_limit_bytes=options.rate_limit,
                breaker=self._catalog.breaker,
            )
            outcome = Outcome(self._adopt, _give_up, _note_error)
            self._starts = Starts(self._catalog, self._tasks, options.timezone, outcome)
            self._readers = Readers(self._pool, options.read_timeout, self._touched)
            self._tasks.start_lasting(self._housekeeping)
            self._tasks.start_lasting(self._probing)
            ready()
            await self._ending.wait()
            self._readers.close()
            nursery.cancel_scope.cancel()

    async def _housekeeping(self) -> None:
        while True:
            await trio.sleep(HOUSEKEEPING_S)
            self._readers.stop_idle()

    async def _probing(self) -> None:
        """See whether a server is away of which reads got nothing, when it is back, and what did not go."""
        while True:
            await trio.sleep(self._timers.poll_active_s)
            self._tasks.start(self._catalog.question)  # may take its time; what is asked is not asked again meanwhile
            await self._catalog.probe()

    def _touched(self, session_id: str) -> None:
        entry = self._view.entries.get(session_id)
        if entry is not None:
            self._catalog.downloading(entry)

    # -- the picture ----------------------------------------------------------------

    async def _look(self, max_age_s: float) -> None:
        """Have a picture that is no older; all who ask at once share one listing."""
        async with self._looking:
            now_s = trio.current_time()
            if now_s - self._looked_s < max_age_s:
                return
            # Cameras first: a session is named once, with the name of its camera.
            if now_s - self._cameras_s > CAMERAS_EVERY_S:
                first = self._cameras_s == -math.inf
                await (self._catalog.refresh_cameras() if first else self._catalog.renew_cameras())
                self._cameras_s = now_s
            await self._catalog.refresh()
            self._looked_s = now_s

    async def _forget_picture(self) -> None:
        self._looked_s = -math.inf

    async def _entry(self, name: str) -> Entry:
        """Return a session; one that is known and finished may be as old as an idle mount's picture."""
        entry = picture.find(self._view, name)
        finished = entry is not None and entry.session.state in sessions.FINISHED
        await self._look(self._timers.poll_idle_s if finished else self._timers.poll_active_s)
        entry = picture.find(self._view, name)
        if entry is None:
            raise errors.NoSuchNameError(f"there is no session {name}")
        return entry

    async def _listing(self, name: str, refresh: bool) -> list[Info]:  # noqa: FBT001 - calls take no keywords
        await self._look(0.0 if refresh else self._timers.poll_active_s if not name else math.inf)
        if not name:
            return picture.sessions_of(self._view)
        return picture.results_of(self._view, await self._entry(name))

    async def _info(self, name: str, file: str) -> Info:
        if not name:
            return picture.ROOT
        entry = await self._entry(name)
        return picture.info_of(self._view, entry, file) if file else picture.session_info(entry)

    async def _text(self, name: str, text: bytes) -> dict[str, Any]:
        return picture.document(self._view, await self._entry(name), text)

    # -- bytes ----------------------------------------------------------------------

    async def _read(self, wanted: Wanted, start: int, stop: int, waited_s: float) -> list[Data]:
        with self._noticing(wanted):
            return await self._readers.read(wanted, start, stop, waited_s)

    async def _read_ranges(self, wanted: Wanted, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        with self._noticing(wanted):
            return await self._readers.read_ranges(wanted, ranges)

    async def _lend(self, wanted: Wanted) -> Loan | None:
        return self._readers.lend(wanted, self._loop.soon)

    @contextlib.contextmanager
    def _noticing(self, wanted: Wanted) -> Iterator[None]:
        try:
            yield
        except errors.SessionGoneError as error:
            self._catalog.gone(wanted.session_id, str(error))
            raise

    # -- exports --------------------------------------------------------------------

    def _keep_alive(self) -> None:
        if not self._keeps:
            self._keeps = True
            self._tasks.start_lasting(self._catalog.keep_alive)

    def _hold(self) -> None:
        """Have kept what somebody holds, also where a listing has brought it back."""
        for session_id in self._held:
            entry = self._view.entries.get(session_id)
            if entry is not None:
                entry.facts.keep_until_s = math.inf

    async def _take_hold(self, names: list[str]) -> list[str]:
        entries = [await self._entry(name) for name in names]
        held = [entry.session.id for entry in entries]
        self._held.update(held)
        self._hold()
        try:
            # Now, and not at the next turn: an hour may be nearly over.
            await _all(entries, self._catalog.touch)
        except errors.AxxonfsError:
            await self._release(held)
            raise
        self._keep_alive()
        return held

    async def _release(self, held: list[str]) -> None:
        self._held.subtract(held)
        for session_id in [session_id for session_id in held if not self._held[session_id]]:
            del self._held[session_id]
            entry = self._view.entries.get(session_id)
            if entry is not None:
                entry.facts.keep_until_s = None

    async def _wait(self, names: Sequence[str], timeout_s: float) -> dict[str, errors.AxxonfsError | None]:
        words = "wait longer, or stop it"
        with trio.move_on_after(timeout_s):
            while True:
                try:
                    await self._look(self._timers.poll_active_s)
                except errors.UnavailableError as error:
                    words = str(error)  # it may be back before the time is over
                else:
                    found = {name: picture.find(self._view, name) for name in names}
                    if not any(entry is not None and picture.is_going(entry) for entry in found.values()):
                        return {name: picture.failure_of(name, entry) for name, entry in found.items()}
                await trio.sleep(self._timers.poll_active_s)
        raise errors.DeadlineError(f"not finished within {timeout_s:g} s: {words}")

    async def _start(self, document: Mapping[str, Any]) -> str:
        await self._look(math.inf)  # the cameras
        resolved = await self._starts.resolve(document)
        intent = make_intent("", resolved)
        await self._starts.settle(intent)
        found = self._found(intent)
        if found is not None:
            return found
        intent = await self._starts.with_known(intent)
        self._doubted[intent.marker] = intent
        try:
            await self._starts.start(intent, resolved.options)
        except errors.InDoubtError:
            raise  # and stays in doubt
        except errors.AxxonfsError:
            del self._doubted[intent.marker]
            raise
        self._keep_alive()
        return self._told(intent)

    def _found(self, intent: Intent) -> str | None:
        """Return the session that an equal start became whose end nobody was told."""
        for doubted in list(self._doubted.values()):
            if doubted.marker in self._started and spec.same_export(doubted.options, intent.options):
                return self._told(doubted)
        return None

    def _told(self, intent: Intent) -> str:
        del self._doubted[intent.marker]
        return self._started.pop(intent.marker).node.name.decode()

    async def _adopt(self, intent: Intent, session_id: str) -> None:
        self._started[intent.marker] = self._starts.show(intent, session_id)
        self._keep_alive()

    async def _stop(self, name: str) -> None:
        entry = await self._entry(name)
        if entry.session.state in sessions.FINISHED:
            raise errors.InvalidError("the export is finished already")
        await self._catalog.stop(entry)
        await self._forget_picture()

    async def _remove(self, paths: Sequence[tuple[str, str]], recursive: bool) -> None:  # noqa: FBT001 - as above
        chosen = [(await self._entry(name), file) for name, file in paths]
        for entry, file in chosen:
            sessions.check_may_destroy(entry.facts, self._setup.options.destroy)
            if not (file or recursive) and self._view.visible_results(entry):
                raise errors.NotEmptyError("the session has results: rm(..., recursive=True) destroys them as well")
        hidden = [picture.node_of(self._view, entry, file) for entry, file in chosen if file]
        for node in hidden:
            self._view.hide(node, time.time())
        await _all([entry for entry, file in chosen if not file], self._catalog.destroy)


async def _all(entries: Iterable[Entry], act: Callable[[Entry], Awaitable[None]]) -> None:
    """Do something with all sessions at once; the first error is raised when all are done."""
    failures: list[errors.AxxonfsError] = []

    async def one(entry: Entry) -> None:
        try:
            await act(entry)
        except errors.AxxonfsError as error:
            failures.append(error)

    async with trio.open_nursery() as nursery:
        for entry in entries:
            nursery.start_soon(one, entry)
    if failures:
        raise failures[0]


async def _give_up(intent: Intent) -> None:
    log.info("export not started marker=%s", intent.marker)


def _note_error(label: str, error: errors.AxxonfsError) -> None:
    del label
    log.warning("start not found error=%s", error)

"""The composition root: puts a mount together, starts it, ends it.

The order matters: trust and login and the first listing come before anything is
mounted, and `ready` is called only once the mount answers. At a crash the mount
stays and answers ENOTCONN: an empty directory would tell `rsync --delete` a lie.
"""

import contextlib
import dataclasses
import functools
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TypeVar

import pyfuse3
import trio

from axxonfs.core import errors, status, timers, tree
from axxonfs.core.latencies import Latencies
from axxonfs.core.view import LISTINGS_BEFORE_DROPPED, Appeared, Changed, Gone, Notice, Settings, View
from axxonfs.exporting.catalog import Catalog
from axxonfs.fs import about, inside, kernel, mountpoint
from axxonfs.fs import journal as journals
from axxonfs.fs.handles import Pollers
from axxonfs.fs.metrics import Metrics
from axxonfs.fs.mounting import Mounting
from axxonfs.fs.operations import Operations
from axxonfs.fs.options import MountOptions
from axxonfs.fs.reveal import Revealer
from axxonfs.fs.state import MountState
from axxonfs.reading.pool import Pool
from axxonfs.reading.tasks import Tasks
from axxonfs.remote.certificates import Endpoint
from axxonfs.remote.channel import Link
from axxonfs.remote.connecting import CONNECT_TIMEOUT_S, connect
from axxonfs.remote.credentials import Credentials
from axxonfs.remote.exports import ExportClient
from axxonfs.remote.refusals import Refusals

log = logging.getLogger(__name__)

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# Handlers that may wait at once; 99, the default, would freeze metadata as well (measured).
MAX_TASKS = 4096
GRACE_S = 10.0
END_S = 10  # for what the process has to do without a mount; a login that is closed gets two of them
LAST_WORDS_S = 1.0  # for the answers to those that were given up
RETRY_EVERY_S = 5.0
_PERCENTILES = (50, 90, 99)
HOUSEKEEPING_S = 1.0  # the texts in .axxonfs are rebuilt at most this often
TRIM_EVERY_S = 30.0  # an idle mount is small soon, and a busy one does not notice (6 ms of processor time, measured)

Say = Callable[[str], None]
_Failed = TypeVar("_Failed", threading.ExceptHookArgs, "sys.UnraisableHookArgs")


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What to mount where."""

    endpoint: Endpoint
    mountpoint: Path  # absolute
    credentials: Credentials
    options: MountOptions
    source: str = ""  # what `mount` and `findmnt` show as the source, where it is not to be made up

    @property
    def source_shown(self) -> str:
        """What the kernel lists the mount under, as libfuse takes it."""
        # No ":" in it unless fstab has it so, or df takes the mount for a remote one.
        made_up = f"axxonfs@{self.endpoint.host.replace(':', '_')}"
        return (self.source or made_up).replace(",", "_")

    @property
    def state_directory(self) -> Path:
        """Where the journal of this mount is: one for each server, account and mountpoint."""
        endpoint, user = self.endpoint, self.credentials.user
        return self.options.state_dir or journals.directory_of(endpoint.host, endpoint.port, user, self.mountpoint)


def run(plan: Plan, ready: Callable[[], None], say: Say = lambda _: None) -> None:
    """Mount and serve until unmounted or told to end; blocks.

    `ready` is called once the mount answers, `say` whenever there is something
    new to say of how it is. The process is for this mount: it has 10 s to end
    once there is no mount any more, and it ends where a thread got no memory.

    Raises:
        AxxonfsError: the mount did not come up; nothing was mounted.
    """
    threading.excepthook = functools.partial(_give_up, threading.__excepthook__)
    sys.unraisablehook = functools.partial(_give_up, sys.__unraisablehook__)
    kernel.bound_malloc()
    mountpoint.check_fuse()
    mountpoint.check(plan.mountpoint)
    revealer = Revealer()
    if not plan.options.ro:
        revealer.fork(plan.mountpoint)
    with contextlib.closing(revealer), contextlib.closing(journals.Journal(plan.state_directory)) as journal:
        link = _connect(plan, journal, say)
        try:
            trio.run(_Live(plan, ExportClient(link), journal, ready, say, revealer).run)
        finally:
            _end_in_time()
            link.close()


def _end_in_time() -> None:
    """Have the kernel end the process if it does not come to its end by itself; it needs nobody's help for that.

    After a lack of memory gRPC or the interpreter may wait for ever (three times in a hundred, measured).
    """
    signal.alarm(END_S)


def _give_up(show: Callable[[_Failed], object], failed: _Failed) -> None:
    """Tell of what nobody is there to catch; end the process where that was for want of memory.

    gRPC waits for its answers in a thread of its own: without it each call waits for ever, deadline or not. And a
    thread that does not even come to its beginning leaves the one that starts it waiting for ever, as the event loop.
    """
    try:
        show(failed)
    finally:
        if issubclass(failed.exc_type, MemoryError):
            os._exit(1)


def _connect(plan: Plan, journal: journals.Journal, say: Say) -> Link:
    """Find the server trustworthy and log in, as often as `retry` allows while it is away."""
    give_up_s = time.monotonic() + plan.options.retry
    waiting = False
    while True:
        say(f"logging in at {plan.endpoint}")
        try:
            return _connect_once(plan, journal)
        except (errors.ServerAwayError, errors.DeadlineError) as error:
            if time.monotonic() >= give_up_s:
                raise
            # Once, and not every few seconds for as long as the server is away.
            log.log(logging.DEBUG if waiting else logging.INFO, "server away, waiting error=%s", error)
            waiting = True
            say(f"waiting for the server: {error}")
            time.sleep(min(RETRY_EVERY_S, max(0.1, give_up_s - time.monotonic())))


def _connect_once(plan: Plan, journal: journals.Journal) -> Link:
    return connect(
        plan.endpoint,
        plan.credentials,
        plan.options,
        # Each access to an automount is a mount: without a memory of a refusal these would lock the account.
        refusals=Refusals(f"{plan.credentials.user}@{plan.endpoint}", plan.state_directory),
        recall=lambda: journal.recall("tls_name"),
        learn=lambda name: journal.learn("tls_name", name),
    )


class _Live:
    """One mount while it lives."""

    def __init__(
        self,
        plan: Plan,
        client: ExportClient,
        journal: journals.Journal,
        ready: Callable[[], None],
        say: Say,
        revealer: Revealer,
    ) -> None:
        self._plan = plan
        self._client = client
        self._journal = journal
        self._ready = ready
        self._say = say
        self._revealer = revealer
        self._notifier = kernel.Notifier()
        self._pollers = Pollers(self._notifier.tell)
        options = plan.options
        table = dataclasses.replace(timers.scaled(options.time_factor), keep_results_s=options.keep)
        settings = Settings(timers=table, zone=options.timezone, read_only=options.ro)
        self._view = View(settings, time.time())
        self._catalog = Catalog(client, self._view, journal, self._notify)
        self._ending = trio.Event()
        words = frozenset(word for word in ("allow_other", "ro") if getattr(options, word))
        self._mounting = Mounting(plan.mountpoint, plan.source_shown, words)
        self._told = False  # to end
        self._operations: Operations | None = None  # once it is mounted
        self._unmounting = False

    async def run(self) -> None:
        """Serve until the end."""
        # Cameras first: a session's directory is named once, with the name of its camera.
        await self._catalog.refresh_cameras()
        # Twice: what half a listing lacks would be missing from a directory that looks whole.
        for _ in range(LISTINGS_BEFORE_DROPPED):
            await self._catalog.refresh()
        clean, refusal = False, None
        try:
            # Signals first: one that killed the process after it has mounted would leave a dead mount.
            with trio.open_signal_receiver(*ENDING) as arriving:
                async with trio.open_nursery() as nursery:
                    pool, state = self._assemble(nursery)
                    refusal = self._mount(state)
                    if refusal is None:
                        self._serve_in(nursery, pool, state, arriving)
                        await self._ending.wait()
                        if state.saved is not None:
                            await state.saved.now()
                    # libfuse gives up without a word to us, as when it has no memory: then the mount stays, dead.
                    clean = refusal is not None or self._told or mountpoint.find(self._plan.mountpoint) is None
                    _end_in_time()
                    nursery.cancel_scope.cancel()
        finally:
            self._close(unmount=clean)
        if refusal is not None:
            raise refusal
        if not clean:
            raise errors.AxxonfsError(f"{self._plan.mountpoint} is dead: libfuse gave up, the line above says why")

    def _close(self, *, unmount: bool) -> None:
        """End the mount; after a crash it stays, and answers ENOTCONN."""
        if self._operations is None:
            return
        self._notifier.stop()
        self._mounting.end(unmount=unmount)
        log.info("ended mountpoint=%s unmounted=%s", self._plan.mountpoint, unmount)

    def _mount(self, state: MountState) -> errors.MountpointError | None:
        """Mount; return why not, for a raise in a nursery would come out in a group."""
        operations = Operations(state)
        try:
            self._mounting.begin(operations)
        except errors.MountpointError as error:
            return error
        self._operations = operations
        return None

    def _assemble(self, nursery: trio.Nursery) -> tuple[Pool, MountState]:
        options = self._plan.options
        tasks = Tasks(nursery)
        pool = Pool(
            self._client,
            tasks,
            cache_bytes=options.cache_size,
            chunk_size_bytes=options.chunk_size,
            max_streams=options.max_streams,
            rate_limit_bytes=options.rate_limit,
            breaker=self._catalog.breaker,
        )
        return pool, MountState(options, self._catalog, pool, self._pollers, self._journal, tasks, self._revealer)

    def _serve_in(self, nursery: trio.Nursery, pool: Pool, state: MountState, arriving: AsyncIterator[int]) -> None:
        mounted_s = time.time()
        texts = [
            self._view.add_text("stats.json", lambda: status.render(self._stats(pool, state))),
            self._view.add_text("metrics.prom", self._metrics(pool, state, mounted_s).render),
            self._view.add_text("mount.json", lambda: status.render(self._about(mounted_s))),
        ]
        pool.warm()
        self._notifier.start()
        nursery.start_soon(self._serve)
        nursery.start_soon(self._signals, state, arriving)
        nursery.start_soon(self._asked, state)
        state.tasks.start(self._announce)
        state.tasks.start_lasting(self._catalog.run)
        state.tasks.start_lasting(self._catalog.keep_alive)
        state.tasks.start_lasting(self._renew)
        if state.saved is not None:
            state.tasks.start_lasting(state.saved.run)
        state.tasks.start_lasting(self._follow_line, pool)
        state.resume()
        state.tasks.start_lasting(self._housekeeping, state, texts)
        state.tasks.start_lasting(_trim)

    async def _serve(self) -> None:
        try:
            await pyfuse3.main(max_tasks=MAX_TASKS)
        finally:
            self._ending.set()

    async def _follow_line(self, pool: Pool) -> None:
        """Let the kernel read ahead as much as the line has shown to bring in a moment."""
        ahead_kb = kernel.READ_AHEAD_KB
        while True:
            await trio.sleep(HOUSEKEEPING_S)
            wanted_kb = pool.line.kernel_ahead_kb
            if wanted_kb != ahead_kb:
                ahead_kb = wanted_kb
                await trio.to_thread.run_sync(kernel.set_read_ahead, self._plan.mountpoint, ahead_kb)
                log.debug("kernel reads ahead kb=%d", ahead_kb)

    async def _announce(self) -> None:
        # It asks the mount, which may end before it answers: then nobody waits for the thread.
        problems = await trio.to_thread.run_sync(kernel.raise_limits, self._plan.mountpoint, abandon_on_cancel=True)
        for problem in problems:
            log.info("kernel %s", problem)
        self._revealer.begin()
        log.info("mounted mountpoint=%s sessions=%d", self._plan.mountpoint, len(self._view.entries))
        try:
            self._ready()
        except OSError:
            log.warning("ending: who asked for the mount has gone before it was there")
            self._told = True
            pyfuse3.terminate()

    async def _signals(self, state: MountState, arriving: AsyncIterator[int]) -> None:
        async for number in arriving:
            log.info("ending signal=%s", signal.Signals(number).name)
            self._told = self._unmounting = True
            self._say(self._summary())
            pyfuse3.terminate()
            with trio.move_on_after(GRACE_S):
                await self._ending.wait()
            # What is in flight now is given up with EIO, so that nobody is left blocked.
            state.give_up()
            with trio.move_on_after(LAST_WORDS_S):
                await self._ending.wait()
            self._ending.set()

    async def _asked(self, state: MountState) -> None:
        """Say what goes on inside whenever somebody wants to know."""
        with trio.open_signal_receiver(signal.SIGUSR1) as arriving:
            async for _ in arriving:
                inside.dump(self._operations.requests() if self._operations else (), state.reading())

    async def _renew(self) -> None:
        said = ""
        while True:
            await trio.sleep(max(1.0, self._client.link.login.renewal_due_s))
            try:
                await self._catalog.call(lambda: self._client.link.login.renew(CONNECT_TIMEOUT_S))
                said = ""
            except errors.AxxonfsError as error:
                if str(error) != said:
                    log.warning("login not renewed error=%s", error)
                said = str(error)

    async def _housekeeping(self, state: MountState, texts: Sequence[tree.Node]) -> None:
        while True:
            await trio.sleep(HOUSEKEEPING_S)
            self._notify(state.expire())
            state.drop_readers()
            for text in texts:
                self._notify(self._view.refresh_text(text, time.time()))
            self._say(self._summary())

    def _summary(self) -> str:
        """Return how the mount is, in words for whoever looks after it."""
        if self._unmounting:
            return "unmounting"
        text = f"{self._plan.endpoint} mounted at {self._plan.mountpoint}, sessions: {len(self._view.entries)}"
        since_s = self._view.stale_since_s
        return text if since_s is None else f"{text}; the server is away since {status.epoch(since_s)}"

    def _notify(self, notices: Sequence[Notice]) -> None:
        for notice in notices:
            match notice:
                case Gone():
                    self._notifier.tell(notice)
                case Changed(ino):
                    self._pollers.changed(ino)
                case Appeared():
                    self._revealer.tell(notice)

    def _about(self, mounted_s: float) -> dict[str, object]:
        return about.document(self._client.link, self._plan.mountpoint, self._plan.options, mounted_s)

    def _metrics(self, pool: Pool, state: MountState, mounted_s: float) -> Metrics:
        return Metrics(str(self._plan.mountpoint), self._catalog, pool, state.tasks, mounted_s)

    def _stats(self, pool: Pool, state: MountState) -> dict[str, object]:
        return {
            "version": 1,
            "sessions": len(self._view.entries),
            "cameras": len(self._view.cameras),
            "last_listing": status.epoch(self._catalog.last_listing_s),
            "stale_since": status.epoch(self._view.stale_since_s),
            "reads_fail_at_once_since": status.epoch(self._catalog.breaker.open_since_s),
            "cache": {"used_bytes": pool.cache.used_bytes, "budget_bytes": pool.cache.budget_bytes},
            "budget": {
                "bytes": pool.budget.total_bytes,
                "used_bytes": pool.cache.used_bytes + pool.budget.streams_bytes,
                "streams_bytes": pool.budget.streams_bytes,
            },
            "reads": dataclasses.asdict(pool.counters),
            "read_s": _percentiles_s(pool.reads),
            "first_chunk_s": _percentiles_s(pool.first_chunks),
            "unexpected_errors": state.tasks.unexpected,
        }


def _percentiles_s(latencies: Latencies) -> dict[str, float | None]:
    """Return how long things took, in seconds, to two digits; null where there was none."""
    found = {f"p{percent}": latencies.percentile_s(percent) for percent in _PERCENTILES}
    return {name: None if took_s is None else float(f"{took_s:.2g}") for name, took_s in found.items()}


async def _trim() -> None:
    """Keep what is resident to what is used, for ever."""
    while True:
        await trio.sleep(TRIM_EVERY_S)
        await trio.to_thread.run_sync(kernel.trim_malloc)

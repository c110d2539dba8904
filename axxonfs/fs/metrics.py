"""What `.axxonfs/metrics.prom` says: the state of one mount as Prometheus takes it, for node_exporter to pick up.

Decides names, units and labels, which docs/semantics.md lists; everything is read from the mount when somebody looks.
The number of series does not grow with the sessions. Never a secret. The label `mountpoint` tells mounts of one
machine apart. Belongs to the event loop; the only place that imports prometheus_client.
"""

import collections
import dataclasses
import time
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from axxonfs.core import sessions
from axxonfs.exporting.catalog import Catalog
from axxonfs.fs import about
from axxonfs.reading.pool import Pool
from axxonfs.reading.tasks import Tasks
from axxonfs.remote.login import Standing

PREFIX = "axxonfs_"
# Of the counters of reading, those that go down again.
_LEVELS = frozenset({"streams_open"})

Row = tuple[tuple[str, ...], float]


class Metrics(Collector):
    """The metrics of one mount."""

    def __init__(self, mountpoint: str, catalog: Catalog, pool: Pool, tasks: Tasks, mounted_s: float) -> None:
        self._mountpoint = mountpoint
        self._catalog = catalog
        self._pool = pool
        self._tasks = tasks
        self._mounted_s = mounted_s
        # A registry of its own: the default one would add the metrics of the process, which change all the time.
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def render(self) -> bytes:
        """Return the text."""
        return generate_latest(self._registry)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the registry would collect to find the names out."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as they are now."""
        yield from self._of_mount()
        yield from self._of_server()
        yield from self._of_sessions()
        yield from self._of_reading()

    def _of_mount(self) -> Iterator[Metric]:
        link = self._catalog.client.link
        info = (about.VERSION, str(link.endpoint))
        yield self._gauge("mount_info", "Which mount this is; always 1.", [(info, 1)], ("version", "server"))
        yield self._single("mount_start_time_seconds", "When it was mounted, since the epoch.", self._mounted_s)
        yield self._counter("unexpected_errors", "Mistakes in axxonfs; the log has them.", self._tasks.unexpected)

    def _of_server(self) -> Iterator[Metric]:
        catalog, link = self._catalog, self._catalog.client.link
        words = "When the sessions were last listed, since the epoch."
        yield self._single("last_listing_timestamp_seconds", words, catalog.last_listing_s)
        yield self._single("server_away", "1 while listings get no answer.", catalog.view.stale_since_s is not None)
        yield self._single("breaker_open", "1 while reads fail at once.", catalog.breaker.is_open)
        rows = [((standing.value,), float(standing is link.login.standing)) for standing in Standing]
        yield self._gauge("login_state", "1 for what the login is: ok, refused, delayed or none.", rows, ("state",))
        certificate = link.certificate
        words = "When the server's certificate ends, since the epoch."
        ends_s = certificate.not_after.timestamp() if certificate else None
        yield self._single("certificate_not_after_timestamp_seconds", words, ends_s)
        difference = link.login.clock_difference
        words = "How far the server's clock is ahead of this machine's."
        yield self._single("clock_ahead_seconds", words, difference.ahead_s if difference else None)

    def _of_sessions(self) -> Iterator[Metric]:
        view, now_s = self._catalog.view, time.time()
        entries = list(view.entries.values())
        counts = collections.Counter(
            (entry.session.state.value, "true" if entry.facts.own else "false") for entry in entries
        )
        rows = [((state.value, own), float(counts[state.value, own])) for state in sessions.State for own in _OWN]
        yield self._gauge("sessions", "Sessions shown, by state, and whether this mount started them.", rows, _BY_STATE)
        yield self._single("cameras", "Cameras shown.", len(view.cameras))
        opened = sum(entry.facts.open_results for entry in entries)
        yield self._single("results_open", "Results that programs have open.", opened)
        timers = view.settings.timers
        ends = [sessions.unread_end_s(entry.session, entry.facts, timers) for entry in entries if entry.facts.own]
        unread = [end_s for end_s in ends if end_s is not None]
        yield self._single("unread_sessions", "Own finished sessions with results not read whole.", len(unread))
        words = "When the first of them goes if nobody reads it, since the epoch."
        yield self._single("unread_session_end_timestamp_seconds", words, min(unread, default=None))
        late_s = (sessions.keep_alive_late_s(entry.session, entry.facts, timers, now_s) for entry in entries)
        words = "By how much the latest keep-alive is overdue."
        yield self._single("keep_alive_late_seconds", words, round(max(late_s, default=0.0), 1))

    def _of_reading(self) -> Iterator[Metric]:
        cache = self._pool.cache
        yield self._single("cache_bytes", "Bytes of results in the cache.", cache.used_bytes)
        yield self._single("cache_limit_bytes", "The bound of these.", cache.budget_bytes)
        for name, value in dataclasses.asdict(self._pool.counters).items():
            if isinstance(value, int | float):
                words = f"The number {name} of reads in stats.json."
                level = name in _LEVELS
                yield (
                    self._single(f"reads_{name}", words, value)
                    if level
                    else self._counter(f"reads_{name}", words, value)
                )

    def _single(self, name: str, words: str, value: float | None) -> Metric:
        """Return a gauge with one series; none where there is nothing to say."""
        return self._gauge(name, words, [] if value is None else [((), float(value))])

    def _gauge(self, name: str, words: str, rows: Iterable[Row], labels: tuple[str, ...] = ()) -> Metric:
        family = GaugeMetricFamily(PREFIX + name, words, labels=("mountpoint", *labels))
        for values, value in rows:
            family.add_metric((self._mountpoint, *values), value)
        return family

    def _counter(self, name: str, words: str, value: float) -> Metric:
        family = CounterMetricFamily(PREFIX + name, words, labels=("mountpoint",))
        family.add_metric((self._mountpoint,), value)
        return family


_OWN = ("true", "false")
_BY_STATE = ("state", "own")

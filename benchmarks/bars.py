"""What the read path has to show: every bar by name, as data.

Decides limits, units and the words of the table; the scenarios measure, and
nothing here or there asserts. A value is a ratio of medians of one run unless
its unit says otherwise. Pure.
"""

import dataclasses
from collections.abc import Iterator

TLS, PLAIN = "TLS", "plain"


@dataclasses.dataclass(frozen=True, slots=True)
class Bar:
    """One bar."""

    name: str  # scenario/...: what a scenario reports its value under
    text: str
    limit: float
    at_least: bool = False  # else: at most
    unit: str = "x"

    def met(self, value: float) -> bool:
        """Whether a measured value meets it."""
        return value >= self.limit if self.at_least else value <= self.limit

    @property
    def wanted(self) -> str:
        """The limit in words."""
        return f"{'>=' if self.at_least else '<='} {self.limit:g} {self.unit}"


def _sequential(encryption: str) -> Iterator[Bar]:
    start, name = f"cold sequential read, {encryption}", f"sequential/{encryption}"
    yield Bar(f"{name}/0/pipe", f"{start}, 0 ms: of the drain through a pipe", 0.9, at_least=True)
    yield Bar(f"{name}/0/rclone", f"{start}, 0 ms: of rclone", 2.0, at_least=True)
    yield Bar(f"{name}/0/sshfs", f"{start}, 0 ms: of sshfs", 3.0, at_least=True)
    for ms in (20, 60):
        yield Bar(f"{name}/{ms}/bare", f"{start}, {ms} ms: of the bare drain", 0.95, at_least=True)
        yield Bar(f"{name}/{ms}/rclone", f"{start}, {ms} ms: of rclone", 1.0, at_least=True)
    yield Bar(f"cpu/{encryption}", f"processor time per GiB, {encryption}: of bare drain + 1.3 do-nothing", 1.0)


_STEPS = ("head", "last 512 KiB", "seek to 40 %", "+30 MB", "-10 MB")

BARS: tuple[Bar, ...] = (
    *_sequential(TLS),
    *_sequential(PLAIN),
    Bar("fsspec/0", "sequential read through fsspec, TLS, 0 ms: of the bare drain", 0.9, at_least=True),
    Bar("fsspec/20", "sequential read through fsspec, TLS, 20 ms: of the bare drain", 0.9, at_least=True),
    Bar("again/tmpfs", "again, from the page cache: of reading from tmpfs", 0.8, at_least=True),
    Bar("again/reads", "again, from the page cache: READs that reach the daemon", 0, unit="READs"),
    Bar("random/0", "64 KiB at random, O_DIRECT, 0 ms: p50 of sshfs's", 1.0),
    Bar("random/20", "64 KiB at random, O_DIRECT, 20 ms: p50", 1.3, unit="round trips"),
    *(Bar(f"opening/{step}", f"a player's opening, 20 ms: {step}", 2.0, unit="round trips") for step in _STEPS),
    # Less than half of one is none: what remains is the time of the machine.
    Bar("opening/second visit", "a player's second visit, 20 ms: all steps together", 0.5, unit="round trips"),
    Bar("first-frame", "first frame of a 200 MB MP4, index at its end, 60 ms, 10 Mbit/s", 2.0, unit="s"),
    Bar("seek-waste", "wasted by a seek, 60 ms, 10 Mbit/s", 512, unit="KiB"),
    Bar("control", "p99 of control calls during a copy, 60 ms, 10 Mbit/s", 1.0, unit="s"),
    Bar("skipping/0", "read 1 MB, skip 17 MB, 0 ms: of reading all", 1.0),
    Bar("skipping/20", "read 1 MB, skip 17 MB, 20 ms: of reading all", 1.0),
    Bar("sharing", "16 staggered readers, file of 8 caches: bytes fetched, of the least possible", 1.1),
    Bar("players/memory", "16 players, 16 files, 20 ms: resident memory", 200, unit="MiB"),
    Bar("players/late", "16 players, 16 files, 20 ms: longest wait, of what the bit rate allows", 1.0),
    Bar("small/0", "fetched for one cold 4 KiB read, 0 ms", 1.0, unit="MiB"),
    Bar("small/20", "fetched for one cold 4 KiB read, 20 ms", 4.0, unit="MiB"),
    Bar("beside-copy/0", "a player while a copy runs, 0 ms: p99 of its READs, of alone", 3.0),
    Bar("beside-copy/20", "a player while a copy runs, 20 ms: p99 of its READs, of alone", 3.0),
    Bar("listing/calls", "scandir and stat of sessions: calls to the server", 0, unit="calls"),
    Bar("listing/1000", "scandir and stat of 1,000 sessions: of the do-nothing mount", 1.3),
    # In proportion: a fifth is what runs differ by.
    Bar("listing/growth", "the same of 10,000 sessions: time for each, of that at 1,000", 1.2),
)

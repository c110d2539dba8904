"""What the line to the server shows: its round trip and its rate, and what follows from them.

Decides how much a stream should have in flight, how far ahead it pays to read
over instead of opening a stream anew, and how much the kernel should read ahead.
Pure; times and sizes are handed in. Until something was measured the answers are
those that waste least. A `Meter` belongs to the thread that receives a stream,
the `Line` to the event loop.
"""

import collections
import dataclasses
import math
import statistics

from axxonfs.core.chunks import KIB

MIB = 1024 * KIB

# What a stream may have in flight is a property of its connection, fixed when that is made: so there
# are steps. It is what a seek wastes, what a stream that waits for its reader holds in memory, and with
# the round trip the most that a stream brings in a second. The least is enough for two chunks of 64 KiB
# in one round trip, and for a line of 10 Mbit/s at 100 ms (measured: 128 KiB do, 64 KiB do not);
# the last but one is what fits the default budget of a mount beside one stream of a seek. Two to five times as much
# each: finer ones would be more connections.
# Frames take room, too: without it the last chunk of a window comes a round trip later (measured).
_FRAMES_BYTES = 16 * KIB
IN_FLIGHT_BYTES = tuple(size + _FRAMES_BYTES for size in (128 * KIB, 768 * KIB, 3 * MIB, 12 * MIB, 44 * MIB, 96 * MIB))
NARROW_BYTES = IN_FLIGHT_BYTES[0]
# A stream that begins may be a seek, which somebody leaves again: 3 MiB bring a player's largest step,
# 512 KiB and what the kernel reads ahead of it, in one round trip.
SEEK_STEPS = IN_FLIGHT_BYTES[:3]
_RUN_STEPS = IN_FLIGHT_BYTES[2:]
# gRPC renews a window once half of it is used up: half of it is what a round trip brings (measured: at 60 ms
# 40 MiB bring 0.31 GB/s, 96 MiB 0.59).
_RUN_MARGIN = 2.0

_SMALL_CHUNK_BYTES = 64 * KIB
# From here on fewer, larger chunks save more processor time than a seek costs: the drain is three
# times slower at 64 KiB than at 1 MiB (measured).
FAST_BYTES_PER_S = 16 * MIB
# Below this a first chunk says more about the machines than about the line between them (measured:
# a call takes 1 ms on loopback).
_NEAR_S = 0.002

_PATIENCE_FIRST_CHUNKS = 16  # the slowest of so many says how long a stream may be silent
# The least time to a first chunk within so long is the round trip. A busy machine makes many in a row late, and
# nothing makes one early; a line that grew is taken for a shorter one for a minute, and a copy begins with less.
_ROUND_TRIP_KEPT_S = 60.0
_MOST_KEPT = 64  # of those that may become the least, a bound
_RATES = 9  # the one in the middle counts; guessed
_UNKNOWN_GAP_BYTES = 512 * KIB
_GAP_BYTES = (128 * KIB, 2 * MIB)  # the kernel has up to 2 MiB in flight, out of order (measured)
# So many gaps between chunks make a rate, after those of the first window.
_GAPS = 8

# Without a byte for so many times what the line needed at its slowest, a stream counts as stalled.
# Guessed: a disk that seeks, or other streams that begin, make it several times slower, not ten.
_PATIENCE = 10
# Never sooner, for a recorder may be busy with its recording; and no later than the contract promises, but for
# a tenth of a second (remote/deadlines.py).
STALL_TIMEOUTS_S = (3.0, 10.0)

# The kernel's own read-ahead is fetched whether anybody wants it or not: 1 MiB of it is nothing at
# 100 MB/s, and a second of a player's time at 10 Mbit/s.
_KERNEL_AHEAD_KB = (64, 1024)
_KERNEL_AHEAD_S = 0.2


@dataclasses.dataclass(frozen=True, slots=True)
class FirstChunk:
    """How long a stream took to bring its first chunk."""

    waited_s: float
    more_bytes: int = 0  # than a small chunk has
    at_s: float = 0.0


@dataclasses.dataclass(frozen=True, slots=True)
class Rate:
    """How fast chunks followed each other that were in flight together."""

    bytes_per_s: float


Sample = FirstChunk | Rate


class Line:
    """The estimate for one server."""

    def __init__(self) -> None:
        self._first_chunks: collections.deque[float] = collections.deque(maxlen=_PATIENCE_FIRST_CHUNKS)
        # When and how long, the least first: each one is less than all that came after it.
        self._least: collections.deque[tuple[float, float]] = collections.deque(maxlen=_MOST_KEPT)
        self._rates: collections.deque[float] = collections.deque(maxlen=_RATES)
        self._stalled = False
        self.round_trip_s: float | None = None  # from opening a stream to its first chunk, at its best
        self.rate: float | None = None  # bytes per second that the line brings
        # How large a gap is read over rather than jumped: what the line brings in two round trips.
        self.gap_bytes = 0
        # How far before a read to begin for somebody who moves backwards: what it brings in one.
        self.back_bytes = 0
        self.seek_bytes = 0  # what a stream that begins somewhere should have in flight
        self.run_bytes = 0  # what a stream should have in flight that reads on and on
        self._conclude()

    def note(self, sample: Sample) -> None:
        """Take note of what a stream has shown."""
        match sample:
            case FirstChunk(waited_s, more_bytes, at_s):
                # A large chunk takes its time itself.
                first_s = max(waited_s / 2, waited_s - more_bytes / (self.rate or math.inf))
                self._first_chunks.append(first_s)
                self.round_trip_s = self._least_of_late(first_s, at_s)
                self._stalled = False
            case Rate(bytes_per_s):
                self._rates.append(bytes_per_s)
                self.rate = statistics.median_low(self._rates)
        self._conclude()

    def _least_of_late(self, first_s: float, at_s: float) -> float:
        """Take one more in; return the least that is not too old."""
        while self._least and self._least[-1][1] >= first_s:
            self._least.pop()
        self._least.append((at_s, first_s))
        while at_s - self._least[0][0] > _ROUND_TRIP_KEPT_S:
            self._least.popleft()
        return self._least[0][1]

    def note_stall(self) -> None:
        """Take note of a stream that brought nothing in time: the next one gets all the time there is."""
        self._stalled = True

    def stall_timeout_s(self, chunk_bytes: int) -> float:
        """Return how long a stream may bring nothing before it is given up."""
        least, most = STALL_TIMEOUTS_S
        if self._stalled or self.rate is None or not self._first_chunks:
            return most
        return min(most, max(least, _PATIENCE * (max(self._first_chunks) + chunk_bytes / self.rate)))

    def _conclude(self) -> None:
        """Say what follows, when something new was seen: it is asked for with every read and every chunk."""
        known = self.rate is not None and self.round_trip_s is not None
        product_bytes = (self.rate or 0.0) * (self.round_trip_s or 0.0)
        low, high = _GAP_BYTES
        self.gap_bytes = int(min(high, max(low, 2 * product_bytes))) if known else _UNKNOWN_GAP_BYTES
        self.back_bytes = int(min(high, product_bytes))
        near = not known or (self.round_trip_s or 0.0) < _NEAR_S
        self.seek_bytes = NARROW_BYTES if near else _step(product_bytes, SEEK_STEPS)
        self.run_bytes = _step(_RUN_MARGIN * product_bytes, _RUN_STEPS)

    @property
    def is_fast(self) -> bool:
        """Whether a run deserves large chunks and much in flight."""
        return self.rate is not None and self.rate > FAST_BYTES_PER_S

    @property
    def kernel_ahead_kb(self) -> int:
        """How much the kernel should read ahead by itself."""
        low, high = _KERNEL_AHEAD_KB
        slow = self.rate is not None and self.rate * _KERNEL_AHEAD_S < high * KIB
        return low if slow else high


class Meter:
    """Times one stream, as long as nothing but the line and its own window holds it back.

    A window that is used up shows as a long gap now and then, and not as a slow line:
    what counts is the gap that a quarter of all are shorter than.
    """

    def __init__(self, in_flight_bytes: int, began_s: float) -> None:
        self._in_flight_bytes = in_flight_bytes
        self._last_s = began_s
        self._first = True
        self._burst_left = 0  # what may still come of the first window
        self._stale_left = 0  # what came while the stream was held up
        self._gaps: list[float] = []

    def arrived(self, size_bytes: int, now_s: float) -> list[Sample]:
        """Take note of a chunk; return what it shows."""
        gap_s, self._last_s = now_s - self._last_s, now_s
        if self._first:
            self._first = False
            self._burst_left = self._in_flight_bytes - size_bytes
            return [FirstChunk(gap_s, max(0, size_bytes - _SMALL_CHUNK_BYTES), now_s)]
        if self._stale_left > 0:
            self._stale_left -= size_bytes
            return []
        self._gaps.append(gap_s)
        self._burst_left -= size_bytes
        # The chunk after this one is the first that had to wait for the window.
        burst_ends = self._burst_left < size_bytes <= self._burst_left + size_bytes
        return self._closed(size_bytes) if burst_ends or len(self._gaps) == _GAPS else []

    def held_up(self, size_bytes: int) -> list[Sample]:
        """Take note that the stream of such chunks has to wait for its readers; return what it had shown before."""
        samples = self._closed(size_bytes) if self._gaps else []
        self._stale_left = self._in_flight_bytes
        return samples

    def _closed(self, size_bytes: int) -> list[Sample]:
        gap_s = sorted(self._gaps)[len(self._gaps) // 4]
        self._gaps = []
        return [Rate(size_bytes / max(gap_s, 1e-6))]


def _step(wanted_bytes: float, steps: tuple[int, ...]) -> int:
    """Return the least step that is enough, else the largest."""
    return next((step for step in steps if step >= wanted_bytes), steps[-1])


def within(most_bytes: float) -> int:
    """Return the largest step of what a stream may have in flight that is no more than `most_bytes`, else the least."""
    return max((step for step in IN_FLIGHT_BYTES if step <= most_bytes), default=NARROW_BYTES)

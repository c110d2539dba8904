"""What the line to the server shows: its round trip and its rate, and what follows from them.

Decides how far ahead it pays to read over instead of opening a stream anew, and
when a stream is held back by its own narrow flow-control window rather than by
the line. Pure; times and sizes are handed in. Until something was measured the
answers are those of a fast local network.
"""

import collections

from axxonfs.core.chunks import KIB

MIB = 1024 * KIB

# What a narrow stream keeps in flight, which is what a seek wastes. Enough for the first chunk of
# 64 KiB in one round trip, and for a line of 10 Mbit/s at 100 ms (measured: 128 KiB do, 64 KiB do not).
NARROW_BYTES = 192 * KIB
# From here on fewer, larger chunks save more processor time than a seek costs: the drain is three
# times slower at 64 KiB than at 1 MiB (measured).
FAST_BYTES_PER_S = 16 * MIB

# A narrow stream that brings this much of its window in the time of a first chunk is held back by
# it. A line of 10 Mbit/s at 60 ms has 0.72 of the window in that time, for the chunk takes time, too.
_FULL = 0.8
_ROUND_TRIPS = 16  # the least of so many first bytes is the round trip; more would miss that it grew
_SMOOTHING = 0.3  # weight of a new rate; guessed
_UNKNOWN_GAP_BYTES = 512 * KIB
_GAP_BYTES = (128 * KIB, 2 * MIB)  # the kernel has up to 2 MiB in flight, out of order (measured)


class Line:
    """The estimate for one server."""

    def __init__(self) -> None:
        self._first_chunks: collections.deque[float] = collections.deque(maxlen=_ROUND_TRIPS)
        self.rate: float | None = None  # bytes per second of one stream that nobody held back

    @property
    def round_trip_s(self) -> float | None:
        """The time from opening a stream to its first chunk, at its best."""
        return min(self._first_chunks, default=None)

    def note_first_chunk(self, waited_s: float) -> None:
        """Take note of how long a stream took to bring its first chunk."""
        self._first_chunks.append(waited_s)

    def note_rate(self, size_bytes: int, took_s: float) -> None:
        """Take note of `size_bytes` that came in `took_s` while somebody waited for them."""
        rate = size_bytes / max(took_s, 1e-6)
        self.rate = rate if self.rate is None else (1 - _SMOOTHING) * self.rate + _SMOOTHING * rate

    @property
    def gap_bytes(self) -> int:
        """How large a gap is read over rather than jumped: what the line brings in a round trip or two."""
        if self.rate is None or self.round_trip_s is None:
            return _UNKNOWN_GAP_BYTES
        low, high = _GAP_BYTES
        return int(min(high, max(low, 2 * self.rate * self.round_trip_s)))

    @property
    def is_wide(self) -> bool:
        """Whether a run deserves a wide window: the line could bring more than a narrow one lets through."""
        if self.rate is None or self.round_trip_s is None:
            return False
        held_back = self.rate * self.round_trip_s > _FULL * NARROW_BYTES
        return held_back or self.rate > FAST_BYTES_PER_S

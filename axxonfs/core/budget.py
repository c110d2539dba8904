"""The byte budget of a mount: what streams may have on their way, and what is left for the cache.

A stream holds bytes outside of the cache: in gRPC, where they wait as soon as its
reader is slower than the line, and between its thread and the event loop. All of
it counts. Streams may take 13 of 16 parts: the cache keeps enough for each reader to find
a chunk again of which it has read a part, and lends half of that for moments. Where little
is left, the next stream gets less in flight, which makes it slower, and nothing fails. Pure.
"""

from axxonfs.core.chunks import KIB
from axxonfs.core.line import NARROW_BYTES

# So much lets a run have the largest step but one by default, also beside a stream that began as a seek.
_STREAMS_SHARE = 13 / 16
# A stream that begins may be a seek: it takes no more than a part of what is left.
_SEEK_SHARE = 1 / 4
# What the cache lends to those that begin as others end, until these have ended: half of what it keeps.
_LENT_SHARE = (1 - _STREAMS_SHARE) / 2
# Between the thread of a stream and the event loop: on loopback 1 MiB is as fast as more (measured).
_WAITING_SHARE = 1 / 3
_MOST_WAITING_BYTES = 1024 * KIB


def waiting_bytes(in_flight_bytes: int) -> int:
    """Return how much may wait between the thread of a stream and the event loop: a seek throws it away, too."""
    return min(_MOST_WAITING_BYTES, int(in_flight_bytes * _WAITING_SHARE))


class Budget:
    """`total_bytes` for the cache and at most `max_streams` streams together."""

    def __init__(self, total_bytes: int, max_streams: int) -> None:
        self.total_bytes = total_bytes
        self.streams_bytes = 0
        least_bytes = _held(NARROW_BYTES)
        streams_part_bytes = int(total_bytes * _STREAMS_SHARE)
        self.max_streams = max(1, min(max_streams, streams_part_bytes // least_bytes))
        # What a stream has in flight at least is kept for each that may come.
        self._free_bytes = streams_part_bytes - self.max_streams * least_bytes
        # Where nothing else goes on.
        self.most_for_a_run_bytes = self.most_in_flight(seek=False)

    @property
    def cache_bytes(self) -> int:
        """What is left for the cache."""
        return self.total_bytes - self.streams_bytes

    def most_in_flight(self, *, seek: bool, ending_bytes: int = 0) -> float:
        """Return how much one more stream may have in flight; the least is always allowed.

        A seek begins as others end: the `ending_bytes` that they have in flight are
        gone before its own come, and until then the cache has less.
        """
        if not seek:
            return self._free_bytes - _MOST_WAITING_BYTES
        with_loan_bytes = (self._free_bytes + self.total_bytes * _LENT_SHARE) / (1 + _WAITING_SHARE)
        return min((self._free_bytes + ending_bytes) * _SEEK_SHARE, with_loan_bytes)

    def take(self, in_flight_bytes: int) -> None:
        """Take note of a stream that begins."""
        self.streams_bytes += _held(in_flight_bytes)
        self._free_bytes -= _held(in_flight_bytes) - _held(NARROW_BYTES)

    def give_back(self, in_flight_bytes: int) -> None:
        """Take note of a stream that ended."""
        self.streams_bytes -= _held(in_flight_bytes)
        self._free_bytes += _held(in_flight_bytes) - _held(NARROW_BYTES)


def _held(in_flight_bytes: int) -> int:
    return in_flight_bytes + waiting_bytes(in_flight_bytes)

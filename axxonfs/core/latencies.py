"""How long things took, as a histogram of a fixed size.

Decides the steps: each is a fifth longer than the one before, so that a
percentile is at most a fifth too high, whatever the range. Pure.
"""

import bisect
import itertools
from collections.abc import Iterator

_LEAST_S, _MOST_S, _STEP = 1e-4, 120.0, 1.2


def _bounds() -> Iterator[float]:
    bound_s = _LEAST_S
    while bound_s < _MOST_S:
        yield bound_s
        bound_s *= _STEP
    yield bound_s


class Latencies:
    """Durations since the mount began."""

    BOUNDS_S = tuple(_bounds())  # the last one holds whatever took longer, too

    def __init__(self) -> None:
        self._counts = [0] * len(self.BOUNDS_S)

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self._counts)

    def note(self, took_s: float) -> None:
        """Take note of one."""
        self._counts[min(bisect.bisect_left(self.BOUNDS_S, took_s), len(self._counts) - 1)] += 1

    def percentile_s(self, percent: float) -> float | None:
        """Return the least bound that so many per cent are not above; None where there was none."""
        wanted = self.count * percent / 100
        sums = itertools.accumulate(self._counts)
        return next(
            (bound for bound, total in zip(self.BOUNDS_S, sums, strict=True) if total >= wanted and total), None
        )

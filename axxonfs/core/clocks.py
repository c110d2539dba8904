"""How far the server's clock is from this machine's, as an answer to a login tells it.

Decides what the two times of a token say: it ends at `expires_at` on the server's
clock, `expires_in` seconds after the answer. Whole seconds, so half a second is
as near as it gets. Pure; times are handed in. Imports instants. Facts: section 2.1
of the wire contract.
"""

import dataclasses
import datetime as dt

from axxonfs.core import instants

# What the server leaves out of `expires_at` lies between nothing and a second: the middle is the best guess.
_CUT_OFF_S = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class ClockDifference:
    """By how much the server's clock is ahead of this machine's; negative where it is behind."""

    ahead_s: float
    uncertainty_s: float  # the truth is within this, either way
    measured_at_s: float  # since the epoch, on this machine's clock


def clock_difference(
    expires_at: str, expires_in_s: int, *, asked_at_s: float, answered_at_s: float
) -> ClockDifference | None:
    """Return what the answer to a login or renewal says of the server's clock; None where it says nothing.

    Args:
        expires_at: as the server sends it, in UTC.
        expires_in_s: the life of the token; 0 where the server does not tell.
        asked_at_s: when this machine asked, in seconds since the epoch.
        answered_at_s: when the answer was here.
    """
    ends = instants.parse_wire(expires_at)
    if ends is None or expires_in_s <= 0:
        return None
    # The server made its answer somewhere in between.
    here_s = (asked_at_s + answered_at_s) / 2
    there = ends - dt.timedelta(seconds=expires_in_s)
    ahead_s = there.timestamp() + _CUT_OFF_S - here_s
    return ClockDifference(ahead_s, _CUT_OFF_S + (answered_at_s - asked_at_s) / 2, answered_at_s)

"""When reads fail at once instead of waiting for a server that was seen to be away.

Decides it from two kinds of evidence, because each alone misleads: that several
reads in a row got nothing (one session may be stuck), and that the last listing
got no answer (it may just have been lost). Any answer ends it: the listings,
which go on all the time, are the probe. Pure; the time is handed in.
"""

# Guessed: one read may have bad luck, and a player has two or three in flight.
OPENS_AFTER = 3


class Breaker:
    """What the mount knows of its server being away."""

    def __init__(self) -> None:
        self.open_since_s: float | None = None  # on the caller's clock
        self._failed_reads = 0
        self._unanswered = False

    @property
    def is_open(self) -> bool:
        """Whether reads fail at once."""
        return self.open_since_s is not None

    @property
    def is_in_question(self) -> bool:
        """Whether a listing would say more: reads fail at once, or would if one failed as well."""
        return self.is_open or self._failed_reads >= OPENS_AFTER

    def read_failed(self, now_s: float) -> bool:
        """Take note of a read that got nothing before its deadline; return whether it is the one that opens."""
        self._failed_reads += 1
        return self._opens(now_s)

    def unanswered(self, now_s: float) -> bool:
        """Take note of a listing that failed; return whether it is the one that opens."""
        self._unanswered = True
        return self._opens(now_s)

    def answered(self) -> bool:
        """Take note of a listing, or of bytes, that came; return whether that closes it."""
        was_open, self.open_since_s = self.is_open, None
        self._failed_reads, self._unanswered = 0, False
        return was_open

    def _opens(self, now_s: float) -> bool:
        if self.is_open or not self._unanswered or self._failed_reads < OPENS_AFTER:
            return False
        self.open_since_s = now_s
        return True

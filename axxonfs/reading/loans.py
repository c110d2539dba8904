"""A stream lent to a thread that reads a result on and on: its chunks do not pass the event loop.

A change of threads for every chunk costs as much as all else that the loop does
for it (measured). Decides nothing of what is fetched: when a stream is lent and
when it is taken back is decided in the loop, which hears of all that was taken a
little later. `take` belongs to the one thread that has the loan, the rest to the loop.
"""

import time
from collections.abc import Callable

from axxonfs.core.chunks import Data
from axxonfs.core.line import MIB
from axxonfs.remote.download import DownloadStream

Soon = Callable[[Callable[[], object]], object]  # has a function called in the loop

# The loop hears of what was taken after so many chunks, or so long: runs that nobody uses end after a second.
_TOLD_CHUNKS = 16
_TOLD_S = 0.25
# What takes longer is left to the loop, which knows of stalls and of deadlines, unless it is waited for in the call.
_TAKE_TIMEOUT_S = 0.5


class Loan:
    """What a thread has, or is going to have once there is something to lend; `give_back` it in the end."""

    def __init__(
        self, soon: Soon, patience_s: float, tell: Callable[[], object], end: Callable[["Loan"], object]
    ) -> None:
        self._soon, self._patience_s, self._tell, self._end = soon, patience_s, tell, end
        self._download: DownloadStream | None = None
        self._chunk_bytes = MIB
        self._begin = 0
        self._untold, self._told_s = 0, 0.0

    def lend(self, download: DownloadStream, chunk_bytes: int, begin: int, *, keep: bool) -> None:
        """Lend a stream that brings the byte `begin` next; `keep` as `DownloadStream.lend`."""
        self._chunk_bytes, self._begin = chunk_bytes, begin
        download.lend(self._patience_s, keep=keep)
        self._download = download

    def take_back(self) -> None:
        """Let nothing more be taken, until something is lent again."""
        self._download = None

    def take(self, start: int) -> Data | None:
        """Return the chunk that begins at `start`; None where it has to be asked for as any other bytes."""
        download = self._download
        if download is None or start < self._begin or start % self._chunk_bytes:
            return None
        data = download.take(start // self._chunk_bytes, _TAKE_TIMEOUT_S)
        if data is not None:
            self._note()
        return data

    def until(self, start: int) -> int:
        """Return up to where to ask for bytes before the next look at what is lent."""
        if self._download is not None and start < self._begin:
            return self._begin
        return start - start % self._chunk_bytes + self._chunk_bytes

    def give_back(self) -> None:
        """End the loan, soon; whatever was taken counts as read."""
        self._soon(lambda: self._end(self))

    def _note(self) -> None:
        self._untold += 1
        now_s = time.monotonic()
        if self._untold >= _TOLD_CHUNKS or now_s - self._told_s > _TOLD_S:
            self._untold, self._told_s = 0, now_s
            self._soon(self._tell)

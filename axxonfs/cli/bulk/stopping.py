"""How work in several threads ends before it is done: told by a signal, or by a failure that stops all of it.

The first signal lets each thread come to where it can go on later; a second one
ends the process. What counts is in the ledger either way.
"""

import contextlib
import os
import select
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from axxonfs.cli import exits

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StoppedError(Exception):
    """The work is to end here."""


class Stop:
    """Whether the work is to end; threads check it, sleep on it, and poll its descriptor."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        self._lock = threading.Lock()
        self._is_set = False
        self.failure: BaseException | None = None  # what stopped it, where that was no signal
        self.signal: signal.Signals | None = None

    @property
    def descriptor(self) -> int:
        """Can be read once the work is to end."""
        return self._reader

    def __bool__(self) -> bool:
        return self._is_set

    def set(self, failure: BaseException | None = None) -> None:
        """End the work; the first failure is the one that counts."""
        with self._lock:
            self.failure = self.failure or failure
            if not self._is_set:
                self._is_set = True
                os.write(self._writer, b"!")

    def check(self) -> None:
        """Raise StoppedError if the work is to end."""
        if self._is_set:
            raise StoppedError

    def sleep(self, length_s: float) -> None:
        """Sleep, but no longer than until the work is to end; then raise StoppedError."""
        select.select([self._reader], [], [], length_s)
        self.check()

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Let the first signal end the work, and a second one the process."""
        before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self._is_set:
            os._exit(exits.INTERRUPTED)
        self.signal = signal.Signals(number)
        # Not `set`: a handler runs in between of anything, also while the lock is held.
        self._is_set = True
        os.write(self._writer, b"!")

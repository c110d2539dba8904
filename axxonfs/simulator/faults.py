"""Faults on demand: what tests tell the simulator to do wrong, and how often.

Decides which planned faults a call meets; the service layer carries them out.
Imports nothing of ours. Thread-safe: one condition, on which
stalled and delayed calls wait, too.

Kinds of action:

- ``status``     the call ends with `status` before it does anything
- ``lose_reply`` the call does its work, then ends with `status`
- ``delay``      the call waits `delay_s` before it does anything
- ``stall``      a stream sends nothing more after `after_chunks` messages, until cancelled or the fault is cleared
- ``cut``        a stream ends with `status` after `after_chunks` messages
- ``end``        a stream ends with OK after `after_chunks` messages, as if it were complete
- ``slow``       a stream waits `delay_s` before each message after the first `after_chunks`
- ``wrong_index`` ``short_chunk`` ``wrong_byte``  the chunk of DownloadFile after `after_chunks` is spoilt so
"""

import dataclasses
import threading
from collections.abc import Callable
from typing import Literal

Action = Literal[
    "status", "lose_reply", "delay", "stall", "cut", "end", "slow", "wrong_index", "short_chunk", "wrong_byte"
]


@dataclasses.dataclass(slots=True, eq=False)
class Fault:
    """A planned fault: for which calls, what, and how many calls are still to meet it."""

    method: str  # short name, as DownloadFile
    action: Action
    times: int
    status: str
    details: str
    delay_s: float
    after_chunks: int
    hits: int = 0  # calls that met it
    cleared: bool = False


class Faults:
    """The plan of faults; empty at the start."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._planned: list[Fault] = []

    def add(
        self,
        *,
        method: str,
        action: Action = "status",
        times: int = 1,
        status: str = "UNAVAILABLE",
        details: str = "fault on demand",
        delay_s: float = 0.0,
        after_chunks: int = 0,
    ) -> Fault:
        """Plan a fault for the next `times` calls of `method` and return it; its `hits` count the calls that met it."""
        fault = Fault(method, action, times, status, details, delay_s, after_chunks)
        with self._changed:
            self._planned.append(fault)
        return fault

    def take(self, method: str) -> tuple[Fault, ...]:
        """Return the faults that a call of `method` beginning now meets, and count it."""
        with self._changed:
            met = tuple(fault for fault in self._planned if fault.method == method and fault.hits < fault.times)
            for fault in met:
                fault.hits += 1
            self._changed.notify_all()
            return met

    def wait_for_hits(self, fault: Fault, hits: int, timeout_s: float) -> bool:
        """Wait until so many calls have met a fault; return whether they have."""
        with self._changed:
            return self._changed.wait_for(lambda: fault.hits >= hits, timeout_s)

    def clear(self) -> None:
        """Forget every planned fault and let stalled and delayed calls go on."""
        with self._changed:
            for fault in self._planned:
                fault.cleared = True
            self._planned = []
            self._changed.notify_all()

    def hold(self, fault: Fault, is_over: Callable[[], bool], timeout_s: float | None = None) -> None:
        """Wait until the fault is cleared, `is_over` holds (see `wake`) or the time has passed."""
        with self._changed:
            self._changed.wait_for(lambda: fault.cleared or is_over(), timeout_s)

    def wake(self) -> None:
        """Let every call that is held look again whether it is over."""
        with self._changed:
            self._changed.notify_all()

"""Faults on demand: what testers tell the simulator to do wrong, and how often.

Decides which planned faults a call meets; the gate and `spoiling` carry them
out. Imports nothing of ours. Thread-safe: one condition, on which stalled and
delayed calls wait, too.
"""

import dataclasses
import threading
from collections.abc import Callable
from typing import Literal, get_args

Action = Literal[
    "status",
    "lose_reply",
    "delay",
    "stall",
    "cut",
    "end",
    "slow",
    "wrong_index",
    "skip_chunk",
    "repeat_chunk",
    "empty_chunk",
    "short_chunk",
    "long_chunk",
    "huge_chunk",
    "wrong_byte",
    "repeat_page",
    "endless_pages",
    "half_list",
    "unknown_state",
]
MEANINGS: dict[Action, str] = {
    "status": "the call ends with `status` before it does anything",
    "lose_reply": "the call does its work, then ends with `status`",
    "delay": "the call waits `delay` seconds before it does anything",
    "stall": "a stream sends nothing more after `after` messages, until it is cancelled or the fault is cleared",
    "cut": "a stream ends with `status` after `after` messages",
    "end": "a stream ends with OK after `after` messages, as if it were complete",
    "slow": "a stream waits `delay` seconds before each message but the first `after`",
    "wrong_index": "the chunk after the first `after` says that it is the one behind it",
    "skip_chunk": "that chunk is left out",
    "repeat_chunk": "that chunk is sent twice",
    "empty_chunk": "an empty chunk is sent before that one",
    "short_chunk": "that chunk lacks its last byte",
    "long_chunk": "that chunk has a byte too many",
    "huge_chunk": "that chunk is larger than any client takes, 17 MiB",
    "wrong_byte": "that chunk's last byte is another one; no client can know",
    "repeat_page": "a page of a listing leads to itself",
    "endless_pages": "every page of a listing leads to another one",
    "half_list": "a listing ends with the first half of its first page, as if it were complete",
    "unknown_state": "sessions are in a state that no definition knows",
}
ANY = "*"  # as a method: every call
assert set(MEANINGS) == set(get_args(Action))  # noqa: S101 - so that none is added without its meaning


@dataclasses.dataclass(slots=True, eq=False)
class Fault:
    """A planned fault: for which calls, what, and how many calls are still to meet it."""

    method: str  # short name, as DownloadFile, or ANY
    action: Action
    times: int
    status: str
    details: str
    delay_s: float
    after_chunks: int
    session_id: str  # of whom alone it befalls the calls; empty: of all
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
        session_id: str = "",
    ) -> Fault:
        """Plan a fault for the next `times` calls of `method` and return it; its `hits` count the calls that met it."""
        fault = Fault(method, action, times, status, details, delay_s, after_chunks, session_id)
        with self._changed:
            self._planned.append(fault)
        return fault

    def take(self, method: str, session_id: str = "") -> tuple[Fault, ...]:
        """Return the faults that a call of `method` about a session meets that begins now, and count it."""
        with self._changed:
            met = tuple(fault for fault in self._planned if _befalls(fault, method, session_id))
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


def _befalls(fault: Fault, method: str, session_id: str) -> bool:
    about = fault.method in (method, ANY) and fault.session_id in ("", session_id)
    return about and fault.hits < fault.times

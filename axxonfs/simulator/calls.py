"""The log of calls: what clients asked, when, and how it ended.

Decides what of a request is written down: no password and no token ever is.
Thread-safe: one condition guards everything, and tests wait on it.
"""

import collections
import dataclasses
import datetime as dt
import json
import threading
import time
from pathlib import Path
from typing import IO, NamedTuple

from google.protobuf import text_format
from google.protobuf.message import Message

# What a simulator that runs for weeks may remember; tests stay far below it.
_REMEMBERED = 100_000
# Of a request with a large picture or comment in it.
_SUMMARY_CHARACTERS = 2000
RUNNING = "RUNNING"


class CallEntry(NamedTuple):
    """One call; `status` is RUNNING until it has ended, then the name of its gRPC status."""

    monotonic_s: float
    method: str
    request: str
    status: str
    messages: int  # that a stream has sent so far


@dataclasses.dataclass(slots=True, eq=False)
class Call:
    """The handle by which the service layer counts for an entry and ends it."""

    started_s: float
    method: str
    request: str
    status: str = RUNNING
    messages: int = 0


class CallLog:
    """All calls of a simulator, and their JSON lines if a path was given."""

    def __init__(self, path: Path | None = None) -> None:
        self._changed = threading.Condition()
        self._calls: collections.deque[Call] = collections.deque(maxlen=_REMEMBERED)
        self._path = path
        self._file: IO[str] | None = None

    def open(self) -> None:
        """Open the file, if there is to be one; OSError where that cannot be."""
        with self._changed:
            self._open()

    def begin(self, method: str, request: Message) -> Call:
        """Enter a call that has begun."""
        call = Call(time.monotonic(), method, summary(request))
        with self._changed:
            self._calls.append(call)
            self._changed.notify_all()
        return call

    def end(self, call: Call, status: str) -> None:
        """Write down how a call has ended."""
        with self._changed:
            call.status = status
            self._write(call)
            self._changed.notify_all()

    def count(self, method: str) -> int:
        """Return how many calls of `method` (its short name) have begun."""
        with self._changed:
            return sum(call.method == method for call in self._calls)

    def entries(self) -> list[CallEntry]:
        """Return all calls in the order of their beginning."""
        with self._changed:
            return [
                CallEntry(call.started_s, call.method, call.request, call.status, call.messages) for call in self._calls
            ]

    def clear(self) -> None:
        """Forget all calls; the file keeps them."""
        with self._changed:
            self._calls.clear()

    def wait_for(self, method: str, count: int, timeout_s: float) -> None:
        """Wait until `count` calls of `method` have ended; TimeoutError if they do not in time."""

        def ended() -> bool:
            return sum(call.method == method and call.status != RUNNING for call in self._calls) >= count

        with self._changed:
            if not self._changed.wait_for(ended, timeout_s):
                raise TimeoutError(f"fewer than {count} calls of {method} ended within {timeout_s} s")

    def close(self) -> None:
        """Close the file; a later call opens it again."""
        with self._changed:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _write(self, call: Call) -> None:
        self._open()
        if self._file is None:
            return
        line = {
            "at": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"),
            "started_monotonic_s": round(call.started_s, 6),
            "seconds": round(time.monotonic() - call.started_s, 6),
            "method": call.method,
            "request": call.request,
            "status": call.status,
            "messages": call.messages,
        }
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def _open(self) -> None:
        if self._file is None and self._path is not None:
            self._file = self._path.open("a", encoding="utf-8", buffering=1)


def summary(request: Message) -> str:
    """Return a request as one line of text, with every password replaced."""
    shown = type(request)()
    shown.CopyFrom(request)
    _hide_passwords(shown)
    return text_format.MessageToString(shown, as_one_line=True, as_utf8=True)[:_SUMMARY_CHARACTERS]


def _hide_passwords(message: Message) -> None:
    for field, value in message.ListFields():
        if field.name == "password":
            setattr(message, field.name, "*")
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for part in value if field.is_repeated else [value]:
                _hide_passwords(part)

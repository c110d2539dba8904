"""The way into gRPC, which is shut while the process forks.

Decides when a fork may be made: when no thread is inside gRPC and gRPC's own threads
are at rest. What they hold locked at that moment stays locked in the child for ever,
and its first call hangs (measured, docs/design.md, "Why do connections end before a
fork?"). Whoever comes while the gate is shut waits. And it says when gRPC has locked
itself up, which shows where a call enters. Imports grpc. There is one gate for the
process, as a fork is of the process; any thread may use it.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Generic, ParamSpec, TypeVar, cast

import grpc

from axxonfs.core import errors

_Words = ParamSpec("_Words")
_Result = TypeVar("_Result")
_Reply = TypeVar("_Reply")

# Between two looks at gRPC's threads. Closing a connection keeps them busy for less than this (measured).
_LOOK_EVERY_S = 0.01


class Gate:
    """Knows who is inside gRPC; a context manager for those who go there, which a thread enters once at a time."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Start anew in a child: whoever was inside, or held the lock, is not there."""
        # Entered by itself: a signal that comes while a thread enters the condition, which is Python, leaves it locked.
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        # By their threads: where a signal kept one from leaving, it leaves the next time.
        self._inside: set[int] = set()
        self._shut_by = 0  # several threads may fork at once

    def __enter__(self) -> None:
        with self._lock:
            while self._shut_by:
                self._changed.wait()
            self._inside.add(threading.get_ident())

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            self._inside.discard(threading.get_ident())
            if self._shut_by:
                self._changed.notify_all()

    def shut(self) -> None:
        """Let nobody in until `open`; who is inside stays there."""
        with self._changed:
            self._shut_by += 1

    def settle(self, timeout_s: float) -> bool:
        """Wait until nobody is inside and gRPC's threads rest, and say whether that has come; connections are ended."""
        deadline_s = time.monotonic() + timeout_s
        with self._changed:
            if not self._changed.wait_for(lambda: not self._inside, timeout_s):
                return False
        before = _foreign_threads()
        while time.monotonic() < deadline_s:
            time.sleep(_LOOK_EVERY_S)
            now = _foreign_threads()
            if now == before and not any(work.startswith("R") for work in now.values()):
                return True
            before = now
        return False

    def open(self) -> None:
        """Take back one `shut`."""
        with self._changed:
            self._shut_by -= 1
            self._changed.notify_all()


gate = Gate()


def gated(channel: grpc.Channel, broken: Callable[[], object]) -> grpc.Channel:
    """Return a channel as the stubs want it, with calls that go through the gate; blocking ones, without futures.

    `broken` is called once the channel is of no use any more; the call that met it raises ServerAwayError.
    """
    return cast("grpc.Channel", _GatedChannel(channel, broken))


class _GatedChannel:
    def __init__(self, channel: grpc.Channel, broken: Callable[[], object]) -> None:
        self._broken = broken
        self._unary: Callable[..., Callable[..., object]] = channel.unary_unary
        self._stream: Callable[..., Callable[..., grpc.CallIterator[object]]] = channel.unary_stream

    def unary_unary(self, *args: object, **words: object) -> Callable[..., object]:
        return self._begun(self._unary(*args, **words))

    def unary_stream(self, *args: object, **words: object) -> "Callable[..., _GatedStream[object]]":
        method = self._begun(self._stream(*args, **words))
        return lambda *args, **words: _GatedStream(method(*args, **words))

    def _begun(self, method: Callable[..., _Reply]) -> Callable[..., _Reply]:
        entered = _through(method)

        def call(*args: object, **words: object) -> _Reply:
            try:
                return entered(*args, **words)
            except RuntimeError as error:
                # The thread that waits for answers could not be started, and gRPC never tries again: this call and
                # all later ones of the channel would wait for ever (measured).
                self._broken()
                raise errors.ServerAwayError(f"gRPC gets no thread: {error}") from error

        return call


class _GatedStream(Generic[_Reply]):
    """A call whose messages are waited for inside; between two of them nobody is."""

    def __init__(self, call: "grpc.CallIterator[_Reply]") -> None:
        self.cancel = _through(call.cancel)
        self._next = _through(iter(call).__next__)

    def __iter__(self) -> Iterator[_Reply]:
        return self

    def __next__(self) -> _Reply:
        return self._next()


def _through(method: Callable[_Words, _Result]) -> Callable[_Words, _Result]:
    def call(*args: _Words.args, **words: _Words.kwargs) -> _Result:
        with gate:
            return method(*args, **words)

    return call


def _foreign_threads() -> dict[str, str]:
    """Return of each thread that is not Python's its state and how long it ran and waited; empty without /proc."""
    own = {thread.native_id for thread in threading.enumerate()}
    found = {}
    for task in Path("/proc/self/task").glob("[0-9]*"):
        if int(task.name) not in own:
            with contextlib.suppress(OSError):  # it has just ended
                state = (task / "stat").read_text().rpartition(") ")[2][0]
                found[task.name] = state + (task / "schedstat").read_text()
    return found

"""Processes that do the benchmark's own work: started, talked to over a pipe, and ended.

Decides what becomes of one that dies: whoever waits for it gets an error with its
last words, and not silence. Ctrl-C is for the benchmark, which then ends its
children; a child whose benchmark was killed sees the pipe's end and goes, too.
"""

import contextlib
import multiprocessing
import signal
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Self, TypeVarTuple

_Arguments = TypeVarTuple("_Arguments")

# The longest that one answer takes: the contents of the largest server, on a slow machine.
_ANSWER_TIMEOUT_S = 180.0
_STOP_TIMEOUT_S = 15.0


class ChildError(RuntimeError):
    """A child has died, or is silent."""


class _LastWords(str):
    """What a child says that fails."""

    __slots__ = ()


class Child:
    """A process that does `work(*arguments, control)`; a context manager, at whose end it ends.

    `work` ends when the other end of `control` is closed.
    """

    def __init__(self, name: str, work: Callable[[*_Arguments, Connection], None], *arguments: *_Arguments) -> None:
        context = multiprocessing.get_context("spawn")
        self._control, theirs = context.Pipe()
        self._process = context.Process(target=_be, args=(work, arguments, theirs), daemon=True)
        self._name = name
        self._process.start()
        # The child has the only one now, so that its end shows here.
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._control.close()
        self._process.join(_STOP_TIMEOUT_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    @property
    def pid(self) -> int | None:
        """The number of the process."""
        return self._process.pid

    def send(self, order: object) -> None:
        """Tell it something; ChildError if it is not there any more."""
        try:
            self._control.send(order)
        except OSError as error:
            raise self._lost() from error

    def receive(self) -> Any:  # noqa: ANN401 - whatever the work sends
        """Wait for what it says; ChildError if it dies, or says nothing for too long."""
        try:
            if not self._control.poll(_ANSWER_TIMEOUT_S):
                raise ChildError(f"{self._name} says nothing for {_ANSWER_TIMEOUT_S:g} s")
            answer = self._control.recv()
        except (EOFError, OSError) as error:
            raise self._lost() from error
        if isinstance(answer, _LastWords):
            raise ChildError(f"{self._name} failed:\n{answer}")
        return answer

    def _lost(self) -> ChildError:
        with contextlib.suppress(EOFError, OSError):
            while self._control.poll():
                answer = self._control.recv()
                if isinstance(answer, _LastWords):
                    return ChildError(f"{self._name} failed:\n{answer}")
        self._process.join(_STOP_TIMEOUT_S)
        return ChildError(f"{self._name} is gone: its process ended with {self._process.exitcode}")


def _be(work: Callable[[*_Arguments, Connection], None], arguments: tuple[*_Arguments], control: Connection) -> None:
    """Be the process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        work(*arguments, control)
    except Exception:  # noqa: BLE001 - told to whoever waits
        with contextlib.suppress(OSError):
            control.send(_LastWords(traceback.format_exc()))

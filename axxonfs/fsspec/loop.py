"""A trio loop in a thread of its own, for callers that are no tasks.

Decides how a call gets into the loop and how its end is told: whoever waits when
the loop ends gets an error and is never left waiting.
"""

import contextlib
import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar, TypeVarTuple

import trio

from axxonfs.core import errors

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

END_TIMEOUT_S = 10.0


class Loop:
    """Runs `main` until it returns; `main` calls what it is given once it is ready for calls."""

    def __init__(self, name: str, main: Callable[[Callable[[], None]], Awaitable[None]]) -> None:
        self._main = main
        self._ready = threading.Event()
        self._token: trio.lowlevel.TrioToken | None = None
        # A daemon: the interpreter waits for others before it calls what ends this one.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        self._ready.wait()

    @property
    def runs(self) -> bool:
        """Whether calls are taken."""
        return self._thread.is_alive()

    def call(self, function: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
        """Run a function in the loop and return what it returns; from any thread but the loop's.

        Raises:
            ServerAwayError: the loop ends or has ended.
        """
        try:
            return trio.from_thread.run(function, *args, trio_token=self._token)
        except (trio.RunFinishedError, trio.Cancelled) as error:
            raise errors.ServerAwayError("the file system was closed") from error

    def soon(self, function: Callable[[], object]) -> None:
        """Have a function called in the loop, without waiting for it; never, once the loop has ended."""
        with contextlib.suppress(trio.RunFinishedError):
            if self._token is not None:
                self._token.run_sync_soon(function)

    def join(self) -> None:
        """Wait for the end, which somebody has asked `main` for."""
        self._thread.join(END_TIMEOUT_S)

    def _run(self) -> None:
        try:
            trio.run(self._announced)
        finally:
            self._ready.set()

    async def _announced(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        await self._main(self._ready.set)

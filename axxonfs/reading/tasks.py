"""Tasks behind the requests: a mistake of ours in one costs that task, not the mount.

An exception that leaves a task would end the nursery, and the mount with it.
Every task of the mount is started here, and what nobody foresaw is logged with
its traceback and counted. Belongs to the event loop.
"""

import logging
import os
from collections.abc import Awaitable, Callable
from typing import TypeVarTuple

import trio

log = logging.getLogger(__name__)

Ts = TypeVarTuple("Ts")

# Set by the tests: a mistake is to be seen there, whatever it costs.
RAISE_VARIABLE = "AXXONFS_RAISE"
RESTART_PAUSE_S = 5.0


class Tasks:
    """The background of one mount."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.unexpected = 0  # failures that no domain error foresees, of requests as well
        self._nursery = nursery

    def start(self, task: Callable[[*Ts], Awaitable[object]], *args: *Ts) -> None:
        """Run a task behind."""
        self._nursery.start_soon(self._guarded, task, *args, name=task)

    def start_lasting(self, task: Callable[[*Ts], Awaitable[object]], *args: *Ts) -> None:
        """Run a task that has no end, again and again should it have one."""
        self._nursery.start_soon(self._lasting, task, *args, name=task)

    def note_unexpected(self, where: str, error: Exception) -> None:
        """Log and count an exception; in tests it is raised again."""
        self.unexpected += 1
        log.error("%s failed unexpectedly", where, exc_info=error)
        if os.environ.get(RAISE_VARIABLE):
            raise error

    async def _guarded(self, task: Callable[[*Ts], Awaitable[object]], *args: *Ts) -> None:
        try:
            await task(*args)
        except Exception as error:  # noqa: BLE001 - see the module's text
            self.note_unexpected(getattr(task, "__qualname__", repr(task)), error)

    async def _lasting(self, task: Callable[[*Ts], Awaitable[object]], *args: *Ts) -> None:
        while True:
            await self._guarded(task, *args)
            await trio.sleep(RESTART_PAUSE_S)

"""Who does the work: so many exports at the server at a time, and two copies beside them.

Decides what is done at a time, and what a failure stops. The threads share
nothing but the notes, the board and the stop.
"""

import functools
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait

from axxonfs.cli.bulk.board import Board
from axxonfs.cli.bulk.folder import Folder
from axxonfs.cli.bulk.stopping import Stop, StoppedError
from axxonfs.cli.bulk.work import Exported, Work
from axxonfs.core import errors
from axxonfs.core.ledger import Item

# Two, so that the line is busy while a file is flushed; more would only share it.
COPIERS = 2


class Crew:
    """Does the work of a batch."""

    def __init__(self, work: Work, folder: Folder | None, board: Board, stop: Stop, *, jobs: int) -> None:
        self._work = work
        self._folder = folder
        self._board = board
        self._stop = stop
        self._running = ThreadPoolExecutor(jobs, thread_name_prefix="export")
        self._copying = ThreadPoolExecutor(COPIERS, thread_name_prefix="copy")

    def run(self, items: Iterable[Item]) -> None:
        """Do all of it, or as much as can be done until the stop; `stop.failure` says what went wrong."""
        wait([self._running.submit(self._guarded, item, functools.partial(self._export, item)) for item in items])
        self._running.shutdown()
        self._copying.shutdown()

    def _export(self, item: Item) -> None:
        exported = self._work.export(item)
        if exported is None:
            return
        if self._folder is None:
            self._work.conclude(item)
        else:
            self._copying.submit(self._guarded, item, lambda: self._copy(exported))

    def _copy(self, exported: Exported) -> None:
        assert self._folder is not None  # noqa: S101 - else nothing is copied
        self._work.copy(exported, self._folder)

    def _guarded(self, item: Item, do: Callable[[], None]) -> None:
        try:
            do()
        except StoppedError:
            pass
        except (errors.UnavailableError, errors.NameTakenError) as error:
            # The others go on; this one is left for a later command.
            self._board.left(item.name, str(error))
        except BaseException as error:  # noqa: BLE001 - whatever it is, the one who waits raises it
            self._stop.set(error)

"""What is written down of exports, so that a crash loses nothing.

Decides what whoever runs exports needs from a journal, and not how it is kept:
a mount has a database, a program that ends with its exports has nothing.
"""

import dataclasses
from typing import Protocol

from axxonfs.core.sessions import Facts
from axxonfs.wire import export_pb2


@dataclasses.dataclass(frozen=True, slots=True)
class Intent:
    """A start that was submitted and is not answered yet.

    `asked` says whether the server may have been asked for it: without, it has certainly not started.
    `known` are the ids of equal exports that there were before it, where no marker tells it from them.
    """

    marker: str
    label: str
    options: export_pb2.Options
    at_s: float
    asked: bool = True
    known: frozenset[str] = frozenset()


class Records(Protocol):
    """Blocking; called from threads, one at a time."""

    def sessions(self) -> dict[str, Facts]:
        """Return what is known of the sessions that were started here."""

    def save(self, session_id: str, options: export_pb2.Options, facts: Facts) -> None:
        """Write down what is known of a session that was started here."""

    def drop(self, session_id: str) -> None:
        """Forget a session."""


class NoRecords:
    """Nothing is written down: what is not finished when the program ends is forgotten."""

    def sessions(self) -> dict[str, Facts]:
        """Return none."""
        return {}

    def save(self, session_id: str, options: export_pb2.Options, facts: Facts) -> None:
        """Do nothing."""

    def drop(self, session_id: str) -> None:
        """Do nothing."""

"""What is written down of exports, so that a crash loses nothing.

Decides what whoever runs exports needs from a journal, and not how it is kept:
a mount has a database, a program that ends with its exports has nothing.
"""

from typing import Protocol

from axxonfs.core.sessions import Facts
from axxonfs.wire import export_pb2


class Records(Protocol):
    """Blocking; called from threads, one at a time."""

    def sessions(self) -> dict[str, Facts]:
        """Return what is known of the sessions that were started here."""

    def save(self, session_id: str, options: export_pb2.Options, facts: Facts) -> None:
        """Write down what is known of a session that was started here."""

    def drop(self, session_id: str) -> None:
        """Forget a session."""

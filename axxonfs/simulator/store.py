"""Where sessions outlive the simulator: one SQLite table and one directory of result files.

Decides the layout on disk. Not thread-safe by itself: the engine calls it under
its own lock. Imports only the records.
"""

import json
import shutil
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from axxonfs.simulator.pattern import pattern
from axxonfs.simulator.records import ResultFile, SessionRecord, from_json, to_json

_SCHEMA = "CREATE TABLE IF NOT EXISTS sessions (sequence INTEGER PRIMARY KEY, record TEXT NOT NULL)"


class Store:
    """The sessions and results below one directory."""

    def __init__(self, directory: Path) -> None:
        """Open or make them; OSError where that cannot be, as while another simulator has them open."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._results = directory / "results"
        database = directory / "sessions.sqlite"
        database.touch(mode=0o600)  # the options of an export may hold a password
        # The engine's lock keeps threads apart. Nothing here has to survive a power cut, so nothing waits for the disk.
        self._database = sqlite3.connect(database, timeout=1, check_same_thread=False, isolation_level=None)
        try:
            # A second simulator would count the same numbers, and overwrite this one's sessions.
            self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = OFF")
            self._database.execute(_SCHEMA)
        except sqlite3.Error as error:
            self._database.close()
            raise OSError(f"{database}: {error}") from error

    def load(self) -> list[SessionRecord]:
        """Return all sessions in the order of their start."""
        rows = self._database.execute("SELECT record FROM sessions ORDER BY sequence")
        return [from_json(json.loads(text)) for (text,) in rows]

    def save(self, records: Iterable[SessionRecord]) -> None:
        """Write sessions, all or none."""
        rows = [(record.sequence, json.dumps(to_json(record))) for record in records]
        self._database.execute("BEGIN")
        self._database.executemany("INSERT OR REPLACE INTO sessions VALUES (?, ?)", rows)
        self._database.execute("COMMIT")

    def delete(self, record: SessionRecord) -> None:
        """Forget a session and delete its results."""
        self._database.execute("DELETE FROM sessions WHERE sequence = ?", (record.sequence,))
        shutil.rmtree(self.directory_of(record), ignore_errors=True)

    def directory_of(self, record: SessionRecord) -> Path:
        """Return where the result files of a session lie."""
        return self._results / str(record.sequence)

    def file_of(self, record: SessionRecord, result: ResultFile) -> Path | None:
        """Return the file that holds a result, if one does."""
        return None if result.stored is None else self.directory_of(record) / result.stored

    def read(self, record: SessionRecord, result: ResultFile) -> bytes:
        """Return a whole result."""
        path = self.file_of(record, result)
        if path is not None:
            return path.read_bytes()
        if result.seed is None:
            raise ValueError(f"{result.path} is not kept here")
        return pattern(result.seed, 0, result.size)

    def close(self) -> None:
        """Close the database."""
        self._database.close()

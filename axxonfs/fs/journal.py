"""What this mount has started, so that a crash loses nothing.

A small SQLite database in the state directory: intents (a start was asked for,
its answer is not known yet), the sessions that this mount started, and the files
of `new/`. Never a secret: passwords are taken out before anything gets here.
Blocking; called from threads, one at a time. Bounded by what exists: rows go
with their sessions and files.
"""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from axxonfs.core import errors
from axxonfs.core.sessions import Facts
from axxonfs.exporting.records import Intent
from axxonfs.wire import export_pb2

_SCHEMA = """
CREATE TABLE IF NOT EXISTS intents (
  marker TEXT PRIMARY KEY, label BLOB NOT NULL, options BLOB NOT NULL, at_s REAL NOT NULL, asked INTEGER NOT NULL,
  known TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sessions (
  id TEXT PRIMARY KEY, label BLOB NOT NULL, options BLOB NOT NULL, started_s REAL, finished_s REAL,
  keep_until_s REAL, released INTEGER NOT NULL, going INTEGER NOT NULL, read_whole TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS files (
  name BLOB PRIMARY KEY, kind TEXT NOT NULL, data BLOB NOT NULL, submitted BLOB,
  mode INTEGER NOT NULL, uid INTEGER, gid INTEGER, mtime_ns INTEGER NOT NULL, until_s REAL);
CREATE TABLE IF NOT EXISTS learnt (key TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_VERSION = 2


@dataclasses.dataclass(frozen=True, slots=True)
class SavedFile:
    """An entry of `new/`; `kind` is `file`, `link` or `error`."""

    name: bytes
    kind: str
    data: bytes
    submitted: bytes | None
    mode: int
    uid: int | None
    gid: int | None
    mtime_ns: int
    until_s: float | None


@dataclasses.dataclass(frozen=True, slots=True)
class FileChanges:
    """Entries of `new/` that went, and such that are new or changed."""

    removed: tuple[bytes, ...] = ()
    saved: tuple[SavedFile, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.removed or self.saved)


NO_FILES = FileChanges()


class Journal:
    """The database of one mount; only one process may have it open."""

    def __init__(self, directory: Path) -> None:
        """Open or create it.

        Raises:
            ConfigurationError: the directory cannot be used, or another mount uses it.
        """
        self._lock = threading.Lock()
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            directory.chmod(0o700)
            self._db = sqlite3.connect(directory / "journal.sqlite", timeout=1, check_same_thread=False)
            (directory / "journal.sqlite").chmod(0o600)
            self._prepare()
        except (OSError, sqlite3.Error) as error:
            raise errors.ConfigurationError(
                f"the state directory {directory} cannot be used ({error}): is it writable, and no other mount in it?"
            ) from error

    def _prepare(self) -> None:
        # EXCLUSIVE: a second mount with the same state would start things twice.
        self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._db.execute("PRAGMA journal_mode = WAL")
        # FULL: an intent must survive a power failure, or the export might be started again.
        self._db.execute("PRAGMA synchronous = FULL")
        # What is removed is overwritten: it may have come near a secret.
        self._db.execute("PRAGMA secure_delete = ON")
        ((version,),) = self._db.execute("PRAGMA user_version")
        if version > _VERSION:
            raise sqlite3.DatabaseError("a newer axxonfs made it")
        with self._writing():
            if version == 1:
                self._db.execute("ALTER TABLE intents ADD COLUMN asked INTEGER NOT NULL DEFAULT 1")
                self._db.execute("ALTER TABLE intents ADD COLUMN known TEXT NOT NULL DEFAULT '[]'")
            for statement in _SCHEMA.split(";"):
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {_VERSION}")

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()

    def recall(self, key: str) -> str | None:
        """Return what was learnt under `key`, such as the name in the server's certificate."""
        with self._lock:
            row = self._db.execute("SELECT value FROM learnt WHERE key = ?", (key,)).fetchone()
        return str(row[0]) if row else None

    def learn(self, key: str, value: str) -> None:
        """Remember a fact about the server for the next mount."""
        with self._writing():
            self._db.execute("INSERT OR REPLACE INTO learnt VALUES (?, ?)", (key, value))

    # -- starts -----------------------------------------------------------------

    def intend(self, intent: Intent, files: FileChanges = NO_FILES) -> None:
        """Write down that a start is about to be asked for, and the spec that asks for it."""
        options = intent.options.SerializeToString()
        known = json.dumps(sorted(intent.known))
        row = (intent.marker, _bytes_of(intent.label), options, intent.at_s, intent.asked, known)
        with self._writing():
            self._db.execute("INSERT OR REPLACE INTO intents VALUES (?, ?, ?, ?, ?, ?)", row)
            self._replace(files)

    def started(self, intent: Intent, session_id: str, facts: Facts, files: FileChanges = NO_FILES) -> None:
        """Write down the session that an intent became, and the link to it."""
        with self._writing():
            self._db.execute("DELETE FROM intents WHERE marker = ?", (intent.marker,))
            self._save(session_id, intent.options, facts)
            self._replace(files)

    def given_up(self, marker: str, files: FileChanges = NO_FILES) -> None:
        """Write down that nothing came of an intent, and the text that says why."""
        with self._writing():
            self._db.execute("DELETE FROM intents WHERE marker = ?", (marker,))
            self._replace(files)

    def intents(self) -> list[Intent]:
        """Return the starts that were not answered."""
        with self._lock:
            rows = self._db.execute("SELECT marker, label, options, at_s, asked, known FROM intents").fetchall()
        return [
            Intent(marker, _label(name), _options(data), at_s, bool(asked), frozenset(json.loads(known)))
            for marker, name, data, at_s, asked, known in rows
        ]

    # -- sessions ---------------------------------------------------------------

    def save(self, session_id: str, options: export_pb2.Options, facts: Facts) -> None:
        """Write down what is known of a session that this mount started."""
        with self._writing():
            self._save(session_id, options, facts)

    def drop(self, session_id: str) -> None:
        """Forget a session."""
        with self._writing():
            self._db.execute("DELETE FROM sessions WHERE id = ?", (session_id,))

    def sessions(self) -> dict[str, Facts]:
        """Return what is known of the sessions that this mount started."""
        with self._lock:
            rows = self._db.execute(
                "SELECT id, label, options, started_s, finished_s, keep_until_s, released, going, read_whole"
                " FROM sessions"
            ).fetchall()
        return {row[0]: _facts(row[1:]) for row in rows}

    def _save(self, session_id: str, options: export_pb2.Options, facts: Facts) -> None:
        keep_until_s = None if facts.keep_until_s is None else min(facts.keep_until_s, _FOREVER_S)
        self._db.execute(
            "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                session_id,
                _bytes_of(facts.label),
                options.SerializeToString(),
                facts.started_s,
                facts.finished_s,
                keep_until_s,
                facts.released,
                facts.going,
                json.dumps(sorted(facts.read_whole)),
            ),
        )

    # -- files of new/ ------------------------------------------------------------

    def replace_files(self, files: FileChanges) -> None:
        """Write down entries of `new/` that changed and went, in one go."""
        with self._writing():
            self._replace(files)

    def files(self) -> list[SavedFile]:
        """Return the entries of `new/`."""
        with self._lock:
            return [SavedFile(*row) for row in self._db.execute("SELECT * FROM files ORDER BY rowid")]

    def _replace(self, files: FileChanges) -> None:
        self._db.executemany("DELETE FROM files WHERE name = ?", [(name,) for name in files.removed])
        self._db.executemany(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [dataclasses.astuple(file) for file in files.saved],
        )

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with self._lock, self._db:
                yield
        except sqlite3.Error as error:
            raise errors.StoreFullError(f"the journal in the state directory cannot be written: {error}") from error


# SQLite stores infinity, but JSON and dates do not: the year 9999 stands for it.
_FOREVER_S = 253402300799.0


def _options(data: bytes) -> export_pb2.Options:
    return export_pb2.Options.FromString(data)


def _bytes_of(label: str) -> bytes:
    # Names of files need not be UTF-8, and SQLite takes no other texts.
    return label.encode(errors="surrogateescape")


def _label(name: bytes) -> str:
    return name.decode(errors="surrogateescape")


def _facts(row: tuple[bytes, bytes, float | None, float | None, float | None, int, int, str]) -> Facts:
    name, options, started_s, finished_s, keep_until_s, released, going, read_whole = row
    return Facts(
        own=True,
        label=_label(name),
        sent=_options(options),
        started_s=started_s,
        finished_s=finished_s,
        keep_until_s=math.inf if keep_until_s == _FOREVER_S else keep_until_s,
        released=bool(released),
        going=bool(going),
        read_whole=set(json.loads(read_whole)),
    )


def state_base() -> Path:
    """Return the directory of all journals: root's in /var/lib, a user's in the user's own state."""
    if os.geteuid() == 0:
        return Path("/var/lib/axxonfs")
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "axxonfs"


def directory_of(host: str, port: int, user: str, mountpoint: Path) -> Path:
    """Return the default state directory of a mount: one for each server, account and mountpoint."""
    place = hashlib.sha256(os.fsencode(mountpoint)).hexdigest()[:8]
    return state_base() / f"{host}_{port}_{user}_{place}".replace("/", "_")

"""The directory that exports are copied into: its ledger, what is copied, and the papers at the end.

Decides how a file gets there: under a temporary name, flushed to the disk, noted
in the ledger, then renamed; nothing that is there already is written over. What
goes wrong with the directory is a StoreFullError, which stops all work: what is
there stays, and a later command goes on with it. Several threads use one object.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from axxonfs.core import batch, errors, manifest
from axxonfs.core import ledger as ledgers

LEDGER = ".axxonfs-export"
_PIECE_BYTES = 1 << 20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Notes(Protocol):
    """Where it is written down what happens to the exports."""

    ledger: ledgers.Ledger

    def note(self, event: Mapping[str, Any]) -> None:
        """Write an event down."""


class Memory:
    """Notes of a command that copies nothing: nobody could go on with them."""

    def __init__(self, header: ledgers.Header, orders: Iterable[batch.Order]) -> None:
        self.ledger = ledgers.Ledger(header)
        self._lock = threading.Lock()
        for order in orders:
            self.note(ledgers.ordered(order))

    def note(self, event: Mapping[str, Any]) -> None:
        """Remember an event."""
        with self._lock:
            self.ledger.take(event)


class Folder:
    """DIR, held by one command at a time; `begin` or `load` comes before anything else.

    Where neither comes, because what was asked for is refused, `close` takes away what was made here.
    """

    ledger: ledgers.Ledger

    def __init__(self, path: Path) -> None:
        """Make it, unless it is there.

        Raises:
            ConfigurationError: it cannot be used, or another command works in it.
        """
        self.path = path
        self._lock = threading.Lock()
        self._ledger_file: int | None = None
        self._made: list[Path] = []  # innermost first
        try:
            self._made = [each for each in (path, *path.parents) if not each.exists()]
            path.mkdir(parents=True, exist_ok=True)
            self._directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            self._unmake()
            raise errors.ConfigurationError(f"--into: {path} cannot be used: {error.strerror}") from error
        if not os.access(path, os.W_OK | os.X_OK):
            raise errors.ConfigurationError(f"--into: {path} cannot be written by this user")
        self._hold()

    def _hold(self) -> None:
        try:
            fcntl.flock(self._directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            words = f"another `axxonfs export` works in {self.path}: let it end first"
            raise errors.ConfigurationError(words) from error
        except OSError:
            pass  # not every file system can lock a directory

    def close(self) -> None:
        """Let go of it; where nothing was begun, nothing stays of what was made here."""
        if self._ledger_file is None:
            self._unmake()
        for file in (self._ledger_file, self._directory):
            if file is not None:
                os.close(file)

    def _unmake(self) -> None:
        for path in self._made:
            with contextlib.suppress(OSError):  # somebody else has put something there
                path.rmdir()

    @property
    def has_ledger(self) -> bool:
        """Whether an earlier command has left something to go on with."""
        return (self.path / LEDGER).exists()

    @property
    def is_empty(self) -> bool:
        """Whether nothing is in it, but for what a command left that had begun nothing."""
        return all(path.name == _temporary(LEDGER) for path in self.path.iterdir())

    # -- the ledger -------------------------------------------------------------------

    def begin(self, header: ledgers.Header, orders: Iterable[batch.Order]) -> None:
        """Write a new ledger: all that was ordered, or nothing."""
        lines = [ledgers.first_line(header), *(ledgers.line_of(ledgers.ordered(order)) for order in orders)]
        self._replace(LEDGER, b"".join(lines))
        self.load()

    def load(self) -> None:
        """Read the ledger, and open it for what is to come.

        Raises:
            ConfigurationError: it cannot be used.
        """
        path = self.path / LEDGER
        try:
            text = path.read_bytes()
            self.ledger = ledgers.read(text)
            self._ledger_file = os.open(path, os.O_WRONLY | os.O_APPEND)
            os.ftruncate(self._ledger_file, len(ledgers.whole_lines(text)))
        except (OSError, errors.InvalidError) as error:
            raise errors.ConfigurationError(f"{path} cannot be used: {error}") from error
        self._take_up()

    def _take_up(self) -> None:
        """Bring in order what an interruption left."""
        boot = _boot_id()
        for copy in self._copies():
            part = self.path / _temporary(copy.name)
            if copy.sha256 is not None and part.exists():
                self._put(copy.name)  # all of it is there and noted, but for its name
            elif copy.sha256 is None and self.ledger.boot not in {"", boot}:
                part.unlink(missing_ok=True)  # what was not flushed may not have outlived the machine
        if self.ledger.boot != boot:
            self.note({"event": "boot", "name": boot})

    def _copies(self) -> list[ledgers.Copy]:
        return [copy for item in self.ledger.items.values() for copy in item.copies.values()]

    def note(self, event: Mapping[str, Any]) -> None:
        """Write an event into the ledger; it is on the disk when this returns."""
        with self._lock, self._writing():
            assert self._ledger_file is not None  # noqa: S101 - begin or load comes first
            os.write(self._ledger_file, ledgers.line_of(event))
            os.fsync(self._ledger_file)
            self.ledger.take(event)

    # -- results ------------------------------------------------------------------------

    def claim(self, name: str, file: Mapping[str, Any]) -> ledgers.Copy:
        """Return what is known of a result's copy; the first time, give it a name in the directory."""
        item = self.ledger.items[name]
        if file["path"] not in item.copies:
            with self._lock:
                taken = self.ledger.local_names | {LEDGER, manifest.NAME, manifest.SUMS_NAME}
                own = batch.local_name(file["name"], taken)
                # Taken at once: another thread must not give it away before it is noted.
                item.copies[file["path"]] = ledgers.Copy(own, file["size"])
            self.note({"event": "claimed", "name": name, "path": file["path"], "file": own, "size": file["size"]})
        return item.copies[file["path"]]

    def receive(self, copy: ledgers.Copy, read: Callable[[int], bytes], advanced: Callable[[int], None]) -> str:
        """Copy a result under its temporary name, from where an earlier copy ended, and return its hash.

        Args:
            copy: what is to be copied; all of its bytes are on the disk when this returns.
            read: returns some bytes from an offset, nothing only at the end; raises no OSError.
            advanced: is told how many bytes are there.

        Raises:
            NameTakenError: a file that is not from here has its name.
            WrongBytesError: the result is not as long as it was said to be.
        """
        if (self.path / copy.name).exists():
            raise errors.NameTakenError(f"{self.path / copy.name} is there already, and not from here: move it away")
        sha256 = hashlib.sha256()
        with self._writing():
            part = os.open(self.path / _temporary(copy.name), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
            try:
                there = _hashed_again(part, copy.size, sha256, advanced)
                while piece := read(there) if there < copy.size else b"":
                    _write(part, piece)
                    sha256.update(piece)
                    there += len(piece)
                    advanced(there)
                os.fsync(part)
            finally:
                os.close(part)
        if there != copy.size:
            raise errors.WrongBytesError(f"{copy.name} ended after {there} of {copy.size} bytes")
        return sha256.hexdigest()

    def keep(self, name: str, path: str, sha256: str) -> None:
        """Note that a result is here whole, and give it its name."""
        copy = self.ledger.items[name].copies[path]
        # In this order: what has its name and is not noted is not from here.
        self.note({"event": "copied", "name": name, "path": path, "sha256": sha256})
        self._put(copy.name)

    # -- the papers -----------------------------------------------------------------------

    def write_papers(self, document: Mapping[str, Any]) -> None:
        """Write manifest and sums; once nothing is left to do, the ledger goes."""
        text = (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "surrogateescape")
        self._replace(manifest.NAME, text)
        own = (manifest.NAME, hashlib.sha256(text).hexdigest())
        self._replace(manifest.SUMS_NAME, manifest.sums([own, *manifest.copied(self.ledger)]))
        if self.ledger.finished:
            with self._writing():
                (self.path / LEDGER).unlink()

    def read_manifest(self) -> dict[str, Any] | None:
        """Return the manifest that an earlier command wrote; None where there is none."""
        try:
            document: dict[str, Any] = json.loads((self.path / manifest.NAME).read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return document

    # -- inside -----------------------------------------------------------------------------

    def _replace(self, name: str, text: bytes) -> None:
        """Write a file of ours so that there is the old one or the new one, whatever happens."""
        with self._writing():
            file = os.open(self.path / _temporary(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            try:
                _write(file, text)
                os.fsync(file)
            finally:
                os.close(file)
            self._put(name)

    def _put(self, name: str) -> None:
        with self._writing():
            (self.path / _temporary(name)).rename(self.path / name)
            os.fsync(self._directory)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            problem = "is full" if error.errno in _FULL else f"cannot be written ({error.strerror})"
            raise errors.StoreFullError(f"{self.path} {problem}") from error


def _temporary(name: str) -> str:
    return f"{name}.part"


def _write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _hashed_again(part: int, size: int, sha256: "hashlib._Hash", advanced: Callable[[int], None]) -> int:
    """Feed what is there of a copy to the hash; return how much that is."""
    if os.fstat(part).st_size > size:
        os.ftruncate(part, 0)
    there = 0
    while piece := os.pread(part, _PIECE_BYTES, there):
        sha256.update(piece)
        there += len(piece)
        advanced(there)
    return there


def _boot_id() -> str:
    """Return what tells this run of the machine from others."""
    return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()

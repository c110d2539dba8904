"""Which passwords a server has refused, remembered over restarts: an account is locked by trying them again.

Decides when a password counts as the one that was refused: while its file is the same and was not changed. Of one that
comes from a variable nobody can tell: where processes share what they know, it is tried again more and more seldom, and
by one of them at a time. Holds neither the password nor anything that it could be guessed from. Blocking (a small
file), without state: any thread may call it. Imports no grpc.
"""

import contextlib
import datetime as dt
import hashlib
import json
import os
import time
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path

from axxonfs.core import errors
from axxonfs.remote.locks import try_lock

_FILE_NAME = "refused.json"
_LOCK_NAME = "login.lock"

# Between two tries of passwords that come from variables, by all processes of a machine; doubled each time. Guessed:
# six tries in the first hour, where servers lock accounts after a handful, and a mended variable is soon believed.
VARIABLE_PAUSES_S = (60.0, 3600.0)
# Between two looks at a lock that another process has: files give no event when it is let go.
_LOOK_EVERY_S = 0.05


class Refusals:
    """The refusals of one account at one server.

    They are written into `directory` and looked up there and in `others`, which are the directories of other mounts.
    """

    def __init__(self, account: str, directory: Path, others: Iterable[Path] = ()) -> None:
        self._account = account
        self._path = directory / _FILE_NAME
        self._others = [other / _FILE_NAME for other in others]

    @contextlib.contextmanager
    def turn(self, timeout_s: float) -> Iterator[None]:
        """Hold while a login is tried: what one learns the next one knows. A mount shares its directory with nobody."""
        del timeout_s
        yield

    def words(self, version: Hashable) -> str | None:
        """Return why this password was refused before; None if it was not, or if nobody can tell."""
        key = _key(version)
        for path in (self._path, *self._others):
            row = _read(path).get(self._account, {})
            if key is not None and row.get("password") == key:
                return (
                    f"{row.get('words')}: the server said so on {row.get('at')}, and the password is not tried again "
                    "until the file changes: mend it, or `touch` it once the account is in order"
                )
        return None

    def add(self, version: Hashable, words: str) -> None:
        """Remember a refusal; a full disk costs only the memory."""
        key = _key(version)
        if key is None:
            return
        row = {"password": key, "words": words, "at": _instant(time.time())}
        self._write({**_read(self._path), self._account: row})

    def accepted(self) -> None:
        """Take note of a login that was accepted."""

    def _write(self, rows: dict[str, dict[str, str]]) -> None:
        scratch = self._path.with_suffix(".new")
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(rows, file, indent=2)
            scratch.replace(self._path)


class SharedRefusals(Refusals):
    """The refusals of one account at one server, for all processes that use `directory`, which is for it alone."""

    def __init__(self, account: str, directory: Path) -> None:
        super().__init__(account, directory)
        self._lock_path = directory / _LOCK_NAME

    @contextlib.contextmanager
    def turn(self, timeout_s: float) -> Iterator[None]:
        """Hold while a login is tried, one process at a time.

        Raises:
            DeadlineError: another one tries for longer than `timeout_s`.
            ConfigurationError: the directory cannot be used.
        """
        deadline_s = time.monotonic() + timeout_s
        try:
            self._lock_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise errors.ConfigurationError(f"{self._lock_path} cannot be used: {error.strerror}") from error
        while (lock := try_lock(self._lock_path)) is None:
            if time.monotonic() >= deadline_s:
                raise errors.DeadlineError("cannot log in: another process is still waiting for the server")
            time.sleep(_LOOK_EVERY_S)
        try:
            yield
        finally:
            lock.release()

    def words(self, version: Hashable) -> str | None:
        """Return why this password is not tried now."""
        if _key(version) is not None:
            return super().words(version)
        row, now_s = self._row, time.time()
        until_s = _number(row, "until")
        # What lies further ahead was written by a clock that went wrong.
        if not now_s < until_s <= now_s + VARIABLE_PAUSES_S[1]:
            return None
        return (
            f"{row.get('words')}: the server said so on {row.get('at')}, and a password from a variable is not tried "
            f"again on this machine before {_instant(until_s)}: mend it and wait, or give password_file=FILE"
        )

    def add(self, version: Hashable, words: str) -> None:
        """Remember a refusal."""
        if _key(version) is not None:
            super().add(version, words)
            return
        least_s, most_s = VARIABLE_PAUSES_S
        pause_s = min(most_s, max(least_s, 2 * _number(self._row, "pause")))
        now_s = time.time()
        row = {"words": words, "at": _instant(now_s), "until": f"{int(now_s + pause_s)}", "pause": f"{pause_s:g}"}
        self._write({self._account: row})

    def accepted(self) -> None:
        """Forget what was refused before: the account is in order."""
        if self._row:
            self._write({})

    @property
    def _row(self) -> dict[str, str]:
        return _read(self._path).get(self._account, {})


def _number(row: dict[str, str], name: str) -> float:
    """Return what a damaged file need not hold; 0 then."""
    with contextlib.suppress(TypeError, ValueError):
        return float(row.get(name, 0.0))
    return 0.0


def _instant(epoch_s: float) -> str:
    return dt.datetime.fromtimestamp(epoch_s, dt.UTC).isoformat(timespec="seconds")


def _key(version: Hashable) -> str | None:
    """Return what stands for a state of a password file; None for what only this process could recognise."""
    if not isinstance(version, tuple):
        return None
    return hashlib.blake2b(repr(version).encode(), digest_size=16).hexdigest()


def _read(path: Path) -> dict[str, dict[str, str]]:
    with contextlib.suppress(OSError, ValueError, AttributeError):  # it may hold anything
        rows = json.loads(path.read_text("utf-8"))
        return {account: row for account, row in rows.items() if isinstance(row, dict)}
    return {}

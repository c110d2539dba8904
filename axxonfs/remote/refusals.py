"""Which passwords a server has refused, remembered over restarts: an account is locked by trying them again.

Decides when a password counts as the one that was refused: while its file is the same and was not changed. Holds
neither the password nor anything that it could be guessed from. Blocking (a small file), without state: any thread may
call it. Imports no grpc.
"""

import contextlib
import datetime as dt
import hashlib
import json
import os
from collections.abc import Hashable, Iterable
from pathlib import Path

_FILE_NAME = "refused.json"


class Refusals:
    """The refusals of one account at one server.

    They are written into `directory` and looked up there and in `others`, which are the directories of other mounts.
    """

    def __init__(self, account: str, directory: Path, others: Iterable[Path] = ()) -> None:
        self._account = account
        self._path = directory / _FILE_NAME
        self._others = [other / _FILE_NAME for other in others]

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
        at = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        rows = {**_read(self._path), self._account: {"password": key, "words": words, "at": at}}
        scratch = self._path.with_suffix(".new")
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(rows, file, indent=2)
            scratch.replace(self._path)


def _key(version: Hashable) -> str | None:
    """Return what stands for a state of a password file; None for what only this process could recognise."""
    if not isinstance(version, tuple):
        return None
    return hashlib.blake2b(repr(version).encode(), digest_size=16).hexdigest()


def _read(path: Path) -> dict[str, dict[str, str]]:
    with contextlib.suppress(OSError, ValueError):
        rows = json.loads(path.read_text("utf-8"))
        return {account: row for account, row in rows.items() if isinstance(row, dict)}
    return {}

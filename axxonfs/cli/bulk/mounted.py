"""A mount as the commands that work through it see it: ordinary files, and nothing else.

Decides what becomes of the errors of files in a mount. Everything but the write
of a document and the read of a result is answered from the mount's memory, so
nothing here waits for a server. Blocking; any thread may call it.
"""

import contextlib
import errno
import json
import os
import select
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from axxonfs.core import cameras, errors, names
from axxonfs.core.ledger import Seen
from axxonfs.fs import mountpoint

# What the kernel answers for a mount whose daemon has gone, or that was taken away.
_MOUNT_GONE = frozenset({errno.ENOTCONN, errno.ECONNABORTED, errno.ENODEV})
_PIECE_BYTES = 1 << 20
_SUBMITTED_MODE = 0o600


@contextlib.contextmanager
def translated(what: str) -> Iterator[None]:
    """Make the errors of files in a mount domain errors; `what` names the file."""
    try:
        yield
    except OSError as error:
        if error.errno in _MOUNT_GONE:
            raise errors.MountpointError(f"the mount has gone ({error.strerror}): mount it again") from error
        if error.errno in {errno.ENOENT, errno.ESTALE}:
            raise errors.SessionGoneError(f"{what} has gone") from error
        if error.errno == errno.ENOSPC:
            raise errors.StoreFullError(f"the mount has no room for {what}: {error.strerror}") from error
        raise


@contextlib.contextmanager
def entered(path: Path) -> Iterator[None]:
    """Do the same where a mount is looked into for the first time, which may be somebody else's."""
    try:
        with translated(str(path)):
            yield
    except PermissionError as error:
        raise errors.MountpointError(
            f"{path} is closed to this user: only who mounted it can look into it, unless it was mounted with "
            "allow_other"
        ) from error


class Mounted:
    """The mount at a mountpoint."""

    def __init__(self, where: str) -> None:
        """Look whether there is one.

        Raises:
            MountpointError: there is none of ours, or it is dead.
        """
        self.path = mountpoint.canonical(where)
        found = mountpoint.find(self.path)
        if found is None:
            raise errors.MountpointError(f"nothing is mounted at {self.path}: run `axxonfs mount` first")
        if found.fstype != mountpoint.FSTYPE:
            raise errors.MountpointError(f"{self.path} is a mount of {found.fstype}, not one of axxonfs")
        if mountpoint.is_dead(self.path):
            raise errors.MountpointError(f"the mount at {self.path} has crashed: mount it again")

    def about(self) -> dict[str, Any]:
        """Return what `mount.json` says."""
        with entered(self.path):
            document: dict[str, Any] = json.loads((self.path / ".axxonfs" / "mount.json").read_text("utf-8"))
            return document

    def cameras(self) -> list[cameras.Camera]:
        """Return the cameras that can be exported, as the mount last saw them."""
        found = []
        with entered(self.path):
            folders = list((self.path / "cameras").iterdir())
        for folder in folders:
            with contextlib.suppress(errors.SessionGoneError), translated(folder.name):
                text = (folder / "camera.json").read_text("utf-8")
                found.append(cameras.camera_of_document(json.loads(text)))
        return found

    def check_writable(self) -> None:
        """Check that exports can be started.

        Raises:
            MountpointError: it is read-only, or belongs to somebody else.
        """
        new = self.path / "new"
        with entered(self.path):
            is_there = new.is_dir()
        if not is_there:
            raise errors.MountpointError(f"{self.path} is mounted read-only: exports cannot be started there")
        if not os.access(new, os.W_OK | os.X_OK):
            raise errors.MountpointError(
                f"{new} cannot be written by this user: who mounted it can, or the owner `uid`"
            )

    # -- new/ -----------------------------------------------------------------------

    def submit(self, name: str, document: bytes) -> None:
        """Write a document to `new/`, and wait for the server's answer.

        Raises:
            RefusedError: nothing was started; the text says why.
            StoreFullError: nothing was started, and nothing will be before there is room.
            InDoubtError: the server did not answer; the same document written again is safe.
        """
        with translated(f"new/{name}.json"):
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            file = os.open(self._entry(name, "json"), flags, _SUBMITTED_MODE)
            try:
                # In one go, so that there is no half of it.
                os.write(file, document + b"\n")
            except OSError as error:
                if error.errno in _MOUNT_GONE:
                    raise
                words = self.refusal(name) or error.strerror or repr(error)
                if error.errno == errno.ENOSPC:
                    # The mount's own disk is full, which is no answer of the server.
                    raise errors.StoreFullError(words) from error
                raise (errors.InDoubtError if error.errno == errno.EIO else errors.RefusedError)(words) from error
            finally:
                close(file)  # a refusal is said once more

    def seen(self, name: str) -> Seen:
        """Return what `new/` shows of an export."""
        with translated("new/"):
            spec = self._entry(name, "json")
            return Seen(
                link=self._entry(name, "session").is_symlink(),
                error=self._entry(name, "error").exists(),
                spec_bytes=spec.stat().st_size if spec.exists() else 0,
            )

    def refusal(self, name: str) -> str:
        """Return what `NAME.error` says; empty if there is none."""
        with contextlib.suppress(OSError):
            return self._entry(name, "error").read_text("utf-8").strip()
        return ""

    def session_of(self, name: str) -> Path:
        """Return the directory that `NAME.session` leads to."""
        with translated(f"new/{name}.session"):
            return self.path / "sessions" / self._entry(name, "session").readlink().name

    def labelled(self, name: str) -> Path | None:
        """Return the session that this mount started for NAME, also where `NAME.session` does not lead there any more.

        Reads the text of every session, so it is for the rare case.
        """
        with translated("sessions/"):
            sessions = list((self.path / "sessions").iterdir())
        for session in sessions:
            with contextlib.suppress(errors.SessionGoneError):
                if read_text(session, "status.json")["label"] == name:
                    return session
        return None

    def find_session(self, session_id: str, directory: str) -> Path:
        """Return the directory of a session, also if another mount of the server calls it otherwise.

        Raises:
            SessionGoneError: the mount does not show it.
        """
        sessions = self.path / "sessions"
        with translated("sessions/"):
            if (sessions / directory).is_dir():
                return sessions / directory
            tag = f"_{names.tag(session_id)}"
            for path in sessions.iterdir():
                if path.name.rstrip("~").endswith(tag):
                    return path
        raise errors.SessionGoneError("the mount does not show its session any more")

    def tidy(self, name: str) -> None:
        """Take the entries of an export out of `new/`, which touches no session."""
        for kind in ("json", "session", "error"):
            with contextlib.suppress(OSError):
                self._entry(name, kind).unlink()

    def _entry(self, name: str, kind: str) -> Path:
        return self.path / "new" / f"{name}.{kind}"


def close(descriptor: int) -> None:
    """Close a file in a mount; where the mount has gone, the kernel complains here, too."""
    with contextlib.suppress(OSError):
        os.close(descriptor)


def release(session: Path) -> None:
    """Have the mount keep a session alive no longer; what cannot be let go expires by itself."""
    with contextlib.suppress(OSError):
        (session / "control").write_bytes(b"release")


def read_text(session: Path, name: str) -> dict[str, Any]:
    """Return what a text of a session says.

    Raises:
        SessionGoneError, MountpointError: it is not there any more.
    """
    with translated(session.name):
        document: dict[str, Any] = json.loads((session / name).read_text("utf-8"))
        return document


class Following:
    """An open `status.json`: read again and again, and waited for in between."""

    def __init__(self, session: Path) -> None:
        """Open it.

        Raises:
            SessionGoneError, MountpointError: it is not there.
        """
        self._name = session.name
        with translated(self._name):
            self.descriptor = os.open(session / "status.json", os.O_RDONLY)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it."""
        close(self.descriptor)

    def look(self) -> dict[str, Any]:
        """Return what it says now.

        Raises:
            SessionGoneError, MountpointError: it is not there any more.
        """
        text = b""
        with translated(self._name):
            # One picture of it: the mount takes it anew only for a read of the beginning.
            while piece := os.pread(self.descriptor, _PIECE_BYTES, len(text)):
                text += piece
        document: dict[str, Any] = json.loads(text)
        return document

    def wait(self, stop: int, timeout_s: float) -> None:
        """Wait until it has changed since the last look, `stop` can be read, or the time is over."""
        poll = select.poll()
        poll.register(self.descriptor, select.POLLPRI)
        poll.register(stop, select.POLLIN)
        poll.poll(timeout_s * 1000)

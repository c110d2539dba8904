"""Whose login it is, and where its password is read from, anew for every login.

Decides which password sources are safe to use and when they have changed. No
password is kept, shown or put into an error. Imports no grpc. Blocking (a small
file), without state: any thread may call it. Facts: docs/semantics.md, "Commands".
"""

import dataclasses
import os
import stat
from collections.abc import Hashable
from pathlib import Path
from typing import Protocol, Self

from axxonfs.core import errors

PASSWORD_VARIABLE = "AXXONFS_PASSWORD"  # noqa: S105 - the name of a variable
SYSTEMD_CREDENTIAL = "axxonfs.password"

_PASSWORD_LIMIT_BYTES = 4096  # a wrong path must not read a film into memory
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclasses.dataclass(frozen=True, slots=True)
class Password:
    """A password, and what tells it from the one that its source held before."""

    value: str = dataclasses.field(repr=False)
    version: Hashable = dataclasses.field(repr=False)


class PasswordSource(Protocol):
    """Something a password is read from."""

    def read(self) -> Password:
        """Return the password as it is now; CredentialsError says why there is none."""

    def version(self) -> Hashable:
        """Return what changes whenever the password may have changed; None where there is none."""


@dataclasses.dataclass(frozen=True, slots=True)
class PasswordFile:
    """A file with the password on its only line.

    `guarded` says that its directory keeps others out, whatever its own mode is:
    systemd's does, and lends its files to the service by an access list that
    shows as a readable group.
    """

    path: Path
    guarded: bool = False

    @classmethod
    def of_systemd(cls, name: str) -> Self:
        """Return the credential `name` that systemd lends to this service."""
        directory = os.environ.get("CREDENTIALS_DIRECTORY")
        if not directory:
            raise errors.CredentialsError(f"there is no credential {name}: systemd lends none (LoadCredential=)")
        return cls(Path(directory) / name, guarded=True)

    def read(self) -> Password:
        """Return the password as it is now."""
        try:
            # A pipe would block here for ever without O_NONBLOCK, and could be read only once.
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise errors.CredentialsError(f"cannot read the password file {self.path}: {error.strerror}") from error
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            self._check(status)
            return Password(_one_line(file.read(_PASSWORD_LIMIT_BYTES + 1), f"{self.path}"), _version(status))

    def version(self) -> Hashable:
        """Return which file it is and when it was last changed."""
        try:
            return _version(self.path.stat())
        except OSError:
            return None

    def _check(self, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise errors.CredentialsError(f"{self.path} is no regular file; the password is read anew at every login")
        if not self.guarded and status.st_mode & _OTHERS:
            raise errors.CredentialsError(f"others may read the password in {self.path}: run `chmod 600 {self.path}`")


@dataclasses.dataclass(frozen=True, slots=True)
class PasswordVariable:
    """What an environment variable held; `value` is that, for a process that forgets the variable itself."""

    name: str
    value: str = dataclasses.field(repr=False)

    def read(self) -> Password:
        """Return the password."""
        return Password(_one_line(os.fsencode(self.value), f"the environment variable {self.name}"), self.version())

    def version(self) -> Hashable:
        """Return always the same: what a process was given does not change."""
        return self.name if self.value else None


@dataclasses.dataclass(frozen=True, slots=True)
class Credentials:
    """An account and where its password is."""

    user: str
    source: PasswordSource


def password_source(path: Path | None) -> PasswordSource:
    """Return where this process reads its password: the file `path`, else the environment, else systemd.

    Raises:
        CredentialsError: nothing says where.
    """
    if path:
        return PasswordFile(path)
    if os.environ.get(PASSWORD_VARIABLE):
        return PasswordVariable(PASSWORD_VARIABLE, os.environ[PASSWORD_VARIABLE])
    if os.environ.get("CREDENTIALS_DIRECTORY"):
        return PasswordFile.of_systemd(SYSTEMD_CREDENTIAL)
    raise errors.CredentialsError(
        f"no password: give the option password_file=FILE (a file with mode 0600), or set {PASSWORD_VARIABLE}"
    )


def _version(status: os.stat_result) -> Hashable:
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def _one_line(content: bytes, source: str) -> str:
    """Return the only line of `content`; spaces are part of a password, the line's end is not."""
    line = content.removesuffix(b"\n").removesuffix(b"\r")
    if not line:
        raise errors.CredentialsError(f"{source} holds no password")
    # A UnicodeDecodeError would carry the password along.
    text = line.decode("utf-8", "replace")
    if len(line) > _PASSWORD_LIMIT_BYTES or "\n" in text or "\ufffd" in text:
        raise errors.CredentialsError(f"{source} must hold the password alone, as one line of UTF-8 text")
    return text

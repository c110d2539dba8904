"""The family of domain errors, and the one table from error to errno.

Decides which failures exist and what a program that uses the mount sees of
each. Foreign exceptions (gRPC statuses, operating system errors) become one of
these at their border and never travel further. Imports nothing of ours and does
no I/O. Facts: the table "Errors" of docs/semantics.md.
"""

import errno


class AxxonfsError(Exception):
    """Base of every failure that axxonfs foresees. The text is for people: what is wrong, what to do."""


class NoSuchNameError(AxxonfsError):
    """The name does not exist in the mount."""


class SessionGoneError(AxxonfsError):
    """The server no longer has the session (or the result) that was asked for."""


class AccessError(AxxonfsError):
    """The server does not let this account do that."""


class LoginRefusedError(AccessError):
    """The server refused the credentials; they are not tried again until they change."""


class LoginDelayedError(AccessError):
    """The account cannot log in now (locked, blocked, limit of connections); a later try may succeed."""


class TokenRejectedError(AccessError):
    """The server did not accept the token of a call; a fresh login may help."""


class InvalidError(AxxonfsError):
    """What was asked for is wrong, or was refused by the server as wrong."""


class RefusedError(InvalidError):
    """The server understood the request and refused it; the text holds its words."""


class NotServedError(RefusedError):
    """The server lacks the call, or a part of itself that the call needs; while it starts, it may."""


class SpecError(InvalidError):
    """A spec document is wrong.

    `path` is the key it is about, as in `cameras[1]`; empty for the whole
    document. The text already names it.
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path


class TooLargeError(AxxonfsError):
    """A document is larger than what the mount takes."""


class NotAllowedError(AxxonfsError):
    """The mount does not allow this operation here."""


class NameTakenError(AxxonfsError):
    """The name exists already and must not."""


class NotEmptyError(AxxonfsError):
    """The directory still shows something that must not be lost."""


class EntryIsDirectoryError(AxxonfsError):
    """A file operation met a directory."""


class EntryIsNoDirectoryError(AxxonfsError):
    """A directory operation met something else."""


class NameTooLongError(AxxonfsError):
    """The name is longer than 255 bytes."""


class NoAttributeError(AxxonfsError):
    """There is no such extended attribute."""


class NotSupportedError(AxxonfsError):
    """The mount has no such feature; tools take this silently."""


class NotALinkError(AxxonfsError):
    """The entry is not a symbolic link."""


class StoreFullError(AxxonfsError):
    """A bounded store of the mount is full."""


class UnavailableError(AxxonfsError):
    """The server did not deliver, or not in time, or not what it promised."""


class ServerAwayError(UnavailableError):
    """The server cannot be reached, or a part of it is offline."""


class NotSentError(ServerAwayError):
    """The call did not leave this machine: nothing was done."""


class DeadlineError(UnavailableError):
    """The operation did not finish before its deadline."""


class StreamBrokenError(UnavailableError):
    """A download ended early or was aborted; it may be resumed at the next missing chunk."""


class StalledError(StreamBrokenError):
    """A download brought nothing for too long; its connection may be dead without knowing it."""


class WrongBytesError(UnavailableError):
    """The server sent a chunk that contradicts what it said before; never cached, never shown."""


class InDoubtError(UnavailableError):
    """It is not known whether the export started; the mount goes on looking."""


class CertificateError(AxxonfsError):
    """The server's certificate is not the one that this mount may trust."""


class CredentialsError(AxxonfsError):
    """No usable credentials: the file is missing, readable by others, or empty."""


class MountpointError(AxxonfsError):
    """The mountpoint cannot be used."""


class MountpointBusyError(MountpointError):
    """Something is mounted there already."""


class MountpointHeldError(MountpointError):
    """Processes hold files below the mountpoint."""


class NoFuseError(AxxonfsError):
    """This machine cannot mount FUSE file systems as it is."""


class ConfigurationError(AxxonfsError):
    """An option has a wrong value, or options contradict each other."""


# Most specific first: the first class that matches decides. Doubtful rows:
# - LoginRefusedError and AccessError are EACCES, not EPERM: EPERM is what the
#   mount itself forbids, EACCES what the account may not do.
# - A missing session is ESTALE here because whoever holds a handle or waits in
#   a read meets it; a lookup never raises it but NoSuchNameError.
# - Everything about the server's absence or wrong answers is EIO: programs retry
#   or stop on EIO, and none of them takes it for the end of a file.
_TABLE: tuple[tuple[type[AxxonfsError], int], ...] = (
    (NoSuchNameError, errno.ENOENT),
    (SessionGoneError, errno.ESTALE),
    (AccessError, errno.EACCES),
    (CertificateError, errno.EACCES),
    (CredentialsError, errno.EACCES),
    (InvalidError, errno.EINVAL),
    (ConfigurationError, errno.EINVAL),
    (TooLargeError, errno.EFBIG),
    (NotAllowedError, errno.EPERM),
    (NameTakenError, errno.EEXIST),
    (NotEmptyError, errno.ENOTEMPTY),
    (EntryIsDirectoryError, errno.EISDIR),
    (EntryIsNoDirectoryError, errno.ENOTDIR),
    (NameTooLongError, errno.ENAMETOOLONG),
    (NoAttributeError, errno.ENODATA),
    (NotSupportedError, errno.ENOTSUP),
    (NotALinkError, errno.EINVAL),
    (StoreFullError, errno.ENOSPC),
    (UnavailableError, errno.EIO),
)


def errno_of(error: AxxonfsError) -> int:
    """Return the errno that a program sees for `error`; EIO for a class without a row."""
    for kind, number in _TABLE:
        if isinstance(error, kind):
            return number
    return errno.EIO

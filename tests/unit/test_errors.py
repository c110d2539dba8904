"""Each failure has one errno for programs and one exit status for scripts: what the documents promise of both."""

import errno
from collections.abc import Iterator

import pytest

from axxonfs.cli import exits
from axxonfs.core import errors

ERRNOS: dict[type[errors.AxxonfsError], int] = {
    errors.NoSuchNameError: errno.ENOENT,
    errors.SessionGoneError: errno.ESTALE,
    errors.AccessError: errno.EACCES,
    errors.LoginRefusedError: errno.EACCES,
    errors.LoginDelayedError: errno.EACCES,
    errors.TokenRejectedError: errno.EACCES,
    errors.CertificateError: errno.EACCES,
    errors.CredentialsError: errno.EACCES,
    errors.InvalidError: errno.EINVAL,
    errors.RefusedError: errno.EINVAL,
    errors.NotServedError: errno.EINVAL,
    errors.SpecError: errno.EINVAL,
    errors.ConfigurationError: errno.EINVAL,
    errors.NotALinkError: errno.EINVAL,
    errors.TooLargeError: errno.EFBIG,
    errors.NotAllowedError: errno.EPERM,
    errors.NameTakenError: errno.EEXIST,
    errors.NotEmptyError: errno.ENOTEMPTY,
    errors.EntryIsDirectoryError: errno.EISDIR,
    errors.EntryIsNoDirectoryError: errno.ENOTDIR,
    errors.NameTooLongError: errno.ENAMETOOLONG,
    errors.NoAttributeError: errno.ENODATA,
    errors.NotSupportedError: errno.ENOTSUP,
    errors.StoreFullError: errno.ENOSPC,
    errors.UnavailableError: errno.EIO,
    errors.ServerAwayError: errno.EIO,
    errors.NotSentError: errno.EIO,
    errors.DeadlineError: errno.EIO,
    errors.StreamBrokenError: errno.EIO,
    errors.StalledError: errno.EIO,
    errors.WrongBytesError: errno.EIO,
    errors.InDoubtError: errno.EIO,
    errors.MountpointError: errno.EIO,
    errors.MountpointBusyError: errno.EIO,
    errors.MountpointHeldError: errno.EIO,
    errors.NoFuseError: errno.EIO,
}

# Why a mount does not come up -> the status that scripts and units tell it by.
STATUSES: dict[type[errors.AxxonfsError], int] = {
    errors.ConfigurationError: 2,
    errors.CredentialsError: 3,
    errors.LoginRefusedError: 4,
    errors.AccessError: 4,
    errors.CertificateError: 5,
    errors.ServerAwayError: 6,
    errors.NotSentError: 6,
    errors.DeadlineError: 6,
    errors.LoginDelayedError: 6,
    errors.MountpointError: 7,
    errors.MountpointBusyError: 8,
    errors.MountpointHeldError: 14,
    errors.NoFuseError: 9,
}


def family(kind: type[errors.AxxonfsError] = errors.AxxonfsError) -> Iterator[type[errors.AxxonfsError]]:
    """Yield the classes of the family; others may extend it where they need no errno of their own."""
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from family(child)


@pytest.mark.parametrize("kind", sorted(set(family()), key=str))
def test_every_error_has_the_errno_of_the_table(kind: type[errors.AxxonfsError]) -> None:
    assert errors.errno_of(kind("words")) == ERRNOS[kind]


def test_an_error_without_a_row_is_an_io_error() -> None:
    assert errors.errno_of(errors.AxxonfsError("words")) == errno.EIO


@pytest.mark.parametrize("kind", STATUSES)
def test_every_reason_not_to_come_up_has_its_exit_status(kind: type[errors.AxxonfsError]) -> None:
    assert exits.status_of(kind("words")) == STATUSES[kind]


def test_an_error_without_a_row_has_the_general_status() -> None:
    assert exits.status_of(errors.NoSuchNameError("words")) == exits.FAILED


def test_no_status_is_one_of_success_or_of_a_shell() -> None:
    given = {status for _, status in exits.STATUSES}
    # 126 and more are a shell's: not executable, not found, ended by a signal.
    assert all(exits.FAILED < status < 126 for status in given)


def test_a_spec_error_knows_the_key_that_it_is_about() -> None:
    error = errors.SpecError('"cameras[1]": there is no camera "x"', "cameras[1]")
    assert (str(error), error.path) == ('"cameras[1]": there is no camera "x"', "cameras[1]")

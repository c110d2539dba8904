"""The exit statuses of the commands: one for each kind of failure, the first that matches.

They are documented in docs/configuration.md; scripts and units rely on them.
"""

from typing import Final

from axxonfs.core import errors

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2  # argparse's own
INTERRUPTED: Final = 130  # as a shell says it: 128 and SIGINT

STATUSES: Final[tuple[tuple[type[errors.AxxonfsError], int], ...]] = (
    (errors.ConfigurationError, USAGE),
    (errors.CredentialsError, 3),
    (errors.LoginDelayedError, 6),
    (errors.AccessError, 4),
    (errors.CertificateError, 5),
    (errors.UnavailableError, 6),
    (errors.MountpointBusyError, 8),
    (errors.MountpointError, 7),
    (errors.NoFuseError, 9),
)


def status_of(error: errors.AxxonfsError) -> int:
    """Return the exit status for a failure; 1 for one without a row."""
    for kind, status in STATUSES:
        if isinstance(error, kind):
            return status
    return FAILED

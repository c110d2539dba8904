"""The exit statuses of the commands: one for each kind of failure, the first that matches.

They are documented in docs/configuration.md; scripts and units rely on them.
"""

from collections.abc import Iterable
from typing import Final

from axxonfs.core import errors
from axxonfs.core.delivery import Outcome

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2  # argparse's own
LESS: Final = 10
INCOMPLETE: Final = 11
GONE: Final = 12
NOT_YET: Final = 13
INTERRUPTED: Final = 130  # as a shell says it: 128 and SIGINT

STATUSES: Final[tuple[tuple[type[errors.AxxonfsError], int], ...]] = (
    (errors.ConfigurationError, USAGE),
    (errors.CredentialsError, 3),
    (errors.LoginDelayedError, 6),
    (errors.AccessError, 4),
    (errors.CertificateError, 5),
    (errors.UnavailableError, 6),
    (errors.MountpointBusyError, 8),
    (errors.MountpointHeldError, 14),
    (errors.MountpointError, 7),
    (errors.NoFuseError, 9),
)

# How exports came out, the worst first: the first that any of them has decides.
OUTCOMES: Final[tuple[tuple[Outcome, int], ...]] = (
    (Outcome.UNFINISHED, INCOMPLETE),
    (Outcome.FAILED, INCOMPLETE),
    (Outcome.REFUSED, INCOMPLETE),
    (Outcome.GONE, GONE),
    (Outcome.LESS, LESS),
)


def status_of_outcomes(outcomes: Iterable[Outcome]) -> int:
    """Return the exit status for how exports came out."""
    there = set(outcomes)
    return next((status for outcome, status in OUTCOMES if outcome in there), OK)


def status_of(error: errors.AxxonfsError) -> int:
    """Return the exit status for a failure; 1 for one without a row."""
    for kind, status in STATUSES:
        if isinstance(error, kind):
            return status
    return FAILED

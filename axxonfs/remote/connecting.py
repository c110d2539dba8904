"""From options to a link: the server is found trustworthy, the account is logged in.

Decides in which order: the certificate before any password, and the login before
anything is promised to anybody. Blocking, without state: any thread may call it.
"""

from collections.abc import Callable

from axxonfs.core import errors
from axxonfs.remote import trust
from axxonfs.remote.channel import MOUNT_CONNECTIONS, SEEK_CONNECTIONS, Link
from axxonfs.remote.credentials import Credentials
from axxonfs.remote.options import ClientOptions
from axxonfs.remote.refusals import Refusals

CONNECT_TIMEOUT_S = 10.0


def connect(
    endpoint: trust.Endpoint,
    credentials: Credentials,
    options: ClientOptions,
    *,
    refusals: Refusals,
    recall: Callable[[], str | None],
    learn: Callable[[str], None],
) -> Link:
    """Return a link that is logged in; close it in the end.

    `refusals` remember over restarts what was refused. `recall` returns the name
    in the server's certificate as an earlier connection met it, `learn` remembers
    it.

    Raises:
        CertificateError, ConfigurationError: nothing says that the server may be trusted, or it speaks TLS and is
            to be reached in plaintext.
        CredentialsError, AccessError: there is no password, or the server does not take it.
        ServerAwayError, DeadlineError: the server did not answer.
    """
    link, found = _opened(endpoint, credentials, options, recall, refusals, MOUNT_CONNECTIONS)
    try:
        link.log_in(CONNECT_TIMEOUT_S)
    except errors.AxxonfsError:
        link.close()
        raise
    if found is not None and not options.tls_name:
        learn(found.name)
    return link


def open_link(endpoint: trust.Endpoint, credentials: Credentials, options: ClientOptions, refusals: Refusals) -> Link:
    """Return a link to a server that may be trusted; its first call logs in. As `connect` otherwise."""
    link, _ = _opened(endpoint, credentials, options, lambda: None, refusals, SEEK_CONNECTIONS)
    return link


def _opened(
    endpoint: trust.Endpoint,
    credentials: Credentials,
    options: ClientOptions,
    recall: Callable[[], str | None],
    refusals: Refusals,
    least_connections: int,
) -> tuple[Link, trust.Trust | None]:
    def establish() -> trust.Trust | None:
        """Look at the server's certificate and decide; from any thread."""
        wanted = options.trust.or_pinned(endpoint)
        return trust.establish(endpoint, wanted, learnt_name=recall(), timeout_s=CONNECT_TIMEOUT_S)

    found = establish()
    link = Link(endpoint, found, credentials, retrust=establish, refusals=refusals, least_connections=least_connections)
    return link, found

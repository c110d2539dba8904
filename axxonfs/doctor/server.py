"""What can be wrong with the way to a server and with the server: name, port, certificate, login, clock, what it holds.

Blocking; each check has a timeout. One login is tried, and none with a password that was refused before: servers lock
accounts. Listing prolongs nothing.
"""

import datetime as dt
import queue
import socket
import threading

from axxonfs.core import errors
from axxonfs.doctor.findings import Finding, ok, problem, skipped, warning
from axxonfs.fs.options import MountOptions
from axxonfs.remote import certificates, trust
from axxonfs.remote.channel import Link
from axxonfs.remote.exports import ExportClient
from axxonfs.wire import domain_pb2 as domain

TIMEOUT_S = 10.0
_NAME_TIMEOUT_S = 5.0
# A person has to notice, ask somebody, and mend it.
_CERTIFICATE_WARNING = dt.timedelta(days=30)
# A clip's interval would be off by so much; more than logins and networks take.
_CLOCK_WARNING_S = 5.0
_SHOWN = 3


def name(endpoint: trust.Endpoint) -> Finding:
    """Check that the name can be resolved; the resolver has no timeout of its own, so it gets a thread."""
    answers: queue.Queue[list[str] | OSError | UnicodeError] = queue.Queue()

    def resolve() -> None:
        try:
            found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            answers.put(error)
        else:
            answers.put(sorted({str(row[4][0]) for row in found}))

    threading.Thread(target=resolve, name="axxonfs-resolve", daemon=True).start()
    cure = f"spell it right, give the address instead, or mend DNS: `getent hosts {endpoint.host}`"
    try:
        answer = answers.get(timeout=_NAME_TIMEOUT_S)
    except queue.Empty:
        return problem("name", f"the name {endpoint.host} was not resolved within {_NAME_TIMEOUT_S:g} s", cure)
    if isinstance(answer, Exception):
        return problem("name", f"the name {endpoint.host} cannot be resolved: {answer}", cure)
    return ok("name", f"{endpoint.host} is {', '.join(answer)}")


def port(endpoint: trust.Endpoint) -> Finding:
    """Check that something listens."""
    cure = f"the port is {trust.DEFAULT_PORT} unless it was changed; is the server up, and no firewall in between?"
    try:
        certificates.reach(endpoint, TIMEOUT_S)
    except errors.UnavailableError as error:
        return problem("port", str(error), cure)
    return ok("port", f"something listens at {endpoint}")


def certificate(endpoint: trust.Endpoint, options: MountOptions) -> tuple[Finding, trust.Trust | None]:
    """Check that the server is the one to trust, under which name, and for how long."""
    check = "certificate"
    try:
        wanted = options.trust.or_pinned(endpoint)
        found = trust.establish(endpoint, wanted, learnt_name=None, timeout_s=TIMEOUT_S)
        if found is None:
            trust.check_not_tls(endpoint, TIMEOUT_S)
    except errors.ConfigurationError as error:
        return problem(check, str(error), "mend the options plaintext, tls_ca, tls_name and tls_pin"), None
    except errors.UnavailableError as error:
        cure = f"the port is {trust.DEFAULT_PORT} unless it was changed; other ports of the server speak something else"
        return problem(check, str(error), cure), None
    except errors.CertificateError as error:
        cure = f"`axxonfs trust {endpoint}` shows what the server has; then mend tls_ca, tls_name or tls_pin, or pin it"
        return problem(check, str(error), cure), None
    if found is None:
        return ok(check, "none: plaintext, on this machine only"), None
    left = found.certificate.not_after - dt.datetime.now(dt.UTC)
    words = f"it goes by {found.name}, until {found.certificate.not_after:%Y-%m-%d}"
    if left < _CERTIFICATE_WARNING:
        cure = "renew it on the server; where it is pinned, pin the new one before: tls_pin takes several"
        return warning(check, f"it ends in {left.days} days: {words}", cure), found
    return ok(check, words), found


def login(link: Link) -> Finding:
    """Try one login."""
    try:
        link.login.metadata(TIMEOUT_S)
    except errors.CredentialsError as error:
        return problem("login", str(error), "mend the password file")
    except errors.LoginRefusedError as error:
        return problem("login", str(error), "mend account or password on one side; each wrong try may lock the account")
    except errors.LoginDelayedError as error:
        return problem("login", str(error), "wait, or unlock the account on the server; give the mount one of its own")
    except errors.AxxonfsError as error:
        return problem("login", str(error), "see whether the server is well; its log says more")
    return ok("login", "the server takes account and password")


def clock(link: Link) -> Finding:
    """Compare the clocks, as far as the server tells its own."""
    difference = link.login.clock_difference
    if difference is None:
        return skipped("clock", "the server does not tell the time")
    ahead_s = difference.ahead_s
    if abs(ahead_s) > _CLOCK_WARNING_S + difference.uncertainty_s:
        words = f"the server's clock is {abs(ahead_s):.0f} s {'ahead of' if ahead_s > 0 else 'behind'} this machine's"
        cure = "set both by NTP: clips would begin and end elsewhere than asked, and relative times like -5m more so"
        return warning("clock", words, cure)
    return ok("clock", "both clocks agree to a few seconds")


def version(client: ExportClient) -> Finding:
    """Ask what the server is."""
    try:
        return ok("version", client.server_version(TIMEOUT_S))
    except errors.AxxonfsError as error:
        return skipped("version", str(error))


def sessions(client: ExportClient) -> Finding:
    """Check that sessions can be listed, which every mount does first."""
    try:
        listed = client.list_sessions(timeout_s=TIMEOUT_S)
    except errors.AccessError as error:
        return problem("sessions", str(error), "give the account's role the right to export")
    except errors.AxxonfsError as error:
        cure = "a node or a service of the server is offline: see whether its own client can export"
        return problem("sessions", str(error), cure)
    return ok("sessions", f"{len(listed)} export sessions are listed")


def cameras(client: ExportClient) -> tuple[Finding, list[domain.Camera]]:
    """Check that there is something to export."""
    try:
        listed = client.list_cameras(TIMEOUT_S)
    except errors.AxxonfsError as error:
        return problem("cameras", str(error), "see whether the account may see cameras, and their nodes are up"), []
    if not listed:
        cure = "give the account's role access to cameras; the server shows those only"
        return problem("cameras", "the account sees no cameras", cure), []
    bare = [camera for camera in listed if not camera.archive_bindings]
    if len(bare) == len(listed):
        cure = "bind cameras to an archive, or give the account's role access to archives"
        return warning("cameras", f"none of {len(listed)} cameras has an archive: only live video", cure), listed
    shown = ", ".join(f"{camera.display_id}.{camera.display_name}" for camera in bare[:_SHOWN])
    rest = f"; {len(bare)} without an archive ({shown}{', ...' if len(bare) > _SHOWN else ''})" if bare else ""
    return ok("cameras", f"{len(listed)} cameras{rest}"), listed


def agent(client: ExportClient) -> Finding:
    """Look for an export agent, which a server has only where somebody created one."""
    check = "export agent"
    try:
        listed = client.list_agents(TIMEOUT_S)
    except errors.AxxonfsError as error:
        return skipped(check, f"it cannot be seen from here: {error}")
    if not listed:
        cure = "create an export agent in the server's settings, below a node; nothing can be exported without one"
        return problem(check, "the server has no export agent, or the account does not see it", cure)
    if not any(component.enabled for component in listed):
        return warning(check, "no export agent is enabled", "enable it in the server's settings")
    return ok(check, f"{len(listed)} of them")

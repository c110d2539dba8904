"""Where a server listens, and the certificate that it shows there.

Decides how a certificate is fetched and verified, which names it goes by, and
which domain error a failed connection or handshake is. Uses the standard
library's TLS only: nothing here imports grpc. Blocking, without state: any
thread may call it. Facts: section 2 of the wire contract; that gRPC accepts the
leaf itself as a root, and the common name where there is no SAN, was measured
with grpcio 1.85.
"""

import contextlib
import dataclasses
import datetime as dt
import hashlib
import ipaddress
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Any, Self

from axxonfs.core import errors

DEFAULT_PORT = 20109  # documented by the vendor; TLS, one port for all services

_ENDPOINT = re.compile(r"(?:\[(?P<address>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[\w.-]+))(?::(?P<port>[0-9]{1,5}))?")

# X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which the ssl module does not name: an
# expired certificate must still be shown to the person who asks why it is refused.
_NO_CHECK_TIME = 0x200000

# X509_V_ERR_*: self-signed, no issuer found, or another one of that name: all installations call their CA alike.
_UNKNOWN_ISSUER = frozenset({2, 7, 18, 19, 20, 21})
_EXPIRED = 10
_NOT_YET_VALID = 9


@dataclasses.dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server listens."""

    host: str
    port: int = DEFAULT_PORT

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the endpoint that `HOST[:PORT]` names; an IPv6 address stands in brackets.

        Raises:
            ConfigurationError: it is written wrongly.
        """
        match = _ENDPOINT.fullmatch(text.strip())
        port = int(match["port"] or DEFAULT_PORT) if match else 0
        if match is None or not 0 < port < 1 << 16:
            raise errors.ConfigurationError(f"{text!r} is no server: write HOST, HOST:PORT or [IPV6]:PORT")
        return cls((match["address"] or match["host"]).lower(), port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether packets to it stay on this machine."""
        address = _address(self.host)
        return self.host == "localhost" if address is None else address.is_loopback


@dataclasses.dataclass(frozen=True, slots=True)
class Certificate:
    """A server's certificate, as far as trust in it is concerned."""

    der: bytes = dataclasses.field(repr=False)
    subject: str
    common_name: str
    names: tuple[str, ...]  # DNS names and addresses of the subject alternative names
    issuer: str
    not_before: dt.datetime
    not_after: dt.datetime

    @property
    def pem(self) -> bytes:
        """The certificate as gRPC takes it for a root."""
        return ssl.DER_cert_to_PEM_cert(self.der).encode()

    @property
    def fingerprint(self) -> str:
        """What a pin holds: `sha256:` and the hash of the whole certificate in hexadecimal."""
        return f"sha256:{hashlib.sha256(self.der).hexdigest()}"

    @property
    def valid_names(self) -> tuple[str, ...]:
        """The names that TLS goes by: the common name counts only where there is no SAN."""
        return self.names or (self.common_name,)

    @property
    def own_name(self) -> str:
        """The first DNS name, else the first address, else the common name; empty where only wildcards are left."""
        exact = [name for name in self.valid_names if "*" not in name]
        return next((name for name in exact if _address(name) is None), exact[0] if exact else "")

    def goes_by(self, name: str) -> bool:
        """Whether gRPC accepts this certificate for `name`."""
        return any(_name_matches(valid.lower(), name.lower()) for valid in self.valid_names)


def reach(endpoint: Endpoint, timeout_s: float) -> None:
    """Connect, and let go again.

    Raises:
        ServerAwayError: nothing answers there.
    """
    with _translated(endpoint, timeout_s), socket.create_connection((endpoint.host, endpoint.port), timeout_s):
        pass


def fetch_certificate(endpoint: Endpoint, timeout_s: float) -> Certificate:
    """Return what the server shows, verified by nobody; for people to judge.

    Raises:
        ServerAwayError: it cannot be reached or does not speak TLS.
    """
    der = fetch_der(endpoint, timeout_s)
    context = verifying(ssl.DER_cert_to_PEM_cert(der))
    context.verify_flags = ssl.VerifyFlags(context.verify_flags | _NO_CHECK_TIME)
    return verified_certificate(endpoint, context, timeout_s)


def fetch_der(endpoint: Endpoint, timeout_s: float) -> bytes:
    """Return the server's certificate without any check."""
    context = _context()
    context.verify_mode = ssl.CERT_NONE
    with _connected(endpoint, context, timeout_s) as connection:
        return connection.getpeercert(binary_form=True) or b""


def speaks_tls(endpoint: Endpoint, timeout_s: float) -> bool:
    """Whether a handshake succeeds there, whatever the certificate is."""
    try:
        fetch_der(endpoint, timeout_s)
    except errors.AxxonfsError:
        return False
    return True


def verified_certificate(endpoint: Endpoint, context: ssl.SSLContext, timeout_s: float) -> Certificate:
    """Return the certificate that `context` accepted; only then does the ssl module take it apart."""
    with _connected(endpoint, context, timeout_s) as connection:
        return _certificate(connection.getpeercert(binary_form=True) or b"", connection.getpeercert() or {})


def verifying(root_pem: str) -> ssl.SSLContext:
    """Return a context that accepts chains up to `root_pem`, which need not be a CA."""
    context = _context()
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cadata=root_pem)
    except ssl.SSLError as error:
        raise errors.CertificateError("tls_ca holds no certificate: give one in PEM or DER form") from error
    return context


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # names are judged here: vendor certificates carry the node's, not the host's
    context.set_alpn_protocols(["h2"])  # gRPC servers close a connection that offers no HTTP/2
    return context


@contextlib.contextmanager
def _connected(endpoint: Endpoint, context: ssl.SSLContext, timeout_s: float) -> Iterator[ssl.SSLSocket]:
    """Connect and shake hands; every failure becomes one domain error."""
    with (
        _translated(endpoint, timeout_s),
        socket.create_connection((endpoint.host, endpoint.port), timeout_s) as plain,
        context.wrap_socket(plain, server_hostname=endpoint.host) as connection,
    ):
        yield connection


@contextlib.contextmanager
def _translated(endpoint: Endpoint, timeout_s: float) -> Iterator[None]:
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise errors.CertificateError(_verification_words(endpoint, error)) from error
    except ssl.SSLError as error:
        words = f"{endpoint} does not answer in TLS ({error.reason or error}): is it the right port?"
        raise errors.ServerAwayError(words) from error
    except TimeoutError as error:
        raise errors.ServerAwayError(f"{endpoint} did not answer within {timeout_s:g} s") from error
    except (socket.gaierror, UnicodeError) as error:  # the codec of host names raises UnicodeError
        raise errors.ServerAwayError(f"the name {endpoint.host} cannot be resolved: is it spelt right?") from error
    except ConnectionRefusedError as error:
        words = f"nothing listens at {endpoint}: is the server running, and is it the right port?"
        raise errors.ServerAwayError(words) from error
    except OSError as error:
        raise errors.ServerAwayError(f"{endpoint} cannot be reached: {error.strerror or error}") from error


def _verification_words(endpoint: Endpoint, error: ssl.SSLCertVerificationError) -> str:
    """Return what is wrong with the chain and what to do."""
    if error.verify_code == _EXPIRED:
        return f"the certificate of {endpoint} has expired: renew it on the server"
    if error.verify_code == _NOT_YET_VALID:
        return f"the certificate of {endpoint} is not valid yet: compare the clocks of both machines"
    if error.verify_code in _UNKNOWN_ISSUER:
        return (
            f"the certificate of {endpoint} does not come from the CA in tls_ca: give the server's own CA or "
            f"certificate, or run `axxonfs trust {endpoint}` to see and pin what it shows"
        )
    return f"the certificate of {endpoint} is not valid: {error.verify_message}"


def _certificate(der: bytes, fields: Mapping[str, Any]) -> Certificate:
    subject = [pair for group in fields.get("subject", ()) for pair in group]
    issuer = [pair for group in fields.get("issuer", ()) for pair in group]
    alternatives = fields.get("subjectAltName", ())
    return Certificate(
        der,
        _distinguished_name(subject),
        next((_printable(value) for key, value in subject if key == "commonName"), ""),
        tuple(canonical(_printable(value)) for kind, value in alternatives if kind in {"DNS", "IP Address"}),
        _distinguished_name(issuer),
        _instant(fields["notBefore"]),
        _instant(fields["notAfter"]),
    )


def _distinguished_name(pairs: list[tuple[str, str]]) -> str:
    return ", ".join(f"{'CN' if key == 'commonName' else key}={_printable(value)}" for key, value in pairs)


def _printable(text: str) -> str:
    """Take away what could play tricks on a terminal: nobody has verified these words yet."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _instant(text: str) -> dt.datetime:
    return dt.datetime.fromtimestamp(ssl.cert_time_to_seconds(text), dt.UTC)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def canonical(name: str) -> str:
    """Return `name`, an address written an address as gRPC compares it (the ssl module spells IPv6 in full)."""
    address = _address(name)
    return name if address is None else str(address)


def _name_matches(valid: str, name: str) -> bool:
    """Compare as TLS does: a wildcard stands for exactly one first label."""
    if valid.startswith("*."):
        _, dot, rest = name.partition(".")
        return bool(dot) and rest == valid[2:]
    return canonical(valid) == canonical(name)

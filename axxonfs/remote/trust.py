"""Which server certificate a connection may trust, and how a person comes to trust one.

Decides, before any password travels, whether the certificate at an endpoint is
the one that the options allow, and under which name gRPC verifies it; keeps the
pins. Imports no grpc. Blocking, without state: any thread may call it. Facts:
section 2 of the wire contract.
"""

import dataclasses
import hashlib
import os
import re
import ssl
from pathlib import Path

from axxonfs.core import errors
from axxonfs.remote import certificates
from axxonfs.remote.certificates import DEFAULT_PORT, Certificate, Endpoint, fetch_certificate

__all__ = [
    "DEFAULT_PORT",
    "Certificate",
    "Endpoint",
    "Trust",
    "TrustOptions",
    "add_pin",
    "check_not_tls",
    "default_pin_path",
    "establish",
    "fetch_certificate",
    "load_pins",
    "normal_fingerprint",
]

_FINGERPRINT = re.compile(r"(?:sha256:)?([0-9a-f]{64})")


@dataclasses.dataclass(frozen=True, slots=True)
class TrustOptions:
    """What the user said about TLS: `tls_ca`, `tls_name`, `tls_pin` and `plaintext`."""

    ca_file: Path | None = None
    name: str | None = None
    pins: tuple[str, ...] = ()
    plaintext: bool = False

    def or_pinned(self, endpoint: Endpoint) -> "TrustOptions":
        """Return them with what `axxonfs trust` pinned, where they do not say what to trust."""
        if self.pins or self.ca_file or self.plaintext:
            return self
        return dataclasses.replace(self, pins=load_pins(default_pin_path(), endpoint))


@dataclasses.dataclass(frozen=True, slots=True)
class Trust:
    """What a channel needs to accept this server and no other."""

    root_pem: bytes = dataclasses.field(repr=False)
    name: str
    certificate: Certificate


def establish(endpoint: Endpoint, options: TrustOptions, *, learnt_name: str | None, timeout_s: float) -> Trust | None:
    """Check the server's certificate against the options; None means plaintext, on loopback only.

    With `ca_file` the chain is verified; with `pins` the certificate is one of
    them; with both, both hold. A `learnt_name` guards against another
    certificate of the same CA, so with pins it is not asked for.

    Raises:
        CertificateError: the certificate is not the one to trust, or nothing says which is.
        ServerAwayError: the server cannot be reached or does not speak TLS.
        ConfigurationError: the options contradict each other or the endpoint.
    """
    if options.plaintext:
        _check_plaintext(endpoint, options)
        return None
    pins = tuple(normal_fingerprint(pin) for pin in options.pins)
    root = _root(endpoint, options.ca_file, pins, timeout_s)
    certificate = certificates.verified_certificate(endpoint, certificates.verifying(root), timeout_s)
    if pins:
        _check_pinned(endpoint, certificate.fingerprint, pins)
        root = certificate.pem.decode()
    name = _name(endpoint, certificate, options.name, None if pins else learnt_name)
    return Trust(root.encode(), name, certificate)


def check_not_tls(endpoint: Endpoint, timeout_s: float) -> None:
    """Check that what is reached in plaintext does not speak TLS; what does, ends a connection without a word.

    Raises:
        ConfigurationError: it speaks TLS.
    """
    if certificates.speaks_tls(endpoint, timeout_s):
        raise errors.ConfigurationError(
            f"{endpoint} speaks TLS: leave out the option plaintext; `axxonfs trust {endpoint}` shows and pins its "
            "certificate"
        )


def normal_fingerprint(text: str) -> str:
    """Return `sha256:` and 64 lower-case digits for any usual way to write a SHA-256 fingerprint.

    Raises:
        ConfigurationError: it is none.
    """
    match = _FINGERPRINT.fullmatch(re.sub(r"(?<!sha256):|\s", "", text.strip().lower()))
    if match is None:
        raise errors.ConfigurationError(f"{text!r} is no fingerprint: write sha256: and 64 hexadecimal digits")
    return f"sha256:{match[1]}"


def default_pin_path() -> Path:
    """Return where pins are kept: for root in /etc, for a user in the user's own configuration."""
    if os.geteuid() == 0:
        return Path("/etc/axxonfs/known_servers")
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "axxonfs" / "known_servers"


def load_pins(path: Path, endpoint: Endpoint) -> tuple[str, ...]:
    """Return the fingerprints that are pinned for `endpoint`; none where there is no file.

    Raises:
        ConfigurationError: the file cannot be read or a line of it is wrong.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return ()
    except (OSError, UnicodeDecodeError) as error:
        raise errors.ConfigurationError(f"cannot read the pins in {path}: {error}") from error
    entries = [_pin_entry(path, number, line) for number, line in enumerate(lines, 1) if line.partition("#")[0].strip()]
    return tuple(dict.fromkeys(pin for pinned, pin in entries if pinned == endpoint))


def add_pin(path: Path, endpoint: Endpoint, fingerprint: str) -> None:
    """Append one line to the pins, in one write, so that two at a time do not mix.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    line = f"{endpoint} {normal_fingerprint(fingerprint)}\n".encode()
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as file:
            file.write(line)
    except OSError as error:
        raise errors.ConfigurationError(f"cannot store the pin in {path}: {error.strerror}") from error


def _pin_entry(path: Path, number: int, line: str) -> tuple[Endpoint, str]:
    """Return the endpoint and the fingerprint of one line of the pins."""
    words = line.partition("#")[0].split()
    try:
        where, fingerprint = words
        return Endpoint.parse(where), normal_fingerprint(fingerprint)
    except (ValueError, errors.ConfigurationError) as error:
        raise errors.ConfigurationError(f"{path}, line {number}: expected HOST:PORT sha256:...") from error


def _check_plaintext(endpoint: Endpoint, options: TrustOptions) -> None:
    """Refuse to send a password in the clear over a network."""
    if not endpoint.is_loopback:
        raise errors.ConfigurationError(f"plaintext is for this machine only; {endpoint} is reached with TLS")
    if options.ca_file or options.pins or options.name:
        raise errors.ConfigurationError("plaintext contradicts tls_ca, tls_pin and tls_name: remove one of them")


def _root(endpoint: Endpoint, ca_file: Path | None, pins: tuple[str, ...], timeout_s: float) -> str:
    """Return the PEM text that the server's chain must end at."""
    if ca_file is not None:
        return _read_root(ca_file)
    if not pins:
        raise errors.CertificateError(
            f"nothing says which certificate of {endpoint} to trust: "
            f"run `axxonfs trust {endpoint}` to see and pin it, or give tls_ca"
        )
    der = certificates.fetch_der(endpoint, timeout_s)
    _check_pinned(endpoint, f"sha256:{hashlib.sha256(der).hexdigest()}", pins)
    return ssl.DER_cert_to_PEM_cert(der)


def _read_root(path: Path) -> str:
    """Return the PEM text in `path`; a DER file, which `.crt` often is, is converted."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise errors.CertificateError(f"cannot read tls_ca {path}: {error.strerror}") from error
    if b"-----BEGIN" in content:
        return content.decode("ascii", "replace")
    return ssl.DER_cert_to_PEM_cert(content)


def _check_pinned(endpoint: Endpoint, fingerprint: str, pins: tuple[str, ...]) -> None:
    if fingerprint not in pins:
        raise errors.CertificateError(
            f"{endpoint} shows the certificate {fingerprint}, which is not pinned: if the server's certificate was "
            f"renewed, run `axxonfs trust {endpoint}`; if not, somebody may be in between"
        )


def _name(endpoint: Endpoint, certificate: Certificate, wanted: str | None, learnt: str | None) -> str:
    """Return the name to verify the certificate by."""
    name = wanted or learnt or certificate.own_name
    if name and certificate.goes_by(name):
        return certificates.canonical(name)
    names = ", ".join(certificate.valid_names)
    if wanted or not name:
        raise errors.CertificateError(f"the certificate of {endpoint} is for {names}: give one of these as tls_name")
    raise errors.CertificateError(
        f"the certificate of {endpoint} used to be for {name} and is for {names} now: "
        f"if the node was renamed, give tls_name={certificate.own_name or 'NAME'}; if not, another server answers"
    )

"""The simulator's own certificate authority and the certificate of its node.

Decides what a node certificate looks like: issued by a private root, the node's
name as common name, subject alternative names only if asked for. Both are made
once and kept; the node's is made anew when another name or other alternative
names are asked for. Private keys are readable by their owner only. No
concurrency: called before the server starts. Source: the wire contract, section 2.
"""

import dataclasses
import datetime as dt
import ipaddress
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

_ROOT_NAME = "axxonfs simulator Root CA"
_OTHER_ROOT_NAME = "somebody else's Root CA"
# The real root is valid from 2021 to the end of 2099; a simulator's need not outlive the machine's clock trouble.
_VALID_FROM = dt.datetime(2021, 6, 11, tzinfo=dt.UTC)
_VALID_UNTIL = dt.datetime(2099, 12, 31, tzinfo=dt.UTC)


Change = Literal["renewed", "expired", "renamed", "other_ca"]


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """Where a certificate and its key lie."""

    certificate_file: Path
    key_file: Path

    def key_pem(self) -> bytes:
        """Return the private key, for the server's credentials only."""
        return self.key_file.read_bytes()

    def certificate_pem(self) -> bytes:
        """Return the certificate."""
        return self.certificate_file.read_bytes()


def ensure_certificates(directory: Path, node_name: str, san: tuple[str, ...]) -> tuple[Identity, Identity]:
    """Return the root's and the node's identity in `directory`; make what is missing or does not fit."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    root = Identity(directory / "ca.pem", directory / "ca.key")
    node = Identity(directory / "node.pem", directory / "node.key")
    if not _exists(root):
        _issue(root, _ROOT_NAME, None, (), authority=True)
        node.certificate_file.unlink(missing_ok=True)
    if not (_exists(node) and _fits(node, node_name, san)):
        _issue(node, node_name, root, san, authority=False)
    return root, node


def change_certificate(directory: Path, node_name: str, san: tuple[str, ...], change: Change) -> None:
    """Give the node another certificate: a new one, one that has expired, of another name, or of another authority."""
    root = Identity(directory / "ca.pem", directory / "ca.key")
    node = Identity(directory / "node.pem", directory / "node.key")
    if change == "other_ca":
        root = Identity(directory / "other-ca.pem", directory / "other-ca.key")
        _issue(root, _OTHER_ROOT_NAME, None, (), authority=True)
    name = "Elsewhere" if change == "renamed" else node_name
    until = dt.datetime.now(dt.UTC) - dt.timedelta(days=1) if change == "expired" else _VALID_UNTIL
    _issue(node, name, root, san, authority=False, until=until)


def _exists(identity: Identity) -> bool:
    return identity.certificate_file.exists() and identity.key_file.exists()


def _fits(node: Identity, node_name: str, san: tuple[str, ...]) -> bool:
    certificate = x509.load_pem_x509_certificate(node.certificate_pem())
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        present = list(extension.value)
    except x509.ExtensionNotFound:
        present = []
    ours = certificate.issuer == _name(_ROOT_NAME) and certificate.not_valid_after_utc == _VALID_UNTIL
    return ours and certificate.subject == _name(node_name) and present == _alternatives(san)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternatives(san: tuple[str, ...]) -> list[x509.GeneralName]:
    return [_alternative(name) for name in san]


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _issue(
    identity: Identity,
    common_name: str,
    issuer: Identity | None,
    san: tuple[str, ...],
    *,
    authority: bool,
    until: dt.datetime = _VALID_UNTIL,
) -> None:
    """Make a key and a certificate; without an issuer it is signed by itself."""
    # RSA with 2048 bits and SHA-256, as the certificates that Axxon One ships.
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(common_name))
        .issuer_name(_subject(issuer) if issuer else _name(common_name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_VALID_FROM)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if san:
        builder = builder.add_extension(x509.SubjectAlternativeName(_alternatives(san)), critical=False)
    certificate = builder.sign(_private_key(issuer) if issuer else key, hashes.SHA256())
    _write_key(identity.key_file, key)
    identity.certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _subject(identity: Identity) -> x509.Name:
    return x509.load_pem_x509_certificate(identity.certificate_pem()).subject


def _private_key(identity: Identity) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key(identity.key_pem(), password=None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError(f"{identity.key_file} holds another kind of key than the simulator makes")
    return key


def _write_key(path: Path, key: rsa.RSAPrivateKey) -> None:
    path.unlink(missing_ok=True)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.touch(mode=0o600, exist_ok=False)
    path.write_bytes(pem)

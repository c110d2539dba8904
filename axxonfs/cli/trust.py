"""`axxonfs trust HOST[:PORT]`: show the certificate that a server has, and pin it.

Decides when a certificate counts as confirmed: by a person at a terminal, by a
fingerprint that was got some other way, or by --yes. Blocking, one thread. The
certificate is shown to a person before anything about it is verified, so every
word of it was made printable by axxonfs.remote.certificates.
"""

import argparse
import datetime as dt
import sys
from pathlib import Path

from axxonfs.core import errors
from axxonfs.remote import trust

_TIMEOUT_S = 10.0
_NOT_CONFIRMED = 1


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser of `axxonfs`."""
    parser = subparsers.add_parser(
        "trust",
        help="show the server's certificate and pin it",
        description="Show the certificate of an Axxon One server and, once confirmed, pin it for later mounts. "
        "Compare the fingerprint with the server's own: openssl x509 -fingerprint -sha256 -in Node.crt",
    )
    parser.add_argument("endpoint", metavar="HOST[:PORT]", help=f"the server; default port {trust.DEFAULT_PORT}")
    parser.add_argument("--fingerprint", metavar="sha256:HEX", help="pin only if the certificate has this fingerprint")
    parser.add_argument("--yes", action="store_true", help="pin without asking")
    parser.add_argument("--pins", type=Path, metavar="FILE", help=f"default: {trust.default_pin_path()}")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Show, confirm and store; 0 when the certificate is pinned, 1 when the person said no."""
    endpoint = trust.Endpoint.parse(args.endpoint)
    path = args.pins or trust.default_pin_path()
    certificate = trust.fetch_certificate(endpoint, _TIMEOUT_S)
    pinned = trust.load_pins(path, endpoint)
    print(describe(endpoint, certificate, dt.datetime.now(dt.UTC)))
    if args.fingerprint is not None:
        # Whether it is pinned or not: whoever names a fingerprint wants to hear that the certificate has another.
        _compare(certificate, trust.normal_fingerprint(args.fingerprint))
    if certificate.fingerprint in pinned:
        print(f"It is pinned in {path} already.")
        return 0
    if pinned:
        print(f"Another certificate of this server is pinned in {path}; remove its line if it is no longer in use.")
    if not (args.fingerprint or args.yes or _confirmed()):
        print("Nothing was stored.")
        return _NOT_CONFIRMED
    trust.add_pin(path, endpoint, certificate.fingerprint)
    print(f"Pinned in {path}.")
    return 0


def describe(endpoint: trust.Endpoint, certificate: trust.Certificate, now: dt.datetime) -> str:
    """Return what a person needs to judge a certificate, with a word about its validity at `now`."""
    days = f"{certificate.not_before:%Y-%m-%d} to {certificate.not_after:%Y-%m-%d}"
    rows = {
        "Server": str(endpoint),
        "Subject": certificate.subject,
        "Names": ", ".join(certificate.names) or "none; the common name counts",
        "Issuer": certificate.issuer,
        "Valid": f"{days}{_validity(certificate, now)}",
        "Fingerprint": certificate.fingerprint,
    }
    return "\n".join(f"{name + ':':<13}{value}" for name, value in rows.items())


def _validity(certificate: trust.Certificate, now: dt.datetime) -> str:
    if now > certificate.not_after:
        return " (EXPIRED: a mount refuses it)"
    if now < certificate.not_before:
        return " (NOT YET VALID: a mount refuses it)"
    return ""


def _compare(certificate: trust.Certificate, expected: str) -> None:
    if certificate.fingerprint != expected:
        raise errors.CertificateError(
            f"the certificate is not the one that --fingerprint names ({expected}): nothing was stored"
        )


def _confirmed() -> bool:
    if not sys.stdin.isatty():
        raise errors.ConfigurationError("nobody can be asked here: give --fingerprint sha256:... or --yes")
    return _answer("Do you trust this certificate? [y/N] ") in {"y", "yes"}


def _answer(question: str) -> str:
    try:
        return input(question).strip().lower()
    except EOFError:
        return ""

"""What `.axxonfs/mount.json` says: which server this is a mount of, and how it is trusted. Never a secret.

Decides the keys; docs/semantics.md describes them. Whoever hands on what was
exported needs them: no session knows its server.
"""

import importlib.metadata
from pathlib import Path
from typing import Any

from axxonfs.core import status
from axxonfs.core.clocks import ClockDifference
from axxonfs.fs.options import MountOptions
from axxonfs.remote.certificates import Certificate
from axxonfs.remote.channel import Link

# Of the code that runs; a newer package may have been installed since.
VERSION = importlib.metadata.version("axxonfs")


def document(link: Link, mountpoint: Path, options: MountOptions, mounted_s: float) -> dict[str, Any]:
    """Return what `mount.json` says now."""
    return {
        "version": 1,
        "axxonfs": VERSION,
        "server": str(link.endpoint),
        "account": options.user,
        "certificate": _certificate(link.certificate),
        "clock": _clock(link.login.clock_difference),
        "mountpoint": str(mountpoint),
        "mounted": status.epoch(mounted_s),
        "read_only": options.ro,
        "timezone": options.timezone.key if options.timezone else None,
    }


def _certificate(certificate: Certificate | None) -> dict[str, Any] | None:
    if certificate is None:
        return None
    return {
        "fingerprint": certificate.fingerprint,
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "not_after": status.instant(certificate.not_after),
    }


def _clock(difference: ClockDifference | None) -> dict[str, Any] | None:
    if difference is None:
        return None
    return {
        "ahead_s": round(difference.ahead_s, 1),
        "uncertainty_s": round(difference.uncertainty_s, 1),
        "measured": status.epoch(round(difference.measured_at_s)),
    }

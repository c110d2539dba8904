"""The papers of a delivery: `manifest.json` and `SHA256SUMS`.

Decides what they say of each export and of each file: whoever receives clips must
be able to see what was asked for, what came, from which server, and that the
bytes are the same. Never a secret. Pure; imports delivery and ledger.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from axxonfs.core.delivery import Difference, Outcome
from axxonfs.core.ledger import Item, Ledger

VERSION = 1
NAME = "manifest.json"
SUMS_NAME = "SHA256SUMS"

# What a manifest takes over from status.json as it is.
_OF_STATUS = (
    "kind", "format", "cameras", "origins", "requested", "delivered", "recompressed", "recompressed_because",
    "burnt_in", "started", "finished",
)  # fmt: skip
_OF_FILE = ("path", "size", "interval", "mime_type")
_OF_MOUNT = ("server", "account", "certificate", "clock")


def facts_of(status: Mapping[str, Any], spec: Mapping[str, Any], found: Difference) -> dict[str, Any]:
    """Return what the manifest says of a session that has ended, as long as the mount still shows it.

    Args:
        status: the content of `status.json`.
        spec: that of `spec.json`, which has no secrets.
        found: how delivered and requested differ.
    """
    return {
        **{key: status[key] for key in _OF_STATUS},
        "difference": found.as_document(),
        "options": spec,
        "files": [
            {**{key: file[key] for key in _OF_FILE}, "downloadable": file["downloadable"], "why_not": file["why_not"]}
            for file in status["files"]
        ],
    }


def manifest(ledger: Ledger, mount: Mapping[str, Any], *, version: str, written: str) -> dict[str, Any]:
    """Return the manifest.

    Args:
        ledger: of the batch.
        mount: the content of `mount.json`; empty where the mount has gone.
        version: of the command.
        written: now, as RFC 3339.
    """
    return {
        "version": VERSION,
        "complete": ledger.finished,
        "batch": ledger.header.batch,
        "begun": ledger.header.started,
        "written": written,
        "axxonfs": {"command": version, "mount": mount.get("axxonfs")},
        **{key: mount.get(key) for key in _OF_MOUNT},
        "server": ledger.header.server,
        "account": ledger.header.account,
        "exports": [_entry(item) for item in ledger.items.values()],
    }


def _entry(item: Item) -> dict[str, Any]:
    facts = dict(item.facts)
    files = facts.pop("files", [])
    return {
        "name": item.name,
        "outcome": item.outcome.value,
        "why": item.why or None,
        "session_id": item.session_id,
        "asked": {**item.masked, **item.fixed},
        **facts,
        "files": [_file(item, file) for file in files],
    }


def _file(item: Item, file: Mapping[str, Any]) -> dict[str, Any]:
    copy = item.copies.get(file["path"])
    there = copy if copy is not None and copy.sha256 is not None else None
    return {"name": there.name if there else None, "sha256": there.sha256 if there else None, **file}


def sums(files: Iterable[tuple[str, str]]) -> bytes:
    """Return the text that `sha256sum -c` reads, for pairs of name and hash in hexadecimal."""
    return b"".join(_sum_line(name, sha256) for name, sha256 in sorted(files))


def _sum_line(name: str, sha256: str) -> bytes:
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    mark = "\\" if escaped != name else ""
    return f"{mark}{sha256}  {escaped}\n".encode("utf-8", "surrogateescape")


def copied(ledger: Ledger) -> list[tuple[str, str]]:
    """Return name and hash of each result that is in the directory."""
    copies = (copy for item in ledger.items.values() for copy in item.copies.values())
    return [(copy.name, copy.sha256) for copy in copies if copy.sha256 is not None]


def outcomes(document: Mapping[str, Any]) -> list[Outcome]:
    """Return how the exports of a manifest came out."""
    return [Outcome(entry["outcome"]) for entry in document["exports"]]

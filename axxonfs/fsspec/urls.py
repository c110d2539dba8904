"""`axxon://[USER@]HOST[:PORT]/SESSION/FILE` and its parts.

Decides what a URL may hold (never a password: URLs are shown, logged, pickled and
sent to workers) and what of it is the path. Pure.
"""

import re
from typing import NamedTuple

from axxonfs.core import errors
from axxonfs.remote.certificates import Endpoint

PROTOCOL = "axxon"
_URL = re.compile(rf"{PROTOCOL}://(?P<place>[^/]*)/?(?P<path>.*)", re.DOTALL)


class Place(NamedTuple):
    """Where a URL leads; empty and None where it does not say."""

    user: str
    endpoint: Endpoint | None


def place_of(url: str) -> Place:
    """Return account and server of a URL or of a path, which names neither.

    Raises:
        ConfigurationError: it holds a password, or names no server.
    """
    match = _URL.fullmatch(url)
    if match is None or not match["place"]:
        return Place("", None)
    user, _, host = match["place"].rpartition("@")
    if ":" in user:
        # Without repeating it: this text is shown.
        raise errors.ConfigurationError(
            "a URL must not hold a password, for URLs are shown and sent to workers: "
            "give password_file=FILE, or set AXXONFS_PASSWORD where the file system is used"
        )
    return Place(user, Endpoint.parse(host))


def path_of(url: str) -> str:
    """Return `SESSION/FILE` of a URL or of a path, without slashes at its ends; empty for the root.

    Raises:
        ConfigurationError: as `place_of`.
    """
    place_of(url)
    match = _URL.fullmatch(url)
    return (match["path"] if match else url).strip("/")


def url_of(endpoint: Endpoint, path: str) -> str:
    """Return the URL of a path at a server; the account is left to whoever opens it."""
    return f"{PROTOCOL}://{endpoint}/{path}"


def split(path: str) -> tuple[str, str]:
    """Return session and file of a path; the file is empty where the path is a session's, both are for the root."""
    session, _, file = path.partition("/")
    return session, file

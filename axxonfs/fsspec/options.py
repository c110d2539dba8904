"""The options of a file system without a mount: the words of the mount, as far as they make sense.

Decides where a word comes from: what was said when the file system was made, then
the environment of the process that uses it. What was said is pickled and sent to
workers, so it never holds a password.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pydantic

from axxonfs.core import errors
from axxonfs.core.line import MIB
from axxonfs.fsspec import urls
from axxonfs.remote.certificates import DEFAULT_PORT, Endpoint
from axxonfs.remote.options import Bytes, ClientOptions, Seconds, parsed

PREFIX = "AXXONFS"
# What fsspec itself says to any file system; none of it is about this one.
_FOREIGN = frozenset({"asynchronous", "batch_size", "loop", "max_paths", "skip_instance_cache", "use_listings_cache"})
_SECRETS = frozenset({"password", "passwd", "secret", "token"})
_PATHS = ("password_file", "tls_ca")


class FileSystemOptions(ClientOptions):
    """What can be said about a file system without a mount."""

    # Twice that of a mount: there is no page cache of the kernel's behind it. With as much a run has 96 MiB on its way
    # instead of 44, and over 20 ms reads a fifth faster (measured).
    cache_size: Bytes = pydantic.Field(
        128 * MIB, ge=4 * MIB, description="bytes of results kept in memory, by each process"
    )
    host: str = pydantic.Field("", description="server; the URL says the same")
    port: int = pydantic.Field(DEFAULT_PORT, gt=0, lt=1 << 16, description="its port; the URL says the same")
    max_logins: int = pydantic.Field(
        16, ge=1, le=256, description="logins of this account on this machine at once, of all processes together"
    )
    login_wait: Seconds = pydantic.Field(60.0, description="wait this long for one of them to become free")


class Setup(NamedTuple):
    """A server and what to do there: what processes share a client by."""

    endpoint: Endpoint
    options: FileSystemOptions


def check(words: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was said about a file system, without what only fsspec knows.

    Raises:
        ConfigurationError: a word is unknown or wrong, or would carry a secret.
    """
    mine = {name: value for name, value in words.items() if name not in _FOREIGN}
    for name in mine.keys() & _SECRETS:
        raise errors.ConfigurationError(
            f"option {name}: what is said here is pickled and sent to workers: give password_file=FILE, "
            f"or set {PREFIX}_PASSWORD where the file system is used"
        )
    options = parsed(FileSystemOptions, mine, {}, see="docs/fsspec.md")
    if "@" in options.host or "/" in options.host:
        raise errors.ConfigurationError("option host: takes a name or an address; the account is the option user")
    if not options.host:
        raise errors.ConfigurationError("give the server: axxon://HOST/..., or the option host")
    return mine


def complete(words: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> Setup:
    """Return the setup for words that `check` returned, with what the environment adds.

    Raises:
        ConfigurationError: something in the environment is wrong, or nothing says which account to use.
    """
    said, places = dict(words), dict[str, str]()
    for name in FileSystemOptions.model_fields:
        variable = f"{PREFIX}_{name.upper()}"
        if name not in said and environment.get(variable):
            said[name], places[name] = environment[variable], f"environment variable {variable}"
    options = parsed(FileSystemOptions, said, places, see="docs/fsspec.md")
    if not options.user:
        raise errors.ConfigurationError(
            f"give the account to log in with: axxon://USER@HOST/..., the option user, or {PREFIX}_USER"
        )
    paths = {name: Path(getattr(options, name)).absolute() for name in _PATHS if getattr(options, name)}
    host = options.host if ":" not in options.host else f"[{options.host.strip('[]')}]"
    return Setup(Endpoint.parse(f"{host}:{options.port}"), options.model_copy(update=paths))


def words_of_url(url: str) -> dict[str, Any]:
    """Return the words that a URL says.

    Raises:
        ConfigurationError: it holds a password, or no server.
    """
    place = urls.place_of(url)
    words: dict[str, Any] = {"user": place.user} if place.user else {}
    if place.endpoint is not None:
        words |= {"host": place.endpoint.host, "port": place.endpoint.port}
    return words

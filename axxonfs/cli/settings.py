"""Where each word about a mount comes from: a TOML file, the environment, the command line.

Decides which of them wins (the command line, then the environment, then the file), and that every complaint names the
place that the word stands in: a line of the file, a variable, `-o`. What the words mean is declared once, in
axxonfs.fs.options. The password never comes from the command line.
"""

import dataclasses
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from axxonfs.core import errors, words
from axxonfs.fs import mountpoint
from axxonfs.fs.options import MountOptions, parse_options, split_words
from axxonfs.remote.certificates import Endpoint
from axxonfs.remote.credentials import PasswordSource, password_source

PREFIX = "AXXONFS"
# What a file and the environment can say besides the options.
PLACES = ("server", "mountpoint")
# Variables that are no words about a mount.
_OTHERS = ("PASSWORD", "RAISE")


@dataclasses.dataclass(frozen=True, slots=True)
class Said:
    """A word's value, and where it stands for people who have to mend it; empty for the command line."""

    value: Any = dataclasses.field(repr=False)
    where: str


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What was said about a mount; what was not said is None."""

    endpoint: Endpoint | None
    mountpoint: Path | None  # absolute
    options: MountOptions

    @property
    def password(self) -> PasswordSource:
        """Where the password is read from.

        Raises:
            CredentialsError: nothing says where.
        """
        return password_source(self.options.password_file)


def gather(
    *, server: str | None = None, where: str | None = None, texts: Sequence[str] = (), config: Path | None = None
) -> Settings:
    """Put everything together; `server`, `where` and `texts` (lists as for `-o`) are from the command line.

    Raises:
        ConfigurationError: a word is unknown or its value wrong; the text names the place.
    """
    said = _with_user(read_file(config)) if config else {}
    said |= _with_user(read_environment(os.environ))
    for text in texts:
        said |= {key: Said(value, "") for key, value in split_words(text).items()}
    said |= _with_user({key: Said(value, "") for key, value in (("server", server), ("mountpoint", where)) if value})
    endpoint = _endpoint(said.pop("server", None))
    path = _mountpoint(said.pop("mountpoint", None))
    places = {key: word.where for key, word in said.items()}
    options = parse_options({key: word.value for key, word in said.items()}, places)
    return Settings(endpoint, path, _absolute(options))


def read_file(path: Path) -> dict[str, Said]:
    """Return the words of a TOML file, each with its line.

    Raises:
        ConfigurationError: it cannot be read, or is no TOML.
    """
    try:
        text = path.read_text("utf-8")
        values = tomllib.loads(text)
    except OSError as error:
        raise errors.ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise errors.ConfigurationError(f"{path} is no TOML: {error}") from error
    return {key: Said(value, f"{path}, line {_line_of(key, text)}") for key, value in values.items()}


def read_environment(environment: Mapping[str, str]) -> dict[str, Said]:
    """Return the words that variables say: `AXXONFS_UMASK=027` is `umask=027`.

    Raises:
        ConfigurationError: a variable is nearly one of them.
    """
    known = {word.upper(): word for word in (*PLACES, *MountOptions.model_fields)}
    found = {}
    for variable, value in environment.items():
        prefix, _, name = variable.partition("_")
        if prefix != PREFIX or not value or name in _OTHERS:
            continue
        if name in known:
            found[known[name]] = Said(value, f"environment variable {variable}")
        elif near := words.nearest(name, known):
            hint = f"did you mean {PREFIX}_{near[0]}?"
            raise errors.ConfigurationError(f"environment variable {variable} is unknown: {hint}")
    return found


def _with_user(said: dict[str, Said]) -> dict[str, Said]:
    """Take the account out of `USER@HOST`: it is the word `user`, from the same place.

    Raises:
        ConfigurationError: it is `USER:PASSWORD@HOST`; the text does not repeat it.
    """
    server = said.get("server")
    user, at, _ = str(server.value).rpartition("@") if server else ("", "", "")
    if server and ":" in user:
        place = f"{server.where}: " if server.where else ""
        raise errors.ConfigurationError(
            f"{place}a password does not belong before the host, where others can read it: write USER@HOST, and "
            "give the option password_file=FILE"
        )
    return {**said, "user": Said(user, server.where)} if server and user and at else said


def _endpoint(word: Said | None) -> Endpoint | None:
    if word is None:
        return None
    try:
        return Endpoint.parse(str(word.value).rpartition("@")[2])
    except errors.ConfigurationError as error:
        raise errors.ConfigurationError(f"{word.where}: {error}" if word.where else str(error)) from error


def _mountpoint(word: Said | None) -> Path | None:
    if word is None:
        return None
    if not isinstance(word.value, str):
        raise errors.ConfigurationError(f"{word.where}: option mountpoint: takes a path (got {word.value!r})")
    return mountpoint.canonical(word.value)


def _absolute(options: MountOptions) -> MountOptions:
    """Return the options with absolute paths: in the background the process leaves its directory."""
    paths = {name: getattr(options, name) for name in ("password_file", "tls_ca", "state_dir")}
    return options.model_copy(update={name: path.absolute() for name, path in paths.items() if path})


def _line_of(key: str, text: str) -> int:
    """Return the number of the line where a key of the top level stands; tomllib does not say."""
    lines = text.splitlines(keepends=True)
    written = re.compile(rf"""\s*\[*\s*["']?{re.escape(key)}["']?\s*[].=]""")
    candidates = (number for number, line in enumerate(lines) if written.match(line))
    # What stands before a key is TOML by itself; what stands before a line of a long text is not.
    return next((number + 1 for number in candidates if _is_toml("".join(lines[:number]))), 1)


def _is_toml(text: str) -> bool:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return False
    return True

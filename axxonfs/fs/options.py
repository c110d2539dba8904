"""The options of a mount: one word for each, the same in `-o`, in TOML and in `--help`.

Decides what each word means, its unit, its default, and what is wrong with a
value. What is not about mounts stands in `remote/options.py`. Pure values, made
by pydantic; reads no files.
"""

import os
import pathlib
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pydantic

from axxonfs.remote.options import ClientOptions, Seconds, parsed


def _octal(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not re.fullmatch("0?[0-7]{1,3}", value):
        raise ValueError("takes up to three octal digits, as in 022")
    return int(value, 8)


Id = Annotated[int, pydantic.Field(ge=0, lt=2**32 - 1)]
Octal = Annotated[int, pydantic.BeforeValidator(_octal), pydantic.Field(ge=0, le=0o777)]


class MountOptions(ClientOptions):
    """What can be said about a mount."""

    ro: bool = pydantic.Field(False, description="read-only: no new/, no writable control")  # noqa: FBT003
    allow_other: bool = pydantic.Field(False, description="let other users in, as the modes say")  # noqa: FBT003
    uid: Id = pydantic.Field(default_factory=os.getuid, description="owner of the files")
    gid: Id = pydantic.Field(default_factory=os.getgid, description="group of the files")
    umask: Octal = pydantic.Field(0, description="permission bits that are taken away, in octal")
    keep: Seconds = pydantic.Field(24 * 3600.0, description="own results are kept alive this long until they are read")
    retry: Seconds = pydantic.Field(0.0, description="wait this long for a server that is away before giving up")
    state_dir: pathlib.Path | None = pydantic.Field(None, description="where the journal is kept")
    log_level: Literal["debug", "info", "warning", "error"] = pydantic.Field("info", description="how much is logged")


def parse_options(words: Mapping[str, Any], places: Mapping[str, str] | None = None) -> MountOptions:
    """Return the options that the words say; `places` says where a word stands, for the error.

    Raises:
        ConfigurationError: a word is unknown or its value wrong; the text names it and its place.
    """
    return parsed(MountOptions, words, places or {}, see="axxonfs mount --help")


def split_words(text: str) -> dict[str, str | bool]:
    """Return the words of a `-o` list: `ro,uid=1000` gives `{"ro": True, "uid": "1000"}`."""
    words: dict[str, str | bool] = {}
    for word in filter(None, text.split(",")):
        key, equals, value = word.partition("=")
        words[key] = value if equals else True
    return words

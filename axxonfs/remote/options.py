"""What can be said about a server and about reading from it, whoever uses it: a mount, or no mount at all.

Decides what each word means, its unit, its default, and what is wrong with a
value. Pure values, made by pydantic; reads no files.
"""

import pathlib
import re
import zoneinfo
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import pydantic

from axxonfs.core import chunks, errors, instants
from axxonfs.core.words import nearest
from axxonfs.remote.trust import TrustOptions

# What pydantic says, in the words of the other messages; `{...}` is of its context.
_WORDS = {
    "bool_parsing": "takes true or false",
    "bool_type": "takes true or false",
    "float_parsing": "takes a number",
    "float_type": "takes a number",
    "finite_number": "takes a number",
    "greater_than": "takes more than {gt}",
    "greater_than_equal": "takes {ge} or more",
    "int_from_float": "takes a whole number",
    "int_parsing": "takes a whole number",
    "int_type": "takes a whole number",
    "less_than": "takes less than {lt}",
    "less_than_equal": "takes {le} or less",
    "literal_error": "takes {expected}",
    "path_type": "takes a path",
    "string_type": "takes a text",
    "value_error": "{error}",
}

_KIB = 1024
_MIB = 1024 * _KIB


def _bytes(value: object) -> object:
    return instants.parse_size(value) if isinstance(value, str) else value


def _seconds(value: object) -> object:
    return instants.parse_duration(value).total_seconds() if isinstance(value, str) else value


def _words(value: object) -> object:
    # The first pin itself matches where it begins, and leaves an empty word before it.
    return [word for word in re.split(r"[\s:;]*(?=sha256:)|[\s;]+", value) if word] if isinstance(value, str) else value


def _zone(value: object) -> object:
    return instants.parse_zone(value) if isinstance(value, str) else value


Bytes = Annotated[int, pydantic.BeforeValidator(_bytes), pydantic.Field(ge=0)]
Seconds = Annotated[float, pydantic.BeforeValidator(_seconds), pydantic.Field(ge=0)]
Pins = Annotated[tuple[str, ...], pydantic.BeforeValidator(_words)]
Zone = Annotated[zoneinfo.ZoneInfo, pydantic.BeforeValidator(_zone)]


class ClientOptions(pydantic.BaseModel):
    """Sizes take `64K`, `256M`; times take `30s`, `5m`."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    user: str = pydantic.Field("", description="account to log in with; USER@HOST says the same")
    password_file: pathlib.Path | None = pydantic.Field(
        None, description="file with the password, readable by its owner only; else AXXONFS_PASSWORD is used"
    )
    tls_ca: pathlib.Path | None = pydantic.Field(None, description="PEM file: a CA, or the node's own certificate")
    tls_name: str | None = pydantic.Field(None, description="name that the certificate must carry")
    tls_pin: Pins = pydantic.Field((), description="sha256:... of the certificate that is accepted; several with ;")
    plaintext: bool = pydantic.Field(False, description="no TLS; for loopback addresses only")  # noqa: FBT003
    cache_size: Bytes = pydantic.Field(64 * _MIB, ge=4 * _MIB, description="bytes of results kept in memory")
    chunk_size: Bytes = pydantic.Field(_MIB, description="bytes per chunk of a long run, in whole KiB up to 4095K")
    read_timeout: Seconds = pydantic.Field(30.0, ge=1, description="a read that waits longer fails")
    rate_limit: Bytes = pydantic.Field(0, description="bytes of results per second; 0: no limit")
    max_streams: int = pydantic.Field(16, ge=1, le=256, description="downloads open at once")
    destroy: Literal["own", "all", "none"] = pydantic.Field("own", description="whose sessions rm may destroy")
    timezone: Zone | None = pydantic.Field(None, description="IANA zone of local times in specs and of names")
    time_factor: float = pydantic.Field(
        1.0, gt=0, allow_inf_nan=False, description="divides all timers; for tests against the simulator"
    )

    @property
    def trust(self) -> TrustOptions:
        """What is said about TLS."""
        return TrustOptions(self.tls_ca, self.tls_name, self.tls_pin, self.plaintext)

    @pydantic.field_validator("chunk_size")
    @classmethod
    def _whole_kib(cls, value: int) -> int:
        if value % _KIB or value // _KIB not in chunks.CHUNK_KB_RANGE:
            raise ValueError("takes whole KiB from 1K to 4095K")
        return value


_Options = TypeVar("_Options", bound=pydantic.BaseModel)


def parsed(kind: type[_Options], words: Mapping[str, Any], places: Mapping[str, str], *, see: str) -> _Options:
    """Return the options of a kind that the words say.

    Args:
        kind: which options there are.
        words: as people wrote them, or as values.
        places: where a word stands, for the error.
        see: where all words are described.

    Raises:
        ConfigurationError: a word is unknown or its value wrong; the text names it and its place.
    """
    for name, value in words.items():
        field = kind.model_fields.get(name)
        # `-o keep` and `keep = true`: to pydantic that is the number 1.
        if isinstance(value, bool) and field is not None and field.annotation is not bool:
            raise errors.ConfigurationError(f"{_place(name, places)}option {name}: needs a value")
    try:
        return kind.model_validate(words)
    except pydantic.ValidationError as error:
        sentences = [_sentence(row, places, kind, see) for row in error.errors()]
    # Without its cause: that one repeats the value, be it a secret.
    raise errors.ConfigurationError("; ".join(sentences))


def _sentence(row: Any, places: Mapping[str, str], kind: type[pydantic.BaseModel], see: str) -> str:  # noqa: ANN401 - pydantic's rows
    name = str(row["loc"][0])
    place = _place(name, places)
    if row["type"] == "extra_forbidden":
        near = nearest(name, kind.model_fields)
        hint = f"did you mean {near[0]}?" if near else f"see {see}"
        return f"{place}option {name} is unknown: {hint}"
    words = _WORDS.get(row["type"], row["msg"]).format_map(row.get("ctx", {}))
    return f"{place}option {name}: {words} (got {row['input']!r})"


def _place(name: str, places: Mapping[str, str]) -> str:
    return f"{places[name]}: " if places.get(name) else ""

"""Many exports at once: what was asked for, made into documents that can be submitted one by one.

Decides what each export of a batch is called, what the settings of a command
line mean as keys of a spec, and that relative instants count from one moment for
the whole batch: so that a document means the same export whenever it is
submitted, and can be submitted again. Pure; `now` is handed in. Imports spec and
what it imports.
"""

import dataclasses
import datetime as dt
import json
import re
import zoneinfo
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from axxonfs.core import fields, instants, names, spec, words
from axxonfs.core.cameras import Camera, find_camera
from axxonfs.core.errors import SpecError

MOST_ORDERS = 10_000
_INSTANTS = ("from", "to", "at")
_ELSEWHERE = {"camera": "--camera", "cameras": "--camera", "from": "--from", "to": "--until", "at": "--at"}
_OPTION_OF = {**_ELSEWHERE, "format": "--format"}


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """One export of a batch. `given` and `fixed` together are the document; secrets stand in `given`."""

    name: str  # unique in the batch, and a part of a file name
    given: Mapping[str, Any] = dataclasses.field(repr=False)  # as it was asked for
    fixed: Mapping[str, str] = dataclasses.field(default_factory=dict)  # its relative instants as absolute ones

    @property
    def document(self) -> bytes:
        """The spec to submit."""
        return json.dumps({**self.given, **self.fixed}, ensure_ascii=False).encode()

    @property
    def has_secrets(self) -> bool:
        """Whether there is something in it that must not be kept."""
        return self.masked != self.given

    @property
    def masked(self) -> Mapping[str, Any]:
        """What was asked for, with stars for secrets."""
        text = json.dumps(self.given, ensure_ascii=False).encode()
        document: dict[str, Any] = json.loads(spec.mask_secrets(text))
        return document


def read_setting(text: str) -> tuple[str, Any]:
    """Return key and value of a setting `KEY=VALUE`, whose value is a text or JSON, whichever the key takes.

    Raises:
        SpecError: there is no such key, the value does not fit, or it belongs elsewhere.
    """
    key, separator, value = text.partition("=")
    if not separator:
        raise SpecError(f'{words.quote(text)}: write KEY=VALUE, as in --set "comment=case 4711"')
    if key in _ELSEWHERE:
        raise SpecError(f'"{key}": use {_ELSEWHERE[key]}', key)
    if key == "password":
        raise SpecError('"password": everybody could read it here: use --password-file or --ask-password', key)
    try:
        fields.validated(spec.Spec, {key: value})
    except SpecError as error:
        read = _json_of(value)
        if read is None:
            raise error from None
        fields.validated(spec.Spec, {key: read})
        return key, read
    return key, value


def in_options(problem: str, values: Iterable[str]) -> str:
    """Return what is wrong with a document in the words of the options that it was made of.

    `values` are what was given with the options: what is quoted of them stays as it is.
    """
    names = _OPTION_OF.keys() - set(values)
    problem = problem.replace('"live": true', "--set live=true")
    return re.sub(r'"(\w+)"', lambda found: _OPTION_OF[found[1]] if found[1] in names else found[0], problem)


def _json_of(text: str) -> Any:  # noqa: ANN401 - any JSON; None for what is none
    try:
        return json.loads(text)
    except ValueError:
        return None


def named_by_camera(
    queries: Sequence[str], settings: Mapping[str, Any], cameras: Sequence[Camera]
) -> list[tuple[str, dict[str, Any]]]:
    """Return name and document of an export of each camera, all with the same settings."""
    return [(_label(query, cameras), {"camera": query, **settings}) for query in queries]


def _label(query: str, cameras: Sequence[Camera]) -> str:
    try:
        return find_camera(cameras, query).label
    except SpecError:
        return query  # the document is refused for it


def split_documents(text: str) -> list[str]:
    """Return the JSON documents in a text, one after the other as `jq` writes them; what is none stays as it is."""
    decoder = json.JSONDecoder()
    documents, rest = [], text.lstrip("\ufeff \t\r\n")
    while rest:
        try:
            _, end = decoder.raw_decode(rest)
        except ValueError:
            end = len(rest)
        documents.append(rest[:end])
        rest = rest[end:].lstrip()
    return documents


@dataclasses.dataclass(frozen=True, slots=True)
class Setting:
    """What the documents of a batch are read by."""

    cameras: Sequence[Camera]
    now: dt.datetime  # aware; what relative instants count from
    timezone: zoneinfo.ZoneInfo | None = None  # of the mount


def make_orders(
    named: Iterable[tuple[str, Mapping[str, Any]]], setting: Setting
) -> tuple[list[Order], list[tuple[str, SpecError]]]:
    """Return an order for each document, and what is wrong with those that are none."""
    orders: list[Order] = []
    wrong: list[tuple[str, SpecError]] = []
    taken: set[str] = set()
    for name, document in named:
        own = names.unique(names.clean(name), taken)
        taken.add(own)
        try:
            orders.append(_order(own, document, setting))
        except SpecError as error:
            wrong.append((own, error))
    return orders, wrong


def _order(name: str, document: Mapping[str, Any], setting: Setting) -> Order:
    spec.resolve(document, cameras=setting.cameras, now=setting.now, timezone=setting.timezone)
    fixed = {
        key: instants.format_rfc3339(instants.parse_instant(document[key], now=setting.now, timezone=None))
        for key in _INSTANTS
        if key in document and instants.is_relative(document[key])
    }
    return Order(name, dict(document), fixed)


def differing(stored: Mapping[str, Mapping[str, Any]], orders: Iterable[Order]) -> list[str]:
    """Return the names of what is not the same in a batch as it was stored, by masked document, and in `orders`."""
    given = {order.name: order.masked for order in orders}
    return sorted(name for name in stored.keys() | given.keys() if stored.get(name) != given.get(name))


def local_name(wanted: str, taken: Iterable[str]) -> str:
    """Return the file name for a result: `wanted`, or with a number before its extension where that is taken."""
    used = set(taken)
    stem, dot, extension = wanted.rpartition(".")
    name, number = wanted, 2
    while name in used:
        name = f"{stem}~{number}{dot}{extension}"
        number += 1
    return name

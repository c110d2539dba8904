"""The text of a spec: bytes to a JSON object, and secrets out of bytes.

Decides what is one JSON object in UTF-8 and says in words, with line and column,
why a text is none. Never shows a part of the text in an error: it may hold a
secret. Pure; imports the domain errors and the words of error texts.
"""

import collections
import difflib
import json
import math
import re
from typing import Any, NoReturn

from axxonfs.core import words
from axxonfs.core.errors import SpecError

# What the parser says, as far as it is the beginner's case -> what a person can do about it.
_HINTS = {
    "Expecting property name": "a key in double quotes belongs here (is there a comma too many before it?)",
    "Illegal trailing comma": "there is a comma too many",
    "Expecting ',' delimiter": 'a comma is missing here, or the " around a text, or the \\ before a " inside of one',
    "Expecting ':' delimiter": "a colon and a value belong behind the key",
    "Expecting value": "a value belongs here: a text in double quotes, a number, true, false, [ ] or { }",
    "Unterminated string": 'the text that begins here lacks its closing "',
    "Invalid control character": 'a text must end on the line where it begins: a " is missing',
    "Invalid \\escape": r"a \ inside of a text is written \\",
    "Invalid \\uXXXX escape": "four hexadecimal digits belong behind \\u",
    "Extra data": "something follows the end of the document: a spec is one JSON object",
}
_COMMENTS = ("//", "/*", "#")
_SECRET = "password"  # noqa: S105 - the name of a key
# A text that is not closed runs to the end: so no byte is looked at twice.
_TEXT = rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)'
_MEMBER = re.compile(rb"(?P<key>%b)(?:\s*:\s*(?P<value>%b|-?[0-9][0-9.eE+-]*))?" % (_TEXT, _TEXT), re.DOTALL)


def parse_document(data: bytes) -> dict[str, Any]:
    """Return the JSON object that `data` holds; a byte-order mark before it is accepted.

    Raises:
        SpecError: it holds anything else; the text gives line and column.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = _place(data[: error.start].decode(errors="replace"))
        raise SpecError(f"{place}: this is not UTF-8: save the spec in that encoding") from None
    document = _parse(text)
    if not isinstance(document, dict):
        raise SpecError("a spec is one JSON object: it begins with { and ends with }")
    return document


def _parse(text: str) -> object:
    try:
        document: object = json.loads(
            text,
            object_pairs_hook=_object_of,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_bounded,
        )
        json.dumps(document, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        hint = next((hint for said, hint in _HINTS.items() if error.msg.startswith(said)), error.msg)
        if text.startswith(_COMMENTS, error.pos):
            hint = "JSON has no comments: remove this one"
        raise SpecError(f"{_place(text[: error.pos])}: {hint}") from None
    except UnicodeEncodeError:
        raise SpecError("a text holds one half of a \\u pair only: write both, or the character itself") from None
    except RecursionError:
        raise SpecError("the document is nested too deeply") from None
    return document


def _place(before: str) -> str:
    return f"line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        counts = collections.Counter(key for key, _ in pairs)
        ((twice, _),) = counts.most_common(1)
        raise SpecError(f"the key {words.quote(twice)} stands twice in one object: keep one of them", twice)
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise SpecError(f"{name} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise SpecError("a number is too large")
    return number


def _bounded(text: str) -> int:
    if len(text) > len("-18446744073709551615"):  # no field is wider than 64 bits
        raise SpecError("a number is too large")
    return int(text)


def mask_secrets(text: bytes) -> bytes:
    """Return `text` with the values of its password keys made `*`, of the same length.

    Any bytes will do. A key that only resembles `password` counts: it is refused
    as unknown, but what was typed there is a secret all the same.
    """
    return _MEMBER.sub(_masked, text)


def _masked(member: re.Match[bytes]) -> bytes:
    value = member["value"]
    if value is None or not _is_secret(member["key"]):
        return member[0]
    # A number becomes a text: it must not be readable, and still be JSON. One digit has no room for quotes.
    stars = b'"' + b"*" * (len(value) - 2) + b'"' if len(value) > 1 else b"0"
    return member[0][: -len(value)] + stars


def _is_secret(key: bytes) -> bool:
    try:
        name = str(json.loads(key)).casefold()
    except ValueError:  # not closed, or with a wrong escape
        return False
    return _SECRET in name or bool(difflib.get_close_matches(name, [_SECRET], cutoff=0.8))

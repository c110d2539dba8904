"""How listings are cut: pages by token across calls, several messages within one.

Pure. Source: the wire contract, sections 4 and 8: page_size bounds a call and
not a message, and a token may come with items or alone.
"""

import base64
from collections.abc import Iterator, Sequence
from typing import TypeVar

from axxonfs.simulator.refusal import Refusal

_T = TypeVar("_T")
# Items in one message; small enough that tests with a hundred items meet several.
_PER_MESSAGE = 40


def make_token(key: str) -> str:
    """Return the opaque token for a page that begins behind `key`."""
    return base64.urlsafe_b64encode(f"after:{key}".encode()).decode()


def read_token(token: str) -> str:
    """Return the key of a token; Refusal if it is not one of ours."""
    try:
        marker, _, key = base64.b64decode(token, altchars=b"-_", validate=True).decode().partition(":")
    except ValueError:  # also of base64 and of UTF-8
        marker, key = "", ""
    if marker != "after":
        raise Refusal("INVALID_ARGUMENT", "Bad page token.")
    return key


def read_number(token: str) -> int:
    """Return the number that is a token's key, 0 for no token; Refusal if it is not one of ours."""
    key = read_token(token) if token else "0"
    if not key.isdecimal():
        raise Refusal("INVALID_ARGUMENT", "Bad page token.")
    return int(key)


def messages(items: Sequence[_T], token: str, *, token_alone: bool) -> Iterator[tuple[Sequence[_T], str]]:
    """Yield items and token of each message of a call; the token stands in the last, or in one of its own."""
    starts = range(0, len(items), _PER_MESSAGE)
    for start in starts:
        is_last = start == starts[-1]
        yield items[start : start + _PER_MESSAGE], token if is_last and not token_alone else ""
    if token and token_alone:
        yield (), token

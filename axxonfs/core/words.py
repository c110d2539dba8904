"""Words for error texts: what was written, shown short, and the nearest of what could have been meant.

Pure; imports nothing of ours.
"""

import difflib
from collections.abc import Iterable

# Of a start that got no answer.
NOT_LISTED = "the server lists no such export: as far as that tells, it was not started"

_SHOWN_CHARACTERS = 120  # an access point has to fit


def quote(text: object) -> str:
    """Return `text` in quotes, on one line, cut short if it is long; what a terminal would obey is shown as `?`."""
    line = "".join(char if char.isprintable() else "?" for char in " ".join(str(text).split()))
    return f'"{line if len(line) <= _SHOWN_CHARACTERS else line[:_SHOWN_CHARACTERS] + "..."}"'


def listing(items: Iterable[str]) -> str:
    """Return `"a", "b" or "c"`."""
    *most, last = [quote(item) for item in items]
    return f"{', '.join(most)} or {last}" if most else last


def nearest(text: str, candidates: Iterable[str], count: int = 1) -> list[str]:
    """Return those of `candidates` that look most like `text`, whatever their case; the best first."""
    folded: dict[str, str] = {}
    for candidate in candidates:
        folded.setdefault(candidate.casefold(), candidate)
    return [folded[near] for near in difflib.get_close_matches(text.casefold(), folded, n=count)]


def suggestion(text: str, candidates: Iterable[str]) -> str:
    """Return `did you mean "b"?`, or, if nothing is near, which ones there are."""
    known = list(candidates)
    near = nearest(text, known, count=3)
    return f"did you mean {listing(near)}?" if near else f"write {listing(known)}"

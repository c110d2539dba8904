"""Ids, paths and texts of a server in shape only: what they are made of, and nothing that says whose they are. Pure."""

import re
from collections.abc import Iterable

# Words that every installation has; all others are names of nodes, people and places.
_KNOWN = (
    "hosts", "DeviceIpint", "SourceEndpoint", "MultimediaStorage", "MMExportAgent", "video", "audio",
)  # fmt: skip
_EXTENSIONS = ("avi", "exe", "jpeg", "jpg", "mkv", "mp4", "pdf", "zip")
_PIECE = re.compile(
    r"(?P<uuid>[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})"
    rf"|(?P<known>(?<![^\W\d_])(?:{'|'.join(_KNOWN)})(?![^\W\d_])|(?<=\.)(?:{'|'.join(_EXTENSIONS)})$|(?<=\d)T(?=\d))"
    r"|(?P<digits>\d+)|(?P<letters>[^\W\d_]+)|(?P<rest>.)",
    re.DOTALL,
)
# Of a sentence, what may be a name: anything in quotes or brackets, or with a digit, a slash or a dot inside it.
_NAME = re.compile(r"\"[^\"]*\"|(?<!\w)'[^']*'|<[^>]*>|\S*(?:[\d/\\@_]|\w[.:]\w)\S*")


def shape(text: str) -> str:
    """Return what a text is made of: `hosts/NODE/4c4f...` is `hosts/a{4}/<uuid>`."""
    return "".join(map(_shown, _PIECE.finditer(text)))


def shapes(texts: Iterable[str]) -> list[str]:
    """Return the different shapes of texts, in order."""
    return sorted({shape(text) for text in texts})


def sentence(text: str) -> str:
    """Return a server's sentence with every word that may be a name in shape only."""
    return _NAME.sub(lambda word: shape(word[0]), text)


def _shown(piece: re.Match[str]) -> str:
    if piece["uuid"]:
        return "<uuid>"
    if piece["digits"]:
        return f"9{{{len(piece[0])}}}"
    if piece["letters"]:
        return f"a{{{len(piece[0])}}}"
    return piece[0] if piece[0].isprintable() or piece["known"] else f"<U+{ord(piece[0]):04X}>"

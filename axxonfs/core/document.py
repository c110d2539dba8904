"""A spec while it is being written: which write completes the document, and what is said to the writer.

Decides when a document is submitted: by the write that completes it, or, where
a file still holds bytes of an older text, by the truncate or the flush that
leaves one complete document. Looks at braces and quotes only; what is in the
document is decided by `spec`. Pure and synchronous: a Draft belongs to the event
loop, and whoever receives a Submit settles it before the next one. Imports the
domain errors. Facts: "Starting an export" of docs/semantics.md; what each program
sends was measured (docs/design.md).
"""

import dataclasses
import hashlib
import re

from axxonfs.core.errors import AxxonfsError, SpecError, TooLargeError

MAX_BYTES = 64 * 1024
_BOM = b"\xef\xbb\xbf"
_SPACE = re.compile(rb"[ \t\r\n]*")
# NUL is what a hole reads as: a byte that is still to be written.
_PLAIN = re.compile(rb'[^"{}\[\]\0]*')
_TEXT = re.compile(rb'(?:[^"\\\0\r\n]++|\\[^\0\r\n])*+')
_HOLE = b"\0"


@dataclasses.dataclass(frozen=True, slots=True)
class Nothing:
    """There is nothing to do and nothing to report."""


@dataclasses.dataclass(frozen=True, slots=True)
class Submit:
    """Start the export that `document` describes, then `Draft.settle` what became of it."""

    document: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Refuse:
    """The operation fails with `error`."""

    error: AxxonfsError


Outcome = Nothing | Submit | Refuse


class _Scanner:
    """Finds the end of the first JSON object in bytes that grow; no byte is looked at twice."""

    __slots__ = ("_depth", "_in_text", "digest", "end", "position", "problem")

    def __init__(self) -> None:
        self.position = 0  # of the first byte that was not understood yet
        self.end: int | None = None  # just behind the document
        self.digest = b""  # of the document
        self.problem = ""  # what is wrong with the byte at `position`
        self._depth = 0
        self._in_text = False

    def scan(self, content: bytearray) -> None:
        """Go on over what was added."""
        while self.position < len(content) and not self.problem and self._step(content):
            pass

    def covers(self, offset: int) -> bool:
        """Whether a change at `offset` would change what was found."""
        return offset < self.position or (offset == self.position and bool(self.problem))

    def is_complete(self, content: bytearray) -> bool:
        """Whether there is one document with nothing but white space behind it."""
        return self.end is not None and self.position == len(content)

    def is_blank(self, content: bytearray) -> bool:
        """Whether no document has begun."""
        return not self._depth and self.end is None and self.position == len(content)

    def missing(self, content: bytearray) -> str:
        """Return what an incomplete document still waits for."""
        if self._at(content) == _HOLE:
            return "bytes were left out here"
        return 'the closing " of a text is missing' if self._in_text else "its closing } is missing"

    def _step(self, content: bytearray) -> bool:
        """Understand one piece; return whether there was any."""
        if self._in_text:
            return self._step_in_text(content)
        if self._depth:
            return self._step_in_document(content)
        return self._step_outside(content)

    def _step_outside(self, content: bytearray) -> bool:
        if self.position == 0 and _BOM.startswith(content[: len(_BOM)]):
            self.position = len(_BOM) if len(content) >= len(_BOM) else 0
            return self.position > 0
        self._skip(_SPACE, content)
        if self.position == len(content) or self._at(content) == _HOLE:
            return False
        if self.end is not None:
            self.problem = "something follows the end of the document: a spec is one JSON object"
        elif self._at(content) != b"{":
            self.problem = "a spec is one JSON object in UTF-8 and begins with {"
        else:
            self._enter(1)
        return True

    def _step_in_document(self, content: bytearray) -> bool:
        self._skip(_PLAIN, content)
        char = self._at(content)
        if char in (b"", _HOLE):
            return False
        if char == b'"':
            self._in_text = True
            self.position += 1
        else:
            self._enter(1 if char in b"{[" else -1)
        if not self._depth:
            self.end = self.position
            self.digest = hashlib.sha256(content[: self.end]).digest()
        return True

    def _step_in_text(self, content: bytearray) -> bool:
        self._skip(_TEXT, content)
        char = self._at(content)
        if char == b'"':
            self._in_text = False
            self.position += 1
            return True
        # A lone backslash is followed by what is still to come, by a hole, or by the end of its line.
        follower = char if char != b"\\" else bytes(content[self.position + 1 : self.position + 2])
        if follower in (b"\r", b"\n"):
            self.problem = 'a text must end on the line where it begins: a " is missing'
        return bool(self.problem)

    def _skip(self, pattern: re.Pattern[bytes], content: bytearray) -> None:
        match = pattern.match(content, self.position)
        assert match  # noqa: S101 - each pattern matches the empty string
        self.position = match.end()

    def _at(self, content: bytearray) -> bytes:
        return bytes(content[self.position : self.position + 1])

    def _enter(self, levels: int) -> None:
        self._depth += levels
        self.position += 1


class Draft:
    """The content of one inode in `new/` that is a spec.

    A draft made with content holds a text that nobody has judged: `flush` does,
    and `opened` takes it for dealt with.
    """

    __slots__ = ("_content", "_dirty", "_known", "_known_end", "_new_end", "_old_end", "_refusal", "_scanner")

    def __init__(self, content: bytes = b"") -> None:
        self._content = bytearray(content)
        self._scanner = _Scanner()
        self._dirty = bool(content)  # whether anybody has changed it since it was opened
        # Bytes of an older text stand in [_new_end, _old_end); before that, all was written anew.
        self._old_end = 0
        self._new_end = 0
        # The document that was submitted last, as typed and as masked: digests, because it may hold a secret.
        self._known: frozenset[bytes] = frozenset()
        self._known_end = 0
        self._refusal: AxxonfsError | None = None

    @property
    def content(self) -> bytes:
        """What a reader of the file sees."""
        return bytes(self._content)

    def opened(self, *, truncate: bool) -> None:
        """Note that somebody opened the file to write; what it holds then is old and was dealt with before."""
        if truncate:
            self._resize(0)
        self._scanner.scan(self._content)
        is_complete = self._scanner.is_complete(self._content)
        # But for the document of another writer, who has not closed it yet.
        self._dirty = self._dirty and self._holds_old and is_complete
        if is_complete and not self._dirty:
            self._remember()
        self._refusal = None
        self._hold_old()

    def write(self, offset: int, data: bytes) -> Outcome:
        """Put `data` at `offset` (both in bytes); what lies between it and the end so far is a hole."""
        end = offset + len(data)
        if end > MAX_BYTES:
            self._refusal = _too_large()  # what is missing now is not what the document lacks
            return Refuse(self._refusal)
        self._dirty = True
        if self._holds_old and offset < self._known_end:
            self._known = frozenset()  # written over, be it with the same bytes: it is a new document
        if self._content[offset:end] != data:
            self._replace(offset, data)
        if offset <= self._new_end:
            self._new_end = max(self._new_end, end)
        return self._repeated() if self._holds_old else self._examine()

    def truncate(self, size: int) -> Outcome:
        """Cut or extend the file to `size` bytes."""
        if size > MAX_BYTES:
            return Refuse(_too_large())
        self._dirty |= size != len(self._content)
        self._resize(size)
        outcome = self._examine() if self._dirty else Nothing()
        # Only a write or a flush reports what is wrong: programs truncate before they write.
        return outcome if isinstance(outcome, Submit) else Nothing()

    def flush(self) -> Outcome:
        """Judge what was written: a descriptor of the file was closed, perhaps only a copy of it."""
        if len(self._content) > MAX_BYTES:  # made with more: a scratch file that is to become a spec
            return Refuse(_too_large())
        if not self._dirty:
            return self._repeated()
        outcome = self._examine()
        if not isinstance(outcome, Nothing) or self._scanner.is_complete(self._content):
            return outcome
        if self._scanner.is_blank(self._content):
            return outcome
        return Refuse(self._error(f"the document is not complete: {self._scanner.missing(self._content)}"))

    def settle(self, error: AxxonfsError | None) -> None:
        """Note what became of the last Submit; an error is repeated to those who go on writing."""
        if self._known:
            self._refusal = error

    def replace_secrets(self, content: bytes) -> None:
        """Show `content` instead: the same text, byte for byte, but for its secrets.

        Raises:
            ValueError: the length differs.
        """
        if len(content) != len(self._content):
            raise ValueError("a masked text has the length of the text")
        self._content[:] = content
        self._scanner = _Scanner()
        self._scanner.scan(self._content)
        if self._known and self._scanner.end is not None:
            self._remember()

    @property
    def was_submitted(self) -> bool:
        """Whether it holds one complete document, and that was submitted already."""
        return self._scanner.is_complete(self._content) and self._scanner.digest in self._known

    @property
    def _holds_old(self) -> bool:
        return self._new_end < self._old_end

    def _hold_old(self) -> None:
        self._old_end = len(self._content)
        self._new_end = 0

    def _replace(self, offset: int, data: bytes) -> None:
        overwrites_document = self._scanner.end is not None and offset < self._scanner.end
        if overwrites_document and not self._holds_old:
            self._hold_old()  # new text over old: half-way, it could be a document that nobody wrote
        self._content.extend(bytes(max(0, offset - len(self._content))))
        self._content[offset : offset + len(data)] = data
        self._rescan_from(offset)

    def _resize(self, size: int) -> None:
        if size < self._known_end or not size:
            self._known, self._known_end, self._refusal = frozenset(), 0, None
        if size < len(self._content):
            self._rescan_from(size)
        del self._content[size:]
        self._content.extend(bytes(size - len(self._content)))
        self._old_end = min(self._old_end, size)

    def _rescan_from(self, offset: int) -> None:
        if self._scanner.covers(offset):
            self._scanner = _Scanner()

    def _examine(self) -> Outcome:
        self._scanner.scan(self._content)
        if self._scanner.is_complete(self._content) and self._scanner.digest not in self._known:
            return self._submit()
        if self._refusal is None and self._scanner.problem:
            return Refuse(self._error(self._scanner.problem))
        return self._repeated()

    def _submit(self) -> Submit:
        self._known = frozenset()
        self._refusal = None
        self._remember()
        self._old_end = 0
        return Submit(bytes(self._content[: self._known_end]))

    def _remember(self) -> None:
        self._known |= {self._scanner.digest}
        self._known_end = self._scanner.end or 0

    def _repeated(self) -> Outcome:
        return Refuse(self._refusal) if self._refusal else Nothing()

    def _error(self, problem: str) -> SpecError:
        before = self._content[: self._scanner.position].decode(errors="replace")
        line = before.count("\n") + 1
        column = len(before) - before.rfind("\n")
        return SpecError(f"line {line}, column {column}: {problem}")


def _too_large() -> TooLargeError:
    return TooLargeError(f"a spec has at most {MAX_BYTES // 1024} KiB")

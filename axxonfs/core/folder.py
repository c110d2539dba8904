"""The folder `new/`: specs, scratch files of editors, links to sessions, and errors.

Decides which names are specs, what a rename submits, and what `NAME.session` and
`NAME.error` are. What is in a spec while it is being written is decided by
`document.Draft`. Pure; belongs to the event loop. The rules are those of
docs/semantics.md, "Starting an export".
"""

import dataclasses
import stat
from collections.abc import Container

from axxonfs.core import document, errors, tree

_FILE = stat.S_IFREG | 0o600
_TEXT = stat.S_IFREG | 0o444
_LINK = stat.S_IFLNK | 0o777
_SPEC_SUFFIX = b".json"
_OUTCOME_SUFFIXES = (b".session", b".error")
# Editors' swap files and the like; a spec itself has at most 64 KiB.
MAX_SCRATCH_BYTES = 1024 * 1024
MAX_ENTRIES = 10_000
# All of it is in memory, and in the journal.
MAX_TOTAL_BYTES = 64 * 1024 * 1024


def is_spec(name: bytes) -> bool:
    """Whether a file of this name in `new/` is a spec; everything else is scratch space."""
    return name.endswith(_SPEC_SUFFIX) and not name.startswith(b".")


def stem_of(name: bytes) -> bytes:
    """Return NAME of the spec `NAME.json`."""
    return name.removesuffix(_SPEC_SUFFIX)


class Scratch:
    """A file in `new/` that starts nothing."""

    __slots__ = ("data",)

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)

    @property
    def size(self) -> int:
        """The number of bytes written so far."""
        return len(self.data)

    def write(self, offset: int, data: bytes) -> None:
        """Put `data` at `offset`; a hole before it reads as zeros.

        Raises:
            TooLargeError: the file would grow over 1 MiB.
        """
        self.truncate(max(len(self.data), offset + len(data)))
        self.data[offset : offset + len(data)] = data

    def truncate(self, size: int) -> None:
        """Cut or extend the file to `size` bytes.

        Raises:
            TooLargeError: `size` is over 1 MiB.
        """
        if size > MAX_SCRATCH_BYTES:
            raise errors.TooLargeError("files in new/ that are no specs have at most 1 MiB")
        del self.data[size:]
        self.data.extend(bytes(size - len(self.data)))


@dataclasses.dataclass(slots=True)
class Written:
    """The content of a file in `new/`: a spec or scratch, as its name says.

    `submitted` holds the last document that was submitted from it, without white
    space around it and with stars for passwords: an editor that moves a spec away and back does not start it again.
    """

    store: document.Draft | Scratch
    submitted: bytes | None = None

    @property
    def size(self) -> int:
        """The number of bytes written so far."""
        return len(self.data)

    @property
    def data(self) -> bytes:
        """The bytes written so far."""
        return self.store.content if isinstance(self.store, document.Draft) else bytes(self.store.data)


@dataclasses.dataclass(frozen=True, slots=True)
class Note:
    """The content of `NAME.error`."""

    data: bytes
    until_s: float | None  # when it goes after its spec went

    @property
    def size(self) -> int:
        """The length of the text."""
        return len(self.data)


class NewFolder:
    """The entries of `new/`."""

    def __init__(self, nodes: tree.Tree, directory: tree.Node) -> None:
        self.directory = directory
        self._tree = nodes
        self._at_most_bytes = 0  # what the files may hold by now; counted anew only where that is too much
        self._gone_since_s: dict[bytes, float] = {}  # names of links whose session has gone

    def create(self, name: bytes, *, uid: int, gid: int, now_ns: int) -> tree.Node:
        """Make an empty file, for its owner only: a spec may hold a password.

        Raises:
            NotAllowedError: the name is one that the mount itself gives.
            NameTooLongError, NameTakenError, StoreFullError
        """
        self._check_name(name)
        if name in self.directory.entries:
            raise errors.NameTakenError("the name exists")
        if len(self.directory.entries) >= MAX_ENTRIES:
            raise errors.StoreFullError(f"new/ holds at most {MAX_ENTRIES} entries: remove some")
        content = Written(document.Draft() if is_spec(name) else Scratch())
        node = self._tree.add(self.directory, name, content, mode=_FILE, now_ns=now_ns)
        node.uid, node.gid = uid, gid
        return node

    def reserve(self, growth_bytes: int) -> None:
        """Make sure that there is room for a file to grow; a negative growth is none.

        Raises:
            StoreFullError: there is not.
        """
        self._at_most_bytes += max(0, growth_bytes)
        if self._at_most_bytes <= MAX_TOTAL_BYTES or growth_bytes <= 0:
            return
        held_bytes = sum(node.content.size for node in self.directory.entries.values())
        self._at_most_bytes = held_bytes + growth_bytes
        if self._at_most_bytes > MAX_TOTAL_BYTES:
            raise errors.StoreFullError(f"new/ holds at most {MAX_TOTAL_BYTES >> 20} MiB: remove some files")

    def submitted_by_rename(self, node: tree.Node, name: bytes) -> bytes | None:
        """Return the document that giving the file another name would submit, if any.

        Raises:
            SpecError: the new name is a spec's and the file holds no complete document.
            TooLargeError: it is, and the file is larger than specs may be.
            NotAllowedError: links and errors keep their names.
        """
        self._check_name(name)
        content = node.content
        if not isinstance(content, Written):
            raise errors.NotAllowedError("links and errors in new/ cannot be renamed")
        if not is_spec(name):
            return None
        outcome = document.Draft(content.data).flush()
        if isinstance(outcome, document.Refuse):
            raise outcome.error
        if not isinstance(outcome, document.Submit) or outcome.document.strip() == content.submitted:
            return None
        return outcome.document

    def rename(self, node: tree.Node, name: bytes, *, now_ns: int, error_until_s: float) -> None:
        """Give a file another name, which makes it a spec or scratch space; call `submitted_by_rename` before.

        The error of a spec that there is no more stays until `error_until_s`.
        """
        content = node.content
        assert isinstance(content, Written)  # noqa: S101 - said by submitted_by_rename
        if is_spec(name):
            draft = document.Draft(content.data)
            # What it holds is submitted by the rename, if at all; not by the next close as well.
            if isinstance(draft.flush(), document.Submit):
                draft.settle(None)
            content.store = draft
        else:
            content.store = Scratch(content.data)
        self._keep_error_of(node.name, error_until_s)
        self._keep_error_of(name, None)
        self._tree.move(node, self.directory, name, now_ns)

    def link_session(self, stem: bytes, session_name: bytes, now_ns: int) -> None:
        """Make `NAME.session` lead to a session, and take `NAME.error` away."""
        self._gone_since_s.pop(stem + b".session", None)
        self._replace(stem + b".session", tree.Link(b"../sessions/" + session_name), _LINK, now_ns)
        self._discard(stem + b".error", now_ns)

    def note_error(self, stem: bytes, text: str, *, now_ns: int, until_s: float) -> None:
        """Make `NAME.error` say what was wrong; where there is no spec that it could go with, until `until_s`."""
        data = f"{text.rstrip()}\n".encode("utf-8", "replace")
        has_spec = stem + _SPEC_SUFFIX in self.directory.entries
        self._replace(stem + b".error", Note(data, None if has_spec else until_s), _TEXT, now_ns)

    def remove(self, node: tree.Node, *, now_ns: int, error_until_s: float) -> None:
        """Remove an entry; the error of a removed spec stays until `error_until_s`."""
        self._keep_error_of(node.name, error_until_s)
        self._tree.remove(node, now_ns)

    def _keep_error_of(self, name: bytes, until_s: float | None) -> None:
        """Have the error of a spec go then; None while the spec is there."""
        error = self.directory.entries.get(stem_of(name) + b".error") if is_spec(name) else None
        if error is not None and isinstance(error.content, Note):
            error.content = Note(error.content.data, until_s)

    def expire(self, now_s: float, now_ns: int) -> list[bytes]:
        """Drop the errors whose specs are gone and whose time is over; return their names."""
        gone = []
        for node in list(self.directory.entries.values()):
            if isinstance(node.content, Note) and node.content.until_s is not None and node.content.until_s <= now_s:
                self._tree.remove(node, now_ns)
                gone.append(node.name)
        return gone

    def expire_links(
        self, sessions: Container[bytes], *, now_s: float, now_ns: int, gone_after_s: float
    ) -> list[bytes]:
        """Drop spec, link and error of sessions that have been gone for `gone_after_s`.

        `sessions` are the names that there are in `sessions/`. Returns the names
        of what went, and of the links about which something else is known now.
        """
        changed: list[bytes] = []
        for node in list(self.directory.entries.values()):
            if not isinstance(node.content, tree.Link):
                continue
            since_s = self._gone_since_s.get(node.name)
            if node.content.target.rpartition(b"/")[2] in sessions:
                changed += [node.name] if self._gone_since_s.pop(node.name, None) is not None else []
            elif since_s is None:
                self._gone_since_s[node.name] = now_s
                changed.append(node.name)
            elif now_s - since_s >= gone_after_s:
                changed += self._discard_all(node.name.removesuffix(b".session"), now_ns)
        return changed

    def gone_since_s(self, name: bytes) -> float | None:
        """Return since when the session that a link leads to has been gone; None while it is there."""
        return self._gone_since_s.get(name)

    def _discard_all(self, stem: bytes, now_ns: int) -> list[bytes]:
        self._gone_since_s.pop(stem + b".session", None)
        names = [stem + suffix for suffix in (_SPEC_SUFFIX, *_OUTCOME_SUFFIXES)]
        for name in names:
            self._discard(name, now_ns)
        return names

    def restore(
        self, name: bytes, kind: str, data: bytes, *, submitted: bytes | None, until_s: float | None, now_ns: int
    ) -> None:
        """Make an entry again as an earlier run left it; `kind` is `file`, `link` or `error`.

        `until_s` is when an error goes, or since when the session of a link has been gone.
        """
        if kind == "link":
            self._replace(name, tree.Link(data), _LINK, now_ns)
            if until_s is not None:
                self._gone_since_s[name] = until_s
        elif kind == "error":
            self._replace(name, Note(data, until_s), _TEXT, now_ns)
        else:
            store = document.Draft(data) if is_spec(name) else Scratch(data)
            self._replace(name, Written(store, submitted), _FILE, now_ns)

    @staticmethod
    def _check_name(name: bytes) -> None:
        if len(name) > tree.MAX_NAME_BYTES - len(b".session"):
            raise errors.NameTooLongError("names in new/ have at most 247 bytes")
        if name.endswith(_OUTCOME_SUFFIXES):
            raise errors.NotAllowedError("names ending in .session or .error are given by the mount")

    def _replace(self, name: bytes, content: tree.Content, mode: int, now_ns: int) -> None:
        self._discard(name, now_ns)
        self._tree.add(self.directory, name, content, mode=mode, now_ns=now_ns)

    def _discard(self, name: bytes, now_ns: int) -> None:
        old = self.directory.entries.get(name)
        if old is not None:
            self._tree.remove(old, now_ns)

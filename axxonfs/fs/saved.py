"""The files of `new/` in the journal, so that the next mount shows them as they were.

Decides what of an entry may be written down: passwords never, hidden files not at
all. Most changes are written soon, all that wait in one go; those that belong to a
start are handed to whoever writes the start down, to go into the same transaction.
Belongs to the event loop.
"""

import dataclasses
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from axxonfs.core import errors, folder, spec, tree
from axxonfs.fs.journal import FileChanges, Journal, SavedFile

log = logging.getLogger(__name__)

_KINDS: dict[type, str] = {folder.Written: "file", tree.Link: "link", folder.Note: "error"}

# Runs a write to the journal in a thread, in the order of the calls.
Write = Callable[[Callable[[], None]], Awaitable[Any]]


class SavedFolder:
    """What the journal has of `new/`, and what it still has to get."""

    def __init__(self, new: folder.NewFolder, journal: Journal, write: Write) -> None:
        self._new = new
        self._journal = journal
        self._write = write
        self._unsaved: dict[bytes, None] = {}  # names that the journal does not have as they are
        self._event = trio.Event()
        for file in journal.files():
            self._restore(file)

    def later(self, *names: bytes) -> None:
        """Have entries written soon."""
        self._unsaved |= dict.fromkeys(names)
        if names:
            self._event.set()

    async def run(self) -> None:
        """Write what changed, for ever."""
        while True:
            await self._event.wait()
            self._event = trio.Event()
            await self.now()

    async def now(self) -> None:
        """Write what changed."""
        changes = self.changes(*self._unsaved)
        if not changes:
            return
        try:
            await self._write(lambda: self._journal.replace_files(changes))
        except errors.AxxonfsError as error:
            log.warning("new/ not saved error=%s", error)
            # With the next change, and at the end: the disk may have room again by then.
            self._unsaved |= dict.fromkeys((*changes.removed, *(file.name for file in changes.saved)))

    def changes(self, *names: bytes) -> FileChanges:
        """Return what the journal has to be told of these entries; whoever asks writes it."""
        for name in names:
            self._unsaved.pop(name, None)
        entries = self._new.directory.entries
        # In the swap files of editors, which are hidden, passwords could not be found.
        saved = [self._row(entries[name]) for name in names if name in entries and not name.startswith(b".")]
        return FileChanges(tuple(name for name in names if name not in entries), tuple(saved))

    def renamed(self, node: tree.Node, name: bytes) -> FileChanges:
        """Return what the journal has to be told of a file that becomes the spec `name` and is submitted so."""
        masked = spec.mask_secrets(_written(node).data)
        row = dataclasses.replace(self._row(node), name=name, data=masked, submitted=masked.strip())
        return FileChanges((node.name,) if node.name != name else (), (row,))

    def _row(self, node: tree.Node) -> SavedFile:
        submitted, until_s = None, None
        match node.content:
            case folder.Written() as written:
                data, submitted = _journaled(written), written.submitted
            case tree.Link(target):
                data, until_s = target, self._new.gone_since_s(node.name)
            case folder.Note() as note:
                data, until_s = note.data, note.until_s
            case other:
                raise AssertionError(other)
        kind = _KINDS[type(node.content)]
        return SavedFile(node.name, kind, data, submitted, node.mode, node.uid, node.gid, node.mtime_ns, until_s)

    def _restore(self, file: SavedFile) -> None:
        self._new.restore(
            file.name, file.kind, file.data, submitted=file.submitted, until_s=file.until_s, now_ns=file.mtime_ns
        )
        node = self._new.directory.entries[file.name]
        node.mode, node.uid, node.gid = file.mode, file.uid, file.gid


def _written(node: tree.Node) -> folder.Written:
    assert isinstance(node.content, folder.Written)  # noqa: S101 - nothing else can be renamed
    return node.content


def _journaled(content: folder.Written) -> bytes:
    """Return what the journal may hold of a file: scratch files hold passwords, too, and become specs by a rename."""
    masked = spec.mask_secrets(content.data)
    if content.submitted is None and b"password" in masked.lower():
        # Nobody has understood it yet: a password may stand where none is looked for.
        return b""
    return masked

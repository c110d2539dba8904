"""Open files of `new/`: what write, flush and close mean while a spec or scratch is written.

What a write does to the document is decided by `core/document.py`; here it is
carried out. Only the write that completes a document waits for the server.
Belongs to the event loop.
"""

import time
from collections.abc import Callable

from axxonfs.core import document, errors, folder, spec, tree
from axxonfs.fs.handles import Plain
from axxonfs.fs.starter import Starter


class SpecHandle(Plain):
    """An open file in `new/`: a spec that may start an export, or scratch space."""

    def __init__(self, node: tree.Node, new: folder.NewFolder, starter: Starter, save: Callable[[bytes], None]) -> None:
        self._node = node
        self._new = new
        self._starter = starter
        self._save = save
        self._dirty = False

    async def read(self, offset: int, size: int) -> bytes | memoryview:
        """Return what was written so far."""
        return _written(self._node).data[offset : offset + size]

    async def write(self, offset: int, data: bytes) -> int:
        """Take bytes; the write that completes a document starts the export and waits for the answer."""
        content = _written(self._node)
        self._new.reserve(offset + len(data) - content.size)
        self._touch()
        if isinstance(content.store, folder.Scratch):
            content.store.write(offset, data)
        else:
            await self._settle(content, content.store.write(offset, data))
        return len(data)

    async def truncate(self, size: int) -> None:
        """Cut or extend the file."""
        content = _written(self._node)
        self._new.reserve(size - content.size)
        self._touch()
        if isinstance(content.store, folder.Scratch):
            content.store.truncate(size)
        else:
            await self._settle(content, content.store.truncate(size))

    def opened(self, *, truncate: bool) -> None:
        """Take note of an open; with O_TRUNC the old bytes go."""
        content = _written(self._node)
        if isinstance(content.store, folder.Scratch):
            if truncate:
                content.store.truncate(0)
        else:
            content.store.opened(truncate=truncate)
        if truncate:
            self._touch()

    async def flush(self) -> None:
        """Complain of half a document; submit one that stands over old bytes."""
        content = _written(self._node)
        # Who has only read has nothing to be told, and nothing to submit.
        if self._dirty and isinstance(content.store, document.Draft):
            await self._settle(content, content.store.flush())

    async def release(self) -> None:
        """Write the file into the journal."""
        if self._dirty:
            self._save(self._node.name)

    def _touch(self) -> None:
        self._dirty = True
        self._node.mtime_ns = self._node.ctime_ns = time.time_ns()

    async def _settle(self, content: folder.Written, outcome: document.Outcome) -> None:
        if content.submitted is not None and _was_submitted(content):
            # A program that repeats a refused write writes its passwords once more.
            hide_secrets(self._node)
        match outcome:
            case document.Refuse(error):
                self._note(error)
                raise error
            case document.Submit() if self._node.parent is None:
                pass  # a file that was removed while it was open starts nothing
            case document.Submit(data):
                await self._submit(content, data)
            case _:
                pass

    async def _submit(self, content: folder.Written, data: bytes) -> None:
        draft = content.store
        assert isinstance(draft, document.Draft)  # noqa: S101 - only a draft submits
        label = folder.stem_of(self._node.name).decode(errors="surrogateescape")
        hide_secrets(self._node)
        mine, refusal = content.submitted, None
        try:
            await self._starter.submit(label, data)
        except errors.AxxonfsError as error:
            refusal = error
            raise
        finally:
            if content.submitted is mine:  # else another writer has submitted another document meanwhile
                draft.settle(refusal)

    def _note(self, error: errors.AxxonfsError) -> None:
        if folder.is_spec(self._node.name) and self._node.parent is not None:
            self._starter.note_error(folder.stem_of(self._node.name).decode(errors="surrogateescape"), error)


def hide_secrets(node: tree.Node) -> None:
    """Replace the passwords in a submitted document by stars, and remember the document so."""
    content = _written(node)
    masked = spec.mask_secrets(content.data)
    if isinstance(content.store, document.Draft) and masked != content.data:
        content.store.replace_secrets(masked)
    content.submitted = masked.strip()


def _was_submitted(content: folder.Written) -> bool:
    return isinstance(content.store, document.Draft) and content.store.was_submitted


def _written(node: tree.Node) -> folder.Written:
    content = node.content
    if not isinstance(content, folder.Written):
        raise errors.NotAllowedError("this file cannot be written")
    return content

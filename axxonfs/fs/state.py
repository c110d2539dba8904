"""What the requests act on: the parts of one live mount, and the changes of names.

Holds the view, the folder `new/`, the catalog, the starter and the readers
together, so that the requests need to know one object. Belongs to the event
loop; nothing here waits for the server.
"""

import logging
import time

import trio

from axxonfs.core import errors, folder, spec, tree, view
from axxonfs.exporting.catalog import Catalog
from axxonfs.fs import handles
from axxonfs.fs.journal import Journal, SavedFile
from axxonfs.fs.options import MountOptions
from axxonfs.fs.starter import Starter
from axxonfs.reading.pool import Pool
from axxonfs.reading.reader import ResultReader, Source
from axxonfs.reading.tasks import Tasks

log = logging.getLogger(__name__)

_KINDS: dict[type, str] = {folder.Written: "file", tree.Link: "link", folder.Note: "error"}


class MountState:
    """The parts of one live mount."""

    def __init__(
        self,
        options: MountOptions,
        catalog: Catalog,
        pool: Pool,
        pollers: handles.Pollers,
        journal: Journal,
        tasks: Tasks,
    ) -> None:
        self.options = options
        self.view = catalog.view
        self.catalog = catalog
        self.folder = folder.NewFolder(self.view.tree, self.view.new) if self.view.new else None
        self._pool = pool
        self._pollers = pollers
        self._journal = journal
        self.tasks = tasks
        self._unsaved: dict[bytes, None] = {}  # names in new/ that the journal does not have as they are
        self._unsaved_event = trio.Event()
        self._readers: dict[view.Result, ResultReader] = {}
        self._starter: Starter | None = None
        if self.folder is not None:
            self._restore(self.folder)
            self._starter = Starter(catalog, self.folder, journal, tasks, options.timezone, self.save_files)

    # -- opening -----------------------------------------------------------------

    def handle(self, node: tree.Node) -> handles.Handle:
        """Open a node.

        Raises:
            EntryIsDirectoryError, NotAllowedError
        """
        content = node.content
        match content:
            case view.Result():
                timeout_s = self.options.read_timeout
                return handles.ResultHandle(content, self._reader(content), self.catalog, timeout_s)
            case tree.Text():
                return handles.TextHandle(node, content, self._pollers, self.catalog)
            case view.Control():
                return handles.ControlHandle(content, self.catalog)
            case folder.Written():
                return self.spec_handle(node)
            case folder.Note():
                return handles.NoteHandle(content)
            case tree.Folder():
                raise errors.EntryIsDirectoryError("a directory")
            case _:
                raise errors.NotAllowedError("this cannot be opened")

    def spec_handle(self, node: tree.Node) -> handles.SpecHandle:
        """Open a file of `new/`."""
        if self._starter is None:
            raise errors.NotAllowedError("the mount is read-only")
        return handles.SpecHandle(node, self._starter, self.save_files)

    def _reader(self, content: view.Result) -> ResultReader:
        reader = self._readers.get(content)
        if reader is None:
            entry = content.entry
            source = Source(entry.session.id, content.file.path, content.size, lambda: self.catalog.downloading(entry))
            reader = self._readers[content] = ResultReader(self._pool, source)
        return reader

    def drop_readers(self) -> None:
        """Let the readers of sessions that are gone go, and the streams that nobody uses."""
        for content, reader in list(self._readers.items()):
            entry = content.entry
            if self.view.entries.get(entry.session.id) is not entry and not entry.facts.open_results:
                reader.close()
                del self._readers[content]
            else:
                reader.stop_idle()

    def give_up(self) -> None:
        """Fail whatever waits for bytes."""
        for reader in self._readers.values():
            reader.close()

    # -- removing ------------------------------------------------------------------

    def unlink(self, node: tree.Node) -> None:
        """Remove a file of `new/`, hide a result; a text stays, and `rm -r` goes on."""
        if self.folder is not None and node.parent is self.folder.directory:
            until_s = time.time() + self.view.settings.timers.error_text_s
            name = node.name
            self.folder.remove(node, now_ns=time.time_ns(), error_until_s=until_s)
            self.save_files(name, folder.stem_of(name) + b".error")
        elif isinstance(node.content, view.Result):
            self._check_may_destroy(node.content.entry)
            self.view.hide(node, time.time())
        elif not isinstance(node.content, tree.Text | view.Control):
            raise errors.NotAllowedError("this cannot be removed")

    def rmdir(self, node: tree.Node) -> None:
        """Destroy a session behind; its results must be hidden or gone before."""
        entry = self.view.entry_of(node)
        if not node.is_directory:
            raise errors.EntryIsNoDirectoryError("not a directory")
        if entry is None:
            raise errors.NotAllowedError("this directory belongs to the mount")
        self._check_may_destroy(entry)
        if self.view.visible_results(entry):
            raise errors.NotEmptyError("the session has results")
        entry.facts.going = True
        self.view.take_away(entry, time.time())
        self.tasks.start(self._destroy_behind, entry)

    def resume(self) -> None:
        """Go on with what an earlier run had begun: sessions that were being destroyed."""
        for entry in [entry for entry in self.view.entries.values() if entry.facts.going]:
            self.view.take_away(entry, time.time())
            self.tasks.start(self._destroy_behind, entry)

    def _check_may_destroy(self, entry: view.Entry) -> None:
        rule = self.options.destroy
        if rule == "none" or (rule == "own" and not entry.facts.own):
            raise errors.NotAllowedError("the option destroy does not allow to remove this session")

    async def _destroy_behind(self, entry: view.Entry) -> None:
        try:
            await self.catalog.save(entry)
            await self.catalog.destroy(entry)
        except errors.AxxonfsError as error:
            log.warning("session not destroyed session=%s error=%s", entry.session.id, error)
            self.view.put_back(entry, f"not destroyed: {error}", time.time())
            await self.catalog.save(entry)

    # -- renaming --------------------------------------------------------------------

    async def rename(self, node: tree.Node, name: bytes) -> None:
        """Rename within `new/`; onto the name of a spec it starts the export behind.

        Raises:
            SpecError: the document is wrong; nothing was renamed.
        """
        if self.folder is None or self._starter is None:
            raise errors.NotAllowedError("the mount is read-only")
        label = folder.stem_of(name).decode(errors="surrogateescape")
        try:
            document = self.folder.submitted_by_rename(node, name)
            resolved = self._starter.check(document) if document is not None else None
        except errors.SpecError as error:
            self._starter.note_error(label, error)
            raise
        old = node.name
        if document is not None and resolved is not None:
            # The journal first: what cannot be journaled is not renamed either.
            await self._starter.submit_behind(label, document, resolved)
        self.folder.rename(node, name, time.time_ns())
        if document is not None:
            handles.hide_secrets(node)
        self.save_files(old, name)

    # -- the journal of new/ -----------------------------------------------------------

    def save_files(self, *names: bytes) -> None:
        """Have entries of `new/` written into the journal soon; hidden ones do not outlive the mount."""
        self._unsaved |= dict.fromkeys(names)
        if names:
            self._unsaved_event.set()

    async def save_for_ever(self) -> None:
        """Write what changed in `new/` into the journal, all of it in one go each time."""
        while True:
            await self._unsaved_event.wait()
            self._unsaved_event = trio.Event()
            await self.save_now()

    async def save_now(self) -> None:
        """Write what changed in `new/` into the journal."""
        names, self._unsaved = self._unsaved, {}
        if self.folder is None or not names:
            return
        entries = self.folder.directory.entries
        # In the swap files of editors, which are hidden, passwords could not be found.
        saved = [_saved(entries[name]) for name in names if name in entries and not name.startswith(b".")]
        removed = [name for name in names if name not in entries]
        try:
            await self.catalog.write_journal(lambda: self._journal.replace_files(removed, saved))
        except errors.AxxonfsError as error:
            log.warning("new/ not saved error=%s", error)

    def _restore(self, new: folder.NewFolder) -> None:
        for file in self._journal.files():
            new.restore(
                file.name, file.kind, file.data, submitted=file.submitted, until_s=file.until_s, now_ns=file.mtime_ns
            )
            node = new.directory.entries[file.name]
            node.mode, node.uid, node.gid = file.mode, file.uid, file.gid

    def expire(self) -> None:
        """Let go what has had its time."""
        if self.folder is not None:
            now_s, now_ns = time.time(), time.time_ns()
            self.save_files(*self.folder.expire(now_s, now_ns))
            gone = self.folder.expire_links(
                self.view.sessions.entries,
                now_s=now_s,
                now_ns=now_ns,
                gone_after_s=self.view.settings.timers.tombstone_s,
            )
            self.save_files(*gone)


def _journaled(content: folder.Written) -> bytes:
    """Return what the journal may hold of a file: scratch files hold passwords, too, and become specs by a rename."""
    masked = spec.mask_secrets(content.data)
    if content.submitted is None and b"password" in masked.lower():
        # Nobody has understood it yet: a password may stand where none is looked for.
        return b""
    return masked


def _saved(node: tree.Node) -> SavedFile:
    content = node.content
    match content:
        case folder.Written():
            data, submitted, until_s = _journaled(content), content.submitted, None
        case tree.Link():
            data, submitted, until_s = content.target, None, None
        case folder.Note():
            data, submitted, until_s = content.data, None, content.until_s
        case _:
            raise AssertionError(content)
    kind = _KINDS[type(content)]
    return SavedFile(node.name, kind, data, submitted, node.mode, node.uid, node.gid, node.mtime_ns, until_s)

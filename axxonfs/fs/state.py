"""What the requests act on: the parts of one live mount, and the changes of names.

Holds the view, the folder `new/`, the catalog, the starter and the readers
together, so that the requests need to know one object. Belongs to the event
loop; nothing here waits for the server.
"""

import logging
import time
from collections.abc import Iterator

from axxonfs.core import errors, folder, sessions, tree, view
from axxonfs.core.texts import Text
from axxonfs.exporting.catalog import Catalog
from axxonfs.fs import handles
from axxonfs.fs.journal import Journal
from axxonfs.fs.options import MountOptions
from axxonfs.fs.reveal import Revealer
from axxonfs.fs.saved import SavedFolder
from axxonfs.fs.spec_handle import SpecHandle, hide_secrets
from axxonfs.fs.starter import Starter
from axxonfs.reading.pool import Pool
from axxonfs.reading.reader import ResultReader, Source
from axxonfs.reading.tasks import Tasks

log = logging.getLogger(__name__)


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
        revealer: Revealer,
    ) -> None:
        self.options = options
        self.view = catalog.view
        self.catalog = catalog
        self.folder = folder.NewFolder(self.view.tree, self.view.new) if self.view.new else None
        self._pool = pool
        self._pollers = pollers
        self.tasks = tasks
        self.revealer = revealer
        self._readers: dict[view.Result, ResultReader] = {}
        self.saved: SavedFolder | None = None
        self._starter: Starter | None = None
        if self.folder is not None:
            self.saved = SavedFolder(self.folder, journal, catalog.write_journal)
            self._starter = Starter(catalog, self.folder, self.saved, journal, tasks, options.timezone)

    # -- opening -----------------------------------------------------------------

    def handle(self, node: tree.Node, uid: int, thread: int) -> handles.Handle:
        """Open a node for a user's thread.

        Raises:
            EntryIsDirectoryError, NotAllowedError
        """
        content = node.content
        match content:
            case view.Result():
                timeout_s = self.options.read_timeout
                return handles.ResultHandle(content, self._reader(content), self.catalog, timeout_s, uid)
            case Text():
                return handles.TextHandle(node, content, self._pollers, self.catalog, thread)
            case view.Control():
                return handles.ControlHandle(content, self.catalog, thread)
            case folder.Written():
                return self.spec_handle(node)
            case folder.Note():
                return handles.NoteHandle(content)
            case tree.Folder():
                raise errors.EntryIsDirectoryError("a directory")
            case _:
                raise errors.NotAllowedError("this cannot be opened")

    def spec_handle(self, node: tree.Node) -> SpecHandle:
        """Open a file of `new/`."""
        if self._starter is None or self.folder is None:
            raise errors.NotAllowedError("the mount is read-only")
        return SpecHandle(node, self.folder, self._starter, self.save_files)

    def _reader(self, content: view.Result) -> ResultReader:
        reader = self._readers.get(content)
        if reader is None:
            entry = content.entry
            source = Source(entry.session.id, content.file.path, content.size, lambda: self.catalog.downloading(entry))
            reader = self._readers[content] = ResultReader(self._pool, source)
        return reader

    def reading(self) -> Iterator[str]:
        """Yield a line about each result that is read: its streams and what waits."""
        for content, reader in self._readers.items():
            yield f"result session={content.entry.session.id} size_bytes={content.size} {reader.summary}"

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
            name = node.name
            self.folder.remove(node, now_ns=time.time_ns(), error_until_s=self._error_until_s)
            self.save_files(name, folder.stem_of(name) + b".error")
        elif isinstance(node.content, view.Result):
            self._check_may_destroy(node.content.entry)
            self.view.hide(node, time.time())
        elif isinstance(node.content, Text | view.Control):
            self._note_unlinked(node)
        else:
            raise errors.NotAllowedError("this cannot be removed")

    def _note_unlinked(self, node: tree.Node) -> None:
        entry = self.view.entry_of(node.parent) if node.parent else None
        if entry is not None:
            entry.unlinked.add(node.name)

    def rmdir(self, node: tree.Node) -> None:
        """Destroy a session behind; what its directory showed must have been removed before."""
        entry = self.view.entry_of(node)
        if not node.is_directory:
            raise errors.EntryIsNoDirectoryError("not a directory")
        if entry is None:
            raise errors.NotAllowedError("this directory belongs to the mount")
        self._check_may_destroy(entry)
        if not self.view.is_cleared(entry):
            raise errors.NotEmptyError("rm -r removes a session with what is in it")
        entry.facts.going = True
        self._take_away(entry)
        self.tasks.start(self._destroy_behind, entry)

    def resume(self) -> None:
        """Go on with what an earlier run had begun: sessions that were being destroyed, and starts."""
        for entry in [entry for entry in self.view.entries.values() if entry.facts.going]:
            self._take_away(entry)
            self.tasks.start(self._destroy_behind, entry)
        if self._starter is not None:
            self._starter.resume()

    def _take_away(self, entry: view.Entry) -> None:
        for notice in self.view.destroyed(entry.session.id, time.time(), accepted=False):
            # The kernel knows that the directory goes; whoever follows one of its texts does not.
            if isinstance(notice, view.Changed):
                self._pollers.changed(notice.ino)

    def _check_may_destroy(self, entry: view.Entry) -> None:
        sessions.check_may_destroy(entry.facts, self.options.destroy)

    async def _destroy_behind(self, entry: view.Entry) -> None:
        try:
            await self.catalog.save(entry)
            await self.catalog.destroy(entry)
        except errors.AxxonfsError as error:
            log.warning("session not destroyed session=%s error=%s", entry.session.id, error)
            await self.catalog.put_back(entry, str(error))

    # -- renaming --------------------------------------------------------------------

    async def rename(self, node: tree.Node, name: bytes) -> None:
        """Rename within `new/`; onto the name of a spec it starts the export behind.

        Raises:
            SpecError, TooLargeError: the document is wrong; nothing was renamed.
        """
        if self.folder is None or self._starter is None or self.saved is None:
            raise errors.NotAllowedError("the mount is read-only")
        label = folder.stem_of(name).decode(errors="surrogateescape")
        try:
            document = self.folder.submitted_by_rename(node, name)
            resolved = self._starter.check(document) if document is not None else None
        except (errors.SpecError, errors.TooLargeError) as error:
            self._starter.note_error(label, error)
            raise
        old = node.name
        if document is not None and resolved is not None:
            # The journal first: what cannot be journaled is not renamed either.
            await self._starter.submit_behind(label, document, resolved, self.saved.renamed(node, name))
        self.folder.rename(node, name, now_ns=time.time_ns(), error_until_s=self._error_until_s)
        if document is not None:
            hide_secrets(node)
        self.save_files(old, name, *(folder.stem_of(each) + b".error" for each in (old, name)))

    @property
    def _error_until_s(self) -> float:
        """When an error goes whose spec goes now."""
        return time.time() + self.view.settings.timers.error_text_s

    # -- the journal of new/ -----------------------------------------------------------

    def save_files(self, *names: bytes) -> None:
        """Have entries of `new/` written into the journal soon; hidden ones do not outlive the mount."""
        if self.saved is not None:
            self.saved.later(*names)

    def expire(self) -> list[view.Notice]:
        """Let go what has had its time; return what the kernel has to be told."""
        if self.folder is None:
            return []
        now_s, now_ns = time.time(), time.time_ns()
        names = self.folder.expire(now_s, now_ns)
        gone_after_s = self.view.settings.timers.tombstone_s
        there = self.view.sessions.entries
        names += self.folder.expire_links(there, now_s=now_s, now_ns=now_ns, gone_after_s=gone_after_s)
        self.save_files(*names)
        new = self.folder.directory
        return [view.Gone(new.ino, name, 0) for name in names if name not in new.entries]

"""The FUSE requests: ids in, values out, errors turned into errno.

Decides nothing: it finds the node, asks the tree, the folder or the handle, and
translates. Every answer but those of `read` on a result and `write` to a spec or
to `control` comes from memory. No exception but FUSEError leaves a handler: any
other would end the mount and leave callers blocked (measured).
"""

import errno
import functools
import logging
import os
import stat
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, Concatenate, Final, NoReturn, ParamSpec, TypeVar, cast

import pyfuse3

from axxonfs.core import entries, errors, folder, tree, view
from axxonfs.fs import handles
from axxonfs.fs.spec_handle import SpecHandle
from axxonfs.fs.state import MountState

log = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

# The kernel is told of names that go, so that it may remember names for long.
ENTRY_TIMEOUT_S: Final = 60.0
# Results never change; what directories say may be a second old.
RESULT_TIMEOUT_S: Final = 3600.0
DIRECTORY_TIMEOUT_S: Final = 1.0
BLOCK_BYTES: Final = 512  # the unit of st_blocks
BLKSIZE_BYTES: Final = 128 * 1024
# Plausible, and with free space, or file managers refuse to paste into new/.
STATFS_BLOCKS: Final = 1 << 28


def _answers(
    handler: Callable[Concatenate["Operations", P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate["Operations", P], Coroutine[Any, Any, R]]:
    """Make a handler answer with an errno for every failure."""

    @functools.wraps(handler)
    async def answering(self: "Operations", *args: P.args, **kwargs: P.kwargs) -> R:
        self._begun += 1
        number = self._begun
        self._busy[number] = handler.__name__, args, time.monotonic()
        try:
            return await handler(self, *args, **kwargs)
        except errors.AxxonfsError as error:
            log.debug("%s failed error=%r", handler.__name__, error)
            raise pyfuse3.FUSEError(errors.errno_of(error)) from error
        except pyfuse3.FUSEError:
            raise
        except Exception as error:
            self.note_unexpected(handler.__name__, error)
            raise pyfuse3.FUSEError(errno.EIO) from error
        finally:
            del self._busy[number]

    return cast("Callable[Concatenate[Operations, P], Coroutine[Any, Any, R]]", answering)


class Operations(pyfuse3.Operations):
    """One mount's answers to the kernel."""

    supports_dot_lookup = False  # or the kernel would offer the mount for NFS export
    enable_writeback_cache = False
    enable_acl = False

    def __init__(self, mount: MountState) -> None:
        super().__init__()
        self.note_unexpected = mount.tasks.note_unexpected
        self._mount = mount
        self._tree = mount.view.tree
        self._handles: dict[int, handles.Handle] = {}
        self._directories: dict[int, tuple[tree.Node, list[bytes]]] = {}
        self._next_handle = 1
        self._begun = 0
        self._busy: dict[int, tuple[str, tuple[object, ...], float]] = {}

    def requests(self) -> Iterator[str]:
        """Yield a line about each request that is being answered: its numbers (never bytes), and for how long."""
        now_s = time.monotonic()
        for name, args, since_s in self._busy.values():
            numbers = ",".join(str(argument) for argument in args if isinstance(argument, int))
            yield f"request name={name} numbers={numbers} for_s={now_s - since_s:.1f}"

    # -- names and attributes --------------------------------------------------------

    @_answers
    async def lookup(self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        """Find a name."""
        if self._mount.revealer.denies(ctx.pid, parent_inode, name):
            raise errors.NoSuchNameError("it is about to be revealed")
        node = self._tree.find(self._tree.get(parent_inode), name)
        self._tree.remember(node)
        return self._attributes(node)

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        """Take back lookups."""
        for ino, count in inode_list:
            self._tree.forget(ino, count)

    @_answers
    async def getattr(self, inode: int, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes:
        """Return what stat shows."""
        node = self._tree.get(inode)
        text = entries.text_of(node)
        if text is not None:
            text.promise(ctx.pid, time.monotonic())
        return self._attributes(node)

    @_answers
    async def readlink(self, inode: int, ctx: pyfuse3.RequestContext) -> bytes:
        """Return where `NAME.session` leads."""
        content = self._tree.get(inode).content
        if not isinstance(content, tree.Link):
            raise errors.NotALinkError("not a symbolic link")
        return content.target

    @_answers
    async def setattr(
        self,
        inode: int,
        attr: pyfuse3.EntryAttributes,
        fields: pyfuse3.SetattrFields,
        fh: int | None,
        ctx: pyfuse3.RequestContext,
    ) -> pyfuse3.EntryAttributes:
        """Set mode, owner, times and size of files in `new/`; truncating `control` is harmless."""
        node = self._tree.get(inode)
        if isinstance(node.content, view.Control) and not _more_than_size(fields):
            return self._attributes(node)
        if self._mount.folder is not None and node is self._mount.folder.directory:
            # `rsync -a specs/ new/` gives the directory what specs/ has; until unmount.
            _set_fields(node, attr, fields)
            return self._attributes(node)
        if not isinstance(node.content, folder.Written):
            raise errors.NotAllowedError("nothing here can be changed")
        if fields.update_size:
            handle = self._handles.get(fh) if fh is not None else None
            spec_handle = handle if isinstance(handle, SpecHandle) else self._mount.spec_handle(node)
            await spec_handle.truncate(attr.st_size)
        _set_fields(node, attr, fields)
        self._mount.save_files(node.name)
        return self._attributes(node)

    @_answers
    async def statfs(self, ctx: pyfuse3.RequestContext) -> pyfuse3.StatvfsData:
        """Return plausible figures."""
        data = pyfuse3.StatvfsData()
        data.f_bsize = data.f_frsize = 4096
        data.f_blocks = STATFS_BLOCKS
        data.f_bfree = data.f_bavail = STATFS_BLOCKS // 2
        data.f_files = len(self._tree) + STATFS_BLOCKS
        data.f_ffree = data.f_favail = STATFS_BLOCKS
        data.f_namemax = tree.MAX_NAME_BYTES
        return data

    def _attributes(self, node: tree.Node) -> pyfuse3.EntryAttributes:
        options = self._mount.options
        entry = pyfuse3.EntryAttributes()
        entry.st_ino = node.ino
        entry.generation = 0
        entry.st_mode = node.mode & ~options.umask
        entry.st_nlink = node.links
        entry.st_uid = options.uid if node.uid is None else node.uid
        entry.st_gid = options.gid if node.gid is None else node.gid
        entry.st_rdev = 0
        entry.st_size = node.content.size
        entry.st_blksize = BLKSIZE_BYTES
        # Exact: with 0 blocks GNU tar -S stores zeros.
        entry.st_blocks = -(-entry.st_size // BLOCK_BYTES)
        entry.st_atime_ns = entry.st_mtime_ns = node.mtime_ns
        entry.st_ctime_ns = node.ctime_ns
        entry.entry_timeout, entry.attr_timeout = _timeouts(node)
        return entry

    # -- directories ---------------------------------------------------------------

    @_answers
    async def opendir(self, inode: int, ctx: pyfuse3.RequestContext) -> int:
        """Open a directory."""
        node = self._tree.get(inode)
        number = self._number()
        self._directories[number] = (node, list(self._tree.entries(node)))
        return number

    @_answers
    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        """List a directory as it was at opendir, or at the last rewind."""
        node, listed = self._directories[fh]
        there = self._tree.entries(node)
        if start_id == 0:
            listed[:] = there
        dots = ((b".", node), (b"..", node.parent or node))
        for place, (name, target) in enumerate(dots[start_id:], start_id):
            # These two are not counted as lookups.
            if not pyfuse3.readdir_reply(token, name, self._attributes(target), place + 1):
                return
        for place in range(max(0, start_id - len(dots)), len(listed)):
            child = there.get(listed[place])
            if child is None:
                continue  # it went since; what has taken its place is shown
            if not pyfuse3.readdir_reply(token, child.name, self._attributes(child), len(dots) + place + 1):
                return
            self._tree.remember(child)

    async def releasedir(self, fh: int) -> None:
        """Close a directory."""
        self._directories.pop(fh, None)

    async def fsyncdir(self, fh: int, datasync: bool) -> None:
        """Succeed: there is nothing to write back."""

    # -- files ---------------------------------------------------------------------

    @_answers
    async def open(self, inode: int, flags: int, ctx: pyfuse3.RequestContext) -> pyfuse3.FileInfo:
        """Open a file."""
        node = self._tree.get(inode)
        writing = flags & os.O_ACCMODE != os.O_RDONLY
        if writing and not isinstance(node.content, folder.Written | view.Control):
            raise errors.NotAllowedError("only files in new/ and control can be written")
        number = self._number()
        handle = self._mount.handle(node, ctx.uid, ctx.pid)
        if isinstance(handle, SpecHandle) and writing:
            handle.opened(truncate=bool(flags & os.O_TRUNC))
        return self._opened(number, handle)

    @_answers
    async def create(
        self, parent_inode: int, name: bytes, mode: int, flags: int, ctx: pyfuse3.RequestContext
    ) -> tuple[pyfuse3.FileInfo, pyfuse3.EntryAttributes]:
        """Make a file in `new/` and open it."""
        number = self._number()
        node = self._new_folder(parent_inode).create(name, uid=ctx.uid, gid=ctx.gid, now_ns=time.time_ns())
        self._mount.save_files(name)
        self._tree.remember(node)
        return self._opened(number, self._mount.handle(node, ctx.uid, ctx.pid)), self._attributes(node)

    def _opened(self, number: int, handle: handles.Handle) -> pyfuse3.FileInfo:
        self._handles[number] = handle
        # Results are immutable: their pages stay valid from open to open.
        return pyfuse3.FileInfo(fh=number, direct_io=handle.direct_io, keep_cache=not handle.direct_io)

    def _number(self) -> int:
        if len(self._handles) + len(self._directories) >= handles.MAX_HANDLES:
            raise errors.StoreFullError("too many open files")
        self._next_handle += 1
        return self._next_handle

    @_answers
    async def read(self, fh: int, off: int, size: int) -> bytes:
        """Return bytes."""
        # pyfuse3 takes any buffer and copies it once, whatever its annotation says (measured).
        return cast("bytes", await self._handles[fh].read(off, size))

    @_answers
    async def write(self, fh: int, off: int, buf: bytes) -> int:
        """Take bytes."""
        return await self._handles[fh].write(off, buf)

    @_answers
    async def flush(self, fh: int) -> None:
        """Answer a close."""
        await self._handles[fh].flush()

    @_answers
    async def fsync(self, fh: int, datasync: bool) -> None:
        """Answer as a close does: editors ask for it, and want to know what it says."""
        await self._handles[fh].flush()

    async def release(self, fh: int) -> None:
        """Close a file; nobody sees an error of this one."""
        handle = self._handles.pop(fh, None)
        if handle is not None:
            await self._released(handle)

    @_answers
    async def _released(self, handle: handles.Handle) -> None:
        await handle.release()

    @_answers
    async def poll(
        self, inode: int, fh: int, poll_handle: pyfuse3.PollHandle | None, ctx: pyfuse3.RequestContext
    ) -> int:
        """Say what is ready."""
        return self._handles[fh].poll(poll_handle)

    # -- changes of names ------------------------------------------------------------

    @_answers
    async def unlink(self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> None:
        """Remove a file of `new/`, hide a result, or let a text stay."""
        node = self._tree.find(self._tree.get(parent_inode), name)
        if node.is_directory:
            raise errors.EntryIsDirectoryError("a directory")
        self._mount.unlink(node)

    @_answers
    async def rmdir(self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> None:
        """Destroy a session whose results are gone or hidden, behind this answer."""
        self._mount.rmdir(self._tree.find(self._tree.get(parent_inode), name))

    @_answers
    async def rename(
        self,
        parent_inode_old: int,
        name_old: bytes,
        parent_inode_new: int,
        name_new: bytes,
        flags: int,
        ctx: pyfuse3.RequestContext,
    ) -> None:
        """Rename within `new/`; onto the name of a spec it starts the export behind."""
        self._new_folder(parent_inode_old)
        self._new_folder(parent_inode_new)
        if flags & pyfuse3.RENAME_EXCHANGE:
            raise errors.InvalidError("names in new/ cannot be exchanged")
        node = self._tree.find(self._tree.get(parent_inode_old), name_old)
        if flags & pyfuse3.RENAME_NOREPLACE and name_new in self._tree.get(parent_inode_new).entries:
            raise errors.NameTakenError("the name exists")
        await self._mount.rename(node, name_new)

    @_answers
    async def mkdir(
        self, parent_inode: int, name: bytes, mode: int, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Refuse, unless it is ourselves who show that there is a new one."""
        return self._revealed(parent_inode, name, ctx) or _refuse("directories are made by the mount")

    @_answers
    async def mknod(
        self, parent_inode: int, name: bytes, mode: int, rdev: int, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Make an empty regular file in `new/`; refuse all else."""
        revealed = self._revealed(parent_inode, name, ctx)
        if revealed is not None:
            return revealed
        if not stat.S_ISREG(mode):
            raise errors.NotAllowedError("special files have no place here")
        node = self._new_folder(parent_inode).create(name, uid=ctx.uid, gid=ctx.gid, now_ns=time.time_ns())
        self._mount.save_files(name)
        self._tree.remember(node)
        return self._attributes(node)

    @_answers
    async def symlink(
        self, parent_inode: int, name: bytes, target: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Refuse."""
        raise errors.NotAllowedError("links are made by the mount")

    @_answers
    async def link(
        self, inode: int, new_parent_inode: int, new_name: bytes, ctx: pyfuse3.RequestContext
    ) -> pyfuse3.EntryAttributes:
        """Refuse."""
        raise errors.NotAllowedError("hard links have no place here")

    def _revealed(self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> pyfuse3.EntryAttributes | None:
        """Return what is there already, to the process that makes it for others to see."""
        if not self._mount.revealer.makes(ctx.pid, parent_inode, name):
            return None
        node = self._tree.find(self._tree.get(parent_inode), name)
        self._tree.remember(node)
        return self._attributes(node)

    def _new_folder(self, parent_inode: int) -> folder.NewFolder:
        new = self._mount.folder
        if new is None or parent_inode != new.directory.ino:
            raise errors.NotAllowedError("only new/ takes files")
        return new

    # -- extended attributes ---------------------------------------------------------

    @_answers
    async def getxattr(self, inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> bytes:
        """Return an extended attribute."""
        values = self._xattrs(self._tree.get(inode))
        if name not in values:
            raise errors.NoAttributeError("no such attribute")
        return values[name]

    @_answers
    async def listxattr(self, inode: int, ctx: pyfuse3.RequestContext) -> Sequence[bytes]:
        """Return the names of the extended attributes."""
        return list(self._xattrs(self._tree.get(inode)))

    @_answers
    async def setxattr(self, inode: int, name: bytes, value: bytes, ctx: pyfuse3.RequestContext) -> None:
        """Refuse in the way that tools take silently."""
        raise errors.NotSupportedError("extended attributes are read-only")

    @_answers
    async def removexattr(self, inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> None:
        """Refuse in the way that tools take silently."""
        raise errors.NotSupportedError("extended attributes are read-only")

    def _xattrs(self, node: tree.Node) -> dict[bytes, bytes]:
        file = node.content.file if isinstance(node.content, view.Result) else None
        entry = node.content.entry if isinstance(node.content, view.Result) else self._mount.view.entry_of(node)
        return entries.xattrs(entry, file, self._mount.view.settings.timers) if entry else {}


def _timeouts(node: tree.Node) -> tuple[float, float]:
    """Return how long the kernel may remember the name and the attributes, in seconds."""
    match node.content:
        case view.Result():
            return ENTRY_TIMEOUT_S, RESULT_TIMEOUT_S
        case tree.Folder():
            return ENTRY_TIMEOUT_S, DIRECTORY_TIMEOUT_S
        case folder.Written() | folder.Note() | tree.Link():
            return 0, 0
        case _:
            # Texts: st_size must be the length of the current text (measured).
            return ENTRY_TIMEOUT_S, 0


def _refuse(words: str) -> NoReturn:
    raise errors.NotAllowedError(words)


def _more_than_size(fields: pyfuse3.SetattrFields) -> bool:
    return bool(fields.update_mode or fields.update_uid or fields.update_gid or fields.update_mtime)


def _set_fields(node: tree.Node, attr: pyfuse3.EntryAttributes, fields: pyfuse3.SetattrFields) -> None:
    if fields.update_mode:
        node.mode = stat.S_IFMT(node.mode) | stat.S_IMODE(attr.st_mode)
    if fields.update_uid:
        node.uid = attr.st_uid
    if fields.update_gid:
        node.gid = attr.st_gid
    if fields.update_mtime:
        node.mtime_ns = attr.st_mtime_ns
    node.ctime_ns = time.time_ns()

"""Open files: results, texts, files of `new/`, `control`.

Each kind of content has a handle that knows what read, write, flush, poll and
release mean for it. Errors are domain errors; the errno is given further out.
Belongs to the event loop; only `read` of a result and `write` to a spec or to
`control` wait for the server.
"""

import dataclasses
import logging
import math
import select
import time
from collections.abc import Callable
from typing import Any, Protocol

import trio

from axxonfs.core import errors, folder, instants, sessions, tree, view
from axxonfs.core.texts import Text
from axxonfs.exporting.catalog import Catalog
from axxonfs.fs.starter import WRITE_DEADLINE_S
from axxonfs.reading.reader import ResultReader

log = logging.getLogger(__name__)

_ALWAYS = select.POLLIN | select.POLLOUT  # withholding these hangs programs (measured)
_CHANGED = select.POLLPRI | select.POLLERR
MAX_HANDLES = 65_536
# Where a READ fails that the kernel has made larger than what a program asked for, it asks at once for a page of it
# alone: a program waited for two deadlines (measured). It comes within milliseconds; a busy machine has its time.
_AGAIN_S = 0.5

# Wakes whoever polls; the kernel's handle for it, kept opaque here.
PollHandle = Any


class Handle(Protocol):
    """An open file."""

    direct_io: bool

    async def read(self, offset: int, size: int) -> bytes | memoryview:
        """Return bytes; fewer than `size` only at the end."""

    async def write(self, offset: int, data: bytes) -> int:
        """Take bytes; return how many."""

    async def flush(self) -> None:
        """Take note of a close of one of the descriptors."""

    async def release(self) -> None:
        """Take note of the close of the last descriptor."""

    def poll(self, poll_handle: PollHandle | None) -> int:
        """Return the ready events; keep `poll_handle` to wake the caller when they change."""


class Plain:
    """What most handles do: nothing can be written, poll says ready."""

    direct_io = True

    async def read(self, offset: int, size: int) -> bytes | memoryview:
        """Return nothing."""
        del offset, size
        return b""

    async def write(self, offset: int, data: bytes) -> int:
        """Refuse."""
        del offset, data
        raise errors.NotAllowedError("this file cannot be written")

    async def flush(self) -> None:
        """Do nothing."""

    async def release(self) -> None:
        """Do nothing."""

    def poll(self, poll_handle: PollHandle | None) -> int:
        """Say ready."""
        del poll_handle
        return _ALWAYS


class NoteHandle(Plain):
    """An open `NAME.error`: the text as it was when it was opened."""

    def __init__(self, note: folder.Note) -> None:
        self._data = note.data

    async def read(self, offset: int, size: int) -> bytes | memoryview:
        """Return a piece of the text."""
        return self._data[offset : offset + size]


class TextHandle(Plain):
    """An open text: a snapshot that can be followed."""

    def __init__(self, node: tree.Node, text: Text, pollers: "Pollers", catalog: Catalog, reader: int) -> None:
        self._node = node
        self._text = text
        self._snapshot = text.open(reader)
        self._pollers = pollers
        self._catalog = catalog
        self._ino = node.ino
        self._watching = False

    async def read(self, offset: int, size: int) -> bytes | memoryview:
        """Return a piece of the snapshot.

        Raises:
            SessionGoneError: what the text was about has gone.
        """
        if offset == 0 and self._node.parent is None:
            raise errors.SessionGoneError("the session has gone")
        return self._snapshot.read(offset, size, time.monotonic())

    def poll(self, poll_handle: PollHandle | None) -> int:
        """Say ready, and changed where the text differs from the snapshot."""
        if not self._watching:
            # Somebody follows: the mount looks more often from now on.
            self._watching = True
            self._catalog.watchers += 1
            self._catalog.poke()
        if poll_handle is not None:
            self._pollers.add(self._ino, self, poll_handle)
        self._snapshot.follow()
        changed = self._node.parent is None or self._snapshot.differs
        return _ALWAYS | (_CHANGED if changed else 0)

    async def release(self) -> None:
        """Stop following."""
        self._text.close(self._snapshot)
        self._catalog.watchers -= self._watching
        self._pollers.remove(self._ino, self)


class Pollers:
    """Who waits for a change of which text."""

    def __init__(self, wake: Callable[[PollHandle], None]) -> None:
        self._wake = wake
        self._handles: dict[int, dict[TextHandle, PollHandle]] = {}

    def add(self, ino: int, handle: "TextHandle", poll_handle: PollHandle) -> None:
        """Keep what wakes the pollers of an open file until the text of `ino` changes; the newest replaces older."""
        self._handles.setdefault(ino, {})[handle] = poll_handle

    def changed(self, ino: int) -> None:
        """Wake all who wait for a change of `ino`."""
        for poll_handle in self._handles.pop(ino, {}).values():
            self._wake(poll_handle)

    def remove(self, ino: int, handle: "TextHandle") -> None:
        """Forget an open file that is closed."""
        waiting = self._handles.get(ino, {})
        waiting.pop(handle, None)
        if not waiting:
            self._handles.pop(ino, None)


@dataclasses.dataclass(frozen=True, slots=True)
class _Failed:
    """A READ that had its deadline and got nothing."""

    begin: int
    end: int
    at_s: float
    error: errors.UnavailableError

    def is_repeated(self, offset: int, size: int) -> bool:
        """Whether a READ asks for a part of it."""
        return self.begin <= offset and offset + size <= self.end


class ResultHandle(Plain):
    """An open result; its bytes stay in the kernel's page cache across opens."""

    direct_io = False

    def __init__(
        self, content: view.Result, reader: ResultReader, catalog: Catalog, read_timeout_s: float, uid: int
    ) -> None:
        self._content = content
        self._entry = content.entry
        self._reader = reader
        self._catalog = catalog
        self._read_timeout_s = read_timeout_s
        self._uid = uid
        self._delivered_bytes = 0  # to the kernel; what its cache holds is delivered without us
        self._failed: list[_Failed] = []
        self._entry.facts.open_results += 1
        catalog.changed(self._entry)

    async def read(self, offset: int, size: int) -> bytes | memoryview:
        """Return bytes from the cache or from the server, within the read timeout."""
        self._fail_again(offset, size)
        try:
            deadline_s = trio.current_time() + self._read_timeout_s
            data = await self._reader.read(offset, size, deadline_s, by=id(self))
        except errors.SessionGoneError as error:
            self._catalog.gone(self._entry.session.id, str(error))
            raise
        except errors.UnavailableError as error:
            # Is it this result, or the server? A listing tells.
            self._catalog.poke()
            self._failed.append(_Failed(offset, offset + size, trio.current_time(), error))
            raise
        self._delivered_bytes += len(data)
        return data

    def _fail_again(self, offset: int, size: int) -> None:
        """Fail at once where the kernel repeats what has just failed; whoever asks once more is served."""
        if not self._failed:
            return
        now_s = trio.current_time()
        self._failed = [failed for failed in self._failed if now_s - failed.at_s < _AGAIN_S]
        for failed in self._failed:
            if failed.is_repeated(offset, size):
                self._failed.remove(failed)
                raise failed.error

    async def release(self) -> None:
        """Note whether the result was read whole; own sessions are let go when all of them were."""
        facts, session = self._entry.facts, self._entry.session
        facts.open_results -= 1
        log.info(
            "result closed session=%s path=%s uid=%d bytes=%d whole=%s",
            *(session.id, self._content.file.path, self._uid, self._delivered_bytes),
            "yes" if self._reader.read_whole else "no",
        )
        self._reader.leave(id(self))
        if self._reader.read_whole and self._content.file.path not in facts.read_whole:
            facts.read_whole.add(self._content.file.path)
            log.info("result read whole session=%s bytes=%d", session.id, self._content.size)
            facts.released |= facts.keep_until_s is None and sessions.surely_read(session, facts)
            await self._catalog.try_save(self._entry)
        self._catalog.changed(self._entry)


class ControlHandle(Plain):
    """An open `control`: reading lists the verbs, writing one carries it out and reports."""

    def __init__(self, control: view.Control, catalog: Catalog, reader: int) -> None:
        self._entry = control.entry
        self._text = control.text
        self._snapshot = control.text.open(reader)
        self._catalog = catalog

    async def read(self, offset: int, size: int) -> bytes | memoryview:
        """Return the verbs that are valid now."""
        return self._snapshot.read(offset, size, time.monotonic())

    async def release(self) -> None:
        """Let go of the text."""
        self._text.close(self._snapshot)

    def poll(self, poll_handle: PollHandle | None) -> int:
        """Say ready."""
        self._snapshot.follow()
        return super().poll(poll_handle)

    async def write(self, offset: int, data: bytes) -> int:
        """Carry out a verb.

        Raises:
            InvalidError: it is none, or not valid now.
        """
        del offset
        try:
            with trio.move_on_after(WRITE_DEADLINE_S) as scope:
                await self._carry_out(data.decode("utf-8", "replace").split())
            if scope.cancelled_caught:
                raise errors.DeadlineError("the server did not answer in time")
        except errors.AxxonfsError as error:
            # The writer sees no more than an errno: the words are for who looks why.
            self._entry.facts.last_error = str(error)
            self._catalog.changed(self._entry)
            raise
        return len(data)

    async def _carry_out(self, words: list[str]) -> None:
        match words:
            case []:
                pass
            case ["stop"]:
                await self._stop()
            case ["destroy"]:
                await self._catalog.destroy(self._entry)
            case ["keep"] | ["keep", _]:
                await self._keep(words[1:])
            case ["release"]:
                self._entry.facts.keep_until_s = None
                self._entry.facts.released = True
                await self._remember()
            case _:
                raise errors.InvalidError("control takes one of: stop, destroy, keep, keep 24h, release")

    async def _stop(self) -> None:
        if self._entry.session.state in sessions.FINISHED:
            raise errors.InvalidError("the export is finished already")
        await self._catalog.stop(self._entry)

    async def _keep(self, words: list[str]) -> None:
        length_s = math.inf
        if words:
            try:
                length_s = instants.parse_duration(words[0]).total_seconds()
            except ValueError as error:
                raise errors.InvalidError(f"keep takes a time such as 24h: {error}") from error
        self._entry.facts.keep_until_s = time.time() + length_s
        self._entry.facts.released = False
        await self._catalog.touch(self._entry)
        await self._remember()

    async def _remember(self) -> None:
        self._catalog.changed(self._entry)
        await self._catalog.save(self._entry)

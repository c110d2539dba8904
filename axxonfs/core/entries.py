"""What a session's directory holds, and what the kernel is told when it changes.

Values only, and the words of the small files in a directory; which of them there
are is decided by `view`. Pure. The rules are those of docs/semantics.md.
"""

import dataclasses

from axxonfs.core import sessions, status, tree
from axxonfs.core.sessions import Facts, Session, State
from axxonfs.core.timers import Timers
from axxonfs.wire import export_service_pb2

SessionInfo = export_service_pb2.ListSessionsResponse.SessionInfo


@dataclasses.dataclass(frozen=True, slots=True)
class Gone:
    """An entry lost its name; the kernel must forget it.

    `ino` lets watchers of a file know; it is 0 for a directory, which the kernel
    refuses to call deleted while somebody has a file in it open.
    """

    parent: int
    name: bytes
    ino: int


@dataclasses.dataclass(frozen=True, slots=True)
class Changed:
    """A text says something else now; whoever polls it wakes."""

    ino: int


Notice = Gone | Changed


@dataclasses.dataclass(slots=True, eq=False)
class Entry:
    """A session in the tree."""

    info: SessionInfo
    session: Session
    facts: Facts
    names: dict[str, str] = dataclasses.field(default_factory=dict)  # path -> name of the result
    node: tree.Node = dataclasses.field(init=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """The content of a result: bytes that are at the server."""

    entry: Entry
    file: sessions.ResultFile

    @property
    def size(self) -> int:
        """The exact number of bytes."""
        return self.file.size


@dataclasses.dataclass(frozen=True, slots=True)
class Control:
    """The content of `control`: reading lists the verbs, writing one carries it out."""

    entry: Entry
    text: tree.Text

    @property
    def size(self) -> int:
        """The length of the list of verbs."""
        return self.text.size


def file_of(node: tree.Node) -> sessions.ResultFile | None:
    """Return the result that a node stands for, if it is one."""
    return node.content.file if isinstance(node.content, Result) else None


def state_word(entry: Entry) -> bytes:
    """Return the text of `state`."""
    return f"{entry.session.state.value}\n".encode()


def verbs(entry: Entry) -> bytes:
    """Return the text of `control`: what may be written to it now."""
    running = entry.session.state not in sessions.FINISHED and entry.session.state is not State.REMOVED
    words = [*(["stop"] if running else []), "destroy", "keep", "keep 24h", "release"]
    return "".join(f"{word}\n" for word in words).encode()


def xattrs(entry: Entry, file: sessions.ResultFile | None, timers: Timers) -> dict[bytes, bytes]:
    """Return the extended attributes of a session's directory, or of one of its results."""
    session = entry.session
    estimate = sessions.expiry(session, entry.facts, timers)
    values: dict[str, str | None] = {
        "axxonfs.session_id": session.id,
        "axxonfs.state": session.state.value,
        "axxonfs.expires_at": status.epoch(round(estimate.at_s)) if estimate else None,
    }
    start, end = (file.start, file.end) if file else session.delivered
    values["axxonfs.min_timestamp"] = status.instant(start)
    values["axxonfs.max_timestamp"] = status.instant(end)
    if file is not None:
        values["axxonfs.path"] = file.path
        values["mime_type"] = file.mime_type
    return {f"user.{name}".encode(): text.encode("utf-8", "replace") for name, text in values.items() if text}

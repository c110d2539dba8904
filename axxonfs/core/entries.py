"""What the tree shows of sessions, as values, and what the kernel is told when it changes.

Values only, and the words of the small files in a directory; which of them there
are is decided by `session_folder` and `view`. Pure. The rules are those of docs/semantics.md.
"""

import dataclasses
import datetime as dt
import stat

from axxonfs.core import sessions, status, tree
from axxonfs.core.sessions import Facts, Session, State
from axxonfs.core.texts import Text
from axxonfs.core.timers import Timers
from axxonfs.wire import export_service_pb2

SessionInfo = export_service_pb2.ListSessionsResponse.SessionInfo

DIRECTORY_MODE = stat.S_IFDIR | 0o755
TEXT_MODE = stat.S_IFREG | 0o444
CONTROL_MODE = stat.S_IFREG | 0o644


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What the mount's options say about the picture."""

    timers: Timers
    zone: dt.tzinfo | None = None
    read_only: bool = False


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


@dataclasses.dataclass(frozen=True, slots=True)
class Appeared:
    """An entry that nobody made through the kernel; whoever watches its directory should know."""

    parent: int
    path: tuple[bytes, ...]  # the names from the root on
    is_directory: bool


Notice = Gone | Changed | Appeared


def appeared(node: tree.Node) -> Appeared:
    """Return that a node is new."""
    path: list[bytes] = []
    step: tree.Node | None = node
    while step is not None and step.parent is not None:
        path.insert(0, step.name)
        step = step.parent
    return Appeared(node.parent.ino if node.parent else 0, tuple(path), node.is_directory)


def drop(nodes: tree.Tree, node: tree.Node, now_ns: int) -> list[Notice]:
    """Take a node's name away, and return what the kernel has to be told.

    What it knows of a directory's entries goes first: it would keep one that is
    in use after its end, and the directory for its sake, until it lacks memory.
    """
    known = [child for child in node.entries.values() if child.lookups]
    notices = [notice for child in known for notice in drop(nodes, child, now_ns)]
    parent = node.parent.ino if node.parent else 0
    notices.append(Gone(parent, node.name, 0 if node.is_directory else node.ino))
    if text_of(node) is not None:
        notices.append(Changed(node.ino))
    nodes.remove(node, now_ns)
    return notices


@dataclasses.dataclass(slots=True, eq=False)
class Entry:
    """A session in the tree."""

    info: SessionInfo
    session: Session
    facts: Facts
    names: dict[str, str] = dataclasses.field(default_factory=dict)  # path -> name of the result
    unlinked: set[bytes] = dataclasses.field(default_factory=set)  # texts that somebody removed; they stay
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
    text: Text

    @property
    def size(self) -> int:
        """The length of the list of verbs."""
        return self.text.size


def text_of(node: tree.Node) -> Text | None:
    """Return the text that a node shows, if it shows one."""
    content = node.content.text if isinstance(node.content, Control) else node.content
    return content if isinstance(content, Text) else None


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

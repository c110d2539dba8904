"""The tree as values: inodes, lookup counts, entries, attributes.

Decides what exists, under which name, and what `stat` says of it; it does not
know why. Nodes live as long as they have a name or the kernel remembers them.
Pure; imports only errors. Not thread-safe: it belongs to the event loop, and no
method awaits.
"""

import dataclasses
import stat
from collections.abc import Callable, Iterator
from typing import Protocol

from axxonfs.core import errors

ROOT_INODE = 1  # fixed by FUSE
MAX_NAME_BYTES = 255


class Content(Protocol):
    """What a node holds; its class decides what can be done with the node."""

    @property
    def size(self) -> int:
        """The length in bytes that `stat` shows."""


@dataclasses.dataclass(frozen=True, slots=True)
class Folder:
    """A directory.

    `populate` fills it on first use, so that thousands of directories that
    nobody opens cost one node each.
    """

    populate: Callable[["Node"], None] | None = None
    size: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link."""

    target: bytes

    @property
    def size(self) -> int:
        """The length of the target."""
        return len(self.target)


@dataclasses.dataclass(slots=True, eq=False)
class Node:
    """One inode. Owner None means the mount's owner."""

    ino: int
    content: Content
    mode: int
    mtime_ns: int
    ctime_ns: int
    name: bytes = b""
    parent: "Node | None" = None
    uid: int | None = None
    gid: int | None = None
    lookups: int = 0
    entries: "dict[bytes, Node]" = dataclasses.field(default_factory=dict)
    subdirectories: int = 0
    populated: bool = False

    @property
    def is_directory(self) -> bool:
        """Whether the node can hold entries."""
        return isinstance(self.content, Folder)

    @property
    def links(self) -> int:
        """The link count: 2 for a directory and one for each below it, 1 for what has a name, else 0."""
        if self.is_directory:
            return 2 + self.subdirectories
        return 1 if self.parent else 0


class Tree:
    """All nodes of one mount."""

    def __init__(self, now_ns: int) -> None:
        self._next_ino = ROOT_INODE
        self._nodes: dict[int, Node] = {}
        self.root = self._make(Folder(), stat.S_IFDIR | 0o755, now_ns)
        self.root.lookups = 1  # never forgotten

    def __len__(self) -> int:
        return len(self._nodes)

    def get(self, ino: int) -> Node:
        """Return a node that has a name or is remembered by the kernel.

        Raises:
            NoSuchNameError: there is none; the kernel should not ask for it.
        """
        try:
            return self._nodes[ino]
        except KeyError:
            raise errors.NoSuchNameError(f"inode {ino} is not known") from None

    def entries(self, directory: Node) -> dict[bytes, Node]:
        """Return the entries of a directory, filled in on first use.

        Raises:
            EntryIsNoDirectoryError: it is something else.
        """
        content = directory.content
        if not isinstance(content, Folder):
            raise errors.EntryIsNoDirectoryError("not a directory")
        if content.populate and not directory.populated:
            directory.populated = True
            content.populate(directory)
        return directory.entries

    def find(self, directory: Node, name: bytes) -> Node:
        """Return the entry called `name`.

        Raises:
            NoSuchNameError, NameTooLongError, EntryIsNoDirectoryError
        """
        node = self.entries(directory).get(name)
        if node is not None:
            return node
        if len(name) > MAX_NAME_BYTES:
            raise errors.NameTooLongError("a name has at most 255 bytes")
        raise errors.NoSuchNameError("no such name")

    def add(self, directory: Node, name: bytes, content: Content, *, mode: int, now_ns: int) -> Node:
        """Make a node under a free name; `mode` includes the type of the file."""
        node = self._make(content, mode, now_ns)
        self._enter(directory, name, node, now_ns)
        return node

    def remove(self, node: Node, now_ns: int) -> None:
        """Take a node's name away; it stays for as long as the kernel remembers it."""
        if node.parent is None:
            return
        self._leave(node.parent, node, now_ns)
        for child in list(node.entries.values()):
            self.remove(child, now_ns)
        node.populated = True  # who looks into it from now on finds nothing: what came now would never go
        self._let_go(node)

    def move(self, node: Node, directory: Node, name: bytes, now_ns: int) -> None:
        """Give a node another name; what has that name loses it."""
        old = directory.entries.get(name)
        if old is node:
            return
        if old is not None:
            self.remove(old, now_ns)
        if node.parent is not None:
            self._leave(node.parent, node, now_ns)
        self._enter(directory, name, node, now_ns)

    def remember(self, node: Node) -> None:
        """Count one more time that the kernel was told of the node."""
        node.lookups += 1

    def forget(self, ino: int, count: int) -> None:
        """Take back `count` lookups; a node without name and lookups goes."""
        node = self._nodes.get(ino)
        if node is not None:
            node.lookups = max(0, node.lookups - count)
            self._let_go(node)

    def walk(self, top: Node) -> Iterator[Node]:
        """Yield `top` and all that is below it, as far as it was ever filled in."""
        yield top
        for child in top.entries.values():
            yield from self.walk(child)

    def _make(self, content: Content, mode: int, now_ns: int) -> Node:
        node = Node(self._next_ino, content, mode, now_ns, now_ns)
        self._nodes[node.ino] = node
        self._next_ino += 1
        return node

    @staticmethod
    def _enter(directory: Node, name: bytes, node: Node, now_ns: int) -> None:
        directory.entries[name] = node
        directory.subdirectories += node.is_directory
        node.name = name
        node.parent = directory
        directory.mtime_ns = directory.ctime_ns = now_ns

    @staticmethod
    def _leave(directory: Node, node: Node, now_ns: int) -> None:
        del directory.entries[node.name]
        directory.subdirectories -= node.is_directory
        node.parent = None
        directory.mtime_ns = directory.ctime_ns = node.ctime_ns = now_ns

    def _let_go(self, node: Node) -> None:
        if node.lookups == 0 and node.parent is None:
            self._nodes.pop(node.ino, None)

"""The directory of a session: texts, `control`, and the results once the export is done.

Decides which results are shown, what they are called, and which texts say
something new. Which sessions there are is decided by `view`. Pure; belongs to the
event loop. The picture is described in docs/semantics.md.
"""

import dataclasses
from collections.abc import Callable, Mapping

from axxonfs.core import names, sessions, tree
from axxonfs.core.camera_folder import CameraFolder
from axxonfs.core.entries import (
    CONTROL_MODE,
    TEXT_MODE,
    Changed,
    Control,
    Entry,
    Notice,
    Result,
    Settings,
    appeared,
    drop,
    file_of,
    text_of,
    verbs,
)
from axxonfs.core.texts import Text

_NS = 1_000_000_000
# Names that no result may have.
_TEXTS = frozenset({"state", "status.json", "spec.json", "control"})

Texts = Callable[[Entry], Mapping[bytes, Callable[[], bytes]]]


class SessionFolders:
    """Fills the directories of sessions and brings them up to date."""

    def __init__(self, nodes: tree.Tree, settings: Settings, cameras: CameraFolder, texts: Texts) -> None:
        self._tree = nodes
        self._settings = settings
        self._cameras = cameras
        self._texts = texts  # the texts in the directory of a session, by their names

    def populate(self, entry: Entry, now_ns: int) -> None:
        """Fill a session's directory: called once, by the first look into it."""
        for name, render in self._texts(entry).items():
            self._tree.add(entry.node, name, Text(render), mode=TEXT_MODE, now_ns=now_ns)
        if not self._settings.read_only:
            control = Control(entry, Text(lambda: verbs(entry)))
            self._tree.add(entry.node, b"control", control, mode=CONTROL_MODE, now_ns=now_ns)
        self.show_results(entry, now_ns)

    def show_results(self, entry: Entry, now_ns: int) -> list[Notice]:
        """Show the results that there are now, and no others."""
        # Names and sizes are final only once the export is done.
        files = entry.session.files if entry.session.state in sessions.FINISHED else ()
        if files:
            self._name_results(entry)
        if not entry.node.populated:
            return []
        wanted = {
            entry.names[file.path].encode(): file
            for file in files
            if not file.obstacle and file.path not in entry.facts.hidden
        }
        shown = {node.name: node for node in entry.node.entries.values() if isinstance(node.content, Result)}
        stale = [node for name, node in shown.items() if file_of(node) != wanted.get(name)]
        notices = [notice for node in stale for notice in drop(self._tree, node, now_ns)]
        for name, file in wanted.items():
            if name not in entry.node.entries:
                notices.append(self._add_result(entry, name, file, now_ns))
        return notices

    def _add_result(self, entry: Entry, name: bytes, file: sessions.ResultFile, now_ns: int) -> Notice:
        node = self._tree.add(entry.node, name, Result(entry, file), mode=TEXT_MODE, now_ns=now_ns)
        # Never "now": a changing mtime drops the kernel's pages, and rsync copies again.
        end = file.end or entry.session.requested[1]
        node.mtime_ns = node.ctime_ns = int(end.timestamp()) * _NS if end else 0
        return appeared(node)

    def _name_results(self, entry: Entry) -> None:
        # A name once given stays: only a file that has none gets one, in one go with the others.
        files = entry.session.files
        if all(file.path in entry.names for file in files):
            return
        given = names.result_names(
            [names.ResultLabel(file.start, file.mime_type) for file in files],
            cameras=self._cameras.labels(entry.session),
            requested=entry.session.form,
            zone=self._settings.zone,
        )
        taken = set(_TEXTS)
        for file, name in zip(files, given, strict=True):
            entry.names[file.path] = names.unique(name, taken)
            taken.add(entry.names[file.path])


@dataclasses.dataclass(frozen=True, slots=True)
class Populate:
    """Fills one session's directory; a class so that the directory leads back to its session."""

    folders: SessionFolders
    entry: Entry
    now_ns: Callable[[], int]

    def __call__(self, _node: tree.Node) -> None:
        """Fill the directory."""
        self.folders.populate(self.entry, self.now_ns())


def refresh(entry: Entry, now_ns: int) -> list[Notice]:
    """Bring the texts in a session's directory up to date."""
    if not entry.node.populated:
        return []
    return [notice for node in entry.node.entries.values() for notice in refresh_text(node, now_ns)]


def refresh_text(node: tree.Node, now_ns: int) -> list[Notice]:
    """Bring one text up to date, if the node is one."""
    text = text_of(node)
    if text is None or not text.refresh():
        return []
    node.mtime_ns = node.ctime_ns = now_ns
    return [Changed(node.ino)]


def outdate(entry: Entry, now_ns: int) -> list[Notice]:
    """Have `status.json` built anew at the next look: building thousands at once would stop the mount."""
    node = entry.node.entries.get(b"status.json")
    if node is None or not (isinstance(node.content, Text) and node.content.invalidate()):
        return []
    node.mtime_ns = node.ctime_ns = now_ns
    return [Changed(node.ino)]

"""What the mount looks like: sessions, cameras and texts made into the tree.

"What it looks like as a file system" is decided here and only here. It takes
listings and `now_s`, changes the tree in proportion to what changed, and returns
what the kernel has to be told. Pure; belongs to the event loop, nothing awaits.
The picture is described in docs/semantics.md.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from axxonfs.core import names, session_folder, sessions, spec, status, tree
from axxonfs.core.camera_folder import CameraFolder
from axxonfs.core.cameras import Camera
from axxonfs.core.entries import (
    DIRECTORY_MODE,
    TEXT_MODE,
    Appeared,
    Changed,
    Control,
    Entry,
    Gone,
    Notice,
    Result,
    SessionInfo,
    Settings,
    appeared,
    drop,
    state_word,
)
from axxonfs.core.session_folder import Populate, SessionFolders
from axxonfs.core.sessions import Facts, Kind, State
from axxonfs.core.texts import Text
from axxonfs.wire import export_service_pb2

__all__ = [
    "LISTINGS_BEFORE_DROPPED",
    "Appeared",
    "Changed",
    "Control",
    "Entry",
    "Gone",
    "Notice",
    "Result",
    "SessionInfo",
    "Settings",
    "View",
]

_NS = 1_000_000_000
_GOING = frozenset({State.RUNNING, State.UNKNOWN})
# What stands for the start where there is none.
_UNDATED = collections.defaultdict(lambda: "undated", {Kind.LIVE_CLIP: "live", Kind.LIVE_FRAME: "live"})
# One listing may be made just before a session started, or lose a page to a change.
LISTINGS_BEFORE_DROPPED = 2


@dataclasses.dataclass(slots=True)
class Destroyed:
    """A session that was destroyed here, until listings are without it."""

    entry: Entry | None  # as it was
    accepted: bool  # whether the server has said so
    asked_s: float  # when it was destroyed, or was last asked for
    listed_s: float  # when a listing last had it
    absent: int = 0  # complete listings in a row without it


class View:
    """The sessions and cameras of one server as the tree shows them."""

    def __init__(self, settings: Settings, now_s: float) -> None:
        self.settings = settings
        self.tree = tree.Tree(_ns(now_s))
        self.entries: dict[str, Entry] = {}
        self.stale_since_s: float | None = None
        self._stale_because = ""
        self.known: dict[str, Facts] = {}  # facts of sessions that were not listed yet
        self._now_s = now_s
        self._destroyed: dict[str, Destroyed] = {}
        root = self.tree.root
        self.new = None if settings.read_only else self._folder(root, b"new")
        self.sessions = self._folder(root, b"sessions")
        self._cameras = CameraFolder(self.tree, self._folder(root, b"cameras"))
        self._folders = SessionFolders(self.tree, settings, self._cameras, self._texts)
        self._hidden = self._folder(root, b".axxonfs")
        # Made now, with what pydantic imports for it: later that could be a newer version's, installed meanwhile.
        schema = status.render(spec.spec_schema())
        self.add_text("spec.schema.json", lambda: schema)

    def add_text(self, name: str, render: Callable[[], bytes]) -> tree.Node:
        """Add a text to `.axxonfs`; whoever adds it has it refreshed."""
        return self.tree.add(self._hidden, name.encode(), Text(render), mode=TEXT_MODE, now_ns=_ns(self._now_s))

    def refresh_text(self, node: tree.Node, now_s: float) -> list[Notice]:
        """Bring a text up to date."""
        self._now_s = now_s
        return session_folder.refresh_text(node, _ns(now_s))

    # -- what the server says ------------------------------------------------

    def apply_listing(self, listing: Iterable[SessionInfo], now_s: float) -> list[Notice]:
        """Take a complete listing: add, change and drop sessions."""
        self._now_s = now_s
        seen = {info.session.id: info for info in listing}
        notices: list[Notice] = []
        for session_id, info in seen.items():
            if session_id not in self._destroyed:
                notices += self._take(info)
                self.entries[session_id].facts.listed = True
                self.entries[session_id].facts.missing = 0
        self._forget_destroyed(seen)
        for session_id in self.entries.keys() - seen.keys():
            notices += self._missed(self.entries[session_id])
        return notices

    def apply_state(self, session_id: str, state: export_service_pb2.State, now_s: float) -> list[Notice]:
        """Take the answer of GetSessionState or StopSession."""
        self._now_s = now_s
        entry = self.entries.get(session_id)
        if entry is None:
            return []
        info = SessionInfo(session=entry.info.session, state=state)
        return self._take(info)

    def apply_cameras(self, cameras: Sequence[Camera], now_s: float) -> list[Notice]:
        """Take the list of cameras that can be exported."""
        self._now_s = now_s
        return self._cameras.apply(cameras, _ns(now_s))

    def add_started(self, info: SessionInfo, facts: Facts, now_s: float) -> list[Notice]:
        """Show a session that this mount has just started."""
        self._now_s = now_s
        self._destroyed.pop(info.session.id, None)
        known = self.entries.get(info.session.id)
        if known is None:
            self.known[info.session.id] = facts
            return self._take(info)
        mine = known.facts
        mine.own, mine.label, mine.sent, mine.started_s = True, facts.label, facts.sent, facts.started_s
        return self._refresh(known)

    def bury(self, now_s: float) -> list[Notice]:
        """Show the sessions of an earlier run that no listing had as removed, where results were left unread."""
        self._now_s = now_s
        lost = [(session_id, facts) for session_id, facts in self.known.items() if not (facts.released or facts.going)]
        notices: list[Notice] = []
        for session_id, facts in lost:
            facts.listed = True
            facts.last_error = facts.last_error or "gone before it was read whole: the server does not list it any more"
            facts.finished_s = facts.finished_s or now_s
            session = export_service_pb2.Session(id=session_id, options=facts.sent)
            state = export_service_pb2.State(state=export_service_pb2.S_REMOVED)
            notices += self._take(SessionInfo(session=session, state=state))
        return notices

    @property
    def held(self) -> set[str]:
        """The ids of all sessions that are shown, or were destroyed and may still be listed."""
        return self.entries.keys() | self._destroyed.keys()

    def destroyed(self, session_id: str, now_s: float, *, accepted: bool) -> list[Notice]:
        """Take a session away for good, whether the server has `accepted` that yet or not.

        Listings that still hold it are not believed.
        """
        self._now_s = now_s
        entry, before = self.entries.get(session_id), self._destroyed.get(session_id)
        known = before.entry if before else None
        self._destroyed[session_id] = Destroyed(entry or known, accepted, now_s, now_s)
        return self._remove(entry) if entry else []

    def questionable(self, now_s: float) -> Destroyed | None:
        """Return a session that the server destroyed, as it said, and lists for long after; None where there is none.

        What is returned is taken as asked for now, and comes again only when it is listed for as long once more.
        """
        lingers_s = self.settings.timers.lingers_s
        due = [
            destroyed
            for destroyed in self._destroyed.values()
            if destroyed.entry is not None
            and destroyed.accepted
            and destroyed.listed_s - destroyed.asked_s >= lingers_s
            and not destroyed.absent
        ]
        first = min(due, key=lambda destroyed: destroyed.asked_s, default=None)
        if first is not None:
            first.asked_s = now_s
        return first

    def lingers(self, destroyed: Destroyed) -> bool:
        """Whether nothing else was heard of a session that was questionable."""
        entry = destroyed.entry
        return entry is not None and self._destroyed.get(entry.session.id) is destroyed and not destroyed.absent

    def gone(self, session_id: str, now_s: float, why: str) -> list[Notice]:
        """Take note that the server answered that it has no such session."""
        self._now_s = now_s
        entry = self.entries.get(session_id)
        return self._end(entry, why) if entry else []

    def set_stale(self, since_s: float | None, now_s: float, because: str = "") -> list[Notice]:
        """Say since when the picture is stale, and why; None when it is fresh again."""
        if (since_s, because) == (self.stale_since_s, self._stale_because):
            return []
        self._now_s = now_s
        self.stale_since_s, self._stale_because = since_s, because
        return [notice for entry in self.entries.values() for notice in session_folder.outdate(entry, _ns(now_s))]

    # -- what this mount does ------------------------------------------------

    def refresh(self, entry: Entry, now_s: float) -> list[Notice]:
        """Bring the texts of a session up to date after its facts changed."""
        self._now_s = now_s
        return self._refresh(entry)

    def hide(self, node: tree.Node, now_s: float) -> None:
        """Take a result out of this mount's tree; it stays at the server."""
        if not isinstance(node.content, Result):
            return
        node.content.entry.facts.hidden.add(node.content.file.path)
        self.tree.remove(node, _ns(now_s))

    def put_back(self, entry: Entry, why: str, now_s: float) -> list[Notice]:
        """Show a session and all its results again that the server did not destroy."""
        self._now_s = now_s
        self._destroyed.pop(entry.session.id, None)
        entry.facts.going = False
        entry.facts.last_error = why
        entry.facts.hidden.clear()
        self.known[entry.session.id] = entry.facts
        return self._take(entry.info)

    def visible_results(self, entry: Entry) -> list[tree.Node]:
        """Return the nodes of the results that the session's directory shows."""
        entries = self.tree.entries(entry.node).values()
        return [node for node in entries if isinstance(node.content, Result)]

    def is_cleared(self, entry: Entry) -> bool:
        """Whether `rmdir` may destroy the session: somebody removed what its directory showed.

        Of results, which can be hidden, all. Where there are none, as while the
        export runs, the texts, as `rm -r` does: `find -type d -exec rmdir` must
        not destroy what it only comes upon. What the server has no more is free.
        """
        if entry.session.state is State.REMOVED:
            return True
        if self.visible_results(entry):
            return False
        return bool(entry.facts.hidden) or entry.unlinked >= self.tree.entries(entry.node).keys()

    def entry_of(self, directory: tree.Node) -> Entry | None:
        """Return the session whose directory this is."""
        content = directory.content
        if isinstance(content, tree.Folder) and isinstance(content.populate, Populate):
            return content.populate.entry
        return None

    @property
    def cameras(self) -> tuple[Camera, ...]:
        """The cameras that can be exported."""
        return self._cameras.cameras

    # -- inside ----------------------------------------------------------------

    def _refresh(self, entry: Entry) -> list[Notice]:
        return session_folder.refresh(entry, _ns(self._now_s))

    def _take(self, info: SessionInfo) -> list[Notice]:
        entry = self.entries.get(info.session.id)
        if entry is None:
            return [self._add(info)]
        session = sessions.session_of(info) if entry.info != info else entry.session
        # A listing may be older than an answer that came before it: what is finished does not run again.
        if session is entry.session or (entry.session.state in sessions.FINISHED and session.state in _GOING):
            return []
        before = entry.session
        entry.info, entry.session = info, session
        if before.state is State.REMOVED:
            # The server had lost it for a moment, as while it restarts.
            entry.facts.last_error, entry.facts.finished_s = "", None
        self._note_finish(entry)
        shown = (before.files, before.state in sessions.FINISHED)
        now = (entry.session.files, entry.session.state in sessions.FINISHED)
        notices = self._folders.show_results(entry, _ns(self._now_s)) if now != shown else []
        return notices + self._refresh(entry)

    def _add(self, info: SessionInfo) -> Notice:
        facts = self.known.pop(info.session.id, None) or Facts()
        entry = Entry(info, sessions.session_of(info), facts)
        self._note_finish(entry)
        start = entry.session.requested[0]
        name = names.session_name(
            start=names.instant_label(start, self.settings.zone) if start else _UNDATED[entry.session.kind],
            cameras=self._cameras.labels(entry.session),
            form=entry.session.form,
            session_id=entry.session.id,
        )
        while name.encode() in self.sessions.entries:
            name = f"{name}~"
        folder = tree.Folder(Populate(self._folders, entry, lambda: _ns(self._now_s)))
        entry.node = self.tree.add(self.sessions, name.encode(), folder, mode=DIRECTORY_MODE, now_ns=_ns(self._now_s))
        self.entries[entry.session.id] = entry
        return appeared(entry.node)

    def _note_finish(self, entry: Entry) -> None:
        if entry.session.state in sessions.FINISHED and entry.facts.finished_s is None:
            entry.facts.finished_s = self._now_s

    def _missed(self, entry: Entry) -> list[Notice]:
        facts = entry.facts
        if entry.session.state is State.REMOVED:
            return self._end_tombstone(entry)
        if not facts.listed:
            # A session that was just started: a listing may lag behind the start.
            return []
        facts.missing += 1
        if facts.missing < LISTINGS_BEFORE_DROPPED:
            return []
        return self._end(entry, "the server does not list it any more")

    def _end(self, entry: Entry, why: str) -> list[Notice]:
        finished = entry.session.state in sessions.FINISHED
        if not entry.facts.own or (finished and not sessions.unread(entry.session, entry.facts)):
            return self._remove(entry)
        entry.facts.last_error = f"gone before it was read whole: {why}"
        entry.facts.finished_s = self._now_s
        state = export_service_pb2.State(state=export_service_pb2.S_REMOVED)
        return self._take(SessionInfo(session=entry.info.session, state=state))

    def _end_tombstone(self, entry: Entry) -> list[Notice]:
        since_s = entry.facts.finished_s or self._now_s
        if self._now_s - since_s < self.settings.timers.tombstone_s:
            return []
        return self._remove(entry)

    def _forget_destroyed(self, seen: Mapping[str, SessionInfo]) -> None:
        for session_id in list(self._destroyed):
            destroyed = self._destroyed[session_id]
            if session_id in seen:
                destroyed.absent, destroyed.listed_s = 0, self._now_s
            else:
                destroyed.absent += 1
            if destroyed.absent >= LISTINGS_BEFORE_DROPPED:
                del self._destroyed[session_id]

    def _remove(self, entry: Entry) -> list[Notice]:
        del self.entries[entry.session.id]
        return drop(self.tree, entry.node, _ns(self._now_s))

    def _folder(self, directory: tree.Node, name: bytes) -> tree.Node:
        return self.tree.add(directory, name, tree.Folder(), mode=DIRECTORY_MODE, now_ns=_ns(self._now_s))

    def _texts(self, entry: Entry) -> dict[bytes, Callable[[], bytes]]:
        return {
            b"state": lambda: state_word(entry),
            b"status.json": lambda: status.render(self._status(entry)),
            b"spec.json": lambda: status.render(self._spec(entry)),
        }

    def _status(self, entry: Entry) -> dict[str, Any]:
        context = status.Context(
            cameras=self._cameras.labels(entry.session),
            names=entry.names,
            timers=self.settings.timers,
            now_s=self._now_s,
            stale_since_s=self.stale_since_s,
            stale_because=self._stale_because,
        )
        return status.document(entry.session, entry.facts, context)

    def _spec(self, entry: Entry) -> dict[str, Any]:
        return spec.spec_from_options(entry.session.options, cameras=self.cameras)


def _ns(time_s: float) -> int:
    return int(time_s * _NS)

"""Sessions and results as fsspec describes them: dictionaries of what is known.

Decides which names find a session and which keys say what; all of it comes from
the picture that mounts show. Pure; called in the loop, nothing awaits.
"""

import dataclasses
import json
from typing import Any, Final

from axxonfs.core import errors, names, tree
from axxonfs.core.entries import Entry, Result
from axxonfs.core.sessions import State
from axxonfs.core.texts import Text
from axxonfs.core.view import View

Info = dict[str, Any]
ROOT: Final[Info] = {"name": "", "size": 0, "type": "directory"}
_TAG_CHARACTERS = 8


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """A result of which bytes are wanted; they never change."""

    session_id: str
    path: str
    size_bytes: int


def find(view: View, name: str) -> Entry | None:
    """Return the session of this name.

    The eight characters at the end say which it is: the rest may have been written
    by a process that saw the camera under another name, or lives in another zone.
    """
    node = view.sessions.entries.get(name.encode(errors="surrogatepass"))
    if node is not None:
        return view.entry_of(node)
    _, _, tag = name.rpartition("_")
    if len(tag) != _TAG_CHARACTERS:
        return None
    found = [entry for entry in view.entries.values() if names.tag(entry.session.id) == tag]
    return found[0] if len(found) == 1 else None


def sessions_of(view: View) -> list[Info]:
    """Return all sessions."""
    return [session_info(entry) for entry in view.entries.values()]


def session_info(entry: Entry) -> Info:
    """Return what is known of a session; all of it is in its status."""
    session = entry.session
    return {
        "name": entry.node.name.decode(),
        "size": 0,
        "type": "directory",
        "session_id": session.id,
        "state": session.state.value,
        "own": entry.facts.own,
    }


def results_of(view: View, entry: Entry) -> list[Info]:
    """Return the results of a session that can be read."""
    return [_result_info(entry, node) for node in view.visible_results(entry)]


def info_of(view: View, entry: Entry, file: str) -> Info:
    """Return what is known of one result.

    Raises:
        NoSuchNameError: there is none of that name.
    """
    return _result_info(entry, node_of(view, entry, file))


def node_of(view: View, entry: Entry, file: str) -> tree.Node:
    """Return the node of a result. Raises as `info_of`."""
    node = view.tree.entries(entry.node).get(file.encode(errors="surrogatepass"))
    if node is None or not isinstance(node.content, Result):
        raise errors.NoSuchNameError(f"session {entry.node.name.decode()} has no result {file}")
    return node


def _result_info(entry: Entry, node: tree.Node) -> Info:
    assert isinstance(node.content, Result)  # noqa: S101 - it was chosen by that
    file = node.content.file
    return {
        "name": f"{entry.node.name.decode()}/{node.name.decode()}",
        "size": file.size,
        "type": "file",
        "session_id": entry.session.id,
        "path": file.path,
        "mime_type": file.mime_type,
        "start": file.start,
        "end": file.end,
        "mtime": node.mtime_ns / 1e9,
    }


def wanted(info: Info) -> Wanted:
    """Return what a result's bytes are asked for by.

    Raises:
        EntryIsDirectoryError: it is a session.
    """
    if info["type"] != "file":
        raise errors.EntryIsDirectoryError(f"{info['name'] or 'the root'} is a directory")
    return Wanted(info["session_id"], info["path"], info["size"])


def document(view: View, entry: Entry, name: bytes) -> dict[str, Any]:
    """Return what a text in the session's directory says, as mounts show it."""
    content = view.tree.entries(entry.node)[name].content
    assert isinstance(content, Text)  # noqa: S101 - the names are those of texts
    text: dict[str, Any] = json.loads(content.data)
    return text


def is_going(entry: Entry) -> bool:
    """Whether an export may still bring something."""
    return entry.session.state in {State.RUNNING, State.UNKNOWN}


def failure_of(name: str, entry: Entry | None) -> errors.AxxonfsError | None:
    """Return what is wrong with an export that does not run any more."""
    if entry is None:
        return errors.NoSuchNameError(f"there is no session {name}")
    if entry.session.state is State.REMOVED:
        return errors.SessionGoneError(f"the server has no session {name} any more")
    if entry.session.state is State.FAILED:
        return errors.UnavailableError(f"export {name} failed: the server has completed it without a result")
    return None

"""Exports of one's own that may stay at the server: one whose start got no answer, one that was not destroyed.

Decides which session is known for one's own (by the marker that its start carried, never by likeness: what is like it
may be somebody else's), how long it is looked for, and what is said of one that may be left. Blocking; every wait has
an end.
"""

import contextlib
import time

from axxonfs.core import errors
from axxonfs.core.options import file_name_of, marker_of, same_export
from axxonfs.core.timers import LISTED_AFTER_S, LOOK_EVERY_S, LOOK_FOR_S
from axxonfs.core.words import NOT_LISTED
from axxonfs.remote.exports import ExportClient
from axxonfs.wire import export_pb2 as export

CURE = "the server deletes it an hour after its end; a mount with destroy=all removes it now, by rm -r of its directory"


def find(client: ExportClient, wanted: export.Options, error: errors.UnavailableError) -> str:
    """Return the id of the session that a start of `wanted` became which ended in `error`.

    Raises:
        InDoubtError: it was not found in time; the text says what may be left.
    """
    failed_s = time.monotonic()
    marker = marker_of(wanted)
    alike: list[str] = []
    was_not_made = False
    while not was_not_made and (passed_s := time.monotonic() - failed_s) < LOOK_FOR_S:
        with contextlib.suppress(errors.AxxonfsError):  # it may be back in time
            listed = [info.session for info in client.list_sessions(timeout_s=LOOK_FOR_S - passed_s)]
            if found := [session.id for session in listed if marker and marker_of(session.options) == marker]:
                return found[0]
            bare = [session for session in listed if file_name_of(session.options) is None]
            alike = [session.id for session in bare if same_export(session.options, wanted)]
            was_not_made = passed_s >= LISTED_AFTER_S and not isinstance(error, errors.DeadlineError)
        time.sleep(0 if was_not_made else LOOK_EVERY_S)
    words = NOT_LISTED if was_not_made and not alike else _may_be_left(marker, alike)
    raise errors.InDoubtError(f"{error}; {words}") from error


def destroy(client: ExportClient, session_id: str) -> str:
    """Destroy a session; return what there is to say if that did not work."""
    try:
        client.destroy_session(session_id)
    except errors.AxxonfsError as error:
        return f"the session {session_id!r} may be left: {error}"
    return ""


def _may_be_left(marker: str | None, alike: list[str]) -> str:
    if alike:
        return f"an export that asks for the same may be the one, and is left: {', '.join(map(repr, alike))}"
    return f"it may have started all the same, and is left then: the session with the file name {marker}"

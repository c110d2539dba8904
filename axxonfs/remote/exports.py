"""The calls about exports and cameras, typed.

Decides how pages become one listing that is complete or an error, and that what
is gone already counts as destroyed. Thread-safe; calls block until their deadline at most. Facts:
sections 4, 6 and 8 of the wire contract.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from axxonfs.core import errors
from axxonfs.core.line import NARROW_BYTES
from axxonfs.core.options import secrets_in
from axxonfs.remote.channel import LOOKUP_TIMEOUT_S, Link
from axxonfs.remote.filechunk import Chunk
from axxonfs.wire import domain_pb2 as domain
from axxonfs.wire import export_pb2 as export
from axxonfs.wire import export_service_pb2 as service

START_TIMEOUT_S = 20.0
# Ten thousand sessions are a hundred pages, one after the other: 20 s at a round trip of 200 ms.
LISTING_TIMEOUT_S = 60.0
PAGE_TIMEOUT_S = 10.0

_EXPORT_AGENT = 6  # CT_EXPORT_AGENT
PAGE_SIZE = 100  # what live clients ask for
# Far above what a server holds; a listing that goes beyond is one that never ends.
_MOST_PAGES = 1000
_MOST_SESSIONS = 100_000

SessionInfo = service.ListSessionsResponse.SessionInfo
_Item = TypeVar("_Item")


class ExportClient:
    """The server behind `link`, as an export client sees it. Every method raises what `Link.ask` does."""

    def __init__(self, link: Link) -> None:
        self.link = link

    def list_sessions(self, *, page_size: int = PAGE_SIZE, timeout_s: float = LISTING_TIMEOUT_S) -> list[SessionInfo]:
        """Return every session that the server lets this account see; none is an ordinary answer.

        A session that moved to another page meanwhile appears once, as seen last.

        Raises:
            DeadlineError: `timeout_s` have passed, or 10 s for one page.
            ServerAwayError: also if the pages do not end.
        """

        def page(token: str, left_s: float) -> tuple[list[SessionInfo], str]:
            request = service.ListSessionsRequest(page_token=token, page_size=page_size)
            method = self.link.control.exports.ListSessions
            replies = self.link.collect(method, request, "list the sessions", left_s)
            return [info for reply in replies for info in reply.sessions], _last(
                reply.next_page_token for reply in replies
            )

        listed = {info.session.id: info for info in _pages(page, timeout_s) if info.session.id}
        return list(listed.values())

    def start_session(self, options: export.Options, timeout_s: float = START_TIMEOUT_S) -> str:
        """Start an export and return its session's id.

        Raises:
            DeadlineError, ServerAwayError: also when the export may have started all the same.
        """
        request = service.StartSessionRequest(session_options=options)
        method = self.link.control.exports.StartSession
        reply = self.link.ask(method, request, "start the export", timeout_s, secrets_in(options))
        if not reply.started_session_id:
            raise errors.ServerAwayError("cannot start the export: the server answered without a session id")
        return reply.started_session_id

    def session_state(self, session_id: str, timeout_s: float = LOOKUP_TIMEOUT_S) -> service.State:
        """Return the state of a session; the server keeps it alive for that."""
        request = service.GetSessionStateRequest(session_id=session_id)
        method = self.link.control.exports.GetSessionState
        return self.link.ask(method, request, "ask for the session's state", timeout_s).session_state

    def stop_session(self, session_id: str, timeout_s: float = LOOKUP_TIMEOUT_S) -> service.State:
        """Finish an export now and return its state, which need not be the last one yet."""
        request = service.StopSessionRequest(session_id=session_id)
        method = self.link.control.exports.StopSession
        return self.link.ask(method, request, "stop the export", timeout_s).session_state

    def destroy_session(self, session_id: str, timeout_s: float = LOOKUP_TIMEOUT_S) -> None:
        """Remove a session and its results; one that has gone already is fine, too."""
        request = service.DestroySessionRequest(session_id=session_id)
        try:
            self.link.ask(self.link.control.exports.DestroySession, request, "destroy the session", timeout_s)
        except errors.SessionGoneError:
            return

    def list_cameras(self, timeout_s: float = LISTING_TIMEOUT_S) -> list[domain.Camera]:
        """Return every camera with its archives; one whose node does not answer stays as incomplete as it came.

        Raises:
            DeadlineError: `timeout_s` have passed, or 10 s for one page.
            ServerAwayError: also if the pages do not end.
        """
        deadline_s = time.monotonic() + timeout_s

        def page(token: str, left_s: float) -> tuple[list[domain.Camera], str]:
            request = domain.ListCamerasRequest(view=domain.VIEW_MODE_FULL, page_token=token, page_size=PAGE_SIZE)
            replies = self.link.collect(self.link.control.domain.ListCameras, request, "list the cameras", left_s)
            return [camera for reply in replies for camera in reply.items], _last(
                reply.next_page_token for reply in replies
            )

        listed = {camera.access_point: camera for camera in _pages(page, timeout_s) if camera.access_point}
        incomplete = [camera.access_point for camera in listed.values() if camera.incomplete]
        for start in range(0, len(incomplete), PAGE_SIZE):
            self._complete(listed, incomplete[start : start + PAGE_SIZE], _page_s(deadline_s))
        return list(listed.values())

    def list_agents(self, timeout_s: float = LOOKUP_TIMEOUT_S) -> list[domain.Component]:
        """Return the export agents; a server need not know this call, and then refuses it."""
        method = self.link.control.domain.ListComponents
        request = domain.ListComponentsRequest(component_type=_EXPORT_AGENT, page_size=PAGE_SIZE)
        replies = self.link.collect(method, request, "list the export agents", timeout_s)
        return [component for reply in replies for component in reply.items]

    def server_version(self, timeout_s: float = LOOKUP_TIMEOUT_S) -> str:
        """Return the version of the server, in its own words."""
        method = self.link.control.domain.GetVersion
        return self.link.ask(method, domain.GetVersionRequest(), "ask for the version", timeout_s).Version

    def open_download(
        self,
        session_id: str,
        path: str,
        chunk_size_kb: int,
        start_index: int,
        *,
        in_flight_bytes: int = NARROW_BYTES,
        login_timeout_s: float = LOOKUP_TIMEOUT_S,
    ) -> "Download":
        """Return the download of a result from a chunk on; nothing is sent before it is iterated.

        `in_flight_bytes` is one of the steps of `core.line`.
        """
        request = service.DownloadFileRequest(
            session_id=session_id, file_path=path, chunk_size_kb=chunk_size_kb, start_from_chunk_index=start_index
        )
        return Download(self.link, request, login_timeout_s, in_flight_bytes)

    def _complete(self, listed: dict[str, domain.Camera], access_points: list[str], timeout_s: float) -> None:
        """Replace cameras by their whole objects, and drop those that do not exist any more."""
        full = domain.ResourceLocator.VIEW_FULL
        items = [domain.ResourceLocator(access_point=name, view=full) for name in access_points]
        method = self.link.control.domain.BatchGetCameras
        request = domain.BatchGetCamerasRequest(items=items)
        for reply in self.link.collect(method, request, "fetch cameras", timeout_s):
            listed.update({camera.access_point: camera for camera in reply.items if camera.access_point in listed})
            for gone in reply.not_found_objects:
                listed.pop(gone, None)


class Download:
    """One DownloadFile call: iterate it in one thread, cancel it from any.

    A token that is rejected before the first chunk costs a fresh login and one
    more call; later it is for the caller to resume. No deadline: a reader may
    take its time, and whoever waits for a chunk knows how long to.
    """

    def __init__(
        self, link: Link, request: service.DownloadFileRequest, login_timeout_s: float, in_flight_bytes: int
    ) -> None:
        self._link = link
        self._in_flight_bytes = in_flight_bytes
        self._request = request
        self._login_timeout_s = login_timeout_s
        self._lock = threading.Lock()
        self._end: Callable[[], object] | None = None
        self._cancelled = False
        self.begun = False  # whether a chunk has come

    def __iter__(self) -> Iterator[Chunk]:
        """Yield the chunks as they come; raises as `Link.ask`, ServerAwayError also after `cancel`."""
        try:
            yield from self._once()
        except errors.TokenRejectedError:
            if self.begun:
                raise
            yield from self._once()

    def cancel(self) -> None:
        """End the call now; at any time, any number of times."""
        with self._lock:
            self._cancelled = True
            end = self._end
        if end is not None:
            end()

    def _once(self) -> Iterator[Chunk]:
        with self._link.authorised("download", self._login_timeout_s) as metadata:
            connection = self._link.data(self._in_flight_bytes)
            call = connection.stubs().download(self._request, metadata=metadata)
            self._adopt(call.cancel)
            for chunk in call:
                if not self.begun:
                    self.begun = True
                    self._link.login.served(metadata)
                connection.alive_s = time.monotonic()
                yield chunk

    def _adopt(self, end: Callable[[], object]) -> None:
        """Take what ends the call, and use it at once if that was asked for before the call existed."""
        with self._lock:
            self._end = end
            cancelled = self._cancelled
        if cancelled:
            end()


def _last(tokens: Iterable[str]) -> str:
    """Return the token of the next page: any message of a page may carry it, even one without items."""
    return next(filter(None, reversed([*tokens])), "")


def _page_s(deadline_s: float) -> float:
    """Return how long the next page may take."""
    return min(PAGE_TIMEOUT_S, max(0.0, deadline_s - time.monotonic()))


def _pages(page: Callable[[str, float], tuple[list[_Item], str]], timeout_s: float) -> list[_Item]:
    """Return the items of all pages, under one deadline, and one for each."""
    deadline_s = time.monotonic() + timeout_s
    items: list[_Item] = []
    token, seen = "", set[str]()
    while token not in seen and len(seen) < _MOST_PAGES and len(items) < _MOST_SESSIONS:
        seen.add(token)
        more, token = page(token, _page_s(deadline_s))
        items += more
        if not token:
            return items
    raise errors.ServerAwayError(f"the server's listing does not end: {len(seen)} pages, {len(items)} items")

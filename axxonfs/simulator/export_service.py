"""ExportService: the six export calls.

Decides rights and status codes; sessions live in the engine, bytes come from
`download`. Runs in gRPC's worker threads and keeps no state.

Source: the wire contract, sections 6.4, 6.5, 7 and 8.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping

from axxonfs.simulator.download import Prepared, chunks, serialised
from axxonfs.simulator.faults import Fault
from axxonfs.simulator.gate import Caller, Method
from axxonfs.simulator.paging import make_token, messages, read_number
from axxonfs.simulator.records import ResultFile, SessionRecord, session_info, state_message
from axxonfs.simulator.refusal import Refusal
from axxonfs.simulator.sessions import Sessions, no_session
from axxonfs.simulator.spoiling import spoilt_chunks
from axxonfs.simulator.store import Store
from axxonfs.simulator.switches import Switches
from axxonfs.wire import export_pb2
from axxonfs.wire import export_service_pb2 as wire

# How long StopSession waits for the agent to finish the files before it answers with what there is.
_STOP_WAIT_S = 10.0


class ExportService:
    """Answers the calls of ExportService."""

    def __init__(
        self,
        sessions: Sessions,
        store: Store,
        check: Callable[[export_pb2.Options], None],
        without_right: frozenset[str],
        switches: Callable[[], Switches],
        prepared: Prepared | None = None,
    ) -> None:
        self._sessions = sessions
        self._store = store
        self._check = check
        self._without_right = without_right
        self._switches = switches
        self._prepared = prepared

    def methods(self) -> Mapping[str, Method]:
        """Return the methods by their names on the wire."""
        return {
            "ListSessions": self.list_sessions,
            "StartSession": self.start,
            "GetSessionState": self.get_state,
            "StopSession": self.stop,
            "DestroySession": self.destroy,
            "DownloadFile": self.download,
        }

    def list_sessions(self, request: wire.ListSessionsRequest, caller: Caller) -> Iterator[wire.ListSessionsResponse]:
        """Yield the sessions of one page; nothing at all if there are none."""
        self._check_node()
        switches = self._switches()
        size = request.page_size if request.page_size > 0 else switches.default_page_size
        records = self._sessions.listed(caller.user, read_number(request.page_token), size + 1)
        token = make_token(str(records[size - 1].sequence)) if len(records) > size else ""
        for part, part_token in messages(records[:size], token, token_alone=switches.token_alone):
            infos = [session_info(record, switches) for record in part]
            yield wire.ListSessionsResponse(sessions=infos, next_page_token=part_token)

    def start(self, request: wire.StartSessionRequest, caller: Caller) -> wire.StartSessionResponse:
        """Check the options and enter a session."""
        self._check_node()
        if caller.user in self._without_right:
            raise Refusal("PERMISSION_DENIED", "Insufficient privileges to access export.")
        self._check(request.session_options)
        record = self._sessions.start(request.session_options, caller.user)
        return wire.StartSessionResponse(started_session_id=record.session_id)

    def get_state(self, request: wire.GetSessionStateRequest, caller: Caller) -> wire.GetSessionStateResponse:
        """Return the state of a session, and keep it alive."""
        record = self._get(request.session_id, caller)
        self._sessions.touch(record.session_id)
        return wire.GetSessionStateResponse(session_state=state_message(record, self._switches()))

    def stop(self, request: wire.StopSessionRequest, caller: Caller) -> wire.StopSessionResponse:
        """Let a running export finish with what it has, and return its state then."""
        record = self._get_existing(request.session_id, caller)
        if not record.running and self._switches().stop_completed != "OK":
            raise Refusal(self._switches().stop_completed, "The session is completed.")
        if record.running:
            self._sessions.ask_to_stop(record.session_id)
            with contextlib.suppress(TimeoutError):
                self._sessions.wait_for_state(record.session_id, wire.EState.S_COMPLETED, _STOP_WAIT_S)
            record = self._get(record.session_id, caller)
        return wire.StopSessionResponse(session_state=state_message(record, self._switches()))

    def destroy(self, request: wire.DestroySessionRequest, caller: Caller) -> wire.DestroySessionResponse:
        """End a session and delete its results."""
        self._sessions.destroy(self._get_existing(request.session_id, caller).session_id)
        return wire.DestroySessionResponse()

    def download(self, request: wire.DownloadFileRequest, caller: Caller) -> Iterator[bytes]:
        """Yield a result's chunks, serialised."""
        record = self._get_existing(request.session_id, caller)
        result = self._downloadable(record, request.file_path)
        self._sessions.touch(record.session_id)
        try:
            for message in self._messages(request, record, result, caller.faults):
                self._check_alive(record.session_id)
                yield message
        except FileNotFoundError:
            # It was destroyed between the look at the session and the opening of the file.
            raise _no_file() from None

    def _messages(
        self, request: wire.DownloadFileRequest, record: SessionRecord, result: ResultFile, faults: tuple[Fault, ...]
    ) -> Iterator[bytes]:
        if self._prepared is not None and result.stored is None and not faults:
            return self._prepared.messages(request, result, self._switches())
        stream = chunks(request, result, self._store.file_of(record, result), self._switches())
        return map(serialised, spoilt_chunks(stream, faults))

    def _downloadable(self, record: SessionRecord, path: str) -> ResultFile:
        if record.running:
            raise Refusal(self._switches().early_download, "The session is not completed.")
        result = record.result(path)
        if result is None:
            raise _no_file()
        if not result.downloadable:
            raise Refusal("FAILED_PRECONDITION", "The file is not stored on this server.")
        return result

    def _check_alive(self, session_id: str) -> None:
        if self._switches().download_keeps == "always":
            self._sessions.touch(session_id)
        if self._sessions.is_gone(session_id):
            raise no_session()

    def _get(self, session_id: str, caller: Caller) -> SessionRecord:
        self._check_node()
        return self._sessions.get(session_id, caller.user)

    def _get_existing(self, session_id: str, caller: Caller) -> SessionRecord:
        record = self._get(session_id, caller)
        if record.gone_s is not None:
            raise no_session()
        return record

    def _check_node(self) -> None:
        if self._switches().node_offline:
            raise Refusal("UNAVAILABLE", "Can't get connection channel!")


def _no_file() -> Refusal:
    return Refusal("NOT_FOUND", "There is no file with provided path")

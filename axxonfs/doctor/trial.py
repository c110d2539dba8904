"""What shows only when an export is started: the right to, and what becomes of a session. Made with consent only.

Everything that is started here is destroyed here, whatever happens, or it is said which one may be left; nothing else
is ever stopped or destroyed. Blocking; every wait has an end. Questions that need time are asked only where
`patience_s` allows.
"""

import dataclasses
import datetime as dt
import time
import uuid
from collections.abc import Iterator, Sequence

from axxonfs.core import errors, instants
from axxonfs.core.options import MARKER_PREFIX
from axxonfs.core.timers import Timers
from axxonfs.doctor import leftovers, report
from axxonfs.doctor.findings import Finding, ok, problem, skipped, warning
from axxonfs.doctor.report import Observation, Result, outcome
from axxonfs.remote.exports import ExportClient
from axxonfs.remote.probe import Answer, Probe
from axxonfs.wire import domain_pb2 as domain
from axxonfs.wire import export_pb2 as export
from axxonfs.wire import export_service_pb2 as service

_CHECK = "right to export"
_SHORT = dt.timedelta(seconds=2)
LONG = dt.timedelta(seconds=10)
# Recent enough for every archive, old enough to be written.
_BEFORE = dt.timedelta(minutes=10)
_EXPORT_TIMEOUT_S = 60.0
_LINGER_TIMEOUT_S = 12.0  # longer than a live run left a destroyed session in the listing, if it did
_LOOK_EVERY_S = 0.2
_SMALL_KB = 16
_KIB = 1024
# More than a narrow connection and both sides' buffers hold, so that the stream still runs when its time comes.
_SLOW_BYTES = 1024 * _KIB
_AT_ONCE = 1.25  # of a timer: by then it has ended, if nothing started it anew
_STEPS = 20

Info = service.ListSessionsResponse.SessionInfo


def right_to_export(client: ExportClient, cameras: Sequence[domain.Camera]) -> Finding:
    """Export two seconds, and destroy them."""
    wanted = options_of(cameras, _SHORT)
    if wanted is None:
        return skipped(_CHECK, "no camera has an archive to export from")
    try:
        session_id = _started(client, wanted)
    except errors.AccessError as error:
        return problem(_CHECK, str(error), "give the account's role the right to export, and access to the archive")
    except errors.InDoubtError as error:
        return problem(_CHECK, str(error), f"see whether the server is well; {leftovers.CURE}")
    except errors.AxxonfsError as error:
        cure = "the server's words say what is missing; often it is an export agent, or its node is offline"
        return problem(_CHECK, str(error), cure)
    left = ""
    try:
        found = _made(client, session_id)
    finally:
        left = leftovers.destroy(client, session_id)
    if left:
        return warning(_CHECK, f"{found.words}; {left}", leftovers.CURE)
    return dataclasses.replace(found, words=f"{found.words}; it was destroyed again")


def _started(client: ExportClient, wanted: export.Options) -> str:
    """Start an export and return its session, also where the answer was lost. Raises as `leftovers.find`, too."""
    try:
        return client.start_session(wanted)
    except errors.NotSentError:
        raise
    except errors.UnavailableError as error:
        return leftovers.find(client, wanted, error)


def _made(client: ExportClient, session_id: str) -> Finding:
    try:
        state = _finished(client, session_id)
    except errors.AxxonfsError as error:
        return warning(_CHECK, str(error), "see whether the export agent runs and has room on its disk")
    if state is None or not state.result.succeeded:
        words = "an export was started and did not succeed"
        return warning(_CHECK, words, "is the camera recorded? does the agent run, and has room on its disk?")
    return ok(_CHECK, "an export of two seconds was made")


def options_of(cameras: Sequence[domain.Camera], length: dt.timedelta) -> export.Options | None:
    """Return a clip of the first camera that is recorded; None where there is none."""
    recorded = next((camera for camera in cameras if camera.archive_bindings), None)
    if recorded is None:
        return None
    binding = next((found for found in recorded.archive_bindings if found.is_default), recorded.archive_bindings[0])
    start = dt.datetime.now(dt.UTC).replace(microsecond=0) - _BEFORE
    wanted = export.Options(stream=export.StreamType(format=export.StreamType.MKV))
    wanted.archive.sources.add(origin=recorded.access_point, storages=[binding.storage])
    wanted.archive.start_timestamp = instants.format_wire(start)
    wanted.archive.end_timestamp = instants.format_wire(start + length)
    wanted.settings.add(file_name=_new_marker())
    return wanted


def _new_marker() -> str:
    return f"{MARKER_PREFIX}doctor-{uuid.uuid4().hex}"


def _finished(client: ExportClient, session_id: str) -> service.State | None:
    deadline_s = time.monotonic() + _EXPORT_TIMEOUT_S
    while time.monotonic() < deadline_s:
        state = client.session_state(session_id)
        if state.state == service.S_COMPLETED:
            return state
        time.sleep(_LOOK_EVERY_S)
    return None


# -- for the report ----------------------------------------------------------------


@dataclasses.dataclass(slots=True)
class Trial:
    """The starts of the report's own, and the session of the one that must succeed."""

    client: ExportClient
    probe: Probe
    wanted: export.Options
    timers: Timers
    patience_s: float
    info: Info = dataclasses.field(default_factory=Info)
    running: list[service.State] = dataclasses.field(default_factory=list)
    early: Answer | None = None
    _lost: list[tuple[export.Options, errors.UnavailableError]] = dataclasses.field(default_factory=list, init=False)
    _left: list[str] = dataclasses.field(default_factory=list, init=False)

    def run(self) -> Iterator[Observation]:
        """Start an export and yield what it shows up to its end; `info` is then its last state."""
        answer = self._start(self.wanted)
        yield Observation("no_agent", "the status of StartSession", outcome(answer))
        if not answer.is_ok:
            yield from _unasked(_OF_A_SESSION, "no session could be started")
            return
        self.info.session.id = answer.messages[0].started_session_id
        self.info.session.options.CopyFrom(self.wanted)
        self._watch()
        yield self._running_as()
        yield self._partial()
        yield self._early()

    def finish(self) -> Iterator[Observation]:
        """Ask what needs the finished session, destroy it, and yield what becomes of it."""
        if not self.info.session.id:
            return
        yield from self._slow()
        yield self._stop_completed()
        yield from self._destroyed()

    def refused_starts(self) -> Iterator[Observation]:
        """Start what ought to be refused; what is not is destroyed."""
        bad = self._copy()
        bad.archive.start_timestamp = "yesterday"
        yield self._refused_start("bad_time", bad)
        bare = self._copy()
        del bare.archive.sources[0].storages[:]
        yield self._refused_start("empty_storages", bare)

    def clean_up(self) -> list[str]:
        """Destroy what is there of all starts; return what is to be said of those that may be left."""
        if self.info.session.id:
            self._destroy(self.info.session.id)
        for wanted, error in self._lost:
            try:
                self._destroy(leftovers.find(self.client, wanted, error))
            except errors.InDoubtError as doubt:
                self._left.append(str(doubt))
        return self._left

    def _destroy(self, session_id: str) -> None:
        self._left += filter(None, [leftovers.destroy(self.client, session_id)])

    def _copy(self) -> export.Options:
        """Return the same to be started with a marker of its own."""
        copy = export.Options()
        copy.CopyFrom(self.wanted)
        del copy.settings[:]
        copy.settings.add(file_name=_new_marker())
        return copy

    def _start(self, wanted: export.Options) -> Answer:
        answer = self.probe.ask("StartSession", service.StartSessionRequest(session_options=wanted))
        if answer.lost is not None:
            self._lost.append((wanted, answer.lost))
        return answer

    def _refused_start(self, question: str, wanted: export.Options) -> Observation:
        answer = self._start(wanted)
        seen = outcome(answer)
        if answer.is_ok:
            session_id = answer.messages[0].started_session_id
            try:
                state = _finished(self.client, session_id)
                seen["it ended with files"] = len(state.result.files) if state else "not in time"
            except errors.AxxonfsError as error:
                seen["it ended with"] = type(error).__name__
            finally:
                self._destroy(session_id)
        return Observation(question, _OF_A_START[question], seen)

    def _state(self) -> Answer:
        return self.probe.ask("GetSessionState", service.GetSessionStateRequest(session_id=self.info.session.id))

    def _watch(self) -> None:
        """Look at the session until it is done."""
        deadline_s = time.monotonic() + _EXPORT_TIMEOUT_S
        while time.monotonic() < deadline_s:
            answer = self._state()
            if not answer.is_ok:
                return
            state = answer.messages[0].session_state
            if state.state == service.S_COMPLETED:
                self.info.state.CopyFrom(state)
                return
            self.running.append(state)
            if self.early is None:
                request = service.DownloadFileRequest(
                    session_id=self.info.session.id, file_path="axxonfs-doctor", chunk_size_kb=_SMALL_KB
                )
                self.early = self.probe.chunks(request, 1)
            time.sleep(_LOOK_EVERY_S)

    def _running_as(self) -> Observation:
        numbers = sorted({int(state.state) for state in self.running})
        return _unless_quick("running_as", "the number of the state of a running session", numbers)

    def _partial(self) -> Observation:
        asks = "files that a running session lists already"
        most = max((len(state.result.files) for state in self.running), default=0)
        return _unless_quick("partial_result", asks, {"files": most} if self.running else None)

    def _early(self) -> Observation:
        asks = "a download before the session is completed"
        return _unless_quick("early_download", asks, outcome(self.early) if self.early else None)

    def _stop_completed(self) -> Observation:
        answer = self.probe.ask("StopSession", service.StopSessionRequest(session_id=self.info.session.id))
        return Observation("stop_completed", "StopSession of a completed session", outcome(answer))

    def _destroyed(self) -> Iterator[Observation]:
        answer = self.probe.ask("DestroySession", service.DestroySessionRequest(session_id=self.info.session.id))
        after = self._state()
        seen = outcome(after) | {"state": int(after.messages[0].session_state.state) if after.is_ok else None}
        yield Observation(
            "removed_state_s", "GetSessionState of a destroyed session", seen | {"destroy": answer.status}
        )
        yield Observation("destroyed_lingers_s", "how long a destroyed session is still listed", self._linger())

    def _linger(self) -> dict[str, object]:
        began_s = time.monotonic()
        listings = 0
        while time.monotonic() < began_s + _LINGER_TIMEOUT_S:
            listed = self.probe.listing("exports", "ListSessions", service.ListSessionsRequest(page_size=100))
            if not any(i.session.id == self.info.session.id for message in listed.messages for i in message.sessions):
                return {
                    "listings with it": listings,
                    "seconds": round(time.monotonic() - began_s, 1) if listings else 0,
                }
            listings += 1
            time.sleep(_LOOK_EVERY_S)
        return {"listings with it": listings, "seconds": f"more than {_LINGER_TIMEOUT_S:g}"}

    # -- what needs time -------------------------------------------------------------

    def _slow(self) -> Iterator[Observation]:
        asks = {
            "token_cuts_streams": "a stream that runs when its token expires",
            "download_keeps": "whether a long download keeps its session alive, or only its start",
        }
        large = [result for result in report.results_of([self.info]) if result.file.size >= _SLOW_BYTES]
        needs_s = {
            "token_cuts_streams": (self.client.link.login.token_life_s or 0) + 2,
            "download_keeps": self.timers.completed_s * _AT_ONCE,
        }
        looks = {"token_cuts_streams": self._token_end, "download_keeps": self._long_download}
        for question, look in looks.items():
            if not large:
                why = "the export of the trial is too small"
            elif needs_s[question] > self.patience_s:
                why = f"it takes {needs_s[question]:.0f} s: --patience allows that"
            else:
                why = ""
            seen = None if why else look(large[0], needs_s[question])
            yield Observation(question, asks[question], seen, why)

    def _token_end(self, result: Result, needs_s: float) -> dict[str, object]:
        """Read one chunk, wait until the token has ended, and read on."""
        answer = self.probe.chunks(
            _chunks_of(result),
            result.file.size // (_SMALL_KB * _KIB) + 2,
            between=lambda number: time.sleep(needs_s) if number == 1 else None,
            timeout_s=needs_s + report.TIMEOUT_S,
        )
        whole = sum(len(chunk.data) for chunk in answer.messages) == result.file.size
        return outcome(answer) | {"came whole": whole}

    def _long_download(self, result: Result, needs_s: float) -> dict[str, object]:
        """Read for longer than a completed session lives, and see whether it is still there."""
        most = result.file.size // (_SMALL_KB * _KIB) + 2
        every = max(1, most // _STEPS)
        answer = self.probe.chunks(
            _chunks_of(result),
            most,
            between=lambda number: time.sleep(needs_s / _STEPS) if number % every == 0 else None,
            timeout_s=needs_s + report.TIMEOUT_S,
        )
        return outcome(answer) | {"afterwards": self._state().status}


def _chunks_of(result: Result) -> service.DownloadFileRequest:
    return service.DownloadFileRequest(
        session_id=result.session_id, file_path=result.file.path, chunk_size_kb=_SMALL_KB
    )


_OF_A_SESSION = {
    "running_as": "the number of the state of a running session",
    "partial_result": "files that a running session lists already",
    "early_download": "a download before the session is completed",
    "stop_completed": "StopSession of a completed session",
    "removed_state_s": "GetSessionState of a destroyed session",
    "destroyed_lingers_s": "how long a destroyed session is still listed",
    "token_cuts_streams": "a stream that runs when its token expires",
    "download_keeps": "whether a long download keeps its session alive, or only its start",
}
_OF_A_START = {
    "no_agent": "the status of StartSession",
    "bad_time": "StartSession with a time that cannot be read",
    "empty_storages": "StartSession without a storage",
}


def unasked(why: str) -> Iterator[Observation]:
    """Yield all that a trial would show, as not asked."""
    yield from _unasked(_OF_A_SESSION | _OF_A_START, why)


def _unasked(questions: dict[str, str], why: str) -> Iterator[Observation]:
    for question, asks in questions.items():
        yield Observation(question, asks, why_not=why)


def _unless_quick(question: str, asks: str, seen: object) -> Observation:
    return Observation(question, asks, seen or None, "" if seen else "the export was done before it could be looked at")

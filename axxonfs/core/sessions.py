"""Session records, what this mount knows of each, and the clocks of expiry and keep-alive.

Decides what a session's state means, which of its results can be downloaded,
when it would expire and when it has to be kept alive. Pure: `now_s` (seconds
since the epoch) is handed in. Imports the wire's messages, instants and timers.
Facts: sections 5 and 6 of the wire contract.
"""

import dataclasses
import datetime as dt
import enum
import math

from axxonfs.core import errors, instants
from axxonfs.core.timers import Timers
from axxonfs.wire import export_pb2, export_service_pb2


class State(enum.Enum):
    """The one word that the file `state` shows."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    REMOVED = "removed"
    UNKNOWN = "unknown"


FINISHED = frozenset({State.COMPLETED, State.FAILED})


class Kind(enum.Enum):
    """The four kinds of export, and `unknown` for options from a newer server."""

    ARCHIVE_CLIP = "clip from the archive"
    ARCHIVE_FRAME = "frame from the archive"
    LIVE_CLIP = "clip from live video"
    LIVE_FRAME = "frame from live video"
    UNKNOWN = "unknown"


_KINDS = {
    ("archive", "stream"): Kind.ARCHIVE_CLIP,
    ("archive", "snapshot"): Kind.ARCHIVE_FRAME,
    ("live", "stream"): Kind.LIVE_CLIP,
    ("live", "snapshot"): Kind.LIVE_FRAME,
}
# What DEFAULT stands for: MKV and JPEG (the agent's defaults, wire contract section 5).
_STREAM_FORMATS = {0: "mkv", 1: "mkv", 2: "avi", 3: "exe", 4: "mp4"}
_SNAPSHOT_FORMATS = {0: "jpeg", 1: "jpeg", 2: "pdf"}


@dataclasses.dataclass(frozen=True, slots=True)
class ResultFile:
    """One result as the server describes it. `obstacle` says why it cannot be downloaded; empty if it can."""

    path: str
    size: int
    start: dt.datetime | None
    end: dt.datetime | None
    mime_type: str
    obstacle: str


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """An export session as the server last described it."""

    id: str
    options: export_pb2.Options
    state: State
    server_state: int
    last_frame: dt.datetime | None
    files: tuple[ResultFile, ...]

    @property
    def kind(self) -> Kind:
        """Which of the four kinds of export it is."""
        choice = (self.options.WhichOneof("mode") or "", self.options.WhichOneof("output_type") or "")
        return _KINDS.get(choice, Kind.UNKNOWN)

    @property
    def form(self) -> str:
        """The requested format: `mkv`, `mp4`, `avi`, `exe`, `jpeg` or `pdf`."""
        if self.options.WhichOneof("output_type") == "snapshot":
            return _SNAPSHOT_FORMATS.get(self.options.snapshot.format, "jpeg")
        return _STREAM_FORMATS.get(self.options.stream.format, "mkv")

    @property
    def origins(self) -> tuple[str, ...]:
        """The access points of its cameras, in the order of the request."""
        mode = self.options.live if self.options.HasField("live") else self.options.archive
        return tuple(source.origin for source in mode.sources)

    @property
    def requested(self) -> tuple[dt.datetime | None, dt.datetime | None]:
        """The interval that was asked for; a frame has its instant twice, live video none."""
        start = instants.parse_wire(self.options.archive.start_timestamp)
        end = instants.parse_wire(self.options.archive.end_timestamp)
        return start, start if self.kind is Kind.ARCHIVE_FRAME else end

    @property
    def delivered(self) -> tuple[dt.datetime | None, dt.datetime | None]:
        """The interval that the results cover; a clip may begin before it was asked to (key frames)."""
        starts = [file.start for file in self.files if file.start]
        ends = [file.end for file in self.files if file.end]
        return min(starts, default=None), max(ends, default=None)

    @property
    def progress(self) -> float | None:
        """How much is done, in 0..1; None where the server gives nothing to tell it from."""
        if self.state in FINISHED:
            return 1.0
        start, end = self.requested
        if not (start and end and self.last_frame) or end <= start:
            return None
        return max(0.0, min(1.0, (self.last_frame - start) / (end - start)))


def session_of(info: export_service_pb2.ListSessionsResponse.SessionInfo) -> Session:
    """Return the record of one listed session."""
    return make_session(info.session.id, info.session.options, info.state)


def make_session(session_id: str, options: export_pb2.Options, state: export_service_pb2.State) -> Session:
    """Return the record of a session from its id, the echoed options and a state."""
    obstacle = _obstacle(options)
    return Session(
        id=session_id,
        options=options,
        state=_state(state),
        server_state=state.state,
        last_frame=instants.parse_wire(state.last_frame_timestamp),
        files=tuple(_file(file, obstacle) for file in state.result.files),
    )


def _state(state: export_service_pb2.State) -> State:
    match state.state:
        case export_service_pb2.S_RUNNING:
            return State.RUNNING
        case export_service_pb2.S_COMPLETED:
            # Completed says only that nothing more will happen.
            return State.COMPLETED if state.result.succeeded and state.result.files else State.FAILED
        case export_service_pb2.S_REMOVED:
            return State.REMOVED
        case _:
            return State.UNKNOWN


_LARGEST_FILE_BYTES = 2**63 - 1  # what the kernel's sizes hold


def _obstacle(options: export_pb2.Options) -> str:
    if options.store_result_by_export_agent:
        return "the export agent keeps the result on its own machine"
    if options.external_directory:
        return "the result is in an external directory of the server"
    return ""


def _file(file: export_service_pb2.Result.File, obstacle: str) -> ResultFile:
    return ResultFile(
        path=file.path,
        size=file.size,
        start=instants.parse_wire(file.min_timestamp),
        end=instants.parse_wire(file.max_timestamp),
        mime_type=file.mime_type,
        obstacle=obstacle or _obstacle_of(file),
    )


def _obstacle_of(file: export_service_pb2.Result.File) -> str:
    if file.cloud_id:
        return "the result is in the cloud"
    if file.size > _LARGEST_FILE_BYTES:
        return "the server says a size that no file can have"
    return ""


@dataclasses.dataclass(slots=True)
class Facts:
    """What this mount knows of a session beyond what the server says. Times in seconds since the epoch."""

    own: bool = False
    label: str = ""  # NAME of the spec that started it
    sent: export_pb2.Options | None = None  # what this mount asked for, without secrets
    started_s: float | None = None
    finished_s: float | None = None  # when it was first seen finished
    touched_s: float | None = None  # our last GetSessionState or DownloadFile
    asked_s: float | None = None  # our last attempt to keep it alive
    keep_until_s: float | None = None  # told to keep; infinity without a time
    released: bool = False
    going: bool = False  # being destroyed
    listed: bool = False  # seen in a listing
    missing: int = 0  # complete listings in a row without it
    open_results: int = 0
    read_whole: set[str] = dataclasses.field(default_factory=set)  # paths
    hidden: set[str] = dataclasses.field(default_factory=set)  # paths unlinked in this mount
    last_error: str = ""


def check_may_destroy(facts: Facts, rule: str) -> None:
    """Refuse what the option `destroy` (`own`, `all` or `none`) does not allow.

    Raises:
        NotAllowedError: the session must not be removed from here.
    """
    if rule == "none" or (rule == "own" and not facts.own):
        raise errors.NotAllowedError("the option destroy does not allow to remove this session")


def unread(session: Session, facts: Facts) -> bool:
    """Whether some result that can be downloaded was not read whole yet."""
    return any(not file.obstacle and file.path not in facts.read_whole for file in session.files)


# Up to here a look at the first bytes makes the kernel fetch the whole: its read-ahead is 1 MiB,
# and a chunk or two come on top.
_SURE_BYTES = 2 * 1024 * 1024


def surely_read(session: Session, facts: Facts) -> bool:
    """Whether all results were read whole, and by somebody who wanted more than a look."""
    sure = all(file.obstacle or file.size > _SURE_BYTES for file in session.files)
    return sure and not unread(session, facts)


def kept_because(session: Session, facts: Facts, timers: Timers, now_s: float) -> str:
    """Return why the session is kept alive, in words; empty if it is not."""
    if facts.going or session.state is State.REMOVED:
        return ""
    if facts.open_results:
        return "a result is open"
    if facts.keep_until_s is not None and now_s < facts.keep_until_s:
        return "told to keep"
    if not facts.own or facts.released:
        return ""
    return _own_kept_because(session, facts, timers, now_s)


def _own_kept_because(session: Session, facts: Facts, timers: Timers, now_s: float) -> str:
    if session.state not in FINISHED:
        return "started here and running"
    let_go_s = (facts.finished_s or now_s) + timers.keep_results_s
    if now_s < let_go_s and not surely_read(session, facts):
        return "started here and not read whole yet"
    return ""


def keep_alive_due(session: Session, facts: Facts, timers: Timers, now_s: float) -> bool:
    """Whether GetSessionState is due now so that the server does not let the session expire."""
    if not kept_because(session, facts, timers, now_s):
        return False
    if _within(facts.asked_s, timers.keep_retry_s, now_s):
        return False
    return not _within(facts.touched_s, _cadence_s(session, timers), now_s)


def keep_alive_order(session: Session, facts: Facts, timers: Timers) -> tuple[float, float]:
    """Return what to sort by who asks for several states: what the server lets go soonest, then who waits longest."""
    return _cadence_s(session, timers), facts.asked_s or 0.0


def keep_alive_late_s(session: Session, facts: Facts, timers: Timers, now_s: float) -> float:
    """Return by how many seconds a keep-alive is overdue; 0 where none is, or none is needed."""
    if facts.touched_s is None or not kept_because(session, facts, timers, now_s):
        return 0.0
    return max(0.0, now_s - facts.touched_s - _cadence_s(session, timers))


def _within(since_s: float | None, length_s: float, now_s: float) -> bool:
    """Whether something is less than `length_s` ago; what lies ahead was noted by a clock that was set back since."""
    return since_s is not None and 0 <= now_s - since_s < length_s


def _cadence_s(session: Session, timers: Timers) -> float:
    if session.state in FINISHED:
        return timers.keep_completed_s
    return timers.keep_live_clip_s if session.kind is Kind.LIVE_CLIP else timers.keep_running_s


def unread_end_s(session: Session, facts: Facts, timers: Timers) -> float | None:
    """Return when a finished session with unread results goes if nobody reads it; None for any other, and for never.

    The mount keeps it alive up to a time, and then the server for one more timer.
    """
    if session.state not in FINISHED or facts.finished_s is None or not unread(session, facts):
        return None
    if facts.keep_until_s is not None:
        let_go_s = facts.keep_until_s
    elif facts.own and not facts.released:
        let_go_s = facts.finished_s + timers.keep_results_s
    else:
        let_go_s = 0.0
    end_s = max(let_go_s, facts.touched_s or facts.finished_s) + timers.completed_s
    return end_s if math.isfinite(end_s) else None


@dataclasses.dataclass(frozen=True, slots=True)
class Expiry:
    """When the server would let a session go, and what that estimate rests on."""

    at_s: float
    basis: str


def expiry(session: Session, facts: Facts, timers: Timers) -> Expiry | None:
    """Estimate when the session expires if nobody touches it; None where nothing is known to count from."""
    seen_s = facts.finished_s if session.state in FINISHED else facts.started_s
    since = max((time for time in (seen_s, facts.touched_s) if time is not None), default=None)
    if since is None or session.state is State.REMOVED:
        return None
    if session.state in FINISHED:
        length_s = timers.completed_s
    else:
        length_s = timers.live_clip_s if session.kind is Kind.LIVE_CLIP else timers.running_s
    basis = "the last call of this mount" if since == facts.touched_s else "when this mount first saw it so"
    return Expiry(since + length_s, f"counted from {basis}; calls of others prolong it unseen")

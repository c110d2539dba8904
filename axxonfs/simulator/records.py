"""What the simulator knows of a session, as values, and the messages that clients see of them.

Decides how a record looks on the wire. Pure; values are replaced, never changed.
"""

import dataclasses
from typing import Any

from axxonfs.simulator.switches import Switches
from axxonfs.simulator.times import wire_time
from axxonfs.wire import export_pb2, export_service_pb2
from axxonfs.wire.export_service_pb2 import EState

_COMMON = {
    "mkv": "video/x-matroska",
    "mp4": "video/mp4",
    "avi": "video/x-msvideo",
    "exe": "application/octet-stream",
    "jpeg": "image/jpeg",
    "pdf": "application/pdf",
    "zip": "application/zip",
}
_OTHER = _COMMON | {"mkv": "video/mkv", "avi": "video/avi", "exe": "application/x-msdownload"}
_MIME_TYPES: dict[str, dict[str, str]] = {"common": _COMMON, "other": _OTHER, "empty": {}}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ResultFile:
    """A result. Its bytes are a file below the directory of results, a pattern, or not to be had here."""

    path: str  # what clients name it by
    size: int
    kind: str  # mkv, mp4, avi, exe, jpeg, pdf, zip
    min_ms: int | None = None
    max_ms: int | None = None
    timezone_min: int = 0
    cloud_id: str = ""
    stored: str | None = None  # file name below the directory of results
    seed: int | None = None  # of its pattern

    @property
    def downloadable(self) -> bool:
        """Whether its bytes are here."""
        return self.stored is not None or self.seed is not None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """A session at one moment; instants named _s are of the engine's clock."""

    sequence: int  # in the order of starting; also names its directory of results
    session_id: str
    user: str
    options: export_pb2.Options  # never changed after the start
    state: EState.ValueType
    started_s: float
    used_s: float  # last call that kept it alive, or its completion
    last_frame_ms: int | None = None
    results: tuple[ResultFile, ...] = ()
    succeeded: bool = False
    stop_s: float | None = None  # when it was told to stop
    gone_s: float | None = None  # when it was destroyed or expired

    @property
    def running(self) -> bool:
        """Whether the export still works."""
        return self.state == EState.S_RUNNING

    def result(self, path: str) -> ResultFile | None:
        """Return the result with this file id."""
        return next((result for result in self.results if result.path == path), None)


def session_info(record: SessionRecord, switches: Switches) -> export_service_pb2.ListSessionsResponse.SessionInfo:
    """Return the record as ListSessions sends it."""
    options = _echoed(record.options, switches)
    return export_service_pb2.ListSessionsResponse.SessionInfo(
        session=export_service_pb2.Session(id=record.session_id, options=options),
        state=state_message(record, switches),
    )


def _echoed(options: export_pb2.Options, switches: Switches) -> export_pb2.Options:
    if switches.echoed_options == "sent":
        return options
    echo = export_pb2.Options()
    echo.CopyFrom(options)
    if echo.HasField("archive"):
        echo.archive.start_timestamp = echo.archive.start_timestamp.removesuffix(".000000")
        echo.archive.end_timestamp = echo.archive.end_timestamp.removesuffix(".000000")
    settings = list(reversed(echo.settings))
    if switches.echoed_options == "stripped":
        settings = [setting for setting in settings if not setting.HasField("file_name")]
    del echo.settings[:]
    echo.settings.extend(settings)
    return echo


def state_message(record: SessionRecord, switches: Switches) -> export_service_pb2.State:
    """Return the record's state as GetSessionState sends it."""
    number = switches.running_as if record.running else record.state
    message = export_service_pb2.State(last_frame_timestamp=_time(record.last_frame_ms, switches))
    message.state = number  # type: ignore[assignment]  # a number that no definition knows is asked for by a switch
    if not record.running or switches.partial_result:
        message.result.succeeded = record.succeeded
        message.result.files.extend(_file_message(result, switches) for result in record.results)
    return message


def _file_message(result: ResultFile, switches: Switches) -> export_service_pb2.Result.File:
    return export_service_pb2.Result.File(
        path=result.path,
        size=result.size + switches.size_error,
        min_timestamp=_time(result.min_ms, switches),
        max_timestamp=_time(result.max_ms, switches),
        mime_type=_MIME_TYPES[switches.mime_type].get(result.kind, ""),
        cloud_id=result.cloud_id,
        timezone=result.timezone_min,
    )


def _time(instant_ms: int | None, switches: Switches) -> str:
    if instant_ms is None:
        return ""
    return wire_time(instant_ms, switches.timestamp_digits, drops_zero=switches.timestamp_drops_zero)


def to_json(record: SessionRecord) -> dict[str, Any]:
    """Return the record as what json can write."""
    values = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
    values["options"] = record.options.SerializeToString().hex()
    values["results"] = [dataclasses.asdict(result) for result in record.results]
    return values


def from_json(values: dict[str, Any]) -> SessionRecord:
    """Return the record that `to_json` made `values` from."""
    options = export_pb2.Options.FromString(bytes.fromhex(values["options"]))
    results = tuple(ResultFile(**result) for result in values["results"])
    return SessionRecord(**{**values, "options": options, "results": results})

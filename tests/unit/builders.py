"""Messages as a server would send them, for tests of the pure parts."""

import datetime as dt

from axxonfs.core import instants
from axxonfs.wire import export_pb2, export_service_pb2

START = dt.datetime(2026, 11, 22, 10, 15, tzinfo=dt.UTC)
FRONT_DOOR = "hosts/Server/DeviceIpint.1/SourceEndpoint.video:0:0"
GATE = "hosts/Server/DeviceIpint.2/SourceEndpoint.video:0:0"

Options = export_pb2.Options
SessionInfo = export_service_pb2.ListSessionsResponse.SessionInfo
File = export_service_pb2.Result.File


def archive_clip(
    *origins: str,
    start: dt.datetime = START,
    minutes: float = 5,
    form: export_pb2.StreamType.EFormat.ValueType = export_pb2.StreamType.MP4,
) -> Options:
    options = Options()
    for origin in origins or (FRONT_DOOR,):
        options.archive.sources.add(origin=origin, storages=["hosts/Server/MultimediaStorage.A/MultimediaStorage"])
    options.archive.start_timestamp = instants.format_wire(start)
    options.archive.end_timestamp = instants.format_wire(start + dt.timedelta(minutes=minutes))
    options.stream.format = form
    return options


def live_clip() -> Options:
    options = Options()
    options.live.sources.add(origin=FRONT_DOOR)
    options.stream.format = export_pb2.StreamType.MKV
    return options


def frame() -> Options:
    options = Options()
    options.archive.sources.add(origin=FRONT_DOOR)
    options.archive.start_timestamp = instants.format_wire(START)
    options.snapshot.format = export_pb2.SnapshotType.JPEG
    return options


def file(path: str = "id-1", *, size: int = 1000, start: dt.datetime = START, mime_type: str = "video/mp4") -> File:
    return File(
        path=path,
        size=size,
        min_timestamp=instants.format_wire(start),
        max_timestamp=instants.format_wire(start + dt.timedelta(minutes=5)),
        mime_type=mime_type,
    )


def running(
    session_id: str = "hosts/Server/1", options: Options | None = None, last: dt.datetime | None = None
) -> SessionInfo:
    state = export_service_pb2.State(state=export_service_pb2.S_RUNNING)
    if last is not None:
        state.last_frame_timestamp = instants.format_wire(last)
    return _info(session_id, options, state)


def completed(
    session_id: str = "hosts/Server/1", *files: File, options: Options | None = None, succeeded: bool = True
) -> SessionInfo:
    result = export_service_pb2.Result(files=files or [file()], succeeded=succeeded)
    return _info(session_id, options, export_service_pb2.State(state=export_service_pb2.S_COMPLETED, result=result))


def _info(session_id: str, options: Options | None, state: export_service_pb2.State) -> SessionInfo:
    session = export_service_pb2.Session(id=session_id, options=options or archive_clip())
    return SessionInfo(session=session, state=state)

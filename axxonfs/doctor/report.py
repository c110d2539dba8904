"""What a server does where nobody has recorded it: the questions that can be asked without starting anything.

Each is asked of what the server holds already. Ids, paths and words leave here in shape only. Listing prolongs
nothing; a download and a look at a state do, as any client's. Blocking; every call has a timeout.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from axxonfs.core import chunks, instants, options
from axxonfs.doctor import shapes
from axxonfs.remote.probe import Answer, Probe
from axxonfs.wire import domain_pb2 as domain
from axxonfs.wire import export_pb2 as export
from axxonfs.wire import export_service_pb2 as service

TIMEOUT_S = 20.0
_KIB = 1024
_SMALL_KB = 16
_SIZES_KB = (64, 256, 1024, 4095)
# More is not fetched for any question: the machine at the other end is recording.
_MOST_BYTES = 16 * 1024 * _KIB
_EXPORT_AGENT = 6
_NO_CAMERA = "no camera is listed"
SessionInfo = service.ListSessionsResponse.SessionInfo
NO_RESULT = "no finished result was there to look at"


@dataclasses.dataclass(frozen=True, slots=True)
class Observation:
    """What was seen of one question; `observed` is None where it could not be asked, and `why_not` says why."""

    question: str
    asks: str
    observed: Any = None
    why_not: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """A result of a session that is finished."""

    session_id: str
    file: service.Result.File
    form: str


def outcome(answer: Answer) -> dict[str, Any]:
    """Return how a call ended, without names."""
    return {"status": answer.status, "words": shapes.sentence(answer.words)}


def observe(probe: Probe, started: Sequence[SessionInfo] = ()) -> Iterator[Observation]:
    """Yield what is seen of the server's listings and results; `started` are sessions of our own, as last seen."""
    first = probe.listing("exports", "ListSessions", service.ListSessionsRequest(page_size=100))
    cameras = probe.listing(
        "domain", "ListCameras", domain.ListCamerasRequest(view=domain.VIEW_MODE_FULL, page_size=100)
    )
    listed = [info for message in first.messages for info in message.sessions]
    mine = {info.session.id for info in started}
    infos = [*started, *(info for info in listed if info.session.id not in mine)]
    yield Observation("node_offline", "the status of ListSessions", outcome(first))
    yield from _of_ids(infos)
    yield from _of_times(infos)
    yield from _of_states(infos)
    yield from _of_pages(probe, listed)
    yield _unknown_fields([*first.messages, *cameras.messages])
    yield _incomplete(cameras)
    yield _camera_names(cameras)
    yield _echoed(started, listed)
    yield _agents(probe)
    yield from _of_unknown(probe, infos)
    yield from of_downloads(probe, results_of(infos))


def results_of(infos: Iterable[SessionInfo]) -> list[Result]:
    """Return the results that can be downloaded."""
    return [
        Result(info.session.id, file, _form(info.session.options))
        for info in infos
        if info.state.state == service.S_COMPLETED and not _elsewhere(info.session.options)
        for file in info.state.result.files
        if file.path and file.size
    ]


def _elsewhere(wanted: export.Options) -> bool:
    return bool(wanted.cloud_export or wanted.store_result_by_export_agent or wanted.external_directory)


def _form(wanted: export.Options) -> str:
    if wanted.WhichOneof("output_type") == "snapshot":
        return export.SnapshotType.EFormat.Name(wanted.snapshot.format)
    return export.StreamType.EFormat.Name(wanted.stream.format)


# -- listings ----------------------------------------------------------------------


def _of_ids(infos: Sequence[SessionInfo]) -> Iterator[Observation]:
    files = [file for info in infos for file in info.state.result.files]
    why = "" if infos else "no session is listed"
    yield Observation(
        "session_id", "the form of a session's id", shapes.shapes(i.session.id for i in infos) or None, why
    )
    why = "" if files else NO_RESULT
    yield Observation("file_id", "the form of Result.File.path", shapes.shapes(f.path for f in files) or None, why)
    types = sorted(
        {f"{_form(info.session.options)}: {file.mime_type!r}" for info in infos for file in info.state.result.files}
    )
    yield Observation("mime_type", "formats and the mime types of their results", types or None, why)
    strangers = [info for info in infos if options.marker_of(info.session.options) is None]
    seen = {"listed": len(infos), "without the mark of axxonfs": len(strangers)}
    yield Observation("sessions_of_all", "whether sessions of others are listed", seen)


def _of_times(infos: Sequence[SessionInfo]) -> Iterator[Observation]:
    times = [info.state.last_frame_timestamp for info in infos]
    times += [text for info in infos for f in info.state.result.files for text in (f.min_timestamp, f.max_timestamp)]
    times = [text for text in times if text]
    why = "" if times else "no time was seen"
    fractions = [text.partition(".")[2] for text in times]
    seen = {"shapes": shapes.shapes(times), "readable": all(map(instants.parse_wire, times))}
    yield Observation("timestamp_digits", "the form of times, and digits of a fraction", seen if times else None, why)
    zeros = {"left out" if not text else "written" for text in fractions if not text.strip("0")}
    if not any(fractions):
        zeros = set()
    why = "" if zeros else "no time with a fraction of zero was seen beside others"
    yield Observation("timestamp_drops_zero", "what becomes of a fraction of zero", sorted(zeros) or None, why)


def _of_states(infos: Sequence[SessionInfo]) -> Iterator[Observation]:
    ended = [info.state for info in infos if info.state.state == service.S_COMPLETED]
    files = [list(state.result.files) for state in ended]
    seen = {
        "succeeded": sum(state.result.succeeded for state in ended),
        "failed": sum(not state.result.succeeded for state in ended),
        "failed with files": sum(bool(state.result.files) and not state.result.succeeded for state in ended),
    }
    why = "" if ended else "no session is completed"
    yield Observation(
        "exports_fail", "completed sessions that succeeded, and that did not", seen if ended else None, why
    )
    parts = {
        "most files of a session": max(map(len, files), default=0),
        "largest file": max((file.size for several in files for file in several), default=0),
        "of sessions without max_file_size": max(
            (len(info.state.result.files) for info in infos if not info.session.options.max_file_size), default=0
        ),
    }
    yield Observation("agent_file_limit", "how an agent splits results", parts if any(files) else None, why)


def _of_pages(probe: Probe, listed: Sequence[Message]) -> Iterator[Observation]:
    unsized = probe.listing("exports", "ListSessions", service.ListSessionsRequest())
    seen = {
        "status": unsized.status,
        "sessions": sum(len(message.sessions) for message in unsized.messages),
        "more follow": any(message.next_page_token for message in unsized.messages),
    }
    yield Observation("default_page_size", "how many sessions a page of size 0 has", seen)
    single = probe.listing("exports", "ListSessions", service.ListSessionsRequest(page_size=1))
    carrying = [message for message in single.messages if message.next_page_token]
    alone = {"with sessions": sum(bool(m.sessions) for m in carrying), "alone": sum(not m.sessions for m in carrying)}
    why = "" if carrying else f"{len(listed)} sessions make no second page"
    yield Observation("token_alone", "the message that carries next_page_token", alone if carrying else None, why)


def _unknown_fields(messages: Sequence[Message]) -> Observation:
    found: dict[str, set[int]] = collections.defaultdict(set)
    for message in messages:
        for part in _parts(message):
            found[part.DESCRIPTOR.name] |= _unknown(part)
    seen = {name: sorted(numbers) for name, numbers in sorted(found.items()) if numbers}
    return Observation("unknown_fields", "fields that no definition here knows, by their numbers", seen)


def _unknown(message: Message) -> set[int]:
    fields: Any = UnknownFieldSet(message)  # its stub does not say that it is a sequence
    return {field.field_number for field in fields}


def _parts(message: Message) -> Iterator[Message]:
    """Yield a message and all that are in it."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        for part in value if field.is_repeated else [value]:
            yield from _parts(part)


def _incomplete(answer: Answer) -> Observation:
    cameras = [camera for message in answer.messages for camera in message.items]
    seen = {"listed": len(cameras), "incomplete": sum(camera.incomplete for camera in cameras)}
    asks = "cameras that a listing sends without their archives"
    return Observation("incomplete_camera", asks, seen | ({} if answer.is_ok else outcome(answer)))


def _camera_names(answer: Answer) -> Observation:
    names = [camera.display_name for message in answer.messages for camera in message.items]
    seen = {
        "empty": sum(not name.strip() for name in names),
        "equal to another": len(names) - len(set(names)),
        "with a slash": sum("/" in name for name in names),
        "not printable": sum(not name.isprintable() for name in names),
        "longest": max(map(len, names), default=0),
    }
    return Observation(
        "camera_names", "what people call cameras, in numbers", seen if names else None, "" if names else _NO_CAMERA
    )


def _echoed(started: Sequence[SessionInfo], listed: Sequence[SessionInfo]) -> Observation:
    """Compare what was sent with what a listing says was sent."""
    asks = "a session's options in a listing, compared with what was sent"
    found = {info.session.id: info.session.options for info in listed}
    for info in started:
        echo = found.get(info.session.id)
        if echo is not None:
            sent = info.session.options
            seen = {
                "equal": echo == sent,
                "the same export": options.same_export(echo, sent),
                "mark kept": options.marker_of(echo) == options.marker_of(sent),
            }
            return Observation("echoed_options", asks, seen)
    return Observation("echoed_options", asks, why_not="only an export shows it: --start")


def _agents(probe: Probe) -> Observation:
    request = domain.ListComponentsRequest(component_type=_EXPORT_AGENT, page_size=100)
    answer = probe.listing("domain", "ListComponents", request)
    count = sum(len(message.items) for message in answer.messages)
    return Observation("agents_listed", "export agents that ListComponents shows", outcome(answer) | {"agents": count})


def _of_unknown(probe: Probe, infos: Sequence[SessionInfo]) -> Iterator[Observation]:
    nowhere = "axxonfs-doctor-no-such-thing"
    answer = probe.ask("GetSessionState", service.GetSessionStateRequest(session_id=nowhere))
    yield Observation("unknown_session", "GetSessionState of a session that is not there", outcome(answer))
    request = service.DownloadFileRequest(session_id=nowhere, file_path=nowhere, chunk_size_kb=_SMALL_KB)
    yield Observation("unknown_session_download", "DownloadFile of it", outcome(probe.chunks(request, 1)))
    finished = results_of(infos)
    asks = "DownloadFile of a file that a session does not have"
    if not finished:
        yield Observation("unknown_file", asks, why_not=NO_RESULT)
        return
    request.session_id = finished[0].session_id
    yield Observation("unknown_file", asks, outcome(probe.chunks(request, 1)))


# -- downloads ---------------------------------------------------------------------


def of_downloads(probe: Probe, finished: Sequence[Result]) -> Iterator[Observation]:
    """Yield what is seen of downloads of the largest result, and of the smallest as a whole."""
    yield Observation(
        "chunk_size_zero",
        "what chunk_size_kb 0 means",
        why_not="never sent: some servers might do without a bound then",
    )
    questions: dict[str, tuple[str, Callable[[Probe, Sequence[Result]], Any]]] = {
        "chunk_size_limit_kb": ("the first chunk in bytes, by the chunk_size_kb that was asked for", _first_chunks),
        "chunk_index": ("the index of the first chunk of a download that starts at chunk 1", _offset_index),
        "past_end": ("a download that starts past the end", _past_end),
        "empty_last_chunk": ("the last chunk of a file that is a whole number of chunks", _last_chunk),
        "size_error": ("bytes that came beyond Result.File.size; negative where fewer came", _size_error),
    }
    for question, (asks, look) in questions.items():
        seen = look(probe, finished) if finished else None
        yield Observation(question, asks, seen, "" if seen is not None else _NOT_FIT if finished else NO_RESULT)


_NOT_FIT = "no finished result has a size that shows it"


def _request(result: Result, kb: int, start: int = 0) -> service.DownloadFileRequest:
    return service.DownloadFileRequest(
        session_id=result.session_id, file_path=result.file.path, chunk_size_kb=kb, start_from_chunk_index=start
    )


def _largest(finished: Sequence[Result]) -> Result:
    return max(finished, key=lambda result: result.file.size)


def _first_chunks(probe: Probe, finished: Sequence[Result]) -> Any:  # noqa: ANN401 - any JSON
    result = _largest(finished)
    seen = {}
    for kb in _SIZES_KB:
        answer = probe.chunks(_request(result, kb), 1)
        first = len(answer.messages[0].data) if answer.messages else None
        seen[str(kb)] = {"bytes": first, "is the whole file": first == result.file.size, **outcome(answer)}
    return seen


def _offset_index(probe: Probe, finished: Sequence[Result]) -> Any:  # noqa: ANN401 - any JSON
    result = _largest(finished)
    if result.file.size <= 2 * _SMALL_KB * _KIB:
        return None
    answer = probe.chunks(_request(result, _SMALL_KB, start=1), 1)
    return {"index": answer.messages[0].index if answer.messages else None, **outcome(answer)}


def _past_end(probe: Probe, finished: Sequence[Result]) -> Any:  # noqa: ANN401 - any JSON
    result = _largest(finished)
    beyond = result.file.size // (_SMALL_KB * _KIB) + 2
    answer = probe.chunks(_request(result, _SMALL_KB, start=beyond), 2)
    return {"chunks": len(answer.messages), **outcome(answer)}


def _last_chunk(probe: Probe, finished: Sequence[Result]) -> Any:  # noqa: ANN401 - any JSON
    fits = [(result, kb) for result in finished if (kb := _divisor(result.file.size))]
    if not fits:
        return None
    result, kb = min(fits, key=lambda pair: pair[0].file.size)
    count = result.file.size // (kb * _KIB)
    answer = probe.chunks(_request(result, kb), count + 2)
    return {"full chunks": count, "chunks": len(answer.messages), **outcome(answer)}


def _divisor(size: int) -> int:
    """Return the largest chunk in KiB of which a file of moderate size is a whole number; 0 for none."""
    whole, rest = divmod(size, _KIB)
    if rest or size > _MOST_BYTES:
        return 0
    return next((kb for kb in (1024, 256, 64, 16, 4, 1) if kb in chunks.CHUNK_KB_RANGE and whole % kb == 0), 0)


def _size_error(probe: Probe, finished: Sequence[Result]) -> Any:  # noqa: ANN401 - any JSON
    result = min(finished, key=lambda result: result.file.size)
    if result.file.size > _MOST_BYTES:
        return None
    answer = probe.chunks(_request(result, 64), _MOST_BYTES // (64 * _KIB) + 2)
    return {"bytes": sum(len(chunk.data) for chunk in answer.messages) - result.file.size, **outcome(answer)}

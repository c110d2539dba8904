"""What the simulator does where the wire contract knows no answer, or several.

Decides nothing by itself: one frozen value whose every field names a question of
the contract (its section in the explanation), the answer taken by default and
why. Each switch is read in exactly one place of the simulator. Imports nothing
of ours; values are immutable, so any thread may read them.

Source: the wire contract, sections 5 to 8, 12 and 13.
"""

import dataclasses
import types
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

_T = TypeVar("_T")


def _switch(explanation: str, *, default: _T) -> _T:
    """Declare a switch with its explanation; typed as its value, as dataclasses.field is."""
    return dataclasses.field(default=default, metadata={"explanation": explanation})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """The switches; see `explain`."""

    login: Literal["check", "general", "locked", "ip_blocked", "already_logged", "second_factor", "limit"] = _switch(
        "1.6: what AuthenticateEx2 answers to a right password; check is the ordinary way, limit is the code "
        "GENERAL_ERROR with reached_connection_limit",
        default="check",
    )
    token_cuts_streams: bool = _switch(
        "2.2: a stream ends with UNAUTHENTICATED when its token expires; by default a token is checked at the start",
        default=False,
    )
    session_id: Literal["node", "uuid", "hostile"] = _switch(
        "6.1: node is hosts/NODE/UUID, 49 characters as measured; uuid is the bare one of the HTTP interface; hostile "
        "has slashes, a NUL, a newline and a mark of direction in it",
        default="node",
    )
    file_id: Literal["uuid", "name", "slash", "hostile"] = _switch(
        "5: the form of Result.File.path; nobody has recorded one, so the form that says least is the default; hostile "
        "leads out of every directory",
        default="uuid",
    )
    camera_names: Literal["plain", "hostile"] = _switch(
        "1.7: people name cameras; hostile are empty, dots, slashes, a NUL, a newline, 4 KiB, a mark of direction, "
        "and two that are equal",
        default="plain",
    )
    echoed_options: Literal["sent", "normalised", "stripped"] = _switch(
        "6.1: a session's options as they were sent, with instants and settings in the server's own form, or without "
        "what the server has no use for",
        default="sent",
    )
    timestamp_digits: Literal[0, 3, 6, 9] = _switch(
        "3: digits of the fraction in min_, max_ and last_frame_timestamp; six are what a live run sent", default=6
    )
    timestamp_drops_zero: bool = _switch(
        "3: a fraction of zero is left out, as the printer of Boost does, which the server is built on", default=True
    )
    mime_type: Literal["common", "other", "empty"] = _switch(
        "5: spelling of mime types; only image/jpeg has been seen, other writes video/avi, video/mkv and so on",
        default="common",
    )
    running_as: int = _switch(
        "6.3: the number of the state of a running session; 0 is S_NONE, 17 a state that no definition knows", default=1
    )
    partial_result: bool = _switch(
        "6.3: the state of a running session lists the files written so far; the vendor promises them afterwards",
        default=False,
    )
    exports_fail: bool = _switch(
        "6.3: every export completes with succeeded=false and no files, as one without recordings always does",
        default=False,
    )
    agent_file_limit: int = _switch(
        "5: bytes at which the agent begins a new file unasked; real agents do near 4 GiB, but 0 (never) keeps results "
        "of --file-size whole",
        default=0,
    )
    size_error: int = _switch(
        "12: bytes by which Result.File.size is wrong; 0, as sizes were exact in live runs", default=0
    )
    removed_state_s: float = _switch(
        "6.3: seconds in which an expired or destroyed session answers S_REMOVED, before it is NOT_FOUND", default=0.0
    )
    destroyed_lingers_s: float = _switch(
        "6.1: seconds in which a destroyed session is still listed; a live run is ambiguous, up to 10 are plausible",
        default=0.0,
    )
    destroys: bool = _switch(
        "6.1: DestroySession does what it says; without it a session stays, though the answer is OK", default=True
    )
    download_keeps: Literal["start", "always"] = _switch(
        "6.2: a download resets the hour only as it starts, or with every chunk; start asks more of clients",
        default="start",
    )
    stop_completed: Literal["OK", "FAILED_PRECONDITION"] = _switch(
        "6.4: what StopSession says of a completed session; OK with its state is expected", default="OK"
    )
    early_download: Literal["FAILED_PRECONDITION", "NOT_FOUND", "INTERNAL"] = _switch(
        "6.5: the status of a download before completion", default="FAILED_PRECONDITION"
    )
    no_agent: Literal["", "UNAVAILABLE", "NOT_FOUND", "INTERNAL"] = _switch(
        "6.5: there is no export agent, and StartSession answers this; empty: there is one", default=""
    )
    node_offline: bool = _switch(
        "6.5: the node that holds the results cannot be reached: UNAVAILABLE for everything but logins and cameras",
        default=False,
    )
    bad_time: Literal["INVALID_ARGUMENT", "silent"] = _switch(
        "3: an unreadable time is refused; silent lets the export complete without a result", default="INVALID_ARGUMENT"
    )
    empty_storages: Literal["refuse", "accept"] = _switch(
        "4: an archive source without storages; refused, so that clients always send one", default="refuse"
    )
    chunk_size_zero: Literal["default", "INVALID_ARGUMENT"] = _switch(
        "7: chunk_size_kb 0 means 64 KiB, or is refused", default="default"
    )
    chunk_size_limit_kb: int = _switch(
        "7: larger chunks are clamped to this; by default only to what bounds the simulator's memory", default=65536
    )
    chunk_index: Literal["absolute", "relative"] = _switch(
        "7: FileChunk.index counts from the file's beginning, or from the requested start", default="absolute"
    )
    past_end: Literal["OK", "OUT_OF_RANGE", "INVALID_ARGUMENT"] = _switch(
        "7: the status of a start past the end of the file; OK is an empty stream", default="OK"
    )
    empty_last_chunk: bool = _switch("7: a file that is a whole number of chunks ends with an empty one", default=False)
    default_page_size: int = _switch("8: sessions and cameras in a call with page_size 0", default=100)
    token_alone: bool = _switch(
        "8: the message of a listing that carries next_page_token carries no items; usually it is the last with items",
        default=False,
    )
    sessions_of_all: bool = _switch(
        "8: everybody sees everybody's sessions, as the vendor's page says; otherwise only one's own", default=True
    )
    incomplete_camera: bool = _switch(
        "11.19: ListCameras sends the first camera as incomplete, without archives; BatchGetCameras has the whole",
        default=False,
    )
    unknown_fields: bool = _switch(
        "1.8: every message carries a field that no definition knows, as a real 3.0 sends in ListCamerasResponse",
        default=False,
    )


def explain() -> list[tuple[str, str, str]]:
    """Return of each switch its name with the possible values, its default, and what it is about."""
    return [
        (f"{field.name}={_values(field.name)}", _shown(field.default), str(field.metadata["explanation"]))
        for field in dataclasses.fields(Switches)
    ]


def parse(assignments: list[str]) -> Switches:
    """Return the switches that NAME=VALUE texts ask for; ValueError says what is wrong with one."""
    values: dict[str, Any] = {}
    for assignment in assignments:
        name, separator, text = assignment.partition("=")
        if not separator or name not in _types():
            raise ValueError(f"{assignment!r} is not NAME=VALUE with a known name; see --list-switches")
        values[name] = _value(name, text)
    return Switches(**values)


def _types() -> dict[str, Any]:
    return get_type_hints(Switches)


def _value(name: str, text: str) -> object:
    candidates = {_shown(value): value for value in _choices(_types()[name])}
    if candidates:
        if text not in candidates:
            raise ValueError(f"{name} is one of {_values(name)}, not {text!r}")
        return candidates[text]
    return _number(name, text)


def _number(name: str, text: str) -> int | float:
    kind = _types()[name]
    try:
        return int(text) if kind is int else float(text)
    except ValueError:
        raise ValueError(f"{name} is a number, not {text!r}") from None


def _choices(kind: type | types.GenericAlias) -> tuple[object, ...]:
    if kind is bool:
        return (False, True)
    return get_args(kind) if get_origin(kind) is Literal else ()


def _values(name: str) -> str:
    return "|".join(map(_shown, _choices(_types()[name]))) or "NUMBER"


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

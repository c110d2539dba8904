"""Messages made wrong: what planned faults do to chunks and listings.

Decides which bytes a spoilt message has. Pure but for the faults' own counts.
Chunks are spoilt before they are serialised, listings as messages.
"""

from collections.abc import Iterable, Iterator

from google.protobuf.message import Message

from axxonfs.simulator.download import Chunk
from axxonfs.simulator.faults import Fault
from axxonfs.simulator.paging import make_token
from axxonfs.wire.domain_pb2 import ListCamerasResponse
from axxonfs.wire.export_service_pb2 import GetSessionStateResponse, ListSessionsResponse, State

_HUGE_BYTES = 17 << 20
_NO_STATE = 17


def spoilt_chunks(chunks: Iterable[Chunk], faults: tuple[Fault, ...]) -> Iterator[Chunk]:
    """Yield chunks as the faults of their call make them."""
    for sent, chunk in enumerate(chunks):
        pieces = [chunk]
        for fault in faults:
            if fault.after_chunks == sent:
                pieces = [piece for whole in pieces for piece in _pieces(whole, fault)]
        yield from pieces


def _pieces(chunk: Chunk, fault: Fault) -> list[Chunk]:
    index, data = chunk
    match fault.action:
        case "skip_chunk":
            return []
        case "repeat_chunk":
            return [chunk, chunk]
        case "empty_chunk":
            return [(index, b""), chunk]
        case _:
            return [_spoilt(index, data, fault)]


def _spoilt(index: int, data: bytes, fault: Fault) -> Chunk:
    match fault.action:
        case "wrong_index":
            return index + 1, data
        case "short_chunk":
            return index, data[:-1]
        case "long_chunk":
            return index, data + b"\0"
        case "huge_chunk":
            return index, data.ljust(_HUGE_BYTES, b"\0")
        case "wrong_byte":
            return index, data[:-1] + bytes([data[-1] ^ 0xFF])
        case _:
            return index, data


def spoilt_message(message: Message | bytes, faults: tuple[Fault, ...]) -> Message | bytes:
    """Return an answer as the faults of its call make it."""
    for fault in faults:
        if isinstance(message, ListSessionsResponse | ListCamerasResponse):
            _spoil_page(message, fault)
        if fault.action == "unknown_state":
            for state in _states(message):
                state.state = _NO_STATE  # type: ignore[assignment]  # that is what is wrong with it
    return message


def _spoil_page(page: ListSessionsResponse | ListCamerasResponse, fault: Fault) -> None:
    match fault.action:
        case "repeat_page":
            page.next_page_token = make_token("0")
        case "endless_pages":
            # Another token each time, which leads to the beginning.
            page.next_page_token = make_token("0" * fault.hits)
        case "half_list":
            items = page.sessions if isinstance(page, ListSessionsResponse) else page.items
            del items[-(-len(items) // 2) :]
            page.ClearField("next_page_token")
        case _:
            pass


def _states(message: Message | bytes) -> list[State]:
    match message:
        case ListSessionsResponse():
            return [info.state for info in message.sessions]
        case GetSessionStateResponse():
            return [message.session_state]
        case _:
            return []

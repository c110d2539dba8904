"""A chunk out of the bytes of its message, without a copy of what it holds.

The messages of protobuf copy the data twice on the way, once when they are parsed
and once at each access, and chunks are nearly all that a mount receives. What is
not laid out as every writer of protobuf lays it out (fields in their order, each
once, nothing else) is left to protobuf. Source: the wire format of protobuf;
section 7 of the wire contract.
"""

import dataclasses

from axxonfs.core.chunks import Data
from axxonfs.wire.export_service_pb2 import FileChunk

_INDEX_TAG, _DATA_TAG = b"\x08", b"\x12"  # field 1, a number; field 2, of a given length
_MORE = 0x80  # in a byte of a number: another one follows
_LONGEST = 5  # bytes of a number: 35 bits; larger ones are left to protobuf


@dataclasses.dataclass(frozen=True, slots=True)
class Chunk:
    """What a FileChunk says."""

    index: int
    data: Data


def parse(message: bytes) -> Chunk:
    """Return the chunk in a message; google.protobuf.message.DecodeError where it is none."""
    index, place = _number(message, 1) if message[:1] == _INDEX_TAG else (0, 0)
    if place >= 0 and message[place : place + 1] == _DATA_TAG:
        length, start = _number(message, place + 1)
        if start >= 0 and start + length == len(message):
            return Chunk(index, memoryview(message)[start:])
    chunk = FileChunk.FromString(message)
    return Chunk(chunk.index, chunk.data)


def _number(message: bytes, place: int) -> tuple[int, int]:
    """Return a number and the place after it; -1 as the place where it does not end soon."""
    number = 0
    for shift, byte in enumerate(message[place : place + _LONGEST]):
        number |= (byte & ~_MORE) << 7 * shift
        if byte < _MORE:
            return number, place + shift + 1
    return number, -1

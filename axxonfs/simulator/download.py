"""The stream of DownloadFile: a result's bytes, cut into chunks.

Decides offsets, indices and the end of a stream. Chunks leave here serialised:
a chunk is read, given its few bytes of framing and passed on, because building
a message for each would make the simulator the slowest part of every benchmark.
At most one chunk is held: the next is read when gRPC asks for it. For benchmarks
`Prepared` keeps serialised chunks of patterns, so that a second call costs
nothing but sending. Thread-safe.

Source: the wire contract, section 7.
"""

import contextlib
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from axxonfs.simulator.pattern import pattern
from axxonfs.simulator.records import ResultFile
from axxonfs.simulator.refusal import Refusal
from axxonfs.simulator.switches import Switches
from axxonfs.wire.export_service_pb2 import DownloadFileRequest

Chunk = tuple[int, bytes]  # index, data
Place = tuple[int, int, int]  # index, offset, length
_DEFAULT_KB = 64
_INDEX_TAG, _DATA_TAG = b"\x08", b"\x12"  # field 1, a number; field 2, of a given length


def chunks(request: DownloadFileRequest, result: ResultFile, file: Path | None, switches: Switches) -> Iterator[Chunk]:
    """Yield the chunks that a request asks for; Refusal where a switch refuses it."""
    with _reader(result, file) as read:
        for index, offset, length in places(request, result, switches):
            yield index, read(offset, length) if length else b""


def places(request: DownloadFileRequest, result: ResultFile, switches: Switches) -> Iterator[Place]:
    """Yield where the chunks lie that a request asks for; Refusal where a switch refuses it."""
    size_bytes = chunk_bytes(request.chunk_size_kb, switches)
    start = request.start_from_chunk_index
    if start * size_bytes > result.size and switches.past_end != "OK":
        raise Refusal(switches.past_end, "Start is past the end of the file.")
    first = start if switches.chunk_index == "absolute" else 0
    for number, offset in enumerate(range(start * size_bytes, result.size, size_bytes)):
        yield first + number, offset, min(size_bytes, result.size - offset)
    whole, rest = divmod(result.size, size_bytes)
    if switches.empty_last_chunk and rest == 0 and start <= whole:
        yield first + whole - start, result.size, 0


class Prepared:
    """Serialised chunks of patterns, kept from their first use on, `budget_bytes` of them at most."""

    def __init__(self, budget_bytes: int) -> None:
        self._left_bytes = budget_bytes
        self._messages: dict[tuple[int, Place], bytes] = {}

    def messages(self, request: DownloadFileRequest, result: ResultFile, switches: Switches) -> Iterator[bytes]:
        """Yield the messages of a stream of a pattern."""
        seed = result.seed or 0
        for place in places(request, result, switches):
            yield self._messages.get((seed, place)) or self._made(seed, place)

    def _made(self, seed: int, place: Place) -> bytes:
        index, offset, length = place
        message = serialised((index, pattern(seed, offset, length)))
        # Two threads may take the same bytes off; the bound holds all the more.
        if len(message) <= self._left_bytes:
            self._left_bytes -= len(message)
            self._messages[seed, place] = message
        return message


def chunk_bytes(chunk_size_kb: int, switches: Switches) -> int:
    """Return the size of a chunk that the server uses for a requested one."""
    if chunk_size_kb == 0 and switches.chunk_size_zero != "default":
        raise Refusal(switches.chunk_size_zero, "Chunk size is not set.")
    return min(chunk_size_kb or _DEFAULT_KB, switches.chunk_size_limit_kb) * 1024


def serialised(chunk: Chunk) -> bytes:
    """Return the bytes of a FileChunk message."""
    index, data = chunk
    head = _INDEX_TAG + _varint(index) if index else b""
    return b"".join((head, _DATA_TAG, _varint(len(data)), data)) if data else head


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:  # noqa: PLR2004  seven bits go into each byte
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


@contextlib.contextmanager
def _reader(result: ResultFile, file: Path | None) -> Iterator[Callable[[int, int], bytes]]:
    """Give a function of offset and length that reads a result, as long as a stream runs."""
    if file is None:
        yield functools.partial(pattern, result.seed or 0)
        return
    with file.open("rb", buffering=0) as opened:
        yield lambda offset, length: os.pread(opened.fileno(), length, offset)

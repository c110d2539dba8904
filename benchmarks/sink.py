"""What a server can do alone: a download whose receiver costs next to nothing.

Speaks as much HTTP/2 as one call of gRPC needs: says hello with windows that
never close, sends one request, and lets the kernel throw away what comes. So the
figure is the server's, and a client that is slower is slow by itself. Without
TLS only. Runs in the process that asks for it: there is nothing to wait for.
Source: RFC 9113 (frames), RFC 7541 (literal headers), gRPC over HTTP/2.
"""

import socket
import struct
import time
from collections.abc import Iterable, Mapping

from google.protobuf.message import Message

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _SETTINGS, _WINDOW_UPDATE = 0x0, 0x1, 0x4, 0x8
_END_STREAM, _ACK, _END_HEADERS = 0x1, 0x1, 0x4
_INITIAL_WINDOW_SIZE, _MAX_FRAME_SIZE = 0x4, 0x5
_WIDEST = (1 << 31) - 1
_LARGEST_FRAME = (1 << 24) - 1
_DEFAULT_WINDOW = 65_535
_TIMEOUT_S = 30.0
_STEP_BYTES = 1 << 20


def drained(
    address: tuple[str, int], path: str, request: Message, metadata: Mapping[str, str], size_bytes: int
) -> float:
    """Return the seconds in which `size_bytes` of the answers to a call have come; RuntimeError if they do not."""
    with socket.create_connection(address, timeout=_TIMEOUT_S) as connection:
        began_s = time.monotonic()
        connection.sendall(_hello() + _call(f"{address[0]}:{address[1]}", path, request, metadata))
        left, nowhere = size_bytes, bytearray(_STEP_BYTES)
        while left > 0:
            # MSG_TRUNC: the kernel throws the bytes away instead of copying them.
            came = connection.recv_into(nowhere, 0, socket.MSG_TRUNC)
            if not came:
                raise RuntimeError(f"the server closed the connection {left} bytes before the end")
            left -= came
        return time.monotonic() - began_s


def _hello() -> bytes:
    settings = struct.pack(">HIHI", _INITIAL_WINDOW_SIZE, _WIDEST, _MAX_FRAME_SIZE, _LARGEST_FRAME)
    window = struct.pack(">I", _WIDEST - _DEFAULT_WINDOW)
    return (
        _PREFACE
        + _frame(_SETTINGS, 0, 0, settings)
        + _frame(_WINDOW_UPDATE, 0, 0, window)
        + _frame(_SETTINGS, _ACK, 0, b"")
    )


def _call(authority: str, path: str, request: Message, metadata: Mapping[str, str]) -> bytes:
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": authority,
        "te": "trailers",
        "content-type": "application/grpc",
        **metadata,
    }
    body = request.SerializeToString()
    message = b"\0" + struct.pack(">I", len(body)) + body
    return _frame(_HEADERS, _END_HEADERS, 1, _literals(headers.items())) + _frame(_DATA, _END_STREAM, 1, message)


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _literals(headers: Iterable[tuple[str, str]]) -> bytes:
    """Return a header block without compression: each field a literal that is not indexed."""
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in headers)


def _text(text: str) -> bytes:
    data = text.encode()
    return _length(len(data)) + data


def _length(length: int) -> bytes:
    """Return a length as HPACK writes it: seven bits, then seven at a time."""
    prefix = 0x7F
    if length < prefix:
        return bytes([length])
    out, length = bytearray([prefix]), length - prefix
    while length > prefix:
        out.append(length & prefix | 0x80)
        length >>= 7
    return bytes([*out, length])

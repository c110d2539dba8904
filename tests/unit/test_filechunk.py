"""Chunks out of messages: the same as protobuf says, whatever the layout."""

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from axxonfs.remote import filechunk
from axxonfs.wire.export_service_pb2 import FileChunk


@settings(deadline=None)
@given(st.integers(0, 2**64 - 1), st.binary(max_size=300))
def test_a_message_says_what_it_says_to_protobuf(index: int, data: bytes) -> None:
    chunk = filechunk.parse(FileChunk(index=index, data=data).SerializeToString())
    assert (chunk.index, bytes(chunk.data)) == (index, data)


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_any_bytes_mean_the_same_or_nothing(message: bytes) -> None:
    try:
        expected = FileChunk.FromString(message)
    except DecodeError:
        with pytest.raises(DecodeError):
            filechunk.parse(message)
        return
    chunk = filechunk.parse(message)
    assert (chunk.index, bytes(chunk.data)) == (expected.index, expected.data)


@pytest.mark.parametrize(
    "message",
    [
        b"\x12\x02ab\x08\x05",  # the fields in another order
        b"\x08\x05\x12\x02ab\x98\x06\x01",  # a field that is not known
        b"\x08\x05\x12\x01x\x12\x02ab",  # data twice: the last one counts
        b"\x08\x85\x80\x80\x80\x80\x80\x00\x12\x02ab",  # an index in more bytes than it needs
    ],
)
def test_other_layouts_are_left_to_protobuf(message: bytes) -> None:
    chunk = filechunk.parse(message)
    assert (chunk.index, bytes(chunk.data)) == (5, b"ab")


def test_data_is_not_copied() -> None:
    message = FileChunk(index=7, data=b"x" * 1000).SerializeToString()
    data = filechunk.parse(message).data
    assert isinstance(data, memoryview)
    assert data.obj is message

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axxonfs.simulator.download import Prepared, chunks, serialised
from axxonfs.simulator.pattern import pattern
from axxonfs.simulator.records import ResultFile
from axxonfs.simulator.refusal import Refusal
from axxonfs.simulator.switches import Switches
from axxonfs.wire.export_service_pb2 import DownloadFileRequest, FileChunk

KIB = 1024


def stream(size: int, switches: Switches | None = None, kb: int = 1, start: int = 0) -> list[tuple[int, bytes]]:
    request = DownloadFileRequest(chunk_size_kb=kb, start_from_chunk_index=start)
    result = ResultFile(path="x", size=size, kind="mkv", seed=3)
    return list(chunks(request, result, None, switches or Switches()))


@given(st.integers(0, 20 * KIB), st.integers(1, 8), st.integers(0, 24))
def test_a_stream_is_the_rest_of_the_file_in_whole_chunks(size: int, kb: int, start: int) -> None:
    sent = stream(size, kb=kb, start=start)
    offset = start * kb * KIB
    assert b"".join(data for _, data in sent) == pattern(3, offset, max(0, size - offset))
    assert [index for index, _ in sent] == list(range(start, start + len(sent)))
    assert all(len(data) == kb * KIB for _, data in sent[:-1])


def test_the_index_may_count_from_the_start_of_the_stream() -> None:
    assert [index for index, _ in stream(5 * KIB, Switches(chunk_index="relative"), start=2)] == [0, 1, 2]


def test_a_size_of_zero_is_64_kib_or_refused() -> None:
    assert [len(data) for _, data in stream(100 * KIB, kb=0)] == [64 * KIB, 36 * KIB]
    with pytest.raises(Refusal, match="INVALID_ARGUMENT"):
        stream(100 * KIB, Switches(chunk_size_zero="INVALID_ARGUMENT"), kb=0)


def test_large_chunks_are_clamped_and_the_start_counts_in_clamped_ones() -> None:
    sent = stream(10 * KIB, Switches(chunk_size_limit_kb=4), kb=1000, start=1)
    assert [(index, len(data)) for index, data in sent] == [(1, 4 * KIB), (2, 2 * KIB)]
    assert sent[0][1] == pattern(3, 4 * KIB, 4 * KIB)


@pytest.mark.parametrize("start", [3, 4, 1 << 40])
def test_a_start_at_or_past_the_end_is_an_empty_stream(start: int) -> None:
    assert stream(3 * KIB, start=start) == []


@pytest.mark.parametrize("status", ["OUT_OF_RANGE", "INVALID_ARGUMENT"])
def test_a_start_past_the_end_may_be_refused(status: str) -> None:
    switches = Switches(past_end=status)  # type: ignore[arg-type]  # a table of literals
    assert stream(3 * KIB, switches, start=3) == []
    with pytest.raises(Refusal, match=status):
        stream(3 * KIB, switches, start=4)


def test_whole_chunks_may_be_followed_by_an_empty_one() -> None:
    switches = Switches(empty_last_chunk=True)
    assert [(index, len(data)) for index, data in stream(2 * KIB, switches)] == [(0, KIB), (1, KIB), (2, 0)]
    assert [(index, len(data)) for index, data in stream(2 * KIB + 1, switches)] == [(0, KIB), (1, KIB), (2, 1)]
    assert stream(2 * KIB, switches, start=2) == [(2, b"")]
    assert stream(2 * KIB, switches, start=3) == []


def test_a_file_is_read_where_there_is_one(tmp_path: Path) -> None:
    path = tmp_path / "1.mkv"
    path.write_bytes(bytes(range(256)) * 10)
    result = ResultFile(path="x", size=2560, kind="mkv", stored="1.mkv")
    request = DownloadFileRequest(chunk_size_kb=1, start_from_chunk_index=1)
    assert b"".join(data for _, data in chunks(request, result, path, Switches())) == path.read_bytes()[1024:]


@given(st.integers(0, (1 << 64) - 1), st.binary(max_size=300))
def test_a_serialised_chunk_is_a_message(index: int, data: bytes) -> None:
    assert FileChunk.FromString(serialised((index, data))) == FileChunk(index=index, data=data)


@given(st.integers(0, 20 * KIB), st.integers(1, 8), st.integers(0, 24), st.integers(0, 30 * KIB), st.booleans())
def test_prepared_messages_are_those_of_the_stream(size: int, kb: int, start: int, budget: int, empty: bool) -> None:  # noqa: FBT001
    switches, prepared = Switches(empty_last_chunk=empty), Prepared(budget)
    request = DownloadFileRequest(chunk_size_kb=kb, start_from_chunk_index=start)
    result = ResultFile(path="x", size=size, kind="mkv", seed=3)
    expected = [serialised(chunk) for chunk in stream(size, switches, kb, start)]
    for _ in range(2):
        assert list(prepared.messages(request, result, switches)) == expected


def test_prepared_messages_are_made_once_as_far_as_the_budget_goes() -> None:
    prepared = Prepared(3 * KIB)  # two chunks and their framing
    request = DownloadFileRequest(chunk_size_kb=1)
    result = ResultFile(path="x", size=3 * KIB, kind="mkv", seed=3)
    first, second = (list(prepared.messages(request, result, Switches())) for _ in range(2))
    assert [one is other for one, other in zip(first, second, strict=True)] == [True, True, False]

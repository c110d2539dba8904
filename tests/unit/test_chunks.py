import pytest
from hypothesis import given
from hypothesis import strategies as st

from axxonfs.core import chunks, errors


@given(st.integers(0, 5_000), st.integers(1, 700))
def test_the_lengths_of_all_chunks_add_up_to_the_file(file_size: int, chunk_size: int) -> None:
    count = chunks.chunk_count(file_size, chunk_size)
    assert sum(chunks.chunk_length(index, chunk_size, file_size) for index in range(count)) == file_size
    assert chunks.chunk_length(count, chunk_size, file_size) == 0


def stream(start: int = 0, *, relative: bool | None = None) -> chunks.ChunkStream:
    return chunks.ChunkStream(start, 4096, 10_000, relative=relative)


def test_chunks_in_order_are_accepted_and_the_end_is_checked() -> None:
    checked = stream()
    assert [checked.accept(0, 4096), checked.accept(1, 4096), checked.accept(2, 1808)] == [0, 1, 2]
    assert checked.accept(3, 0) is None
    checked.finish()


def test_an_early_end_is_a_broken_stream() -> None:
    checked = stream()
    checked.accept(0, 4096)
    with pytest.raises(errors.StreamBrokenError, match="before chunk 1"):
        checked.finish()


@pytest.mark.parametrize("start", [0, 2])
def test_an_end_before_the_first_chunk_contradicts_the_size(start: int) -> None:
    with pytest.raises(errors.WrongBytesError, match=f"before chunk {start}"):
        stream(start).finish()


@pytest.mark.parametrize(("index", "start"), [(0, 0), (1, 1), (2, 1)])
def test_a_stream_begins_where_a_whole_chunk_tells_how_the_server_cuts(index: int, start: int) -> None:
    assert chunks.telling_start(index, 4096, 10_000) == start


def test_the_only_chunk_of_a_file_and_a_last_one_of_full_length_need_no_other() -> None:
    assert chunks.telling_start(0, 4096, 100) == 0
    assert chunks.telling_start(1, 4096, 8192) == 1


@pytest.mark.parametrize(("index", "relative"), [(1, False), (0, True)])
def test_how_the_server_counts_is_learnt_from_the_first_chunk_after_a_seek(index: int, *, relative: bool) -> None:
    checked = stream(start=1)
    assert checked.accept(index, 4096) == 1
    assert checked.relative is relative
    assert checked.accept(index + 1, 1808) == 2


def test_nothing_is_learnt_from_a_stream_that_starts_at_the_beginning() -> None:
    checked = stream()
    checked.accept(0, 4096)
    assert checked.relative is None


@pytest.mark.parametrize("relative", [None, False, True])
@pytest.mark.parametrize("index", [2, 7])
def test_any_other_index_is_wrong_and_teaches_nothing(index: int, *, relative: bool | None) -> None:
    checked = stream(start=1, relative=relative)
    with pytest.raises(errors.WrongBytesError, match=f"chunk {index} came"):
        checked.accept(index, 4096)
    assert checked.relative is relative


def test_a_first_chunk_counted_from_the_start_of_the_file_corrects_what_was_learnt() -> None:
    with pytest.raises(chunks.CountedAnewError, match="chunk 1 came where 0 was due"):
        stream(start=1, relative=True).accept(1, 4096)


def test_where_chunks_were_counted_from_the_start_of_the_file_one_from_the_beginning_is_wrong() -> None:
    # A server that ignores where to begin sends the same.
    checked = stream(start=1, relative=False)
    with pytest.raises(errors.WrongBytesError, match="chunk 0 came where 1 was due"):
        checked.accept(0, 4096)
    assert checked.relative is False


@pytest.mark.parametrize(("index", "relative"), [(1, False), (2, True)])
def test_a_later_chunk_counted_otherwise_is_wrong(index: int, *, relative: bool) -> None:
    checked = stream(start=1, relative=relative)
    checked.accept(0 if relative else 1, 4096)
    with pytest.raises(errors.WrongBytesError):
        checked.accept(index, 1808)


@pytest.mark.parametrize("length", [0, 1, 4095, 4097])
def test_a_chunk_of_a_wrong_length_is_wrong(length: int) -> None:
    with pytest.raises(errors.WrongBytesError, match="instead of 4096"):
        stream().accept(0, length)


def test_a_first_chunk_cut_to_whole_kib_tells_the_size_that_the_server_sends() -> None:
    with pytest.raises(chunks.ChunkSizeClampedError) as told:
        stream().accept(0, 2048)
    assert told.value.chunk_size_bytes == 2048


def test_a_later_short_chunk_is_no_clamp() -> None:
    checked = stream()
    checked.accept(0, 4096)
    with pytest.raises(errors.WrongBytesError):
        checked.accept(1, 2048)


SPANS = st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda ends: (min(ends), max(ends)))


@given(st.lists(SPANS, max_size=8), SPANS)
def test_subtracting_ranges_is_subtracting_their_bytes(spans: list[chunks.Range], cut: chunks.Range) -> None:
    left: list[chunks.Range] = [(0, 41)]
    for span in [*spans, cut]:
        left = chunks.subtract(left, *span)
    gone = {place for begin, end in [*spans, cut] for place in range(begin, end)}
    assert {place for begin, end in left for place in range(begin, end)} == set(range(41)) - gone
    assert all(begin < end for begin, end in left)

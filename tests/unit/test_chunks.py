import pytest
from hypothesis import given
from hypothesis import strategies as st

from axxonfs.core import chunks, errors

KEY = chunks.ChunkKey(1, 4, 0)


@given(st.integers(0, 10_000), st.integers(0, 5_000), st.integers(1, 700), st.integers(0, 9_000))
def test_the_chunks_of_a_range_hold_just_its_bytes(offset: int, size: int, chunk_size: int, file_size: int) -> None:
    data = bytes(index % 251 for index in range(file_size))
    touched = chunks.chunks_of(offset, size, chunk_size, file_size)
    held = b"".join(data[index * chunk_size : (index + 1) * chunk_size] for index in touched)
    begin = offset - touched.start * chunk_size
    assert (held[begin : begin + size] if touched else b"") == data[offset : offset + size]
    for index in touched:
        chunk_end = index * chunk_size + chunks.chunk_length(index, chunk_size, file_size)
        assert index * chunk_size < offset + size
        assert chunk_end > offset


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


@pytest.mark.parametrize(("index", "relative"), [(0, False), (1, True), (2, None), (7, None)])
def test_any_other_index_is_wrong(index: int, *, relative: bool | None) -> None:
    with pytest.raises(errors.WrongBytesError, match=f"chunk {index} came"):
        stream(start=1, relative=relative).accept(index, 4096)


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


def test_the_cache_lets_the_least_recently_used_chunk_go() -> None:
    cache = chunks.ChunkCache(budget_bytes=8)
    keys = [chunks.ChunkKey(1, 4, index) for index in range(3)]
    cache.put(keys[0], b"aaaa")
    cache.put(keys[1], b"bbbb")
    assert cache.get(keys[0]) == b"aaaa"
    cache.put(keys[2], b"cccc")
    assert [cache.get(key) for key in keys] == [b"aaaa", None, b"cccc"]
    assert cache.used_bytes == 8


def test_a_chunk_larger_than_the_budget_is_not_kept() -> None:
    cache = chunks.ChunkCache(budget_bytes=2)
    cache.put(KEY, b"aaaa")
    assert cache.used_bytes == 0
    assert KEY not in cache


def test_a_dropped_file_takes_all_its_chunks_along() -> None:
    cache = chunks.ChunkCache(budget_bytes=100)
    cache.put(KEY, b"aaaa")
    cache.put(chunks.ChunkKey(2, 4, 0), b"bbbb")
    cache.drop_file(1)
    assert (KEY in cache, cache.used_bytes) == (False, 4)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9)), max_size=60))
def test_the_cache_never_holds_more_than_its_budget(puts: list[tuple[int, int]]) -> None:
    cache = chunks.ChunkCache(budget_bytes=16)
    for index, length in puts:
        cache.put(chunks.ChunkKey(1, 16, index), bytes(length))
        kept = [cache.get(chunks.ChunkKey(1, 16, place)) for place in range(6)]
        assert cache.used_bytes == sum(len(data) for data in kept if data is not None) <= 16

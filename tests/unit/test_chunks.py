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


def cached(cache: chunks.ChunkCache, *starts: int) -> list[chunks.Data | None]:
    found = [cache.find(1, start) for start in starts]
    return [chunk and chunk[1] for chunk in found]


def test_the_cache_lets_the_least_recently_used_chunk_go() -> None:
    cache = chunks.ChunkCache(budget_bytes=8)
    cache.put(1, 4, 0, b"aaaa")
    cache.put(1, 4, 4, b"bbbb")
    assert cache.find(1, 3) == (0, b"aaaa")
    cache.put(1, 4, 8, b"cccc")
    assert cached(cache, 0, 4, 8) == [b"aaaa", None, b"cccc"]
    assert cache.used_bytes == 8


def test_a_chunk_larger_than_the_budget_is_not_kept() -> None:
    cache = chunks.ChunkCache(budget_bytes=2)
    cache.put(1, 4, 0, b"aaaa")
    assert (cache.used_bytes, len(cache), cache.find(1, 0)) == (0, 0, None)


def test_a_dropped_file_takes_all_its_chunks_along() -> None:
    cache = chunks.ChunkCache(budget_bytes=100)
    cache.put(1, 4, 0, b"aaaa")
    cache.put(2, 4, 0, b"bbbb")
    cache.drop_file(1)
    assert (cache.find(1, 0), cache.used_bytes) == (None, 4)


def test_chunks_of_several_sizes_serve_one_file() -> None:
    cache = chunks.ChunkCache(budget_bytes=100)
    cache.put(1, 2, 6, b"gh")
    cache.put(1, 4, 0, b"abcd")
    held, missing = cache.collect(1, 1, 9, unit=2)
    assert missing == [(4, 6), (8, 9)]
    assert held == [(0, b"abcd"), (6, b"gh")]


def test_a_short_last_chunk_does_not_cover_what_lies_behind_it() -> None:
    cache = chunks.ChunkCache(budget_bytes=100)
    cache.put(1, 4, 4, b"xy")
    assert cache.find(1, 5) == (4, b"xy")
    assert cache.find(1, 6) is None


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 16)), max_size=60))
def test_the_cache_never_holds_more_than_its_budget(puts: list[tuple[int, int]]) -> None:
    cache = chunks.ChunkCache(budget_bytes=16)
    for place, length in puts:
        cache.put(1, 16, place * 16, bytes(length))
        kept = cached(cache, *(start * 16 for start in range(6)))
        assert cache.used_bytes == sum(len(data) for data in kept if data is not None) <= 16


SPANS = st.tuples(st.integers(0, 40), st.integers(0, 40)).map(lambda ends: (min(ends), max(ends)))


@given(st.lists(SPANS, max_size=8), SPANS)
def test_subtracting_ranges_is_subtracting_their_bytes(spans: list[chunks.Range], cut: chunks.Range) -> None:
    left: list[chunks.Range] = [(0, 41)]
    for span in [*spans, cut]:
        left = chunks.subtract(left, *span)
    gone = {place for begin, end in [*spans, cut] for place in range(begin, end)}
    assert {place for begin, end in left for place in range(begin, end)} == set(range(41)) - gone
    assert all(begin < end for begin, end in left)


@given(st.data())
def test_what_is_held_and_what_is_missing_make_the_whole(data: st.DataObject) -> None:
    content = bytes(index % 251 for index in range(200))
    cache = chunks.ChunkCache(budget_bytes=1000)
    for size in (4, 16):
        for start in data.draw(st.sets(st.integers(0, 199 // size))):
            cache.put(1, size, start * size, content[start * size : start * size + size])
    begin, end = data.draw(SPANS)
    end += 100
    held, missing = cache.collect(1, begin, end, unit=4)
    came = [(first, content[first:last]) for first, last in missing]
    assert bytes(chunks.assemble([*held, *came], begin, end)) == content[begin:end]
    assert all(cache.find(1, place) is None for first, last in missing for place in range(first, last))

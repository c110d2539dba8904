import collections
import itertools
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axxonfs.core import chunks
from axxonfs.core.cache import ChunkCache
from benchmarks.sharing import least_fetches

NOW_S = 1000.0
KIB = 1024


def put(cache: ChunkCache, file: int, start: int, data: bytes, now_s: float = NOW_S) -> None:
    cache.put(file, 4, start, data, now_s)


def kept(cache: ChunkCache, file: int, *starts: int) -> list[int]:
    return [start for start in starts if cache.find(file, start)]


def test_what_one_reader_leaves_behind_goes_from_its_newest_on() -> None:
    """Another reader begins where this one did."""
    cache = ChunkCache(budget_bytes=16)
    for start in range(0, 32, 4):
        cache.read(1, start, start + 4, NOW_S + start)
        put(cache, 1, start, b"abcd", NOW_S + start)
    assert kept(cache, 1, *range(0, 32, 4)) == [0, 4, 8, 12]


def counted_looks(cache: ChunkCache, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return when the cache looked over all of its chunks, from now on."""
    order: Callable[[float], list[tuple[int, int, int]]] = cache._least_needed_first
    looks: list[float] = []

    def look(now_s: float) -> list[tuple[int, int, int]]:
        looks.append(now_s)
        return order(now_s)

    monkeypatch.setattr(cache, "_least_needed_first", look)
    return looks


def test_one_look_over_all_chunks_says_of_several_that_they_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a copy would pay for all that is cached with each chunk that comes."""
    cache = ChunkCache(budget_bytes=4 * 64)
    looks = counted_looks(cache, monkeypatch)
    for number in range(64 + 90):
        cache.read(1, 4 * number, 4 * number + 4, NOW_S + number / 1000)
        put(cache, 1, 4 * number, b"abcd", NOW_S + number / 1000)
        assert cache.used_bytes <= cache.budget_bytes
    assert len(looks) == 90 / 9


@pytest.mark.parametrize("readers", [1, 2])
def test_also_where_readers_jump_or_share_a_file_not_every_chunk_is_worth_a_look(
    monkeypatch: pytest.MonkeyPatch, readers: int
) -> None:
    cache = ChunkCache(budget_bytes=4 * 640)
    looks = counted_looks(cache, monkeypatch)
    for number in range(640 + 110):
        place = number * 5000 * KIB if readers == 1 else 4 * number
        for reader in range(readers):
            cache.read(1, place, place + 4, NOW_S + number / 1000, by=reader)
        put(cache, 1, place, b"abcd", NOW_S + number / 1000)
    assert len(looks) == 110 / 11


def just_looked() -> ChunkCache:
    """Return a cache in which of 16 chunks of one run the last two are the next to go."""
    cache = ChunkCache(budget_bytes=4 * 16)
    for start in range(0, 4 * 17, 4):
        cache.read(1, start, start + 4, NOW_S - 1 + start / 1000)
        put(cache, 1, start, b"abcd", NOW_S - 1 + start / 1000)
    cache.leave(1, None)
    assert kept(cache, 1, 56, 60, 64) == [56, 60]
    return cache


def put_soon(cache: ChunkCache) -> None:
    put(cache, 2, 0, b"abcd", NOW_S - 0.9)


def test_an_old_look_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = just_looked()
    looks = counted_looks(cache, monkeypatch)
    put_soon(cache)
    assert looks == []
    put(cache, 2, 4, b"abcd", NOW_S)
    assert looks == [NOW_S]


def test_what_is_read_again_before_it_goes_stays() -> None:
    untouched, read_again = just_looked(), just_looked()
    read_again.read(1, 60, 64, NOW_S - 0.91)
    put_soon(untouched)
    put_soon(read_again)
    assert (kept(untouched, 1, 56, 60), kept(read_again, 1, 56, 60)) == ([56], [60])


def test_a_reader_who_jumps_changes_what_is_to_go() -> None:
    cache = just_looked()
    cache.read(1, 5000 * KIB, 5000 * KIB + 4, NOW_S - 0.93, by="who jumps")
    cache.read(1, 48, 52, NOW_S - 0.92, by="who jumps")
    cache.read(1, 52, 54, NOW_S - 0.91, by="who jumps")
    put_soon(cache)
    assert kept(cache, 1, 56, 60) == [56, 60]


def test_what_a_reader_comes_to_stays_and_what_it_comes_to_last_goes_first() -> None:
    cache = ChunkCache(budget_bytes=12)
    cache.read(1, 100, 104, NOW_S)
    cache.read(1, 104, 108, NOW_S + 1)
    for start in (108, 96, 112, 100, 116, 104):
        put(cache, 1, start, b"abcd", NOW_S + 2)
    assert kept(cache, 1, *range(96, 120, 4)) == [108, 112, 116]
    put(cache, 1, 120, b"abcd", NOW_S + 2)
    assert kept(cache, 1, *range(96, 124, 4)) == [108, 112, 116]


def test_of_two_readers_the_faster_one_is_served_from_further_ahead() -> None:
    cache = ChunkCache(budget_bytes=16)
    for file, took_s in ((1, 1), (2, 9)):
        cache.read(file, 0, 4, NOW_S + 10 - took_s)
        cache.read(file, 4, 8, NOW_S + 10)
    for start, file in itertools.product((8, 12, 16), (1, 2)):
        put(cache, file, start, b"abcd", NOW_S + 10)
    assert (kept(cache, 1, 8, 12, 16), kept(cache, 2, 8, 12, 16)) == ([8, 12, 16], [8])


def test_nobody_waits_for_a_reader_that_paused_for_long() -> None:
    cache = ChunkCache(budget_bytes=8)
    cache.read(1, 0, 2, NOW_S - 1)
    cache.read(1, 2, 4, NOW_S)
    put(cache, 1, 4, b"abcd")
    put(cache, 2, 0, b"abcd")
    cache.read(2, 0, 4, NOW_S + 60)
    put(cache, 2, 4, b"abcd", NOW_S + 60)
    assert (kept(cache, 1, 4), kept(cache, 2, 0, 4)) == ([], [0, 4])


def test_nobody_waits_for_a_reader_that_has_left_or_read_but_once() -> None:
    cache = ChunkCache(budget_bytes=8)
    for reader, steps in (("left", 2), ("read once", 1)):
        for step in range(steps):
            cache.read(1, 4 * step, 4 * step + 4, NOW_S + step, by=reader)
    cache.leave(1, "left")
    for now_s, start in enumerate((8, 12, 4), 1002):
        put(cache, 1, start, b"abcd", now_s)
    put(cache, 2, 0, b"abcd", NOW_S + 9)
    assert (kept(cache, 1, 4, 8, 12), kept(cache, 2, 0)) == ([8], [0])


def test_where_readers_follow_each_other_the_beginning_stays_for_the_next_one() -> None:
    """The last began a second ago: the next is expected sooner than these two are where more was fetched."""
    cache = ChunkCache(budget_bytes=16)
    for reader, began_s in (("first", 0), ("second", 1)):
        for step in range(2):
            cache.read(1, 4 * step, 4 * step + 4, NOW_S + began_s + step / 2, by=reader)
    put(cache, 1, 0, b"abcd", NOW_S + 1)
    for start in (60, 64, 68, 72):
        put(cache, 1, start, b"abcd", NOW_S + 2)
    assert kept(cache, 1, 0) == [0]


def test_the_head_and_the_tail_of_a_file_outlive_its_middle() -> None:
    """Players read the first bytes, the index at the end, and then what they play."""
    cache = ChunkCache(budget_bytes=48 * KIB)
    size, step = 100 * 1024 * KIB, 4 * KIB
    places = [0, step, size - 2 * step, size - step, *range(40 * 1024 * KIB, 60 * 1024 * KIB, step)]
    for now_s, place in enumerate(places, 1000):
        cache.read(1, place, place + step, now_s)
        cache.put(1, step, place, bytes(step), now_s)
    assert kept(cache, 1, *places[:5]) == places[:5]


def test_a_chunk_larger_than_the_budget_is_not_kept() -> None:
    cache = ChunkCache(budget_bytes=2)
    put(cache, 1, 0, b"aaaa")
    assert (cache.used_bytes, len(cache), cache.find(1, 0)) == (0, 0, None)


def test_a_smaller_budget_holds_at_the_next_look() -> None:
    cache = ChunkCache(budget_bytes=100)
    for start in range(0, 40, 4):
        put(cache, 1, start, b"abcd")
    cache.budget_bytes = 12
    cache.shrink(NOW_S)
    assert (cache.used_bytes, len(cache)) == (12, 3)


def test_what_nobody_read_before_it_went_is_told() -> None:
    cache = ChunkCache(budget_bytes=8)
    for start, wanted_bytes in ((0, 4), (4, 1), (8, 0)):
        wasted_bytes = cache.put(1, 4, start, b"abcd", NOW_S - start, wanted_bytes)
        assert wasted_bytes == (4 if start == 8 else 0)
    assert kept(cache, 1, 0, 4, 8) == [0, 4]
    cache.read(1, 5, 7, NOW_S)
    assert cache.drop_file(1) == 1


def test_a_reader_jumps_where_it_reads_far_from_where_it_was() -> None:
    cache = ChunkCache(budget_bytes=8)
    for place in (0, 4, 4096 * KIB, 4097 * KIB, 0):
        cache.read(1, place, place + 4, NOW_S, by="one")
    cache.read(1, 9000 * KIB, 9001 * KIB, NOW_S, by="another")
    assert cache.jumps == 1


def test_a_dropped_file_takes_all_its_chunks_along() -> None:
    cache = ChunkCache(budget_bytes=100)
    put(cache, 1, 0, b"aaaa")
    put(cache, 2, 0, b"bbbb")
    cache.drop_file(1)
    assert (cache.find(1, 0), cache.used_bytes) == (None, 4)


def test_chunks_of_several_sizes_serve_one_file() -> None:
    cache = ChunkCache(budget_bytes=100)
    cache.put(1, 2, 6, b"gh", NOW_S)
    cache.put(1, 4, 0, b"abcd", NOW_S)
    held, missing = cache.read(1, 1, 9, NOW_S)
    assert missing == [(4, 6), (8, 9)]
    assert held == [(0, b"abcd"), (6, b"gh")]


def test_a_short_last_chunk_does_not_cover_what_lies_behind_it() -> None:
    cache = ChunkCache(budget_bytes=100)
    cache.put(1, 4, 4, b"xy", NOW_S)
    assert cache.find(1, 5) == (4, b"xy")
    assert cache.find(1, 6) is None


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 16)), max_size=60))
def test_the_cache_never_holds_more_than_its_budget(puts: list[tuple[int, int]]) -> None:
    cache = ChunkCache(budget_bytes=16)
    for place, length in puts:
        cache.put(1, 16, place * 16, bytes(length), NOW_S)
        chunks_kept = [found for start in range(6) if (found := cache.find(1, start * 16))]
        assert cache.used_bytes == sum(len(data) for _, data in chunks_kept) <= 16


@given(st.data())
def test_what_is_held_and_what_is_missing_make_the_whole(data: st.DataObject) -> None:
    content = bytes(index % 251 for index in range(200))
    cache = ChunkCache(budget_bytes=1000)
    for size in (4, 16):
        for start in data.draw(st.sets(st.integers(0, 199 // size))):
            cache.put(1, size, start * size, content[start * size : start * size + size], NOW_S)
    begin, end = data.draw(st.tuples(st.integers(0, 99), st.integers(100, 140)))
    held, missing = cache.read(1, begin, end, NOW_S)
    came = [(first, content[first:last]) for first, last in missing]
    assert bytes(chunks.assemble([*held, *came], begin, end)) == content[begin:end]
    assert all(cache.find(1, place) is None for first, last in missing for place in range(first, last))
    assert cache.covers(1, begin, end) == (not missing)


# -- against the best possible cache ---------------------------------------------

BLOCK = 256 * KIB
HIT_S, MISS_S = 0.25e-3, 0.9e-3  # of a block, on one processor


def shared(readers: int, blocks: int, capacity: int, stagger_s: float) -> tuple[int, int]:
    """Let readers of one file begin one after the other and take turns; return the misses, and the fewest possible."""
    cache = ChunkCache(capacity * BLOCK)
    now_s, misses, begun = 0.0, 0, 0
    turns: collections.deque[int] = collections.deque()
    places: dict[int, int] = {}
    trace: list[int] = []
    while begun < readers or turns:
        while begun < readers and (begun * stagger_s <= now_s or not turns):
            now_s = max(now_s, begun * stagger_s)
            places[begun] = 0
            turns.append(begun)
            begun += 1
        reader = turns.popleft()
        block = places[reader]
        trace.append(block)
        _, missing = cache.read(1, block * BLOCK, (block + 1) * BLOCK, now_s, by=reader)
        now_s += HIT_S
        if missing:
            misses += 1
            now_s += MISS_S
            cache.put(1, BLOCK, block * BLOCK, bytes(BLOCK), now_s)
        places[reader] += 1
        if places[reader] < blocks:
            turns.append(reader)
    return misses, least_fetches(trace, capacity)


@pytest.mark.parametrize("stagger_s", [0.003, 0.01, 0.03, 0.1])
@pytest.mark.parametrize("readers", [2, 5, 16])
def test_staggered_readers_fetch_little_more_than_with_the_best_possible_cache(readers: int, stagger_s: float) -> None:
    misses, least = shared(readers, blocks=256, capacity=32, stagger_s=stagger_s)
    assert misses <= 1.1 * least


@settings(max_examples=30, deadline=None)
@given(
    readers=st.integers(1, 8),
    blocks=st.integers(8, 64),
    spare=st.integers(4, 28),
    stagger_s=st.floats(0.0005, 0.05),
)
def test_no_timing_makes_sharing_much_worse_than_the_best_possible(
    readers: int, blocks: int, spare: int, stagger_s: float
) -> None:
    capacity = readers + spare
    misses, least = shared(readers, blocks, capacity, stagger_s)
    assert misses <= 1.25 * least + capacity

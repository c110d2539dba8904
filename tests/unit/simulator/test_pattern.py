from hypothesis import given
from hypothesis import strategies as st

from axxonfs.simulator.pattern import PAGE_BYTES, pattern

WHOLE = pattern(7, 0, 5 * PAGE_BYTES)


@given(st.integers(0, len(WHOLE)), st.integers(0, len(WHOLE)))
def test_any_range_is_the_slice_of_the_whole(one: int, other: int) -> None:
    start, end = sorted((one, other))
    assert pattern(7, start, end - start) == WHOLE[start:end]


def test_no_page_is_like_another_one_however_it_is_shifted() -> None:
    pages = {WHOLE[start : start + PAGE_BYTES] for start in range(0, len(WHOLE), PAGE_BYTES)}
    assert len(pages) == 5
    assert all(WHOLE[shift : shift + PAGE_BYTES] not in pages for shift in range(1, PAGE_BYTES))


def test_another_seed_gives_other_bytes() -> None:
    assert pattern(8, 0, PAGE_BYTES) != pattern(7, 0, PAGE_BYTES)


def test_bytes_beyond_four_gigabytes_are_as_good_as_any() -> None:
    far = 1 << 40
    assert pattern(7, far + 3, 10_000) == pattern(7, far, 10_003)[3:]
    assert pattern(7, far, PAGE_BYTES) != pattern(7, 0, PAGE_BYTES)

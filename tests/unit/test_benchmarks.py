import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.bars import BARS, Bar
from benchmarks.report import ratio_of
from benchmarks.sharing import least_fetches
from benchmarks.sheet import QUICK, Figure, Sheet, percentile


def fewest(blocks: list[int], capacity: int) -> int:
    """Try every choice of what to drop; what was just fetched may go, too."""
    states: dict[tuple[int, ...], int] = {(): 0}
    for block in blocks:
        after: dict[tuple[int, ...], int] = {}
        for held, misses in states.items():
            here = sorted({*held, block})
            for choice in itertools.combinations(here, min(capacity, len(here))):
                after[choice] = min(after.get(choice, len(blocks)), misses + (block not in held))
        states = after
    return min(states.values())


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.integers(1, 4))
def test_nobody_needs_fewer_fetches_than_the_least_possible(blocks: list[int], capacity: int) -> None:
    assert least_fetches(blocks, capacity) == fewest(blocks, capacity)


def test_readers_within_a_cache_share_every_fetch() -> None:
    trace = [block for start in range(20) for block in (start, start - 3) if block >= 0]
    assert least_fetches(trace, 4) == 20
    assert least_fetches(trace, 3) > 20


def test_bars_have_names_of_their_own() -> None:
    assert len({bar.name for bar in BARS}) == len(BARS)


@pytest.mark.parametrize(("at_least", "met"), [(True, [False, True, True]), (False, [True, True, False])])
def test_a_bar_is_met_at_its_limit_and_on_one_side_of_it(at_least: bool, met: list[bool]) -> None:  # noqa: FBT001
    bar = Bar("x", "", 2.0, at_least=at_least)
    assert [bar.met(value) for value in (1.9, 2.0, 2.1)] == met


def test_rounds_take_turns() -> None:
    sheet, numbers = Sheet(QUICK, say=print), itertools.count()
    takes = {"A": lambda: float(next(numbers)), "B": lambda: float(next(numbers))}
    assert sheet.rounds(takes, times=2) == {"A": [0.0, 2.0], "B": [1.0, 3.0]}
    # What comes before a sample comes before each.
    assert sheet.rounds(takes, times=2, before=lambda: next(numbers)) == {"A": [5.0, 9.0], "B": [7.0, 11.0]}


def test_a_value_of_no_bar_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="no bar"):
        Sheet(QUICK, say=print).bar("sequential", 1.0)


def test_a_percentile_is_a_sample() -> None:
    assert percentile(list(range(100, 0, -1)), 99) == 100
    assert percentile([7.0], 99) == 7.0


def test_a_ratio_compares_what_did_the_same() -> None:
    figures = [
        Figure("sequential", "0 ms", "axxonfs", "MB/s", (1.0, 3.0, 2.0)),
        Figure("sequential", "0 ms", "rclone", "MB/s", (4.0,)),
        Figure("sequential", "20 ms", "sshfs", "MB/s", (4.0,)),
        Figure("opening", "20 ms", "axxonfs: head", "ms", (30.0,)),
        Figure("opening", "20 ms", "rclone: head", "ms", (60.0,)),
        Figure("opening", "20 ms", "rclone: tail", "ms", (60.0,)),
    ]
    assert [ratio_of("axxonfs", figure, figures) for figure in figures] == [None, 0.5, None, None, 0.5, None]

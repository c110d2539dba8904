import pytest
from hypothesis import given
from hypothesis import strategies as st

from axxonfs.simulator.times import parse_wire_time, wire_time

# 2026-05-11 08:08:14.064
INSTANT_MS = 1_778_486_894_064


@pytest.mark.parametrize(
    ("digits", "text"),
    [
        (0, "20260511T080814"),
        (3, "20260511T080814.064"),
        (6, "20260511T080814.064000"),
        (9, "20260511T080814.064000000"),
    ],
)
def test_an_instant_is_written_with_as_many_digits_as_asked_for(digits: int, text: str) -> None:
    assert wire_time(INSTANT_MS, digits) == text


def test_a_fraction_of_zero_is_left_out_where_that_is_asked_for() -> None:
    assert wire_time(INSTANT_MS - 64, drops_zero=True) == "20260511T080814"
    assert wire_time(INSTANT_MS, drops_zero=True) == "20260511T080814.064000"


@given(st.integers(0, 4_000_000_000_000), st.sampled_from([3, 6, 9]))
def test_what_is_written_is_read_again(instant_ms: int, digits: int) -> None:
    assert parse_wire_time(wire_time(instant_ms, digits)) == instant_ms


@pytest.mark.parametrize(
    "text",
    ["", "past", "20260511", "2026-05-11T08:08:14", "20260511T080814Z", "20260511T080814.", "20261311T080814", "1778"],
)
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"of the form|time data"):
        parse_wire_time(text)

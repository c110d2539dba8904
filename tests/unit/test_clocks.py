"""What a login says of the server's clock."""

import datetime as dt

import pytest

from axxonfs.core.clocks import clock_difference

NOON = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
NOON_S = NOON.timestamp()


@pytest.mark.parametrize("ahead_s", [0.0, 0.4, -0.4, 90.0, -7200.0])
@pytest.mark.parametrize("round_trip_s", [0.0, 3.0])
@pytest.mark.parametrize("answered", [0.0, 0.5, 1.0])
def test_the_truth_is_within_the_uncertainty(ahead_s: float, round_trip_s: float, answered: float) -> None:
    server = NOON + dt.timedelta(seconds=ahead_s + round_trip_s * answered)
    expires_at = (server + dt.timedelta(seconds=300)).strftime("%Y%m%dT%H%M%S")
    found = clock_difference(expires_at, 300, asked_at_s=NOON_S, answered_at_s=NOON_S + round_trip_s)
    assert found is not None
    assert abs(found.ahead_s - ahead_s) <= found.uncertainty_s
    assert found.uncertainty_s == 0.5 + round_trip_s / 2
    assert found.measured_at_s == NOON_S + round_trip_s


@pytest.mark.parametrize(("expires_at", "expires_in_s"), [("", 300), ("tomorrow", 300), ("20261122T120500", 0)])
def test_an_answer_without_both_times_says_nothing(expires_at: str, expires_in_s: int) -> None:
    assert clock_difference(expires_at, expires_in_s, asked_at_s=NOON_S, answered_at_s=NOON_S) is None

from hypothesis import given
from hypothesis import strategies as st

from axxonfs.core.latencies import Latencies


def test_there_is_no_percentile_of_nothing() -> None:
    assert (Latencies().count, Latencies().percentile_s(50)) == (0, None)


@given(st.lists(st.floats(1e-4, 120.0), min_size=1, max_size=200), st.sampled_from([0, 1, 50, 95, 99, 100]))
def test_a_percentile_is_that_of_the_samples_or_a_fifth_higher(samples_s: list[float], percent: int) -> None:
    latencies = Latencies()
    for sample_s in samples_s:
        latencies.note(sample_s)
    rank = max(1, -(-len(samples_s) * percent // 100))
    exact_s = sorted(samples_s)[rank - 1]
    found_s = latencies.percentile_s(percent)
    assert found_s is not None
    assert latencies.count == len(samples_s)
    assert exact_s <= found_s <= max(1.21 * exact_s, 1e-4)


def test_what_takes_longer_than_the_last_bound_counts_as_that() -> None:
    latencies = Latencies()
    latencies.note(1e6)
    assert latencies.percentile_s(99) == Latencies.BOUNDS_S[-1]

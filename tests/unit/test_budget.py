from hypothesis import given
from hypothesis import strategies as st

from axxonfs.core.budget import Budget, waiting_bytes
from axxonfs.core.line import IN_FLIGHT_BYTES, within

MIB = 1024 * 1024


@given(
    total=st.integers(4, 4096).map(lambda mib: mib * MIB),
    max_streams=st.integers(1, 256),
    steps=st.lists(st.tuples(st.booleans(), st.sampled_from(IN_FLIGHT_BYTES), st.booleans()), max_size=300),
    ending=st.sampled_from((0, *IN_FLIGHT_BYTES)),
)
def test_streams_and_cache_never_hold_more_than_the_budget(
    total: int, max_streams: int, steps: list[tuple[bool, int, bool]], ending: int
) -> None:
    budget, open_streams = Budget(total, max_streams), list[int]()
    assert 1 <= budget.max_streams <= max_streams
    for seek, wanted, ends in steps:
        if ends and open_streams:
            budget.give_back(open_streams.pop())
        elif len(open_streams) < budget.max_streams:
            open_streams.append(within(min(wanted, budget.most_in_flight(seek=seek, ending_bytes=ending))))
            budget.take(open_streams[-1])
        held = sum(step + waiting_bytes(step) for step in open_streams)
        assert held + budget.cache_bytes == total
        assert budget.cache_bytes >= total * 3 // (32 if ending else 16)


def test_a_long_run_may_take_what_streams_may_have_and_a_seek_a_part_of_it() -> None:
    budget = Budget(96 * MIB, 16)
    assert within(budget.most_in_flight(seek=False)) == IN_FLIGHT_BYTES[4]
    assert within(budget.most_in_flight(seek=True)) == IN_FLIGHT_BYTES[3]
    budget.take(IN_FLIGHT_BYTES[4])
    assert within(budget.most_in_flight(seek=False)) == IN_FLIGHT_BYTES[3]
    assert within(budget.most_in_flight(seek=True)) == IN_FLIGHT_BYTES[2]


def test_a_run_has_the_same_in_flight_by_default_beside_a_stream_that_began_as_a_seek() -> None:
    budget = Budget(64 * MIB, 16)
    budget.take(IN_FLIGHT_BYTES[2])
    assert within(budget.most_in_flight(seek=False)) == IN_FLIGHT_BYTES[4]


def test_runs_and_streams_that_take_all_they_may_leave_the_cache_its_part() -> None:
    budget = Budget(64 * MIB, 16)
    for _ in range(budget.max_streams):
        budget.take(within(budget.most_in_flight(seek=False)))
    assert 12 * MIB <= budget.cache_bytes < 13 * MIB


def test_a_seek_counts_with_what_is_about_to_end_and_a_run_does_not() -> None:
    budget = Budget(64 * MIB, 16)
    run = within(budget.most_in_flight(seek=False))
    budget.take(run)
    assert within(budget.most_in_flight(seek=True)) < IN_FLIGHT_BYTES[2]
    assert within(budget.most_in_flight(seek=True, ending_bytes=run)) == IN_FLIGHT_BYTES[2]
    assert budget.most_in_flight(seek=False, ending_bytes=run) == budget.most_in_flight(seek=False)


def test_streams_that_ended_make_room_for_others() -> None:
    budget = Budget(16 * MIB, 4)
    before = budget.most_in_flight(seek=False)
    budget.take(IN_FLIGHT_BYTES[2])
    assert budget.most_in_flight(seek=False) < before
    budget.give_back(IN_FLIGHT_BYTES[2])
    assert (budget.cache_bytes, budget.streams_bytes, budget.most_in_flight(seek=False)) == (16 * MIB, 0, before)


def test_a_small_budget_bounds_the_number_of_streams() -> None:
    assert Budget(4 * MIB, 256).max_streams < 20
    assert Budget(4 * MIB, 8).max_streams == 8

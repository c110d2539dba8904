import math

import pytest
import trio

from axxonfs.remote.deadlines import wait_until

SOON_S, LATE_S = 0.25, 0.1  # a deadline is noticed so late at most

# The clock jumps, so that nothing is waited for and the bounds are exact.
pytestmark = pytest.mark.usefixtures("autojump_clock")


async def test_an_event_in_time_ends_the_wait() -> None:
    event, began_s = trio.Event(), trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_until, event, math.inf)
        await trio.sleep(SOON_S)
        event.set()
    assert SOON_S <= trio.current_time() - began_s < SOON_S + LATE_S


async def test_a_deadline_ends_the_wait_and_only_its_own() -> None:
    late = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_until, late, math.inf)
        began_s = trio.current_time()
        await wait_until(trio.Event(), began_s + SOON_S)
        assert SOON_S <= trio.current_time() - began_s <= SOON_S + LATE_S
        assert not late.is_set()
        late.set()


async def test_a_deadline_is_noticed_again_after_a_time_without_any() -> None:
    for _ in range(2):
        began_s = trio.current_time()
        await wait_until(trio.Event(), began_s + SOON_S)
        assert SOON_S <= trio.current_time() - began_s <= SOON_S + LATE_S
        await trio.sleep(2 * LATE_S)  # until nobody looks any more


async def test_a_wait_that_is_cancelled_sets_nothing() -> None:
    event = trio.Event()
    with trio.move_on_after(SOON_S) as scope:
        await wait_until(event, trio.current_time() + 2 * SOON_S)
    assert scope.cancelled_caught
    await trio.sleep(2 * SOON_S)
    assert not event.is_set()

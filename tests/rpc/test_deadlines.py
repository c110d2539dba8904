import math

import trio
import trio.testing

from axxonfs.remote.deadlines import wait_until

# A deadline may be noticed a tenth of a second late; a busy machine adds to it.
SOON_S, LATE_S = 0.05, 20.0


async def test_an_event_in_time_ends_the_wait() -> None:
    event = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_until, event, math.inf)
        await trio.testing.wait_all_tasks_blocked()
        event.set()


async def test_a_deadline_ends_the_wait_and_only_its_own() -> None:
    late = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait_until, late, math.inf)
        began_s = trio.current_time()
        with trio.fail_after(LATE_S):
            await wait_until(trio.Event(), began_s + SOON_S)
        assert trio.current_time() >= began_s + SOON_S
        assert not late.is_set()
        late.set()


async def test_a_deadline_is_noticed_again_after_a_time_without_any() -> None:
    for _ in range(2):
        with trio.fail_after(LATE_S):
            await wait_until(trio.Event(), trio.current_time() + SOON_S)
        await trio.sleep(4 * SOON_S)


async def test_a_wait_that_is_cancelled_sets_nothing() -> None:
    event = trio.Event()
    with trio.move_on_after(SOON_S) as scope:
        await wait_until(event, trio.current_time() + 2 * SOON_S)
    assert scope.cancelled_caught
    await trio.sleep(8 * SOON_S)
    assert not event.is_set()

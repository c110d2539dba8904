"""What reading means for a session and its server, with all that reads but gRPC: see `wire_model`."""

import gc
import weakref

import pytest
import trio
import trio.testing

from axxonfs.core.chunks import KIB
from axxonfs.core.line import IN_FLIGHT_BYTES, MIB, NARROW_BYTES
from axxonfs.reading.pool import Streams
from tests.unit.wire_model import read, result_of, wired

BLOCK = 256 * KIB


async def test_a_download_counts_as_use_of_the_session_when_it_begins(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    """Whether the rest of it does is not known, and a copy may take longer than the server keeps a result."""
    touched: list[float] = []
    async with wired(monkeypatch, cache_bytes=48 * MIB, round_trip_s=0.02, bytes_per_s=1e6) as (wire, pool):
        result = result_of(pool, 32 * MIB, lambda: touched.append(trio.current_time()))
        for offset in range(0, 32 * MIB, BLOCK):
            await read(result, offset, BLOCK)
        assert len(touched) == len(wire.streams)
        assert touched[-1] < trio.current_time() / 2


async def test_a_read_that_takes_a_narrow_line_long_is_brought_by_one_stream(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    """A READ of a MiB at 320 kbit/s: longer than unused streams live, and within the read timeout."""
    async with wired(monkeypatch, cache_bytes=48 * MIB, round_trip_s=0.1, bytes_per_s=40e3) as (wire, pool):
        result = result_of(pool, 32 * MIB)

        async def keep_house() -> None:
            while True:
                await trio.sleep(1.0)
                result.stop_idle()

        wire.nursery.start_soon(keep_house)
        began_s = trio.current_time()
        await read(result, 0, MIB)
        assert trio.current_time() - began_s < 30.0
        assert len(wire.streams) == 1


async def test_a_stream_that_begins_in_what_is_here_still_brings_what_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    """Who moves backwards gets one that begins earlier; that is in vain where the cache has more than its window."""
    async with wired(monkeypatch, cache_bytes=64 * MIB, round_trip_s=0.02, bytes_per_s=500e6) as (wire, pool):
        result = result_of(pool, 512 * MIB)
        await read(result, 98 * MIB, MIB)
        await trio.sleep(pool.limits.idle_s)
        result.stop_idle()
        pool.budget.take(int(4 * pool.budget.most_in_flight(seek=True) - 3.5 * NARROW_BYTES))
        await read(result, 102 * MIB, 64 * KIB)
        await read(result, 101 * MIB, 64 * KIB)
        before = len(wire.streams)
        with trio.fail_after(1.0):
            await read(result, 100 * MIB, 64 * KIB)
        assert [offset for offset, _ in wire.streams[before:]] == [98 * MIB]


async def test_a_result_without_streams_is_not_held_by_the_pool(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    async with wired(monkeypatch, cache_bytes=64 * MIB, round_trip_s=0.02, bytes_per_s=500e6) as (_, pool):
        result = result_of(pool, MIB)
        await read(result, 0, MIB)
        result.close()
        held = weakref.ref(result)
        del result
        await trio.testing.wait_all_tasks_blocked()
        gc.collect()
        assert held() is None


async def test_streams_of_results_that_nobody_has_open_make_room_for_a_seek(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    """They stay for a while, for whoever opens the result again, and have megabytes in flight."""
    async with wired(monkeypatch, cache_bytes=64 * MIB, round_trip_s=0.02, bytes_per_s=500e6) as (_, pool):
        taken: list[int] = []
        take = pool.take

        def noted(reader: Streams, in_flight_bytes: int) -> None:
            taken.append(in_flight_bytes)
            take(reader, in_flight_bytes)

        monkeypatch.setattr(pool, "take", noted)
        closed, still_open, other = (result_of(pool, 512 * MIB) for _ in range(3))
        for result in (closed, still_open):
            for place in range(1, 401, 80):
                await read(result, place * MIB, BLOCK)
        closed.leave(None)
        pool.budget.take(int(4 * pool.budget.most_in_flight(seek=True) - 3 * pool.line.seek_bytes))
        assert pool.budget.most_in_flight(seek=True) < pool.line.seek_bytes
        kept = still_open.unused()
        await read(other, 301 * MIB, BLOCK)
        assert taken[-1] == pool.line.seek_bytes
        assert not closed.unused()
        assert still_open.unused() == kept != []


async def test_a_copy_has_as_much_in_flight_as_ever_soon_after_others_were_looked_into(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.abc.Clock
) -> None:
    async with wired(monkeypatch, cache_bytes=64 * MIB, round_trip_s=0.02, bytes_per_s=1e9) as (wire, pool):
        looked_into = [result_of(pool, 512 * MIB) for _ in range(3)]
        for result in looked_into:
            for place in range(1, 401, 80):
                await read(result, place * MIB, BLOCK)
            result.leave(None)
        await trio.sleep(pool.limits.wide_idle_s)
        for result in looked_into:
            result.stop_idle()
        await trio.testing.wait_all_tasks_blocked()
        await read(result_of(pool, 512 * MIB), 0, MIB)
        assert wire.streams[-1][1].in_flight_bytes == IN_FLIGHT_BYTES[4]

"""A reader that reads on and on has the stream itself: the same bytes, whatever comes between."""

import collections
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import pytest

from axxonfs.core import line
from axxonfs.core.chunks import Data
from axxonfs.core.line import MIB
from axxonfs.fsspec import AxxonFileSystem, client
from axxonfs.reading.loans import Loan
from tests.rpc.file_systems import Site, made_site

SIZE = 64 * MIB + 77
STEP = MIB // 4


@pytest.fixture
def lent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Where the chunks begin that were taken from lent streams; every line counts as one that deserves large chunks."""
    places: list[int] = []
    take = Loan.take

    def noted(loan: Loan, start: int) -> Data | None:
        data = take(loan, start)
        if data is not None:
            places.append(start)
        return data

    monkeypatch.setattr(Loan, "take", noted)
    monkeypatch.setattr(line, "FAST_BYTES_PER_S", 0)
    return places


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with made_site(tmp_path) as site:
        # Slower than any reader: whoever reads on and on waits, and so gets a stream of large chunks.
        site.sim.faults.add(method="DownloadFile", action="slow", delay_s=0.002, times=1000)
        yield site


def read_from(fs: AxxonFileSystem, path: str, start: int = 0, stop: int = SIZE) -> bytes:
    pieces = []
    with fs.open(path) as file:
        file.seek(start)
        while start < stop and (piece := file.read(min(STEP, stop - start))):
            pieces.append(piece)
            start += len(piece)
    return b"".join(pieces)


def test_a_run_takes_each_chunk_from_the_stream_once(site: Site, lent: list[int]) -> None:
    fs = site.fs()
    path, data = site.hold_one(fs, SIZE)
    assert read_from(fs, path) == data
    assert lent
    assert max(collections.Counter(lent).values()) == 1
    # What was taken is known to the loop as well, once the file is closed: it was served, and fetched once.
    fs.ls("")
    assert fs.counters().served_bytes == SIZE
    assert SIZE <= fs.counters().fetched_bytes < SIZE + 8 * MIB


def test_what_a_run_has_taken_is_in_the_cache_for_others(site: Site, lent: list[int]) -> None:
    fs = site.fs()
    path, data = site.hold_one(fs, SIZE)
    with fs.open(path) as file:
        while not lent:
            assert file.read(STEP)
        place = lent[0]
    before = fs.counters().fetched_bytes
    assert fs.cat_file(path, place, place + 100) == data[place : place + 100]
    assert fs.counters().fetched_bytes - before < 32 * MIB


def test_of_a_file_that_the_cache_cannot_hold_a_run_keeps_nothing(site: Site, lent: list[int]) -> None:
    fs = site.fs(cache_size="16M")
    path, data = site.hold_one(fs, SIZE)
    assert read_from(fs, path) == data
    assert lent
    fs.ls("")  # a turn of the loop, which hears of the last chunks
    cache = fs._client._pool.cache
    kept = [place for place in lent if cache.find(1, place)]
    assert not kept
    assert fs.counters().served_bytes == SIZE
    fs.close()


def test_a_lent_stream_that_falls_silent_costs_the_read_timeout_and_no_more(
    site: Site, lent: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line, "STALL_TIMEOUTS_S", (60.0, 60.0))
    silence = site.sim.faults.add(method="DownloadFile", action="stall", after_chunks=10**9, times=1000)
    fs = site.fs(read_timeout="5s")
    path, _ = site.hold_one(fs, SIZE)
    with fs.open(path) as file:
        while not lent:
            assert file.read(STEP)
        silence.after_chunks = 40
        with pytest.raises(OSError, match=r"brought nothing for 5 s|deadline"):  # noqa: PT012 - each read may be the one
            while file.read(STEP):
                began_s = time.monotonic()
        assert file.tell() == lent[-1] + MIB
    assert time.monotonic() - began_s < 30
    fs.close()


def test_what_was_waited_for_a_lent_chunk_counts_for_the_deadline_of_its_read(site: Site) -> None:
    fs = site.fs()
    path, data = site.hold_one(fs, SIZE)
    info = fs.info(path)
    # Longer than it takes to notice a deadline, and less than the read timeout.
    site.sim.faults.add(method="DownloadFile", action="delay", delay_s=2.0)
    with pytest.raises(OSError, match="deadline"):
        fs.read_pieces(info, 0, MIB, 3600.0)
    assert b"".join(fs.read_pieces(info, 0, MIB)) == data[:MIB]


def test_a_pause_of_the_server_costs_a_lent_stream_nothing(
    site: Site, lent: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "HOUSEKEEPING_S", 0.1)
    monkeypatch.setattr(line, "STALL_TIMEOUTS_S", (60.0, 60.0))
    pause = site.sim.faults.add(method="DownloadFile", action="stall", after_chunks=10**9, times=1000)
    fs = site.fs()
    path, data = site.hold_one(fs, SIZE)
    with fs.open(path) as file:
        while not lent:
            assert file.read(STEP)
        opened, place = fs.counters().streams_opened, file.tell()
        pause.after_chunks = 30
        # Longer than a stream that nobody uses stays.
        threading.Timer(1.5, site.sim.faults.clear).start()
        assert file.read() == data[place:]
    assert fs.counters().streams_opened == opened
    fs.close()


def test_a_file_that_is_lent_a_stream_may_seek_and_read_on(site: Site, lent: list[int]) -> None:
    fs = site.fs()
    path, data = site.hold_one(fs, SIZE)
    with fs.open(path) as file:
        while not lent:
            assert file.read(STEP)
        for place in (5 * MIB + 3, file.tell() + 7 * MIB + 1, 0, lent[0]):
            file.seek(place)
            assert file.read(3 * MIB) == data[place : place + 3 * MIB]
        place = file.tell()
        assert file.read() == data[place:]


def test_many_readers_of_one_result_take_the_stream_from_each_other(site: Site, lent: list[int]) -> None:
    fs = site.fs()
    path, data = site.hold_one(fs, SIZE)
    starts = [0, 0, MIB + 1, 17 * MIB]
    with futures.ThreadPoolExecutor(len(starts)) as pool:
        read = list(pool.map(lambda start: read_from(fs, path, start), starts))
    assert read == [data[start:] for start in starts]


@pytest.mark.parametrize("action", ["cut", "end"])
def test_a_lent_stream_that_breaks_is_gone_on_with(site: Site, lent: list[int], action: Any) -> None:
    # Every stream breaks after forty chunks: of 64 KiB, and then of a MiB.
    site.sim.faults.add(method="DownloadFile", action=action, after_chunks=40, times=1000)
    fs = site.fs()
    path, data = site.hold_one(fs, SIZE)
    assert read_from(fs, path) == data
    assert lent
    assert fs.counters().retries


def test_a_reader_that_pauses_goes_on_where_it_was(site: Site, lent: list[int]) -> None:
    fs = site.fs()
    path, data = site.hold_one(fs, SIZE)
    with fs.open(path) as file:
        while not lent:
            assert file.read(STEP)
        place = file.tell()
        # As a pause of seconds does: whatever the loop holds for this file is given up.
        client = fs._client
        for kept in client._readers._kept.values():
            client._loop.call(_stop_all, kept.reader)
        assert file.read() == data[place:]


@pytest.mark.parametrize("is_lent", [True, False])
def test_a_file_that_is_closed_leaves_nothing_on_its_way(
    site: Site,
    lent: list[int],
    monkeypatch: pytest.MonkeyPatch,
    is_lent: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    monkeypatch.setattr(client, "HOUSEKEEPING_S", 3600.0)  # which ends streams that nobody uses
    fs = site.fs()
    path, _ = site.hold_one(fs, SIZE)
    with fs.open(path) as file:
        while not (lent if is_lent else fs.counters().wide_streams_opened):
            assert file.read(STEP)
        assert bool(lent) == is_lent
        assert fs.counters().streams_open
    deadline_s = time.monotonic() + 30
    while fs.counters().streams_open and time.monotonic() < deadline_s:
        fs.ls("")  # a turn of the loop
    assert fs.counters().streams_open == 0
    assert fs.counters().fetched_bytes < SIZE // 2


def test_who_closes_a_file_does_not_end_the_stream_that_another_is_lent(site: Site, lent: list[int]) -> None:
    fs = site.fs()
    path, data = site.hold_one(fs, SIZE)
    with fs.open(path) as file:
        while not lent:
            assert file.read(STEP)
        opened, place = fs.counters().streams_opened, file.tell()
        with fs.open(path) as other:
            assert other.read(1) == data[:1]
        assert file.read(8 * MIB) == data[place : place + 8 * MIB]
        assert fs.counters().streams_opened == opened


def test_a_file_system_that_is_closed_in_a_run_connects_anew(site: Site, lent: list[int]) -> None:
    fs = site.fs()
    path, data = site.hold_one(fs, SIZE)
    with fs.open(path) as file:
        while not lent:
            assert file.read(STEP)
        fs.close()
        place = file.tell()
        assert file.read() == data[place:]


async def _stop_all(reader: object) -> None:
    reader._apply(reader._policy.stop_all())  # type: ignore[attr-defined]

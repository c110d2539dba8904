"""Servers that answer otherwise, break off, stall, lie or lose a session: right bytes or an error, never others."""

import dataclasses
import errno
import mmap
import os
import random
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from axxonfs.simulator.calls import CallEntry
from axxonfs.simulator.switches import Switches
from tests.fuse.harness import QUICK, Rig, pattern_file, wait_until

KIB, MIB = 1024, 1024 * 1024
CHUNK = 256 * KIB
SIZE = 5 * MIB + 1000

Rigs = Callable[..., Rig]


def switched(rigs: Rigs, **switches: Any) -> Rig:
    return rigs(switches=Switches(**switches), options=QUICK)


def read_at(path: Path, offset: int, size: int) -> bytes:
    """Read with one call that the kernel does not enlarge."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
    with mmap.mmap(-1, size) as buffer:
        try:
            return buffer[: os.preadv(descriptor, [buffer], offset)]
        finally:
            os.close(descriptor)


def check_everywhere(rig: Rig, path: Path) -> None:
    """Read the tail, the head, the middle and the whole."""
    truth = rig.truth(path)
    for offset in (max(0, len(truth) - 1000), 0, len(truth) // 2):
        assert read_at(path, offset, 1000) == truth[offset : offset + 1000]
    assert path.read_bytes() == truth


# -- what the contract leaves open -----------------------------------------------------


@pytest.mark.parametrize(
    "switches",
    [
        {"chunk_index": "relative"},
        {"chunk_size_limit_kb": 64},
        {"chunk_size_limit_kb": 100, "chunk_index": "relative"},
        {"empty_last_chunk": True},
        {"empty_last_chunk": True, "chunk_index": "relative"},
        {"past_end": "OUT_OF_RANGE"},
        {"past_end": "INVALID_ARGUMENT"},
        {"session_id": "uuid", "unknown_fields": True},
    ],
    ids=str,
)
def test_results_are_right_whatever_the_server_does_where_the_contract_is_open(
    rigs: Rigs, switches: dict[str, Any]
) -> None:
    rig = switched(rigs, **switches)
    sizes = (SIZE, 4 * CHUNK, CHUNK + 64 * KIB, 8 * CHUNK + 100 * KIB, 1)
    for path in rig.results(rig.hold(*map(pattern_file, sizes))):
        check_everywhere(rig, path)


@pytest.mark.parametrize("path", ["0b7c/1.mkv", "Server_DeviceIpint.1[x-y].mkv", "C:\\a b\\é.mkv", "..", "/etc/passwd"])
def test_a_file_id_of_any_form_is_handed_back_as_it_came(shared_rig: Rig, path: str) -> None:
    [result] = shared_rig.results(shared_rig.hold(pattern_file(SIZE, path=path)))
    assert os.getxattr(result, "user.axxonfs.path") == path.encode()
    assert result.read_bytes() == shared_rig.truth(result)


@pytest.mark.parametrize("limit_kb", [16, 100])
def test_a_clamped_chunk_size_is_learnt_while_many_read_at_once(rigs: Rigs, limit_kb: int) -> None:
    rig = switched(rigs, chunk_size_limit_kb=limit_kb)
    path = rig.hold_bytes(SIZE)
    truth = rig.truth(path)
    with ThreadPoolExecutor(8) as pool:
        offsets = [number * SIZE // 8 for number in range(8)]
        pieces = list(pool.map(lambda offset: read_at(path, offset, 300_000), offsets))
    assert pieces == [truth[offset : offset + 300_000] for offset in offsets]


@pytest.mark.parametrize(("limit_kb", "tail"), [(16, 16 * KIB), (64, 1000), (64, 64 * KIB), (64, 65 * KIB)])
def test_a_tail_that_is_read_first_is_right_however_the_server_cuts(rigs: Rigs, limit_kb: int, tail: int) -> None:
    rig = switched(rigs, chunk_size_limit_kb=limit_kb)
    size = 3 * CHUNK + tail
    path = rig.hold_bytes(size)
    assert read_at(path, size - 512, 512) == rig.truth(path)[-512:]


# -- streams that break ------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "cut", "after_chunks": 5, "times": 3},
        {"action": "cut", "after_chunks": 0, "times": 2, "status": "INTERNAL"},
        {"action": "cut", "after_chunks": 1, "status": "DEADLINE_EXCEEDED"},
        {"action": "cut", "after_chunks": 7, "status": "RESOURCE_EXHAUSTED"},
        {"action": "cut", "after_chunks": 3, "status": "CANCELLED"},
        {"action": "cut", "after_chunks": 3, "status": "UNAUTHENTICATED"},
        {"action": "end", "after_chunks": 4, "times": 2},
        {"action": "status", "status": "UNAVAILABLE", "times": 2},
        {"action": "status", "status": "UNAUTHENTICATED"},
        {"action": "delay", "delay_s": 0.2},
        {"action": "slow", "delay_s": 0.01, "after_chunks": 2},
    ],
    ids=str,
)
def test_a_stream_that_breaks_is_resumed_and_the_bytes_are_right(shared_rig: Rig, fault: dict[str, Any]) -> None:
    path = shared_rig.hold_bytes(24 * MIB + 1000)  # enough for all of them, also with large chunks
    planned = shared_rig.sim.faults.add(method="DownloadFile", **fault)
    assert path.read_bytes() == shared_rig.truth(path)
    assert planned.hits == planned.times


def test_a_stream_that_stalls_is_given_up_and_resumed(shared_rig: Rig) -> None:
    paths = shared_rig.results(shared_rig.hold(pattern_file(SIZE), pattern_file(SIZE)))
    planned = shared_rig.sim.faults.add(method="DownloadFile", action="stall", after_chunks=3, times=2)
    with ThreadPoolExecutor(2) as pool:
        read = list(pool.map(Path.read_bytes, paths))
    assert read == [shared_rig.truth(path) for path in paths]
    assert planned.hits == 2


def test_a_broken_stream_goes_on_at_the_next_missing_chunk(shared_rig: Rig) -> None:
    path = shared_rig.hold_bytes(8 * MIB)
    shared_rig.sim.calls.clear()
    shared_rig.sim.faults.add(method="DownloadFile", action="cut", after_chunks=6)
    assert path.read_bytes() == shared_rig.truth(path)
    first, *resumed = shared_rig.downloads()
    assert first.messages == 6
    # The kernel's next read may come in the pause, and then has a stream of its own.
    cut_at = 6 * chunk_bytes(first)  # small ones, or large ones where the line is known to be fast
    starts = [start_offset(call) for call in resumed]
    assert cut_at in starts
    assert min(starts) == cut_at
    # One goes on where the first broke; the kernel's next reads may have their own, and one may be wide. There is
    # not one for each of the chunks that were missing.
    assert len(resumed) <= 10


def start_offset(call: CallEntry) -> int:
    index = re.search(r"start_from_chunk_index: (\d+)", call.request)
    return (int(index[1]) if index else 0) * chunk_bytes(call)


def chunk_bytes(call: CallEntry) -> int:
    size_kb = re.search(r"chunk_size_kb: (\d+)", call.request)
    assert size_kb
    return int(size_kb[1]) * KIB


def test_a_token_that_ends_in_the_middle_of_a_stream_costs_a_login(rigs: Rigs) -> None:
    rig = switched(rigs, token_cuts_streams=True)
    path = rig.hold_bytes(64 * MIB)
    truth = rig.truth(path)
    logins = rig.sim.calls.count("AuthenticateEx2")
    with path.open("rb", buffering=0) as file:
        assert file.read(MIB) == truth[:MIB]
        rig.sim.logins.revoke_all()
        assert file.read() == truth[MIB:]
    assert rig.sim.calls.count("AuthenticateEx2") == logins + 1


BREAKS: list[dict[str, Any]] = [
    {"action": "cut", "status": "UNAVAILABLE"},
    {"action": "cut", "status": "UNAUTHENTICATED"},
    {"action": "end"},
    {"action": "cut", "status": "INTERNAL"},
]


def test_reads_in_any_order_are_right_while_streams_break(rigs: Rigs) -> None:
    rig = rigs(options=QUICK | {"cache_size": "4M", "max_streams": "4", "read_timeout": "10s"})
    paths = rig.results(rig.hold(*(pattern_file(6 * MIB + number) for number in range(4))))
    broken = threading.Event()

    def break_streams() -> None:
        for number in range(40):
            kind = BREAKS[number % len(BREAKS)]
            fault = rig.sim.faults.add(method="DownloadFile", **kind, after_chunks=1 + number % 5)
            assert rig.sim.faults.wait_for_hits(fault, 1, 30)
        broken.set()

    def read(path: Path) -> None:
        truth = rig.truth(path)
        chosen = random.Random(path.name)
        while not broken.is_set():
            offset, size = chosen.randrange(len(truth)), int(2 ** chosen.uniform(12, 20))
            assert read_at(path, offset, size) == truth[offset : offset + size]

    with ThreadPoolExecutor(5) as pool:
        for work in [pool.submit(break_streams), *(pool.submit(read, path) for path in paths)]:
            work.result()
    assert rig.stats()["reads"]["failures"] == 0


# -- wrong answers --------------------------------------------------------------------


@pytest.mark.parametrize("action", ["wrong_index", "short_chunk"])
@pytest.mark.parametrize("after", [0, 2])
def test_a_wrong_chunk_is_an_error_and_is_not_kept(shared_rig: Rig, action: Any, after: int) -> None:
    path = shared_rig.hold_bytes(SIZE)
    truth = shared_rig.truth(path)
    for start in (0, 10 * CHUNK):
        shared_rig.sim.faults.add(method="DownloadFile", action=action, after_chunks=after)
        with pytest.raises(OSError, match=os.strerror(errno.EIO)):
            read_at(path, start, 3 * CHUNK)  # one READ: with two, the second may fail
    assert path.read_bytes() == truth


@pytest.fixture
def temporarily(shared_rig: Rig) -> Iterator[Callable[..., None]]:
    """Set switches of the shared rig's server until the test ends."""

    def switch(**switches: Any) -> None:
        shared_rig.sim.switches = Switches(**switches)

    yield switch
    switch()


@pytest.mark.parametrize("error", [-CHUNK, 1, 1000])
def test_a_wrong_size_is_an_error_and_never_a_short_or_padded_file(
    shared_rig: Rig, temporarily: Callable[..., None], error: int
) -> None:
    temporarily(size_error=error)
    path = shared_rig.hold_bytes(SIZE)
    assert path.stat().st_size == SIZE + error
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        path.read_bytes()


@pytest.mark.parametrize("past_end", ["OK", "OUT_OF_RANGE", "INVALID_ARGUMENT"])
def test_an_end_before_the_promised_size_is_an_error_without_asking_for_ever(
    shared_rig: Rig, temporarily: Callable[..., None], past_end: str
) -> None:
    temporarily(size_error=3 * CHUNK, past_end=past_end)
    path = shared_rig.hold_bytes(4 * CHUNK)
    shared_rig.sim.calls.clear()
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        path.read_bytes()
    assert len(shared_rig.downloads()) < 20


# -- sessions that go --------------------------------------------------------------------


def test_a_session_that_vanished_under_an_open_file_is_stale(shared_rig: Rig) -> None:
    path = shared_rig.hold_bytes(32 * MIB)
    truth = shared_rig.truth(path)
    with path.open("rb", buffering=0) as file:
        assert file.read(4096) == truth[:4096]
        shared_rig.sim.sessions.destroy(shared_rig.session_id(path.parent))
        with pytest.raises(OSError, match=os.strerror(errno.ESTALE)):
            read_at_end(file.fileno())
        wait_until(lambda: not path.exists(), "the name goes")
        with pytest.raises(OSError, match=os.strerror(errno.ESTALE)):
            read_at_end(file.fileno())
        assert os.pread(file.fileno(), 4096, 0) == truth[:4096]  # what is here stays right
    with pytest.raises(FileNotFoundError):
        path.open("rb")


def read_at_end(descriptor: int) -> bytes:
    return os.pread(descriptor, 4096, 31 * MIB)


def test_a_session_that_is_destroyed_during_a_copy_is_stale_not_short(shared_rig: Rig) -> None:
    path = shared_rig.hold_bytes(SIZE)
    session_id = shared_rig.session_id(path.parent)
    fault = shared_rig.sim.faults.add(method="DownloadFile", action="slow", after_chunks=4, delay_s=60)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(path.read_bytes)
        assert shared_rig.sim.faults.wait_for_hits(fault, 1, 20)
        shared_rig.sim.sessions.destroy(session_id)
        shared_rig.sim.faults.clear()
        with pytest.raises(OSError, match=os.strerror(errno.ESTALE)):
            reading.result()


def test_a_session_that_was_replaced_shows_the_new_bytes_only(shared_rig: Rig) -> None:
    """A server that gives an id away again must not meet what the kernel or the mount kept of the old one."""
    path = shared_rig.hold_bytes(SIZE)
    old = path.read_bytes()
    record = shared_rig.sim.sessions.record(shared_rig.session_id(path.parent))
    [file] = record.results
    fresh = dataclasses.replace(file, path="other", seed=(file.seed or 0) + 1_000_000)
    shared_rig.sim.sessions._records[record.session_id] = dataclasses.replace(record, results=(fresh,))
    shared_rig.look()
    wait_until(lambda: os.getxattr(path, "user.axxonfs.path") == b"other", "the new result")
    assert path.read_bytes() == shared_rig.truth(path) != old

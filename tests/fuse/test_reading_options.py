"""The options of a mount that touch reading: whatever they say, every byte is right and everybody gets served."""

import mmap
import os
import random
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fuse.harness import CLIP, QUICK, Rig, pattern_file

KIB, MIB = 1024, 1024 * 1024

Rigs = Callable[..., Rig]


def with_options(rigs: Rigs, **options: str) -> Rig:
    return rigs(options=QUICK | options)


def direct_reads(path: Path, size: int) -> Iterator[bytes]:
    """Yield a file in pieces that the kernel neither enlarges nor keeps."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECT)
    with mmap.mmap(-1, size) as buffer:
        while count := os.readv(descriptor, [buffer]):
            yield buffer[:count]
    os.close(descriptor)


@pytest.mark.parametrize("chunk_size", ["1K", "3K", "64K", "1M", "4095K"])
def test_the_bytes_are_right_with_any_chunk_size(rigs: Rigs, chunk_size: str) -> None:
    rig = with_options(rigs, chunk_size=chunk_size)
    path = rig.hold_bytes(5 * MIB + 1)
    truth = rig.truth(path)
    chosen = random.Random(3)
    with path.open("rb", buffering=0) as file:
        for offset in chosen.sample(range(len(truth)), 20):
            assert os.pread(file.fileno(), 10_000, offset) == truth[offset : offset + 10_000]
    assert path.read_bytes() == truth


def test_the_bytes_are_right_with_a_tiny_cache(rigs: Rigs) -> None:
    # A read that waits for a stream that waits for it would be an error after three seconds.
    rig = with_options(rigs, cache_size="4M", read_timeout="3s")
    paths = rig.results(rig.hold(*(pattern_file(9 * MIB + number) for number in range(4))))

    def check(path: Path) -> None:
        truth = rig.truth(path)
        chosen = random.Random(path.name)
        for offset in chosen.sample(range(len(truth)), 30):
            with path.open("rb", buffering=0) as file:
                assert os.pread(file.fileno(), 300_000, offset) == truth[offset : offset + 300_000]
        assert b"".join(direct_reads(path, 100_000)) == truth

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(check, paths))


@pytest.mark.parametrize(
    "options", [{"cache_size": "4M"}, {"chunk_size": "4095K"}, {"cache_size": "4M", "chunk_size": "4095K"}], ids=str
)
def test_a_slow_reader_finds_in_the_cache_what_was_read_ahead_for_it(rigs: Rigs, options: dict[str, str]) -> None:
    rig = with_options(rigs, **options)
    path = rig.hold_bytes(24 * MIB)
    assert sum(map(len, direct_reads(path, 16 * KIB))) == 24 * MIB
    assert rig.stats()["reads"]["fetched_bytes"] <= 1.2 * 24 * MIB


def test_slow_readers_of_many_files_do_not_push_each_other_out_of_the_cache(rigs: Rigs) -> None:
    rig = with_options(rigs, cache_size="16M")
    paths = rig.results(rig.hold(*(pattern_file(12 * MIB) for _ in range(8))))
    with ThreadPoolExecutor(8) as pool:
        sizes = list(pool.map(lambda path: sum(map(len, direct_reads(path, 64 * KIB))), paths))
    assert sizes == [12 * MIB] * 8
    assert rig.stats()["reads"]["fetched_bytes"] <= 1.5 * 8 * 12 * MIB


def test_the_bytes_are_right_with_a_rate_limit(rigs: Rigs) -> None:
    rig = with_options(rigs, rate_limit="8M")
    session = rig.hold(*(pattern_file(2 * MIB + number) for number in range(3)))
    with ThreadPoolExecutor(3) as pool:
        read = list(pool.map(Path.read_bytes, rig.results(session)))
    assert read == [rig.truth(path) for path in rig.results(session)]


def test_readers_of_many_files_all_finish_with_one_stream(rigs: Rigs) -> None:
    rig = with_options(rigs, max_streams="1")
    paths = rig.results(rig.hold(*(pattern_file(3 * MIB + number) for number in range(6))))
    with ThreadPoolExecutor(12) as pool:
        read = list(pool.map(Path.read_bytes, paths * 2))
    assert read == [rig.truth(path) for path in paths] * 2


def test_a_reader_that_pauses_does_not_keep_the_only_stream_from_others(rigs: Rigs) -> None:
    """The deadline is shorter than the time after which an unused stream is closed."""
    rig = with_options(rigs, max_streams="1", read_timeout="5s")
    first, second = rig.results(rig.hold(pattern_file(40 * MIB), pattern_file(MIB)))
    slow = rig.sim.faults.add(method="DownloadFile", action="slow", after_chunks=0, delay_s=0.2)
    with first.open("rb", buffering=0) as file, ThreadPoolExecutor(2) as pool:
        reading = pool.submit(os.pread, file.fileno(), 4096, 0)
        assert rig.sim.faults.wait_for_hits(slow, 1, 20)
        # It asks while the only stream still brings what the first reader waits for.
        other = pool.submit(second.read_bytes)
        assert reading.result() == rig.truth(first)[:4096]
        assert other.result() == rig.truth(second)


def test_two_readers_take_turns_on_the_only_stream(rigs: Rigs) -> None:
    rig = with_options(rigs, max_streams="1", read_timeout="5s")
    first, second = rig.results(rig.hold(pattern_file(40 * MIB), pattern_file(MIB)))
    slow = rig.sim.faults.add(method="DownloadFile", action="slow", after_chunks=0, delay_s=0.1)
    with ThreadPoolExecutor(2) as pool:
        copying = pool.submit(first.read_bytes)  # takes 16 s
        assert rig.sim.faults.wait_for_hits(slow, 1, 20)
        assert second.read_bytes() == rig.truth(second)
        assert not copying.done()
        rig.sim.faults.clear()
        assert copying.result() == rig.truth(first)


def test_owner_group_and_umask_are_those_of_the_options(rigs: Rigs) -> None:
    rig = with_options(rigs, uid="1234", gid="4321", umask="027")
    session = rig.hold(pattern_file(1000))
    modes = {session: 0o40750, session / "state": 0o100440, session / "control": 0o100640}
    modes |= dict.fromkeys(rig.results(session), 0o100440) | {rig.path: 0o40750}
    for path, mode in modes.items():
        found = path.stat()
        assert (path, found.st_uid, found.st_gid, oct(found.st_mode)) == (path, 1234, 4321, oct(mode))


def test_a_read_only_mount_has_nothing_to_write_to(rigs: Rigs) -> None:
    rig = with_options(rigs, ro="")
    result = rig.hold_bytes(MIB)
    assert result.read_bytes() == rig.truth(result)
    assert not rig.new.exists()
    assert not any(stat.S_IMODE(path.stat().st_mode) & 0o222 for path in result.parent.iterdir())
    assert not (result.parent / "control").exists()
    with pytest.raises(OSError, match="Read-only file system"):
        (rig.path / "x").touch()


def test_names_are_local_and_status_is_in_utc_with_a_timezone(rigs: Rigs) -> None:
    rig = with_options(rigs, timezone="Asia/Kolkata")
    keys = CLIP() | {"from": "2026-11-22T10:15:00+05:30", "to": "2026-11-22T10:15:20+05:30"}
    session = rig.write_spec("clip", **keys)
    rig.wait_for_state(session, "completed")
    assert session.resolve().name.startswith("20261122T101500+0530_1.Front_door_mp4_")
    [result] = rig.results(session)
    assert result.name == "1.Front_door_20261122T101500+0530.mp4"
    assert rig.status(session)["requested"]["from"] == "2026-11-22T04:45:00Z"

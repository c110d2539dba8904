"""Results are read through a real mount, by offset, from many threads and in every order: the server's bytes."""

import contextlib
import mmap
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from axxonfs.simulator.pattern import pattern
from tests.fuse.harness import QUICK, Rig, pattern_file

KIB, MIB = 1024, 1024 * 1024
CHUNK = 256 * KIB
THREADS = 4


@contextlib.contextmanager
def opened(path: Path, flags: int = 0) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def check_random_reads(path: Path, truth: bytes, seed: int, count: int = 150) -> None:
    """Read `count` random pieces, most of them small, and compare each."""
    chosen = random.Random(seed)
    with opened(path) as descriptor:
        for _ in range(count):
            offset = chosen.randrange(len(truth))
            size = int(2 ** chosen.uniform(0, 20))
            assert os.pread(descriptor, size, offset) == truth[offset : offset + size]


def in_threads(work: Callable[[int], None], threads: int = THREADS) -> None:
    """Run `work` with 0, 1, ... at the same time, and raise what any of them raised."""
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))


def forget_pages(path: Path) -> None:
    """Make the kernel drop what it has of a file, so that the next read asks the mount."""
    with opened(path) as descriptor:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


# -- the right bytes ------------------------------------------------------------


@pytest.mark.parametrize(
    "size", [0, 1, 4095, 4096, 4097, CHUNK - 1, CHUNK, CHUNK + 1, 4 * CHUNK, 3 * CHUNK + 17, 9 * MIB + 5]
)
def test_a_result_of_any_size_is_what_the_server_holds(shared_rig: Rig, size: int) -> None:
    path = shared_rig.hold_bytes(size)
    assert path.stat().st_size == size
    assert path.read_bytes() == shared_rig.truth(path)


def test_random_reads_of_four_threads_in_one_file_are_right(shared_rig: Rig) -> None:
    path = shared_rig.hold_bytes(32 * MIB + 4321)
    truth = shared_rig.truth(path)
    in_threads(lambda number: check_random_reads(path, truth, number))


def test_random_reads_of_four_threads_in_files_of_their_own_are_right(shared_rig: Rig) -> None:
    session = shared_rig.hold(*(pattern_file(8 * MIB + number) for number in range(THREADS)))
    paths = shared_rig.results(session)
    truths = [shared_rig.truth(path) for path in paths]
    in_threads(lambda number: check_random_reads(paths[number], truths[number], number))


def test_threads_that_read_one_descriptor_by_offset_do_not_disturb_each_other(shared_rig: Rig) -> None:
    path = shared_rig.hold_bytes(16 * MIB)
    truth = shared_rig.truth(path)
    with opened(path) as descriptor:

        def read_a_quarter(number: int) -> None:
            for offset in range(number * 4 * MIB, (number + 1) * 4 * MIB, 64 * KIB):
                assert os.pread(descriptor, 64 * KIB, offset) == truth[offset : offset + 64 * KIB]

        in_threads(read_a_quarter)


@pytest.mark.parametrize("size", [512, 4096, 100_000, 3 * MIB])
def test_direct_reads_are_right(shared_rig: Rig, size: int) -> None:
    path = shared_rig.hold_bytes(5 * MIB + 100)
    truth = shared_rig.truth(path)
    with opened(path, os.O_DIRECT) as descriptor, mmap.mmap(-1, size) as buffer:
        for offset in (4 * MIB, 0, 7, CHUNK - 3, 5 * MIB, 5 * MIB + 99):
            count = os.preadv(descriptor, [buffer], offset)
            assert buffer[:count] == truth[offset : offset + size]


# In a process of its own: a page fault holds the interpreter's lock, and the server is a thread of this process.
MAPPING = """
import mmap, pathlib, random, sys
truth = pathlib.Path(sys.argv[2]).read_bytes()
chosen = random.Random(5)
with open(sys.argv[1], "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
    assert len(mapped) == len(truth)
    for _ in range(200):
        begin = chosen.randrange(len(truth))
        end = begin + int(2 ** chosen.uniform(0, 18))
        assert mapped[begin:end] == truth[begin:end]
    assert mapped[-77:] == truth[-77:]
"""


def test_a_mapped_result_is_right_in_every_slice(shared_rig: Rig, tmp_path: Path) -> None:
    path = shared_rig.hold_bytes(8 * MIB + 77)
    truth = tmp_path / "truth"
    truth.write_bytes(shared_rig.truth(path))
    subprocess.run([sys.executable, "-c", MAPPING, path, truth], check=True)


def test_reading_backwards_is_right(shared_rig: Rig) -> None:
    path = shared_rig.hold_bytes(4 * MIB + 1)
    truth = shared_rig.truth(path)
    with opened(path) as descriptor:
        for offset in reversed(range(0, len(truth), 100_000)):
            assert os.pread(descriptor, 100_000, offset) == truth[offset : offset + 100_000]


@pytest.mark.parametrize("flags", [0, os.O_DIRECT], ids=["buffered", "direct"])
def test_there_is_nothing_past_the_end(shared_rig: Rig, flags: int) -> None:
    size = CHUNK + 1000
    path = shared_rig.hold_bytes(size)
    with opened(path, flags) as descriptor:
        assert os.pread(descriptor, 100, size) == b""
        assert os.pread(descriptor, 100, size + 10 * MIB) == b""
        assert os.pread(descriptor, 4096, size - 10) == shared_rig.truth(path)[-10:]


def test_handles_have_positions_of_their_own_and_outlive_each_other(shared_rig: Rig) -> None:
    path = shared_rig.hold_bytes(2 * MIB)
    truth = shared_rig.truth(path)
    with path.open("rb", buffering=0) as first, path.open("rb", buffering=0) as second:
        assert first.read(1000) == truth[:1000]
        second.seek(-1000, os.SEEK_END)
        assert second.read() == truth[-1000:]
        second.close()
        assert first.read(1000) == truth[1000:2000]


def test_any_place_of_a_terabyte_can_be_read(shared_rig: Rig) -> None:
    file = pattern_file((1 << 40) + 12_345)
    [path] = shared_rig.results(shared_rig.hold(file))
    assert path.stat().st_size == file.size
    assert path.stat().st_blocks == -(-file.size // 512)
    with opened(path) as descriptor:
        for offset in (file.size - 1000, (1 << 32) - 5, (1 << 39) + 77, 0):
            assert os.pread(descriptor, 1000, offset) == pattern(file.seed or 0, offset, 1000)


# -- from the caches --------------------------------------------------------------


def test_a_second_look_comes_from_the_page_cache(rigs: Callable[..., Rig]) -> None:
    rig = rigs(options=QUICK | {"cache_size": "4M"})
    path = rig.hold_bytes(3 * MIB)
    first = path.read_bytes()
    rig.hold_bytes(6 * MIB).read_bytes()  # the mount itself cannot have the first one any more
    rig.sim.calls.clear()
    assert path.read_bytes() == first
    assert rig.downloads() == []


def test_what_the_kernel_has_forgotten_comes_from_the_mount_not_from_the_server(shared_rig: Rig) -> None:
    path = shared_rig.hold_bytes(3 * MIB)
    first = path.read_bytes()
    shared_rig.sim.calls.clear()
    forget_pages(path)
    assert path.read_bytes() == first
    assert shared_rig.downloads() == []


# -- one fetch per chunk, whoever asks ----------------------------------------------


def assert_fetched_once(rig: Rig, size: int) -> None:
    """Check that the bytes came once: by a narrow stream, and a wide one that took over from it at most."""
    assert len(rig.downloads()) <= 2
    # A last chunk counts as a whole one, and what is on its way when the wide one takes over cannot be called back.
    assert rig.sent_bytes() <= size + 2 * MIB


@pytest.mark.parametrize("size", [1000, 64 * KIB, 128 * KIB, 4 * MIB])
def test_a_sequential_reader_fetches_each_byte_once(shared_rig: Rig, size: int) -> None:
    path = shared_rig.hold_bytes(6 * MIB + 1)
    shared_rig.sim.calls.clear()
    with path.open("rb", buffering=0) as file:
        read = b"".join(iter(lambda: file.read(size), b""))
    assert read == shared_rig.truth(path)
    assert_fetched_once(shared_rig, 6 * MIB + 1)


def test_a_slow_sequential_reader_fetches_each_byte_once(shared_rig: Rig) -> None:
    path = shared_rig.hold_bytes(24 * MIB)
    shared_rig.sim.calls.clear()
    with opened(path, os.O_DIRECT) as descriptor, mmap.mmap(-1, 8 * KIB) as buffer:
        for _ in iter(lambda: os.readv(descriptor, [buffer]), 0):
            pass
    assert_fetched_once(shared_rig, 24 * MIB)


def test_many_readers_of_one_file_share_one_fetch(shared_rig: Rig) -> None:
    path = shared_rig.hold_bytes(16 * MIB)
    truth = shared_rig.truth(path)
    shared_rig.sim.calls.clear()

    def read(_number: int) -> None:
        # Direct, or the kernel's page cache would do the sharing.
        with opened(path, os.O_DIRECT) as descriptor, mmap.mmap(-1, CHUNK) as buffer:
            for offset in range(0, len(truth), CHUNK):
                assert os.preadv(descriptor, [buffer], offset) == CHUNK
                assert buffer[:] == truth[offset : offset + CHUNK]

    in_threads(read, 8)
    assert_fetched_once(shared_rig, 16 * MIB)


def test_a_small_read_in_the_middle_fetches_little(shared_rig: Rig) -> None:
    path, other = shared_rig.hold_bytes(64 * MIB), shared_rig.hold_bytes(8 * MIB)
    shared_rig.sim.calls.clear()
    with opened(path) as descriptor:
        assert os.pread(descriptor, 4096, 40 * MIB) == shared_rig.truth(path)[40 * MIB : 40 * MIB + 4096]
        other.read_bytes()  # after all that, what the server sends unasked has been sent
        small, *_ = shared_rig.downloads()
    # What is on its way cannot be called back: the windows of the connection and of the thread.
    assert 1 <= small.messages <= 8 * MIB // (64 * KIB)


def test_a_player_that_reads_head_tail_and_middle_restarts_nothing(shared_rig: Rig) -> None:
    path = shared_rig.hold_bytes(32 * MIB)
    truth = shared_rig.truth(path)
    shared_rig.sim.calls.clear()
    with opened(path) as descriptor:

        def read(begin: int, length: int) -> None:
            for offset in range(begin, min(begin + length, len(truth)), 64 * KIB):
                assert os.pread(descriptor, 64 * KIB, offset) == truth[offset : offset + 64 * KIB]

        read(0, MIB)
        read(31 * MIB, MIB)
        read(MIB, 2 * MIB)  # the head goes on
        read(13 * MIB, 2 * MIB)  # a seek
        read(3 * MIB, MIB)  # and back
        read(15 * MIB, MIB)  # and forth
    # Three places, and at each a wide stream that took over at most.
    assert 3 <= len(shared_rig.downloads()) <= 6


def test_reading_in_random_order_does_not_fetch_the_file_again_and_again(shared_rig: Rig) -> None:
    path = shared_rig.hold_bytes(8 * MIB)
    places = list(range(0, 8 * MIB, CHUNK))
    random.Random(11).shuffle(places)
    before = shared_rig.stats()["reads"]["fetched_bytes"]
    with opened(path, os.O_DIRECT) as descriptor, mmap.mmap(-1, CHUNK) as buffer:
        for place in places:
            assert os.preadv(descriptor, [buffer], place) == CHUNK
    assert shared_rig.stats()["reads"]["fetched_bytes"] - before <= 3 * 8 * MIB


# -- what stats.json says -----------------------------------------------------------


def test_the_statistics_say_what_was_read_fetched_and_wasted_and_how_long_it_took(rigs: Callable[..., Rig]) -> None:
    rig = rigs(options=QUICK | {"cache_size": "16M"})
    path = rig.hold_bytes(32 * MIB)
    blank = rig.stats()
    assert (blank["read_s"]["p99"], blank["first_chunk_s"]["p50"]) == (None, None)
    with opened(path, os.O_DIRECT) as descriptor, mmap.mmap(-1, 64 * KIB) as buffer:
        for offset in (0, 0, 10 * MIB, 20 * MIB, 30 * MIB, *range(0, 32 * MIB, 64 * KIB)):
            os.preadv(descriptor, [buffer], offset)
    reads, stats = rig.stats()["reads"], rig.stats()
    count = 5 + 512
    assert reads["hits"] + reads["misses"] == count
    assert reads["hits"] >= 1
    assert reads["served_bytes"] == count * 64 * KIB
    assert reads["seeks"] == 3  # the way back to the start is a reader's that was there before
    assert reads["fetched_bytes"] >= 32 * MIB
    assert 0 <= reads["wasted_bytes"] < reads["fetched_bytes"]
    for percentiles in (stats["read_s"], stats["first_chunk_s"]):
        assert 0 < percentiles["p50"] <= percentiles["p90"] <= percentiles["p99"] < 60
    assert stats["budget"]["bytes"] == 16 * MIB
    assert stats["cache"]["used_bytes"] < stats["budget"]["used_bytes"] + 1 <= 16 * MIB + 1


def test_the_keys_of_the_statistics_are_those_of_the_documents(shared_rig: Rig) -> None:
    text = (Path(__file__).parents[2] / "docs" / "semantics.md").read_text()
    section = text.partition("### stats.json")[2].partition("\n## ")[0]
    words = {word for line in section.splitlines() if line.startswith("| `") for word in re.findall("`(\\w+)`", line)}
    stats = shared_rig.stats()
    assert stats.keys() | stats["reads"].keys() | stats["budget"].keys() | stats["read_s"].keys() <= words

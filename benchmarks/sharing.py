"""Many readers at a time: sharing one file, playing many, and playing beside a copy; and the cost of a small read.

Decides how readers follow each other, how fast a clip plays, and what the least
is that must be fetched: the misses of the best possible cache (which drops what
is needed last: Belady) of the same size on the same reads in the same order.
"""

import bisect
import contextlib
import heapq
import itertools
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import processes, reading
from benchmarks.mounts import Mount
from benchmarks.proxy import Line
from benchmarks.reading import KIB, MIB
from benchmarks.sheet import Sheet, percentile
from benchmarks.stage import LOOPBACK, Stage

_LINE = Line(0.02)
_READERS = 16
_CACHES = 8  # the file is as large as so many caches
_BLOCK_BYTES = 256 * KIB
_STAGGER_S = 0.1
_PLAYED_BYTES_S = 2e6  # 16 Mbit/s: a camera of 4K
_PLAYED_BLOCK_BYTES = 128 * KIB
_BESIDE_BLOCK_BYTES = 64 * KIB
_COPIED_FILES = 12
_SMALL_BYTES = 4 * KIB


def sharing(stage: Stage, sheet: Sheet) -> None:
    """Read one file with readers that begin one after the other."""
    cache_bytes = stage.contents.file_bytes // _CACHES
    with stage.axxonfs(proxied=True, cache_size=str(cache_bytes)) as mount:
        reading.latencies_s(mount.fresh(), [0], _SMALL_BYTES, direct=False)  # connects
        ratios = [_shared(mount, cache_bytes, sheet) for _ in range(sheet.scale.rounds)]
    sheet.bar("sharing", sheet.figure("sharing", str(LOOPBACK), "fetched, of the least possible", "x", ratios))


def players(stage: Stage, sheet: Sheet) -> None:
    """Play many files side by side; fresh mounts, because what is asked for is the most memory they had."""
    memory, late = [], []
    for _ in range(sheet.scale.rounds):
        with stage.axxonfs(_LINE) as mount:
            paths = [mount.fresh() for _ in range(_READERS)]
            with ThreadPoolExecutor(_READERS) as pool:
                waits = list(pool.map(lambda path: max(_played_s(path, sheet.scale.play_s)), paths))
            memory.append(processes.peak_memory_bytes(mount.process.pid) / MIB)
        late.append(max(waits) / (_PLAYED_BLOCK_BYTES / _PLAYED_BYTES_S))
    sheet.bar("players/memory", sheet.figure("players", str(_LINE), "resident memory", "MiB", memory))
    sheet.bar("players/late", sheet.figure("players", str(_LINE), "longest wait, of what may be", "x", late))


def small(stage: Stage, sheet: Sheet) -> None:
    """Read 4 KiB in the middle of a cold file, and count what has crossed the line."""
    for line in (LOOPBACK, _LINE):
        with stage.axxonfs(line, proxied=True) as mount:
            _fetched(mount)
            samples = [_fetched(mount) / MIB for _ in range(sheet.scale.rounds)]
        median = sheet.figure("small read", str(line), "fetched for 4 KiB", "MiB", samples)
        sheet.bar(f"small/{line.round_trip_s * 1e3:g}", median)


def beside_copy(stage: Stage, sheet: Sheet) -> None:
    """Play a file with O_DIRECT, alone and beside a copy that runs flat out.

    The same at a mount that does nothing and takes no part in the copy: what the machine makes a player wait for.
    """
    for line in (LOOPBACK, _LINE):
        alone: dict[str, list[float]] = defaultdict(list)
        beside: dict[str, list[float]] = defaultdict(list)
        with stage.axxonfs(line) as mount, stage.nothing() as nothing:
            reading.sequential_rate(mount.fresh())
            for _, played in itertools.product(range(sheet.scale.rounds), (mount, nothing)):
                alone[played.name] += _direct_s(played, sheet.scale.play_s / 2)
                with _copying(mount):
                    beside[played.name] += _direct_s(played, sheet.scale.play_s / 2)
        p99 = {
            (name, what): sheet.figure(
                "beside a copy", str(line), f"{name}: p99 of READs, {what}", "ms", [percentile(times, 99) * 1e3]
            )
            for what, by_name in (("alone", alone), ("beside", beside))
            for name, times in by_name.items()
        }
        sheet.bar(f"beside-copy/{line.round_trip_s * 1e3:g}", p99["axxonfs", "beside"] / p99["axxonfs", "alone"])


def least_fetches(blocks: Sequence[int], capacity: int) -> int:
    """Return how often the best possible cache of `capacity` blocks misses in a sequence of reads."""
    uses: dict[int, list[int]] = defaultdict(list)
    for place, block in enumerate(blocks):
        uses[block].append(place)
    held: dict[int, int] = {}  # block -> where it is needed next
    farthest: list[tuple[int, int]] = []  # (-where, block); entries that `held` contradicts are old
    misses = 0
    for place, block in enumerate(blocks):
        misses += block not in held
        after = bisect.bisect_right(uses[block], place)
        held[block] = uses[block][after] if after < len(uses[block]) else len(blocks)
        heapq.heappush(farthest, (-held[block], block))
        while len(held) > capacity:
            where, candidate = heapq.heappop(farthest)
            if held.get(candidate) == -where:
                del held[candidate]
    return misses


def _shared(mount: Mount, cache_bytes: int, sheet: Sheet) -> float:
    """Return the bytes fetched, of the least possible."""
    path, before = mount.fresh(), mount.line.counted()
    starts = [threading.Event() for _ in range(_READERS)]
    with ThreadPoolExecutor(_READERS) as pool:
        began_s = time.monotonic()
        readers = [pool.submit(reading.traced, path, _BLOCK_BYTES, start) for start in starts]
        for start in starts:
            start.set()
            time.sleep(_STAGGER_S)
        traces = [reader.result() for reader in readers]
    sheet.say(f"{_READERS} readers took {time.monotonic() - began_s:.1f} s")
    blocks = [block for _, block in sorted(itertools.chain.from_iterable(traces))]
    least = least_fetches(blocks, cache_bytes // _BLOCK_BYTES) * _BLOCK_BYTES
    fetched = (mount.line.settled() - before).down
    sheet.say(f"fetched {fetched / MIB:.0f} MiB, at least {least / MIB:.0f} MiB")
    return fetched / least


def _played_s(path: Path, length_s: float) -> list[float]:
    return reading.playing_s(path, _PLAYED_BYTES_S, length_s, _PLAYED_BLOCK_BYTES, direct=False)


def _direct_s(mount: Mount, length_s: float) -> list[float]:
    return reading.playing_s(mount.fresh(), _PLAYED_BYTES_S, length_s, _BESIDE_BLOCK_BYTES, direct=True)


def _fetched(mount: Mount) -> int:
    """Return how many bytes one small read brings over the line."""
    path = mount.fresh()
    before = mount.line.settled()
    middle = path.stat().st_size // 2
    reading.latencies_s(path, [middle], _SMALL_BYTES, direct=False)
    return (mount.line.settled() - before).down


@contextlib.contextmanager
def _copying(mount: Mount) -> Iterator[None]:
    """Let another program read files nobody has read, one after the other, as long as the block lasts."""
    paths = [str(mount.fresh()) for _ in range(_COPIED_FILES)]
    with subprocess.Popen(["cat", *paths], stdout=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()

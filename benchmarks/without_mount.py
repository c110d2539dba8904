"""Reading through fsspec: against the bare drain, and by more and more workers at once.

Decides how a load is shared out: as much in all, however many workers there are,
each from a file of its own.
"""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks import reading
from benchmarks.drain import CHUNK_KB, Drain
from benchmarks.proxy import Line
from benchmarks.sheet import Sheet, encryption
from benchmarks.stage import LOOPBACK, Stage
from benchmarks.workers import Worker

COUNTS = (1, 2, 4, 8)
LINES = (LOOPBACK, Line(0.02), Line(0.02, 400e6))
# A worker with nothing said about its memory; as Dask starts one; and as docs/scaling.md advises.
ENVIRONMENTS: Mapping[str, Mapping[str, str]] = {
    "fsspec": {},
    "fsspec, malloc as under Dask": {"MALLOC_TRIM_THRESHOLD_": "65536"},
    "fsspec, malloc that keeps": {
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_TRIM_THRESHOLD_": "67108864",
        "MALLOC_MMAP_THRESHOLD_": "33554432",
    },
}
_MB = 1e6
# Of each number of workers; there are many.
_ROUNDS = 3
# For each round of other scenarios: the medians of five have said 0.78 and 1.12 of the same code.
_TIMES = 3
# Of a line that brings 50 MB/s, a second and a half.
_LIMITED_BYTES = 64 << 20


def fsspec(stage: Stage, sheet: Sheet) -> None:
    """Read whole files through fsspec and by a plain loop over the call, in turn."""
    files = itertools.count()
    for line in LINES[:2]:
        with contextlib.ExitStack() as stack:
            drain = stack.enter_context(stage.drain(line))
            crews = {
                what: stack.enter_context(stage.workers(1, line, environment))
                for what, environment in ENVIRONMENTS.items()
            }
            _against(drain, crews, files, stage, sheet, line)


def _against(
    drain: Drain,
    crews: Mapping[str, Sequence[Worker]],
    files: Iterator[int],
    stage: Stage,
    sheet: Sheet,
    line: Line,
) -> None:
    best_kb = _best_chunk_kb(drain, stage, sheet)
    size, session = stage.contents.file_bytes, stage.server.file_sessions[0]
    for crew in crews.values():
        _take(crew, files, size, hashed=False)  # connects
    takes: dict[str, Callable[[], float]] = {
        what: lambda crew=crew: _take(crew, files, size, hashed=False)  # type: ignore[misc]  # mypy types no default of a lambda
        for what, crew in crews.items()
    }
    samples = sheet.rounds(
        {**takes, "bare": lambda: drain.bare(session, best_kb).rate / _MB},
        times=_TIMES * sheet.scale.rounds,
        before=lambda: reading.use_free_memory(size),
    )
    where = f"{line}, {encryption(tls=stage.tls)}"
    medians = {what: sheet.figure("fsspec", where, what, "MB/s", rates) for what, rates in samples.items()}
    sheet.bar(f"fsspec/{line.round_trip_s * 1e3:g}", medians["fsspec"] / medians["bare"])


def scaling(stage: Stage, sheet: Sheet) -> None:
    """Hash as much by one worker, by two, and so on, over each line."""
    files = itertools.count()
    for line in LINES:
        for count in COUNTS:
            _scaled(stage, sheet, line, count, files)


def _scaled(stage: Stage, sheet: Sheet, line: Line, count: int, files: Iterator[int]) -> None:
    size = (_LIMITED_BYTES if line.bits_per_s else stage.contents.file_bytes) // count
    rates, busy = [], []
    with stage.workers(count, line) as crew:
        _take(crew, files, size // 4, hashed=True)
        for _ in range(min(_ROUNDS, sheet.scale.rounds)):
            before = _ticks()
            rates.append(_take(crew, files, size, hashed=True))
            after = _ticks()
            busy.append(100 * (after[0] - before[0]) / max(1, after[1] - before[1]))
    sheet.figure("scaling", str(line), f"workers: {count}", "MB/s", rates)
    sheet.figure("scaling", str(line), f"processors busy, workers: {count}", "%", busy)


def _take(crew: Sequence[Worker], files: Iterator[int], size: int, *, hashed: bool) -> float:
    """Return the MB/s of all workers together, from the first order to the last answer."""
    began_s = time.monotonic()
    for worker in crew:
        worker.begin(next(files), size, hashed=hashed)
    done = sum(worker.end().size_bytes for worker in crew)
    return done / (time.monotonic() - began_s) / _MB


def _best_chunk_kb(drain: Drain, stage: Stage, sheet: Sheet) -> int:
    session = stage.server.file_sessions[0]
    rates = sheet.rounds({str(kb): lambda kb=kb: drain.bare(session, kb).rate for kb in CHUNK_KB}, times=3)  # type: ignore[misc]  # mypy types no default of a lambda
    best = {name: max(samples[1:]) for name, samples in rates.items()}
    return int(max(best, key=best.__getitem__))


def _ticks() -> tuple[int, int]:
    """Return how long all processors together were busy, and how long there were any."""
    numbers = [int(word) for word in Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]]
    return sum(numbers) - numbers[3] - numbers[4], sum(numbers)

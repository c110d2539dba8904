"""How long somebody waits who jumps: random reads, a player's opening, reading a little and skipping a lot.

Decides what a player's opening is. Every round takes a file that nobody has read.
"""

import contextlib
import random
import statistics
from collections.abc import Iterator

from benchmarks import reading
from benchmarks.mounts import Mount
from benchmarks.proxy import Line
from benchmarks.reading import KIB, MB, Step
from benchmarks.sheet import Sheet
from benchmarks.stage import LOOPBACK, Stage

_LINE = Line(0.02)
_RANDOM_BYTES = 64 * KIB
_HEAD_BYTES, _TAIL_BYTES, _SEEK_BYTES = 256 * KIB, 512 * KIB, 256 * KIB
_READ_BYTES, _SKIP_BYTES = MB, 17 * MB
_MS = 1e3
SECOND = "second visit"  # all steps together


def at_random(stage: Stage, sheet: Sheet) -> None:
    """Read 64 KiB here and there, with O_DIRECT."""
    for line in (LOOPBACK, _LINE):
        with _all(stage, line) as mounts:
            medians = _random_over(sheet, line, mounts)
        _calls_over(stage, sheet, line)
        if line == LOOPBACK:
            sheet.bar("random/0", medians["axxonfs"] / medians["sshfs"])
        else:
            sheet.bar("random/20", medians["axxonfs"] / (line.round_trip_s * _MS))


def opening(stage: Stage, sheet: Sheet) -> None:
    """Open a clip as players do, and once more."""
    steps = player_steps(stage.contents.file_bytes)
    with _all(stage, _LINE) as mounts:
        for mount in mounts:
            reading.steps_s(mount.fresh(), steps)  # connects
        visits = [(mount.name, mount.fresh()) for _ in range(sheet.scale.rounds) for mount in mounts]
        first = [(name, reading.steps_s(path, steps)) for name, path in visits]
        second = [(name, [sum(reading.steps_s(path, steps))]) for name, path in visits]
    for mount in mounts:
        _opened(sheet, mount.name, [step.name for step in steps], first)
        _opened(sheet, mount.name, [SECOND], second)


def skipping(stage: Stage, sheet: Sheet) -> None:
    """Read 1 MB, skip 17 MB, and so on; and read all, on a mount of its own, which jumps have taught nothing."""
    for line in (LOOPBACK, _LINE):
        with stage.axxonfs(line) as jumped, stage.axxonfs(line) as whole:
            times = sheet.rounds(
                {
                    "skipping": lambda: reading.skipping_s(jumped.fresh(), _READ_BYTES, _SKIP_BYTES),
                    "reading all": lambda: _whole_s(whole),
                }
            )
            after = [_whole_s(jumped)]
        medians = {what: sheet.figure("skipping", str(line), what, "s", samples) for what, samples in times.items()}
        sheet.figure("skipping", str(line), "reading all, where was skipped before", "s", after)
        sheet.bar(f"skipping/{line.round_trip_s * _MS:g}", medians["skipping"] / medians["reading all"])


def player_steps(size: int) -> list[Step]:
    """Return what a player reads of a file when it opens it, and when its user seeks."""
    forty = int(size * 0.4) // KIB * KIB
    return [
        Step("head", 0, _HEAD_BYTES),
        Step("last 512 KiB", size - _TAIL_BYTES, _TAIL_BYTES),
        Step("seek to 40 %", forty, _SEEK_BYTES),
        Step("+30 MB", forty + 30 * MB, _SEEK_BYTES),
        Step("-10 MB", forty + 20 * MB, _SEEK_BYTES),
    ]


def _calls_over(stage: Stage, sheet: Sheet, line: Line) -> None:
    """Make the calls that such reads need, without a file system: the least that each of them costs."""
    chance = random.Random(1)  # noqa: S311 - the same places in every run
    session, count = stage.server.file_sessions[0], stage.contents.file_bytes // _RANDOM_BYTES
    with stage.drain(line) as drain:

        def call_ms() -> float:
            start_bytes = chance.randrange(count) * _RANDOM_BYTES
            return drain.first_chunk(session, _RANDOM_BYTES // KIB, start_bytes).time_s * _MS

        samples = [call_ms() for _ in range(sheet.scale.random_reads // 2)]
    sheet.figure("random", str(line), "bare call: first chunk, cancel", "ms", samples)


def _opened(sheet: Sheet, name: str, steps: list[str], visits: list[tuple[str, list[float]]]) -> None:
    """Write down how long each step took in the visits to one mount."""
    for number, step in enumerate(steps):
        times = [times[number] * _MS for one, times in visits if one == name]
        median = sheet.figure("opening", str(_LINE), f"{name}: {step}", "ms", times)
        if name == "axxonfs":
            sheet.bar(f"opening/{step}", median / (_LINE.round_trip_s * _MS))


def _whole_s(mount: Mount) -> float:
    path = mount.fresh()
    return path.stat().st_size / reading.sequential_rate(path)


@contextlib.contextmanager
def _all(stage: Stage, line: Line) -> Iterator[list[Mount]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(mount(line)) for mount in (stage.axxonfs, stage.rclone, stage.sshfs)]


def _random_over(sheet: Sheet, line: Line, mounts: list[Mount]) -> dict[str, float]:
    chance = random.Random(1)  # noqa: S311 - the same places in every run
    count = sheet.scale.random_reads if line == LOOPBACK else sheet.scale.random_reads // 4

    def p50_ms(mount: Mount) -> float:
        path = mount.fresh()
        places = chance.sample(range(path.stat().st_size // _RANDOM_BYTES), count)
        offsets = [place * _RANDOM_BYTES for place in places]
        return statistics.median(reading.latencies_s(path, offsets, _RANDOM_BYTES, direct=True)) * _MS

    for mount in mounts:
        p50_ms(mount)  # connects
    samples = sheet.rounds({mount.name: lambda mount=mount: p50_ms(mount) for mount in mounts})  # type: ignore[misc]
    return {what: sheet.figure("random", str(line), what, "ms", times) for what, times in samples.items()}

"""A slow line: the first frame of a clip, what a seek wastes, and who else gets through during a copy.

Decides that "slow" is a round trip of 60 ms and 10 Mbit/s, counted by the proxy.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import reading
from benchmarks.clip import first_frame
from benchmarks.mounts import Mount
from benchmarks.proxy import Line
from benchmarks.reading import KIB, Step
from benchmarks.sheet import Sheet, percentile
from benchmarks.stage import Stage

SLOW = Line(0.06, 10e6)
_SEEKS = 8
_SEEK_READ_BYTES = 256 * KIB
_WARM_BYTES = 256 * KIB
_COPY_BLOCK_BYTES = 128 * KIB
_COPY_AHEAD_S = 3.0


def first_frames(stage: Stage, sheet: Sheet) -> None:
    """Open a clip whose index is at its end, and decode a picture."""
    with contextlib.ExitStack() as stack:
        mounts = [stack.enter_context(mount(SLOW)) for mount in (stage.axxonfs, stage.sshfs, stage.rclone)]
        for mount in mounts:
            _connect(mount)
        samples = sheet.rounds({mount.name: lambda mount=mount: _first_frame_s(mount) for mount in mounts})  # type: ignore[misc]  # mypy types no default of a lambda
    for what, times in samples.items():
        median = sheet.figure("first frame", str(SLOW), what, "s", times)
        if what == "axxonfs":
            sheet.bar("first-frame", median)


def seek_waste(stage: Stage, sheet: Sheet) -> None:
    """Play a little, seek, play a little: what has crossed the line, and nobody has read?"""
    with stage.axxonfs(SLOW) as mount:
        _connect(mount)
        waste = sheet.rounds({"axxonfs": lambda: _waste_bytes(mount) / KIB})["axxonfs"]
    sheet.bar("seek-waste", sheet.figure("seek waste", str(SLOW), "axxonfs", "KiB", waste))


def control(stage: Stage, sheet: Sheet) -> None:
    """Ask the server for something again and again while a copy runs."""
    with stage.axxonfs(SLOW) as mount:
        _connect(mount)
        path = next((mount.root / "sessions").iterdir()) / "control"
        times: list[float] = []
        for _ in range(sheet.scale.rounds):
            with _copying(mount.fresh()):
                time.sleep(_COPY_AHEAD_S)
                times += [_control_s(path) for _ in range(sheet.scale.control_calls)]
            mount.line.settled()
    sheet.figure("control", str(SLOW), "during a copy: p50", "s", times)
    sheet.bar("control", sheet.figure("control", str(SLOW), "during a copy: p99", "s", [percentile(times, 99)]))


def _connect(mount: Mount) -> None:
    """Let a mount connect, and wait until what it fetched ahead has passed."""
    reading.steps_s(mount.fresh(), [Step("", 0, _WARM_BYTES)])
    mount.line.settled()


def _first_frame_s(mount: Mount) -> float:
    path = mount.fresh_clip()
    began_s = time.monotonic()
    first_frame(path)
    passed_s = time.monotonic() - began_s
    mount.line.settled()
    return passed_s


def _waste_bytes(mount: Mount) -> float:
    """Return what was fetched in vain at each place, until the seek that left it."""
    path = mount.fresh()
    size = path.stat().st_size
    before = mount.line.counted()
    # The places are in no order that a read-ahead could make use of.
    places = [(number * 5 % (_SEEKS + 1)) * size // (_SEEKS + 2) // KIB * KIB for number in range(_SEEKS + 1)]
    reading.steps_s(path, [Step("", place, _SEEK_READ_BYTES) for place in places])
    fetched = (mount.line.settled() - before).down
    return fetched / len(places) - _SEEK_READ_BYTES


@contextlib.contextmanager
def _copying(path: Path) -> Iterator[None]:
    """Read a file through, as a copy does, until the block ends."""
    ended = threading.Event()
    thread = threading.Thread(target=_copy, args=(path, ended))
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _copy(path: Path, ended: threading.Event) -> None:
    with path.open("rb", buffering=0) as file:
        while not ended.is_set() and file.read(_COPY_BLOCK_BYTES):
            pass


def _control_s(path: Path) -> float:
    began_s = time.monotonic()
    path.write_text("keep 1h\n")
    return time.monotonic() - began_s

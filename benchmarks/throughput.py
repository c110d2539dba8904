"""Cold sequential reads, again from the page cache, and what they cost the processor.

Decides how much of a file is read over each line: to its end always, so that
nothing is on its way when the next round begins.
"""

import contextlib
from collections.abc import Callable

import grpc

from axxonfs.wire.export_service_pb2 import DownloadFileRequest
from benchmarks import reading, sink
from benchmarks.drain import CHUNK_KB, Drain, Drained, login
from benchmarks.mounts import Mount
from benchmarks.proxy import Line
from benchmarks.server import RESULT
from benchmarks.sheet import Sheet, encryption
from benchmarks.stage import LOOPBACK, Stage

LINES = (LOOPBACK, Line(0.02), Line(0.06))
SLOW = Line(0.06, 10e6)
_MB = 1e6
_GIB = 1 << 30
# What takes some seconds over 10 Mbit/s, and over sshfs at each millisecond of a round trip.
_SLOW_BYTES = 2 << 20
_SSHFS_BYTES_MS = 1 << 30
_LEAST_BYTES = 16 << 20


def sequential(stage: Stage, sheet: Sheet) -> None:
    """Read over each line in turn."""
    for line in (*LINES, SLOW):
        _over(stage, sheet, line)


def alone(stage: Stage, sheet: Sheet) -> None:
    """Measure what the simulator does with a receiver that costs nothing."""
    if stage.tls:
        return
    for chunk_kb in CHUNK_KB:
        samples = [_alone(stage, chunk_kb) / _MB for _ in range(sheet.scale.rounds + 1)]
        sheet.figure("alone", f"simulator, chunks of {chunk_kb} KiB", "sent", "MB/s", samples[1:])


def again(stage: Stage, sheet: Sheet) -> None:
    """Read a file that was read before, and the same from tmpfs."""
    with stage.axxonfs() as mount:
        path = mount.fresh()
        reading.sequential_rate(path, keep=True)
        before = _reads(mount)
        rates = sheet.rounds(
            {
                "axxonfs": lambda: reading.sequential_rate(path, keep=True) / _MB,
                "tmpfs": lambda: reading.sequential_rate(stage.plain_file) / _MB,
            }
        )
        reads = _reads(mount) - before
    medians = {what: sheet.figure("again", "page cache", what, "MB/s", samples) for what, samples in rates.items()}
    sheet.bar("again/tmpfs", medians["axxonfs"] / medians["tmpfs"])
    sheet.bar("again/reads", reads)


def _over(stage: Stage, sheet: Sheet, line: Line) -> None:
    with contextlib.ExitStack() as stack:
        run = _Run(stage, sheet, line, stack)
        run.warm_up()
        samples = sheet.rounds(run.takes(), before=run.prepare)
    where = f"{line}, {encryption(tls=stage.tls)}"
    medians = {what: sheet.figure("sequential", where, what, "MB/s", rates) for what, rates in samples.items()}
    for what, costs in run.costs.items():
        medians[f"cpu {what}"] = sheet.figure("cpu", where, what, "s/GiB", costs)
    _judge(sheet, f"{encryption(tls=stage.tls)}", line, medians)


def _judge(sheet: Sheet, kind: str, line: Line, medians: dict[str, float]) -> None:
    if line.bits_per_s:
        return
    against = ("pipe", "rclone", "sshfs") if line == LOOPBACK else ("bare", "rclone")
    for what in against:
        sheet.bar(f"sequential/{kind}/{line.round_trip_s * 1e3:g}/{what}", medians["axxonfs"] / medians[what])
    if line == LOOPBACK:
        sheet.bar(f"cpu/{kind}", medians["cpu axxonfs"] / (medians["cpu bare"] + 1.3 * medians["cpu nothing"]))


class _Run:
    """One line's mounts and drains, and how a sample is taken of each."""

    def __init__(self, stage: Stage, sheet: Sheet, line: Line, stack: contextlib.ExitStack) -> None:
        self._stage, self._line = stage, line
        self._mounts = [stack.enter_context(mount(line)) for mount in (stage.axxonfs, stage.rclone, stage.sshfs)]
        if line == LOOPBACK:
            self._mounts.append(stack.enter_context(stage.nothing()))
        self._drain: Drain = stack.enter_context(stage.drain(line))
        self._session = stage.server.file_sessions[0]
        self.costs: dict[str, list[float]] = {}
        self._best_kb = 0
        self._sheet = sheet

    def warm_up(self) -> None:
        """Connect everything, fill the server's memory, and find the best size of chunks."""
        for mount in self._mounts:
            reading.sequential_rate(mount.fresh(), self._start_bytes(mount.name))
        times = 2 if self._line.bits_per_s else 3
        rates = self._sheet.rounds({str(kb): lambda kb=kb: self._bare(kb).rate for kb in CHUNK_KB}, times)  # type: ignore[misc]  # mypy types no default of a lambda
        best = {name: max(samples[1:]) for name, samples in rates.items()}
        self._best_kb = int(max(best, key=best.__getitem__))
        where = f"{self._line}, {encryption(tls=self._stage.tls)}"
        self._sheet.figure("sequential", where, "bare, its best chunks", "KiB", [self._best_kb])

    def prepare(self) -> None:
        """Do what comes before each sample."""
        if not self._line.bits_per_s:  # there so little is read that it does not matter
            reading.use_free_memory(self._stage.contents.file_bytes)

    def takes(self) -> dict[str, Callable[[], float]]:
        """Return what takes a sample of each, in MB/s."""
        takes: dict[str, Callable[[], float]] = {}
        for mount in self._mounts:
            takes[mount.name] = lambda mount=mount: self._read(mount)  # type: ignore[misc]  # as above
        takes["bare"] = lambda: self._drained("bare", self._bare(self._best_kb))
        takes["pipe"] = lambda: self._drained("pipe", self._piped())
        return takes

    def _read(self, mount: Mount) -> float:
        path, start_bytes = mount.fresh(), self._start_bytes(mount.name)
        before_s = mount.cpu_s()
        rate = reading.sequential_rate(path, start_bytes)
        self._cost(mount.name, mount.cpu_s() - before_s, self._stage.contents.file_bytes - start_bytes)
        return rate / _MB

    def _drained(self, what: str, drained: Drained) -> float:
        self._cost(what, drained.cpu_s, drained.size_bytes)
        return drained.rate / _MB

    def _cost(self, what: str, cpu_s: float, size_bytes: int) -> None:
        # Elsewhere a proxy takes its part, and less is read than a clock of 10 ms can tell.
        if self._line == LOOPBACK:
            self.costs.setdefault(what, []).append(cpu_s / (size_bytes / _GIB))

    def _bare(self, chunk_kb: int) -> Drained:
        return self._drain.bare(self._session, chunk_kb, self._start_bytes("drain"))

    def _piped(self) -> Drained:
        pipe = self._stage.fresh_pipe()
        return self._drain.piped(self._session, self._best_kb, pipe, self._start_bytes("drain"))

    def _start_bytes(self, what: str) -> int:
        """Return where reading begins."""
        size = self._stage.contents.file_bytes
        if self._line.bits_per_s:
            return size - _SLOW_BYTES
        if what == "sshfs" and self._line.round_trip_s:
            return size - min(size, max(_LEAST_BYTES, int(_SSHFS_BYTES_MS / (self._line.round_trip_s * 1e3))))
        return 0


def _alone(stage: Stage, chunk_kb: int) -> float:
    """Return the bytes per second that the simulator sends."""
    address, size = stage.server.address, stage.contents.file_bytes
    with grpc.insecure_channel(f"{address[0]}:{address[1]}") as channel:
        token = login(channel)
    request = DownloadFileRequest(session_id=stage.server.file_sessions[0], file_path=RESULT, chunk_size_kb=chunk_kb)
    return size / sink.drained(address, "/axxonsoft.bl.mmexport.ExportService/DownloadFile", request, token, size)


def _reads(mount: Mount) -> int:
    """Return how many READs of results have reached the daemon."""
    reads = mount.stats()["reads"]
    return int(reads["hits"]) + int(reads["misses"])

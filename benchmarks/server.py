"""The simulator that everything is measured against, in a process of its own, and what it holds.

Decides the contents: as many sessions with the same bytes as a run needs fresh
files, and some with a clip that plays. Chunks are kept serialised, so that the
simulator only sends. Its own process, so that it shares no lock with clients.
"""

import collections
import contextlib
import dataclasses
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from axxonfs.simulator.config import SimulatorConfig
from axxonfs.simulator.pattern import pattern
from axxonfs.simulator.records import ResultFile
from axxonfs.simulator.server import Simulator
from axxonfs.wire.export_pb2 import Options
from benchmarks.children import Child

USER, PASSWORD = "root", "benchmark"
RESULT = "result"
# All bytes are those of one pattern, so that all files share the prepared chunks.
_SEED = 1
_PREPARED_BYTES = 6 << 30
# Sessions expire an hour after their last use; a run may take longer.
_TIME_FACTOR = 0.1
_STEP_BYTES = 8 << 20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a server holds."""

    file_bytes: int = 0
    files: int = 0  # sessions with a file of so many bytes
    clip: Path | None = None
    clips: int = 0  # sessions with that clip


class Server:
    """A running simulator."""

    def __init__(self, child: Child, *, tls: bool) -> None:
        self._child = child
        self.address: tuple[str, int]
        self.file_sessions: list[str]
        self.ca_file: Path | None
        self.address, self.file_sessions, ca_file = child.receive()
        self.ca_file = ca_file if tls else None

    def calls(self) -> collections.Counter[str]:
        """Return how many calls of each method there were."""
        self._child.send("calls")
        counted = self._child.receive()
        assert isinstance(counted, collections.Counter)  # noqa: S101 - what _serve sends
        return counted


@contextlib.contextmanager
def served(directory: Path, contents: Contents, *, tls: bool) -> Iterator[Server]:
    """Yield a running simulator."""
    config = SimulatorConfig(
        directory=directory,
        plaintext=not tls,
        users={USER: PASSWORD},
        time_factor=_TIME_FACTOR,
        prepared_bytes=_PREPARED_BYTES,
    )
    with Child("the simulator", _serve, config, contents) as child:
        yield Server(child, tls=tls)


def write_file(path: Path, size_bytes: int) -> None:
    """Write what every file of a server holds, for those who serve files from a disk."""
    with path.open("wb") as file:
        for offset in range(0, size_bytes, _STEP_BYTES):
            file.write(pattern(_SEED, offset, min(_STEP_BYTES, size_bytes - offset)))


def _serve(config: SimulatorConfig, contents: Contents, control: Connection) -> None:
    """Be the process."""
    with Simulator(config) as simulator:
        ids = simulator.sessions.add_many(_sessions(contents))
        for session_id in ids[contents.files :]:
            _store(simulator, config.directory, session_id, contents.clip)
        control.send((("127.0.0.1", simulator.port), ids[: contents.files], simulator.ca_file))
        with contextlib.suppress(EOFError):
            while control.recv() == "calls":
                control.send(collections.Counter(entry.method for entry in simulator.calls.entries()))


def _sessions(contents: Contents) -> Iterable[tuple[Options, tuple[ResultFile, ...]]]:
    for _ in range(contents.files):
        yield Options(), (ResultFile(path=RESULT, size=contents.file_bytes, kind="mkv", seed=_SEED),)
    for _ in range(contents.clips):
        size = contents.clip.stat().st_size if contents.clip else 0
        yield Options(), (ResultFile(path=RESULT, size=size, kind="mp4", stored="clip.mp4"),)


def _store(simulator: Simulator, directory: Path, session_id: str, clip: Path | None) -> None:
    """Lay a clip where the simulator looks for the result of a session."""
    if clip is not None:
        place = directory / "results" / str(simulator.sessions.record(session_id).sequence)
        place.mkdir(parents=True, exist_ok=True)
        (place / "clip.mp4").hardlink_to(clip)

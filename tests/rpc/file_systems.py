"""A simulator and a file system of fsspec on it: the rig of the tests that need no mount."""

import contextlib
import dataclasses
import itertools
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from axxonfs.core.chunks import KIB
from axxonfs.fsspec import AxxonFileSystem
from axxonfs.simulator.calls import CallEntry
from axxonfs.simulator.records import ResultFile
from axxonfs.simulator.server import Simulator
from axxonfs.simulator.times import wire_time
from axxonfs.wire import export_pb2
from tests.rpc.support import PASSWORD, USER, make_simulator, write_password

STORAGE = "hosts/Server/MultimediaStorage.AliceBlue/MultimediaStorage"
CHUNK = 64 * KIB
_numbers = itertools.count(1)


@dataclasses.dataclass
class Site:
    """A simulator, and what it takes to reach it."""

    sim: Simulator
    scratch: Path
    words: dict[str, Any]

    def fs(self, **words: Any) -> AxxonFileSystem:
        return AxxonFileSystem(**self.words, **words)

    @property
    def url(self) -> str:
        return f"axxon://{USER}@127.0.0.1:{self.sim.port}"

    def hold(self, *sizes: int, user: str = "somebody") -> str:
        """Let the server hold a finished export with results of so many bytes; return the session's id."""
        files = [pattern_file(size) for size in sizes]
        return self.sim.sessions.add(archive_clip(), files=files, user=user)

    def hold_one(self, fs: AxxonFileSystem, size: int) -> tuple[str, bytes]:
        """Let the server hold one result; return its path and its bytes."""
        session_id = self.hold(size)
        [info] = [info for info in fs.find("", detail=True, refresh=True).values() if info["session_id"] == session_id]
        return info["name"], self.truth(info)

    def truth(self, info: dict[str, Any]) -> bytes:
        """Return what the server holds for a result."""
        return self.sim.sessions.result_bytes(info["session_id"], info["path"])

    def downloads(self) -> list[CallEntry]:
        return [call for call in self.sim.calls.entries() if call.method == "DownloadFile"]


@contextlib.contextmanager
def made_site(scratch: Path, **settings: Any) -> Iterator[Site]:
    """Yield a site whose file systems are closed at the end."""
    with make_simulator(scratch, **settings) as sim:
        write_password(scratch / "password")
        factor = settings.get("time_factor", 1.0)
        words = {
            "host": "127.0.0.1",
            "port": sim.port,
            "user": USER,
            "password_file": str(scratch / "password"),
            "tls_ca": str(sim.ca_file),
            **({"time_factor": factor} if factor != 1.0 else {}),
        }
        try:
            yield Site(sim, scratch, words)
        finally:
            AxxonFileSystem(**words).close()
            AxxonFileSystem.clear_instance_cache()


def pattern_file(size: int, **fields: Any) -> ResultFile:
    """Return a result of bytes that no other result has."""
    number = next(_numbers)
    return ResultFile(**{"path": str(uuid.uuid4()), "size": size, "kind": "mkv", "seed": number, **fields})


def archive_clip(camera: int = 1, end_ms: int = 1_795_000_000_000, seconds: int = 300) -> export_pb2.Options:
    """Return the options of a clip of a camera."""
    options = export_pb2.Options(stream=export_pb2.StreamType(format=export_pb2.StreamType.MKV))
    options.archive.sources.add(
        origin=f"hosts/Server/DeviceIpint.{camera}/SourceEndpoint.video:0:0", storages=[STORAGE]
    )
    options.archive.start_timestamp = wire_time(end_ms - 1000 * seconds)
    options.archive.end_timestamp = wire_time(end_ms)
    return options


__all__ = ["CHUNK", "PASSWORD", "Site", "archive_clip", "made_site", "pattern_file"]

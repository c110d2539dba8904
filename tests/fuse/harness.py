"""A simulator in this process and a mount of it in a process of its own: the rig of the fuse and tools tiers.

The mount is the command that users run. At the end the rig unmounts what it
mounted, and fails the test where the daemon logged a warning that the test did
not declare with `expects_warnings`, or did not end cleanly.
"""

import contextlib
import dataclasses
import datetime as dt
import functools
import itertools
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from axxonfs.fs import mountpoint
from axxonfs.simulator.calls import CallEntry
from axxonfs.simulator.config import SimulatorConfig
from axxonfs.simulator.records import ResultFile
from axxonfs.simulator.server import Simulator
from axxonfs.simulator.times import wire_time
from axxonfs.wire import export_pb2
from tests.faults.wire import Wire, wired

USER, PASSWORD = "root", "correct horse"
TIMEOUT_S = 60.0
STATFS_FILES = 1 << 28  # what statfs adds to the number of inodes
# The mount lists at most ten times a second then, and every second and a half of itself; usually it is every two
# seconds and every thirty.
QUICK = {"time_factor": "20"}
POLL_S = 0.02


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = TIMEOUT_S, poll_s: float = POLL_S) -> Any:
    """Return the first true answer; the one place where tests look again and again, for files give no events."""
    deadline_s = time.monotonic() + timeout_s
    while not (answer := condition()):
        assert time.monotonic() < deadline_s, f"not within {timeout_s} s: {what}"
        time.sleep(poll_s)
    return answer


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skip tests whose programs are not installed, and say which."""
    missing = [program for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed, see scripts/setup: {', '.join(missing)}")


@dataclasses.dataclass
class Rig:
    """A mount and the server behind it."""

    sim: Simulator
    path: Path
    scratch: Path
    options: dict[str, str]
    words: list[str] = dataclasses.field(default_factory=list)  # further ones of the command line
    program: list[str] = dataclasses.field(default_factory=lambda: ["axxonfs"])  # a module, and words for it
    process: "subprocess.Popen[bytes] | None" = None
    ended: bool = False  # by the test itself
    wire: Wire | None = None  # between the two, where a test wants one

    @property
    def log(self) -> Path:
        return self.scratch / "mount.log"

    @property
    def command(self) -> list[str]:
        words = ",".join(f"{key}={value}" if value else key for key, value in self.options.items())
        where = f"{USER}@127.0.0.1:{self.wire.address[1] if self.wire else self.sim.port}"
        return [
            sys.executable,
            "-m",
            *self.program,
            "mount",
            where,
            str(self.path),
            "-o",
            words,
            "--foreground",
            *self.words,
        ]

    def start(self) -> None:
        """Mount, and wait until the mount answers."""
        environment = {**os.environ, "AXXONFS_RAISE": "1"}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stderr=log, stdout=log, env=environment)
        process, self.ended = self.process, False
        wait_until(lambda: self.answers or process.poll() is not None, "the mount")
        assert process.poll() is None, self.log.read_text()

    @property
    def answers(self) -> bool:
        """Whether the mount is there, and not one that a crash left."""
        with contextlib.suppress(OSError):
            # Not stat: the kernel would answer from its memory for a second after a crash.
            return bool(list(self.path.iterdir()))
        return False

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End the daemon and return its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        self.ended = True
        return self.process.wait(TIMEOUT_S)

    # -- what tests do with it --------------------------------------------------

    @property
    def new(self) -> Path:
        return self.path / "new"

    @property
    def starts(self) -> int:
        """How many exports the server was asked for."""
        return self.sim.calls.count("StartSession")

    @property
    def sessions(self) -> list[Path]:
        return sorted((self.path / "sessions").iterdir())

    def ids(self) -> dict[str, Path]:
        """Return the directories of the sessions by what the server calls them."""
        ids = {}
        for path in self.sessions:
            with contextlib.suppress(FileNotFoundError):  # it left since
                ids[self.session_id(path)] = path
        return ids

    def session_dir(self, session_id: str) -> Path:
        """Return the directory of a session, as soon as it is there."""
        path = wait_until(lambda: self.ids().get(session_id), f"session {session_id}")
        assert isinstance(path, Path)
        return path

    def hold(self, *files: ResultFile, user: str = "somebody") -> Path:
        """Let the server hold a finished export of somebody else with these results; return its directory."""
        session_id = self.sim.sessions.add(plain_options(), files=files, user=user)
        self.look()
        return self.session_dir(session_id)

    def hold_bytes(self, size: int) -> Path:
        """Let the server hold a result of so many bytes, all of its own; return it."""
        [result] = self.results(self.hold(pattern_file(size)))
        return result

    def look(self) -> None:
        """Let the mount list the sessions now: it does when somebody begins to follow a text."""
        with (self.path / ".axxonfs" / "spec.schema.json").open() as text:
            poll = select.poll()
            poll.register(text, select.POLLPRI)
            poll.poll(0)

    def stats(self) -> dict[str, Any]:
        """Return `stats.json`, rebuilt after this call: it says when the listing was that is made for it."""
        since = dt.datetime.now(dt.UTC)
        self.look()

        def fresh() -> dict[str, Any] | None:
            stats: dict[str, Any] = json.loads((self.path / ".axxonfs" / "stats.json").read_text())
            return stats if dt.datetime.fromisoformat(stats["last_listing"]) > since else None

        stats: dict[str, Any] = wait_until(fresh, "a fresh stats.json")
        return stats

    def inodes(self) -> int:
        """Return how many inodes the daemon holds."""
        return os.statvfs(self.path).f_files - STATFS_FILES

    def nameless(self) -> int:
        """Fill all directories, and return how many inodes the daemon holds besides those that have a name."""
        names = sum(len(directories) + len(files) for _, directories, files in os.walk(self.path))
        return self.inodes() - names - 1  # the root has none

    def downloads(self) -> list[CallEntry]:
        """Return the downloads that the server was asked for, in their order."""
        return [call for call in self.sim.calls.entries() if call.method == "DownloadFile"]

    def sent_bytes(self) -> int:
        """Return how many bytes the server sent for the downloads, a short last chunk counted as a whole one."""
        sizes = (re.search(r"chunk_size_kb: (\d+)", call.request) for call in self.downloads())
        pairs = zip(sizes, self.downloads(), strict=True)
        return sum(int(size[1]) * 1024 * call.messages for size, call in pairs if size)

    def write_spec(self, name: str, **keys: Any) -> Path:
        """Write `new/NAME.json` and return the directory of the session that it started."""
        (self.new / f"{name}.json").write_text(json.dumps(keys))
        return self.session_of(name)

    def session_of(self, name: str) -> Path:
        """Return the directory that `new/NAME.session` leads to."""
        link = self.new / f"{name}.session"
        return link.parent / link.readlink()

    def session_id(self, session: Path) -> str:
        """Return what the server calls a session."""
        return os.getxattr(session, "user.axxonfs.session_id").decode()

    def wait_for_state(self, session: Path, state: str) -> None:
        """Wait until the file `state` says so."""
        wait_until(lambda: (session / "state").read_text() == f"{state}\n", f"{session.name} {state}")

    def status(self, session: Path) -> dict[str, Any]:
        """Return `status.json`."""
        status: dict[str, Any] = json.loads((session / "status.json").read_text())
        return status

    def results(self, session: Path) -> list[Path]:
        """Return the results of a session."""
        names = [file["name"] for file in self.status(session)["files"] if file["downloadable"]]
        return [session / name for name in names]

    def truth(self, result: Path) -> bytes:
        """Return what the server holds for a result."""
        session_id = os.getxattr(result, "user.axxonfs.session_id").decode()
        return self.sim.sessions.result_bytes(session_id, os.getxattr(result, "user.axxonfs.path").decode())

    def exported(self, name: str = "clip", **keys: Any) -> Path:
        """Start an export, wait for its end, and return the first result."""
        session = self.write_spec(name, **(CLIP() | keys))
        self.wait_for_state(session, "completed")
        return self.results(session)[0]


def CLIP() -> dict[str, Any]:  # noqa: N802 - reads as the constant that it would be if time stood still
    """Return the spec of a short clip that is in the archive."""
    end = dt.datetime.now(dt.UTC).replace(microsecond=0) - dt.timedelta(minutes=10)
    start = end - dt.timedelta(seconds=20)
    return {"camera": "1.Front door", "from": start.isoformat(), "to": end.isoformat(), "format": "mp4"}


def plain_options(seconds: int = 300) -> export_pb2.Options:
    """Return the options of a clip that ended an hour ago."""
    end_ms = int(time.time() - 3600) * 1000
    storage = "hosts/Server/MultimediaStorage.AliceBlue/MultimediaStorage"
    options = export_pb2.Options(stream=export_pb2.StreamType(format=export_pb2.StreamType.MKV))
    options.archive.sources.add(origin="hosts/Server/DeviceIpint.1/SourceEndpoint.video:0:0", storages=[storage])
    options.archive.start_timestamp = wire_time(end_ms - 1000 * seconds)
    options.archive.end_timestamp = wire_time(end_ms)
    return options


_numbers = itertools.count(1)


def pattern_file(size: int, **fields: Any) -> ResultFile:
    """Return a result of bytes that no other result has; keyword arguments are fields of ResultFile."""
    number = next(_numbers)
    return ResultFile(**{"path": f"file-{number}", "size": size, "kind": "mkv", "seed": number, **fields})


@contextlib.contextmanager
def module_rig(factory: pytest.TempPathFactory, **words: Any) -> Iterator[Rig]:
    """Yield a rig for a module with options of its own, as `make_rig`; skip where nothing can be mounted."""
    if _cannot_mount():
        pytest.skip(_cannot_mount())
    with make_rig(factory.mktemp("rig"), **words) as rig:
        yield rig


@contextlib.contextmanager
def make_rig(
    scratch: Path,
    *,
    declared: list[str] | None = None,
    options: dict[str, str] | None = None,
    with_wire: bool = False,
    **config: Any,
) -> Iterator[Rig]:
    """Yield a mounted rig; keyword arguments are fields of SimulatorConfig."""
    password_file = scratch / "password"
    password_file.touch(0o600)
    password_file.write_text(PASSWORD)
    path = scratch / "mnt"
    path.mkdir()
    with (
        Simulator(SimulatorConfig(directory=scratch / "server", users={USER: PASSWORD}, **config)) as sim,
        wired((sim.config.host, sim.port)) if with_wire else contextlib.nullcontext() as wire,
    ):
        words = {"tls_ca": str(sim.ca_file), "password_file": str(password_file), "state_dir": str(scratch / "state")}
        rig = Rig(sim, path, scratch, {**words, **(options or {})}, wire=wire)
        try:
            rig.start()
            yield rig
            if not rig.ended:
                assert rig.stop() == 0, rig.log.read_text()
        finally:
            _end(rig)
    _check_log(rig.log.read_text(), declared or [])


def _end(rig: Rig) -> None:
    if rig.process is not None and rig.process.poll() is None:
        rig.process.kill()
        rig.process.wait(TIMEOUT_S)
    if mountpoint.find(rig.path) is not None:
        mountpoint.unmount(rig.path, lazy=True)


def _check_log(text: str, declared: list[str]) -> None:
    lines = text.splitlines()
    bad = [line for line in lines if " WARNING " in line or " ERROR " in line or "Traceback" in line]
    assert not [line for line in bad if not any(part in line for part in declared)], text


@functools.cache
def _cannot_mount() -> str:
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse is missing or not open to this user"
    return ""


@pytest.fixture
def rigs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    """Make rigs with options of one's own: `rigs(options={"ro": ""}, cameras=3)`."""
    if _cannot_mount():
        pytest.skip(_cannot_mount())
    declared = [mark.args[0] for mark in request.node.iter_markers("expects_warnings")]
    with contextlib.ExitStack() as stack:

        def make(**words: Any) -> Rig:
            scratch = tmp_path / f"rig{len(list(tmp_path.glob('rig*')))}"
            scratch.mkdir()
            return stack.enter_context(make_rig(scratch, declared=declared, **words))

        yield make


@pytest.fixture
def rig(rigs: Callable[..., Rig]) -> Rig:
    """A mount of a simulator with the defaults."""
    return rigs()


@pytest.fixture(scope="module")
def shared_rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """One mount for all tests of a module that only add to it."""
    with module_rig(tmp_path_factory, options=QUICK) as rig:
        yield rig

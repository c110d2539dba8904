"""Who uses a mount in a soak: programs that read, somebody else's sessions that come and go, exports one after another.

What they meet is noted as complaints; `judge` says which of those are explained.
"""

import collections
import contextlib
import errno
import json
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

from axxonfs.simulator.records import ResultFile
from tests.faults import record
from tests.faults.judge import WRONG, Complaint
from tests.fuse.harness import CLIP, Rig, plain_options, wait_until

PLAYERS, COPIES, SESSIONS = 16, 4, 1000
CHURN_PER_S = 4
ENDS_S = 25.0  # what a killed program may still wait for
EXPORT_S = 90.0  # from the start of an export to its end, a server that is away included
# How long the mount may look for the session of a start in doubt; what that leaves behind is removed after it.
DOUBT_S = 60.0
KIB, MIB = 1024, 1 << 20


class Readers:
    """The programs; what they complain of waits in `complaints`."""

    def __init__(self, rig: Rig) -> None:
        self.complaints: collections.deque[Complaint] = collections.deque()
        self.reads = 0
        kinds = ["player"] * PLAYERS + ["copy"] * COPIES
        words = [sys.executable, "-m", "tests.faults.worker"]
        pipe = subprocess.PIPE
        self.processes = [
            subprocess.Popen([*words, kind, str(rig.path), str(number)], stdout=pipe, text=True, cwd=record.ROOT)
            for number, kind in enumerate(kinds)
        ]
        self._listeners = [threading.Thread(target=self._listen, args=(process,)) for process in self.processes]
        for listener in self._listeners:
            listener.start()

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        for line in process.stdout or ():
            said = json.loads(line)
            if "reads" in said:
                self.reads += said["reads"]
            else:
                self.complaints.append(Complaint(said["at"], said["errno"], said["name"], said["doing"], said["where"]))

    def stop(self) -> None:
        """End them all; whoever is stuck, or has ended by itself, fails the test."""
        ended = [process.pid for process in self.processes if process.poll() is not None]
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait(ENDS_S)
        for listener in self._listeners:
            listener.join(ENDS_S)
        for process in self.processes:
            assert process.stdout is not None
            process.stdout.close()
        assert not ended, "a program has ended by itself"


class Churn:
    """Somebody else's sessions: a thousand, of which some come and go all the time."""

    def __init__(self, rig: Rig, chance: random.Random) -> None:
        self._rig = rig
        self._chance = chance
        self._numbers = iter(range(1, 10**9))
        self._ids: collections.deque[str] = collections.deque(self._add(SESSIONS))
        self.gone = 0

    def _add(self, count: int) -> list[str]:
        sizes = [self._chance.choice((0, 1, 1000, 64 * KIB, 300 * KIB, MIB + 1, 3 * MIB)) for _ in range(count)]
        numbered = zip(sizes, self._numbers, strict=False)
        files = [ResultFile(path=f"soak-{number}", size=size, kind="mkv", seed=number) for size, number in numbered]
        return self._rig.sim.sessions.add_many((plain_options(), (file,)) for file in files)

    def turn(self) -> None:
        """Let some go and others come."""
        gone = [self._ids.popleft() for _ in range(CHURN_PER_S)]
        self._rig.sim.sessions.remove_many(gone)
        self.gone += len(gone)
        self._ids.extend(self._add(CHURN_PER_S))


class Exports:
    """Exports that are started, read, compared and removed, one after another, and what is left of them."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self.done = self.failed = 0
        self.complaints: collections.deque[Complaint] = collections.deque()
        self._left: dict[str, float] = {}  # exports that were not seen to be gone yet: when they may be removed
        self._doing, self._where = "start", rig.new

    def once(self, number: int) -> None:
        """Do it once, and remove what is left of it and of earlier ones; what fails is noted."""
        name = f"soak{number}"
        self._left[name] = time.monotonic() + DOUBT_S
        self._doing, self._where = "start", self._rig.new / f"{name}.json"
        try:
            session = self._rig.write_spec(name, **(CLIP() | {"comment": name}))
            self._doing, self._where = "look", session
            wait_until(lambda: (session / "state").read_text() != "running\n", f"the end of {name}", EXPORT_S)
            self._read(session)
            self._left[name] = 0.0
            self.done += 1
        except OSError as error:
            self.failed += 1
            self._complain(error.errno or 0, errno.errorcode.get(error.errno or 0, "?"))
        self.tidy()

    def tidy(self) -> bool:
        """Remove what may be removed by now; return whether nothing is left."""
        for name in [name for name, due_s in self._left.items() if time.monotonic() >= due_s]:
            self._doing, self._where = "remove", self._rig.new / f"{name}.json"
            try:
                self._remove(name)
            except OSError as error:
                self._complain(error.errno or 0, errno.errorcode.get(error.errno or 0, "?"))
        return not self._left

    def _read(self, session: Path) -> None:
        for result in self._rig.results(session):
            truth = self._rig.truth(result)
            self._doing, self._where = "read", result
            if result.read_bytes() != truth:
                self._complain(WRONG, "wrong bytes")

    def _remove(self, name: str) -> None:
        """Remove an export; it is forgotten once it was seen to be gone, for a refused removal brings it back."""
        entries = [self._rig.new / f"{name}.{suffix}" for suffix in ("json", "error", "session")]
        session = entries[-1].resolve() if entries[-1].is_symlink() else None
        if session is not None and session.exists():
            with contextlib.suppress(FileNotFoundError):  # it went meanwhile
                for result in session.iterdir():
                    if result.name not in {"state", "status.json", "spec.json", "control"}:
                        result.unlink()
                session.rmdir()
            return
        for entry in entries:
            entry.unlink(missing_ok=True)
        del self._left[name]

    def _complain(self, number: int, name: str) -> None:
        where = str(self._where.relative_to(self._rig.path))
        self.complaints.append(Complaint(time.time(), number, name, self._doing, where))

"""A program that uses a mount for as long as it lives, and says every error.

`python -m tests.faults.worker KIND MOUNT SEED`, where KIND is player or copy. It
knows what the bytes must be: the server names results after the seed of their
pattern. One JSON line for each error on standard output (when, errno, session),
a wrong byte among them; one for each hundred reads, so that its silence is a
finding, too.
"""

import errno
import json
import os
import random
import sys
import time
from pathlib import Path

from axxonfs.simulator.pattern import pattern

KIB = 1024
# What a player of 2 Mbit/s takes.
PLAYER_BYTES_PER_S = 256 * KIB
STEP_BYTES = 128 * KIB
STEPS = 24
WRONG = -1  # in place of an errno


def say(**words: object) -> None:
    sys.stdout.write(json.dumps({"at": time.time(), **words}) + "\n")
    sys.stdout.flush()


class Worker:
    """One program."""

    def __init__(self, mount: Path, seed: int) -> None:
        self._sessions = mount / "sessions"
        self._chance = random.Random(seed)
        self._reads = 0

    def run(self, kind: str) -> None:
        """Work for ever."""
        while True:
            session = b""
            try:
                path = self._choose()
                if path is None:
                    time.sleep(0.5)
                    continue
                session = os.getxattr(path.parent, "user.axxonfs.session_id")
                seed = int(os.getxattr(path, "user.axxonfs.path").rpartition(b"-")[2])
                getattr(self, kind)(path, seed)
            except OSError as error:
                say(errno=error.errno, name=errno.errorcode.get(error.errno or 0, "?"), session=session.decode())
                time.sleep(1)

    def _choose(self) -> Path | None:
        sessions = [path.name for path in self._sessions.iterdir()]
        if not sessions:
            return None
        directory = self._sessions / self._chance.choice(sessions)
        results = [path for path in directory.iterdir() if path.suffix == ".mkv"]
        return self._chance.choice(results) if results else None

    def player(self, path: Path, seed: int) -> None:
        """Open head, tail and middle, then play on."""
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0:
                return
            self._check(path, seed, 0, os.pread(file.fileno(), 64 * KIB, 0))
            tail = max(0, size - 64 * KIB)
            self._check(path, seed, tail, os.pread(file.fileno(), 64 * KIB, tail))
            place = self._chance.randrange(size)
            for _ in range(STEPS):
                data = os.pread(file.fileno(), STEP_BYTES, place)
                if not data:
                    return
                self._check(path, seed, place, data)
                place += len(data)
                time.sleep(len(data) / PLAYER_BYTES_PER_S)

    def copy(self, path: Path, seed: int) -> None:
        """Read a whole file as copy programs do."""
        with path.open("rb", buffering=0) as file:
            size, place = os.fstat(file.fileno()).st_size, 0
            while data := os.read(file.fileno(), 1024 * KIB):
                self._check(path, seed, place, data)
                place += len(data)
        if place != size:
            say(errno=WRONG, name=f"{place} bytes instead of {size}", session=str(path))

    def _check(self, path: Path, seed: int, place: int, data: bytes) -> None:
        if data != pattern(seed, place, len(data)):
            say(errno=WRONG, name="wrong bytes", session=str(path))
        self._reads += 1
        if self._reads % 100 == 0:
            say(reads=100)


if __name__ == "__main__":
    Worker(Path(sys.argv[2]), int(sys.argv[3])).run(sys.argv[1])

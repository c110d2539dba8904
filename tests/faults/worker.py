"""A program that uses a mount for as long as it lives, and says every error.

`python -m tests.faults.worker KIND MOUNT SEED`, where KIND is player or copy. It
knows what the bytes must be: the server names results after the seed of their
pattern. One JSON line for each error on standard output (when, errno, in doing
what, where), a wrong byte among them; one for each hundred reads, so that its
silence is a finding, too.
"""

import errno
import json
import os
import random
import sys
import time
from pathlib import Path

from axxonfs.simulator.pattern import pattern
from tests.faults.judge import WRONG

KIB = 1024
# What a player of 2 Mbit/s takes.
PLAYER_BYTES_PER_S = 256 * KIB
STEP_BYTES = 128 * KIB
STEPS = 24


def say(**words: object) -> None:
    sys.stdout.write(json.dumps({"at": time.time(), **words}) + "\n")
    sys.stdout.flush()


class Worker:
    """One program."""

    def __init__(self, mount: Path, seed: int) -> None:
        self._mount = mount
        self._chance = random.Random(seed)
        self._reads = 0
        self._doing, self._where = "list", mount

    def run(self, kind: str) -> None:
        """Work for ever."""
        while True:
            try:
                path = self._choose()
                if path is None:
                    time.sleep(0.5)
                    continue
                self._doing, self._where = "look", path
                seed = int(os.getxattr(path, "user.axxonfs.path").rpartition(b"-")[2])
                getattr(self, kind)(path, seed)
            except OSError as error:
                self._complain(error.errno or 0, errno.errorcode.get(error.errno or 0, "?"))
                time.sleep(1)

    def _complain(self, number: int, name: str) -> None:
        say(errno=number, name=name, doing=self._doing, where=str(self._where.relative_to(self._mount)))

    def _choose(self) -> Path | None:
        self._doing, self._where = "list", self._mount / "sessions"
        sessions = [path.name for path in self._where.iterdir()]
        if not sessions:
            return None
        self._where /= self._chance.choice(sessions)
        results = [path for path in self._where.iterdir() if path.suffix == ".mkv"]
        return self._chance.choice(results) if results else None

    def player(self, path: Path, seed: int) -> None:
        """Open head, tail and middle, then play on."""
        self._doing = "open"
        with path.open("rb", buffering=0) as file:
            self._doing = "read"
            size = os.fstat(file.fileno()).st_size
            if size == 0:
                return
            self._check(seed, 0, os.pread(file.fileno(), 64 * KIB, 0))
            tail = max(0, size - 64 * KIB)
            self._check(seed, tail, os.pread(file.fileno(), 64 * KIB, tail))
            place = self._chance.randrange(size)
            for _ in range(STEPS):
                data = os.pread(file.fileno(), STEP_BYTES, place)
                if not data:
                    return
                self._check(seed, place, data)
                place += len(data)
                time.sleep(len(data) / PLAYER_BYTES_PER_S)

    def copy(self, path: Path, seed: int) -> None:
        """Read a whole file as copy programs do."""
        self._doing = "open"
        with path.open("rb", buffering=0) as file:
            self._doing = "read"
            size, place = os.fstat(file.fileno()).st_size, 0
            while data := os.read(file.fileno(), 1024 * KIB):
                self._check(seed, place, data)
                place += len(data)
        if place != size:
            self._complain(WRONG, f"{place} bytes instead of {size}")

    def _check(self, seed: int, place: int, data: bytes) -> None:
        if data != pattern(seed, place, len(data)):
            self._complain(WRONG, "wrong bytes")
        self._reads += 1
        if self._reads % 100 == 0:
            say(reads=100)


if __name__ == "__main__":
    Worker(Path(sys.argv[2]), int(sys.argv[3])).run(sys.argv[1])

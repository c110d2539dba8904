"""Any reads by any handles while anything breaks: every byte that is returned is the right one, or the call fails."""

import dataclasses
import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axxonfs.simulator.faults import Action
from tests.fuse.harness import QUICK, Rig, module_rig

MIB = 1 << 20
SIZE = 2 * MIB + 777
EXAMPLES = int(os.environ.get("AXXONFS_ORACLE_EXAMPLES", "12"))
# Bytes that no check can tell are left out: whoever sends them has broken the contract that bytes rest on.
ACTIONS: tuple[Action, ...] = (
    "status", "cut", "end", "slow", "wrong_index", "skip_chunk", "repeat_chunk", "empty_chunk", "short_chunk",
    "long_chunk", "huge_chunk",
)  # fmt: skip
# Reads a page through a map; a page that does not come ends the process by SIGBUS.
MAPPED = """
import hashlib, mmap, sys
with open(sys.argv[1], "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
    place = int(sys.argv[2])
    sys.stdout.buffer.write(view[place : place + int(sys.argv[3])])
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One thing that somebody does."""

    kind: str  # pread, direct, seek, reopen, map, break
    handle: int
    place: int
    size: int
    action: Action
    after: int
    times: int


STEPS = st.lists(
    st.builds(
        Step,
        kind=st.sampled_from(("pread", "pread", "direct", "seek", "reopen", "map", "break", "break")),
        handle=st.integers(0, 2),
        place=st.integers(0, SIZE + 4096),
        size=st.sampled_from((1, 511, 4096, 65536, 300_000, MIB)),
        action=st.sampled_from(ACTIONS),
        after=st.integers(0, 4),
        times=st.integers(1, 3),
    ),
    min_size=3,
    max_size=14,
)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    options = QUICK | {"read_timeout": "4s", "cache_size": "4M"}
    with module_rig(tmp_path_factory, options=options, declared=["server away"]) as rig:
        yield rig


class Reader:
    """Several handles of one result, and what their bytes must be."""

    def __init__(self, path: Path, truth: bytes) -> None:
        self._path, self._truth = path, truth
        self._files = [os.open(path, os.O_RDONLY) for _ in range(3)]
        self.failed = self.right = 0

    def close(self) -> None:
        for file in self._files:
            os.close(file)

    def do(self, step: Step) -> None:
        """Do one step; a read that fails must fail with EIO."""
        read: Callable[[Step], bytes] = getattr(self, f"_{step.kind}")
        try:
            data = read(step)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            self.failed += 1
        else:
            expected = self._truth[step.place : step.place + step.size]
            assert data == expected[: len(data)]
            # Fewer only at the end, or where the rest failed: what was returned is right, and there is some.
            assert data or not expected
            self.right += 1

    def _pread(self, step: Step) -> bytes:
        return os.pread(self._files[step.handle], step.size, step.place)

    def _seek(self, step: Step) -> bytes:
        os.lseek(self._files[step.handle], step.place, os.SEEK_SET)
        return os.read(self._files[step.handle], step.size)

    def _reopen(self, step: Step) -> bytes:
        os.close(self._files[step.handle])
        self._files[step.handle] = os.open(self._path, os.O_RDONLY)
        return self._pread(step)

    def _direct(self, step: Step) -> bytes:
        file = os.open(self._path, os.O_RDONLY | os.O_DIRECT)
        try:
            return os.pread(file, step.size, step.place)
        finally:
            os.close(file)

    def _map(self, step: Step) -> bytes:
        words = [sys.executable, "-c", MAPPED, str(self._path), str(step.place), str(min(step.size, 4096))]
        done = subprocess.run(words, capture_output=True, check=False, timeout=60)
        if done.returncode:
            assert done.returncode < 0, done.stderr
            raise OSError(errno.EIO, "a page did not come")
        return done.stdout


@settings(
    max_examples=EXAMPLES,
    deadline=None,
)
@given(steps=STEPS)
def test_every_byte_that_a_read_returns_is_right_whatever_breaks(rig: Rig, steps: list[Step]) -> None:
    path = rig.hold_bytes(SIZE)
    reader = Reader(path, rig.truth(path))
    try:
        for step in steps:
            if step.kind == "break":
                rig.sim.faults.add(
                    method="DownloadFile", action=step.action, after_chunks=step.after, times=step.times, delay_s=0.05
                )
            else:
                reader.do(step)
    finally:
        reader.close()
        rig.sim.faults.clear()
    # Nothing of what went wrong was kept.
    assert path.read_bytes() == rig.truth(path)

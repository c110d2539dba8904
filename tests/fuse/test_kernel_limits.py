"""What the mount says to the kernel besides answers: its limits, and entries that went."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from axxonfs.fs import kernel
from tests.fuse.harness import Rig, wait_until

MIB = 1024 * 1024

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may raise the kernel's limits")


@contextmanager
def connections() -> Iterator[Path]:
    """Give the directory of FUSE's connections, mounted here where the machine has it not."""
    standard = Path("/sys/fs/fuse/connections")
    if os.path.ismount(standard):
        yield standard
        return
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(["mount", "-t", "fusectl", "fusectl", directory], check=True)
        try:
            yield Path(directory)
        finally:
            subprocess.run(["umount", directory], check=True)


@needs_root
def test_root_raises_the_read_ahead_of_its_mount(shared_rig: Rig) -> None:
    device = shared_rig.path.stat().st_dev
    limit = Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb")
    wait_until(lambda: limit.read_text() == f"{kernel.READ_AHEAD_KB}\n", "the read-ahead")


@needs_root
def test_on_a_slow_line_the_kernel_reads_less_ahead(rig: Rig) -> None:
    device = rig.path.stat().st_dev
    limit = Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb")
    wait_until(lambda: limit.read_text() == f"{kernel.READ_AHEAD_KB}\n", "the read-ahead")
    rig.sim.faults.add(method="DownloadFile", action="slow", delay_s=0.05, times=100)  # 64 KiB in each: 1.3 MB/s
    path = rig.hold_bytes(2 * MIB)
    assert path.read_bytes() == rig.truth(path)
    wait_until(lambda: limit.read_text() == "64\n", "the read-ahead of a slow line")


@needs_root
def test_the_read_ahead_of_a_mount_can_be_lowered_again(shared_rig: Rig) -> None:
    device = shared_rig.path.stat().st_dev
    limit = Path(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb")
    wait_until(lambda: limit.read_text() == f"{kernel.READ_AHEAD_KB}\n", "the read-ahead")
    try:
        assert kernel.set_read_ahead(shared_rig.path, 64)
        assert limit.read_text() == "64\n"
    finally:
        kernel.set_read_ahead(shared_rig.path, kernel.READ_AHEAD_KB)


@needs_root
def test_root_raises_the_background_limit_of_its_mount(shared_rig: Rig) -> None:
    with connections() as directory:
        limits = directory / str(os.minor(shared_rig.path.stat().st_dev))
        wait_until(lambda: int((limits / "max_background").read_text()) == kernel.MAX_BACKGROUND, "the limit")
        assert int((limits / "congestion_threshold").read_text()) == kernel.MAX_BACKGROUND * 3 // 4


def test_a_limit_that_cannot_be_raised_is_said() -> None:
    # /proc has neither a read-ahead nor a connection of FUSE.
    problems = kernel.raise_limits(Path("/proc"))
    assert any("read-ahead" in problem for problem in problems)
    assert any("background" in problem for problem in problems)


def test_a_name_that_went_is_not_served_from_the_kernel_s_memory(shared_rig: Rig) -> None:
    session_id = shared_rig.session_id(shared_rig.hold_bytes(1000).parent)
    directory = shared_rig.session_dir(session_id)
    assert (directory / "state").stat().st_size > 0
    shared_rig.sim.sessions.destroy(session_id)
    (directory / "control").write_text("destroy\n")
    wait_until(lambda: not directory.exists(), "the kernel to forget the name")


SCATTERED = """
from pathlib import Path
from axxonfs.fs import kernel

def resident_mib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20

kernel.bound_malloc()
chunks, small = [], []
for number in range(4000):
    chunks.append(bytes([number % 255]) * 16_384)
    small.append(bytes(1000 + number % 100))
del chunks[::2], chunks[::2]
before = resident_mib()
kernel.trim_malloc()
print(before - resident_mib())
"""


def test_what_malloc_holds_free_between_what_stays_goes_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", SCATTERED], capture_output=True, text=True, check=True)
    assert int(done.stdout) >= 20

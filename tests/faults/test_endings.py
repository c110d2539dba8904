"""Ends of a mount with readers in flight, and a mount that runs out of disk or memory: never silent, never empty."""

import contextlib
import errno
import hashlib
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from axxonfs.fs import mountpoint
from tests.faults import programs
from tests.fuse.harness import CLIP, QUICK, Rig, pattern_file, wait_until

MIB = 1 << 20
# What is in flight is given up after this, and then answered.
GRACE_S = 10.0
SLACK_S = 15.0

Rigs = Callable[..., Rig]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small disk")


def stalled_readers(rig: Rig, count: int = 8) -> list[programs.Program]:
    """Start readers of downloads that bring nothing any more."""
    session = rig.hold(*(pattern_file(2 * MIB) for _ in range(count)))
    planned = rig.sim.faults.add(method="DownloadFile", action="stall", after_chunks=1, times=10_000)
    readers = [programs.start("cat", result) for result in rig.results(session)]
    assert rig.sim.faults.wait_for_hits(planned, count, 30)
    return readers


def check_ended(rig: Rig, readers: list[programs.Program]) -> None:
    """Check that every reader has been told, and none is stuck."""
    for reader in readers:
        status, text, _ = reader.end(GRACE_S + SLACK_S)
        assert status == 1
        assert re.search(rb"Input/output error|not connected|Software caused connection abort", text), text
    assert programs.blocked(rig) == {}


def test_a_terminated_mount_gives_its_readers_the_grace_time_and_then_an_error(rigs: Rigs) -> None:
    rig = rigs(options=QUICK | {"read_timeout": "5m"})
    readers = stalled_readers(rig)
    with programs.running(*readers):
        started_s = time.monotonic()
        assert rig.stop() == 0
        assert time.monotonic() - started_s < GRACE_S + SLACK_S
        check_ended(rig, readers)
    assert mountpoint.find(rig.path) is None


@pytest.mark.parametrize("words", [["umount"], ["fusermount3", "-u"]], ids=" ".join)
def test_unmounting_under_readers_is_refused_and_hurts_nobody(rigs: Rigs, words: list[str]) -> None:
    rig = rigs(options=QUICK | {"read_timeout": "5m"})
    readers = stalled_readers(rig, 3)
    with programs.running(*readers):
        done = subprocess.run([*words, rig.path], capture_output=True, text=True, timeout=20, check=False)
        assert done.returncode != 0
        assert re.search("busy", done.stderr)
        assert list((rig.path / "sessions").iterdir())
        rig.sim.faults.clear()
        assert [reader.end()[0] for reader in readers] == [0, 0, 0]


@pytest.mark.parametrize("words", [["umount", "-l"], ["fusermount3", "-uz"]], ids=" ".join)
def test_unmounting_lazily_lets_readers_end_and_then_the_daemon(rigs: Rigs, words: list[str]) -> None:
    rig = rigs(options=QUICK | {"read_timeout": "5m"})
    readers = stalled_readers(rig, 3)
    with programs.running(*readers):
        subprocess.run([*words, rig.path], check=True, timeout=20)
        rig.sim.faults.clear()
        assert [reader.end()[0] for reader in readers] == [0, 0, 0]
        assert rig.process is not None
        assert rig.process.wait(GRACE_S + SLACK_S) == 0
        rig.ended = True


def test_a_killed_daemon_leaves_no_reader_waiting_and_no_empty_directory(rigs: Rigs) -> None:
    rig = rigs(options=QUICK | {"read_timeout": "5m"})
    readers = stalled_readers(rig)
    with programs.running(*readers):
        rig.stop(signal.SIGKILL)
        check_ended(rig, readers)
    with pytest.raises(OSError, match="not connected") as caught:
        os.listdir(rig.path)  # noqa: PTH208 - the error of readdir itself
    assert caught.value.errno == errno.ENOTCONN


STUCK_AT_ITS_END = """
import sys, threading
from axxonfs.cli.main import main
from axxonfs.remote.channel import Link
Link.close = lambda _link: threading.Event().wait()
sys.exit(main(sys.argv[1:]))
"""


def test_a_daemon_that_is_stuck_once_it_has_no_mount_ends_all_the_same(rigs: Rigs) -> None:
    rig = rigs(options=QUICK)
    assert rig.stop() == 0
    words = rig.command[rig.command.index("mount") :]
    with subprocess.Popen([sys.executable, "-c", STUCK_AT_ITS_END, *words]) as process:
        wait_until(lambda: rig.answers, "the mount")
        process.terminate()
        assert process.wait(2 * GRACE_S + SLACK_S) == -signal.SIGALRM
    assert not rig.answers


WITHOUT_MEMORY_FOR_A_THREAD = """
import sys, threading
from pathlib import Path
from axxonfs.cli.main import main
full, begin = Path(sys.argv.pop(1)), threading.Thread._bootstrap
def bootstrap(thread):
    if full.exists():
        raise MemoryError
    begin(thread)
threading.Thread._bootstrap = bootstrap
sys.exit(main(sys.argv[1:]))
"""


def test_a_daemon_whose_threads_do_not_come_to_their_beginning_ends(rigs: Rigs, tmp_path: Path) -> None:
    rig = rigs(options=QUICK)
    results = rig.results(rig.hold(*(pattern_file(2 * MIB) for _ in range(8))))
    assert rig.stop() == 0
    full, words = tmp_path / "full", rig.command[rig.command.index("mount") :]
    rig.process = subprocess.Popen([sys.executable, "-c", WITHOUT_MEMORY_FOR_A_THREAD, full, *words])
    wait_until(lambda: rig.answers, "the mount")
    full.touch()
    readers = [programs.sha256sum(result) for result in results]
    with programs.running(*readers):
        assert rig.process.wait(GRACE_S + SLACK_S) == 1
        check_ended(rig, readers)
    assert is_dead(rig)


def is_dead(rig: Rig) -> bool:
    """Whether the mount is dead; it holds a session else."""
    try:
        found = list((rig.path / "sessions").iterdir())
    except OSError as error:
        if error.errno == errno.ENOTCONN:
            return True
        raise
    assert found
    return False


# -- no room --------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", path], check=True, timeout=20)
    yield path
    subprocess.run(["umount", "-l", path], check=True, timeout=20)


def fill(path: Path) -> None:
    """Take all the room that is left."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))


@needs_root
@pytest.mark.expects_warnings("new/ not saved")
@pytest.mark.expects_warnings("not saved")
@pytest.mark.expects_warnings("journal not written, trying again")
def test_a_full_state_directory_refuses_starts_in_words_and_reading_goes_on(rigs: Rigs, small_disk: Path) -> None:
    rig = rigs(options=QUICK | {"state_dir": str(small_disk / "state")}, file_size_bytes=2 * MIB)
    before = rig.exported("before")
    fill(small_disk / "filler")
    with pytest.raises(OSError, match=r"Input/output error|No space left"):
        rig.write_spec("full", **CLIP())
    assert re.search("disk|space|full", (rig.new / "full.error").read_text())
    assert rig.starts == 1
    assert before.read_bytes() == rig.truth(before)
    other = rig.hold_bytes(MIB)
    assert other.read_bytes() == rig.truth(other)
    (small_disk / "filler").unlink()
    rig.write_spec("full", **CLIP())
    assert rig.starts == 2


@pytest.mark.expects_warnings("unexpectedly")
@pytest.mark.expects_warnings("Traceback")
@pytest.mark.expects_warnings("server away")  # a listing that found no memory
@pytest.mark.parametrize("spare", [MIB // 4, MIB, 16 * MIB, 64 * MIB])
def test_a_daemon_without_memory_goes_on_or_dies_and_never_leaves_an_empty_directory(rigs: Rigs, spare: int) -> None:
    rig = rigs(options=QUICK)
    assert rig.process is not None
    results = rig.results(rig.hold(*(pattern_file(4 * MIB) for _ in range(4))))
    first, *others = results
    assert first.read_bytes() == rig.truth(first)
    status = Path(f"/proc/{rig.process.pid}/status").read_text()
    size = int(re.search(r"VmSize:\s+(\d+)", status)[1]) * 1024  # type: ignore[index]
    resource.prlimit(rig.process.pid, resource.RLIMIT_AS, (size + spare, resource.RLIM_INFINITY))
    readers = [programs.sha256sum(result) for result in others]
    with programs.running(*readers):
        ended = [reader.end(60)[:2] for reader in readers]
    for (code, text), result in zip(ended, others, strict=True):
        assert code == 1 or text.split()[0].decode() == sha256(rig.truth(result))
    if is_dead(rig):
        assert rig.process.wait(GRACE_S + SLACK_S) != 0
        rig.start()
    else:
        resource.prlimit(rig.process.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    for result in results:
        assert result.read_bytes() == rig.truth(result)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

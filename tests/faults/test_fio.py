"""What fio wrote, served by the server and read back through the mount while streams break: every block verified."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from axxonfs.simulator.faults import Action
from axxonfs.simulator.records import ResultFile
from tests.fuse.harness import QUICK, Rig, needs, plain_options

MIB = 1 << 20
SIZE = 48 * MIB
BLOCK = 64 << 10
TIMEOUT_S = 150.0


def fio(path: Path, directory: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run fio in a directory, for it leaves its state where it runs."""
    shared = ["fio", "--name=verified", f"--filename={path}", f"--size={SIZE}", f"--bs={BLOCK}", "--verify=crc32c"]
    shared += ["--verify_fatal=1", "--randseed=7", "--ioengine=psync"]
    return subprocess.run(
        [*shared, *words], capture_output=True, text=True, check=False, timeout=TIMEOUT_S, cwd=directory
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file whose every block carries its checksum and place."""
    path = tmp_path_factory.mktemp("fio") / "verified"
    done = fio(path, path.parent, "--rw=write", "--do_verify=0")
    assert done.returncode == 0, done.stderr
    assert path.stat().st_size == SIZE
    return path


def hold_file(rig: Rig, path: Path) -> Path:
    """Let the server hold a file as a result; return it as the mount shows it."""
    result = ResultFile(path="fio", size=path.stat().st_size, kind="mkv", stored="fio.mkv")
    session_id = rig.sim.sessions.add(plain_options(), files=[result])
    held = rig.sim._store.file_of(rig.sim.sessions.record(session_id), result)
    assert held is not None
    held.parent.mkdir(parents=True)
    held.write_bytes(path.read_bytes())
    rig.look()
    [shown] = rig.results(rig.session_dir(session_id))
    return shown


@pytest.fixture
def rig_of_fio(rigs: Callable[..., Rig]) -> Rig:
    # Less cache than the file has, so that what was read once is fetched again.
    return rigs(options=QUICK | {"cache_size": "8M"})


@needs("fio")
@pytest.mark.parametrize("order", ["read", "randread"])
@pytest.mark.parametrize("action", ["cut", "end"])
def test_every_block_that_fio_reads_is_the_one_that_it_wrote(
    rig_of_fio: Rig, written: Path, order: str, action: Action
) -> None:
    result = hold_file(rig_of_fio, written)
    # Every stream breaks after three chunks, until that has happened so often; one stands still.
    breaks = rig_of_fio.sim.faults.add(method="DownloadFile", action=action, after_chunks=3, times=40)
    rig_of_fio.sim.faults.add(method="DownloadFile", action="stall", after_chunks=2)
    done = fio(
        result, rig_of_fio.scratch, f"--rw={order}", "--readonly", "--direct=1", "--numjobs=2", "--group_reporting"
    )
    assert done.returncode == 0, done.stderr
    assert "err= 0" in done.stdout
    assert breaks.hits > 5


@needs("fio")
def test_fio_would_notice_a_wrong_byte(rig_of_fio: Rig, written: Path) -> None:
    result = hold_file(rig_of_fio, written)
    rig_of_fio.sim.faults.add(method="DownloadFile", action="wrong_byte", after_chunks=2, times=100)
    done = fio(result, rig_of_fio.scratch, "--rw=read", "--readonly", "--direct=1")
    assert done.returncode != 0
    assert "verify" in done.stderr

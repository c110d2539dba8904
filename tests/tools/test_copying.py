"""Results are copied by the programs that people use, and every byte arrives."""

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.fuse.harness import QUICK, Rig, module_rig, needs, pattern_file

pytestmark = needs("cp", "rsync", "tar", "dd", "sha256sum", "cmp")

MIB = 1024 * 1024
SIZES = (0, 1, 4096, 300_000, 3 * MIB, 8 * MIB + 123)


@pytest.fixture(scope="module")
def mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A mount that nothing changes but the tests."""
    with module_rig(tmp_path_factory, options=QUICK, sessions=3) as rig:
        rig.hold(*map(pattern_file, SIZES))
        yield rig


@pytest.fixture(scope="module")
def truth(mount: Rig) -> Mapping[str, bytes]:
    """The bytes of all results by their paths in the mount."""
    paths = [path for session in mount.sessions for path in mount.results(session)]
    assert len(paths) == 3 + len(SIZES)
    return {str(path.relative_to(mount.path)): mount.truth(path) for path in paths}


@pytest.fixture
def large(shared_rig: Rig) -> Path:
    """A result of which neither the kernel nor the mount has anything yet."""
    return shared_rig.hold_bytes(8 * MIB + 123)


def run(*words: str | Path, cwd: Path | None = None) -> str:
    """Run a program, which must succeed, and return what it prints."""
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def check_copy(copy: Path, truth: Mapping[str, bytes]) -> None:
    """Check that a directory holds every result with its bytes, and the specs of all sessions."""
    for name, data in truth.items():
        assert (copy / name).read_bytes() == data, name
    sessions = {Path(name).parent for name in truth}
    assert all(json.loads((copy / session / "spec.json").read_text()) for session in sessions)


# -- single results ---------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        "cp {source} {target}",
        "cp --sparse=always {source} {target}",
        "cp --reflink=never -p {source} {target}",
        "install {source} {target}",
        "rsync --whole-file {source} {target}",
        "rsync -cW --inplace {source} {target}",
        "dd if={source} of={target} status=none",
        "dd if={source} of={target} bs=1000 status=none",
        "dd if={source} of={target} bs=7M status=none",
        "dd if={source} of={target} bs=4k iflag=direct status=none",
        "dd if={source} of={target} bs=1M iflag=direct status=none",
        "dd if={source} of={target} bs=100003 iflag=direct status=none",
        "sh -c 'cat {source} > {target}'",
        "sh -c 'cat < {source} | cat > {target}'",
        "sh -c 'head -c 5000000 {source} > {target}; tail -c +5000001 {source} >> {target}'",
        'python3 -c \'import shutil; shutil.copyfile("{source}", "{target}")\'',
    ],
)
def test_a_result_is_copied_byte_for_byte(shared_rig: Rig, large: Path, tmp_path: Path, command: str) -> None:
    target = tmp_path / "copy"
    run("bash", "-c", command.format(source=large, target=target))
    assert target.read_bytes() == shared_rig.truth(large)


@pytest.mark.parametrize(
    ("block", "skip", "count"), [(1, 5_000_001, 70), (1000, 777, 99), (65_537, 13, 40), (MIB, 7, 9), (512, 16_384, 1)]
)
@pytest.mark.parametrize("flag", ["fullblock", "direct"])
def test_dd_reads_any_piece(shared_rig: Rig, large: Path, flag: str, block: int, skip: int, count: int) -> None:
    words = [f"if={large}", f"bs={block}", f"skip={skip}", f"count={count}", f"iflag={flag}", "status=none"]
    done = subprocess.run(["dd", *words], capture_output=True, check=True, timeout=60)
    assert done.stdout == shared_rig.truth(large)[block * skip : block * (skip + count)]


def test_checksums_are_those_of_what_the_server_holds(mount: Rig, truth: Mapping[str, bytes]) -> None:
    printed = run("sha256sum", *truth, cwd=mount.path)
    sums = {name: digest for digest, name in (line.split(maxsplit=1) for line in printed.splitlines())}
    assert sums == {name: hashlib.sha256(data).hexdigest() for name, data in truth.items()}


def test_cmp_finds_no_difference_and_one_where_there_is_one(shared_rig: Rig, large: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    data = bytearray(shared_rig.truth(large))
    copy.write_bytes(data)
    run("cmp", large, copy)
    data[5 * MIB] ^= 1
    copy.write_bytes(data)
    done = subprocess.run(["cmp", large, copy], capture_output=True, text=True, check=False)
    # "byte" or "char", as the locale says.
    assert f" {5 * MIB + 1}," in done.stdout


# -- the whole tree ------------------------------------------------------------------


def test_cp_copies_the_tree_with_times(mount: Rig, truth: Mapping[str, bytes], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    run("cp", "-a", mount.path, copy)
    check_copy(copy, truth)
    for name in truth:
        assert (copy / name).stat().st_mtime_ns == (mount.path / name).stat().st_mtime_ns
        assert os.getxattr(copy / name, "user.axxonfs.path") == os.getxattr(mount.path / name, "user.axxonfs.path")


def test_a_second_rsync_copies_no_result_and_asks_the_server_for_nothing(
    mount: Rig, truth: Mapping[str, bytes], tmp_path: Path
) -> None:
    mirror = tmp_path / "mirror"
    first = run("rsync", "-a", "--itemize-changes", f"{mount.path}/", mirror)
    check_copy(mirror, truth)
    assert {name for name in truth if f">f+++++++++ {name}" in first} == set(truth)
    mount.sim.calls.clear()
    second = run("rsync", "-a", "--itemize-changes", f"{mount.path}/", mirror)
    changed = {line.split(maxsplit=1)[1] for line in second.splitlines() if line.startswith(">f")}
    # Reading is use, so texts may say something else now.
    assert {Path(name).name for name in changed} <= {"status.json", "stats.json", "metrics.prom"}
    assert not mount.downloads()


def test_a_third_rsync_of_sessions_copies_nothing_at_all(mount: Rig, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"

    def rsync() -> str:
        return run("rsync", "-a", "--delete", "--itemize-changes", f"{mount.path}/sessions/", mirror)

    rsync()
    rsync()
    assert rsync() == ""


def test_rsync_of_a_mirror_checks_by_content_when_asked(mount: Rig, truth: Mapping[str, bytes], tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    run("rsync", "-a", f"{mount.path}/sessions", mirror)
    name = max(truth, key=lambda name: len(truth[name]))
    with (mirror / name).open("r+b") as file:
        file.seek(1000)
        file.write(b"spoilt")
    os.utime(mirror / name, ns=((mount.path / name).stat().st_mtime_ns,) * 2)
    printed = run("rsync", "-ac", "--itemize-changes", f"{mount.path}/sessions", mirror)
    assert [line.split()[1] for line in printed.splitlines() if ".mkv" in line] == [name]
    check_copy(mirror, truth)


@pytest.mark.parametrize("options", ["-cf", "-cSf", "-czf"])
def test_tar_stores_every_byte_sparse_or_not(
    mount: Rig, truth: Mapping[str, bytes], tmp_path: Path, options: str
) -> None:
    archive, copy = tmp_path / "archive.tar", tmp_path / "copy"
    run("tar", options, archive, "-C", mount.path, "sessions", "cameras")
    copy.mkdir()
    run("tar", "-xf", archive, "-C", copy)
    check_copy(copy, truth)
    with tarfile.open(archive) as opened:
        assert {member.name for member in opened if member.issparse()} == set()


def test_python_copies_the_tree(mount: Rig, truth: Mapping[str, bytes], tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(mount.path / "sessions", copy / "sessions")
    check_copy(copy, truth)


def test_several_programs_copy_at_once(shared_rig: Rig, tmp_path: Path) -> None:
    paths = shared_rig.results(shared_rig.hold(*(pattern_file(4 * MIB + number) for number in range(6))))
    copies = {tmp_path / f"{path.name}-{number}": path for path in paths for number in range(3)}
    copying = [subprocess.Popen(["cp", path, copy]) for copy, path in copies.items()]
    assert [each.wait(120) for each in copying] == [0] * len(copies)
    for copy, path in copies.items():
        assert copy.read_bytes() == shared_rig.truth(path)


@needs("gio")
def test_a_file_manager_copies_a_result(shared_rig: Rig, large: Path, tmp_path: Path) -> None:
    run("gio", "copy", large, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == shared_rig.truth(large)

"""What is not allowed is refused in words that programs know, and the mount is as well afterwards as before."""

import errno
import os
import shlex
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fuse.harness import QUICK, Rig, needs, pattern_file

Act = Callable[[Path], object]


@pytest.fixture(scope="module")
def session(shared_rig: Rig) -> Path:
    return shared_rig.hold(pattern_file(5000))


@pytest.fixture(autouse=True)
def unharmed(shared_rig: Rig, session: Path) -> Iterator[None]:
    """Whatever was tried: nothing changed, and nothing unforeseen happened in the daemon."""
    before = picture(shared_rig)
    yield
    assert picture(shared_rig) == before
    [result] = shared_rig.results(session)
    assert result.read_bytes() == shared_rig.truth(result)
    assert shared_rig.process is not None
    assert shared_rig.process.poll() is None


def picture(rig: Rig) -> dict[Path, tuple[int, int, int, int]]:
    paths = [path for path in rig.path.rglob("*") if path.name not in {"new", "stats.json", "metrics.prom"}]
    found = {path: path.stat() for path in paths}
    return {path: (each.st_mode, each.st_uid, each.st_ino, each.st_mtime_ns) for path, each in found.items()}


def errno_of(act: Callable[[], object]) -> str:
    """Return the name of the error that an action fails with."""
    with pytest.raises(OSError) as caught:  # noqa: PT011 - which error it is, is what this returns
        act()
    return errno.errorcode[caught.value.errno or 0]


def write(path: Path) -> None:
    os.close(os.open(path, os.O_WRONLY))


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        # A name of at most 107 bytes.
        os.chdir(path.parent)
        try:
            server.bind(path.name)
        finally:
            os.chdir("/")


# -- new names -----------------------------------------------------------------------


FOLDERS = [".", "sessions", "cameras", ".axxonfs", "cameras/1.Front_door", "SESSION"]
MAKERS: dict[str, Act] = {
    "file": lambda path: path.touch(),
    "exclusive file": lambda path: os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY),
    "unnamed file": lambda path: os.open(path.parent, os.O_TMPFILE | os.O_WRONLY),
    "directory": lambda path: path.mkdir(),
    "fifo": os.mkfifo,
    "device": lambda path: os.mknod(path, 0o20600, 0x103),
    "socket": bind,
    "symbolic link": lambda path: path.symlink_to("state"),
}


def inside(rig: Rig, session: Path, folder: str) -> Path:
    return session if folder == "SESSION" else rig.path / folder


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("kind", MAKERS)
def test_nothing_can_be_made_outside_new(shared_rig: Rig, session: Path, folder: str, kind: str) -> None:
    path = inside(shared_rig, session, folder) / "x"
    # The kernel itself says that it has no unnamed files here.
    assert errno_of(lambda: MAKERS[kind](path)) == ("ENOTSUP" if kind == "unnamed file" else "EPERM")


@pytest.mark.parametrize("folder", FOLDERS)
def test_nothing_can_be_linked_or_renamed_into_or_out_of_a_folder(shared_rig: Rig, session: Path, folder: str) -> None:
    path = inside(shared_rig, session, folder)
    [result] = shared_rig.results(session)
    scratch = shared_rig.new / "scratch"
    scratch.touch()
    try:
        for source in (result, scratch, session / "state"):
            assert errno_of(lambda source=source: (path / "x").hardlink_to(source)) == "EPERM"  # type: ignore[misc]
            assert errno_of(lambda source=source: source.rename(path / "x")) == "EPERM"  # type: ignore[misc]
        if path != session:
            assert errno_of(lambda: session.rename(path / "x")) == "EPERM"
        assert errno_of(lambda: result.rename(shared_rig.new / "clip.json")) == "EPERM"
    finally:
        scratch.unlink()


# -- existing names --------------------------------------------------------------------


FILES = ["RESULT", "SESSION/state", "SESSION/status.json", "cameras/1.Front_door/camera.json", ".axxonfs/stats.json"]
CHANGES: dict[str, Act] = {
    "open for writing": write,
    "open for appending": lambda path: path.open("ab"),
    "open and truncate": lambda path: path.open("wb"),
    "truncate": lambda path: os.truncate(path, 0),
    "extend": lambda path: os.truncate(path, 1 << 20),
    "chmod": lambda path: path.chmod(0o600),
    "chown": lambda path: os.chown(path, 1, 1),
    "set times": lambda path: os.utime(path, (1, 1)),
    "touch": os.utime,
}


def existing(rig: Rig, session: Path, name: str) -> Path:
    if name == "RESULT":
        return rig.results(session)[0]
    return session / name.removeprefix("SESSION/") if name.startswith("SESSION/") else rig.path / name


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", CHANGES)
def test_results_and_texts_cannot_be_changed(shared_rig: Rig, session: Path, name: str, change: str) -> None:
    path = existing(shared_rig, session, name)
    assert errno_of(lambda: CHANGES[change](path)) == "EPERM"


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("change", ["chmod", "chown", "set times", "touch"])
def test_directories_cannot_be_changed(shared_rig: Rig, session: Path, folder: str, change: str) -> None:
    assert errno_of(lambda: CHANGES[change](inside(shared_rig, session, folder))) == "EPERM"


def test_a_session_of_others_cannot_be_removed_and_folders_of_the_mount_neither(shared_rig: Rig, session: Path) -> None:
    [result] = shared_rig.results(session)
    assert errno_of(result.unlink) == "EPERM"
    assert errno_of(session.rmdir) == "EPERM"
    for name in ("sessions", "cameras", "cameras/1.Front_door", ".axxonfs"):
        folder = shared_rig.path / name
        assert errno_of(folder.rmdir) == "EPERM"
        assert errno_of(folder.unlink) == "EISDIR"
    assert errno_of((session / "state").rmdir) == "ENOTDIR"


def test_a_name_that_is_too_long_or_no_name_is_refused_as_elsewhere(shared_rig: Rig, session: Path) -> None:
    assert errno_of((session / ("x" * 256)).stat) == "ENAMETOOLONG"
    assert errno_of((session / "state" / "x").stat) == "ENOTDIR"
    assert errno_of((session / "x").stat) == "ENOENT"
    assert errno_of(lambda: os.open(session, os.O_WRONLY)) == "EISDIR"


# -- the same by programs ----------------------------------------------------------------


@needs("rsync")
@pytest.mark.parametrize(
    "command",
    [
        "touch x",
        "touch state",
        "mkdir x",
        "ln -s state x",
        "ln state x",
        "mkfifo x",
        "mv state x",
        "mv RESULT ..",
        "cp state x",
        "cp /etc/passwd state",
        "tee state",
        "dd if=/dev/zero of=RESULT bs=1 count=1 conv=notrunc",
        "truncate -s 0 RESULT",
        "fallocate -l 1M RESULT",
        "chmod u+w RESULT",
        "chown 1:1 RESULT",
        "chgrp 1 RESULT",
        "sed -i s/a/b/ state",
        "install /etc/passwd x",
        "rsync --inplace /etc/passwd state",
        "rsync /etc/passwd x",
        "tar -xf ARCHIVE",
        "rm -f RESULT",
        "rmdir ../../sessions",
        "sh -c 'echo > state'",
        "sh -c 'echo >> RESULT'",
    ],
)
def test_programs_are_told_that_it_is_not_permitted(
    shared_rig: Rig, session: Path, tmp_path: Path, command: str
) -> None:
    [result] = shared_rig.results(session)
    archive = tmp_path / "archive.tar"
    subprocess.run(["tar", "-cf", archive, "-C", "/etc", "passwd"], check=True)
    words = shlex.split(command.replace("RESULT", result.name).replace("ARCHIVE", str(archive)))
    done = subprocess.run(words, cwd=session, input="x", capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert "not permitted" in done.stderr, done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_another_user_is_denied_by_the_modes(rigs: Callable[..., Rig]) -> None:
    rig = rigs(options=QUICK | {"allow_other": ""})
    session = rig.hold(pattern_file(5000))
    [result] = rig.results(session)
    for parent in (*rig.path.parents,):
        parent.chmod(parent.stat().st_mode | 0o011)

    def as_nobody(program: str, path: Path) -> subprocess.CompletedProcess[bytes]:
        drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program]
        return subprocess.run([*drop, path], cwd="/", input=b"", capture_output=True, check=False, timeout=60)

    assert as_nobody("cat", result).stdout == rig.truth(result)
    tries = {session / "x": "touch", session / "state": "tee", session / "control": "tee", result: "unlink"}
    for path, program in tries.items():
        done = as_nobody(program, path)
        assert (done.returncode, b"Permission denied" in done.stderr) == (1, True), done.stderr

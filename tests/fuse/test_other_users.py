"""What other users of the machine may do on a mount, as the kernel enforces it, and what the daemon itself may."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from axxonfs.fs import privileges
from tests.fuse.harness import CLIP, Rig, make_rig, needs

Rigs = Callable[..., Rig]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
STRANGER, OWNER = 54321, 54322
NOBODY = 65534  # who has a name, which fusermount3 asks for
# Modules first: the other user may not be able to read them.
AS_STRANGER = """
import os, sys
from axxonfs.cli import export, main, umount, wait
import importlib.metadata; importlib.metadata.version("axxonfs")
uid = int(sys.argv[1])
os.setgroups([])
os.setresgid(uid, uid, uid)
os.setresuid(uid, uid, uid)
sys.exit(main.main(sys.argv[2:]))
"""


@contextlib.contextmanager
def public_rig(options: dict[str, str]) -> Iterator[Rig]:
    """Yield a rig whose mountpoint any user may go to; pytest keeps its directories for their owner."""
    with tempfile.TemporaryDirectory(prefix="axxonfs-") as directory:
        Path(directory).chmod(0o711)
        with make_rig(Path(directory), options=options) as rig:
            yield rig


def as_user(uid: int, script: str, path: Path) -> "subprocess.CompletedProcess[str]":
    """Run a script of the shell in `path` as another user without any groups or capabilities of root."""
    words = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--", "sh", "-c", script]
    return subprocess.run([*words, str(path)], capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def shared() -> Iterator[Rig]:
    with public_rig({"allow_other": ""}) as rig:
        yield rig


@pytest.fixture(scope="module")
def mine(shared: Rig) -> Path:
    """A result of an export that the mount started."""
    return shared.exported("mine")


@needs_root
@needs("setpriv")
def test_without_allow_other_another_user_sees_nothing_at_all() -> None:
    with public_rig({}) as rig:
        done = as_user(STRANGER, 'ls "$0"', rig.path)
    assert done.returncode != 0
    assert done.stdout == ""
    assert "Permission denied" in done.stderr


@needs_root
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("export", "{mount}", "--camera", "1", "--at", "-1h"), "{mount} is closed to this user"),
        (("wait", "{mount}/new/door.session"), "{mount}/new/door.session is closed to this user"),
        (("umount", "{mount}"), "{mount} was not unmounted: only who mounted it can do that, or root"),
    ],
)
@needs("fusermount3")
def test_without_allow_other_the_commands_say_so_to_another_user(words: tuple[str, ...], said: str) -> None:
    with public_rig({}) as rig:
        here = [word.format(mount=rig.path) for word in words]
        program = [sys.executable, "-c", AS_STRANGER, str(NOBODY), *here]
        done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=60)
        assert rig.path.is_mount()
    assert (done.returncode, said.format(mount=rig.path) in done.stderr) == (7, True), done.stderr


@needs_root
@needs("setpriv")
def test_with_allow_other_another_user_reads_results_and_texts(shared: Rig) -> None:
    result = shared.hold_bytes(300_000)
    done = as_user(STRANGER, f"cksum < '{result}' && cat '{result.parent}/state'", shared.path)
    truth = subprocess.run(["cksum"], input=shared.truth(result), capture_output=True, check=True).stdout.decode()
    assert done.stdout == f"{truth}completed\n"


@needs_root
@needs("setpriv")
@pytest.mark.parametrize(
    "script",
    [
        "echo '' > $0/new/theirs.json",
        "mkdir $0/new/directory",
        "echo destroy > {session}/control",
        "echo keep > {session}/control",
        "rm {result}",
        "rmdir {session}",
        "cat $0/new/mine.json",
        "echo > $0/new/mine.json",
        "mv $0/new/mine.json $0/new/theirs.json",
        "ln -s x $0/new/mine.session",
        "chmod 644 $0/new/mine.json",
        "chown $(id -u) $0/new/mine.json",
        "touch $0/new/mine.json",
        "setfattr -n user.x -v y {result}",
        "dd if=/dev/null of={result} bs=1 conv=notrunc",
    ],
)
def test_with_allow_other_another_user_changes_nothing_and_reads_no_spec(shared: Rig, mine: Path, script: str) -> None:
    before, destroyed = (shared.new / "mine.json").read_bytes(), shared.sim.calls.count("DestroySession")
    done = as_user(STRANGER, script.format(session=f"'{mine.parent}'", result=f"'{mine}'"), shared.path)
    assert done.returncode != 0
    assert "Permission denied" in done.stderr or "not permitted" in done.stderr
    assert (shared.new / "mine.json").read_bytes() == before
    assert {path.name for path in shared.new.iterdir()} == {"mine.json", "mine.session"}
    assert mine.exists()
    assert shared.starts == 1
    assert shared.sim.calls.count("DestroySession") == destroyed


@needs_root
@needs("setpriv")
def test_a_mount_made_for_a_user_is_that_users_to_steer() -> None:
    with public_rig({"allow_other": "", "uid": str(OWNER), "gid": str(OWNER), "umask": "027"}) as rig:
        write = f"echo '{json.dumps(CLIP())}' > $0/new/theirs.json && cat $0/new/theirs.session/state"
        done = as_user(OWNER, write, rig.path)
        assert done.returncode == 0, done.stderr
        session = rig.session_of("theirs")
        assert (session.stat().st_uid, session.stat().st_mode & 0o777) == (OWNER, 0o750)
        assert (rig.new / "theirs.json").stat().st_uid == OWNER
        done = as_user(OWNER, f"echo keep > '{session}/control'", rig.path)
        assert done.returncode == 0, done.stderr
        assert rig.status(session)["kept"] is True
        # The umask takes everything from those who are neither the owner nor of the group.
        assert as_user(STRANGER, f"cat '{session}/state'", rig.path).returncode != 0


@needs_root
def test_a_daemon_of_root_keeps_two_capabilities_and_leaves_none_to_its_children(rigs: Rigs) -> None:
    rig = rigs()
    assert rig.process is not None
    task = Path(f"/proc/{rig.process.pid}/task")
    children = (task / str(rig.process.pid) / "children").read_text().split()
    assert children
    seen = []
    for process in (*task.iterdir(), *(Path(f"/proc/{child}") for child in children)):
        try:
            status = (process / "status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # threads come and go; one that has ended holds nothing
        seen.append(process.name)
        sets = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Cap"))
        held = {name: int(sets[name], 16) for name in ("CapPrm", "CapEff", "CapBnd", "CapInh", "CapAmb")}
        assert held == {
            "CapPrm": privileges.KEPT,
            "CapEff": privileges.KEPT,
            "CapBnd": privileges.KEPT,
            "CapInh": 0,
            "CapAmb": 0,
        }
    assert {str(rig.process.pid), *children} <= set(seen)
    limits = Path(f"/proc/{rig.process.pid}/limits").read_text().splitlines()
    [core] = [line.split() for line in limits if line.startswith("Max core")]
    assert core[4:6] == ["0", "0"]

"""A share of a mount, read with smbclient: an smbd of its own, on loopback, with the section that the docs show."""

import contextlib
import hashlib
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuse.harness import TIMEOUT_S, Rig, module_rig, needs, pattern_file, wait_until

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"
GLOBAL = """
[global]
  server role = standalone server
  map to guest = Bad User
  guest account = root
  interfaces = 127.0.0.1/8
  bind interfaces only = yes
  smb ports = {port}
  pid directory = {scratch}
  lock directory = {scratch}
  state directory = {scratch}
  cache directory = {scratch}
  private dir = {scratch}
  ncalrpc dir = {scratch}/ncalrpc
  log file = {scratch}/log
  disable spoolss = yes
  load printers = no
"""

pytestmark = [
    needs("smbd", "smbclient"),
    pytest.mark.skipif(os.geteuid() != 0, reason="smbd wants to be root"),
]


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    with module_rig(tmp_path_factory, options={"allow_other": "", "read_timeout": "60s"}) as made:
        yield made


@pytest.fixture(scope="module")
def share(rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Serve the mount; the value is the port."""
    scratch = tmp_path_factory.mktemp("samba")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    config = scratch / "smb.conf"
    config.write_text(GLOBAL.format(port=port, scratch=scratch) + section(rig.path))
    words = ["smbd", "--foreground", "--no-process-group", f"--configfile={config}", f"--log-basename={scratch}"]
    # All that it forks stays in the session and process group that are made here, and ends with it.
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True) as smbd:
        try:
            wait_until(lambda: answers(port) or smbd.poll() is not None, "smbd")
            assert smbd.poll() is None, (scratch / "log").read_text()
            yield port
        finally:
            # Not SIGTERM: one of them that waits for a read would stay, and keep the mount busy.
            os.killpg(smbd.pid, signal.SIGKILL)
            smbd.wait(TIMEOUT_S)
            wait_until(lambda: not living(smbd.pid), "the end of all that smbd forked")


def section(path: Path) -> str:
    """The documented one, for another mount, and without a password."""
    documented = re.search(r"```ini\n(\[exports\]\n.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert documented
    text, replaced = re.subn(r"path = .*", f"path = {path}", documented[1])
    assert replaced == 1
    return f"{text}  guest ok = yes\n"


def living(group: int) -> list[int]:
    """The processes of a group that still hold files, zombies not among them."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, of_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(of_group) == group and state not in "ZX":
                found.append(int(stat.parent.name))
    return found


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@contextlib.contextmanager
def client(port: int, commands: str) -> "Iterator[subprocess.Popen[str]]":
    words = ["smbclient", "//127.0.0.1/exports", "-p", str(port), "-N", "-t", "60", "-c", commands]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def run(port: int, commands: str) -> str:
    with client(port, commands) as process:
        out, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, out
    return out


def inside(rig: Rig, path: Path) -> str:
    return str(path.relative_to(rig.path)).replace("/", "\\")


def test_a_share_shows_the_tree_and_gives_the_same_bytes(rig: Rig, share: int, tmp_path: Path) -> None:
    results = rig.results(rig.hold(pattern_file(3_000_001), pattern_file(77)))
    listing = run(share, "ls")
    assert all(name in listing for name in ("new", "sessions", "cameras", ".axxonfs"))
    for number, result in enumerate(results):
        assert result.name in run(share, f'cd "{inside(rig, result.parent)}"; ls')
        run(share, f'get "{inside(rig, result)}" "{tmp_path / str(number)}"')
        assert digest((tmp_path / str(number)).read_bytes()) == digest(rig.truth(result))
    run(share, f'get "{inside(rig, results[0].parent)}\\state" "{tmp_path / "state"}"')
    assert (tmp_path / "state").read_text() == "completed\n"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_a_read_that_waits_for_the_server_does_not_stop_the_share(rig: Rig, share: int, tmp_path: Path) -> None:
    stuck, other = (rig.hold_bytes(2_000_000) for _ in range(2))
    fault = rig.sim.faults.add(method="DownloadFile", action="stall", times=1)
    with client(share, f'get "{inside(rig, stuck)}" "{tmp_path / "stuck"}"') as waiting:
        try:
            assert rig.sim.faults.wait_for_hits(fault, 1, TIMEOUT_S)
            assert other.name in run(share, f'cd "{inside(rig, other.parent)}"; ls')
            run(share, f'get "{inside(rig, other)}" "{tmp_path / "other"}"')
            assert waiting.poll() is None, "it waits still"
        finally:
            rig.sim.faults.clear()
        out, _ = waiting.communicate(timeout=TIMEOUT_S)
    assert waiting.returncode == 0, out
    assert digest((tmp_path / "stuck").read_bytes()) == digest(rig.truth(stuck))
    assert digest((tmp_path / "other").read_bytes()) == digest(rig.truth(other))


def test_nothing_can_be_put_into_a_share_that_is_read_only(rig: Rig, share: int, tmp_path: Path) -> None:
    spec = tmp_path / "door.json"
    spec.write_text('{"camera": "1", "live": true}')
    with client(share, f'put "{spec}" "new\\door.json"') as process:
        out, _ = process.communicate(timeout=TIMEOUT_S)
    assert "NT_STATUS" in out
    assert not rig.starts

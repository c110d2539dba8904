"""The life of a mount as its user sees it: coming up, going into the background, ending, and not coming up."""

import contextlib
import dataclasses
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from axxonfs.cli import exits
from axxonfs.fs import detached, mountpoint
from axxonfs.remote import trust
from axxonfs.simulator.config import SimulatorConfig
from axxonfs.simulator.server import Simulator
from axxonfs.simulator.switches import Switches
from tests.fuse.harness import CLIP, PASSWORD, USER, Rig, wait_until

Rigs = Callable[..., Rig]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may see a mount without using its place")
AXXONFS = [sys.executable, "-m", "axxonfs"]
ENDS_S = 60.0
# The kernel may end the file system before it takes the answer to the last close.
LAST_CLOSE = "fuse_release(): fuse_reply_* failed"


@dataclasses.dataclass(frozen=True, slots=True)
class Site:
    """A server, and a directory with what its mounts need: nothing is mounted yet."""

    sim: Simulator
    scratch: Path

    @property
    def server(self) -> str:
        return f"{USER}@127.0.0.1:{self.sim.port}"

    def mountpoint(self, name: str) -> Path:
        path = self.scratch / name
        path.mkdir()
        return path

    def words(self, path: Path, *, server: str = "", options: Mapping[str, str | None] | None = None) -> list[str]:
        """Return a command that mounts at `path`; options whose value is None are left out."""
        usual = {
            "tls_ca": str(self.sim.ca_file),
            "password_file": str(self.scratch / "password"),
            "state_dir": str(self.scratch / f"state-{path.name}"),
            "log_level": "error",
        }
        given = {key: value for key, value in {**usual, **(options or {})}.items() if value is not None}
        text = ",".join(f"{key}={value}" if value else key for key, value in given.items())
        return [*AXXONFS, "mount", server or self.server, str(path), "-o", text]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    scratch = tmp_path_factory.mktemp("site")
    for name, text, mode in (
        ("password", PASSWORD, 0o600),
        ("wrong", "wrong horse", 0o600),
        ("open", PASSWORD, 0o644),
        ("empty", "", 0o600),
    ):
        (scratch / name).touch(mode)
        (scratch / name).write_text(text)
    (scratch / "full").mkdir()
    (scratch / "full" / "file").touch()
    other = Simulator(SimulatorConfig(directory=scratch / "other"))
    (scratch / "other.crt").write_bytes(other.ca_file.read_bytes())
    other.close()
    with Simulator(SimulatorConfig(directory=scratch / "server", users={USER: PASSWORD})) as sim:
        yield Site(sim, scratch)


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("AXXONFS_")}


def start(words: list[str]) -> "subprocess.Popen[str]":
    pipe = subprocess.PIPE
    return subprocess.Popen(words, env=environment(), stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)


def run(words: list[str]) -> "subprocess.CompletedProcess[str]":
    with start(words) as process:
        out, err = process.communicate(timeout=ENDS_S)
    return subprocess.CompletedProcess(words, process.returncode, out, err)


# -- mounts that do not come up -------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """What is wrong with a command, and what it must say; `{scratch}` and `{port}` are filled in."""

    status: int
    says: str
    options: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    server: str = f"{USER}@127.0.0.1:{{port}}"
    at: str = ""  # the mountpoint, below the scratch directory or absolute


CASES = {
    "a wrong password": Case(4, "user name or password is wrong", {"password_file": "{scratch}/wrong"}),
    "an unknown CA": Case(5, "does not come from the CA in tls_ca", {"tls_ca": "{scratch}/other.crt"}),
    "a CA that is no certificate": Case(5, "give one in PEM or DER form", {"tls_ca": "{scratch}/password"}),
    "another name": Case(5, "is for Server: give one of these as tls_name", {"tls_name": "Elsewhere"}),
    "no CA and no pin": Case(5, "run `axxonfs trust 127.0.0.1:{port}` to see and pin it", {"tls_ca": None}),
    "another pin": Case(5, "which is not pinned", {"tls_ca": None, "tls_pin": f"sha256:{64 * '0'}"}),
    "a server that is away": Case(6, "nothing listens at 127.0.0.1:1", server=f"{USER}@127.0.0.1:1"),
    "no directory": Case(7, "make it with `mkdir -p {scratch}/nowhere`", at="nowhere"),
    "a file for a mountpoint": Case(7, "is not a directory", at="password"),
    "a mountpoint with files": Case(7, "is not empty: its files would be hidden", at="full"),
    "a mountpoint in use": Case(8, "run `axxonfs umount /proc` first", at="/proc"),
    "a password for all to read": Case(3, "run `chmod 600 {scratch}/open`", {"password_file": "{scratch}/open"}),
    "a missing password file": Case(3, "cannot read the password file", {"password_file": "{scratch}/none"}),
    "an empty password file": Case(3, "holds no password", {"password_file": "{scratch}/empty"}),
    "no password": Case(3, "give the option password_file=FILE", {"password_file": None}),
    "an unknown option": Case(2, "option passwd is unknown", {"passwd": "x"}),
    "a wrong value": Case(2, "option cache_size:", {"cache_size": "much"}),
    "no account": Case(2, "give the account to log in with", server="127.0.0.1"),
    "a server that is none": Case(2, "write HOST, HOST:PORT or [IPV6]:PORT", server=f"{USER}@a b"),
    "plaintext over a network": Case(2, "plaintext is for this machine only", {"plaintext": ""}, f"{USER}@192.0.2.1"),
    "plaintext to a server with TLS": Case(2, "leave out the option plaintext", {"tls_ca": None, "plaintext": ""}),
    "a state directory that is none": Case(2, "state directory", {"state_dir": "{scratch}/password/x"}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_mount_that_cannot_come_up_says_why_in_one_line_and_has_its_own_status(site: Site, name: str) -> None:
    case = CASES[name]

    def filled(text: str) -> str:
        return text.format(scratch=site.scratch, port=site.sim.port)

    options = {key: value if value is None else filled(value) for key, value in case.options.items()}
    processes = []
    for mode in ("--foreground", "--log-format=text"):  # without the first it goes into the background
        where = site.scratch / case.at if case.at else site.mountpoint(f"{name}{mode}")
        words = {"state_dir": str(site.scratch / f"state-{name}{mode}"), **options}
        processes.append(start([*site.words(where, server=filled(case.server), options=words), mode]))
    for process in processes:
        out, err = process.communicate(timeout=ENDS_S)
        assert (process.returncode, out) == (case.status, ""), err
        [line] = err.splitlines()
        assert line.startswith("axxonfs: ")
        assert filled(case.says) in line
    assert str(site.scratch) not in Path("/proc/self/mountinfo").read_text()


def test_an_account_that_is_locked_counts_as_a_server_that_is_away_for_now(site: Site) -> None:
    site.sim.switches = Switches(login="locked")
    try:
        done = run([*site.words(site.mountpoint("locked")), "--foreground"])
    finally:
        site.sim.switches = Switches()
    assert (done.returncode, "the account is locked" in done.stderr) == (6, True)


def test_wrong_words_of_the_command_line_have_the_status_of_wrong_options(site: Site) -> None:
    assert run([*AXXONFS, "mount", "--no-such"]).returncode == exits.USAGE
    assert run([*AXXONFS, "mount", "--config", str(site.scratch / "none")]).returncode == exits.USAGE


def test_what_is_mounted_already_is_not_mounted_again_and_its_state_not_shared(rigs: Rigs) -> None:
    rig = rigs()
    done = run(rig.command)
    assert (done.returncode, f"axxonfs umount {rig.path}" in done.stderr) == (8, True)
    other = rig.scratch / "other"
    other.mkdir()
    done = run([str(other) if word == str(rig.path) else word for word in rig.command])
    assert (done.returncode, "no other mount in it" in done.stderr) == (2, True)
    assert mountpoint.find(other) is None
    assert rig.answers


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes mount namespaces here")


@needs_root
def test_a_machine_without_fuse_is_told_how_to_get_it(site: Site) -> None:
    hide = 'mount -t tmpfs dev /dev && mknod /dev/null c 1 3 && exec "$@"'
    command = ["unshare", "-m", "bash", "-c", hide, "bash", *site.words(site.mountpoint("fuseless")), "--foreground"]
    done = run(command)
    assert (done.returncode, done.stderr) == (
        9,
        "axxonfs: there is no /dev/fuse: load the module with `modprobe fuse`\n",
    )


# -- waiting for a server -------------------------------------------------------------


def test_a_mount_with_retry_waits_for_a_server_that_comes_later(site: Site, tmp_path: Path) -> None:
    late = Simulator(SimulatorConfig(directory=tmp_path / "late", users={USER: PASSWORD}))
    late.start()
    late.stop()  # its port is known now
    path = site.mountpoint("late")
    options = {"retry": "1m", "tls_ca": str(late.ca_file), "log_level": "info"}
    words = site.words(path, server=f"{USER}@127.0.0.1:{late.port}", options=options)
    with late, start([*words, "--foreground"]) as process:
        late.stop()
        assert process.stderr is not None
        wait_until(lambda: "server away, waiting" in str(process.stderr.readline()), "the first try")  # type: ignore[union-attr]
        assert mountpoint.find(path) is None
        late.start()
        wait_until(lambda: list(path.iterdir()), "the mount")
        process.terminate()
        process.communicate(timeout=ENDS_S)
        assert process.returncode == 0


# -- background -----------------------------------------------------------------------


def daemon_of(path: Path) -> int:
    """Return the process that serves a mountpoint."""
    wanted = os.fsencode(path)
    found = [
        int(process.name)
        for process in Path("/proc").iterdir()
        if process.name.isdecimal() and wanted in _command_of(process).split(b"\0")
    ]
    assert len(found) == 1, found
    return found[0]


def _command_of(process: Path) -> bytes:
    with contextlib.suppress(OSError):
        # What it forks to help it is not the daemon.
        helps = (process / "comm").read_text().startswith("axxonfs-")
        return b"" if helps else (process / "cmdline").read_bytes()
    return b""


@contextlib.contextmanager
def unmounted(path: Path) -> Iterator[None]:
    """Unmount at the end, whatever happens."""
    try:
        yield
    finally:
        if mountpoint.find(path) is not None:
            mountpoint.unmount(path, lazy=True)


def test_in_the_background_the_parent_ends_once_the_mount_answers_and_the_daemon_stays(site: Site) -> None:
    path = site.mountpoint("background")
    slow = site.sim.faults.add(method="ListSessions", action="delay", delay_s=60)
    closed = site.sim.calls.count("CloseSession")
    with unmounted(path), start(site.words(path)) as parent:
        assert site.sim.faults.wait_for_hits(slow, 1, ENDS_S)
        assert parent.poll() is None
        assert mountpoint.find(path) is None
        site.sim.faults.clear()
        # It ends although nobody closes the pipes: the daemon has let go of them.
        assert parent.communicate(timeout=ENDS_S) == ("", "")
        assert parent.returncode == 0
        assert sorted(entry.name for entry in path.iterdir()) == [".axxonfs", "cameras", "new", "sessions"]
        daemon = daemon_of(path)
        _check_detached(daemon)
        assert run([*AXXONFS, "umount", str(path)]).returncode == 0
        wait_until(lambda: not Path(f"/proc/{daemon}").exists(), "the end of the daemon")
    assert site.sim.calls.count("CloseSession") == closed + 1
    assert list(path.iterdir()) == []


def _check_detached(daemon: int) -> None:
    fields = Path(f"/proc/{daemon}/stat").read_text().rpartition(")")[2].split()
    session, terminal = int(fields[3]), int(fields[4])
    assert (session, terminal) == (daemon, 0)
    process = Path(f"/proc/{daemon}")
    assert (process / "cwd").readlink() == Path("/")
    assert {(process / "fd" / str(number)).readlink() for number in (0, 1, 2)} == {Path("/dev/null")}


def test_the_daemon_outlives_the_terminal_that_it_was_started_from(site: Site) -> None:
    path = site.mountpoint("terminal")
    ours, theirs = pty.openpty()
    words = ["setsid", "--ctty", "--wait", *site.words(path)]
    with unmounted(path):
        subprocess.run(words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment(), check=True, timeout=ENDS_S)
        daemon = daemon_of(path)
        termios.tcflush(ours, termios.TCIOFLUSH)
        for descriptor in (ours, theirs):
            os.close(descriptor)
        assert list(path.iterdir())
        os.kill(daemon, signal.SIGTERM)
        wait_until(lambda: not Path(f"/proc/{daemon}").exists(), "the end of the daemon")
        assert mountpoint.find(path) is None


def test_paths_in_options_are_of_the_directory_of_the_command(site: Site) -> None:
    site.mountpoint("relative")
    (site.scratch / "ca.crt").write_bytes(site.sim.ca_file.read_bytes())
    words = [*AXXONFS, "mount", site.server, "relative", "-o"]
    words.append("tls_ca=ca.crt,password_file=password,state_dir=state-relative")
    with unmounted(site.scratch / "relative"):
        subprocess.run(words, cwd=site.scratch, env=environment(), check=True, timeout=ENDS_S)
        subprocess.run([*AXXONFS, "umount", "relative"], cwd=site.scratch, check=True, timeout=ENDS_S)


def test_options_can_stand_in_a_file_and_the_command_line_wins(site: Site) -> None:
    path = site.mountpoint("configured")
    (site.scratch / "mount.toml").write_text(
        f'server = "{site.server}"\nmountpoint = "{path}"\ntls_ca = "{site.sim.ca_file}"\n'
        f'password_file = "{site.scratch}/wrong"\nstate_dir = "{site.scratch}/state-configured"\n'
    )
    words = [*AXXONFS, "mount", "--config", str(site.scratch / "mount.toml")]
    assert run(words).returncode == 4
    with unmounted(path):
        assert run([*words, "-o", f"password_file={site.scratch}/password"]).returncode == 0
        assert run([*AXXONFS, "umount", str(path)]).returncode == 0


@pytest.mark.parametrize("variable", ["AXXONFS_PASSWORD", "CREDENTIALS_DIRECTORY"])
def test_the_password_can_come_from_the_environment_and_from_systemd(site: Site, variable: str) -> None:
    path = site.mountpoint(variable)
    (site.scratch / "axxonfs.password").write_text(PASSWORD)
    value = PASSWORD if variable == "AXXONFS_PASSWORD" else str(site.scratch)
    words = site.words(path, options={"password_file": None})
    with unmounted(path):
        subprocess.run(words, env={**environment(), variable: value}, check=True, timeout=ENDS_S)
        assert run([*AXXONFS, "umount", str(path)]).returncode == 0


# -- ends -----------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_mount_cleanly_and_logs_out(rigs: Rigs, number: signal.Signals) -> None:
    rig = rigs()
    assert rig.stop(number) == 0
    assert mountpoint.find(rig.path) is None
    assert rig.sim.calls.count("CloseSession") == 1
    assert rig.sim.logins.open_logins() == 0


@pytest.mark.parametrize("words", [["umount"], ["fusermount3", "-u"], [*AXXONFS, "umount"]], ids=" ".join)
def test_unmounting_from_outside_ends_the_daemon_cleanly(rigs: Rigs, words: list[str]) -> None:
    rig = rigs()
    subprocess.run([*words, rig.path], check=True, timeout=ENDS_S)
    assert rig.process is not None
    assert rig.process.wait(ENDS_S) == 0
    rig.ended = True
    assert rig.sim.calls.count("CloseSession") == 1


@needs_root
def test_what_the_mount_looks_at_itself_does_not_keep_umount_from_unmounting(rigs: Rigs) -> None:
    rig = rigs()
    assert rig.process is not None
    with detached.view(rig.path) as root:
        with os.fdopen(os.open(".axxonfs/mount.json", os.O_RDONLY, dir_fd=root)) as text:
            subprocess.run(["umount", rig.path], check=True, timeout=ENDS_S)
            assert mountpoint.find(rig.path) is None
            assert json.load(text)["mountpoint"] == str(rig.path)
        assert rig.process.poll() is None
    assert rig.process.wait(ENDS_S) == 0
    rig.ended = True


@needs_root
def test_umount_tries_again_while_somebody_only_looks_at_a_name(rigs: Rigs) -> None:
    rig = rigs()
    assert rig.process is not None
    # What the command runs says what came of it, so that the test knows when to go on.
    tried = rig.scratch / "tried"
    program = rig.scratch / "bin" / "umount"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\n{shutil.which("umount")} "$@"; status=$?; echo $status >> {tried}; exit $status\n')
    program.chmod(0o755)
    rig.process.send_signal(signal.SIGSTOP)
    variables = {**environment(), "PATH": f"{program.parent}:{os.environ['PATH']}"}
    with subprocess.Popen(["stat", "-f", rig.path], stdout=subprocess.DEVNULL) as looks:
        wait_until(lambda: "request_wait_answer" in Path(f"/proc/{looks.pid}/wchan").read_text(), "it looks")
        with subprocess.Popen([*AXXONFS, "umount", rig.path], env=variables) as umount:
            wait_until(lambda: tried.exists() and "32" in tried.read_text(), "it is in use")
            rig.process.send_signal(signal.SIGCONT)
            assert umount.wait(ENDS_S) == 0
    assert tried.read_text().split()[-1] == "0"
    assert rig.process.wait(ENDS_S) == 0
    rig.ended = True


def test_umount_says_what_hinders_it_and_ends_what_a_crash_left(rigs: Rigs) -> None:
    rig = rigs()
    umount = [*AXXONFS, "umount", str(rig.path)]
    with (rig.path / ".axxonfs" / "spec.schema.json").open():
        done = run(umount)
        assert (done.returncode, "was not unmounted: it is in use by:" in done.stderr) == (14, True)
    rig.stop(signal.SIGKILL)
    assert run(umount).returncode == 0
    done = run(umount)
    assert (done.returncode, done.stderr) == (7, f"axxonfs: nothing is mounted at {rig.path}\n")


@contextlib.contextmanager
def held(how: str, rig: Rig) -> Iterator["subprocess.Popen[bytes]"]:
    """Let a process hold something in the mount."""
    result = rig.hold_bytes(1 << 20)
    programs = {
        "open": ["bash", "-c", 'exec 7< "$0"; echo; read', str(result)],
        "cwd": ["bash", "-c", 'cd "$0"; echo; read', str(result.parent)],
        "mapped": [sys.executable, "-c", MAPPER, str(result)],
    }
    with subprocess.Popen(programs[how], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


# Python's own mmap keeps the file open as well.
MAPPER = """
import ctypes, os, sys
file = os.open(sys.argv[1], os.O_RDONLY)
map = ctypes.CDLL(None).mmap
map.restype = ctypes.c_void_p
map.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
map(None, 4096, 1, 2, file, 0)
os.close(file)
print(flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("how", ["open", "cwd", "mapped"])
def test_umount_names_who_holds_the_mount(rigs: Rigs, how: str) -> None:
    rig = rigs()
    with held(how, rig) as process:
        name = Path(f"/proc/{process.pid}/comm").read_text().strip()
        [result] = rig.results(rig.sessions[0])
        done = run([*AXXONFS, "umount", str(rig.path)])
        assert done.returncode == 14
        path = result.parent if how == "cwd" else result
        assert f"\n  {process.pid} {name}: {path} ({how})" in done.stderr
        assert "by --lazy" in done.stderr
        assert mountpoint.find(rig.path) is not None
    assert run([*AXXONFS, "umount", str(rig.path)]).returncode == 0
    rig.ended = True


@pytest.mark.expects_warnings(LAST_CLOSE)
def test_a_lazy_umount_takes_the_mount_away_and_lets_what_is_open_end(rigs: Rigs) -> None:
    rig = rigs()
    result = rig.hold_bytes(3 << 20)
    truth = rig.truth(result)
    with result.open("rb") as file:
        assert run([*AXXONFS, "umount", "--lazy", str(rig.path)]).returncode == 0
        assert mountpoint.find(rig.path) is None
        assert file.read() == truth
    assert rig.process is not None
    assert rig.process.wait(ENDS_S) == 0
    rig.ended = True


@pytest.mark.expects_warnings(LAST_CLOSE)
@pytest.mark.parametrize("lazy", [False, True])
def test_umount_does_not_wait_for_a_daemon_that_hangs(rigs: Rigs, *, lazy: bool) -> None:
    rig = rigs()
    assert rig.process is not None
    # Not held by this process: each child would close its copy, and wait for the daemon.
    with held("open", rig) as process:
        rig.process.send_signal(signal.SIGSTOP)
        try:
            done = run([*AXXONFS, "umount", *(["--lazy"] if lazy else []), str(rig.path)])
            left = mountpoint.find(rig.path)
        finally:
            rig.process.send_signal(signal.SIGCONT)
        assert (done.returncode, left is None) == ((0, True) if lazy else (14, False))
        assert lazy or f"\n  {process.pid} bash: " in done.stderr
    if lazy:
        assert rig.process.wait(ENDS_S) == 0
        rig.ended = True


def test_an_end_gives_up_what_still_waits_for_the_server_after_the_grace_time(rigs: Rigs) -> None:
    rig = rigs()
    result = rig.hold_bytes(1 << 20)
    stalled = rig.sim.faults.add(method="DownloadFile", action="stall", times=100)
    slow = rig.sim.faults.add(method="StartSession", action="delay", delay_s=600)
    scripts = (f'cat "{result}" > /dev/null', f'echo "$0" > "{rig.new}/door.json"')
    waiting = [
        subprocess.Popen(["bash", "-c", script, json.dumps(CLIP())], stderr=subprocess.PIPE, text=True)
        for script in scripts
    ]
    for fault in (stalled, slow):
        assert rig.sim.faults.wait_for_hits(fault, 1, ENDS_S)
    assert rig.process is not None
    rig.process.terminate()
    # Both would wait for 30 s.
    assert rig.process.wait(25) == 0
    rig.ended = True
    for process in waiting:
        _, said = process.communicate(timeout=ENDS_S)
        assert process.returncode == 1
        assert said
    assert mountpoint.find(rig.path) is None


# -- trust ----------------------------------------------------------------------------


def test_a_certificate_that_was_pinned_needs_no_ca(site: Site) -> None:
    pins = site.scratch / "pins"
    host = f"127.0.0.1:{site.sim.port}"
    done = run([*AXXONFS, "trust", host, "--yes", "--pins", str(pins)])
    assert done.returncode == 0
    [pin] = trust.load_pins(pins, trust.Endpoint.parse(host))
    assert pin in done.stdout
    path = site.mountpoint("pinned")
    with unmounted(path):
        assert run(site.words(path, options={"tls_ca": None, "tls_pin": pin})).returncode == 0
        assert list(path.iterdir())
        assert run([*AXXONFS, "umount", str(path)]).returncode == 0


USER_SCRIPT = """
mount -t tmpfs none "$PLACE" && mkdir "$PLACE/home" "$PLACE/mnt" && mknod -m 666 "$PLACE/fuse" c 10 229 &&
mount --bind "$PLACE/fuse" /dev/fuse && cp "$PASSWORD_FILE" "$PLACE/home/password" && chown -R nobody "$PLACE" &&
exec setpriv --reuid=nobody --regid=nogroup --clear-groups --inh-caps=+dac_read_search \\
  --ambient-caps=+dac_read_search bash -euc '
    cd "$PLACE"; export HOME="$PLACE/home" XDG_CONFIG_HOME="$PLACE/home/config"
    "$@" trust "$HOST" --yes > "$HOME/said"
    "$@" mount "$ACCOUNT@$HOST" mnt -o "password_file=home/password"
    stat --format=%U mnt/new
    cat mnt/sessions/*/state
    cksum < mnt/sessions/*/*.mkv
    "$@" umount mnt
  ' bash "$@"
"""


@needs_root
def test_an_ordinary_user_pins_mounts_reads_and_unmounts(rigs: Rigs) -> None:
    """The capability lets that user read this interpreter, wherever root keeps it; what mounts is fusermount3."""
    if subprocess.run(["unshare", "-m", "true"], check=False).returncode != 0:
        pytest.skip("no mount namespaces here")
    rig = rigs()
    result = rig.hold_bytes(100_000)
    place = Path(tempfile.mkdtemp())  # not below tmp_path, which others cannot enter
    variables = {
        "PLACE": str(place),
        "PASSWORD_FILE": str(rig.scratch / "password"),
        "ACCOUNT": USER,
        "HOST": f"127.0.0.1:{rig.sim.port}",
    }
    words = ["unshare", "-m", "bash", "-c", USER_SCRIPT, "bash", *AXXONFS]
    done = subprocess.run(
        words, env={**environment(), **variables}, capture_output=True, text=True, timeout=ENDS_S, check=False
    )
    place.rmdir()
    assert done.returncode == 0, done.stderr
    sums = subprocess.run(["cksum"], input=rig.truth(result), capture_output=True, check=True).stdout.decode()
    assert done.stdout == f"nobody\ncompleted\n{sums}"


@pytest.mark.parametrize("delay_s", [0.0, 0.003, 0.02])
def test_a_signal_at_the_very_beginning_of_a_mount_ends_it_cleanly(rigs: Rigs, delay_s: float) -> None:
    """What the mount asks itself when it has come up must not keep it from ending."""
    rig = rigs()
    assert rig.stop() == 0
    for _ in range(2):
        with rig.log.open("ab") as log:
            rig.process = subprocess.Popen(rig.command, stderr=log, env=environment())
        wait_until(lambda: mountpoint.find(rig.path) is not None, "the mount", poll_s=0.0005)
        time.sleep(delay_s)  # the moments after the mount is there are what is tried
        assert rig.stop() == 0
        assert mountpoint.find(rig.path) is None

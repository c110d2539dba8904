"""The mount as systemd, the journal and mount(8) see it; what they themselves do then is for the system tier."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from axxonfs.fs import mountpoint
from axxonfs.simulator.config import SimulatorConfig
from axxonfs.simulator.server import Simulator
from tests.fuse.harness import PASSWORD, TIMEOUT_S, USER, wait_until
from tests.fuse.test_lifecycle import AXXONFS, Site, environment, unmounted

HELPER = [sys.executable, "-m", "axxonfs.cli.helper"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    scratch = tmp_path_factory.mktemp("site")
    for name, text in (("password", PASSWORD), ("wrong", "wrong horse")):
        (scratch / name).touch(0o600)
        (scratch / name).write_text(text)
    with Simulator(SimulatorConfig(directory=scratch / "server", users={USER: PASSWORD})) as sim:
        yield Site(sim, scratch)


class Systemd:
    """The end of the socket at which systemd listens."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self.close = self._socket.close

    def next(self, beginning: str, timeout_s: float = TIMEOUT_S) -> str:
        """Return the next message that begins so, and pass over what comes before it."""
        self._socket.settimeout(timeout_s)
        while not (text := self._socket.recv(4096).decode()).startswith(beginning):
            pass
        return text

    def forget(self) -> None:
        """Pass over what has come."""
        self._socket.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            while self._socket.recv(4096):
                pass


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    with contextlib.closing(Systemd(tmp_path / "notify")) as listener:
        yield listener


@contextlib.contextmanager
def service(site: Site, path: Path, systemd: Systemd, **variables: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a mount as systemd would, and end it."""
    told = {**environment(), "NOTIFY_SOCKET": str(systemd.path), **variables}
    with unmounted(path), subprocess.Popen([*site.words(path), "--foreground"], env=told) as process:
        try:
            yield process
        finally:
            process.kill()


def watchers_of(process: "subprocess.Popen[bytes]") -> list[Path]:
    """Return the entries of /proc of the processes that watch the mount."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    entries = [Path("/proc") / child for child in children]
    return [entry for entry in entries if (entry / "comm").read_text() == "axxonfs-watch\n"]


def test_systemd_is_told_how_the_mount_comes_up_that_it_answers_and_how_it_is(site: Site, systemd: Systemd) -> None:
    path = site.mountpoint("notified")
    with service(site, path, systemd) as process:
        assert systemd.next("STATUS=logging in at ").endswith("\nEXTEND_TIMEOUT_USEC=60000000")
        systemd.next("READY=1")
        assert list(path.iterdir())
        assert f"mounted at {path}, sessions: 0" in systemd.next("STATUS=")
        process.terminate()
        assert systemd.next("STATUS=unmounting")
        assert process.wait(TIMEOUT_S) == 0


def test_a_service_that_waits_for_its_server_says_so_and_is_given_time(site: Site, systemd: Systemd) -> None:
    path = site.mountpoint("patient")
    words = [*site.words(path, server=f"{USER}@127.0.0.1:9", options={"retry": "1h"}), "--foreground"]
    with subprocess.Popen(words, env={**environment(), "NOTIFY_SOCKET": str(systemd.path)}) as process:
        text = systemd.next("STATUS=waiting for the server: nothing listens at")
        assert "\nEXTEND_TIMEOUT_USEC=" in text
        assert mountpoint.find(path) is None
        process.kill()


def test_a_service_says_why_it_does_not_come_up(site: Site, systemd: Systemd) -> None:
    words = site.words(site.mountpoint("refused"), options={"password_file": str(site.scratch / "wrong")})
    variables = {**environment(), "NOTIFY_SOCKET": str(systemd.path)}
    with subprocess.Popen([*words, "--foreground"], env=variables, stderr=subprocess.DEVNULL):
        assert systemd.next("STATUS=user name or password is wrong")


def test_the_watchdog_hears_of_a_mount_that_answers_and_of_no_other(site: Site, systemd: Systemd) -> None:
    path = site.mountpoint("watched")
    with service(site, path, systemd, WATCHDOG_USEC="400000") as process:
        systemd.next("READY=1")
        for _ in range(3):
            systemd.next("WATCHDOG=1")
        process.send_signal(signal.SIGSTOP)
        # What was answered before the daemon stopped may still be on its way.
        with contextlib.suppress(TimeoutError):
            systemd.next("WATCHDOG=1", timeout_s=1)
        systemd.forget()
        with pytest.raises(TimeoutError):
            systemd.next("WATCHDOG=1", timeout_s=2)
        process.send_signal(signal.SIGCONT)
        systemd.next("WATCHDOG=1")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_watches_ends_with_the_daemon_even_while_it_waits_for_it(
    site: Site, systemd: Systemd, number: signal.Signals
) -> None:
    path = site.mountpoint(f"watched-{number.name}")
    with service(site, path, systemd, WATCHDOG_USEC="400000") as process:
        systemd.next("WATCHDOG=1")
        [watcher] = watchers_of(process)
        assert (watcher / "comm").read_text() == "axxonfs-watch\n"
        if number == signal.SIGKILL:
            process.send_signal(signal.SIGSTOP)
            wait_until(lambda: "request_wait_answer" in (watcher / "wchan").read_text(), "it waits for the daemon")
        process.send_signal(number)
        process.wait(TIMEOUT_S)
        wait_until(lambda: not watcher.exists(), "the process that watches to end")


def test_a_watchdog_that_is_meant_for_another_process_is_none_of_its_business(site: Site, systemd: Systemd) -> None:
    path = site.mountpoint("other")
    with service(site, path, systemd, WATCHDOG_USEC="400000", WATCHDOG_PID="1") as process:
        systemd.next("READY=1")
        assert watchers_of(process) == []


# -- the journal ----------------------------------------------------------------------


def journal_of(words: list[str]) -> list[str]:
    """Run a command whose standard error is a pipe that is said to be the journal; return its lines."""
    reader, writer = os.pipe()
    status = os.fstat(writer)
    variables = {**environment(), "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
    process = subprocess.Popen(words, env=variables, stderr=writer)
    os.close(writer)
    with os.fdopen(reader) as lines:
        text = lines.read()
    process.wait(TIMEOUT_S)
    return text.splitlines()


def test_lines_for_the_journal_carry_their_level_and_leave_the_time_to_it(site: Site) -> None:
    options: dict[str, str | None] = {"log_level": "info", "retry": "1s"}
    words = [*site.words(site.mountpoint("lines"), server=f"{USER}@127.0.0.1:9", options=options), "--foreground"]
    assert [line.partition("error=")[0] for line in journal_of(words)[:-1]] == [
        "<6>axxonfs.fs.mount server away, waiting "
    ]
    assert journal_of(words)[-1].startswith("<3>axxonfs: nothing listens at ")


def test_json_for_the_journal_is_one_object_a_line_behind_its_level(site: Site) -> None:
    options: dict[str, str | None] = {"log_level": "info", "retry": "1s"}
    words = site.words(site.mountpoint("json"), server=f"{USER}@127.0.0.1:9", options=options)
    line = journal_of([*words, "--foreground", "--log-format", "json"])[0]
    assert line.startswith("<6>")
    assert json.loads(line[3:])["logger"] == "axxonfs.fs.mount"


# -- mount(8) and fstab ---------------------------------------------------------------


def run(words: list[str], **variables: str) -> "subprocess.CompletedProcess[str]":
    told = {**environment(), **variables}
    done = subprocess.run(words, env=told, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    return subprocess.CompletedProcess(words, done.returncode, "", done.stderr)


def fstab_words(site: Site, path: Path, **options: str) -> str:
    usual = {
        "tls_ca": str(site.sim.ca_file),
        "password_file": str(site.scratch / "password"),
        "state_dir": str(site.scratch / f"state-{path.name}"),
    }
    usual["log_level"] = "error"
    ours = ",".join(f"{key}={value}" for key, value in {**usual, **options}.items())
    return f"rw,noatime,_netdev,nofail,x-systemd.automount,comment=cameras,{ours}"


def test_the_helper_mounts_what_fstab_names_and_plain_umount_ends_it(site: Site) -> None:
    path = site.mountpoint("fstab")
    with unmounted(path):
        done = run([*HELPER, site.server, str(path), "-n", "-o", fstab_words(site, path)])
        assert (done.returncode, done.stderr) == (0, "")
        assert mountpoint.find(path) == mountpoint.Mounted("fuse.axxonfs", site.server)
        assert list(path.iterdir())
        assert run([*HELPER, site.server, str(path), "-o", fstab_words(site, path)]).returncode == 32
        subprocess.run(["umount", path], check=True, timeout=TIMEOUT_S)
        assert mountpoint.find(path) is None


def test_the_helper_takes_a_configuration_file_in_the_place_of_the_server(site: Site) -> None:
    path = site.mountpoint("filed")
    config = site.scratch / "filed.toml"
    config.write_text(
        f'server = "{site.server}"\nmountpoint = "/nowhere"\ntls_ca = "{site.sim.ca_file}"\n'
        f'password_file = "{site.scratch}/password"\nstate_dir = "{site.scratch}/state-filed"\n'
    )
    with unmounted(path):
        assert run([*HELPER, str(config), str(path), "-o", "rw,nofail"]).returncode == 0
        assert mountpoint.find(path) == mountpoint.Mounted("fuse.axxonfs", str(config))
        assert run([*AXXONFS, "umount", str(path)]).returncode == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["-o", "remount,ro"], "remount is not possible"),
        (["-o", "suid,exec"], "exec, suid: not possible"),
        (["-N", "/proc/1/ns/mnt"], "-N is not possible"),
        (["-o", "passwd=geheim"], "option passwd is unknown"),
    ],
)
def test_the_helper_refuses_what_cannot_be_in_words_and_with_the_status_of_mount(
    site: Site, words: list[str], says: str
) -> None:
    done = run([*HELPER, site.server, str(site.scratch), *words])
    assert (done.returncode, says in done.stderr) == (1, True), done.stderr


def test_the_helper_can_be_told_to_mount_nothing_and_to_pass_over_what_it_does_not_know(site: Site) -> None:
    path = site.mountpoint("fake")
    assert run([*HELPER, site.server, str(path), "-sf", "-o", fstab_words(site, path, vers="3")]).returncode == 0
    assert mountpoint.find(path) is None


def test_a_refused_password_is_tried_again_by_no_later_mount_until_its_file_changes(site: Site) -> None:
    path = site.mountpoint("locked")
    words = [*HELPER, site.server, str(path), "-o", fstab_words(site, path, password_file=f"{site.scratch}/wrong")]
    before = site.sim.calls.count("AuthenticateEx2")
    assert "user name or password is wrong" in run(words).stderr
    for _ in range(3):
        done = run(words)
        assert (done.returncode, "is not tried again until the file changes" in done.stderr) == (32, True)
    assert site.sim.calls.count("AuthenticateEx2") == before + 1
    os.utime(site.scratch / "wrong")
    assert "user name or password is wrong" in run(words).stderr
    assert site.sim.calls.count("AuthenticateEx2") == before + 2


def test_under_systemd_the_helper_fails_too_slowly_for_an_automount_to_be_given_up(site: Site) -> None:
    began_s = time.monotonic()
    done = run([*HELPER, "root@127.0.0.1:9", str(site.mountpoint("slow")), "-o", "ro"], INVOCATION_ID="0")
    assert done.returncode == 32
    assert time.monotonic() - began_s >= 3  # five failures in ten seconds are what systemd counts

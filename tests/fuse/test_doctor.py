"""`axxonfs doctor` names the cause: set-ups that are really broken, each in its own way, and one that is not."""

import contextlib
import dataclasses
import datetime as dt
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from axxonfs.cli.main import main
from axxonfs.simulator.server import Simulator
from axxonfs.simulator.switches import Switches
from tests.fuse.harness import PASSWORD, USER, Rig
from tests.rpc.support import make_simulator
from tests.rpc.test_trust import OTHER_ROOT, ROOT, Issued, issue

TIMEOUT_S = 60.0
AXXONFS = [sys.executable, "-m", "axxonfs"]
PRELUDE_OF_A_USER = """
mount -t tmpfs none "$PLACE" && mkdir "$PLACE/home" "$PLACE/mnt" && mknod -m 666 "$PLACE/fuse" c 10 229 &&
mount --bind "$PLACE/fuse" /dev/fuse && chown -R nobody "$PLACE/home" "$PLACE/mnt" && export HOME="$PLACE/home" &&
"""
BECOME_A_USER = """
exec setpriv --reuid=nobody --regid=nogroup --clear-groups --inh-caps=+dac_read_search \\
  --ambient-caps=+dac_read_search "$@"
"""

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False).returncode != 0,
    reason="needs root and mount namespaces",
)


@dataclasses.dataclass
class Clinic:
    """A server, and the words for a mount of it that would work."""

    scratch: Path
    stack: contextlib.ExitStack
    server: str = ""
    start: bool = False
    as_user: bool = False
    prelude: str = ""
    sim: Simulator | None = None
    options: dict[str, str | None] = dataclasses.field(default_factory=dict)

    @property
    def mountpoint(self) -> Path:
        return self.scratch / "mnt"

    @property
    def running(self) -> Simulator:
        assert self.sim is not None
        return self.sim

    def serve(self, **config: Any) -> None:
        """Serve with another configuration."""
        self.scratch = self.scratch / "again" if self.sim else self.scratch
        self.scratch.mkdir(exist_ok=True)
        self.mountpoint.mkdir()
        (self.scratch / "password").touch(0o600)
        (self.scratch / "password").write_text(PASSWORD)
        self.sim = self.stack.enter_context(make_simulator(self.scratch, **config))
        self.server = f"{USER}@127.0.0.1:{self.sim.port}"
        usual = {
            "tls_ca": self.sim.ca_file,
            "password_file": self.scratch / "password",
            "state_dir": self.scratch / "s",
        }
        self.options = {key: str(value) for key, value in usual.items()}

    def show(self, issued: Issued) -> None:
        """Serve with this certificate."""
        directory = self.running.config.directory
        self.running.stop()
        (directory / "node.pem").write_bytes(issued.pem)
        (directory / "node.key").write_bytes(issued.key_pem)
        (directory / "ca.pem").write_bytes(ROOT.pem)
        self.running.start()

    def words(self, *more: str) -> list[str]:
        options = {key: value for key, value in self.options.items() if value is not None}
        if self.as_user:
            options["state_dir"] = "$PLACE/home/state"
        text = ",".join(f"{key}={value}" if value else key for key, value in options.items())
        where = "$PLACE/mnt" if self.as_user else str(self.mountpoint)
        return ["doctor", self.server, where, "-o", text, "--json", *(["--start"] if self.start else []), *more]

    def look(self, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, dict[str, str]]]:
        """Return the exit status and the findings by their checks."""
        if self.prelude or self.as_user:
            status, out = self._elsewhere()
        else:
            status = main(self.words())
            out = capsys.readouterr().out
        return status, {row["check"]: row for row in json.loads(out)["findings"]}

    def _elsewhere(self) -> tuple[int, str]:
        """Run the command in a mount namespace of its own, after the prelude."""
        place = tempfile.mkdtemp()  # not below tmp_path, which others cannot enter
        self.stack.callback(os.rmdir, place)
        words = [word.replace("$PLACE", place) for word in self.words()]
        script = f"{PRELUDE_OF_A_USER if self.as_user else ''}{self.prelude}" + (
            BECOME_A_USER if self.as_user else 'exec "$@"'
        )
        environment = {**os.environ, "PLACE": place, "MNT": str(self.mountpoint), "SCRATCH": str(self.scratch)}
        command = ["unshare", "-m", "bash", "-euc", script, "bash", *AXXONFS, *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        assert done.stdout, done.stderr
        return done.returncode, done.stdout


@pytest.fixture
def clinic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clinic]:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with contextlib.ExitStack() as stack:
        made = Clinic(tmp_path, stack)
        made.serve()
        yield made


Break = Callable[[Clinic], None]
SETUPS: dict[str, tuple[Break, str, str, str, str]] = {}


def broken(check: str, verdict: str, words: str, cure: str) -> Callable[[Break], Break]:
    """Enter a set-up into the table, with what must be said of it."""

    def enter(function: Break) -> Break:
        SETUPS[function.__name__.replace("_", " ")] = (function, check, verdict, words, cure)
        return function

    return enter


# -- this machine --------------------------------------------------------------------


@broken("fuse", "problem", "there is no /dev/fuse", "modprobe fuse")
def no_device_of_fuse(clinic: Clinic) -> None:
    clinic.prelude = "mount -t tmpfs dev /dev && for d in null:3 urandom:9; do mknod /dev/${d%:*} c 1 ${d#*:}; done; "


@broken("fuse", "problem", "not the device of FUSE", "mknod")
def something_else_for_a_device(clinic: Clinic) -> None:
    clinic.prelude = "mount --bind /dev/null /dev/fuse; "


@broken("fusermount3", "problem", "not set-uid root", "chmod u+s")
def a_helper_without_its_bit(clinic: Clinic) -> None:
    clinic.as_user = True
    clinic.prelude = "F=$(command -v fusermount3); cp $F $PLACE/f; chmod 755 $PLACE/f; mount --bind $PLACE/f $F; "


@broken("user_allow_other", "problem", "has no line user_allow_other", "add the line")
def allow_other_of_a_user(clinic: Clinic) -> None:
    clinic.as_user = True
    clinic.prelude = "touch $PLACE/none; mount --bind $PLACE/none /etc/fuse.conf; "
    clinic.options["allow_other"] = ""


@broken("background limit", "warning", "takes 12 requests at once", "mount as root")
def a_user_who_cannot_raise_the_limit(clinic: Clinic) -> None:
    clinic.as_user = True


@broken("mountpoint", "problem", "is not a directory", "another mountpoint")
def no_mountpoint(clinic: Clinic) -> None:
    clinic.mountpoint.rmdir()


@broken("mountpoint", "problem", "is not empty", "another mountpoint")
def files_in_the_mountpoint(clinic: Clinic) -> None:
    (clinic.mountpoint / "film.mkv").touch()


@broken("mountpoint", "problem", "is in use by none (tmpfs)", "another mountpoint")
def something_mounted_already(clinic: Clinic) -> None:
    clinic.prelude = 'mount -t tmpfs none "$MNT"; '


@broken("mountpoint", "problem", "cannot be written by this user", "chown")
def somebody_else_s_mountpoint(clinic: Clinic) -> None:
    clinic.as_user = True
    clinic.prelude = 'chown root "$PLACE/mnt"; '


@broken("state directory", "problem", "MiB free: what a mount starts", "make 16 MiB of room")
def a_full_disk(clinic: Clinic) -> None:
    clinic.prelude = 'mkdir "$SCRATCH/s"; mount -t tmpfs -o size=1M none "$SCRATCH/s"; '


@broken("state directory", "problem", "read-only file system", "state_dir")
def a_read_only_disk(clinic: Clinic) -> None:
    clinic.prelude = 'mkdir "$SCRATCH/s"; mount -t tmpfs -o ro none "$SCRATCH/s"; '


@broken("configuration", "problem", "did you mean umask?", "mend the word")
def a_misspelt_option(clinic: Clinic) -> None:
    clinic.options["umsk"] = "022"


# -- the way to the server -----------------------------------------------------------


@broken("name", "problem", "cannot be resolved", "getent hosts")
def a_name_that_nobody_has(clinic: Clinic) -> None:
    clinic.server = f"{USER}@no-such-server.invalid"


@broken("port", "problem", "nothing listens at", "20109 unless it was changed")
def a_server_that_is_down(clinic: Clinic) -> None:
    clinic.running.stop()


@broken("certificate", "problem", "does not answer in TLS", "20109 unless it was changed")
def the_port_of_something_else(clinic: Clinic) -> None:
    (clinic.scratch / "plain").mkdir()
    plain = clinic.stack.enter_context(make_simulator(clinic.scratch / "plain", plaintext=True))
    clinic.server = f"{USER}@127.0.0.1:{plain.port}"


@broken("certificate", "problem", "speaks TLS: leave out the option plaintext", "plaintext, tls_ca")
def plaintext_to_a_server_with_tls(clinic: Clinic) -> None:
    clinic.options |= {"tls_ca": None, "plaintext": ""}


@broken("certificate", "problem", "did not answer within", "20109 unless it was changed")
def a_port_that_says_nothing(clinic: Clinic) -> None:
    silent = clinic.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    clinic.server = f"{USER}@127.0.0.1:{silent.getsockname()[1]}"


@broken("certificate", "problem", "nothing says which certificate", "axxonfs trust")
def nobody_trusted(clinic: Clinic) -> None:
    clinic.options["tls_ca"] = None


@broken("certificate", "problem", "does not come from the CA in tls_ca", "axxonfs trust")
def another_authority(clinic: Clinic) -> None:
    clinic.running.ca_file.write_bytes(OTHER_ROOT.pem)


@broken("certificate", "problem", "has expired", "axxonfs trust")
def an_expired_certificate(clinic: Clinic) -> None:
    clinic.show(issue("Server", ROOT, to_day=-1))


@broken("certificate", "warning", "it ends in 8 days", "renew it")
def a_certificate_near_its_end(clinic: Clinic) -> None:
    clinic.show(issue("Server", ROOT, to_day=9))


@broken("certificate", "problem", "is for Server: give one of these", "tls_name")
def another_name_than_the_certificate_s(clinic: Clinic) -> None:
    clinic.options["tls_name"] = "vms.example.com"


@broken("certificate", "problem", "which is not pinned", "axxonfs trust")
def a_certificate_that_was_replaced(clinic: Clinic) -> None:
    clinic.options |= {"tls_ca": None, "tls_pin": f"sha256:{64 * '0'}"}


# -- the account ---------------------------------------------------------------------


@broken("password", "problem", "others may read the password", "mode 0600")
def a_password_for_all_to_see(clinic: Clinic) -> None:
    (clinic.scratch / "password").chmod(0o644)


@broken("password", "problem", "no password", "password_file=FILE")
def no_password(clinic: Clinic) -> None:
    clinic.options["password_file"] = None


@broken("login", "problem", "user name or password is wrong", "may lock the account")
def a_wrong_password(clinic: Clinic) -> None:
    (clinic.scratch / "password").write_text("wrong horse")


@broken("login", "problem", "the account is locked", "unlock the account")
def a_locked_account(clinic: Clinic) -> None:
    clinic.running.switches = Switches(login="locked")


@broken("login", "problem", "asks for a second factor", "mend account")
def an_account_with_a_second_factor(clinic: Clinic) -> None:
    clinic.running.switches = Switches(login="second_factor")


# -- the server ----------------------------------------------------------------------


@broken("clock", "warning", "s ahead of this machine's", "NTP")
def clocks_that_differ(clinic: Clinic) -> None:
    clinic.serve(clock_ahead_s=90.0)


@broken("sessions", "problem", "UNAVAILABLE", "is offline")
def a_node_that_is_offline(clinic: Clinic) -> None:
    clinic.running.switches = Switches(node_offline=True)


@broken("cameras", "problem", "sees no cameras", "access to cameras")
def no_cameras(clinic: Clinic) -> None:
    clinic.serve(cameras=0)


@broken("export agent", "problem", "no export agent", "create an export agent")
def no_export_agent(clinic: Clinic) -> None:
    clinic.running.switches = Switches(no_agent="UNAVAILABLE")


@broken("right to export", "problem", "PERMISSION_DENIED", "the right to export")
def no_right_to_export(clinic: Clinic) -> None:
    clinic.serve(users_without_export=frozenset({USER}))
    clinic.start = True


@broken("right to export", "warning", "did not succeed", "is the camera recorded?")
def exports_that_fail(clinic: Clinic) -> None:
    clinic.running.switches = Switches(exports_fail=True)
    clinic.start = True


# -- what must be said ---------------------------------------------------------------


@pytest.mark.parametrize("setup", SETUPS)
def test_the_cause_is_named_and_so_is_a_cure(setup: str, clinic: Clinic, capsys: pytest.CaptureFixture[str]) -> None:
    spoil, check, verdict, words, cure = SETUPS[setup]
    spoil(clinic)
    status, findings = clinic.look(capsys)
    found = findings[check]
    assert (found["verdict"], words in found["words"], cure in found["cure"]) == (verdict, True, True), found
    # Nothing else is blamed, and nothing that is wrong is hidden by the exit status.
    problems = {name for name, row in findings.items() if row["verdict"] == "problem"}
    assert problems == ({check} if verdict == "problem" else set())
    assert status == (1 if problems else 0)


def test_where_nothing_is_wrong_nothing_is_found_and_nothing_changed(
    clinic: Clinic, capsys: pytest.CaptureFixture[str]
) -> None:
    clinic.start = True
    status, findings = clinic.look(capsys)
    assert {row["verdict"] for row in findings.values()} == {"ok"}, findings
    assert status == 0
    assert not (clinic.scratch / "s").exists()
    assert clinic.running.calls.count("AuthenticateEx2") == 1
    assert clinic.running.calls.count("DestroySession") == clinic.running.calls.count("StartSession") == 1
    assert clinic.running.sessions.records() == []


def test_an_export_whose_answer_was_lost_is_found_judged_and_destroyed(
    clinic: Clinic, capsys: pytest.CaptureFixture[str]
) -> None:
    clinic.start = True
    clinic.running.faults.add(method="StartSession", action="lose_reply")
    clinic.running.sessions.add()  # somebody else's
    _, findings = clinic.look(capsys)
    assert findings["right to export"]["verdict"] == "ok", findings
    assert "destroyed again" in findings["right to export"]["words"]
    assert [record.user for record in clinic.running.sessions.records()] == ["somebody"]


def test_a_start_that_failed_and_is_not_listed_left_nothing(clinic: Clinic, capsys: pytest.CaptureFixture[str]) -> None:
    clinic.start = True
    clinic.running.faults.add(method="StartSession", status="UNAVAILABLE", details="no way")
    _, findings = clinic.look(capsys)
    found = findings["right to export"]
    assert found["verdict"] == "problem"
    assert "no way (UNAVAILABLE); the server lists no such export: as far as that tells, it was not" in found["words"]


def test_what_cannot_be_told_for_its_own_is_named_and_left(clinic: Clinic, capsys: pytest.CaptureFixture[str]) -> None:
    clinic.start = True
    clinic.running.switches = Switches(echoed_options="stripped")
    clinic.running.faults.add(method="StartSession", action="lose_reply")
    _, findings = clinic.look(capsys)
    found = findings["right to export"]
    (record,) = clinic.running.sessions.records()
    assert (found["verdict"], record.session_id in found["words"]) == ("problem", True), found
    assert "an hour after" in found["cure"]


def test_an_export_that_cannot_be_destroyed_is_named(clinic: Clinic, capsys: pytest.CaptureFixture[str]) -> None:
    clinic.start = True
    clinic.running.faults.add(method="DestroySession", status="UNAVAILABLE")
    _, findings = clinic.look(capsys)
    found = findings["right to export"]
    (record,) = clinic.running.sessions.records()
    assert (found["verdict"], record.session_id in found["words"]) == ("warning", True), found
    assert "an hour after" in found["cure"]


def test_without_consent_nothing_is_started(clinic: Clinic, capsys: pytest.CaptureFixture[str]) -> None:
    _, findings = clinic.look(capsys)
    assert findings["right to export"]["verdict"] == "skipped"
    assert not clinic.running.calls.count("StartSession")


def test_people_get_lines_that_fit_and_no_password(
    clinic: Clinic, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    (clinic.scratch / "password").write_text("wrong zebra")
    words = [word for word in clinic.words() if word != "--json"]
    assert main(words) == 1
    out = capsys.readouterr().out
    assert "problem  login             user name or password is wrong" in out
    assert "                           -> mend account or password" in out
    assert max(map(len, out.replace(str(clinic.scratch), "").splitlines())) <= 80
    assert "zebra" not in out


def test_without_a_server_the_machine_alone_is_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    checks = [row["check"] for row in json.loads(capsys.readouterr().out)["findings"]]
    assert checks == [
        "fuse", "fusermount3", "user_allow_other", "background limit", "mountpoint", "state directory", "server",
    ]  # fmt: skip


# -- mounts that are there, and mounts that were -----------------------------------------


def look_at(rig: Rig, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]]:
    words = [word for word in rig.command[4:] if word != "--foreground"]
    main(["doctor", *words, "--json"])
    return {row["check"]: row for row in json.loads(capsys.readouterr().out)["findings"]}


def test_a_mount_that_is_there_is_seen_and_its_limit_read(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    findings = look_at(rig, capsys)
    assert findings["mountpoint"]["verdict"] == "ok"
    assert f"{rig.path} is mounted" in findings["mountpoint"]["words"]
    assert findings["background limit"]["verdict"] == "ok"


def test_a_dead_mount_is_told_from_an_empty_directory(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    rig.stop(signal.SIGKILL)
    found = look_at(rig, capsys)["mountpoint"]
    assert (found["verdict"], "a dead mount (fuse.axxonfs)" in found["words"]) == ("warning", True)
    assert f"axxonfs umount {rig.path}" in found["cure"]


# -- an account is never locked ----------------------------------------------------------


def test_a_password_that_was_refused_once_is_not_tried_again_until_its_file_changes(
    clinic: Clinic, capsys: pytest.CaptureFixture[str]
) -> None:
    password = clinic.scratch / "password"
    password.write_text("wrong horse")
    for tries in (1, 1):
        _, findings = clinic.look(capsys)
        assert clinic.running.calls.count("AuthenticateEx2") == tries
    assert "is not tried again until the file changes" in findings["login"]["words"]
    command = [*AXXONFS, "mount", *clinic.words()[1:-1], "--foreground"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert (done.returncode, "is not tried again until the file changes" in done.stderr) == (4, True), done.stderr
    assert clinic.running.calls.count("AuthenticateEx2") == 1
    password.write_text(PASSWORD)
    _, findings = clinic.look(capsys)
    assert findings["login"]["verdict"] == "ok"


def test_what_is_remembered_of_a_refusal_is_neither_the_password_nor_for_others(
    clinic: Clinic, capsys: pytest.CaptureFixture[str]
) -> None:
    (clinic.scratch / "password").write_text("wrong zebra")
    clinic.look(capsys)
    path = clinic.scratch / "s" / "refused.json"
    assert path.stat().st_mode & 0o777 == 0o600
    rows = json.loads(path.read_text())
    assert list(rows) == [clinic.server]
    assert "zebra" not in path.read_text()
    assert dt.datetime.fromisoformat(rows[clinic.server]["at"]).timestamp() == pytest.approx(time.time(), abs=60)


def test_a_damaged_memory_of_refusals_is_no_obstacle(clinic: Clinic, capsys: pytest.CaptureFixture[str]) -> None:
    (clinic.scratch / "s").mkdir()
    (clinic.scratch / "s" / "refused.json").write_text('{"x": [1], "y"')
    _, findings = clinic.look(capsys)
    assert findings["login"]["verdict"] == "ok"
    shutil.rmtree(clinic.scratch / "s")

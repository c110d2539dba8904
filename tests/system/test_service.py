"""The unit of systemd, in a booted Debian: coming up, being watched, dying, coming back, ending."""

import signal
import time

import pytest

from tests.fuse.harness import wait_until
from tests.system.machine import Machine, Seen, watching
from tests.system.site import WRONG, Site

promise = pytest.mark.promise
# 10 s for what is in flight and 1 s for the answers, by contract; the rest is for a busy machine.
STOPS_S = 20.0


def serves(machine: Machine, where: str) -> bool:
    return "sessions" in machine.ask(f"ls {where}").split()


def check_never_empty(seen: list[Seen]) -> None:
    """Check that a crash was an error until the new mount took the place of the dead one, in one step."""
    words = [look.what for look in seen]
    assert set(words) <= {"entries", "ENOTCONN", "ECONNABORTED"}, seen
    assert words[0] == words[-1] == "entries", seen
    assert sum(look.for_s for look in seen if look.what == "ENOTCONN") > 1, seen


def os_kill(machine: Machine, number: signal.Signals, pid: int) -> None:
    machine.run(f"kill -{int(number)} {pid}")


@promise("READY only once the mount answers, with a STATUS line, and levels in the journal")
def test_the_unit_is_active_once_the_mount_answers_and_says_how_it_is(machine: Machine, site: Site) -> None:
    where = site.configure("vms")
    assert machine.run(f"systemctl start axxonfs@vms && ls {where}").split() == ["cameras", "new", "sessions"]
    assert machine.property("axxonfs@vms", "Type") == "notify"
    wait_until(
        lambda: f"127.0.0.1:20109 mounted at {where}, sessions: 0" in machine.property("axxonfs@vms", "StatusText"),
        "the line of how it is",
    )
    line = machine.run("journalctl -u axxonfs@vms -p info -o cat --no-pager | grep 'mounted mountpoint='")
    assert line.startswith("axxonfs.fs.mount mounted")
    # Of this start alone: what other tests did to the unit is in the journal, too.
    start = machine.property("axxonfs@vms", "InvocationID")
    its = f"INVOCATION_ID={start} + _SYSTEMD_INVOCATION_ID={start}"
    assert "mounted mountpoint=" in machine.run(f"journalctl -o cat --no-pager {its}")
    assert machine.ask(f"journalctl -p warning -o cat --no-pager {its}") == ""
    exported = site.export(where)
    assert machine.run(f"head -c 12 {exported} | tail -c 8") == "ftypisom"
    machine.run("systemctl stop axxonfs@vms")
    assert machine.property("axxonfs@vms", "Result") == "success"
    assert machine.ask(f"findmnt {where}") == ""


@promise("restart after SIGKILL, with ENOTCONN in between and no empty directory")
def test_after_a_crash_the_mount_is_dead_until_it_is_back_and_never_empty(machine: Machine, site: Site) -> None:
    where = site.configure("vms")
    machine.run("systemctl start axxonfs@vms")
    before = site.pid("vms")
    with watching(machine, where) as seen:
        os_kill(machine, signal.SIGKILL, before)
        machine.wait(
            f"test $(systemctl show --value -p ActiveState axxonfs@vms) = active -a"
            f" $(systemctl show --value -p MainPID axxonfs@vms) != {before}",
            "the restart",
        )
        assert serves(machine, where)
    check_never_empty(seen)
    assert machine.property("axxonfs@vms", "NRestarts") == "1"
    assert machine.run(f"grep -c ' {where} ' /proc/self/mountinfo") == "1"


@promise("the watchdog ends a mount that does not answer (SIGSTOP), and it comes back")
def test_a_daemon_that_stopped_answering_is_ended_by_the_watchdog(machine: Machine, site: Site) -> None:
    where = site.configure("vms")
    site.drop_in("axxonfs@vms", "[Service]\nWatchdogSec=4s\n")
    machine.run("systemctl start axxonfs@vms")
    before = site.pid("vms")
    with watching(machine, where) as seen:
        time.sleep(6)  # longer than the watchdog: a mount that answers is left alone
        assert site.pid("vms") == before
        os_kill(machine, signal.SIGSTOP, before)
        wait_until(lambda: site.pid("vms") not in {0, before}, "another daemon")
        machine.wait("systemctl is-active -q axxonfs@vms", "the restart")
        assert serves(machine, where)
    check_never_empty(seen)
    assert "Watchdog timeout" in machine.run("journalctl -u axxonfs@vms -o cat --no-pager")


@promise("stop under load within the time: readers that wait for a stopped server get EIO, and it is unmounted")
def test_a_stop_under_load_ends_in_time_and_leaves_nobody_hanging(machine: Machine, site: Site) -> None:
    where = site.configure("vms")
    site.serve("--file-size 2G")
    machine.run("systemctl start axxonfs@vms")
    clip = site.export(where)
    readers = [machine.start(f"dd if={clip} of=/dev/null bs=1M skip={200 * number}") for number in range(8)]
    readers += [machine.start(f"while ls -l {where}/sessions >/dev/null; do :; done") for _ in range(2)]
    server = int(machine.property("axxonfs-simulator", "MainPID"))
    wait_until(lambda: site.calls("DownloadFile") > 1, "downloads")
    assert all(reader.poll() is None for reader in readers)
    os_kill(machine, signal.SIGSTOP, server)
    try:
        began_s = time.monotonic()
        machine.run("systemctl stop axxonfs@vms")
        took_s = time.monotonic() - began_s
        for reader in readers:
            reader.communicate(timeout=STOPS_S)
    finally:
        os_kill(machine, signal.SIGCONT, server)
    assert took_s < STOPS_S
    assert machine.property("axxonfs@vms", "Result") == "success"
    assert machine.ask(f"findmnt {where}") == ""
    assert machine.ask("pgrep -x axxonfs-watch") == ""


@promise("server away at boot, and back later: the unit waits and comes up by itself")
def test_a_machine_whose_server_is_away_at_boot_has_its_mount_once_the_server_is_back(
    machine: Machine, site: Site
) -> None:
    where = site.configure("vms")
    patient = site.configure("patient", 'retry = "10m"')
    machine.run("systemctl disable axxonfs-simulator && systemctl enable axxonfs@vms axxonfs@patient")
    machine.reboot()
    wait_until(lambda: int(machine.property("axxonfs@vms", "NRestarts")) >= 2, "some tries")
    assert "nothing listens at" in machine.property("axxonfs@patient", "StatusText")
    assert machine.property("axxonfs@patient", "NRestarts") == "0"
    assert machine.ask("findmnt -t fuse.axxonfs") == ""
    machine.run("systemctl start axxonfs-simulator")
    machine.wait("systemctl is-active -q axxonfs@vms && systemctl is-active -q axxonfs@patient", "both mounts")
    assert serves(machine, where)
    assert serves(machine, patient)


@promise("refused credentials are not tried again")
def test_a_refused_password_is_tried_once_and_the_unit_stays_failed(machine: Machine, site: Site) -> None:
    site.configure("vms", password=WRONG)
    assert machine.attempt("systemctl start axxonfs@vms").returncode == 1
    time.sleep(4)  # the unit of the tests tries again after one second, where it does
    assert machine.property("axxonfs@vms", "NRestarts") == "0"
    assert machine.property("axxonfs@vms", "ExecMainStatus") == "4"
    assert "user name or password is wrong" in machine.property("axxonfs@vms", "StatusText")
    assert "user name or password is wrong" in machine.run("journalctl -u axxonfs@vms -p err -o cat --no-pager")
    assert site.calls("AuthenticateEx2") == 1


@promise("a user unit: mounted by fusermount3 for an ordinary user, watched and ended like the other")
def test_a_user_has_a_mount_of_their_own(machine: Machine, site: Site) -> None:
    machine.run("id joe >/dev/null 2>&1 || useradd -m -s /bin/bash joe; loginctl enable-linger joe")
    machine.wait("test -S /run/user/$(id -u joe)/bus", "joe's systemd")
    where = "/srv/joe"
    machine.run(f"install -d -o joe -g joe {where} /home/joe/.config /home/joe/.config/axxonfs")
    machine.run(
        "cp /var/lib/axxonfs-simulator/ca.pem /home/joe/.config/axxonfs/ca.pem; chmod 644 /home/joe/.config/axxonfs/*"
    )
    machine.write(
        "/home/joe/.config/axxonfs/vms.toml",
        f'server = "root@127.0.0.1"\nmountpoint = "{where}"\ntls_ca = "/home/joe/.config/axxonfs/ca.pem"\n',
    )
    machine.run("install -m 600 -o joe /var/lib/axxonfs-simulator/password /home/joe/.config/axxonfs/vms.password")
    as_joe = "runuser -u joe -- env XDG_RUNTIME_DIR=/run/user/$(id -u joe) HOME=/home/joe"
    try:
        machine.run(f"{as_joe} systemctl --user start axxonfs@vms")
        assert machine.run(f"{as_joe} ls {where}").split() == ["cameras", "new", "sessions"]
        assert machine.run(f"{as_joe} systemctl --user show --value -p StatusText axxonfs@vms")
        assert machine.attempt(f"su nobody -s /bin/sh -c 'ls {where}'").returncode != 0
        pid = machine.run(f"{as_joe} systemctl --user show --value -p MainPID axxonfs@vms")
        assert machine.run(f"stat -c %U /proc/{pid}") == "joe"
        machine.run(f"{as_joe} systemctl --user stop axxonfs@vms")
        assert machine.ask(f"findmnt {where}") == ""
    finally:
        machine.run("loginctl disable-linger joe; rm -rf /home/joe/.config/axxonfs")

"""Lines of fstab, in a booted Debian: mounted at boot, at the first access, and while the server is away."""

import time

import pytest

from tests.system.machine import Machine
from tests.system.site import CA, SERVER, WRONG, Site

promise = pytest.mark.promise


def line(site: Site, name: str, *words: str, password_file: str = "/etc/axxonfs/fstab.password") -> str:
    """Return a line of fstab, and make its mountpoint."""
    site.machine.run(f"mkdir -p /mnt/{name}")
    options = ["_netdev", "nofail", *words, f"password_file={password_file}", f"tls_ca={CA}"]
    return f"{SERVER} /mnt/{name} axxonfs {','.join(options)} 0 0"


@promise("boot with fstab, and automount on first access")
def test_a_machine_mounts_at_boot_and_at_the_first_access_what_fstab_says(machine: Machine, site: Site) -> None:
    site.configure("fstab")
    site.fstab(line(site, "boot", "retry=1m"), line(site, "auto", "x-systemd.automount", "retry=30s"))
    machine.reboot()
    machine.wait("systemctl is-active -q mnt-boot.mount", "the mount at boot")
    assert machine.run("ls /mnt/boot").split() == ["cameras", "new", "sessions"]
    assert machine.run("systemctl is-active mnt-auto.automount") == "active"
    assert machine.ask("systemctl is-active mnt-auto.mount") == "inactive"
    assert machine.run("ls /mnt/auto").split() == ["cameras", "new", "sessions"]
    assert machine.run("systemctl is-active mnt-auto.mount") == "active"
    for shown in ("findmnt -no SOURCE,FSTYPE /mnt/boot", "df --output=source,fstype /mnt/boot | tail -1"):
        assert machine.run(shown).split() == [SERVER, "fuse.axxonfs"]
    assert f"{SERVER} on /mnt/boot type fuse.axxonfs (rw,nosuid,nodev,noexec" in machine.run("mount")
    machine.run("mount -a")  # what is mounted already is left alone
    assert machine.run("grep -c fuse.axxonfs /proc/self/mountinfo") == "2"
    machine.run("umount /mnt/boot && mount /mnt/boot")
    machine.wait("systemctl is-active -q mnt-boot.mount", "systemd to have seen it")
    machine.run("systemctl stop mnt-boot.mount")
    assert machine.ask("findmnt /mnt/boot") == ""


@promise(
    "server away: an automount fails with an error however often it is accessed, and works once the server is back"
)
def test_an_automount_outlives_any_number_of_failures_and_is_never_an_empty_directory(
    machine: Machine, site: Site
) -> None:
    site.configure("fstab")
    site.fstab(line(site, "auto", "x-systemd.automount"))
    machine.run("systemctl start mnt-auto.automount && systemctl stop axxonfs-simulator")
    for _ in range(7):
        done = machine.attempt("ls /mnt/auto")
        assert (done.returncode, done.stdout) == (2, ""), "an empty directory, or entries of no server"
    assert machine.run("systemctl is-active mnt-auto.automount") == "active"
    machine.run("systemctl start axxonfs-simulator")
    machine.wait("ls /mnt/auto/sessions", "the mount")


@promise("refused credentials are not tried again: five accesses of an automount are one login")
def test_an_automount_with_a_refused_password_asks_the_server_once(machine: Machine, site: Site) -> None:
    site.configure("fstab", password=WRONG)
    site.fstab(line(site, "auto", "x-systemd.automount"))
    machine.run("systemctl start mnt-auto.automount")
    for _ in range(5):
        assert machine.attempt("ls /mnt/auto").returncode == 2
    assert site.calls("AuthenticateEx2") == 1
    assert "is not tried again until the file changes" in machine.run("journalctl -u mnt-auto.mount -o cat --no-pager")


@promise("mount -t axxonfs with retry waits quietly, and mounts nothing before the server is there")
def test_mount_waits_for_its_server_before_anything_is_mounted(machine: Machine, site: Site) -> None:
    site.configure("fstab")
    site.fstab(line(site, "late", "noauto", "retry=2m"))
    machine.run("systemctl stop axxonfs-simulator")
    with machine.start("mount /mnt/late") as mount:
        time.sleep(3)
        assert mount.poll() is None
        assert machine.ask("findmnt /mnt/late") == ""
        machine.run("systemctl start axxonfs-simulator")
        out, err = mount.communicate(timeout=60)
        assert (mount.returncode, out) == (0, ""), err
    assert machine.run("ls /mnt/late").split() == ["cameras", "new", "sessions"]

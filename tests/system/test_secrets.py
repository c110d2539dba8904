"""Credentials in a booted Debian: looked for wherever somebody could come across them."""

import base64
import json
import signal

import pytest

from tests.system.machine import Machine
from tests.system.site import PASSWORD, WRONG, Site

OF_A_SPEC = "Zander-55-Nebel"
_NEEDLES = "/root/needles"
_FIND = f"-type f -exec grep -laF -f {_NEEDLES} {{}} +"
_PROCESSES = f"grep -laF -f {_NEEDLES} /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null"
# Commands that print where a secret was found, and what they may print: what systemd lends the service, and what the
# administrator has written, both for root only. The secrets come from a file, for a command line shows them.
PLACES = {
    "the journal": (f"journalctl --no-pager -o export | grep -aF -f {_NEEDLES}", []),
    "command lines and environments": (_PROCESSES, []),
    "/run": (f"find /run {_FIND}", ["/run/credentials/axxonfs@vms.service/axxonfs.password"]),
    "/etc": (f"find /etc {_FIND}", ["/etc/axxonfs/vms.password", "/etc/axxonfs/wrong.password"]),
    "the state directory": (f"find /var/lib/axxonfs {_FIND}", []),
    "other files": (f"find /tmp /var/tmp /var/cache/man /var/log ! -path '*/journal/*' {_FIND}", []),
    "properties of units": (f"systemctl show 'axxonfs@*' '*.mount' | grep -F -f {_NEEDLES}", []),
    "the environment of systemd": (f"systemctl show-environment | grep -F -f {_NEEDLES}", []),
    "the texts of the mount": (f"find /mnt/vms ! -name '*.zip' {_FIND}", []),
    "mounts": (f"grep -aF -f {_NEEDLES} /proc/self/mountinfo /etc/mtab", []),
}


def ways(secret: str) -> list[str]:
    """Return the ways in which a secret might be written."""
    raw = secret.encode()
    return [secret, base64.b64encode(raw).decode().rstrip("="), raw.hex(), json.dumps(" ".join(secret))[1:-1]]


def use(machine: Machine, site: Site, where: str) -> None:
    """Have the mount meet its secrets: logins, one of them refused, an export with a password, a crash, its dump."""
    assert machine.attempt("systemctl start axxonfs@wrong").returncode != 0
    machine.run("systemctl start axxonfs@vms")
    spec = {"camera": "1.Front door", "from": "-15m", "to": "-14m", "format": "mp4", "password": OF_A_SPEC}
    machine.write("/root/secret.json", json.dumps(spec), 0o600)
    machine.run(f"cp /root/secret.json {where}/new/secret.json")
    machine.wait(f"grep -qx completed {where}/new/secret.session/state", "the end of the export")
    machine.run(f"cat {where}/new/secret.session/*.zip >/dev/null")
    machine.attempt(f"cp /root/secret.json {where}/new/again.json; echo no | tee {where}/new/wrong.json")
    before = site.pid("vms")
    machine.run(f"kill -{int(signal.SIGUSR1)} {before}; sleep 1; kill -{int(signal.SIGKILL)} {before}")
    machine.wait(f"test $(systemctl show --value -p MainPID axxonfs@vms) != {before}", "the restart")
    machine.wait("systemctl is-active -q axxonfs@vms", "the mount")


@pytest.mark.promise(
    "credentials that appear nowhere: not in the journal (debug), processes, /run, the state directory, units, texts"
)
def test_a_password_is_found_only_where_it_was_put_and_where_systemd_lends_it(machine: Machine, site: Site) -> None:
    needles = [way for secret in (PASSWORD, WRONG, OF_A_SPEC) for way in ways(secret)]
    machine.write(_NEEDLES, "\n".join(needles) + "\n", 0o600)
    where = site.configure("vms", 'log_level = "debug"')
    site.configure("wrong", 'log_level = "debug"', password=WRONG)
    watch = f"until read -t 0.01; do {_PROCESSES}; done"
    with machine.start(watch) as processes:
        use(machine, site, where)
        seen, err = processes.communicate("end\n", timeout=60)
    assert (seen, err) == ("", "")
    assert machine.run("journalctl -u axxonfs@vms -p debug -o cat --no-pager | grep 'write failed error='")
    found = {place: sorted(machine.ask(command).splitlines()) for place, (command, _) in PLACES.items()}
    assert found == {place: expected for place, (_, expected) in PLACES.items()}
    for path in (*PLACES["/run"][1], *PLACES["/etc"][1]):
        assert machine.run(f"stat -c '%U %a' {path}") in {"root 400", "root 600"}

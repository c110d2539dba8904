"""A simulated server in the machine, and mounts of it by systemd and by fstab."""

import dataclasses
import json

from tests.system.machine import Machine

# Is looked for everywhere afterwards.
PASSWORD = "Kranich-77-Wolke"
WRONG = "Reiher-13-Regen"
SERVER = "root@127.0.0.1"
_STATE = "/var/lib/axxonfs-simulator"
CA = f"{_STATE}/ca.pem"
_CALLS = f"{_STATE}/calls.jsonl"
# Nothing but what makes the tests quick: how long systemd waits before it tries again.
_QUICK = "[Service]\nRestartSec=1s\n"


@dataclasses.dataclass(frozen=True, slots=True)
class Site:
    """The machine, and how things in it are named."""

    machine: Machine

    def configure(self, name: str, *lines: str, password: str = PASSWORD) -> str:
        """Write a configuration and its password; return the mountpoint."""
        text = [f'server = "{SERVER}"', f'mountpoint = "/mnt/{name}"', f'tls_ca = "{CA}"', *lines]
        self.machine.write(f"/etc/axxonfs/{name}.toml", "\n".join(text) + "\n")
        self.machine.write(f"/etc/axxonfs/{name}.password", password + "\n", 0o600)
        self.machine.run(f"mkdir -p /mnt/{name}")
        return f"/mnt/{name}"

    def fstab(self, *lines: str) -> None:
        """Replace fstab, and let systemd read it."""
        self.machine.write("/etc/fstab", "\n".join(lines) + "\n")
        self.machine.run("systemctl daemon-reload")

    def drop_in(self, unit: str, text: str) -> None:
        """Add to a unit."""
        self.machine.write(f"/etc/systemd/system/{unit}.service.d/test.conf", text)
        self.machine.run("systemctl daemon-reload")

    def calls(self, method: str) -> int:
        """Return how many calls of a method the server was asked for since the site was prepared."""
        lines = self.machine.ask(f"cat {_CALLS}").splitlines()
        return sum(json.loads(line)["method"] == method for line in lines)

    def serve(self, options: str = "") -> None:
        """Start the simulator anew, with options of its command."""
        command = f"axxonfs simulate --directory {_STATE} --call-log {_CALLS} {options}"
        self.drop_in("axxonfs-simulator", f"[Service]\nExecStart=\nExecStart={command}\n")
        self.machine.run("systemctl restart axxonfs-simulator")
        self.machine.wait(f"test -e {CA} && bash -c '</dev/tcp/127.0.0.1/20109'", "the simulator")

    def pid(self, name: str) -> int:
        """Return the main process of a mount's unit."""
        return int(self.machine.property(f"axxonfs@{name}", "MainPID"))

    def export(self, where: str, name: str = "door", seconds: int = 20) -> str:
        """Start an export by writing a file, wait for its end, and return the path of the clip."""
        spec = f'{{"camera": "1.Front door", "from": "-15m", "to": "-{900 - seconds}s", "format": "mp4"}}'
        self.machine.run(f"echo '{spec}' > {where}/new/{name}.json")
        self.machine.wait(f"grep -qx completed {where}/new/{name}.session/state", "the end of the export")
        return self.machine.run(f"echo {where}/new/{name}.session/*.mp4")

    def clean(self) -> None:
        """End all mounts and forget their configuration; the simulator is left as it was installed."""
        self.machine.ask(
            "systemctl disable --now 'axxonfs@*' axxonfs-simulator; "
            "for unit in $(systemctl list-units --plain --no-legend 'axxonfs@*' | cut -d' ' -f1); do"
            " systemctl disable --now $unit; done;"
            "systemctl stop 'mnt-*.automount' 'mnt-*.mount'; "
            "for where in $(findmnt -rno TARGET -t fuse.axxonfs,autofs | grep ^/mnt); do umount -l $where; done; "
            "rm -rf /etc/axxonfs/*.toml /etc/axxonfs/*.password /etc/systemd/system/axxonfs*.d /mnt/*"
            " /var/lib/axxonfs/* /var/lib/private/axxonfs-simulator /var/lib/axxonfs-simulator; : > /etc/fstab; "
            "systemctl daemon-reload; systemctl reset-failed"
        )


def prepare(machine: Machine) -> Site:
    """Start the simulator with a call log and a password that is to be recognised."""
    site = Site(machine)
    site.clean()
    site.drop_in("axxonfs@", _QUICK)
    machine.write("/var/lib/private/axxonfs-simulator/password", PASSWORD + "\n", 0o600)
    (machine.root / "var/lib/private").chmod(0o700)
    machine.run("systemctl enable axxonfs-simulator")
    site.serve()
    return site

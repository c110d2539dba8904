"""A new version of the package, installed while a mount is used: the last of the system tests, for it stays."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.system.machine import Machine, packages
from tests.system.site import Site

NEW = "99.0"
_IMPORTS = "/run/imports"
# At the end of each module of the new version: who imports it is written down.
_WRITE_DOWN = f"""
try:
    with __import__("builtins").open("{_IMPORTS}", "a") as _imports_of_new:  # no name or function of the module's own
        _imports_of_new.write(f"{{__import__('os').getpid()}} {{__name__}}\\n")
except OSError:
    pass
"""
# Reads a MiB, waits for a line, and reads the rest from the same open file.
_READER = """
import hashlib, sys
with open(sys.argv[1], "rb") as file:
    sum = hashlib.sha256(file.read(1 << 20))
    print("begun", flush=True)
    sys.stdin.readline()
    while piece := file.read(1 << 20):
        sum.update(piece)
print(sum.hexdigest())
"""


def newer(package: Path, scratch: Path) -> Path:
    """Make a package of the version NEW from one that was built: the same, but it writes down its imports."""
    tree = scratch / package.stem
    subprocess.run(["dpkg-deb", "-R", package, tree], check=True)
    control = tree / "DEBIAN" / "control"
    control.write_text(re.sub(r"(?m)^(Version: |Depends: axxonfs \(= )[^\n)]*", rf"\g<1>{NEW}", control.read_text()))
    for module in (tree / "opt").rglob("*.py"):
        with module.open("a", encoding="utf-8", errors="surrogateescape") as file:
            file.write(_WRITE_DOWN)
    for about in (tree / "opt").glob("axxonfs/lib/*/site-packages/axxonfs-*.dist-info"):
        metadata = about / "METADATA"
        metadata.write_text(re.sub(r"(?m)^Version: .*", f"Version: {NEW}", metadata.read_text("utf-8"), count=1))
        about.rename(about.with_name(f"axxonfs-{NEW}.dist-info"))
    made = scratch / f"{package.name.partition('_')[0]}_{NEW}.deb"
    subprocess.run(
        ["dpkg-deb", "--root-owner-group", "-Znone", "-b", tree, made], check=True, stdout=subprocess.DEVNULL
    )
    return made


def family(machine: Machine, pid: int) -> set[int]:
    """Return the process ids of a daemon and its helpers."""
    return {pid, *map(int, machine.run(f"cat /proc/{pid}/task/{pid}/children").split())}


def importers(machine: Machine) -> set[int]:
    """Return which processes have imported something of the new version."""
    return {int(line.split()[0]) for line in machine.ask(f"cat {_IMPORTS}").splitlines()}


def use_everything(machine: Machine, site: Site, where: str, name: str) -> str:
    """Have the mount do what it does: specs right and wrong, verbs, texts, attributes, a dump; return a clip."""
    clip = site.export(where, name=name)
    machine.attempt(f"echo '{{\"camera\": 7}}' > {where}/new/{name}-wrong.json")
    machine.run(
        f"echo keep > {where}/new/{name}.session/control && cat {where}/.axxonfs/* {where}/cameras/*/camera.json"
    )
    machine.run(f"kill -USR1 {site.pid('vms')}; ls -lR {where}; df {where}; sha256sum {clip}")
    return clip


@pytest.mark.promise(
    "upgrade of the package under a running mount: it goes on, unchanged, and a restart is the new one"
)
def test_an_upgrade_leaves_a_mount_and_its_readers_alone_until_it_is_restarted(
    machine: Machine, site: Site, tmp_path: Path
) -> None:
    where = site.configure("vms")
    site.serve("--file-size 200M")
    machine.run("systemctl start axxonfs@vms")
    clip = site.export(where)
    before = family(machine, site.pid("vms"))
    for package in packages():
        subprocess.run(["cp", newer(package, tmp_path), machine.root / "root"], check=True)
    steady = f"until read -t 0.01; do cat {where}/.axxonfs/stats.json && head -c 1M {clip}; done >/dev/null"
    with machine.start(f"exec python3 -c {shlex.quote(_READER)} {clip}") as reader, machine.start(steady) as users:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "begun\n"
        said = machine.run(f"cd /root && apt-get install -y --no-install-recommends ./*_{NEW}.deb", timeout_s=300)
        assert reader.poll() is None
        assert users.poll() is None
        digest, _ = reader.communicate("\n", timeout=120)
        assert (users.communicate("end\n", timeout=60)[1], users.returncode) == ("", 0)
    assert "at the new version after: systemctl restart axxonfs@vms.service" in said
    assert machine.run("axxonfs --version") == NEW
    assert family(machine, site.pid("vms")) == before
    assert machine.run(f"jq -r .axxonfs {where}/.axxonfs/mount.json") != NEW
    use_everything(machine, site, where, "old")
    assert importers(machine), "those of the command that told its version"
    assert importers(machine) & before == set()
    machine.run("systemctl restart axxonfs@vms")
    assert machine.run(f"jq -r .axxonfs {where}/.axxonfs/mount.json") == NEW
    assert site.pid("vms") in importers(machine)
    assert machine.run(f"sha256sum < {clip}").split()[0] == digest.strip()
    use_everything(machine, site, where, "new")

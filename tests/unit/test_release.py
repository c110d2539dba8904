"""Manual pages, completions and `--help`: as wide as a terminal, and about what there is."""

import argparse
import gzip
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from axxonfs.cli import helper, main
from axxonfs.fs.options import MountOptions
from release import documents
from tests.unit.shells import SHELLS, offers

ROOT = Path(__file__).parents[2]
COLUMNS = 80
PARSERS: dict[str, argparse.ArgumentParser] = {
    "axxonfs": main.parser(main.COMMANDS),
    **documents.parsers(main.parser(main.COMMANDS)),
    "mount.axxonfs": helper.parser(),
}
every_parser = pytest.mark.parametrize("name", PARSERS)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make package` writes, by the command that it runs."""
    directory = tmp_path_factory.mktemp("documents")
    subprocess.run([sys.executable, "-m", "release.documents", directory], check=True)
    return directory


def page(written: Path, name: str) -> Path:
    [path] = written.rglob(f"man*/{name if '.' in name or name == 'axxonfs' else f'axxonfs-{name}'}.[18].gz")
    return path


@every_parser
def test_help_fits_a_terminal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    assert [line for line in PARSERS[name].format_help().splitlines() if len(line) > COLUMNS] == []


@every_parser
def test_the_manual_page_fits_a_terminal_and_has_every_option(name: str, written: Path) -> None:
    if shutil.which("man") is None:
        pytest.skip("not installed, see scripts/setup: man")
    words = ["man", "--warnings", "-E", "UTF-8", "-l", str(page(written, name))]
    done = subprocess.run(
        words,
        env={"MANWIDTH": str(COLUMNS), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    text = re.sub(r".\x08", "", done.stdout)
    assert [line for line in text.splitlines() if len(line) > COLUMNS] == []
    options = {word for action in PARSERS[name]._actions for word in action.option_strings}
    assert {word for word in options if not re.search(rf"(?m)^ {{7}}.*(?<![\w-]){re.escape(word)}\b", text)} == set()


def test_the_page_of_mount_has_every_option_of_a_mount_and_that_of_axxonfs_every_exit_status(written: Path) -> None:
    text = gzip.decompress(page(written, "mount").read_bytes()).decode()
    assert set(re.findall(r"^\\fB(\w+)\\fR$", text, re.MULTILINE)) >= MountOptions.model_fields.keys()
    assert documents.exit_statuses()[0] == ("0", "it worked")
    assert ".SH EXIT STATUS" in gzip.decompress(page(written, "axxonfs").read_bytes()).decode()


def test_no_page_names_the_home_of_whoever_made_it(written: Path) -> None:
    for path in written.rglob("*.gz"):
        assert str(Path.home()) not in gzip.decompress(path.read_bytes()).decode(), path.name


@pytest.mark.parametrize("shell", SHELLS)
def test_shells_complete_commands_options_and_directories(shell: str, written: Path, tmp_path: Path) -> None:
    def offered(line: str) -> set[str]:
        home = tmp_path / f"home{len(list(tmp_path.iterdir()))}"
        (home / "directory").mkdir(parents=True)
        return {word.rstrip("/") for word in offers(shell, written, line, home)}

    assert offered("axxonfs ") >= main.COMMANDS.keys()
    assert "mount" in offered("axxonfs mo")
    assert "--foreground" in offered("axxonfs mount --f")
    assert "directory" in offered("axxonfs demo ")


def test_the_programs_that_the_package_links_to_are_installed() -> None:
    links = re.findall(r"^ln -s /opt/axxonfs/bin/(\S+)", (ROOT / "release" / "build-deb").read_text(), re.MULTILINE)
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert sorted(links) == sorted(scripts) == ["axxonfs", "mount.axxonfs"]

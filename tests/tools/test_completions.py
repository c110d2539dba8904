"""Completion at real mounts, in the shells themselves."""

from collections.abc import Callable
from pathlib import Path

import pytest

from release import documents
from tests.fuse.harness import Rig, pattern_file
from tests.unit.shells import SHELLS, offers

Rigs = Callable[..., Rig]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("documents")
    documents.write(directory)
    return directory


@pytest.mark.parametrize("shell", SHELLS)
def test_shells_offer_the_mounts_and_sessions_that_are_there(
    rigs: Rigs, shell: str, written: Path, tmp_path: Path
) -> None:
    rig = rigs()
    sessions = [str(rig.hold(pattern_file(10))) for _ in range(2)]

    def offered(line: str) -> set[str]:
        home = tmp_path / f"home{len(list(tmp_path.iterdir()))}"
        home.mkdir()
        # There may be other mounts on this machine.
        found = {word.rstrip("/") for word in offers(shell, written, line, home)}
        return {word for word in found if word.startswith(str(rig.path))}

    assert offered("axxonfs umount ") == offered("axxonfs export ") == {str(rig.path)}
    assert offered("axxonfs wait ") == set(sessions)
    assert offered(f"axxonfs wait {sessions[0][:-1]}") == {sessions[0]}
    assert rig.stop() == 0
    assert offered("axxonfs umount ") == set()

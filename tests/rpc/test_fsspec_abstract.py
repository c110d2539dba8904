"""fsspec's own suite, the part for file systems that cannot be written: `get` in all its ways.

The suite makes the files that it gets, under names of its own, and results have
names of ours. So the file system here has two things more: writing a file lets the
simulator hold a result with these bytes, and names of the suite stand for names of
results. All else is the file system as it is, on a real server.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from fsspec.tests import abstract

from axxonfs.fsspec import AxxonFileSystem
from axxonfs.fsspec.filesystem import Info
from axxonfs.simulator.records import ResultFile
from tests.rpc.file_systems import Site, archive_clip, made_site

_numbers = itertools.count()


class Renamed(AxxonFileSystem):
    """Shows results under the names that the suite gives them."""

    cachable = False
    site: Site

    def __init__(self, **words: Any) -> None:
        super().__init__(**words)
        self.files: dict[str, str] = {}  # name -> id of the session whose only result it is
        self.directories: set[str] = set()

    # -- what the suite needs and no user has

    def pipe(self, path: str, value: bytes) -> None:
        name = f"content-{next(_numbers)}"
        file = ResultFile(path=name, size=len(value), kind="mkv", stored=name)
        sessions = self.site.sim.sessions
        session_id = sessions.add(archive_clip(), files=[file], user="somebody")
        place = self.site.sim.config.directory / "results" / str(sessions.record(session_id).sequence)
        place.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(value)
        self.files[self._strip_protocol(path)] = session_id
        self.makedirs(self._parent(path))
        self.invalidate_cache()

    def touch(self, path: str) -> None:
        self.pipe(path, b"")

    def makedirs(self, path: str, exist_ok: bool = True) -> None:
        parts = self._strip_protocol(path).split("/")
        self.directories |= {"/".join(parts[: count + 1]) for count in range(len(parts)) if parts[0]}

    def mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        self.makedirs(path)

    def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> None:
        for name in [name for name in self.files if name.startswith(f"{path}/")]:
            self.site.sim.sessions.destroy(self.files.pop(name))
        self.directories = {name for name in self.directories if not f"{name}/".startswith(f"{path}/")}

    # -- names

    def info(self, path: str, **_: Any) -> Info:
        name = self._strip_protocol(path)
        if name in self.files:
            session_id = self.files[name]
            [session] = [info["name"] for info in super().ls("") if info["session_id"] == session_id]
            [info] = super().ls(session)
            return {**info, "name": name}
        if name and name not in self.directories:
            raise FileNotFoundError(path)
        return {"name": name, "size": 0, "type": "directory"}

    def ls(self, path: str, detail: bool = True, refresh: bool = False, **_: Any) -> list[Any]:
        here = self.info(path)
        below = [name for name in (*self.files, *self.directories) if self._parent(name) == here["name"]]
        found = [here] if here["type"] == "file" else [self.info(name) for name in below]
        return found if detail else [info["name"] for info in found]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with made_site(tmp_path_factory.mktemp("site")) as site:
        yield site


class Fixtures(abstract.AbstractFixtures):  # type: ignore[misc]  # fsspec has no types
    """What the suite asks of whoever runs it."""

    @pytest.fixture
    def fs(self, site: Site) -> Renamed:
        fs = Renamed(**site.words)
        fs.site = site
        return fs

    @pytest.fixture
    def fs_path(self) -> str:
        return "suite"


class TestGet(Fixtures, abstract.AbstractGetTests):  # type: ignore[misc]  # as above
    """All tests of the suite about copying to here."""

"""The picture of the server, kept in step with it."""

import contextlib
import time
import types
from pathlib import Path

import pyfuse3
import pytest
import trio

from axxonfs.core.timers import scaled
from axxonfs.core.view import Settings, View
from axxonfs.exporting import catalog, starts
from axxonfs.exporting.records import NoRecords
from axxonfs.fsspec import client
from axxonfs.remote.exports import ExportClient
from tests.rpc.file_systems import made_site
from tests.rpc.support import TIMEOUT_S, connect, make_simulator
from tests.rpc.unmounted import Unmounted, endless

LISTINGS = 5


async def test_a_list_of_cameras_that_fails_is_no_news_of_the_sessions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "CAMERAS_EVERY_S", 0.0)
    with make_simulator(tmp_path) as sim, contextlib.closing(connect(sim, tmp_path)) as link:
        view = View(Settings(timers=scaled(100)), time.time())
        looking = catalog.Catalog(ExportClient(link), view, NoRecords(), lambda _notices: None)
        await looking.refresh_cameras()
        before = view.cameras
        failing = sim.faults.add(method="ListCameras", status="PERMISSION_DENIED", times=1000)
        stale: list[float | None] = []
        looking.listeners.append(lambda _listing: stale.append(view.stale_since_s))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(looking.run)
            with trio.fail_after(TIMEOUT_S):
                while len(stale) < LISTINGS:
                    looking.poke()
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
        assert failing.hits >= LISTINGS - 1
        assert stale == [None] * len(stale)
        assert view.stale_since_s is None
        assert view.cameras == before


def test_without_a_mount_sessions_are_listed_though_cameras_are_not_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CAMERAS_EVERY_S", 0.0)
    with made_site(tmp_path) as site:
        fs = site.fs()
        site.hold(10)
        [session] = fs.ls("", detail=False)
        site.sim.faults.add(method="ListCameras", status="PERMISSION_DENIED", times=1000)
        fs.invalidate_cache()
        assert fs.ls("", detail=False) == [session]


def test_a_new_camera_is_looked_for_though_the_clock_was_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starts, "CAMERAS_FRESH_S", 0.0)
    with (
        endless(tmp_path) as sim,
        contextlib.closing(connect(sim, tmp_path)) as link,
        Unmounted(ExportClient(link), tmp_path / "state") as mount,
    ):
        before = sim.calls.count("ListCameras")
        monkeypatch.setattr(starts, "time", types.SimpleNamespace(time=lambda: time.time() - 3600))
        with pytest.raises(pyfuse3.FUSEError):
            mount.write('{"camera": "99", "live": true}', "new", "door.json")
        assert sim.calls.count("ListCameras") == before + 1

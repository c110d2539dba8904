"""The picture of the server, kept in step with it."""

import contextlib
import math
import time
import types
from pathlib import Path

import pyfuse3
import pytest
import trio

from axxonfs.core.timers import Timers, scaled
from axxonfs.core.view import Settings, View
from axxonfs.exporting import catalog, starts
from axxonfs.exporting.records import NoRecords
from axxonfs.fsspec import client
from axxonfs.remote.exports import ExportClient
from tests.rpc.file_systems import archive_clip, made_site, pattern_file
from tests.rpc.simulated import live_clip
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


async def test_sessions_that_are_destroyed_on_a_node_that_does_not_answer_keep_nobody_from_looking(
    tmp_path: Path,
) -> None:
    with make_simulator(tmp_path) as sim, contextlib.closing(connect(sim, tmp_path)) as link:
        many = catalog.MAX_CONTROL_CALLS + 1
        for _ in range(many):
            sim.sessions.add(archive_clip(), files=[pattern_file(10)], user="somebody")
        looking = catalog.Catalog(
            ExportClient(link), View(Settings(timers=Timers()), time.time()), NoRecords(), lambda _notices: None
        )
        await looking.refresh()
        hanging = sim.faults.add(method="DestroySession", action="delay", delay_s=60.0, times=1000)
        async with trio.open_nursery() as nursery:
            for entry in looking.view.entries.values():
                nursery.start_soon(looking.destroy, entry)
            wait = trio.to_thread.run_sync
            assert await wait(sim.faults.wait_for_hits, hanging, catalog.MAX_CONTROL_CALLS, TIMEOUT_S)
            with trio.fail_after(TIMEOUT_S / 2):
                await looking.refresh()
                await looking.refresh_cameras()
            sim.faults.clear()


async def test_sessions_on_a_node_that_does_not_answer_take_no_keep_alive_from_a_live_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    factor = 30.0  # five minutes are ten seconds
    monkeypatch.setattr(catalog, "CONTROL_TIMEOUT_S", 0.5)
    with make_simulator(tmp_path, time_factor=factor) as sim, contextlib.closing(connect(sim, tmp_path)) as link:
        for _ in range(4 * catalog.KEEP_ALIVES_A_ROUND):
            session_id = sim.sessions.add(archive_clip(), files=[pattern_file(10)], user="somebody")
            sim.faults.add(method="GetSessionState", action="delay", delay_s=2.0, times=1000, session_id=session_id)
        session = sim.sessions.start(live_clip(), "somebody").session_id
        timers = scaled(factor)
        view = View(Settings(timers=timers), time.time())
        keeping = catalog.Catalog(ExportClient(link), view, NoRecords(), lambda _notices: None)
        await keeping.refresh()
        for entry in view.entries.values():
            entry.facts.keep_until_s = math.inf
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keeping.keep_alive)
            await trio.sleep(1.5 * timers.live_clip_s)
            nursery.cancel_scope.cancel()
        assert sim.sessions.record(session).running


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

"""The examples, under a real cluster of Dask and with real clips; a worker is killed in the middle."""

import collections
import csv
import datetime as dt
import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import av
import pytest
from distributed import Client, LocalCluster, wait

from axxonfs.core.chunks import KIB
from axxonfs.core.line import MIB
from benchmarks.without_mount import ENVIRONMENTS
from examples import frames, hash_day
from tests.fuse.harness import wait_until
from tests.rpc.file_systems import Site, archive_clip, made_site, pattern_file

SESSIONS = 100
DAY = dt.date(2026, 11, 17)
DAY_MS = int(dt.datetime(2026, 11, 17, tzinfo=dt.UTC).timestamp() * 1000)
TIMEOUT_S = 120.0


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Yield a server with the clips of a hundred sessions of one day, and some of the next."""
    with made_site(tmp_path_factory.mktemp("site"), login_limit=8) as site:
        exports = []
        for number in range(SESSIONS + 5):
            begin_ms = DAY_MS + 86_400_000 * (number >= SESSIONS) + number * 600_000
            options = archive_clip(camera=1 + number % 8, end_ms=begin_ms + 300_000)
            file = pattern_file(100 * KIB + 7919 * number, min_ms=begin_ms - 400, max_ms=begin_ms + 300_000)
            exports.append((options, (file,)))
        site.sim.sessions.add_many(exports)
        yield site


@pytest.fixture(params=[2, 4])
def cluster(request: pytest.FixtureRequest) -> Iterator[Client]:
    """Yield a cluster of so many processes."""
    with (
        LocalCluster(n_workers=request.param, threads_per_worker=1, processes=True, dashboard_address=":0") as local,
        Client(local) as client,
    ):
        yield client


def open_logins(site: Site) -> int:
    return site.sim.calls.count("AuthenticateEx2") - site.sim.calls.count("CloseSession")


@pytest.mark.expects_warnings("caused the cluster to lose already computed task")
@pytest.mark.expects_warnings("Restarting worker")
def test_a_cluster_hashes_the_clips_of_a_hundred_sessions_and_a_killed_worker_costs_its_tasks_only(
    site: Site, cluster: Client
) -> None:
    fs = site.fs()
    clips = hash_day.clips_of(fs, DAY)
    assert len(clips) == SESSIONS
    before = len(site.downloads())
    truth = {clip.file: hashlib.sha256(site.truth(fs.info(clip.file))).hexdigest() for clip in clips}
    processes: dict[str, int] = cluster.run(os.getpid)
    victim = min(processes)

    def slowly(clip: hash_day.Clip) -> hash_day.Clip:
        time.sleep(0.05)  # so that there is a middle
        return hash_day.hashed(fs, clip)

    with fs.keep({clip.session for clip in clips}):
        futures = cluster.map(slowly, clips, pure=False)
        wait(futures[:20], timeout=TIMEOUT_S)
        had = {key for key, places in cluster.who_has(futures).items() if victim in places}
        had |= {str(key) for key in cluster.processing()[victim]}
        os.kill(processes[victim], signal.SIGKILL)
        done = cluster.gather(futures)
    assert {clip.file: clip.sha256 for clip in done} == truth
    assert processes[victim] not in cluster.run(os.getpid).values()
    read = collections.Counter(
        re.findall(r'session_id: "([^"]+)"', call.request)[0] for call in site.downloads()[before:]
    )
    # A few tasks may have come to it while the question was on its way.
    assert sum(times - 1 for times in read.values()) <= len(had) + 4


def test_the_example_writes_a_manifest_of_what_was_asked_for_and_delivered(
    site: Site, cluster: Client, tmp_path: Path
) -> None:
    fs = site.fs()
    hash_day.write_manifest(tmp_path / "manifest.csv", hash_day.hash_day(fs, DAY, cluster))
    with (tmp_path / "manifest.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == SESSIONS
    for row in rows:
        info = fs.info(row["file"])
        assert row["sha256"] == hashlib.sha256(site.truth(info)).hexdigest()
        assert int(row["size"]) == info["size"]
        assert fs.info(row["session"])["session_id"] == info["session_id"]
        begin = dt.datetime.fromisoformat(row["requested_from"])
        assert begin.date() == DAY
        assert begin - dt.datetime.fromisoformat(row["delivered_from"]) == dt.timedelta(milliseconds=400)
        assert row["delivered_to"] == row["requested_to"]
        assert row["camera"][1:].startswith(".")


def test_workers_log_out_at_their_end(tmp_path: Path) -> None:
    with made_site(tmp_path) as site:
        fs = site.fs()
        path, data = site.hold_one(fs, MIB)
        with LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=":0") as local, Client(local) as client:
            read = client.run(lambda: len(fs.cat_file(path)))
            assert [*read.values()] == [len(data)] * 2
            assert open_logins(site) == 3
        wait_until(lambda: open_logins(site) == 1, "the workers' logouts", TIMEOUT_S)


def test_workers_of_the_example_keep_their_memory_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in hash_day.MALLOC:
        monkeypatch.setenv(name, "")  # so that it is as before in the end
        monkeypatch.delenv(name)
    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")
    hash_day.set_malloc()
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0") as local,
        Client(local) as client,
    ):
        [environment] = client.run(lambda: dict(os.environ)).values()
    assert {name: environment[name] for name in hash_day.MALLOC} == {**hash_day.MALLOC, "MALLOC_ARENA_MAX": "2"}


def test_what_is_advised_is_what_was_measured() -> None:
    advice = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text(encoding="utf-8")
    assert ENVIRONMENTS["fsspec, malloc that keeps"] == hash_day.MALLOC
    assert all(f"{name}={value}" in advice for name, value in hash_day.MALLOC.items())


def test_the_example_runs_as_a_program(site: Site, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "AXXONFS_PASSWORD_FILE": site.words["password_file"],
        "AXXONFS_TLS_CA": site.words["tls_ca"],
    }
    manifest = tmp_path / "manifest.csv"
    command = [sys.executable, "-m", "examples.hash_day", site.url, str(DAY), str(manifest)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{SESSIONS} results, ")
    assert len(manifest.read_text().splitlines()) == SESSIONS + 1


def test_frames_of_a_clip_are_read_without_a_copy_of_it(tmp_path: Path) -> None:
    with made_site(tmp_path, export_speed=1e9) as site:
        fs = site.fs()
        end = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=10)
        spec = {"camera": "1.Front door", "from": end - dt.timedelta(seconds=60), "to": end, "format": "mp4"}
        [path] = fs.wait(fs.start(spec))
        words = {word: value for word, value in site.words.items() if word not in {"host", "port"}}
        pictures = list(frames.frames(fs.unstrip_protocol(path), 5, **words))
        times = [float(frame.time) for frame in pictures]
        assert times == sorted(times)
        assert times[-1] > 40
        assert {(frame.width, frame.height) for frame in pictures} == {(pictures[0].width, pictures[0].height)}
        (tmp_path / "truth.mp4").write_bytes(site.truth(fs.info(path)))
        with av.open(tmp_path / "truth.mp4") as container:
            first = next(container.decode(video=0))
        assert (first.to_ndarray() == pictures[0].to_ndarray()).all()


def test_the_example_of_frames_runs_as_a_program(tmp_path: Path) -> None:
    with made_site(tmp_path, export_speed=1e9) as site:
        fs = site.fs()
        spec = {"camera": "1.Front door", "from": "-15m", "to": "-14m", "format": "mp4"}
        [path] = fs.wait(fs.start(spec))
        environment = {
            **os.environ,
            "AXXONFS_PASSWORD_FILE": site.words["password_file"],
            "AXXONFS_TLS_CA": site.words["tls_ca"],
        }
        command = [sys.executable, "-m", "examples.frames", f"{site.url}/{path}", str(tmp_path / "out"), "--count", "3"]
        subprocess.run(command, env=environment, check=True, timeout=TIMEOUT_S)
        assert len([picture for picture in (tmp_path / "out").iterdir() if picture.stat().st_size > 1000]) == 3

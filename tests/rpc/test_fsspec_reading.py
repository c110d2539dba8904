"""Looking and reading through fsspec: names, bytes, ranges, copies, caches, trouble."""

import dataclasses
import datetime as dt
import hashlib
import io
import random
import threading
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.callbacks import Callback

from axxonfs.core.chunks import KIB
from axxonfs.core.line import MIB
from axxonfs.fsspec import AxxonFileSystem
from axxonfs.simulator.faults import ANY
from axxonfs.simulator.records import ResultFile
from tests.fuse.harness import wait_until
from tests.rpc.file_systems import CHUNK, Site, archive_clip, made_site, pattern_file

BEGIN_MS = 1_794_999_700_000
SIZE = 3 * MIB + 77


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with made_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def fs(site: Site) -> AxxonFileSystem:
    return site.fs()


# -- names and what is known ---------------------------------------------------------


def test_names_are_those_of_a_mount(site: Site, fs: AxxonFileSystem) -> None:
    file = pattern_file(10, min_ms=BEGIN_MS, max_ms=BEGIN_MS + 300_000)
    session_id = site.sim.sessions.add(archive_clip(), files=[file], user="somebody")
    fs.invalidate_cache()
    tag = hashlib.sha256(session_id.encode()).hexdigest()[:8]
    start = dt.datetime.fromtimestamp(BEGIN_MS / 1000, dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    session = f"{start}_1.Front_door_mkv_{tag}"
    assert session in fs.ls("", detail=False)
    assert fs.ls(session, detail=False) == [f"{session}/1.Front_door_{start}.mkv"]


def test_a_url_and_a_path_lead_to_the_same(site: Site, fs: AxxonFileSystem) -> None:
    path, data = site.hold_one(fs, 1000)
    url = fs.unstrip_protocol(path)
    assert url == f"axxon://127.0.0.1:{site.sim.port}/{path}"
    assert fs.info(url) == fs.info(f"/{path}/") == fs.info(path)
    words = {word: value for word, value in site.words.items() if word not in {"host", "port"}}
    with fsspec.open(url, **words) as file:
        assert file.read() == data
    found, names = fsspec.core.url_to_fs(f"{site.url}/{path}", **{**words, "user": site.words["user"]})
    assert isinstance(found, AxxonFileSystem)
    assert names == path


def test_a_session_is_found_by_its_eight_characters_whatever_stands_before_them(
    site: Site, fs: AxxonFileSystem
) -> None:
    path, _ = site.hold_one(fs, 10)
    session, file = path.split("/")
    other = f"20000101T000000Z_9.Renamed_mkv_{session.rpartition('_')[2]}"
    assert fs.info(other)["name"] == session
    assert fs.info(f"{other}/{file}")["name"] == path


def test_what_is_known_of_a_result_is_all_that_a_reader_needs(site: Site, fs: AxxonFileSystem) -> None:
    file = pattern_file(1234, kind="mp4", min_ms=BEGIN_MS, max_ms=BEGIN_MS + 5000)
    session_id = site.sim.sessions.add(archive_clip(), files=[file], user="somebody")
    [info] = [one for one in fs.find("", detail=True, refresh=True).values() if one["session_id"] == session_id]
    assert (info["size"], info["type"], info["path"]) == (1234, "file", file.path)
    assert info["mime_type"] == "video/mp4"
    assert info["start"] == dt.datetime.fromtimestamp(BEGIN_MS / 1000, dt.UTC)
    assert fs.modified(info["name"]) == info["end"]
    assert fs.isfile(info["name"])
    assert fs.isdir(info["name"].split("/")[0])
    assert fs.isdir("")
    assert not fs.exists(f"{info['name']}x")
    assert fs.size(info["name"]) == 1234


def test_find_glob_walk_and_du_go_through_all_sessions(tmp_path: Path) -> None:
    with made_site(tmp_path) as site:
        ids = [site.hold(100, 200), site.hold(300)]
        fs = site.fs()
        assert fs.du("") == 600
        assert len(fs.glob("*/*.mkv")) == len(fs.find("")) == 3
        assert len(fs.glob("*/*part2*")) == 1
        sessions = {path: sorted(files) for path, _dirs, files in fs.walk("") if path}
        assert sorted(map(len, sessions.values())) == [1, 2]
        assert {fs.info(name)["session_id"] for name in sessions} == set(ids)
        # All of it from one listing.
        assert site.sim.calls.count("ListSessions") == 1


def test_results_that_cannot_be_downloaded_are_not_shown(site: Site, fs: AxxonFileSystem) -> None:
    options = archive_clip()
    options.store_result_by_export_agent = True
    session_id = site.sim.sessions.add(options, files=[pattern_file(10)], user="somebody")
    [session] = [info for info in fs.ls("", refresh=True) if info["session_id"] == session_id]
    assert fs.ls(session["name"]) == []
    assert fs.status(session["name"])["files"][0]["why_not"] == "the export agent keeps the result on its own machine"


# -- bytes ------------------------------------------------------------------------------


def test_a_file_reads_as_any_file_does(site: Site, fs: AxxonFileSystem) -> None:
    path, data = site.hold_one(fs, SIZE)
    model = io.BytesIO(data)
    chosen = random.Random(7)
    with fs.open(path) as file:
        for _ in range(200):
            match chosen.randrange(4):
                case 0:
                    place = chosen.randrange(SIZE + 10)
                    assert file.seek(place) == model.seek(place)
                case 1:
                    back = chosen.randrange(SIZE)
                    assert file.seek(-back, 2) == model.seek(-back, 2)
                case _:
                    size = chosen.choice([1, 100, 4096, 70_000, 2 * MIB])
                    assert file.read(size) == model.read(size)
                    assert file.tell() == model.tell()
        file.seek(0)
        assert file.read() == data
        assert file.read(1) == b""


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, MIB, 2 * MIB + 5])
def test_cat_returns_a_result_of_any_size(site: Site, fs: AxxonFileSystem, size: int) -> None:
    path, data = site.hold_one(fs, size)
    assert fs.cat_file(path) == data
    with fs.open(path) as file:
        assert file.read() == data


@pytest.mark.parametrize(
    ("start", "end"), [(None, 10), (-5, None), (100, 200), (-100, -50), (SIZE - 1, SIZE + 10), (7, 7), (9, 3)]
)
def test_a_range_is_a_slice(site: Site, fs: AxxonFileSystem, start: int | None, end: int | None) -> None:
    path, data = site.hold_one(fs, SIZE)
    assert fs.cat_file(path, start, end) == data[start:end]
    assert fs.cat_ranges([path], [start], [end]) == [data[start:end]]  # type: ignore[list-item]


def test_lines_and_text_can_be_read(site: Site, fs: AxxonFileSystem) -> None:
    path, data = site.hold_one(fs, 5000)
    with fs.open(path) as file:
        assert file.readlines() == io.BytesIO(data).readlines()
    with fs.open(path, "r", encoding="latin-1", newline="") as file:
        assert file.read() == data.decode("latin-1")


def test_many_threads_read_through_one_file_system(site: Site, fs: AxxonFileSystem) -> None:
    held = [site.hold_one(fs, MIB + number) for number in range(6)]
    with futures.ThreadPoolExecutor(12) as pool:
        read = list(pool.map(lambda one: site.fs().cat_file(one[0]), held * 4))
    assert read == [data for _, data in held * 4]
    assert len({thread.name for thread in threading.enumerate() if thread.name.startswith("axxonfs ")}) == 1


@pytest.mark.parametrize("rest", [8 * KIB, 16 * KIB, 16 * KIB - 1, 40 * KIB])
def test_a_server_that_begins_to_cut_chunks_shorter_sends_no_wrong_end_of_a_file(tmp_path: Path, rest: int) -> None:
    with made_site(tmp_path) as site:
        fs = site.fs()
        path, data = site.hold_one(fs, 160 * CHUNK + rest)
        assert fs.cat_file(path, end=CHUNK) == data[:CHUNK]  # it sends them whole
        site.sim.switches = dataclasses.replace(site.sim.switches, chunk_size_limit_kb=16)
        assert fs.cat_file(path, start=160 * CHUNK) == data[160 * CHUNK :]


def test_a_server_that_counts_chunks_from_the_start_of_the_file_from_some_day_on_is_read(tmp_path: Path) -> None:
    with made_site(tmp_path) as site:
        fs = site.fs()
        for counting in ("relative", "absolute"):
            site.sim.switches = dataclasses.replace(site.sim.switches, chunk_index=counting)
            path, data = site.hold_one(fs, 9 * CHUNK)
            assert fs.cat_file(path, start=5 * CHUNK) == data[5 * CHUNK :]
            # As idle streams end after a while: what one showed is learnt at its end.
            for kept in fs._client._readers._kept.values():
                fs._client._loop.call(_stop_all, kept.reader)
            wait_until(lambda: not fs.counters().streams_open, "the stream to end")


def test_fifty_scattered_ranges_make_fifty_streams_at_most_and_fetch_what_they_touch_and_no_more(
    tmp_path: Path,
) -> None:
    with made_site(tmp_path) as site:
        fs = site.fs()
        path, data = site.hold_one(fs, 64 * MIB)
        chosen = random.Random(3)
        # At least a chunk between any two, but nearer together than what a sequential reader reads over.
        places = sorted(chosen.sample(range(2, 1024, 3), 50))
        ranges = [(place * CHUNK + chosen.randrange(CHUNK // 2), chosen.randrange(1, CHUNK // 2)) for place in places]
        chosen.shuffle(ranges)
        starts = [start for start, _ in ranges]
        ends = [start + size for start, size in ranges]
        assert fs.cat_ranges([path] * 50, starts, ends) == [data[a:b] for a, b in zip(starts, ends, strict=True)]
        assert len(site.downloads()) <= 50
        counters = fs.counters()
        touched = {place // CHUNK for pair in zip(starts, ends, strict=True) for place in (pair[0], pair[1] - 1)}
        assert counters.fetched_bytes == len(touched) * CHUNK
        # A download has no end of its own: what the server gave away beyond that was on its way when it was stopped,
        # in the window of the connection (three chunks), and in the buffers at both of its ends.
        assert sum(call.messages for call in site.downloads()) <= len(touched) + 50 * 10


def test_ranges_that_share_chunks_fetch_them_once(tmp_path: Path) -> None:
    with made_site(tmp_path) as site:
        fs = site.fs()
        path, data = site.hold_one(fs, 8 * MIB)
        starts = list(range(0, 4 * CHUNK, 1000))
        ends = [start + 1500 for start in starts]
        assert fs.cat_ranges([path] * len(starts), starts, ends) == [
            data[a:b] for a, b in zip(starts, ends, strict=True)
        ]
        assert len(site.downloads()) == 1
        assert fs.counters().fetched_bytes == 5 * CHUNK


def test_a_range_of_a_result_that_is_missing_says_so_beside_the_others(site: Site, fs: AxxonFileSystem) -> None:
    path, data = site.hold_one(fs, 1000)
    missing = f"{path}.gone"
    first, second = fs.cat_ranges([missing, path], 0, 10)
    assert isinstance(first, FileNotFoundError)
    assert second == data[:10]
    with pytest.raises(FileNotFoundError, match="has no result"):
        fs.cat_ranges([missing, path], 0, 10, on_error="raise")


# -- copies and caches ------------------------------------------------------------------


def test_get_copies_and_tells_how_far_it_is(site: Site, fs: AxxonFileSystem, tmp_path: Path) -> None:
    path, data = site.hold_one(fs, 9 * MIB)
    seen: list[tuple[int, int]] = []
    callback = Callback(hooks={"see": lambda size, value, **_: seen.append((size, value))})
    fs.get_file(path, str(tmp_path / "copy.mkv"), callback=callback)
    assert (tmp_path / "copy.mkv").read_bytes() == data
    assert seen[-1] == (9 * MIB, 9 * MIB)
    assert [value for _, value in seen] == sorted(value for _, value in seen)
    fs.get(path.split("/")[0], str(tmp_path / "all"), recursive=True)
    assert [file.read_bytes() for file in (tmp_path / "all").rglob("*.mkv")] == [data]


def test_of_a_copy_that_fails_nothing_is_left(tmp_path: Path) -> None:
    with made_site(tmp_path) as site:
        fs = site.fs(read_timeout="1s")
        path, _ = site.hold_one(fs, 32 * MIB)
        site.sim.faults.add(method="DownloadFile", action="cut", after_chunks=3, times=1000)
        with pytest.raises(OSError, match=r"download|deadline"):
            fs.get_file(path, str(tmp_path / "copy.mkv"))
        assert not (tmp_path / "copy.mkv").exists()
        fs.close()


def test_a_key_is_for_ever_and_differs_for_all_results(site: Site, fs: AxxonFileSystem) -> None:
    paths = [site.hold_one(fs, 100)[0] for _ in range(3)]
    keys = [fs.ukey(path) for path in paths]
    assert len(set(keys)) == 3
    fs.close()
    assert [fs.ukey(path) for path in paths] == keys
    assert fs.checksum(paths[0]) == int(keys[0], 16)


def test_the_file_cache_of_fsspec_downloads_once(site: Site, fs: AxxonFileSystem, tmp_path: Path) -> None:
    path, data = site.hold_one(fs, 100_000)
    before = len(site.downloads())
    for _ in range(2):
        cached = fsspec.filesystem(
            "filecache", fs=fs, cache_storage=str(tmp_path), check_files=True, skip_instance_cache=True
        )
        with cached.open(path) as file:
            assert file.read() == data
    assert len(site.downloads()) - before == 1


# -- trouble ------------------------------------------------------------------------------


def test_nothing_can_be_written(site: Site, fs: AxxonFileSystem) -> None:
    path, data = site.hold_one(fs, 10)
    attempts: list[Any] = [
        lambda: fs.open(path, "wb"),
        lambda: fs.pipe_file(path, b"x"),
        lambda: fs.touch(path),
        lambda: fs.mkdir("new"),
        lambda: fs.makedirs("a/b"),
        lambda: fs.mv(path, "elsewhere"),
        lambda: fs.copy(path, "elsewhere"),
    ]
    for attempt in attempts:
        with pytest.raises(PermissionError, match="start"):
            attempt()
    assert fs.cat_file(path) == data


def test_what_is_not_there_is_not_found(fs: AxxonFileSystem) -> None:
    for attempt in (fs.info, fs.ls, fs.cat_file, fs.open, fs.status):
        with pytest.raises(FileNotFoundError, match="there is no session nothing"):
            attempt("nothing/at.all")


def test_a_session_is_no_file(site: Site, fs: AxxonFileSystem) -> None:
    session = site.hold_one(fs, 10)[0].split("/")[0]
    with pytest.raises(IsADirectoryError):
        fs.cat_file(session)


def test_a_server_that_is_away_is_an_error_and_never_an_empty_directory(tmp_path: Path) -> None:
    with made_site(tmp_path) as site:
        fs = site.fs()
        site.hold_one(fs, 10)
        site.sim.faults.add(method="ListSessions", times=1000)
        for look in (fs.ls, fs.find, fs.glob, fs.du, fs.exists, lambda path: list(fs.walk(path))):
            fs.invalidate_cache()
            with pytest.raises(OSError, match="cannot list the sessions"):
                look("*" if look == fs.glob else "unknown" if look == fs.exists else "")


@pytest.mark.expects_warnings("server away")
def test_reads_fail_at_once_while_the_server_is_away_and_go_on_when_it_is_back(tmp_path: Path) -> None:
    with made_site(tmp_path, time_factor=20.0) as site:
        fs = site.fs(read_timeout="1s")
        path, data = site.hold_one(fs, 32 * MIB)
        with fs.open(path) as file:
            assert file.read(100) == data[:100]
            site.sim.faults.add(method=ANY, times=100_000)

            def refused() -> int:
                file.seek(20 * MIB)
                with pytest.raises(OSError, match=r"the bytes|download|away"):
                    file.read(100)
                return fs.counters().refused

            # Nobody lists; that a listing gets no answer either is found out without being asked.
            wait_until(refused, "a read that fails at once")
            site.sim.faults.clear()
            # Nor does anybody ask whether it is back.
            wait_until(lambda: not fs._client._catalog.breaker.is_open, "reads to be tried again")
            assert file.read(100) == data[20 * MIB :][:100]


def test_a_session_that_goes_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    with made_site(tmp_path) as site:
        fs = site.fs()
        path, data = site.hold_one(fs, 32 * MIB)
        with fs.open(path) as file:
            assert file.read(100) == data[:100]
            site.sim.sessions.destroy(fs.info(path)["session_id"])
            file.seek(20 * MIB)
            with pytest.raises(OSError, match="session"):
                file.read(100)


def test_results_hold_names_of_any_script(site: Site, fs: AxxonFileSystem) -> None:
    options = archive_clip()
    options.archive.sources[0].origin = "hosts/Server/DeviceIpint.6/SourceEndpoint.video:0:0"
    session_id = site.sim.sessions.add(options, files=[pattern_file(10)], user="somebody")
    fs.invalidate_cache()
    [session] = [info["name"] for info in fs.ls("") if info["session_id"] == session_id]
    [path] = fs.ls(session, detail=False)
    assert "_6.Склад_2_東_" in session
    assert path == f"{session}/6.Склад_2_東.mkv"
    assert fs.cat_file(path) == site.truth(fs.info(path))


def test_a_result_of_two_parts_is_two_files(site: Site, fs: AxxonFileSystem) -> None:
    files: list[ResultFile] = [pattern_file(10, min_ms=BEGIN_MS + 1000 * place) for place in range(2)]
    session_id = site.sim.sessions.add(archive_clip(), files=files, user="somebody")
    [session] = [info["name"] for info in fs.ls("", refresh=True) if info["session_id"] == session_id]
    assert ["part1" in name for name in sorted(fs.ls(session, detail=False))] == [True, False]


async def _stop_all(reader: Any) -> None:
    reader._apply(reader._policy.stop_all())

"""What the simulator draws: clips that play, pictures, pages; every frame says when it was taken."""

import datetime as dt
import io
import itertools
import time
import zipfile
from collections.abc import Iterator

import av
import pytest
from PIL import Image

from axxonfs.simulator.server import Simulator
from axxonfs.simulator.stamp import Stamp, decode_stamp, read_stamp
from axxonfs.simulator.times import parse_wire_time, utc
from axxonfs.wire import export_pb2
from axxonfs.wire.export_pb2 import FF_HALF, FF_OCTANT, SnapshotType, StreamType
from axxonfs.wire.export_service_pb2 import EState, Result
from tests.rpc.simulated import Client, clip, finish, frame, live_clip, origin, simulated

Served = tuple[Simulator, Client]
FRAME = dt.timedelta(milliseconds=200)
CONTAINERS = pytest.mark.parametrize("kind", [StreamType.MKV, StreamType.MP4, StreamType.AVI])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with simulated(tmp_path_factory.mktemp("simulator")) as pair:
        yield pair


def export(served: Served, options: export_pb2.Options) -> list[tuple[Result.File, bytes]]:
    """Run an export and return its results with their bytes."""
    session_id, state = finish(*served, options)
    results = [(file, served[1].read(session_id, file.path)) for file in state.result.files]
    assert [len(content) for _, content in results] == [file.size for file, _ in results]
    return results


def stamps(content: bytes, track: int = 0) -> list[Stamp]:
    """Decode a clip and return what each frame says."""
    with av.open(io.BytesIO(content), "r") as container:
        return [decode_stamp(picture.to_image()) for picture in container.decode(video=track)]  # type: ignore[no-untyped-call]  # PyAV types it not


def duration_s(content: bytes) -> float:
    with av.open(io.BytesIO(content), "r") as container:
        assert container.duration is not None
        return container.duration / av.time_base


def interval(file: Result.File) -> tuple[dt.datetime, dt.datetime]:
    return utc(parse_wire_time(file.min_timestamp)), utc(parse_wire_time(file.max_timestamp))


def recent_ms() -> int:
    """Return a key frame of ten minutes ago."""
    return (int(time.time()) - 600) // 2 * 2000


@CONTAINERS
def test_a_clip_holds_every_frame_of_exactly_the_interval_it_claims(
    served: Served, kind: StreamType.EFormat.ValueType
) -> None:
    begin_ms = recent_ms() + 1_300
    [(file, content)] = export(served, clip(seconds=5, kind=kind, begin_ms=begin_ms))
    begin, end = interval(file)
    assert (begin, end) == (utc(begin_ms - 1_300), utc(begin_ms + 5_100))
    found = stamps(content)
    assert [stamp.taken_at for stamp in found] == [begin + number * FRAME for number in range(32)]
    assert {stamp.camera for stamp in found} == {1}
    assert duration_s(content) == pytest.approx((end - begin).total_seconds(), abs=1e-3)


def test_an_mp4_has_its_index_at_the_end(served: Served) -> None:
    [(_, content)] = export(served, clip(kind=StreamType.MP4))
    assert content.index(b"mdat") < content.index(b"moov")


@CONTAINERS
def test_several_cameras_are_tracks_of_one_container(served: Served, kind: StreamType.EFormat.ValueType) -> None:
    [(_, content)] = export(served, clip((1, 6, 7), kind=kind))
    first, second, third = (stamps(content, track) for track in range(3))
    assert [{stamp.camera for stamp in track} for track in (first, second, third)] == [{1}, {6}, {7}]
    assert [stamp.taken_at for stamp in first] == [stamp.taken_at for stamp in third]


def test_discrete_cameras_are_clips_of_their_own(served: Served) -> None:
    options = clip((1, 2))
    options.archive.discrete = True
    results = export(served, options)
    assert [{stamp.camera for stamp in stamps(content)} for _, content in results] == [{1}, {2}]


@CONTAINERS
def test_parts_play_alone_follow_each_other_and_keep_to_the_limit(
    served: Served, kind: StreamType.EFormat.ValueType
) -> None:
    limit, group = 40_000, 12_000
    options = clip(seconds=40, kind=kind, begin_ms=recent_ms())
    options.max_file_size = limit
    results = export(served, options)
    assert len(results) >= 2
    assert all(file.size <= limit + group for file, _ in results)
    found = [stamp.taken_at for _, content in results for stamp in stamps(content)]
    assert found == [utc(recent_ms_of(options)) + number * FRAME for number in range(200)]
    for file, content in results:
        begin, end = interval(file)
        assert stamps(content)[0].taken_at == begin
        assert duration_s(content) == pytest.approx((end - begin).total_seconds(), abs=1e-3)


def recent_ms_of(options: export_pb2.Options) -> int:
    return parse_wire_time(options.archive.start_timestamp)


@pytest.mark.parametrize(("frequency", "step_ms"), [(FF_HALF, 400), (FF_OCTANT, 1600)])
def test_a_lower_frame_frequency_leaves_frames_out_and_keeps_the_pace(
    served: Served, frequency: export_pb2.EFrameFrequency.ValueType, step_ms: int
) -> None:
    options = clip(seconds=16, begin_ms=recent_ms())
    options.stream.settings.add(frame_frequency=frequency)
    [(file, content)] = export(served, options)
    times = [stamp.taken_at for stamp in stamps(content)]
    steps = {later - earlier for earlier, later in itertools.pairwise(times)}
    assert steps == {dt.timedelta(milliseconds=step_ms)}
    begin, end = interval(file)
    assert duration_s(content) == pytest.approx((end - begin).total_seconds(), abs=1e-3)


def test_a_time_lapse_shows_key_frames_at_its_speed(served: Served) -> None:
    options = clip(seconds=20, kind=StreamType.MP4, begin_ms=recent_ms())
    options.stream.settings.add().time_lapse.speed = 4
    [(_, content)] = export(served, options)
    times = [stamp.taken_at for stamp in stamps(content)]
    assert times == [times[0] + number * dt.timedelta(seconds=2) for number in range(10)]
    assert duration_s(content) == pytest.approx(5, abs=1e-3)


def test_a_password_makes_it_a_zip(served: Served) -> None:
    options = clip()
    options.stream.settings.add(password="x")
    [(file, content)] = export(served, options)
    assert file.mime_type == "application/zip"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        [name] = archive.namelist()
        assert stamps(archive.read(name))


def test_an_exe_is_no_container_that_a_player_would_take(served: Served) -> None:
    [(file, content)] = export(served, clip(kind=StreamType.EXE))
    assert (file.mime_type, content[:2]) == ("application/octet-stream", b"MZ")


def test_a_jpeg_is_the_frame_at_the_instant(served: Served) -> None:
    key_frame_ms = recent_ms()
    [(file, content)] = export(served, frame(at_ms=key_frame_ms + 333))
    taken_at = utc(key_frame_ms + 200)
    assert read_stamp(Image.open(io.BytesIO(content))) == taken_at
    assert interval(file) == (taken_at, taken_at)
    assert file.mime_type == "image/jpeg"


def test_each_camera_has_a_jpeg_of_its_own(served: Served) -> None:
    pictures = [Image.open(io.BytesIO(content)) for _, content in export(served, frame((1, 2)))]
    assert [decode_stamp(picture).camera for picture in pictures] == [1, 2]


def test_a_pdf_has_a_page_for_each_camera(served: Served) -> None:
    [(file, content)] = export(served, frame((1, 2), SnapshotType.PDF))
    assert file.mime_type == "application/pdf"
    assert content.startswith(b"%PDF-")
    assert b"/Count 2" in content


def test_a_stopped_live_clip_plays_up_to_the_stop(served: Served) -> None:
    client = served[1]
    before = dt.datetime.now(dt.UTC)
    session_id = client.start(live_clip())
    state = client.stop(session_id)
    after = dt.datetime.now(dt.UTC)
    [file] = state.result.files
    found = stamps(client.read(session_id, file.path))
    assert before - dt.timedelta(seconds=2) < found[0].taken_at <= before
    assert before - FRAME <= found[-1].taken_at <= after
    assert utc(parse_wire_time(state.last_frame_timestamp)) == found[-1].taken_at


def test_a_live_clip_with_a_duration_ends_by_itself(served: Served) -> None:
    [(file, content)] = export(served, live_clip(0.5))
    begin, end = interval(file)
    assert dt.timedelta(seconds=0.5) <= end - begin < dt.timedelta(seconds=3)
    assert duration_s(content) == pytest.approx((end - begin).total_seconds(), abs=1e-3)


def test_a_live_frame_is_of_now(served: Served) -> None:
    options = live_clip()
    options.snapshot.format = SnapshotType.JPEG
    started = dt.datetime.now(dt.UTC)
    [(_, content)] = export(served, options)
    assert abs(read_stamp(Image.open(io.BytesIO(content))) - started) < dt.timedelta(seconds=5)


def test_a_stopped_archive_clip_plays_as_far_as_it_got(served: Served) -> None:
    client = served[1]
    session_id = client.start(clip(seconds=599))
    state = client.stop(session_id)
    assert state.state == EState.S_COMPLETED
    [file] = state.result.files
    begin, end = interval(file)
    found = stamps(client.read(session_id, file.path))
    assert (found[0].taken_at, found[-1].taken_at + FRAME) == (begin, end)


def test_the_second_archive_of_a_camera_holds_the_same_footage(served: Served) -> None:
    options = clip((2,), begin_ms=recent_ms())
    options.archive.sources[0].storages[:] = ["hosts/Server/MultimediaStorage.STORAGE_A/MultimediaStorage"]
    assert options.archive.sources[0].origin == origin(2)
    [(_, content)] = export(served, options)
    assert stamps(content)[0] == Stamp(utc(recent_ms_of(options)), 2)

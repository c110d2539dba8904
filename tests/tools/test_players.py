"""Results are opened by the programs that are made for them, and show what was exported."""

import datetime as dt
import itertools
import json
import re
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from axxonfs.simulator.stamp import decode_stamp, read_stamp
from tests.fuse.harness import CLIP, QUICK, Rig, module_rig, needs

CLIPS = ("mkv", "mp4", "avi")
FRAME_S = 0.2


@pytest.fixture(scope="module")
def mount(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A mount that looks often, of a server that exports fast."""
    with module_rig(tmp_path_factory, options=QUICK, export_speed=600.0) as rig:
        yield rig


@pytest.fixture(scope="module")
def clips(mount: Rig) -> dict[str, Path]:
    """A clip of twenty seconds in each format."""
    sessions = {form: mount.write_spec(form, **(CLIP() | {"format": form})) for form in (*CLIPS, "exe")}
    return {form: only_result(mount, session) for form, session in sessions.items()}


def export(mount: Rig, name: str, **keys: Any) -> list[Path]:
    """Run an export; keys that are None are left out."""
    spec = {key: value for key, value in (CLIP() | keys).items() if value is not None}
    session = mount.write_spec(name, **spec)
    mount.wait_for_state(session, "completed")
    return mount.results(session)


def only_result(mount: Rig, session: Path) -> Path:
    mount.wait_for_state(session, "completed")
    [result] = mount.results(session)
    return result


def interval(mount: Rig, result: Path) -> tuple[dt.datetime, dt.datetime]:
    """Return what the result covers, as status.json says."""
    [file] = [file for file in mount.status(result.parent)["files"] if file["name"] == result.name]
    return dt.datetime.fromisoformat(file["interval"]["from"]), dt.datetime.fromisoformat(file["interval"]["to"])


def seconds(mount: Rig, result: Path) -> float:
    start, end = interval(mount, result)
    return (end - start).total_seconds()


def probe(result: Path) -> dict[str, Any]:
    """Return what ffprobe says of a file."""
    words = ["ffprobe", "-v", "error", "-print_format", "json", "-show_format", "-show_streams"]
    done = subprocess.run([*words, result], capture_output=True, text=True, check=True, timeout=60)
    assert not done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def play(result: Path, *options: str) -> str:
    """Play a clip as fast as it can be decoded, and return what mpv prints; it must not complain."""
    words = ["mpv", "--no-config", "--vo=null", "--ao=null", "--untimed", "--msg-level=all=warn,cplayer=info"]
    done = subprocess.run([*words, *options, result], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not re.search(r"error|fail|invalid|corrupt", done.stdout + done.stderr, re.IGNORECASE), done.stdout
    return done.stdout


# -- clips -------------------------------------------------------------------------


@pytest.mark.parametrize("form", [*CLIPS, "exe"])
def test_a_clip_is_what_the_server_holds_and_is_named_by_its_format(
    mount: Rig, clips: dict[str, Path], form: str
) -> None:
    result = clips[form]
    assert result.suffix == f".{form}"
    assert result.read_bytes() == mount.truth(result)


@needs("ffprobe")
@pytest.mark.parametrize("form", CLIPS)
def test_ffprobe_names_the_duration_that_was_delivered(mount: Rig, clips: dict[str, Path], form: str) -> None:
    found = probe(clips[form])
    assert float(found["format"]["duration"]) == pytest.approx(seconds(mount, clips[form]), abs=FRAME_S)
    assert int(found["format"]["size"]) == clips[form].stat().st_size
    assert [stream["codec_type"] for stream in found["streams"]] == ["video"]


@pytest.mark.parametrize("form", CLIPS)
def test_the_first_and_the_last_frame_carry_the_times_of_the_interval(
    mount: Rig, clips: dict[str, Path], form: str
) -> None:
    start, end = interval(mount, clips[form])
    with av.open(clips[form]) as container:
        frames = [read_stamp(frame.to_image()) for frame in container.decode(video=0)]  # type: ignore[no-untyped-call]  # PyAV types it not
    assert frames[0] == start
    assert frames[-1] == end - dt.timedelta(seconds=FRAME_S)
    assert len(frames) == round((end - start).total_seconds() / FRAME_S)


@pytest.mark.parametrize("form", CLIPS)
def test_a_seek_finds_the_frame_of_that_moment(mount: Rig, clips: dict[str, Path], form: str) -> None:
    start, _ = interval(mount, clips[form])
    with av.open(clips[form]) as container:
        for second in (14, 2, 18, 8):
            container.seek(second * av.time_base)
            frame = next(container.decode(video=0))
            assert frame.time is not None
            shown = read_stamp(frame.to_image())  # type: ignore[no-untyped-call]  # as above
            assert shown == start + dt.timedelta(seconds=round(frame.time, 3))
            assert second - 2 <= frame.time <= second


@needs("mpv")
@pytest.mark.parametrize("form", CLIPS)
@pytest.mark.parametrize(
    "options", [[], ["--start=50%", "--frames=5"], ["--start=-2"], ["--start=15", "--end=17"]], ids=str
)
def test_mpv_plays_and_seeks_without_a_complaint(clips: dict[str, Path], form: str, options: list[str]) -> None:
    assert "Video" in play(clips[form], *options)


@needs("mpv")
def test_mpv_seeks_to_and_fro_in_a_clip_that_nobody_has_read(mount: Rig) -> None:
    [result] = export(mount, "to-and-fro", **{"from": "-50m", "to": "-40m", "format": "mp4"})
    assert result.stat().st_size > 1_500_000
    mount.sim.calls.clear()
    play(result, "--frames=3", "--start=70%")
    play(result, "--frames=3", "--start=20%")
    assert len(mount.downloads()) < 12
    with av.open(result) as container:
        assert next(container.decode(video=0)).time == 0


@needs("ffmpeg")
def test_ffmpeg_copies_a_piece_of_a_clip(clips: dict[str, Path], tmp_path: Path) -> None:
    piece = tmp_path / "piece.mkv"
    words = ["ffmpeg", "-v", "error", "-ss", "10", "-t", "4", "-i"]
    done = subprocess.run(
        [*words, clips["mp4"], "-c", "copy", piece], capture_output=True, text=True, check=True, timeout=60
    )
    assert not done.stderr
    assert float(probe(piece)["format"]["duration"]) == pytest.approx(4, abs=2.5)


def test_a_clip_that_encodes_itself_has_the_header_of_a_program(clips: dict[str, Path]) -> None:
    with clips["exe"].open("rb") as file:
        assert file.read(2) == b"MZ"


# -- several results, several cameras ---------------------------------------------------


@needs("ffprobe", "mpv")
def test_an_export_that_was_split_by_size_plays_in_parts_in_their_order(mount: Rig) -> None:
    parts = export(mount, "split", **{"from": "-12m", "to": "-11m", "format": "mkv", "max_file_size": "50K"})
    assert len(parts) >= 3
    assert [part.name for part in parts] == sorted(part.name for part in parts)
    assert all(f"_part{number}.mkv" in part.name for number, part in enumerate(parts, 1))
    covered = [interval(mount, part) for part in parts]
    assert all(earlier[1] == later[0] for earlier, later in itertools.pairwise(covered))
    for part, (start, end) in zip(parts, covered, strict=True):
        assert part.read_bytes() == mount.truth(part)
        assert part.stat().st_mtime == int(end.timestamp())
        assert float(probe(part)["format"]["duration"]) == pytest.approx((end - start).total_seconds(), abs=FRAME_S)
        assert first_frame(part)[0] == start
    play(parts[-1])


def first_frame(result: Path, track: int = 0) -> tuple[dt.datetime, int]:
    """Return when the first frame of a track was taken, and by which camera."""
    with av.open(result) as container:
        stamp = decode_stamp(next(container.decode(video=track)).to_image())  # type: ignore[no-untyped-call]  # as above
        return stamp.taken_at, stamp.camera


CAMERAS = ["1.Front door", "3.Hall", "6.Склад 2 東"]


def test_discrete_cameras_are_a_clip_each(mount: Rig) -> None:
    results = export(mount, "discrete", camera=None, cameras=CAMERAS, separate_files=True, format="mp4")
    assert [first_frame(result)[1] for result in results] == [1, 3, 6]
    assert all(result.read_bytes() == mount.truth(result) for result in results)


def test_several_cameras_are_tracks_of_one_clip(mount: Rig) -> None:
    [result] = export(mount, "together", camera=None, cameras=CAMERAS, format="mkv")
    assert "_and2_mkv_" in result.parent.resolve().name
    assert [first_frame(result, track)[1] for track in range(3)] == [1, 3, 6]
    assert [stream["codec_type"] for stream in probe(result)["streams"]] == ["video"] * 3


def test_a_password_makes_it_a_zip_that_opens(mount: Rig) -> None:
    [result] = export(mount, "secret", password="correct horse", format="mp4")
    assert result.suffix == ".zip"
    with zipfile.ZipFile(result) as archive:
        assert archive.testzip() is None
        assert [Path(name).suffix for name in archive.namelist()] == [".mp4"]


# -- frames ---------------------------------------------------------------------------


def frame_keys(form: str) -> dict[str, Any]:
    return {"from": None, "to": None, "at": "-15m", "format": form}


def test_a_frame_is_the_picture_of_its_moment(mount: Rig) -> None:
    [result] = export(mount, "frame", **frame_keys("jpeg"))
    assert result.suffix == ".jpg"
    with Image.open(result) as picture:
        assert picture.format == "JPEG"
        assert read_stamp(picture) == interval(mount, result)[0]
    assert result.read_bytes() == mount.truth(result)


def test_frames_of_several_cameras_are_a_picture_each(mount: Rig) -> None:
    results = export(mount, "frames", **frame_keys("jpeg"), camera=None, cameras=CAMERAS)
    assert [decode_stamp(Image.open(result)).camera for result in results] == [1, 3, 6]


@needs("pdfinfo", "pdftoppm")
def test_pdf_programs_open_a_page_for_each_camera(mount: Rig, tmp_path: Path) -> None:
    [result] = export(mount, "pages", **frame_keys("pdf"), camera=None, cameras=CAMERAS)
    done = subprocess.run(["pdfinfo", result], capture_output=True, text=True, check=True, timeout=60)
    assert re.search(r"^Pages: +3$", done.stdout, re.MULTILINE)
    assert not done.stderr
    subprocess.run(["pdftoppm", "-r", "40", "-png", result, tmp_path / "page"], check=True, timeout=60)
    assert len(list(tmp_path.glob("page*.png"))) == 3
    assert result.read_bytes() == mount.truth(result)


@needs("file")
def test_file_tells_what_each_result_is(mount: Rig, clips: dict[str, Path]) -> None:
    [frame] = export(mount, "file-frame", **frame_keys("jpeg"))
    kinds = {"mkv": "video/x-matroska", "mp4": "video/mp4", "avi": "video/x-msvideo", "jpg": "image/jpeg"}
    paths = [*(clips[form] for form in CLIPS), frame]
    done = subprocess.run(["file", "--brief", "--mime-type", *paths], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [kinds[path.suffix[1:]] for path in paths]

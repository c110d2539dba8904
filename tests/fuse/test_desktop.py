"""What a desktop does with a mount: windows that follow, names that nobody has, pasting, deleting, thumbnails."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from axxonfs.simulator.records import ResultFile
from tests.fuse.harness import CLIP, QUICK, Rig, needs, pattern_file, plain_options, wait_until

Rigs = Callable[..., Rig]
JUNK = (
    ".Trash-0", ".Trash-1000", ".Trash", ".hidden", ".directory", "desktop.ini", "Thumbs.db", "autorun.inf",
    ".autorun", "autorun.sh", "._clip.mp4", ".DS_Store", ".git", "BDMV", "VIDEO_TS", ".xdg-volume-info",
    ".metadata_never_index",
)  # fmt: skip


class Window:
    """What an open window of a file manager is told of a directory, through GLib, which all of them use."""

    def __init__(self, directory: Path) -> None:
        self.events: list[tuple[str, str]] = []
        command = ["gio", "monitor", "-d", str(directory)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            words = line.strip().rsplit(": ", 1)
            if len(words) == 2:
                self.events.append((Path(words[0]).name, words[1]))

    def has(self, name: str, event: str = "created") -> bool:
        return any(seen == name and event in what for seen, what in self.events)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        self._thread.join(30)
        assert self.process.stdout is not None
        self.process.stdout.close()


@contextlib.contextmanager
def window(directory: Path) -> Iterator[Window]:
    """Watch a directory; ready once it saw something of ours."""
    with contextlib.closing(Window(directory)) as seen:
        inotify = Path(f"/proc/{seen.process.pid}")
        wait_until(lambda: _watches(inotify), "the watch")
        yield seen


def _watches(process: Path) -> bool:
    with contextlib.suppress(OSError):
        return any("inotify wd" in info.read_text() for info in (process / "fdinfo").iterdir())
    return False


@needs("gio")
def test_a_new_session_and_its_clip_appear_in_open_windows(rigs: Rigs) -> None:
    rig = rigs(options=QUICK)
    with window(rig.path / "sessions") as sessions:
        session = rig.write_spec("clip", camera="1", live=True)
        wait_until(lambda: sessions.has(session.name), "the session in the window")
        assert list(session.iterdir())
        with window(session) as files:
            (session / "control").write_text("stop\n")
            rig.wait_for_state(session, "completed")
            [clip] = rig.results(session)
            wait_until(lambda: files.has(clip.name), "the clip in the window")
        assert clip.read_bytes() == rig.truth(clip)
        assert (session / "status.json").exists()
        # Nothing was made twice, and nothing was asked for but the one export.
        assert [path.name for path in rig.sessions] == [session.name]
        assert rig.starts == 1


@needs("gio")
def test_a_session_of_somebody_else_appears_too_and_one_that_goes_disappears(rigs: Rigs) -> None:
    rig = rigs(options=QUICK)
    with window(rig.path / "sessions") as sessions:
        session_id = rig.sim.sessions.add(plain_options(), files=[pattern_file(1000)], user="somebody")
        rig.look()
        # Nobody looks at the name before: what the kernel knows already makes no event (docs/semantics.md).
        wait_until(lambda: any("created" in what for _, what in sessions.events), "the session in the window")
        path = rig.session_dir(session_id)
        assert sessions.has(path.name)
        [result] = rig.results(path)
        assert result.read_bytes() == rig.truth(result)


def test_only_the_mount_itself_can_make_what_it_reveals(rigs: Rigs) -> None:
    rig = rigs(options=QUICK)
    session = rig.hold(pattern_file(10))
    with pytest.raises(PermissionError):
        (rig.path / "sessions" / "mine").mkdir()
    with pytest.raises(PermissionError):
        (session / "mine").touch()
    with pytest.raises(FileExistsError):
        session.mkdir()


def helper_of(rig: Rig) -> int:
    assert rig.process is not None
    children = Path(f"/proc/{rig.process.pid}/task/{rig.process.pid}/children").read_text().split()
    [helper] = [int(pid) for pid in children if Path(f"/proc/{pid}/comm").read_text() == "axxonfs-reveal\n"]
    return helper


def is_there(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_what_reveals_ends_with_the_mount_also_while_it_waits_for_it(rigs: Rigs, how: signal.Signals) -> None:
    rig = rigs(options=QUICK)
    helper = helper_of(rig)
    held = {entry.name: str(entry.readlink()) for entry in Path(f"/proc/{helper}/fd").iterdir()}
    assert (sorted(held), held["1"], held["0"].partition(":")[0]) == (["0", "1", "2"], os.devnull, "pipe")
    assert rig.process is not None
    if how is signal.SIGKILL:
        # Stopped in the middle: the helper makes a name, and nobody answers.
        os.kill(rig.process.pid, signal.SIGSTOP)
        rig.sim.sessions.add(plain_options(), files=[pattern_file(10)], user="somebody")
    rig.stop(how)
    wait_until(lambda: not is_there(helper), "the end of the helper")


@needs("gio")
def test_a_helper_that_is_gone_costs_events_and_nothing_else(rigs: Rigs) -> None:
    rig = rigs(options=QUICK)
    os.kill(helper_of(rig), signal.SIGKILL)
    clip = rig.exported()
    assert clip.read_bytes() == rig.truth(clip)


def test_a_read_only_mount_makes_nothing(rigs: Rigs) -> None:
    rig = rigs(options={"ro": "", **QUICK})
    assert rig.process is not None
    assert Path(f"/proc/{rig.process.pid}/task/{rig.process.pid}/children").read_text().split() == []
    assert rig.results(rig.hold(pattern_file(10)))


# -- names that nobody has -----------------------------------------------------------


def test_names_that_desktops_look_for_are_answered_at_once_and_from_memory(rigs: Rigs) -> None:
    rig = rigs()
    session = rig.hold(pattern_file(10))
    places = [rig.path, rig.new, rig.path / "sessions", session, rig.path / "cameras", rig.path / ".axxonfs"]
    before = rig.sim.calls.entries()
    began_s = time.monotonic()
    for _ in range(10):
        for place in places:
            for name in JUNK:
                with pytest.raises(FileNotFoundError):
                    os.stat(place / name)  # noqa: PTH116 - what is asked for is the error of stat itself
    took_s = time.monotonic() - began_s
    # Only listings go on beside it.
    made = [call.method for call in rig.sim.calls.entries()[len(before) :]]
    assert set(made) <= {"ListSessions"}
    assert took_s / (10 * len(places) * len(JUNK)) < 0.02, "a thousand lookups are a moment"


def test_junk_cannot_be_made_where_results_are(rigs: Rigs) -> None:
    rig = rigs()
    session = rig.hold(pattern_file(10))
    for place in (rig.path, rig.path / "sessions", session):
        for name in (".Trash-0", "._x"):
            with pytest.raises(PermissionError):
                (place / name).mkdir()
            with pytest.raises(PermissionError):
                (place / name).touch()


# -- pasting and deleting ------------------------------------------------------------


def gio(*words: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(["gio", *words], capture_output=True, text=True, timeout=60, check=False)


@needs("gio")
def test_pasting_a_spec_into_new_starts_an_export_and_a_wrong_one_says_why(rigs: Rigs) -> None:
    rig = rigs(options=QUICK)
    spec, wrong = rig.scratch / "door.json", rig.scratch / "wrong.json"
    spec.write_text(json.dumps(CLIP()))
    wrong.write_text('{"camera": "no such", "live": true}')
    assert gio("copy", spec, rig.new).returncode == 0
    assert rig.starts == 1
    assert rig.session_of("door").is_dir()
    done = gio("copy", wrong, rig.new)
    assert done.returncode != 0
    assert "no such" in (rig.new / "wrong.error").read_text()
    assert rig.starts == 1


@needs("gio")
def test_a_clip_is_copied_out_whole_and_cannot_be_put_into_the_trash(rigs: Rigs) -> None:
    rig = rigs(options=QUICK)
    clip = rig.exported()
    target = rig.scratch / "copy.mp4"
    assert gio("copy", clip, target).returncode == 0
    assert target.read_bytes() == rig.truth(clip)
    # File managers then ask whether to delete it for good.
    done = gio("trash", clip)
    assert done.returncode != 0
    assert clip.exists()
    assert gio("remove", clip).returncode == 0
    assert not clip.exists()


@needs("gio")
def test_deleting_a_session_for_good_destroys_it_once_its_results_are_gone(rigs: Rigs) -> None:
    rig = rigs(options=QUICK)
    session = rig.exported().parent
    session_id = rig.session_id(session)
    assert gio("remove", session).returncode != 0
    assert session_id in {record.session_id for record in rig.sim.sessions.records()}
    # What a file manager does after "delete": the files, then the directory.
    shutil.rmtree(session)
    wait_until(lambda: rig.sim.calls.count("DestroySession") == 1, "the end of the session")


# -- mime types and thumbnails ---------------------------------------------------------


@needs("gio")
def test_the_mime_type_is_that_of_the_clip_and_nothing_is_fetched_for_it(rigs: Rigs) -> None:
    rig = rigs(options=QUICK)
    clip = rig.exported()
    done = gio("info", "-a", "standard::fast-content-type,standard::size", clip)
    assert "standard::fast-content-type: video/mp4" in done.stdout
    assert os.getxattr(clip, "user.mime_type") == b"video/mp4"
    assert not rig.sim.calls.count("DownloadFile")


def made_clip(path: Path, seconds: int) -> ResultFile:
    """Make a clip of some 2 MB for each second, too much to be fetched by the way, and return it as a result."""
    noise = "testsrc2=s=640x360:r=25,noise=alls=30:allf=t"
    encoded = ["-t", str(seconds), "-c:v", "mpeg4", "-q:v", "8", str(path)]
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", noise, *encoded], check=True, timeout=120)
    # Absolute, so that the simulator serves it from there.
    return ResultFile(path=path.name, size=path.stat().st_size, kind=path.suffix[1:], stored=str(path))


@needs("ffmpegthumbnailer", "ffmpeg")
@pytest.mark.parametrize("form", ["mkv", "mp4"])
def test_a_thumbnail_does_not_fetch_the_whole_clip(
    rigs: Rigs, tmp_path: Path, form: str, record_property: Callable[[str, object], None]
) -> None:
    rig = rigs(options=QUICK)
    [clip] = rig.results(rig.hold(made_clip(tmp_path / f"made.{form}", seconds=30)))
    size = clip.stat().st_size
    picture = rig.scratch / "thumbnail.png"
    subprocess.run(
        ["ffmpegthumbnailer", "-i", clip, "-o", picture, "-s", "256"], check=True, capture_output=True, timeout=120
    )
    assert picture.read_bytes()[:4] == b"\x89PNG"
    fetched = rig.stats()["reads"]["fetched_bytes"]
    record_property("fetched", f"{fetched} of {size} bytes, {fetched / size:.0%}")
    # Where the line seems slow to answer, gaps of up to 2 MiB are read over.
    assert fetched < size / 4

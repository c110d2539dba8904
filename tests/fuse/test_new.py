"""The folder `new/` on a real mount: what starts an export, what is refused and how, what is kept there."""

import datetime as dt
import errno
import json
import os
import shlex
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import PIL.Image
import pytest

from axxonfs.core import spec
from tests.fuse.harness import CLIP, Rig, module_rig, needs, wait_until

SECRET = "zebra-crossing-7"
Keys = dict[str, Any]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A mount of a server that draws what it exports, and looks quickly."""
    with module_rig(tmp_path_factory, options={"time_factor": "20"}, export_speed=600) as rig:
        yield rig


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A mount of a server whose results are a few bytes, for what is about specs only."""
    with module_rig(tmp_path_factory, options={"time_factor": "20"}, file_size_bytes=1000) as rig:
        yield rig


def shell(rig: Rig, script: str, *arguments: str, program: str = "bash") -> "subprocess.CompletedProcess[str]":
    """Run a script in `new/`."""
    words = [program, "-c", script, program, *arguments]
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(words, cwd=rig.new, env=environment, capture_output=True, text=True, timeout=60, check=False)


def echo(rig: Rig, name: str, text: str) -> "subprocess.CompletedProcess[str]":
    return shell(rig, 'echo "$1" > "$2.json"', text, name)


def fence(rig: Rig) -> None:
    """Return once whatever a rename has started behind has been asked for: starts leave in their order. Starts one."""
    rig.write_spec(f"fence{rig.starts}", camera="1", at="-1h")


def error_of(rig: Rig, name: str) -> str:
    return (rig.new / f"{name}.error").read_text()


def shown(rig: Rig, name: str) -> set[str]:
    """Return the kinds of entries that NAME has."""
    return {path.name.removeprefix(f"{name}.") for path in rig.new.iterdir() if path.name.startswith(f"{name}.")}


# -- the four kinds -----------------------------------------------------------------

KINDS: dict[str, Keys] = {
    "frame": {"camera": "1", "at": "-10m"},
    "live-clip": {"camera": "6.Склад 2 東", "live": True, "duration": "1s", "format": "mp4"},
    "until-stopped": {"camera": "1.Front door", "live": True},
    "live-frame": {"camera": "1.Front door", "live": True, "format": "jpeg"},
}
WAYS = {
    "bash": "echo '{text}' > new/{name}.json",
    "dash": "dash -c 'echo \"$0\" > new/{name}.json' '{text}'",
    "cp": "echo '{text}' > {scratch}/spec && cp {scratch}/spec new/{name}.json",
}


def can_be_opened(result: Path) -> bool:
    """Open a result as its reader would, and look at a whole picture of it."""
    if result.suffix in {".jpeg", ".jpg"}:
        with PIL.Image.open(result) as picture:
            picture.load()
            return picture.width > 0
    with av.open(str(result)) as container:
        return sum(1 for _ in container.decode(video=0)) > 0


@pytest.mark.parametrize("way", WAYS)
def test_all_four_kinds_of_export_are_started_by_writing_a_spec(drawn: Rig, tmp_path: Path, way: str) -> None:
    for kind, keys in {"clip": CLIP(), **KINDS}.items():
        words = WAYS[way].format(text=json.dumps(keys), name=f"{kind}-{way}", scratch=shlex.quote(str(tmp_path)))
        subprocess.run(["bash", "-c", words], cwd=drawn.path, check=True, timeout=60)
    stopping = drawn.session_of(f"until-stopped-{way}")
    wait_until(lambda: drawn.status(stopping)["last_frame"], "live frames")
    (stopping / "control").write_text("stop\n")
    for kind in ("clip", *KINDS):
        session = drawn.session_of(f"{kind}-{way}")
        drawn.wait_for_state(session, "completed")
        assert all(map(can_be_opened, drawn.results(session)))
        assert drawn.results(session)


def test_a_running_export_is_in_the_tree_when_the_write_returns(quick: Rig) -> None:
    session = quick.write_spec("there", camera="1", live=True)
    assert (session / "state").read_text() == "running\n"
    status = quick.status(session)
    assert status | {"own": True, "label": "there"} == status


def test_a_name_that_is_there_all_the_time_is_in_a_listing_though_another_file_takes_it(
    rigs: Callable[..., Rig],
) -> None:
    rig = rigs()
    names = [f"{number}.txt" for number in range(1500)]
    for name in names:
        (rig.new / name).touch()
    with os.scandir(rig.new) as entries:
        seen = [next(entries).name]  # the C library has read some hundreds
        (rig.new / "newest.txt").touch()
        (rig.new / "newest.txt").replace(rig.new / names[-2])
        (rig.new / names[-1]).unlink()
        seen += [entry.name for entry in entries]
    assert seen == names[:-1]


def test_a_spec_can_be_read_back_as_it_was_written(quick: Rig) -> None:
    text = '\ufeff \n{"camera" : "1",\t"at": "-1h"}\n\n'
    (quick.new / "back.json").write_text(text)
    assert (quick.new / "back.json").read_text() == text
    assert shown(quick, "back") == {"json", "session"}


def test_what_somebody_would_write_on_the_first_try_works(quick: Rig, tmp_path: Path) -> None:
    end = dt.datetime.now(dt.timezone(dt.timedelta(hours=2))).replace(microsecond=0) - dt.timedelta(minutes=10)
    start = end - dt.timedelta(seconds=20)
    text = f"""{{
  "camera": "Front door",
  "from": "{start.isoformat()}",
  "to": "{end.isoformat()}"
}}
"""
    assert "+02:00" in text
    (tmp_path / "first.json").write_text(text)
    subprocess.run(["cp", tmp_path / "first.json", quick.new], check=True, timeout=60)
    said = quick.status(quick.session_of("first"))
    assert said["cameras"] == ["1.Front door"]
    asked = [dt.datetime.fromisoformat(said["requested"][key]) for key in ("from", "to")]
    assert asked == [start, end]


NAMES = ["1", "Front door", "1.Front door", "hosts/Server/DeviceIpint.1/SourceEndpoint.video:0:0"]


@pytest.mark.parametrize("name", NAMES)
def test_a_camera_goes_by_any_of_its_names_and_an_archive_by_its_own(quick: Rig, name: str) -> None:
    session = quick.write_spec(f"named{NAMES.index(name)}", **{**CLIP(), "camera": name, "archive": "AliceBlue"})
    assert quick.status(session)["cameras"] == ["1.Front door"]
    [source] = quick.sim.sessions.record(quick.session_id(session)).options.archive.sources
    assert list(source.storages) == ["hosts/Server/MultimediaStorage.AliceBlue/MultimediaStorage"]


# -- refusals -----------------------------------------------------------------------

WRONG: dict[str, tuple[str | Keys, str]] = {
    "a comma too many": ('{"camera": "1", "at": "-1h",}', "line 1, column 29: a key in double quotes belongs here"),
    "no document": ("hello", "begins with {"),
    "an array": ('[{"camera": "1", "at": "-1h"}]', "begins with {"),
    "another document behind": ('{"camera": "1", "x": 1} {}', "something follows the end"),
    "an unknown key": ({"formt": "mp4"}, 'did you mean "format"'),
    "an unknown format": ({"format": "mp5"}, 'did you mean "mp4"'),
    "an unknown camera": ({"camera": "Frnt door"}, 'did you mean "1.Front door"?'),
    "an ambiguous camera": ({"camera": "Gate"}, 'write "2.Gate" or "5.Gate"'),
    "an unknown archive": ({"archive": "AliceGreen"}, 'did you mean "AliceBlue"'),
    "a camera without an archive": ({"camera": "8.Roof"}, 'use "live"'),
    "no time zone": ({"from": "2026-11-22T10:15:00"}, '"2026-11-22T10:15:00+02:00"'),
    "an hour that exists twice": (
        {"from": "2026-10-25T02:30:00", "timezone": "Europe/Berlin"},
        'write "2026-10-25T02:30:00+02:00" or "2026-10-25T02:30:00+01:00"',
    ),
    "an instant that is none": ({"from": "yesterday"}, 'write it as in "2026-11-22T10:15:00+02:00"'),
    "an end before the start": ({"to": "2020-01-01T00:00:00Z"}, '"from" must be before "to"'),
    "live and recorded": ({"live": True}, '"from" asks for recorded video, but "live" for live video: keep one'),
    "a clip and a frame": ({"format": "pdf"}, '"from" asks for a clip, but "format" for a frame'),
    "a key twice": ('{"camera": "1", "at": "-1h", "camera": "2"}', '"camera" stands twice in one object: keep one'),
    "no camera": ('{"at": "-1h"}', 'add it, as in "camera": "1.Front door"'),
    "no time": ('{"camera": "1"}', 'write "from" and "to" for a clip, "at" for a frame'),
    "stars for a password": ({"password": "********"}, "type the password again"),
    "single quotes": ("{'camera': '1', 'at': '-1h'}", "line 1, column 2: a key in double quotes belongs here"),
    "a text without quotes": (
        '{"camera": "1", "at": -1h}',
        'column 25: a comma is missing here, or the " around a text',
    ),
    "a comment": ('{"camera": "1" // the door\n, "at": "-1h"}', "column 16: JSON has no comments: remove this one"),
    "a number for a camera": ({"camera": 1}, 'must be a text in double quotes, as in "camera": "1.Front door"'),
    "several for one camera": ({"camera": ["1", "2"]}, 'several stand under "cameras", as in "cameras": ["1", "2"]'),
    "no seconds": ({"from": "2026-11-22T10:15+02:00"}, 'has no seconds: write "2026-11-22T10:15:00+02:00"'),
    "a zone that is none": ({"timezone": "Berlin"}, 'did you mean "Europe/Berlin"?'),
    "a length for an end": ({"duration": "5m"}, 'keep one of them, or write "to" for the end of the clip'),
    "a length without unit": (
        '{"camera": "1", "live": true, "duration": "90"}',
        'write it as in "90s", "5m" or "1h30m"',
    ),
    "a size with bytes": ({"max_file_size": "2GB"}, 'units are binary and have one letter, write "2G"'),
    "a word for a quality": (
        {"quality": "high"},
        'write "best", "fine", "good", "original", "medium", "small", "tiny"',
    ),
    "a truth in quotes": ({"audio": "no"}, 'must be true or false, without quotes, as in "audio": false'),
    "a colour by name": ({"text_color": "red"}, 'as in "text_color": "#ffffff"'),
    "an area in pixels": ({"crop": {"right": 640}}, '"crop.right": must be less than or equal to 1, as in "crop"'),
    "a word for subtitles": ({"subtitles": "burnt"}, 'must be an object, in { }, as in "subtitles": {"mode": "soft"'),
    "an unknown raw option": ({"options": {"strem": {}}}, 'did you mean "stream"'),
}


def document_of(what: str | Keys) -> str:
    return what if isinstance(what, str) else json.dumps({**CLIP(), **what})


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_spec_is_refused_to_echo_and_explained(quick: Rig, case: str) -> None:
    what, helpful = WRONG[case]
    name, before = case.replace(" ", "-"), quick.starts
    done = echo(quick, name, document_of(what))
    assert done.returncode == 1
    assert "write error: Invalid argument" in done.stderr
    assert helpful in error_of(quick, name)
    assert quick.starts == before
    assert shown(quick, name) == {"json", "error"}
    assert echo(quick, name, json.dumps(CLIP())).returncode == 0
    assert shown(quick, name) == {"json", "session"}


def test_a_spec_that_is_not_utf_8_is_refused(quick: Rig) -> None:
    done = shell(quick, r"""printf '{"camera": "T\374r", "at": "-1h"}' > latin.json""")
    assert (done.returncode, "Invalid argument" in done.stderr) == (1, True)
    assert error_of(quick, "latin") == "line 1, column 14: this is not UTF-8: save the spec in that encoding\n"


def test_a_spec_that_is_too_large_is_refused(quick: Rig) -> None:
    before = quick.starts
    done = echo(quick, "large", json.dumps({**CLIP(), "comment": "x" * 65536}))
    assert (done.returncode, "File too large" in done.stderr) == (1, True)
    assert "at most 64 KiB" in error_of(quick, "large")
    assert quick.starts == before


def test_a_scratch_file_that_is_too_large_for_a_spec_does_not_become_one(quick: Rig) -> None:
    before = quick.starts
    (quick.new / "bulky").write_text(json.dumps(CLIP()) + " " * (64 << 10))
    with pytest.raises(OSError, match="File too large"):
        (quick.new / "bulky").rename(quick.new / "bulky.json")
    assert (quick.new / "bulky.error").read_text() == "a spec has at most 64 KiB\n"
    assert not (quick.new / "bulky.json").exists()
    assert quick.starts == before


def test_what_the_server_refuses_is_told_in_its_words_and_not_asked_again(quick: Rig) -> None:
    before = quick.starts
    fault = quick.sim.faults.add(method="StartSession", status="INVALID_ARGUMENT", details="No such moon.", times=9)
    descriptor = os.open(quick.new / "moon.json", os.O_WRONLY | os.O_CREAT)
    try:
        for text in (json.dumps(CLIP()).encode(), b"\n", b"\n"):
            with pytest.raises(OSError, match="Invalid argument"):
                os.write(descriptor, text)
    finally:
        with pytest.raises(OSError, match="Invalid argument"):
            os.close(descriptor)
        quick.sim.faults.clear()
    assert fault.hits == 1
    assert quick.starts == before + 1
    assert "No such moon." in error_of(quick, "moon")
    assert echo(quick, "moon", json.dumps(CLIP())).returncode == 0
    assert shown(quick, "moon") == {"json", "session"}


@pytest.mark.parametrize("status", ["NOT_FOUND", "FAILED_PRECONDITION", "UNIMPLEMENTED", "OUT_OF_RANGE"])
def test_whatever_status_the_server_refuses_a_spec_with_it_is_invalid(quick: Rig, status: str) -> None:
    quick.sim.faults.add(method="StartSession", status=status, details="There is no export agent.")
    done = echo(quick, f"status-{status}", json.dumps(CLIP()))
    assert (done.returncode, "Invalid argument" in done.stderr) == (1, True)
    assert "There is no export agent." in error_of(quick, f"status-{status}")


def test_an_account_that_may_not_export_is_refused_with_eacces(quick: Rig) -> None:
    quick.sim.faults.add(method="StartSession", status="PERMISSION_DENIED", details="Insufficient privileges.")
    done = echo(quick, "rights", json.dumps(CLIP()))
    assert (done.returncode, "Permission denied" in done.stderr) == (1, True)
    assert "Insufficient privileges." in error_of(quick, "rights")


def test_a_refused_spec_leaves_the_session_of_the_one_before_it(quick: Rig) -> None:
    first = quick.write_spec("kept", **CLIP())
    assert echo(quick, "kept", '{"camera": "1"}').returncode == 1
    assert shown(quick, "kept") == {"json", "session", "error"}
    assert quick.session_of("kept") == first


# -- nothing twice ------------------------------------------------------------------


def test_a_document_that_comes_again_while_it_is_being_started_starts_once(quick: Rig) -> None:
    before, text = quick.starts, json.dumps(CLIP())
    slow = quick.sim.faults.add(method="StartSession", action="delay", delay_s=30)
    for scratch in (".first", ".second"):
        (quick.new / scratch).write_text(text)
        (quick.new / scratch).rename(quick.new / "two.json")  # starts behind, and returns
        assert quick.sim.faults.wait_for_hits(slow, 1, 30)
    quick.sim.faults.clear()
    fence(quick)
    wait_until(lambda: shown(quick, "two") == {"json", "session"}, "the session")
    assert quick.starts == before + 2


@pytest.mark.parametrize("keys", [{"at": "-1h"}, {"live": True, "duration": "1s"}], ids=["relative", "live"])
def test_what_counts_from_now_starts_anew_each_time(quick: Rig, keys: Keys) -> None:
    name = "-".join(keys)
    first = quick.write_spec(name, camera="1", **keys)
    assert quick.write_spec(name, camera="1", **keys) != first


def test_an_export_that_failed_starts_again(quick: Rig) -> None:
    clip = CLIP()
    quick.sim.switches = type(quick.sim.switches)(exports_fail=True)
    try:
        first = quick.write_spec("fails", **clip)
        quick.wait_for_state(first, "failed")
    finally:
        quick.sim.switches = type(quick.sim.switches)()
    second = quick.write_spec("fails", **clip)
    assert second != first
    quick.wait_for_state(second, "completed")


def test_an_export_that_was_destroyed_starts_again(quick: Rig) -> None:
    clip = CLIP()
    first = quick.write_spec("destroyed", **clip)
    (first / "control").write_text("destroy")
    assert quick.write_spec("destroyed", **clip) != first


def test_the_same_document_under_another_name_is_another_export(quick: Rig) -> None:
    clip = CLIP()
    assert quick.write_spec("one", **clip) != quick.write_spec("other", **clip)


@pytest.mark.parametrize("kind", ["clip", *KINDS])
def test_the_spec_of_a_session_repeats_its_export(quick: Rig, kind: str) -> None:
    keys = {"comment": "case 4711", "max_file_size": "100M", **({"clip": CLIP(), **KINDS}[kind])}
    first = quick.write_spec(f"first-{kind}", **keys)
    subprocess.run(["cp", first / "spec.json", quick.new / f"again-{kind}.json"], check=True, timeout=60)
    again = quick.session_of(f"again-{kind}")
    assert quick.session_id(first) != quick.session_id(again)
    sent = [quick.sim.sessions.record(quick.session_id(session)).options for session in (first, again)]
    assert spec.same_export(*sent)


@needs("rsync")
def test_rsync_of_a_directory_of_specs_three_times_starts_each_once(quick: Rig, tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"batch{number}.json").write_text(json.dumps({**CLIP(), "comment": f"{number}"}))
        os.utime(tmp_path / f"batch{number}.json", (1e9 + number, 1e9 + number))
    os.utime(tmp_path, (1e9, 1e9))
    words = ["rsync", "-a", "--itemize-changes", f"{tmp_path}/", f"{quick.new}/"]
    first = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    assert first.stdout.count(".json") == 3
    wait_until(lambda: all(shown(quick, f"batch{number}") == {"json", "session"} for number in range(3)), "sessions")
    before = quick.starts
    for _ in range(2):
        again = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
        assert ".json" not in again.stdout
    subprocess.run([*words, "--ignore-times"], capture_output=True, check=True, timeout=60)
    fence(quick)
    assert quick.starts == before + 1


def place_as_ansible_does(source: Path, target: Path) -> None:
    """Copy as Ansible's `copy` does: beside the target under a name of its own, with all attributes, then rename."""
    descriptor, name = tempfile.mkstemp(prefix=".ansible_tmp", suffix=target.name, dir=target.parent)
    os.close(descriptor)
    scratch = Path(name)
    shutil.copyfile(source, scratch)
    shutil.copystat(source, scratch)
    if target.exists():
        there = target.stat()
        scratch.chmod(stat.S_IMODE(there.st_mode))
        os.chown(scratch, there.st_uid, there.st_gid)
    scratch.rename(target)
    target.chmod(0o640)
    os.chown(target, 0, 0)


def test_a_copy_by_configuration_management_starts_each_export_once(quick: Rig, tmp_path: Path) -> None:
    (tmp_path / "managed.json").write_text(json.dumps({**CLIP(), "comment": "managed"}))
    before = quick.starts
    for _ in range(3):
        place_as_ansible_does(tmp_path / "managed.json", quick.new / "managed.json")
        fence(quick)
    wait_until(lambda: shown(quick, "managed") == {"json", "session"}, "the session")
    assert quick.starts == before + 1 + 3
    assert stat.S_IMODE((quick.new / "managed.json").stat().st_mode) == 0o640
    assert not [path for path in quick.new.iterdir() if "ansible" in path.name]


@needs("vim")
def test_saving_and_saving_again_on_leaving_vim_starts_each_export_once(quick: Rig, tmp_path: Path) -> None:
    (tmp_path / "typed").write_text(json.dumps({**CLIP(), "comment": "typed"}, indent=2))
    before = quick.starts
    # Outside of /tmp vim makes its backup by a rename; and who has saved may save again on the way out.
    script = """vim -u NONE -N -es --cmd 'set backupskip=' -c "call setline(1, readfile('$1'))" -c w -c wq typed.json"""
    assert shell(quick, script, str(tmp_path / "typed")).returncode == 0
    assert shell(quick, "vim -u NONE -N -es --cmd 'set backupskip=' -c w -c wq typed.json").returncode == 0
    fence(quick)
    assert shown(quick, "typed") == {"json", "session"}
    assert quick.starts == before + 2


# -- names --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [".door.json", "door.json~", "door.json.tmp", "4913", ".door.json.Xy12Za", "door.JSON"]
)
def test_scratch_names_start_nothing(quick: Rig, name: str) -> None:
    before = quick.starts
    (quick.new / name).write_text(json.dumps(CLIP()))
    assert json.loads((quick.new / name).read_text())["camera"] == "1.Front door"
    assert quick.starts == before
    (quick.new / name).unlink()
    assert not (quick.new / name).exists()


@pytest.mark.parametrize("name", ["mine.session", "mine.error", ".session"])
def test_the_names_of_outcomes_cannot_be_created(quick: Rig, name: str) -> None:
    with pytest.raises(PermissionError) as caught:
        (quick.new / name).touch()
    assert caught.value.errno == errno.EPERM
    (quick.new / "scratch").touch()
    with pytest.raises(PermissionError) as caught:
        (quick.new / "scratch").rename(quick.new / name)
    assert caught.value.errno == errno.EPERM


def test_only_files_can_be_made(quick: Rig) -> None:
    (quick.new / "file").touch()
    makers: list[Callable[[], object]] = [
        (quick.new / "directory").mkdir,
        lambda: (quick.new / "symlink").symlink_to("file"),
        lambda: (quick.new / "hard").hardlink_to(quick.new / "file"),
        lambda: os.mkfifo(quick.new / "fifo"),
        (quick.path / "outside").touch,
        (quick.path / "sessions" / "mine").mkdir,
        lambda: (quick.new / "file").rename(quick.path / "sessions" / "file"),
    ]
    for make in makers:
        with pytest.raises(PermissionError) as caught:
            make()
        assert caught.value.errno == errno.EPERM


def test_removing_spec_link_and_error_touches_no_session(quick: Rig) -> None:
    session = quick.write_spec("gone", **CLIP())
    echo(quick, "gone", "{}")
    assert shown(quick, "gone") == {"json", "session", "error"}
    for kind in ("session", "error", "json"):
        (quick.new / f"gone.{kind}").unlink()
    assert shown(quick, "gone") == set()
    quick.wait_for_state(session, "completed")
    assert quick.sim.sessions.record(quick.session_id(session)).gone_s is None


def test_an_error_outlives_its_spec(quick: Rig) -> None:
    assert shell(quick, "echo '{}' > outlived.json; rm outlived.json").returncode == 0
    assert shown(quick, "outlived") == {"error"}
    quick.write_spec("outlived", **CLIP())
    assert shown(quick, "outlived") == {"json", "session"}


def test_what_is_written_to_a_removed_file_starts_nothing(quick: Rig) -> None:
    before = quick.starts
    with (quick.new / "removed.json").open("wb", buffering=0) as file:
        (quick.new / "removed.json").unlink()
        file.write(json.dumps(CLIP()).encode())
    assert quick.starts == before
    assert shown(quick, "removed") == set()


def test_a_name_that_is_no_utf_8_starts_an_export_like_any_other(quick: Rig) -> None:
    name = os.fsdecode(b"T\xfcr")
    session = quick.write_spec(name, **CLIP())
    assert quick.status(session)["own"]
    assert echo(quick, name, "{}").returncode == 1
    assert shown(quick, name) == {"json", "session", "error"}


# -- attributes ---------------------------------------------------------------------


def test_files_are_for_their_owner_only(quick: Rig) -> None:
    (quick.new / "private.txt").write_text("x")
    assert stat.S_IMODE((quick.new / "private.txt").stat().st_mode) == 0o600


def test_mode_owner_and_times_are_kept_and_survive_a_rename(quick: Rig) -> None:
    path = quick.new / ".kept.tmp"
    path.write_text(json.dumps(CLIP()))
    path.chmod(0o640)
    os.chown(path, 1234, 5678)
    os.utime(path, ns=(7, 1_000_000_007))
    path.rename(quick.new / "attributes.json")
    status = (quick.new / "attributes.json").stat()
    kept = (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime_ns)
    assert kept == (0o640, 1234, 5678, 1_000_000_007)


def test_a_start_keeps_the_times_that_were_set(quick: Rig) -> None:
    path = quick.new / "timed.json"
    path.write_text(json.dumps(CLIP()))
    os.utime(path, ns=(7, 1_000_000_007))
    assert path.stat().st_mtime_ns == 1_000_000_007


def test_other_attributes_are_refused_in_the_way_that_tools_take(quick: Rig) -> None:
    (quick.new / "xattr.txt").touch()
    with pytest.raises(OSError, match="not supported") as caught:
        os.setxattr(quick.new / "xattr.txt", "user.any", b"thing")
    assert caught.value.errno == errno.ENOTSUP


def test_the_kernel_forgets_an_error_that_has_had_its_time(rigs: Callable[..., Rig]) -> None:
    rig = rigs(options={"time_factor": "1800"})  # an hour is two seconds
    with pytest.raises(OSError, match="Invalid argument"):
        rig.write_spec("wrong", camera="nowhere")
    (rig.new / "wrong.json").unlink()
    assert (rig.new / "wrong.error").read_text()
    # Nobody looks at its name again, or the kernel would learn it from that.
    wait_until(lambda: os.listdir(rig.new) == [], "the error to go")  # noqa: PTH208 - names only, as readdir has them
    wait_until(lambda: rig.nameless() == 0, "the kernel to forget it")


# -- secrets ------------------------------------------------------------------------


@needs("rsync")
def test_a_secret_is_carried_to_the_server_and_kept_nowhere(rigs: Callable[..., Rig]) -> None:
    rig = rigs(options={"log_level": "debug", "time_factor": "20"}, file_size_bytes=1000)
    keys = {**CLIP(), "password": SECRET}
    session = rig.write_spec("written", **keys)
    (rig.scratch / "spec").write_text(json.dumps(keys))
    subprocess.run(["rsync", rig.scratch / "spec", rig.new / "moved.json"], check=True, timeout=60)
    wait_until(lambda: shown(rig, "moved") == {"json", "session"}, "the moved spec")
    assert echo(rig, "refused", json.dumps({**keys, "camera": "none"})).returncode == 1
    assert json.loads((rig.new / "written.json").read_text())["password"] == "*" * len(SECRET)
    carried = rig.sim.sessions.record(rig.session_id(session)).options.stream.settings
    assert [setting.password for setting in carried if setting.password] == [SECRET]
    assert holders(SECRET, rig.path) == []
    assert SECRET not in rig.log.read_text()


@needs("vim")
def test_a_secret_in_a_scratch_file_does_not_reach_the_state_directory(rigs: Callable[..., Rig]) -> None:
    rig = rigs(options={"time_factor": "20"}, file_size_bytes=1000)
    text = json.dumps({**CLIP(), "password": SECRET}, indent=2)
    (rig.new / "door.json~").write_text(text)
    (rig.scratch / "text").write_text(text)
    script = """vim -u NONE -N -es -c "call setline(1, readfile('$1'))" -c preserve -c wq swapped.txt"""
    assert shell(rig, script, str(rig.scratch / "text")).returncode == 0
    assert shell(rig, 'printf %s "$1" > half.json', text[:-1]).returncode == 0
    (rig.new / "notes.txt").write_text("quagga")  # what was written before it is in the journal by then
    wait_until(lambda: holders("quagga", rig.scratch / "state"), "the journal")
    assert holders(SECRET, rig.scratch / "state") == []
    assert (rig.new / "door.json~").read_text() == text


def holders(text: str, directory: Path) -> list[Path]:
    """Return the files in or below a directory that hold a text."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if text.encode() in path.read_bytes()]

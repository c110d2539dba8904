"""What stat, getfattr, df and their kind say of results, texts and directories, and that it stays so."""

import datetime as dt
import json
import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuse.harness import Rig, needs, pattern_file, wait_until

MIB = 1024 * 1024
# A clip that ends in the middle of a second: the mtime is the whole second before.
END_MS = 1_795_000_020_400


def run(*words: str | Path, errors: bool = False) -> str:
    """Return what a program prints; it must succeed and must not complain."""
    done = subprocess.run(words, capture_output=True, text=True, check=not errors, timeout=60)
    assert errors or not done.stderr, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def result(shared_rig: Rig) -> Path:
    [path] = shared_rig.results(shared_rig.hold(pattern_file(3 * MIB + 1, min_ms=END_MS - 20_000, max_ms=END_MS)))
    return path


# -- results -----------------------------------------------------------------------


def test_size_and_blocks_of_a_result_are_exact_before_it_was_opened(result: Path) -> None:
    found = result.stat()
    assert found.st_size == 3 * MIB + 1
    assert found.st_blocks == (3 * MIB) // 512 + 1
    assert stat.filemode(found.st_mode) == "-r--r--r--"
    assert (found.st_uid, found.st_gid, found.st_nlink) == (os.getuid(), os.getgid(), 1)


def test_the_times_of_a_result_are_the_end_of_the_clip(shared_rig: Rig, result: Path) -> None:
    found = result.stat()
    assert found.st_mtime_ns == END_MS // 1000 * 10**9
    [interval] = [file["interval"] for file in shared_rig.status(result.parent)["files"]]
    assert dt.datetime.fromisoformat(interval["to"]).timestamp() == END_MS / 1000


def test_a_result_without_times_has_those_of_the_request(shared_rig: Rig) -> None:
    path = shared_rig.hold_bytes(100)
    requested = shared_rig.status(path.parent)["requested"]["to"]
    assert path.stat().st_mtime == dt.datetime.fromisoformat(requested).timestamp()


def test_inode_and_times_of_a_result_stay_when_it_is_read_and_looked_up_again(result: Path) -> None:
    before = result.stat()
    result.read_bytes()
    run("find", result.parent)
    after = result.stat()
    assert after.st_ino == before.st_ino
    assert (after.st_mtime_ns, after.st_ctime_ns) == (before.st_mtime_ns, before.st_ctime_ns)


def test_names_sizes_and_times_are_the_same_after_mounting_again(rigs: Callable[..., Rig]) -> None:
    rig = rigs(sessions=5)

    def picture() -> list[tuple[str, int, int, int]]:
        paths = [path for session in rig.sessions for path in rig.results(session)]
        return [(str(path), path.stat().st_size, path.stat().st_mtime_ns, path.stat().st_mode) for path in paths]

    before = picture()
    assert len(before) == 5
    assert rig.stop() == 0
    rig.start()
    assert picture() == before


def test_no_two_files_share_an_inode_and_each_keeps_its_own(shared_rig: Rig) -> None:
    def inodes() -> dict[Path, int]:
        return {path: path.lstat().st_ino for path in shared_rig.path.rglob("*") if not path.is_symlink()}

    before = inodes()
    assert len(set(before.values())) == len(before)
    shared_rig.hold_bytes(1)
    after = inodes()
    assert {path: after[path] for path in before} == before


# -- directories and texts -----------------------------------------------------------


def test_directories_and_texts_have_the_modes_that_are_promised(shared_rig: Rig, result: Path) -> None:
    session = result.parent
    shown = {path.name: stat.filemode(path.stat().st_mode) for path in session.iterdir()}
    shown |= {path.name: stat.filemode(path.stat().st_mode) for path in shared_rig.path.iterdir()}
    texts = dict.fromkeys([result.name, "state", "status.json", "spec.json"], "-r--r--r--")
    folders = dict.fromkeys(["new", "sessions", "cameras", ".axxonfs"], "drwxr-xr-x")
    assert shown == {**texts, "control": "-rw-r--r--", **folders}
    assert stat.filemode(session.stat().st_mode) == "drwxr-xr-x"


def test_a_directory_counts_the_directories_in_it(shared_rig: Rig, result: Path) -> None:
    assert (shared_rig.path / "sessions").stat().st_nlink == 2 + len(shared_rig.sessions)
    assert result.parent.stat().st_nlink == 2
    assert shared_rig.path.stat().st_nlink == 2 + 4


def test_the_size_of_a_text_is_its_length(shared_rig: Rig, result: Path) -> None:
    texts = [path for path in shared_rig.path.rglob("*") if path.suffix == ".json" and path.name != "stats.json"]
    texts += [result.parent / "state", result.parent / "control"]
    assert len(texts) > 10
    for text in texts:
        assert text.stat().st_size == len(text.read_bytes()) > 0, text
        assert text.stat().st_blocks > 0


def test_the_time_of_a_text_is_its_last_change(shared_rig: Rig, result: Path) -> None:
    status = result.parent / "status.json"
    before = status.stat()
    run("cat", status)
    assert status.stat().st_mtime_ns == before.st_mtime_ns
    with result.open("rb"):
        assert json.loads(status.read_text())["kept_because"] == "a result is open"
        assert status.stat().st_mtime_ns > before.st_mtime_ns
    wait_until(lambda: json.loads(status.read_text())["kept_because"] is None, "the result is closed")


def test_the_time_of_the_statistics_is_their_last_change(shared_rig: Rig) -> None:
    shared_rig.stats()
    stats = shared_rig.path / ".axxonfs" / "stats.json"
    before = stats.stat().st_mtime_ns
    shared_rig.stats()
    assert stats.stat().st_mtime_ns > before


# -- extended attributes ---------------------------------------------------------------


def attributes(path: Path) -> dict[str, str]:
    """Return what getfattr prints."""
    lines = run("getfattr", "--absolute-names", "-d", path).splitlines()
    pairs = [line.partition("=") for line in lines if line.startswith("user.")]
    return {name: value.strip('"') for name, _, value in pairs}


@needs("getfattr")
def test_getfattr_shows_what_a_result_is(shared_rig: Rig, result: Path) -> None:
    [file] = shared_rig.status(result.parent)["files"]
    shown = attributes(result)
    expires = dt.datetime.fromisoformat(shown.pop("user.axxonfs.expires_at"))
    assert expires > dt.datetime.now(dt.UTC)
    assert shown == {
        "user.mime_type": "video/x-matroska",
        "user.axxonfs.session_id": shared_rig.status(result.parent)["id"],
        "user.axxonfs.path": file["path"],
        "user.axxonfs.min_timestamp": file["interval"]["from"],
        "user.axxonfs.max_timestamp": file["interval"]["to"],
        "user.axxonfs.state": "completed",
    }


@needs("getfattr")
def test_getfattr_shows_what_a_session_is(shared_rig: Rig, result: Path) -> None:
    shown = attributes(result.parent)
    assert shown["user.axxonfs.state"] == "completed"
    assert shown["user.axxonfs.session_id"] == shared_rig.status(result.parent)["id"]
    assert "user.axxonfs.path" not in shown


@needs("getfattr")
def test_what_has_no_attributes_says_so_as_others_do(shared_rig: Rig, result: Path) -> None:
    assert attributes(result.parent / "state") == {}
    with pytest.raises(OSError, match="No data available"):
        os.getxattr(result, "user.nothing")
    with pytest.raises(OSError, match="not supported"):
        os.setxattr(result, "user.axxonfs.state", b"failed")
    with pytest.raises(OSError, match="not supported"):
        os.removexattr(result, "user.axxonfs.state")


# -- programs ------------------------------------------------------------------------


def test_ls_shows_results_with_size_and_time(result: Path) -> None:
    [line] = [line for line in run("ls", "-ln", "--time-style=+%s", result.parent).splitlines() if ".mkv" in line]
    mode, links, owner, group, size, mtime, name = line.split()
    assert (mode, links, owner, group) == ("-r--r--r--", "1", str(os.getuid()), str(os.getgid()))
    assert (size, mtime, name) == (str(3 * MIB + 1), str(END_MS // 1000), result.name)


def test_find_tells_newer_clips_from_older_ones(shared_rig: Rig, result: Path, tmp_path: Path) -> None:
    second = END_MS // 1000
    for stamp, expected in ((second - 1, [str(result)]), (second + 1, [])):
        reference = tmp_path / f"{stamp}"
        reference.touch()
        os.utime(reference, (stamp, stamp))
        found = run("find", result.parent, "-newer", reference, "-name", "*.mkv")
        assert found.splitlines() == expected


def test_du_and_ls_count_what_is_there(result: Path) -> None:
    assert int(run("du", "-b", result).split()[0]) == 3 * MIB + 1
    assert int(run("du", "-B", "512", result).split()[0]) == result.stat().st_blocks
    assert run("ls", "-s", "--block-size=512", result).split()[0] == str(result.stat().st_blocks)


def test_df_and_stat_see_a_file_system_with_free_space(shared_rig: Rig) -> None:
    kind, free, size = run("df", "-k", "--output=fstype,avail,size", shared_rig.path).splitlines()[1].split()
    assert kind == "fuse.axxonfs"
    assert 0 < int(free) < int(size)
    assert int(run("stat", "-f", "-c", "%l", shared_rig.path)) == 255
    assert int(run("df", "--output=iavail", shared_rig.path).splitlines()[1]) > 0


def test_programs_that_ask_for_more_than_we_have_fail_as_on_other_file_systems(result: Path) -> None:
    for program in ("lsattr", "chattr +i"):
        done = subprocess.run([*program.split(), result], capture_output=True, text=True, check=False)
        assert done.returncode != 0
        assert "not implemented" not in done.stderr


def test_a_listing_of_all_shows_the_two_dots(shared_rig: Rig) -> None:
    shown = subprocess.run(["ls", "-a", shared_rig.path], capture_output=True, text=True, check=True).stdout
    assert shown.split() == [".", "..", ".axxonfs", "cameras", "new", "sessions"]

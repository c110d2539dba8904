"""`axxonfs export` on a real mount: forty clips over two interruptions, and whatever can go wrong on the way."""

import contextlib
import datetime as dt
import fcntl
import hashlib
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fuse.harness import CLIP, TIMEOUT_S, Rig, module_rig, wait_until

QUICK = {"time_factor": "20"}
MIB = 1024 * 1024
COMMAND = [sys.executable, "-m", "axxonfs", "export"]
PAPERS = {"SHA256SUMS", "manifest.json"}


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A mount of three cameras whose exports are 3 MiB of a pattern and take a fifth of a second."""
    with module_rig(
        tmp_path_factory, options=QUICK, cameras=3, file_size_bytes=3 * MIB, export_speed=100.0, recorded_s=7200.0
    ) as rig:
        yield rig


def command(rig: Rig, *words: object) -> list[str]:
    return [*COMMAND, str(rig.path), *map(str, words)]


def export(rig: Rig, *words: object, text: str | None = None, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(rig, *words),
        env={**os.environ, **environment},
        input=text,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def ago(minutes: float) -> str:
    return (dt.datetime.now(dt.UTC).replace(microsecond=0) - dt.timedelta(minutes=minutes)).isoformat()


def clip(seconds: float = 20, minutes: float = 30) -> list[str]:
    """Return the options of a clip that is in the archive."""
    return ["--from", ago(minutes), "--until", ago(minutes - seconds / 60), "--format", "mp4"]


def manifest_of(into: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((into / "manifest.json").read_text())
    return document


def entry_of(into: Path, name: str) -> dict[str, Any]:
    [entry] = [entry for entry in manifest_of(into)["exports"] if entry["name"] == name]
    return entry  # type: ignore[no-any-return]


def check_sums(into: Path) -> int:
    """Have sha256sum check the directory; return how many files that were."""
    done = subprocess.run(
        ["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=into, capture_output=True, text=True, check=True
    )
    return done.stdout.count(": OK\n")


def check_against_the_server(rig: Rig, into: Path) -> None:
    """Check each copy against what the server holds."""
    for entry in manifest_of(into)["exports"]:
        for file in entry["files"]:
            truth = rig.sim.sessions.result_bytes(entry["session_id"], file["path"])
            assert (into / file["name"]).read_bytes() == truth
            assert file["sha256"] == hashlib.sha256(truth).hexdigest()


# -- what it must show ------------------------------------------------------------------


def test_forty_exports_over_two_interruptions_are_forty_clips_and_forty_starts(
    rigs: Callable[..., Rig], tmp_path: Path
) -> None:
    rig = rigs(options=QUICK, cameras=3, file_size_bytes=3 * MIB, export_speed=100.0)
    specs, into = tmp_path / "specs", tmp_path / "delivery"
    specs.mkdir()
    for number in range(40):
        begin = dt.datetime.now(dt.UTC).replace(microsecond=0) - dt.timedelta(minutes=60 - number)
        document = {
            "camera": str(1 + number % 3),
            "from": begin.isoformat(),
            "to": (begin + dt.timedelta(seconds=20)).isoformat(),
        }
        (specs / f"clip-{number:02}.json").write_text(json.dumps(document))
    words = command(rig, specs, "--into", into, "--jobs", 4)

    first = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    wait_until(lambda: rig.starts >= 8, "the first starts")
    first.send_signal(signal.SIGINT)
    said, _ = first.communicate(timeout=TIMEOUT_S)
    assert first.returncode == 130
    assert f"To go on: axxonfs export {rig.path} {specs} --into {into} --jobs 4 --resume" in said
    assert not manifest_of(into)["complete"]
    check_sums(into)

    second = subprocess.Popen([*words, "--resume"], stdout=subprocess.DEVNULL)
    wait_until(lambda: rig.starts >= 24, "more starts")
    second.kill()
    second.wait(TIMEOUT_S)
    assert 24 <= rig.starts < 40

    # The ledger knows what was asked for: the specs need not be given again.
    third = export(rig, "--into", into, "--resume", "--jobs", 4)
    assert third.returncode == 0, third.stdout + third.stderr
    assert "40 exports: 40 delivered" in third.stdout
    assert rig.starts == 40
    assert len({path.name for path in into.iterdir()} - PAPERS) == 40
    assert check_sums(into) == 41
    check_against_the_server(rig, into)
    delivery = manifest_of(into)
    assert delivery["complete"]
    for entry in delivery["exports"]:
        asked = {key: entry["asked"][key].replace("+00:00", "Z") for key in ("from", "to")}
        assert entry["requested"] == asked
        assert entry["difference"]["missing"] == []
        assert entry["difference"]["begins_s"] <= 0
        [file] = entry["files"]
        assert entry["delivered"] == file["interval"]
    # Nothing is left behind: the mount lets go of what was copied, and new/ is as it was.
    assert list(rig.new.iterdir()) == []
    assert [path.name for path in rig.sessions if rig.status(path)["kept"]] == []


# -- interruptions --------------------------------------------------------------------------


def started_slowly(rig: Rig, into: Path, *words: object) -> "subprocess.Popen[str]":
    """Start a copy that does not come to its end, and return once part of it is there."""
    rig.sim.faults.add(method="DownloadFile", action="slow", times=100, delay_s=0.2, after_chunks=4)
    process = subprocess.Popen(command(rig, *clip(), "--into", into, *words), stdout=subprocess.PIPE, text=True)
    part = wait_until(lambda: next(into.glob("*_*.part"), None) if into.is_dir() else None, "a partial copy")
    wait_until(lambda: part.stat().st_size >= MIB, "a MiB of it")
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_a_copy_that_was_interrupted_goes_on_where_it_was(
    rigs: Callable[..., Rig], tmp_path: Path, number: signal.Signals
) -> None:
    rig, into = (
        rigs(options=QUICK | {"cache_size": "4M"}, cameras=1, file_size_bytes=12 * MIB, export_speed=1e9),
        tmp_path / "into",
    )
    process = started_slowly(rig, into, "--camera", "1")
    process.send_signal(number)
    process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == (-signal.SIGKILL if number is signal.SIGKILL else 130)
    [part] = into.glob("*.part")
    before = part.stat()
    assert MIB <= before.st_size < 12 * MIB
    rig.sim.faults.clear()
    assert export(rig, "--into", into, "--resume").returncode == 0
    [file] = entry_of(into, "1.Front_door")["files"]
    assert (into / file["name"]).stat().st_ino == before.st_ino
    check_against_the_server(rig, into)
    assert check_sums(into) == 2
    assert rig.starts == 1


def test_a_copy_from_before_the_machine_stopped_is_made_anew(quick: Rig, tmp_path: Path) -> None:
    into = tmp_path / "into"
    quick.sim.faults.add(method="DownloadFile", action="slow", times=100, delay_s=0.2, after_chunks=4)
    process = started_slowly(quick, into, "--camera", "1")
    process.kill()
    process.communicate(timeout=TIMEOUT_S)
    quick.sim.faults.clear()
    [part] = into.glob("*.part")
    part.write_bytes(bytes(MIB))  # as a file system may leave what was never flushed
    ledger = into / ".axxonfs-export"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    ledger.write_text(ledger.read_text().replace(boot, "another"))
    assert export(quick, "--into", into, "--resume").returncode == 0
    check_against_the_server(quick, into)


def test_a_document_that_was_submitted_when_the_command_was_killed_is_not_submitted_again(
    quick: Rig, tmp_path: Path
) -> None:
    into, before = tmp_path / "into", quick.starts
    quick.sim.faults.add(method="StartSession", action="delay", delay_s=2.0)
    # A password: for such a document the mount itself cannot tell that it is the same again.
    secret = tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text("geheim")
    words = ["--camera", "1", *clip(), "--password-file", secret, "--into", into]
    process = subprocess.Popen(command(quick, *words), stdout=subprocess.DEVNULL)
    wait_until(lambda: quick.starts > before, "the server is asked")
    process.kill()
    # It waits in the kernel for the answer, and then it is gone.
    process.wait(TIMEOUT_S)
    done = export(quick, "--into", into, "--resume")
    assert done.returncode == 0, done.stderr
    assert quick.starts == before + 1


def test_the_mount_may_crash_and_come_back(rigs: Callable[..., Rig], tmp_path: Path) -> None:
    rig, into = rigs(options=QUICK, cameras=1, file_size_bytes=MIB, export_speed=20.0), tmp_path / "into"
    specs = tmp_path / "specs"
    specs.mkdir()
    for number in range(4):
        (specs / f"{number}.json").write_text(
            json.dumps({"camera": "1", "from": ago(30 + number), "to": ago(29.7 + number)})
        )
    process = subprocess.Popen(
        command(rig, specs, "--into", into), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    wait_until(lambda: rig.starts == 2, "two starts")
    rig.stop(signal.SIGKILL)
    _, said = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, "the mount has gone" in said) == (7, True), said
    assert export(rig, specs, "--into", into, "--resume").returncode == 7
    rig.start()
    done = export(rig, specs, "--into", into, "--resume")
    assert done.returncode == 0, done.stdout + done.stderr
    assert rig.starts == 4
    assert check_sums(into) == 5


def test_a_full_disk_stops_the_work_and_loses_nothing(quick: Rig, tmp_path: Path) -> None:
    into, before = tmp_path / "into", quick.starts
    into.mkdir()
    if os.geteuid() != 0:
        pytest.skip("a file system of a given size needs root")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", into], check=True)
    try:
        words = ["--camera", "1", "--camera", "2", *clip(), "--into", into]
        done = export(quick, *words)
        assert done.returncode == 1
        assert f"{into} is full" in done.stderr
        assert "To go on:" in done.stdout
        subprocess.run(["mount", "-o", "remount,size=20m", into], check=True)
        assert export(quick, *words, "--resume").returncode == 0
        assert quick.starts == before + 2
        assert check_sums(into) == 3
        check_against_the_server(quick, into)
    finally:
        subprocess.run(["umount", into], check=True)


@pytest.mark.expects_warnings("server away")
def test_a_server_that_is_away_for_a_while_is_waited_for(rigs: Callable[..., Rig], tmp_path: Path) -> None:
    rig = rigs(
        options=QUICK | {"read_timeout": "1s", "cache_size": "4M"},
        cameras=1,
        file_size_bytes=12 * MIB,
        export_speed=1e9,
    )
    # The first download stands still in the middle of the file until the server goes away.
    stalled = rig.sim.faults.add(method="DownloadFile", action="stall", times=1, after_chunks=8)
    process = subprocess.Popen(
        command(rig, *clip(), "--into", tmp_path / "into", "--camera", "1"), stdout=subprocess.PIPE, text=True
    )
    assert rig.sim.faults.wait_for_hits(stalled, 1, TIMEOUT_S)
    rig.sim.restart(away_s=3)
    said, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, said
    assert rig.sim.calls.count("DownloadFile") > 1
    check_against_the_server(rig, tmp_path / "into")


# -- exports that do not come out as they should -------------------------------------------------


def test_what_fails_among_good_ones_is_named_and_the_others_are_delivered(quick: Rig, tmp_path: Path) -> None:
    specs, into = tmp_path / "specs", tmp_path / "into"
    specs.mkdir()
    documents: dict[str, dict[str, Any]] = {
        "good": {"camera": "1", "from": ago(30), "to": ago(29.7)},
        "unrecorded": {"camera": "1", "from": ago(600), "to": ago(590)},
        "half": {"camera": "2", "from": ago(121), "to": ago(119)},
        "agent": {"camera": "3", "from": ago(30), "to": ago(29.7), "store_on_agent": True},
    }
    for name, document in documents.items():
        (specs / f"{name}.json").write_text(json.dumps(document))
    done = export(quick, specs, "--into", into)
    assert done.returncode == 11, done.stderr
    assert "4 exports: 1 delivered, 1 less than asked, 1 kept elsewhere, 1 failed" in done.stdout
    assert {entry["name"]: entry["outcome"] for entry in manifest_of(into)["exports"]} == {
        "agent": "kept elsewhere", "good": "delivered", "half": "less than asked", "unrecorded": "failed",
    }  # fmt: skip
    half = entry_of(into, "half")["difference"]
    [missing] = half["missing"]
    assert missing["from"] == documents["half"]["from"].replace("+00:00", "Z")
    assert 50 < half["missing_s"] < 70
    [file] = entry_of(into, "agent")["files"]
    assert (file["name"], file["downloadable"]) == (None, False)
    assert file["why_not"] == "the export agent keeps the result on its own machine"
    assert check_sums(into) == 3
    # Nothing is left to do, so the directory is done with; asking again says the same.
    again = export(quick, specs, "--into", into, "--resume")
    assert (again.returncode, again.stdout) == (11, f"nothing is left to do in {into}\n")


def test_less_than_asked_has_an_exit_status_of_its_own(quick: Rig, tmp_path: Path) -> None:
    words = ["--camera", "1", "--from", ago(121), "--until", ago(119)]
    less = export(quick, *words, "--into", tmp_path / "less")
    assert less.returncode == 10
    assert "less than asked: " in less.stdout
    assert export(quick, *words, "--into", tmp_path / "enough", "--tolerance", "5m").returncode == 0


def test_live_video_that_was_stopped_early_is_less_than_asked(quick: Rig, tmp_path: Path) -> None:
    into = tmp_path / "into"
    words = ["--camera", "1", "--set", "live=true", "--set", "duration=10m", "--into", into]
    process = subprocess.Popen(command(quick, *words), stdout=subprocess.DEVNULL)
    session = wait_until(lambda: next(quick.new.glob("*.session"), None), "the session").resolve()
    (session / "control").write_text("stop")
    assert process.wait(TIMEOUT_S) == 10
    entry = entry_of(into, "1.Front_door")
    assert 590 < entry["difference"]["missing_s"] < 600
    assert entry["requested"] == {"from": None, "to": None}


def test_a_session_that_goes_before_its_end_is_gone(rigs: Callable[..., Rig], tmp_path: Path) -> None:
    rig, into = rigs(options=QUICK, cameras=1, file_size_bytes=MIB, export_speed=1.0), tmp_path / "into"
    process = subprocess.Popen(command(rig, "--camera", "1", *clip(), "--into", into), stdout=subprocess.DEVNULL)
    session = wait_until(lambda: next(rig.new.glob("*.session"), None), "the session").resolve()
    rig.sim.sessions.destroy(rig.session_id(session))
    assert process.wait(TIMEOUT_S) == 12
    entry = entry_of(into, "1.Front_door")
    assert entry["outcome"] == "gone"
    assert entry["why"]


def test_what_the_server_refuses_is_told_in_its_words(quick: Rig, tmp_path: Path) -> None:
    quick.sim.faults.add(method="StartSession", status="INVALID_ARGUMENT", details="No such thing.")
    done = export(quick, "--camera", "1", *clip(), "--into", tmp_path / "into")
    assert done.returncode == 11
    assert "1.Front_door: refused: " in done.stdout
    entry = entry_of(tmp_path / "into", "1.Front_door")
    assert (entry["outcome"], entry["session_id"], entry["files"]) == ("refused", None, [])
    assert "No such thing." in entry["why"]


def test_a_file_that_is_not_from_here_is_never_written_over(quick: Rig, tmp_path: Path) -> None:
    into = tmp_path / "into"
    process = started_slowly(quick, into, "--camera", "1")
    [part] = into.glob("*.part")
    foreign = part.with_suffix("")
    process.kill()
    process.communicate(timeout=TIMEOUT_S)
    quick.sim.faults.clear()
    foreign.write_text("somebody's own")
    done = export(quick, "--into", into, "--resume")
    assert done.returncode == 11
    assert f"{foreign} is there already, and not from here: move it away" in done.stdout
    assert foreign.read_text() == "somebody's own"
    foreign.unlink()
    assert export(quick, "--into", into, "--resume").returncode == 0
    check_against_the_server(quick, into)


def test_results_of_one_name_do_not_get_in_each_others_way(quick: Rig, tmp_path: Path) -> None:
    into = tmp_path / "into"
    text = "\n".join(
        json.dumps({"camera": "1", "from": ago(30), "to": ago(29), "comment": f"{number}"}) for number in range(3)
    )
    assert export(quick, "-", "--into", into, text=text).returncode == 0
    assert [entry["name"] for entry in manifest_of(into)["exports"]] == ["stdin1", "stdin2", "stdin3"]
    assert len({path.name for path in into.iterdir()} - PAPERS) == 3
    assert check_sums(into) == 4
    check_against_the_server(quick, into)


# -- secrets --------------------------------------------------------------------------------------


def test_a_password_is_nowhere_but_where_it_must_be(quick: Rig, tmp_path: Path) -> None:
    into, secret = tmp_path / "into", tmp_path / "secret"
    secret.touch(0o600)
    secret.write_text("sehr geheim")
    process = started_slowly(quick, into, "--camera", "1", "--password-file", secret)
    texts = [path.read_bytes() for path in [*into.iterdir(), *quick.new.glob("*.json")] if path.is_file()]
    texts.append(Path(f"/proc/{process.pid}/cmdline").read_bytes())
    quick.sim.faults.clear()
    said, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    texts += [path.read_bytes() for path in into.iterdir()]
    assert not [text for text in texts if b"geheim" in text]
    assert "geheim" not in said
    assert set(entry_of(into, "1.Front_door")["options"]["password"]) == {"*"}


def test_what_has_a_password_and_was_not_started_wants_it_again(quick: Rig, tmp_path: Path) -> None:
    into, specs, before = tmp_path / "into", tmp_path / "specs", quick.starts
    specs.mkdir()
    for name in ("first", "second"):
        document = {"camera": "1", "from": ago(30), "to": ago(29), "password": f"geheim {name}"}
        (specs / f"{name}.json").write_text(json.dumps(document))
    quick.sim.faults.add(method="StartSession", action="delay", delay_s=1.0)
    process = subprocess.Popen(command(quick, specs, "--into", into, "--jobs", 1), stdout=subprocess.DEVNULL)
    wait_until(lambda: quick.starts > before, "the server is asked")
    process.kill()
    process.wait(TIMEOUT_S)
    refused = export(quick, "--into", into, "--resume")
    assert refused.returncode == 2
    assert "second has a password, which is not kept: give the same specs or options again" in refused.stderr
    assert export(quick, specs, "--into", into, "--resume").returncode == 0
    assert quick.starts == before + 2


# -- wrong usage -----------------------------------------------------------------------------------

HOUR = ["--from", "-2h", "--until", "-1h"]
ONE = ["--camera", "1"]
WRONG: dict[str, tuple[list[str], str]] = {
    "unknown camera": (["--camera", "Frnt door", *HOUR], 'there is no camera "Frnt door": did you mean'),
    "interval the wrong way round": ([*ONE, "--from", "-1h", "--until", "-2h"], "--from must be before --until"),
    "no interval": (ONE, "the spec does not say when: write --from and --until for a clip"),
    "no end": ([*ONE, "--from", "-1h"], "1.Front_door: --until is missing: "),
    "no offset": ([*ONE, "--from", "2026-11-22T10:15:00"], "has no offset from UTC: add it"),
    "nothing": ([], "nothing to export: give spec files"),
    "settings without a camera": (HOUR, "nothing to export: give spec files"),
    "both ways": (["SPEC", "--camera", "1", *HOUR], "give spec files, or --camera with its settings, but not both"),
    "no such file": (["missing.json"], "missing.json cannot be read: No such file or directory"),
    "a broken file": (["BROKEN"], "line 1, column 2: "),
    "an empty directory": (["EMPTY"], "holds no NAME.json"),
    "nothing on standard input": (["-"], "standard input holds no document"),
    "a wrong key": ([*ONE, *HOUR, "--set", "qualty=best"], '--set: "qualty": there is no such key: did you mean'),
    "a wrong value": ([*ONE, *HOUR, "--set", "audio=loud"], '--set: "audio": must be true or false'),
    "no value": ([*ONE, *HOUR, "--set", "audio"], "write KEY=VALUE"),
    "a key twice": ([*ONE, *HOUR, "--format", "mp4", "--set", "format=avi"], '"format" is given twice'),
    "a key with an option of its own": ([*ONE, "--set", "from=-1h"], '"from": use --from'),
    "a password in view": ([*ONE, *HOUR, "--set", "password=x"], "everybody could read it here"),
    "nobody to ask": ([*ONE, *HOUR, "--ask-password"], "nobody can be asked here"),
    "no jobs": ([*ONE, *HOUR, "--jobs", "0"], "'0' is not a number from 1 to 64"),
    "resume what": (["--resume"], "--resume goes on in a directory: give it with --into DIR"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_usage_starts_nothing_and_says_what_to_do(quick: Rig, tmp_path: Path, case: str) -> None:
    words, said = WRONG[case]
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "spec.json").write_text(json.dumps(CLIP()))
    places = {"SPEC": "spec.json", "BROKEN": "broken.json", "EMPTY": "empty"}
    before = quick.starts
    new = tmp_path / "new"
    into = [] if "--resume" in words else ["--into", new / "into"]
    done = export(quick, *[tmp_path / places[word] if word in places else word for word in words], *into, text="")
    assert (done.returncode, quick.starts) == (2, before), done.stderr
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not new.exists()


def test_a_refusal_leaves_a_directory_that_was_there(quick: Rig, tmp_path: Path) -> None:
    into = tmp_path / "into"
    into.mkdir()
    assert export(quick, *ONE, "--into", into).returncode == 2
    assert into.is_dir()


def test_all_that_is_wrong_is_said_at_once(quick: Rig, tmp_path: Path) -> None:
    before = quick.starts
    done = export(quick, "--camera", "1", "--camera", "nine", "--camera", "ten", *HOUR, "--into", tmp_path / "into")
    assert (done.returncode, quick.starts) == (2, before)
    assert done.stderr.count("there is no camera") == 2


def test_a_directory_is_begun_empty_and_gone_on_with_on_purpose(quick: Rig, tmp_path: Path) -> None:
    into = tmp_path / "into"
    into.mkdir()
    (into / "mine").touch()
    full = export(quick, "--camera", "1", *clip(), "--into", into)
    assert (full.returncode, "is not empty: take a new directory" in full.stderr) == (2, True)
    (into / "mine").unlink()
    process = started_slowly(quick, into, "--camera", "1")
    held = export(quick, "--into", into, "--resume")
    assert (held.returncode, "another `axxonfs export` works in" in held.stderr) == (2, True)
    process.kill()
    process.communicate(timeout=TIMEOUT_S)
    quick.sim.faults.clear()
    unasked = export(quick, "--camera", "1", *clip(), "--into", into)
    assert (unasked.returncode, "go on with them by --resume" in unasked.stderr) == (2, True)
    other = export(quick, "--camera", "2", *clip(), "--into", into, "--resume")
    assert (other.returncode, "this is not what was begun in" in other.stderr) == (2, True)
    assert export(quick, "--into", into, "--resume").returncode == 0


def test_a_directory_that_cannot_be_used_is_named(quick: Rig, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = export(quick, "--camera", "1", *clip(), "--into", tmp_path / "file")
    assert (done.returncode, "--into: " in done.stderr) == (2, True)


def test_a_damaged_ledger_is_named(quick: Rig, tmp_path: Path) -> None:
    (tmp_path / ".axxonfs-export").write_text("{}\n")
    done = export(quick, "--into", tmp_path, "--resume")
    assert (done.returncode, ".axxonfs-export cannot be used: it is not the ledger of an export" in done.stderr) == (
        2,
        True,
    )


def test_without_a_mount_it_says_so(quick: Rig, tmp_path: Path) -> None:
    for where, said in ((tmp_path, "nothing is mounted at"), (Path("/proc"), "is a mount of proc, not one of axxonfs")):
        done = subprocess.run(
            [*COMMAND, str(where), "--camera", "1", *HOUR], capture_output=True, text=True, check=False
        )
        assert (done.returncode, said in done.stderr) == (7, True), done.stderr


def test_a_read_only_mount_cannot_start_anything(rigs: Callable[..., Rig], tmp_path: Path) -> None:
    done = export(rigs(options={"ro": ""}), "--camera", "1", *clip(), "--into", tmp_path / "into")
    assert (done.returncode, "is mounted read-only: exports cannot be started there" in done.stderr) == (7, True)


# -- what is seen ------------------------------------------------------------------------------------


def test_where_no_terminal_is_there_are_lines(quick: Rig, tmp_path: Path) -> None:
    into = tmp_path / "into"
    done = export(quick, "--camera", "1", *clip(60), "--into", into)
    [file] = entry_of(into, "1.Front_door")["files"]
    assert "\x1b" not in done.stdout
    lines = [re.sub(r"\d+% exported.*", "N% exported", line) for line in done.stdout.splitlines()]
    assert lines[0].startswith(f"1.Front_door: started as {quick.path}/sessions/")
    assert lines[-4:] == [
        "1.Front_door: exported, 1 file, 3.1 MB",
        f"1.Front_door: {file['name']} copied, 3.1 MB",
        "1.Front_door: delivered",
        "1 export: 1 delivered",
    ]


def in_a_terminal(
    words: list[str], columns: int = 80, seen: Callable[[str], object] = lambda _: None
) -> tuple[int, str]:
    """Run a command in a terminal; return its exit status and all that it wrote, which `seen` is told as it comes."""
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe(words[0], words, {**os.environ, "TERM": "xterm-256color"})
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    written = b""
    with contextlib.suppress(OSError):  # EIO: the other side has gone
        while piece := os.read(terminal, 65536):
            written += piece
            seen(written.decode(errors="ignore"))
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), written.decode()


def test_on_a_terminal_there_are_bars_that_fit(quick: Rig, tmp_path: Path) -> None:
    words = ["--camera", "1", "--camera", "2", "--camera", "3", *clip(300), "--into", str(tmp_path / "into")]
    status, written = in_a_terminal(command(quick, *words))
    assert status == 0, written
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written)
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", shown)]
    assert max(len(line) for line in lines) <= 80
    assert any(re.fullmatch(r"1\.Front_door +[━╸╺]+ \d+%.*", line) for line in lines)
    assert any(re.fullmatch(r"all +[━╸╺]+ 3 of 3, 9\.4 MB", line) for line in lines)
    assert "2.Gate: delivered" in lines
    assert lines[-2:] == ["3 exports: 3 delivered", ""]


def test_without_a_directory_it_starts_follows_and_leaves_the_results_in_the_mount(quick: Rig) -> None:
    before = len(quick.sessions)
    done = export(quick, "--camera", "1", *clip())
    assert done.returncode == 0, done.stderr
    [link] = quick.new.glob("1.Front_door_*.session")
    assert len(quick.sessions) == before + 1
    assert (link / "state").read_text() == "completed\n"
    assert f"started as {quick.path}/sessions/{link.readlink().name}" in done.stdout


def test_no_more_run_at_the_server_than_were_allowed(rigs: Callable[..., Rig], tmp_path: Path) -> None:
    rig = rigs(options=QUICK, cameras=1, file_size_bytes=1000, export_speed=100.0)
    most = 0
    process = subprocess.Popen(
        command(
            rig,
            *[word for _ in range(8) for word in ("--camera", "1")],
            *clip(),
            "--jobs",
            2,
            "--into",
            tmp_path / "into",
        ),
        stdout=subprocess.DEVNULL,
    )
    while process.poll() is None:
        with rig.sim.sessions.changed:
            rig.sim.sessions.changed.wait(0.05)
            most = max(most, len(rig.sim.sessions.running()))
    assert (process.returncode, rig.starts, most) == (0, 8, 2)

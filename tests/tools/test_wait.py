"""`axxonfs wait` on a real mount: what a path leads to, what is seen, and what the exit status says."""

import datetime as dt
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fuse.harness import CLIP, TIMEOUT_S, Rig, module_rig, wait_until
from tests.tools.test_export import in_a_terminal

COMMAND = [sys.executable, "-m", "axxonfs", "wait"]


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A mount whose exports of a minute take a second."""
    with module_rig(tmp_path_factory, options={"time_factor": "20"}, file_size_bytes=1000, export_speed=60.0) as rig:
        yield rig


def wait(*words: object) -> "subprocess.CompletedProcess[str]":
    words_of_command = [*COMMAND, *map(str, words)]
    return subprocess.run(words_of_command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


def live(rig: Rig, name: str) -> Path:
    """Start an export that runs until it is stopped."""
    return rig.write_spec(name, camera="1", live=True)


@pytest.mark.parametrize("kind", ["directory", "link", "spec", "text", "result"])
def test_every_path_that_leads_to_a_session_will_do(slow: Rig, kind: str) -> None:
    session = slow.write_spec(f"path-{kind}", **CLIP())
    if kind == "result":
        slow.wait_for_state(session, "completed")
    paths = {
        "directory": lambda: session,
        "link": lambda: slow.new / f"path-{kind}.session",
        "spec": lambda: slow.new / f"path-{kind}.json",
        "text": lambda: session / "state",
        "result": lambda: slow.results(session)[0],
    }
    path = paths[kind]()
    done = wait(path)
    assert done.returncode == 0, done.stderr
    assert (session / "state").read_text() == "completed\n"
    assert done.stdout.splitlines()[-1] == f"{path.name}: completed"


def test_it_waits_for_all_and_the_worst_decides(slow: Rig) -> None:
    good = slow.write_spec("all-good", **CLIP())
    bad = slow.write_spec("all-bad", camera="1", **{"from": "-800h", "to": "-799h"})
    done = wait(good, bad)
    assert done.returncode == 11
    assert f"{good.name}: completed\n" in done.stdout
    assert f"{bad.name}: failed: the server ended the export without success" in done.stdout


def test_what_goes_meanwhile_is_gone(slow: Rig) -> None:
    session = live(slow, "gone")
    process = subprocess.Popen([*COMMAND, str(session)], stdout=subprocess.PIPE, text=True)
    wait_until(lambda: slow.sim.calls.count("ListSessions") > 3, "it is followed")
    slow.sim.sessions.destroy(slow.session_id(session))
    said, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 12, said
    assert f"{session.name}: gone: " in said
    assert wait(session).returncode == 12  # it is shown as removed
    subprocess.run(["rm", "-r", session], check=True)
    assert wait(slow.new / "gone.session").returncode == 12


def test_a_document_that_was_refused_became_nothing(slow: Rig) -> None:
    with pytest.raises(OSError, match="Invalid argument"):
        slow.write_spec("refused", camera="nobody", at="-1h")
    done = wait(slow.new / "refused.json")
    assert done.returncode == 11
    assert 'refused.json: refused: "camera": there is no camera "nobody"' in done.stdout


def test_a_document_that_is_still_being_started_is_waited_for(slow: Rig, tmp_path: Path) -> None:
    slow.sim.faults.add(method="StartSession", action="delay", delay_s=1.0)
    spec = tmp_path / "spec"
    spec.write_text(json.dumps(CLIP()))
    subprocess.run(["cp", spec, slow.new / ".behind"], check=True)
    (slow.new / ".behind").rename(slow.new / "behind.json")  # it starts behind
    assert not (slow.new / "behind.session").is_symlink()
    assert wait(slow.new / "behind.json").returncode == 0


def test_it_waits_no_longer_than_it_was_told_to(slow: Rig) -> None:
    session = live(slow, "long")
    done = wait(session, "--timeout", "1s")
    assert (done.returncode, done.stdout) == (13, "")
    (session / "control").write_text("stop")
    assert wait(session, "--timeout", "1s").returncode == 0


def test_ctrl_c_ends_it(slow: Rig) -> None:
    session = live(slow, "interrupted")
    process = subprocess.Popen([*COMMAND, str(session)], stdout=subprocess.DEVNULL)
    before = slow.sim.calls.count("ListSessions")
    wait_until(lambda: slow.sim.calls.count("ListSessions") > before + 20, "it is followed")
    process.send_signal(signal.SIGINT)
    assert process.wait(TIMEOUT_S) == 130
    (session / "control").write_text("stop")


@pytest.mark.parametrize("word", ["", "new", "cameras/1.Front_door", "cameras/1.Front_door/camera.json", "new/x.json"])
def test_a_path_that_leads_to_no_session_is_refused(slow: Rig, word: str) -> None:
    done = wait(slow.path / word)
    assert (done.returncode, "leads to no session: give the directory of a session" in done.stderr) == (2, True)


def test_a_document_that_is_no_spec_of_a_mount_is_refused_at_once(slow: Rig, tmp_path: Path) -> None:
    (slow.new / ".hidden.json").write_text("{}")
    (tmp_path / "mine.json").write_text("{}")
    for path in (slow.new / ".hidden.json", tmp_path / "mine.json"):
        done = wait(path)
        assert (done.returncode, "leads to no session" in done.stderr) == (2, True), done.stderr


def test_a_mount_that_goes_meanwhile_ends_it(slow: Rig) -> None:
    session = live(slow, "crash")
    process = subprocess.Popen([*COMMAND, str(session)], stderr=subprocess.PIPE, text=True)
    before = slow.sim.calls.count("ListSessions")
    wait_until(lambda: slow.sim.calls.count("ListSessions") > before + 20, "it is followed")
    slow.stop(signal.SIGKILL)
    _, said = process.communicate(timeout=TIMEOUT_S)
    slow.start()
    assert (process.returncode, "the mount has gone" in said) == (7, True), said


def test_lines_and_bars_show_how_far_it_is_and_until_when(rigs: Callable[..., Rig]) -> None:
    # The first two of three seconds are exported at once, and the third would be after three minutes.
    rig = rigs(options={"time_factor": "20"}, file_size_bytes=1000, export_speed=0.01)
    begin = dt.datetime.now(dt.UTC).replace(microsecond=0) - dt.timedelta(minutes=10)
    keys = CLIP() | {"from": begin.isoformat(), "to": (begin + dt.timedelta(seconds=3)).isoformat()}
    session = rig.write_spec("lines", **keys)
    with subprocess.Popen([*COMMAND, str(session)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        (session / "control").write_text("stop")
        rest = process.stdout.read()
    assert re.fullmatch(r"\S+mp4_\w+: \d+% exported, until about \d\d:\d\d:\d\d\n", line)
    assert (process.returncode, rest) == (0, f"{session.name}: completed\n")

    session = rig.write_spec("bars", **keys)

    def stop_once_shown(written: str) -> None:
        if "until about" in written and (session / "state").read_text() == "running\n":
            (session / "control").write_text("stop")

    status, written = in_a_terminal([*COMMAND, str(session)], seen=stop_once_shown)
    shown = [line.rstrip() for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written))]
    assert status == 0
    assert max(map(len, shown)) <= 80
    assert any(re.fullmatch(r"\S+… [━╸╺]+ \d+%, until about \d\d:\d\d:\d\d", line) for line in shown), shown

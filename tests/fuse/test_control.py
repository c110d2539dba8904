"""Keeping, stopping and removing sessions through a real mount, and what the server is left with."""

import errno
import os
import select
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import pytest

from axxonfs.simulator.switches import Switches
from tests.fuse.harness import CLIP, TIMEOUT_S, Rig, module_rig, needs, pattern_file, wait_until

Rigs = Callable[..., Rig]
LIVE: dict[str, Any] = {"camera": "1.Front door", "live": True, "format": "mp4"}


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A mount of a server whose results are a few bytes; it looks every tenth of a second."""
    with module_rig(tmp_path_factory, options={"time_factor": "20"}, file_size_bytes=1000) as rig:
        yield rig


def tell(session: Path, verb: str) -> "subprocess.CompletedProcess[str]":
    """Write a verb as a shell does."""
    words = ["bash", "-c", 'echo "$0" > control', verb]
    environment = {**os.environ, "LC_ALL": "C"}
    return subprocess.run(words, cwd=session, env=environment, capture_output=True, text=True, timeout=60, check=False)


def is_listed(rig: Rig, session: Path) -> bool:
    return session.name in [path.name for path in rig.sessions]


def exists(rig: Rig, session_id: str) -> bool:
    return session_id in [record.session_id for record in rig.sim.sessions.records()]


def check_refused(number: int, act: Callable[[], object]) -> None:
    with pytest.raises(OSError, match=os.strerror(number)) as caught:
        act()
    assert caught.value.errno == number  # two of them may have the same words


# -- verbs --------------------------------------------------------------------------


def test_stop_ends_a_live_export_with_a_clip_that_plays(rigs: Rigs) -> None:
    rig = rigs()
    session = rig.write_spec("live", **LIVE)
    wait_until(lambda: rig.status(session)["last_frame"], "live frames")
    assert tell(session, "stop").returncode == 0
    assert (session / "state").read_text() == "completed\n"
    [clip] = rig.results(session)
    with av.open(str(clip)) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 5


def test_stop_of_an_export_that_is_finished_is_invalid(quick: Rig) -> None:
    session = quick.exported("finished").parent
    done = tell(session, "stop")
    assert (done.returncode, "Invalid argument" in done.stderr) == (1, True)
    assert quick.sim.calls.count("StopSession") == 0


def test_destroy_removes_a_session_here_and_there(quick: Rig) -> None:
    session = quick.exported("destroy").parent
    session_id = quick.session_id(session)
    assert tell(session, "destroy").returncode == 0
    assert not exists(quick, session_id)
    assert not is_listed(quick, session)
    quick.stats()
    assert not is_listed(quick, session)


def test_destroy_is_an_explicit_request_for_a_session_of_others_too(quick: Rig) -> None:
    session = quick.hold(pattern_file(10))
    session_id = quick.session_id(session)
    assert tell(session, "destroy").returncode == 0
    assert not exists(quick, session_id)


@pytest.mark.parametrize(
    ("verb", "kept", "why"),
    [("keep", True, "told to keep"), ("keep 24h", True, "told to keep"), ("release", False, None)],
)
def test_keep_and_release_show_in_the_status(quick: Rig, verb: str, kept: bool, why: str | None) -> None:  # noqa: FBT001
    session = quick.exported(verb.replace(" ", "-")).parent
    assert quick.status(session)["kept_because"] == "started here and not read whole yet"
    assert tell(session, verb).returncode == 0
    status = quick.status(session)
    assert (status["kept"], status["kept_because"]) == (kept, why)
    assert (status["kept_until"] is not None) == (verb == "keep 24h")


@pytest.mark.parametrize("verb", ["pause", "keep for ever", "keep 24", "stop now", "destroy everything", "releas"])
def test_an_unknown_verb_is_invalid_and_does_nothing(quick: Rig, verb: str) -> None:
    session = quick.write_spec("verbs", **CLIP())
    before = (quick.sim.calls.count("StopSession"), quick.sim.calls.count("DestroySession"))
    done = tell(session, verb)
    assert (done.returncode, "Invalid argument" in done.stderr) == (1, True)
    assert quick.status(session)["last_error"]
    assert (quick.sim.calls.count("StopSession"), quick.sim.calls.count("DestroySession")) == before


def test_reading_control_lists_the_verbs_that_are_valid_now(quick: Rig) -> None:
    running = quick.write_spec("running", **LIVE)
    assert (running / "control").read_text().splitlines() == ["stop", "destroy", "keep", "keep 24h", "release"]
    finished = quick.exported("valid").parent
    assert (finished / "control").read_text().splitlines() == ["destroy", "keep", "keep 24h", "release"]
    for verb in (finished / "control").read_text().splitlines()[1:]:
        assert tell(finished, verb).returncode == 0


def test_what_the_server_says_to_a_verb_is_seen_by_the_writer(quick: Rig) -> None:
    session = quick.exported("verb-refused").parent
    quick.sim.faults.add(method="DestroySession", status="PERMISSION_DENIED", details="Not yours.")
    done = tell(session, "destroy")
    assert (done.returncode, "Permission denied" in done.stderr) == (1, True)
    assert is_listed(quick, session)
    assert "Not yours." in quick.status(session)["last_error"]


def test_a_read_only_mount_has_neither_new_nor_control(rigs: Rigs) -> None:
    rig = rigs(options={"ro": ""}, sessions=1, file_size_bytes=10)
    assert sorted(path.name for path in rig.path.iterdir()) == [".axxonfs", "cameras", "sessions"]
    [session] = rig.sessions
    assert not (session / "control").exists()
    [result] = rig.results(session)
    check_refused(errno.EROFS, result.unlink)
    check_refused(errno.EROFS, session.rmdir)
    assert len(result.read_bytes()) == 10


# -- removing -----------------------------------------------------------------------


def test_removing_a_result_hides_it_here_and_leaves_it_there(quick: Rig) -> None:
    result = quick.exported("hidden")
    session_id = quick.session_id(result.parent)
    result.unlink()
    quick.stats()
    assert not result.exists()
    assert quick.sim.sessions.record(session_id).results


def test_removing_a_text_succeeds_without_effect(quick: Rig) -> None:
    session = quick.exported("texts").parent
    for name in ("state", "status.json", "spec.json", "control"):
        (session / name).unlink()
        assert (session / name).exists()


def test_rm_r_of_an_own_session_destroys_it(quick: Rig) -> None:
    session = quick.exported("rm").parent.resolve()
    session_id = quick.session_id(session)
    subprocess.run(["rm", "-r", session], check=True, timeout=60)
    assert not is_listed(quick, session)
    quick.sim.sessions.wait_until_gone(session_id, 30)


def test_rm_r_of_a_foreign_session_is_refused_and_destroys_nothing(quick: Rig) -> None:
    session = quick.hold(pattern_file(10))
    session_id, before = quick.session_id(session), quick.sim.calls.count("DestroySession")
    done = subprocess.run(["rm", "-r", session], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, "Operation not permitted" in done.stderr) == (1, True)
    check_refused(errno.EPERM, session.rmdir)
    quick.stats()
    assert len(quick.results(session)[0].read_bytes()) == 10
    assert quick.sim.calls.count("DestroySession") == before
    assert exists(quick, session_id)


def test_the_option_destroy_says_whose_sessions_rm_may_destroy(rigs: Rigs) -> None:
    rig = rigs(options={"destroy": "all"}, file_size_bytes=10)
    foreign = rig.hold(pattern_file(10))
    session_id = rig.session_id(foreign)
    shutil.rmtree(foreign)
    rig.sim.sessions.wait_until_gone(session_id, 30)
    rig = rigs(options={"destroy": "none"}, file_size_bytes=10)
    own = rig.exported("own").parent.resolve()
    check_refused(errno.EPERM, lambda: shutil.rmtree(own))
    check_refused(errno.EPERM, own.rmdir)
    assert rig.sim.calls.count("DestroySession") == 0


def test_rmdir_of_a_session_with_results_is_refused(quick: Rig) -> None:
    session = quick.exported("full").parent.resolve()
    check_refused(errno.ENOTEMPTY, session.rmdir)
    for result in quick.results(session):
        result.unlink()
    session_id = quick.session_id(session)
    session.rmdir()
    quick.sim.sessions.wait_until_gone(session_id, 30)


def test_find_and_rmdir_of_everything_destroy_nothing(quick: Rig) -> None:
    kept = [quick.exported("found").parent.resolve(), quick.hold(pattern_file(10))]
    before = quick.sim.calls.count("DestroySession")
    for words in (["-exec", "rmdir", "{}", "+"], ["-delete"]):
        command: list[str | Path] = ["find", *kept, "-type", "d", *words]
        assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode != 0
    assert subprocess.run(["rmdir", quick.path / "sessions"], capture_output=True, check=False).returncode == 1
    quick.stats()
    assert all(is_listed(quick, session) for session in kept)
    assert quick.sim.calls.count("DestroySession") == before


def test_find_and_rmdir_destroy_no_session_without_results_and_rm_r_does(rigs: Rigs) -> None:
    rig = rigs(options={"time_factor": "20"}, file_size_bytes=1000)
    running = rig.write_spec("running", **LIVE).resolve()
    rig.sim.switches = Switches(exports_fail=True)
    failed = rig.write_spec("failed", **CLIP()).resolve()
    rig.wait_for_state(failed, "failed")
    kept = rig.write_spec("kept", **CLIP(), store_on_agent=True).resolve()
    ids = [rig.session_id(session) for session in (running, failed, kept)]
    command: list[str | Path] = ["find", rig.path / "sessions", "-type", "d", "-exec", "rmdir", "{}", "+"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.count("Directory not empty") == 3, done.stderr
    rig.stats()
    assert rig.sim.calls.count("DestroySession") == 0
    for session, session_id in zip((running, failed, kept), ids, strict=True):
        subprocess.run(["rm", "-r", session], check=True, timeout=60)
        rig.sim.sessions.wait_until_gone(session_id, 30)
        assert not is_listed(rig, session)


def test_whoever_follows_a_session_that_is_removed_is_told(quick: Rig) -> None:
    session = quick.write_spec("followed", **LIVE).resolve()
    with (session / "state").open("rb", buffering=0) as state:
        state.read()
        changes = select.poll()
        changes.register(state, select.POLLPRI)
        assert changes.poll(0) == []
        subprocess.run(["rm", "-r", session], check=True, timeout=60)
        assert changes.poll(TIMEOUT_S * 1000)
        state.seek(0)
        check_refused(errno.ESTALE, state.read)


def test_mv_of_a_result_fetches_it_and_takes_it_out_of_sight(quick: Rig, tmp_path: Path) -> None:
    result = quick.exported("moved")
    truth, times = quick.truth(result), result.stat().st_mtime_ns
    subprocess.run(["mv", result, tmp_path / "clip.mp4"], check=True, timeout=60)
    assert (tmp_path / "clip.mp4").read_bytes() == truth
    assert (tmp_path / "clip.mp4").stat().st_mtime_ns == times
    assert not result.exists()
    assert is_listed(quick, result.parent.resolve())


@pytest.mark.expects_warnings("session not destroyed")
def test_a_session_that_the_server_does_not_destroy_comes_back_and_says_why(rigs: Rigs) -> None:
    rig = rigs(file_size_bytes=10)
    session = rig.exported("stubborn").parent.resolve()
    rig.sim.faults.add(method="DestroySession", status="PERMISSION_DENIED", details="Not today.")
    shutil.rmtree(session)
    wait_until(session.exists, "the session to come back")
    assert "Not today." in rig.status(session)["last_error"]
    assert [len(result.read_bytes()) for result in rig.results(session)] == [10]


@pytest.mark.expects_warnings("session not destroyed, though the server said so")
@pytest.mark.parametrize("how", ["rm", "control"])
def test_a_session_that_the_server_says_it_destroyed_and_did_not_comes_back(rigs: Rigs, how: str) -> None:
    rig = rigs(options={"time_factor": "20"}, file_size_bytes=10)
    session = rig.exported("stays").parent.resolve()
    session_id = rig.session_id(session)
    assert tell(session, "keep").returncode == 0
    rig.sim.switches = Switches(destroys=False)
    if how == "rm":
        shutil.rmtree(session)
    else:
        assert tell(session, "destroy").returncode == 0
    assert not is_listed(rig, session)
    wait_until(session.exists, "the session to come back")
    status = rig.status(session)
    assert "still has it" in status["last_error"]
    assert (status["own"], status["kept"], status["expires"] is None) == (True, False, False)
    assert [len(result.read_bytes()) for result in rig.results(session)] == [10]
    rig.sim.switches = Switches()
    shutil.rmtree(session)
    wait_until(lambda: not exists(rig, session_id), "the session to go")


@pytest.mark.parametrize("how", ["rm", "control"])
def test_what_the_server_did_not_destroy_is_destroyed_by_the_next_mount(rigs: Rigs, how: str) -> None:
    rig = rigs(file_size_bytes=10)
    session = rig.exported("stays").parent.resolve()
    session_id = rig.session_id(session)
    rig.sim.switches = Switches(destroys=False)
    if how == "rm":
        shutil.rmtree(session)
        wait_until(lambda: rig.sim.calls.count("DestroySession"), "the destroy")
    else:
        assert tell(session, "destroy").returncode == 0
    assert rig.stop() == 0
    rig.sim.switches = Switches()
    rig.start()
    wait_until(lambda: not exists(rig, session_id), "the session to go")
    assert not is_listed(rig, session)


def test_a_destroyed_session_that_answers_that_it_was_removed_stays_away(rigs: Rigs) -> None:
    switches = Switches(destroyed_lingers_s=600, removed_state_s=600)
    rig = rigs(options={"time_factor": "60"}, file_size_bytes=10, switches=switches)
    session = rig.exported("removed").parent.resolve()
    before = rig.sim.calls.count("GetSessionState")
    shutil.rmtree(session)
    wait_until(lambda: rig.sim.calls.count("GetSessionState") > before, "the mount to ask for it")
    rig.stats()
    assert not is_listed(rig, session)


def test_a_destroyed_session_that_lingers_in_listings_does_not_reappear(rigs: Rigs) -> None:
    rig = rigs(file_size_bytes=10, switches=Switches(destroyed_lingers_s=600))
    session = rig.exported("lingers").parent.resolve()
    session_id = rig.session_id(session)
    assert tell(session, "destroy").returncode == 0
    assert session_id in [record.session_id for record in rig.sim.sessions.listed("root", 0, 99)]
    for _ in range(2):
        rig.stats()
        assert not is_listed(rig, session)


@needs("jq")
def test_a_result_can_be_kept_and_released_by_a_script_that_reads_the_status(quick: Rig) -> None:
    session = quick.exported("script").parent
    script = "echo keep > control && jq -r .kept_because status.json && echo release > control && jq .kept status.json"
    done = subprocess.run(["bash", "-c", script], cwd=session, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "told to keep\nfalse\n"

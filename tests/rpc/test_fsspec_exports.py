"""Exports through fsspec: started once, waited for, kept, stopped, removed."""

import datetime as dt
import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import pytest

from axxonfs.core.timers import scaled
from axxonfs.exporting import doubts
from axxonfs.simulator.switches import Switches
from tests.fuse.harness import wait_until
from tests.rpc.file_systems import Site, archive_clip, made_site, pattern_file

FAST = 600.0  # the hour of a result is six seconds, and half an hour is three
# `make reliability` runs the long job sixty times faster only: then it takes two and a half minutes.
JOB_FACTOR = float(os.environ.get("AXXONFS_JOB_FACTOR", FAST))


def clip(**keys: Any) -> dict[str, Any]:
    """Return the spec of a short clip that is in the archive."""
    end = dt.datetime.now(dt.UTC).replace(microsecond=0) - dt.timedelta(minutes=10)
    return {"camera": "1.Front door", "from": end - dt.timedelta(seconds=5), "to": end, "format": "mp4", **keys}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with made_site(tmp_path, export_speed=1e9, time_factor=20.0) as site:
        yield site


# -- starting and waiting ------------------------------------------------------------


def test_a_spec_becomes_a_session_and_its_results_can_be_read(site: Site) -> None:
    fs = site.fs()
    session = fs.start(clip())
    [path] = fs.wait(session)
    assert path.startswith(f"{session}/1.Front_door_")
    assert fs.cat_file(path) == site.truth(fs.info(path))
    status = fs.status(session)
    assert (status["state"], status["own"]) == ("completed", True)
    assert fs.spec(session)["camera"] == "1.Front door"
    assert site.sim.calls.count("StartSession") == 1


def test_a_spec_may_be_a_text_and_what_is_wrong_is_said_in_words(site: Site) -> None:
    fs = site.fs()
    text = json.dumps(clip(), default=dt.datetime.isoformat)
    assert fs.wait(fs.start(text))
    for wrong, says in (
        ('{"camera": }', "line 1, column"),
        ({"camera": "Front dor", "at": "-1m"}, "did you mean"),
        ({"camera": "1.Front door", "at": dt.datetime(2026, 1, 1)}, "offset"),  # noqa: DTZ001 - that is the point
    ):
        with pytest.raises(ValueError, match=says):
            fs.start(wrong)
    assert site.sim.calls.count("StartSession") == 1


def test_many_exports_are_waited_for_at_once_and_a_failure_stands_beside_the_others(site: Site) -> None:
    fs = site.fs()
    good = [fs.start(clip()) for _ in range(3)]
    assert [len(results) for results in fs.wait(good).values()] == [1, 1, 1]
    site.sim.switches = Switches(exports_fail=True)
    bad = fs.start(clip())
    found = fs.wait([*good, bad], on_error="return")
    assert list(found) == [*good, bad]
    assert all(len(found[session]) == 1 for session in good)
    assert isinstance(found[bad], OSError)
    assert fs.wait([*good, bad], on_error="omit").keys() == set(good)
    with pytest.raises(OSError, match="failed"):
        fs.wait(bad)


def test_waiting_for_what_does_not_exist_says_so_as_looking_does(site: Site) -> None:
    fs = site.fs()
    session = fs.start(clip())
    for ask in (fs.ls, fs.wait):
        with pytest.raises(FileNotFoundError, match="there is no session nosuch"):
            ask("nosuch")
    found = fs.wait(["nosuch", session], on_error="return")
    assert isinstance(found["nosuch"], FileNotFoundError)
    assert len(found[session]) == 1


def test_waiting_ends_at_its_timeout_and_the_export_goes_on(tmp_path: Path) -> None:
    with made_site(tmp_path, export_speed=0.01, time_factor=20.0) as site:
        fs = site.fs()
        session = fs.start(clip())
        with pytest.raises(TimeoutError, match="not finished within"):
            fs.wait(session, timeout=0.5)
        assert fs.info(session)["state"] == "running"
        fs.stop(session)
        [path] = fs.wait(session)
        assert fs.cat_file(path) == site.truth(fs.info(path))
        with pytest.raises(ValueError, match="finished already"):
            fs.stop(session)


def test_an_export_whose_reply_is_lost_is_found_and_not_started_again(site: Site) -> None:
    fs = site.fs()
    site.sim.faults.add(method="StartSession", action="lose_reply")
    session = fs.start(clip())
    assert fs.status(session)["own"]
    assert site.sim.calls.count("StartSession") == 1
    assert len(fs.ls("")) == 1


def test_in_doubt_the_same_spec_again_leads_to_the_first_export(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doubts, "LOOK_FOR_S", 0.3)
    monkeypatch.setattr(doubts, "LOOK_EVERY_S", 0.1)
    fs = site.fs()
    fs.ls("")
    spec = clip()
    site.sim.faults.add(method="StartSession", action="lose_reply")
    site.sim.faults.add(method="ListSessions", times=1000)
    with pytest.raises(OSError, match="it is not known whether the export started"):
        fs.start(spec)
    with pytest.raises(OSError, match="not known yet"):
        fs.start(spec)
    site.sim.faults.clear()
    session = fs.start(spec)
    assert fs.wait(session)
    assert site.sim.calls.count("StartSession") == 1
    # What was told once is another export the next time.
    assert fs.start(spec) != session


# -- keeping -----------------------------------------------------------------------------


@pytest.mark.timeout(600)
def test_a_job_that_takes_longer_than_results_are_kept_loses_none(tmp_path: Path) -> None:
    with made_site(tmp_path, time_factor=JOB_FACTOR) as site:
        life_s = scaled(JOB_FACTOR).completed_s
        held = [site.hold(1000) for _ in range(20)]
        others = [site.hold(1000) for _ in range(3)]
        fs = site.fs()
        names = {info["session_id"]: info["name"] for info in fs.ls("")}
        began_s = time.monotonic()
        with fs.keep([names[session_id] for session_id in held]):
            time.sleep(1.5 * life_s)  # the job
            for session_id in held:
                [path] = fs.ls(names[session_id], detail=False)
                assert fs.cat_file(path) == site.truth(fs.info(path))
        assert time.monotonic() - began_s > 1.5 * life_s
        assert all(site.sim.sessions.is_gone(session_id) for session_id in others)
        assert not any(site.sim.sessions.is_gone(session_id) for session_id in held)
        for session_id in held:  # and no longer
            site.sim.sessions.wait_until_gone(session_id, 3 * life_s)


def test_what_is_kept_twice_is_kept_until_both_have_ended(tmp_path: Path) -> None:
    with made_site(tmp_path, time_factor=2 * FAST) as site:
        session_id = site.hold(10)
        fs = site.fs()
        [session] = fs.ls("", detail=False)
        with fs.keep(session):
            with fs.keep([session, session]):
                pass
            time.sleep(4.5)
            assert not site.sim.sessions.is_gone(session_id)
        site.sim.sessions.wait_until_gone(session_id, 15.0)


def test_nothing_is_kept_where_one_is_missing(site: Site) -> None:
    fs = site.fs()
    site.hold(10)
    [session] = fs.ls("", detail=False)
    with pytest.raises(FileNotFoundError), fs.keep([session, "nothing"]):
        raise AssertionError
    assert not fs.status(session)["kept"]


def test_an_own_export_is_kept_alive_while_it_runs(tmp_path: Path) -> None:
    with made_site(tmp_path, export_speed=0.01, time_factor=FAST) as site:
        fs = site.fs()
        session = fs.start(clip())
        time.sleep(5.0)
        assert fs.info(session)["state"] == "running"


# -- removing ----------------------------------------------------------------------------


def test_own_sessions_are_destroyed_and_others_are_not(site: Site) -> None:
    fs = site.fs()
    foreign_id = site.hold(10)
    own = fs.start(clip())
    fs.wait(own)
    [foreign] = [info["name"] for info in fs.ls("", refresh=True) if info["session_id"] == foreign_id]
    with pytest.raises(PermissionError, match="destroy"):
        fs.rm([own, foreign], recursive=True)
    assert fs.exists(own)
    with pytest.raises(OSError, match="recursive=True"):
        fs.rm(own)
    fs.rm(own, recursive=True)
    assert fs.ls("", detail=False) == [foreign]
    assert site.sim.calls.count("DestroySession") == 1


@pytest.mark.expects_warnings("session not destroyed, though the server said so")
def test_a_session_that_the_server_says_it_destroyed_and_did_not_comes_back(tmp_path: Path) -> None:
    with made_site(tmp_path, time_factor=60.0) as site:
        fs = site.fs(destroy="all")
        site.hold(10)
        [session] = fs.ls("", detail=False)
        site.sim.switches = Switches(destroys=False)
        fs.rm(session, recursive=True)
        assert fs.ls("", refresh=True) == []
        wait_until(lambda: fs.ls("", detail=False, refresh=True) == [session], "the session to come back")
        assert "still has it" in fs.status(session)["last_error"]
        fs.close()


def test_a_result_is_hidden_and_a_session_without_results_goes(site: Site) -> None:
    fs = site.fs(destroy="all")
    session_id = site.hold(10, 20)
    [session] = fs.ls("", detail=False)
    first, second = fs.ls(session, detail=False)
    fs.rm(first)
    assert fs.ls(session, detail=False) == [second]
    assert len(site.sim.sessions.record(session_id).results) == 2
    fs.rm_file(second)
    fs.rmdir(session)
    assert fs.ls("") == []
    assert site.sim.sessions.is_gone(session_id)
    fs.close()


def test_all_at_once_is_never_removed(site: Site) -> None:
    site.hold(10)
    with pytest.raises(PermissionError, match="all sessions at once"):
        site.fs(destroy="all").rm("", recursive=True)


def test_own_is_what_this_process_started_whichever_thread_asks(site: Site) -> None:
    session = site.fs().start(clip())
    with futures.ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: site.fs().status(session)["own"]).result()
    assert threading.active_count() < 100


# -- refused logins ----------------------------------------------------------------------


@pytest.mark.parametrize("tries", [5])
def test_a_refused_password_is_tried_once_by_a_process_however_many_ask(site: Site, tries: int) -> None:
    (site.scratch / "wrong").write_text("wrong\n")
    (site.scratch / "wrong").chmod(0o600)
    fs = site.fs()
    other = type(fs)(**{**site.words, "password_file": str(site.scratch / "wrong")})
    for _ in range(tries):
        with pytest.raises(PermissionError, match="wrong"):
            other.ls("")
    assert site.sim.calls.count("AuthenticateEx2") == 1
    other.close()


def test_a_file_of_the_password_that_is_missing_is_said_where_it_is_missing(site: Site) -> None:
    fs = type(site.fs())(**{**site.words, "password_file": "/nowhere/password"})
    with pytest.raises(PermissionError, match="cannot read the password file /nowhere/password"):
        fs.ls("")
    fs.close()


def test_sessions_are_named_with_the_zone_that_is_asked_for(tmp_path: Path) -> None:
    with made_site(tmp_path) as site:
        site.sim.sessions.add(archive_clip(), files=[pattern_file(1)])
        fs = site.fs(timezone="Europe/Berlin")
        assert "+0100_" in fs.ls("", detail=False)[0]
        fs.close()

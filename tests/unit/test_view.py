"""The tree as the mount shows it, against listings as a server sends them."""

import datetime as dt
import gc
import json
import sys
import zoneinfo
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axxonfs.core import entries, names, sessions, tree, view
from axxonfs.core.cameras import Camera
from axxonfs.core.sessions import Facts
from axxonfs.core.texts import Text
from axxonfs.core.timers import Timers
from axxonfs.wire import export_pb2, export_service_pb2
from tests.unit import builders

NOW_S = 1_000_000.0
CAMERAS = (
    Camera(builders.FRONT_DOOR, "1", "Front door", "Server", ()),
    Camera(builders.GATE, "2", "Gate", "Server", ()),
)
TAG = names.tag("hosts/Server/1")
NAME = f"20261122T101500Z_1.Front_door_mp4_{TAG}"
RESULT = "1.Front_door_20261122T101500Z.mp4"


@pytest.fixture
def shown() -> view.View:
    return make_view()


def make_view(**settings: object) -> view.View:
    made = view.View(view.Settings(timers=Timers(), **settings), NOW_S)  # type: ignore[arg-type]
    made.apply_cameras(CAMERAS, NOW_S)
    return made


def listing(shown: view.View) -> set[str]:
    return {name.decode() for name in shown.sessions.entries}


def inside(shown: view.View, name: str = NAME) -> set[str]:
    directory = shown.tree.find(shown.sessions, name.encode())
    return {name.decode() for name in shown.tree.entries(directory)}


def node(shown: view.View, name: str, session: str = NAME) -> tree.Node:
    return shown.tree.find(shown.tree.find(shown.sessions, session.encode()), name.encode())


def text(shown: view.View, name: str, session: str = NAME) -> str:
    content = node(shown, name, session).content
    assert isinstance(content, Text)
    return content.data.decode()


def status(shown: view.View, session: str = NAME) -> dict[str, object]:
    document: dict[str, object] = json.loads(text(shown, "status.json", session))
    return document


def test_the_root_holds_the_four_folders(shown: view.View) -> None:
    assert set(shown.tree.root.entries) == {b"new", b"sessions", b"cameras", b".axxonfs"}


def test_a_read_only_mount_has_no_new_and_no_control() -> None:
    shown = make_view(read_only=True)
    shown.apply_listing([builders.running()], NOW_S)
    assert b"new" not in shown.tree.root.entries
    assert "control" not in inside(shown)


def test_cameras_are_directories_with_a_description(shown: view.View) -> None:
    folder = shown.tree.find(shown.tree.root, b"cameras")
    assert set(folder.entries) == {b"1.Front_door", b"2.Gate"}
    content = folder.entries[b"1.Front_door"].entries[b"camera.json"].content
    assert isinstance(content, Text)
    assert json.loads(content.data)["access_point"] == builders.FRONT_DOOR


def test_cameras_that_share_a_label_get_different_names(shown: view.View) -> None:
    twins = (*CAMERAS, Camera("hosts/Server/DeviceIpint.9/SourceEndpoint.video:0:0", "2", "Gate", "Server", ()))
    assert shown.apply_cameras(twins, NOW_S) == []
    assert set(shown.tree.find(shown.tree.root, b"cameras").entries) == {b"1.Front_door", b"2.Gate", b"2.Gate~2"}
    assert shown.apply_cameras(twins[::-1], NOW_S) == []


def test_a_camera_that_stays_keeps_its_directory(shown: view.View) -> None:
    folder = shown.tree.find(shown.tree.root, b"cameras")
    gate = folder.entries[b"2.Gate"]
    front_door = folder.entries[b"1.Front_door"]
    renamed = (Camera(builders.FRONT_DOOR, "1", "Back door", "Server", ()), CAMERAS[1])
    assert shown.apply_cameras(renamed, NOW_S) == [view.Gone(folder.ino, b"1.Front_door", 0)]
    assert folder.entries[b"2.Gate"] is gate
    assert set(folder.entries) == {b"1.Back_door", b"2.Gate"}
    assert front_door.parent is None


def test_a_running_session_shows_its_texts_and_no_results(shown: view.View) -> None:
    shown.apply_listing([builders.running()], NOW_S)
    assert inside(shown) == {"state", "status.json", "spec.json", "control"}
    assert text(shown, "state") == "running\n"


def test_results_appear_when_the_export_is_done(shown: view.View) -> None:
    shown.apply_listing([builders.running()], NOW_S)
    inside(shown)
    text(shown, "state")
    notices = shown.apply_listing([builders.completed()], NOW_S + 2)
    assert RESULT in inside(shown)
    assert text(shown, "state") == "completed\n"
    assert view.Changed(node(shown, "state").ino) in notices
    assert node(shown, "state").mtime_ns == (NOW_S + 2) * 1e9


def test_a_result_has_its_exact_size_and_the_end_of_the_clip_as_its_time(shown: view.View) -> None:
    shown.apply_listing([builders.completed()], NOW_S)
    result = node(shown, RESULT)
    assert result.content.size == 1000
    assert result.mtime_ns == int((builders.START + dt.timedelta(minutes=5)).timestamp()) * 10**9


def test_a_result_without_times_is_dated_by_the_request_or_the_epoch(shown: view.View) -> None:
    file = builders.File(path="x", size=1)
    shown.apply_listing(
        [builders.completed("1", file), builders.completed("2", file, options=builders.live_clip())], NOW_S
    )
    times = [
        child.mtime_ns
        for entry in shown.entries.values()
        for child in shown.visible_results(entry)
    ]  # fmt: skip
    assert times == [int((builders.START + dt.timedelta(minutes=5)).timestamp()) * 10**9, 0]


def test_results_that_cannot_be_downloaded_stand_in_the_status_only(shown: view.View) -> None:
    options = builders.archive_clip()
    options.store_result_by_export_agent = True
    shown.apply_listing([builders.completed(options=options)], NOW_S)
    assert inside(shown) == {"state", "status.json", "spec.json", "control"}
    said = json.loads(text(shown, "status.json"))["files"][0]
    assert said["downloadable"] is False
    assert "agent" in said["why_not"]


def test_the_results_of_a_failed_session_are_listed_as_they_are(shown: view.View) -> None:
    shown.apply_listing([builders.completed(succeeded=False)], NOW_S)
    assert RESULT in inside(shown)
    assert text(shown, "state") == "failed\n"


def test_nothing_that_the_server_sends_can_make_two_names_collide(shown: view.View) -> None:
    files = [builders.file(path) for path in ("a", "b", "../a", "state")]
    shown.apply_listing([builders.completed("hosts/Server/1", *files)], NOW_S)
    results = shown.visible_results(shown.entries["hosts/Server/1"])
    assert len({result.name for result in results}) == 4
    paths = {result.content.file.path for result in results if isinstance(result.content, view.Result)}
    assert paths == {"a", "b", "../a", "state"}


def test_two_cameras_show_in_the_name_of_the_session(shown: view.View) -> None:
    shown.apply_listing([builders.running(options=builders.archive_clip(builders.FRONT_DOOR, builders.GATE))], NOW_S)
    assert listing(shown) == {f"20261122T101500Z_1.Front_door_and1_mp4_{TAG}"}


def test_live_exports_are_called_live(shown: view.View) -> None:
    shown.apply_listing([builders.running(options=builders.live_clip())], NOW_S)
    assert listing(shown) == {f"live_1.Front_door_mkv_{TAG}"}


def test_a_zone_makes_names_local() -> None:
    shown = make_view(zone=zoneinfo.ZoneInfo("Europe/Athens"))
    shown.apply_listing([builders.completed()], NOW_S)
    local = NAME.replace("20261122T101500Z", "20261122T121500+0200")
    assert RESULT.replace("20261122T101500Z", "20261122T121500+0200") in inside(shown, local)


def test_a_name_stays_when_the_camera_is_renamed(shown: view.View) -> None:
    shown.apply_listing([builders.completed()], NOW_S)
    before = inside(shown)
    shown.apply_cameras([Camera(builders.FRONT_DOOR, "1", "Back door", "Server", ())], NOW_S)
    shown.apply_listing([builders.completed()], NOW_S)
    assert (listing(shown), inside(shown)) == ({NAME}, before)


def test_an_unknown_camera_is_called_by_its_device(shown: view.View) -> None:
    options = builders.archive_clip("hosts/Server/DeviceIpint.77/SourceEndpoint.video:0:0")
    shown.apply_listing([builders.running(options=options)], NOW_S)
    assert listing(shown) == {f"20261122T101500Z_DeviceIpint.77_mp4_{TAG}"}


def test_options_of_a_newer_server_do_no_harm(shown: view.View) -> None:
    shown.apply_listing([builders.running(options=export_pb2.Options(max_file_size=1))], NOW_S)
    assert listing(shown) == {f"undated_unknown_mkv_{TAG}"}
    assert status(shown, f"undated_unknown_mkv_{TAG}")["kind"] == "unknown"


def test_an_unchanged_listing_changes_nothing(shown: view.View) -> None:
    shown.apply_listing([builders.completed()], NOW_S)
    inside(shown)
    before = [(child.ino, child.mtime_ns) for child in shown.tree.walk(shown.tree.root)]
    assert shown.apply_listing([builders.completed()], NOW_S + 5) == []
    assert [(child.ino, child.mtime_ns) for child in shown.tree.walk(shown.tree.root)] == before


def test_a_session_leaves_after_two_complete_listings_without_it(shown: view.View) -> None:
    shown.apply_listing([builders.completed()], NOW_S)
    assert shown.apply_listing([], NOW_S + 1) == []
    assert listing(shown) == {NAME}
    assert shown.apply_listing([], NOW_S + 2) == [view.Gone(shown.sessions.ino, NAME.encode(), 0)]
    assert listing(shown) == set()


def test_whoever_polls_a_text_of_a_session_that_goes_is_told(shown: view.View) -> None:
    shown.apply_listing([builders.completed()], NOW_S)
    inside(shown)
    state = node(shown, "state")
    shown.tree.remember(state)
    assert view.Changed(state.ino) in shown.destroyed("hosts/Server/1", NOW_S, accepted=True)


def test_whoever_polls_the_description_of_a_camera_that_goes_is_told(shown: view.View) -> None:
    folder = shown.tree.find(shown.tree.root, b"cameras")
    description = folder.entries[b"1.Front_door"].entries[b"camera.json"]
    shown.tree.remember(description)
    assert view.Changed(description.ino) in shown.apply_cameras(CAMERAS[1:], NOW_S)


def test_an_own_export_that_was_away_for_a_moment_runs_on(shown: view.View) -> None:
    shown.add_started(builders.running(), Facts(own=True), NOW_S)
    shown.gone("hosts/Server/1", NOW_S, "not found")
    assert text(shown, "state") == "removed\n"
    shown.apply_listing([builders.running()], NOW_S)
    assert text(shown, "state") == "running\n"
    assert (status(shown)["kept"], status(shown)["last_error"]) == (True, None)


def test_results_of_an_export_that_still_runs_are_not_shown(shown: view.View) -> None:
    info = builders.completed()
    info.state.state = export_service_pb2.S_RUNNING
    shown.apply_listing([info], NOW_S)
    assert RESULT not in inside(shown)
    shown.apply_listing([builders.completed()], NOW_S)
    assert RESULT in inside(shown)


TEXTS = st.text(max_size=30) | st.sampled_from(["00010101T000000", "99991231T235959.999999", "20261122T101500"])


@given(TEXTS, TEXTS, TEXTS, TEXTS, st.integers(0, 5), st.integers(0, 2**63 - 1))
def test_whatever_the_server_sends_can_be_shown(
    session_id: str, origin: str, start: str, end: str, state: int, size: int
) -> None:
    options = builders.archive_clip(origin)
    options.archive.start_timestamp, options.archive.end_timestamp = start, end
    file = builders.File(path=origin, size=size, min_timestamp=start, max_timestamp=end, mime_type=end)
    info = builders.completed(session_id, file, options=options)
    info.state.state = state  # type: ignore[assignment]
    for zone in (None, zoneinfo.ZoneInfo("America/New_York"), zoneinfo.ZoneInfo("Pacific/Auckland")):
        shown = make_view(zone=zone)
        shown.apply_listing([info], NOW_S)
        for entry in shown.entries.values():
            for child in shown.tree.entries(entry.node).values():
                assert child.content.size >= 0
                assert len(child.name) <= 255


def test_a_session_that_is_back_in_the_next_listing_stays(shown: view.View) -> None:
    for found in ([builders.completed()], [], [builders.completed()], []):
        shown.apply_listing(found, NOW_S)
    assert listing(shown) == {NAME}


def test_a_session_just_started_is_not_dropped_because_listings_lag(shown: view.View) -> None:
    shown.add_started(builders.running(), Facts(own=True, label="door"), NOW_S)
    for _ in range(5):
        shown.apply_listing([], NOW_S)
    assert listing(shown) == {NAME}
    assert status(shown)["own"] is True


def test_an_own_session_that_went_unread_stays_as_a_removed_one(shown: view.View) -> None:
    shown.add_started(builders.running(), Facts(own=True, label="door"), NOW_S)
    shown.apply_listing([builders.completed()], NOW_S)
    inside(shown)
    for _ in range(2):
        shown.apply_listing([], NOW_S)
    assert text(shown, "state") == "removed\n"
    assert RESULT not in inside(shown)
    assert "before it was read whole" in str(status(shown)["last_error"])


def test_a_removed_session_goes_after_its_time(shown: view.View) -> None:
    shown.add_started(builders.running(), Facts(own=True), NOW_S)
    shown.gone("hosts/Server/1", NOW_S, "not found")
    shown.apply_listing([], NOW_S + Timers().tombstone_s - 1)
    assert listing(shown) == {NAME}
    shown.apply_listing([], NOW_S + Timers().tombstone_s)
    assert listing(shown) == set()


def test_an_own_session_that_was_read_whole_just_goes(shown: view.View) -> None:
    shown.add_started(builders.completed(), Facts(own=True, read_whole={"id-1"}), NOW_S)
    shown.gone("hosts/Server/1", NOW_S, "not found")
    assert listing(shown) == set()


def test_a_destroyed_session_does_not_come_back_while_it_lingers(shown: view.View) -> None:
    shown.apply_listing([builders.completed()], NOW_S)
    shown.destroyed("hosts/Server/1", NOW_S, accepted=True)
    assert listing(shown) == set()
    shown.apply_listing([builders.completed()], NOW_S)
    assert listing(shown) == set()


LATER_S = NOW_S + Timers().lingers_s


def destroy_one(shown: view.View, *, accepted: bool = True) -> view.Entry:
    """Have the one session destroyed, as the mount does: it is taken away, and the server answers."""
    shown.apply_listing([builders.completed()], NOW_S)
    entry = shown.entries["hosts/Server/1"]
    shown.destroyed("hosts/Server/1", NOW_S, accepted=False)
    if accepted:
        shown.destroyed("hosts/Server/1", NOW_S, accepted=True)
    return entry


def test_a_destroyed_session_is_asked_for_when_it_was_listed_for_long_and_then_again(shown: view.View) -> None:
    entry = destroy_one(shown)
    shown.destroyed("never shown", NOW_S, accepted=True)
    shown.apply_listing([builders.completed()], LATER_S - 0.1)
    # However late it is: what counts is when a listing still had it.
    assert shown.questionable(LATER_S + 1000) is None
    shown.apply_listing([builders.completed()], LATER_S)
    asked = shown.questionable(LATER_S)
    assert asked is not None
    assert asked.entry is entry
    assert shown.lingers(asked)
    assert shown.questionable(LATER_S + 1000) is None
    shown.apply_listing([builders.completed()], LATER_S + Timers().lingers_s)
    assert shown.questionable(LATER_S + Timers().lingers_s) is asked


def test_a_session_is_not_asked_for_that_the_server_was_not_heard_of(shown: view.View) -> None:
    destroy_one(shown, accepted=False)
    shown.apply_listing([builders.completed()], LATER_S)
    assert shown.questionable(LATER_S) is None


def test_an_answer_is_of_no_use_once_something_newer_was_heard(shown: view.View) -> None:
    destroy_one(shown)
    shown.apply_listing([builders.completed()], LATER_S)
    asked = shown.questionable(LATER_S)
    assert asked is not None
    shown.destroyed("hosts/Server/1", LATER_S, accepted=True)
    assert not shown.lingers(asked)
    shown.apply_listing([builders.completed()], LATER_S + Timers().lingers_s)
    asked = shown.questionable(LATER_S + Timers().lingers_s)
    assert asked is not None
    shown.apply_listing([], LATER_S + Timers().lingers_s)
    assert not shown.lingers(asked)


def test_of_many_sessions_each_has_its_turn(shown: view.View) -> None:
    infos = [builders.completed(f"hosts/Server/{number}") for number in range(3)]
    shown.apply_listing(infos, NOW_S)
    for info in infos:
        shown.destroyed(info.session.id, NOW_S, accepted=True)
    asked = []
    for round_ in range(1, 3):
        now_s = NOW_S + round_ * Timers().lingers_s
        shown.apply_listing(infos, now_s)
        asked += [shown.questionable(now_s + number) for number in range(2)]
    assert {one.entry.session.id for one in asked if one and one.entry} == {info.session.id for info in infos}


def test_an_id_that_was_destroyed_may_be_used_again_later(shown: view.View) -> None:
    shown.destroyed("hosts/Server/1", NOW_S, accepted=True)
    for found in ([], [], [builders.completed()]):
        shown.apply_listing(found, NOW_S)
    assert listing(shown) == {NAME}


def test_a_session_that_was_not_destroyed_comes_back_with_all_its_results(shown: view.View) -> None:
    shown.apply_listing([builders.completed()], NOW_S)
    entry = shown.entries["hosts/Server/1"]
    shown.hide(node(shown, RESULT), NOW_S)
    assert RESULT not in inside(shown)
    shown.destroyed(entry.session.id, NOW_S, accepted=True)
    shown.apply_listing([builders.completed()], NOW_S)
    assert listing(shown) == set()
    notices = shown.put_back(entry, "not destroyed: no right", NOW_S)
    assert any(isinstance(notice, view.Appeared) for notice in notices)
    assert RESULT in inside(shown)
    assert status(shown)["last_error"] == "not destroyed: no right"


def clear(shown: view.View, entry: view.Entry, *but: str) -> None:
    """Remove what a session's directory shows, as `rm` of it would."""
    for name, child in list(shown.tree.entries(entry.node).items()):
        if name.decode() in but:
            continue
        if isinstance(child.content, view.Result):
            shown.hide(child, NOW_S)
        else:
            entry.unlinked.add(name)


def test_a_running_session_is_cleared_once_all_its_texts_were_removed(shown: view.View) -> None:
    shown.apply_listing([builders.running()], NOW_S)
    [entry] = shown.entries.values()
    assert not shown.is_cleared(entry)
    clear(shown, entry, "control")
    assert not shown.is_cleared(entry)
    clear(shown, entry)
    assert shown.is_cleared(entry)
    shown.apply_listing([builders.completed()], NOW_S + 1)
    assert not shown.is_cleared(entry)


def test_a_finished_session_is_cleared_once_its_results_were_removed(shown: view.View) -> None:
    shown.apply_listing([builders.completed()], NOW_S)
    [entry] = shown.entries.values()
    clear(shown, entry, RESULT)
    assert not shown.is_cleared(entry)
    shown.hide(node(shown, RESULT), NOW_S)
    assert shown.is_cleared(entry)


def test_a_session_without_results_is_not_cleared_by_having_none(shown: view.View) -> None:
    kept = builders.archive_clip()
    kept.store_result_by_export_agent = True
    state = export_service_pb2.State(state=export_service_pb2.S_COMPLETED)
    failed = builders.SessionInfo(session=export_service_pb2.Session(id="2", options=kept), state=state)
    shown.apply_listing([builders.completed("1", options=kept), failed], NOW_S)
    assert [shown.is_cleared(entry) for entry in shown.entries.values()] == [False, False]


def test_a_session_that_the_server_has_no_more_is_cleared(shown: view.View) -> None:
    shown.add_started(builders.running(), Facts(own=True), NOW_S)
    [entry] = shown.entries.values()
    shown.gone(entry.session.id, NOW_S, "there is no such session")
    assert shown.is_cleared(entry)


def test_a_hidden_result_stays_hidden(shown: view.View) -> None:
    shown.apply_listing([builders.completed()], NOW_S)
    shown.hide(node(shown, RESULT), NOW_S)
    more = builders.completed("hosts/Server/1", builders.file(), builders.file("id-2"))
    shown.apply_listing([more], NOW_S)
    assert len(shown.visible_results(shown.entries["hosts/Server/1"])) == 1


def test_sessions_of_an_earlier_run_are_own_again(shown: view.View) -> None:
    shown.known = {
        "hosts/Server/1": Facts(own=True, label="door"),
        "lost": Facts(own=True, sent=builders.archive_clip()),
    }
    shown.apply_listing([builders.completed()], NOW_S)
    assert status(shown)["label"] == "door"
    shown.bury(NOW_S)
    lost = NAME.replace(TAG, names.tag("lost"))
    assert text(shown, "state", lost) == "removed\n"


def test_a_stale_picture_says_since_when(shown: view.View) -> None:
    shown.apply_listing([builders.completed()], NOW_S)
    assert status(shown)["stale_since"] is None
    notices = shown.set_stale(NOW_S, NOW_S + 9, "nothing listens there")
    assert status(shown)["stale_because"] == "nothing listens there"
    assert notices == [view.Changed(node(shown, "status.json").ino)]
    assert status(shown)["stale_since"] == "1970-01-12T13:46:40Z"
    shown.set_stale(None, NOW_S + 10)
    assert status(shown)["stale_since"] is None


def test_the_control_file_lists_what_is_valid_now(shown: view.View) -> None:
    shown.apply_listing([builders.running()], NOW_S)
    content = node(shown, "control").content
    assert isinstance(content, view.Control)
    assert content.text.data.split() == [b"stop", b"destroy", b"keep", b"keep", b"24h", b"release"]
    shown.apply_listing([builders.completed()], NOW_S)
    assert b"stop" not in content.text.data


def test_extended_attributes_tell_where_a_result_comes_from(shown: view.View) -> None:
    shown.apply_listing([builders.completed()], NOW_S)
    entry = shown.entries["hosts/Server/1"]
    assert shown.entry_of(entry.node) is entry
    assert entries.xattrs(entry, entry.session.files[0], Timers()) == {
        b"user.mime_type": b"video/mp4",
        b"user.axxonfs.session_id": b"hosts/Server/1",
        b"user.axxonfs.path": b"id-1",
        b"user.axxonfs.state": b"completed",
        b"user.axxonfs.min_timestamp": b"2026-11-22T10:15:00Z",
        b"user.axxonfs.max_timestamp": b"2026-11-22T10:20:00Z",
        b"user.axxonfs.expires_at": b"1970-01-12T14:46:40Z",
    }


def test_a_password_in_the_options_is_in_no_text(shown: view.View) -> None:
    options = builders.archive_clip()
    options.stream.settings.add(password="hunter2")
    shown.apply_listing([builders.completed(options=options)], NOW_S)
    assert "hunter2" not in text(shown, "status.json") + text(shown, "spec.json")


LISTINGS = st.lists(st.dictionaries(st.sampled_from("abc"), st.booleans(), max_size=3), max_size=12)


@given(LISTINGS)
def test_after_any_listings_the_tree_is_what_the_rules_say(listings: list[dict[str, bool]]) -> None:
    shown = make_view()
    absent: dict[str, int] = {}
    done: dict[str, bool] = {}
    for found in listings:
        shown.apply_listing(
            [builders.completed(key) if finished else builders.running(key) for key, finished in found.items()], NOW_S
        )
        done |= {key: finished or done.get(key, False) for key, finished in found.items()}
        absent = {key: 0 if key in found else count + 1 for key, count in {**dict.fromkeys(found, 0), **absent}.items()}
        absent = {key: count for key, count in absent.items() if count < 2}
        done = {key: done[key] for key in absent}
        assert shown.entries.keys() == absent.keys()
        assert len(shown.sessions.entries) == len(absent)
        for key, entry in shown.entries.items():
            expected = sessions.State.COMPLETED if done[key] else sessions.State.RUNNING
            assert entry.session.state is expected
            assert len(shown.visible_results(entry)) == done[key]


def test_a_listing_that_is_older_than_an_answer_takes_no_result_away(shown: view.View) -> None:
    shown.apply_listing([builders.completed()], NOW_S)
    shown.apply_listing([builders.running()], NOW_S)
    assert text(shown, "state") == "completed\n"
    assert RESULT in inside(shown)


def test_an_unknown_state_number_is_shown_and_harmless(shown: view.View) -> None:
    info = builders.running()
    info.state.state = 99  # type: ignore[assignment]
    shown.apply_listing([info], NOW_S)
    assert text(shown, "state") == "unknown\n"
    assert status(shown)["server_state"] == 99


def test_an_answer_about_a_session_that_is_not_shown_is_ignored(shown: view.View) -> None:
    assert shown.apply_state("nobody", export_service_pb2.State(), NOW_S) == []
    assert shown.gone("nobody", NOW_S, "") == []


def test_a_text_about_the_mount_has_the_time_of_its_last_change_and_wakes_who_follows_it(shown: view.View) -> None:
    words = [b"one"]
    stats = shown.add_text("stats.json", lambda: words[0])
    assert stats.content.size == 3
    assert shown.refresh_text(stats, NOW_S + 5) == []
    words[0] = b"three"
    assert shown.refresh_text(stats, NOW_S + 7) == [view.Changed(stats.ino)]
    assert stats.content.size == 5
    assert stats.mtime_ns == int((NOW_S + 7) * 1e9)


def calls_of(work: Callable[[], object]) -> int:
    """Count the calls of Python functions that some work makes: unlike time, the same on every machine."""
    count = 0

    def note(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event == "call"

    gc.disable()  # others have functions called at its collections
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
        gc.enable()
    return count


def many(sessions_: int, *changed: int) -> list[export_service_pb2.ListSessionsResponse.SessionInfo]:
    """A listing of so many sessions, in which the results of some have another size."""
    return [
        builders.completed(f"hosts/Server/{number}", builders.file(size=1000 + (number in changed)))
        for number in range(sessions_)
    ]


def cost_of_changes(count: int, *changed: int) -> tuple[int, int]:
    """Return what an unchanged listing costs, and what changes in it cost besides; all texts have been looked at."""
    shown = make_view()
    shown.apply_listing(many(count), NOW_S)
    for entry in shown.entries.values():
        shown.tree.entries(entry.node)
    same, other = many(count), many(count, *changed)
    unchanged = calls_of(lambda: shown.apply_listing(same, NOW_S + 1))
    return unchanged, calls_of(lambda: shown.apply_listing(other, NOW_S + 2)) - unchanged


def test_a_change_costs_in_proportion_to_itself_and_not_to_the_number_of_sessions() -> None:
    (few, one_of_few), (many_, one_of_many) = cost_of_changes(20, 7), cost_of_changes(2000, 7)
    assert one_of_many == one_of_few > 0
    # A session that did not change costs one comparison.
    assert (many_ - few) / 1980 <= 1
    _, five = cost_of_changes(2000, 7, 70, 700, 900, 1900)
    assert five == 5 * one_of_many

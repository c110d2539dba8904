"""Export sessions of the simulator, over TLS: life, timers, listings, refusals, restarts."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from axxonfs.simulator.server import Simulator
from axxonfs.simulator.switches import Switches
from axxonfs.wire import export_pb2
from axxonfs.wire.authentication_pb2 import RenewSessionRequest
from axxonfs.wire.export_service_pb2 import EState
from tests.rpc.simulated import TIMEOUT_S, Client, clip, finish, frame, live_clip, refusal, simulated

Served = tuple[Simulator, Client]
Status = grpc.StatusCode
NO_SESSION = (Status.NOT_FOUND, "There is no session with provided ID")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A simulator whose results are patterns, so that nothing has to be drawn."""
    with simulated(tmp_path, file_size_bytes=100_000) as pair:
        yield pair


def test_an_export_runs_completes_and_goes(served: Served) -> None:
    simulator, client = served
    assert client.listing() == []
    session_id, state = finish(simulator, client, clip())
    assert len(session_id) == 49
    assert state.state == EState.S_COMPLETED
    assert state.result.succeeded
    [file] = state.result.files
    assert (file.size, file.mime_type) == (100_000, "video/x-matroska")
    assert client.read(session_id, file.path) == simulator.sessions.result_bytes(session_id, file.path)
    client.destroy(session_id)
    assert client.listing() == []
    for attempt in (client.state, client.stop, client.destroy):
        assert refusal(attempt, session_id) == NO_SESSION


def test_a_running_export_shows_no_result_and_how_far_it_is(tmp_path: Path) -> None:
    with simulated(tmp_path, export_speed=20, file_size_bytes=1) as (simulator, client):
        session_id = client.start(clip(seconds=600))
        first = client.state(session_id)
        assert first.state == EState.S_RUNNING
        assert not first.HasField("result")
        with simulator.sessions.changed:
            before = simulator.sessions.record(session_id).last_frame_ms
            assert simulator.sessions.changed.wait_for(
                lambda: simulator.sessions.record(session_id).last_frame_ms != before, TIMEOUT_S
            )
        assert client.state(session_id).last_frame_timestamp > first.last_frame_timestamp


def test_stop_answers_with_the_finished_result(served: Served) -> None:
    _, client = served
    stopped = client.stop(client.start(live_clip()))
    assert stopped.state == EState.S_COMPLETED
    assert stopped.last_frame_timestamp
    assert stopped.result.succeeded
    assert len(stopped.result.files) == 1


def test_stop_of_a_completed_session_is_no_error_unless_a_switch_makes_it_one(served: Served) -> None:
    simulator, client = served
    session_id, state = finish(simulator, client, clip())
    assert client.stop(session_id) == state
    simulator.switches = Switches(stop_completed="FAILED_PRECONDITION")
    assert refusal(client.stop, session_id)[0] is Status.FAILED_PRECONDITION


def test_destroy_ends_a_running_export(served: Served) -> None:
    _, client = served
    session_id = client.start(live_clip())
    client.destroy(session_id)
    assert refusal(client.state, session_id) == NO_SESSION


@pytest.mark.parametrize("session_id", ["", "nonsense", "hosts/Server/00000000-0000-0000-0000-000000000000"])
def test_an_unknown_session_is_not_found_in_the_words_of_the_real_server(served: Served, session_id: str) -> None:
    client = served[1]
    calls: list[Callable[[str], Any]] = [
        client.state,
        client.stop,
        client.destroy,
        lambda name: client.read(name, ""),
    ]
    assert [refusal(call, session_id) for call in calls] == [NO_SESSION] * 4


def test_options_come_back_in_the_list(served: Served) -> None:
    options = clip((1, 2))
    options.settings.add(file_name="axxonfs-marker")
    session_id = served[1].start(options)
    [message] = served[1].listing()
    assert [(info.session.id, info.session.options) for info in message.sessions] == [(session_id, options)]


@pytest.mark.parametrize("token_alone", [False, True])
def test_a_long_list_comes_in_pages_and_messages(tmp_path: Path, token_alone: bool) -> None:  # noqa: FBT001  a table of cases
    with simulated(tmp_path, sessions=1000, switches=Switches(token_alone=token_alone)) as (simulator, client):
        seen: list[str] = []
        token = ""
        for page in range(4):
            messages = client.listing(300, token)
            seen += [info.session.id for message in messages for info in message.sessions]
            assert not any(message.next_page_token for message in messages[:-1])
            token = messages[-1].next_page_token
            assert bool(token) is (page < 3)
        assert seen == [record.session_id for record in simulator.sessions.records()]
        assert len(set(seen)) == 1000


def test_a_session_that_goes_between_two_pages_hides_no_other(tmp_path: Path) -> None:
    with simulated(tmp_path, sessions=10) as (simulator, client):
        ids = [record.session_id for record in simulator.sessions.records()]
        [first] = client.listing(4)
        client.destroy(ids[3])
        client.destroy(ids[0])
        [second] = client.listing(100, first.next_page_token)
        assert [info.session.id for info in second.sessions] == ids[4:]


def test_a_page_has_a_default_size(tmp_path: Path) -> None:
    with simulated(tmp_path, sessions=150) as (simulator, client):
        assert len(client.listed()) == 100
        simulator.switches = Switches(default_page_size=7)
        assert len(client.listed()) == 7


def test_results_expire_and_use_keeps_them(tmp_path: Path) -> None:
    # An hour is 0.9 s.
    with simulated(tmp_path, file_size_bytes=10, time_factor=4000) as (simulator, client):
        session_id, _ = finish(simulator, client, clip())
        simulator.sessions.wait_until_gone(session_id, TIMEOUT_S)
        assert refusal(client.state, session_id) == NO_SESSION


def test_a_live_clip_that_nobody_asks_for_is_stopped(tmp_path: Path) -> None:
    # Five minutes are half a second.
    with simulated(tmp_path, file_size_bytes=10, time_factor=600) as (simulator, client):
        session_id = client.start(live_clip())
        assert simulator.sessions.wait_for_state(session_id, EState.S_COMPLETED, TIMEOUT_S).succeeded


def test_an_account_without_the_right_may_look_but_not_export(tmp_path: Path) -> None:
    with simulated(tmp_path, users_without_export=frozenset({"guest"})) as (_, client):
        client.log_in("guest")
        assert client.listing() == []
        assert refusal(client.start, clip())[0] is Status.PERMISSION_DENIED
        client.log_in("root")
        assert client.start(clip())


def test_everybodys_sessions_are_listed_unless_a_switch_says_otherwise(served: Served) -> None:
    simulator, client = served
    own = client.start(live_clip())
    other = simulator.sessions.add(user="somebody")
    assert set(client.listed()) == {own, other}
    simulator.switches = Switches(sessions_of_all=False)
    assert set(client.listed()) == {own}
    assert refusal(client.state, other) == NO_SESSION


@pytest.mark.parametrize(
    ("switches", "status"),
    [
        (Switches(no_agent="UNAVAILABLE"), Status.UNAVAILABLE),
        (Switches(no_agent="NOT_FOUND"), Status.NOT_FOUND),
        (Switches(no_agent="INTERNAL"), Status.INTERNAL),
        (Switches(node_offline=True), Status.UNAVAILABLE),
    ],
)
def test_without_agent_or_node_nothing_is_started(served: Served, switches: Switches, status: Status) -> None:
    served[0].switches = switches
    assert refusal(served[1].start, clip())[0] is status


def test_wrong_options_are_refused_over_the_wire(served: Served) -> None:
    status, words = refusal(served[1].start, export_pb2.Options())
    assert (status, words) == (Status.INVALID_ARGUMENT, "Export mode is not set.")


def test_completed_is_not_succeeded(served: Served) -> None:
    simulator, client = served
    simulator.switches = Switches(exports_fail=True)
    _, state = finish(simulator, client, clip())
    assert (state.state, state.result.succeeded, len(state.result.files)) == (EState.S_COMPLETED, False, 0)


def test_destroyed_sessions_may_linger_or_be_removed(served: Served) -> None:
    simulator, client = served
    lingering = simulator.sessions.add()
    simulator.switches = Switches(destroyed_lingers_s=TIMEOUT_S)
    client.destroy(lingering)
    assert client.listed() == {lingering: EState.S_COMPLETED}
    assert refusal(client.state, lingering) == NO_SESSION
    removed = simulator.sessions.add()
    simulator.switches = Switches(removed_state_s=TIMEOUT_S)
    client.destroy(removed)
    assert client.listed()[removed] == EState.S_REMOVED
    assert client.state(removed).state == EState.S_REMOVED
    assert refusal(client.destroy, removed) == NO_SESSION


@pytest.mark.parametrize(
    ("change", "form"),
    [
        ({"store_result_by_export_agent": True}, "/var/lib/axxonsoft/export/evidence.mkv"),
        ({"external_directory": "/mnt/nas"}, "/mnt/nas/evidence.mkv"),
        ({"cloud_export": True}, ""),
    ],
)
def test_results_that_are_kept_elsewhere_are_listed_and_not_downloadable(
    served: Served, change: dict[str, Any], form: str
) -> None:
    simulator, client = served
    options = clip()
    options.settings.add(file_name="evidence")
    options.MergeFrom(export_pb2.Options(**change))
    session_id, state = finish(simulator, client, options)
    [file] = state.result.files
    assert form in ("", file.path)
    assert bool(file.cloud_id) is ("cloud_export" in change)
    assert refusal(client.read, session_id, file.path)[0] is Status.FAILED_PRECONDITION


def test_a_restart_on_the_same_port_loses_logins_and_nothing_else(served: Served) -> None:
    simulator, client = served
    session_id, state = finish(simulator, client, clip())
    port = simulator.port
    simulator.stop()
    assert refusal(client.listing)[0] is Status.UNAVAILABLE
    simulator.start()
    assert simulator.port == port
    again = Client(simulator)
    assert again.state(session_id) == state
    again.channel.close()


def test_another_process_on_the_same_directory_goes_on(tmp_path: Path) -> None:
    with simulated(tmp_path, export_speed=1000) as (simulator, client):
        session_id, state = finish(simulator, client, frame())
        running = client.start(live_clip())
        ca = simulator.ca_file.read_bytes()
        content = client.read(session_id, state.result.files[0].path)
    with simulated(tmp_path) as (simulator, client):
        assert simulator.ca_file.read_bytes() == ca
        assert client.state(session_id) == state
        assert client.read(session_id, state.result.files[0].path) == content
        assert client.state(running).state == EState.S_RUNNING
        assert client.stop(running).result.succeeded


def test_sample_sessions_are_made_once(tmp_path: Path) -> None:
    with simulated(tmp_path, sessions=3) as (simulator, client):
        ids = list(client.listed())
        [record] = [record for record in simulator.sessions.records() if record.session_id == ids[1]]
        path = record.results[0].path
        assert client.read(ids[1], path) == simulator.sessions.result_bytes(ids[1], path)
    with simulated(tmp_path, sessions=3) as (_, client):
        assert list(client.listed()) == ids


def test_the_call_log_knows_what_was_asked_and_holds_no_secret(tmp_path: Path) -> None:
    log = tmp_path / "calls.jsonl"
    with simulated(tmp_path / "state", call_log=log) as (simulator, client):
        options = clip()
        options.stream.settings.add(password="pass-of-zip")
        session_id = client.start(options)
        client.state(session_id)
        client.call(client.auth.RenewSession2, RenewSessionRequest())
        refusal(client.state, "unknown")
        assert simulator.calls.count("GetSessionState") == 2
        entries = [(entry.method, entry.status) for entry in simulator.calls.entries()]
        assert entries[-1] == ("GetSessionState", "NOT_FOUND")
        assert ("StartSession", "OK") in entries
        simulator.calls.clear()
        assert simulator.calls.entries() == []
        token = client.token[0][1]
    written = log.read_text()
    assert len(written.splitlines()) == 5
    assert not any(secret in written for secret in ("pass-of-zip", '"secret', "secret\\", token))


def test_switches_can_be_changed_while_it_runs(served: Served) -> None:
    simulator, client = served
    simulator.switches = dataclasses.replace(simulator.switches, session_id="uuid", file_id="slash")
    session_id, state = finish(simulator, client, clip())
    assert len(session_id) == 36
    assert state.result.files[0].path == f"{session_id}/1.mkv"

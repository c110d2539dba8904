"""A journal that cannot be written, as where the disk is full: nothing else is wrong then."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from axxonfs.remote.exports import ExportClient
from axxonfs.simulator.server import Simulator
from axxonfs.wire.export_service_pb2 import EState
from tests.rpc.support import connect
from tests.rpc.unmounted import Unmounted, endless

CLIP = {"camera": "1.Front door", "from": "2026-01-02T10:15:00Z", "to": "2026-01-02T10:15:20Z"}
TIMEOUT_S = 20.0


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[Simulator]:
    with endless(tmp_path) as running:
        yield running


@pytest.fixture
def mount(sim: Simulator, tmp_path: Path) -> Iterator[Unmounted]:
    with (
        contextlib.closing(connect(sim, tmp_path)) as link,
        Unmounted(ExportClient(link), tmp_path / "state") as mount,
    ):
        yield mount


@contextlib.contextmanager
def full(mount: Unmounted) -> Iterator[None]:
    """A disk without room: SQLite refuses to write."""
    database = mount.journal._db
    database.execute("PRAGMA query_only = ON")
    yield
    database.execute("PRAGMA query_only = OFF")


def start(mount: Unmounted) -> str:
    """Start an export, and return the name of its directory."""
    mount.write(json.dumps(CLIP), "new", "door.json")
    (name,) = mount.names("sessions")
    return name


def status_of(mount: Unmounted, name: str) -> dict[str, object]:
    status: dict[str, object] = json.loads(mount.read("sessions", name, "status.json"))
    return status


def end(sim: Simulator, session_id: str) -> None:
    sim.sessions.ask_to_stop(session_id)
    sim.sessions.wait_for_state(session_id, EState.S_COMPLETED, TIMEOUT_S)


@pytest.mark.expects_warnings("journal not written, trying again")
def test_it_is_no_news_of_the_server_and_what_could_not_be_written_is_written_later(
    sim: Simulator, mount: Unmounted, tmp_path: Path
) -> None:
    name = start(mount)
    session_id = str(status_of(mount, name)["id"])
    with full(mount):
        end(sim, session_id)
        mount.refresh()
        mount.refresh()
        assert status_of(mount, name)["finished"] is not None
    assert mount.journal.sessions()[session_id].finished_s is None
    mount.refresh()
    assert mount.journal.sessions()[session_id].finished_s is not None


@pytest.mark.expects_warnings("journal not written, trying again")
def test_a_session_that_went_meanwhile_leaves_the_journal_later(sim: Simulator, mount: Unmounted) -> None:
    name = start(mount)
    with full(mount):
        mount.write("destroy", "sessions", name, "control")
        assert mount.names("sessions") == set()
    assert len(mount.journal.sessions()) == 1
    mount.refresh()
    assert mount.journal.sessions() == {}


@pytest.mark.expects_warnings("session not destroyed")
@pytest.mark.expects_warnings("journal not written, trying again")
def test_a_removal_that_cannot_be_noted_is_taken_back(sim: Simulator, mount: Unmounted) -> None:
    name = start(mount)
    with full(mount):
        for text in mount.names("sessions", name):
            mount.unlink("sessions", name, text)
        mount.rmdir("sessions", name)
        assert str(status_of(mount, name)["last_error"]).startswith("not destroyed: the journal")
    mount.refresh()

    assert sim.sessions.running()


@pytest.mark.expects_warnings("new/ not saved")
def test_new_is_saved_once_there_is_room(mount: Unmounted, tmp_path: Path) -> None:
    with full(mount):
        mount.write("notes", "new", "notes.txt")
        mount.run(mount.save)
    assert mount.journal.files() == []
    mount.write("more", "new", "more.txt")
    mount.run(mount.save)
    assert {file.name for file in mount.journal.files()} == {b"notes.txt", b"more.txt"}

"""Starts whose answers are lost, where other machines ask for the very same at the very same moment."""

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pyfuse3
import pytest

from axxonfs.remote.exports import ExportClient
from axxonfs.simulator.server import Simulator
from tests.rpc.support import connect, make_simulator
from tests.rpc.unmounted import Unmounted

CLIP = {"camera": "1.Front door", "from": "2026-01-02T10:15:00Z", "to": "2026-01-02T10:15:20Z"}
# With a name of its own an export carries no marker.
UNMARKED = {**CLIP, "file_name": "door"}
IN_FLIGHT_S = 5.0


@pytest.fixture
def sim(tmp_path: Path) -> Iterator[Simulator]:
    # The archive reaches back far enough, and no export ends by itself.
    with make_simulator(tmp_path, file_size_bytes=10, export_speed=1e-6, plaintext=True, recorded_s=1e9) as running:
        yield running


@contextlib.contextmanager
def machine(sim: Simulator, directory: Path) -> Iterator[Unmounted]:
    """A mount with a state directory of its own."""
    directory.mkdir()
    with (
        contextlib.closing(connect(sim, directory)) as link,
        Unmounted(ExportClient(link), directory / "state") as mount,
    ):
        yield mount


def submit(mount: Unmounted, document: dict[str, str], outcome: list[int]) -> threading.Thread:
    """Write a spec in a thread; note its errno, 0 for none."""

    def write() -> None:
        try:
            mount.write(json.dumps(document), "new", "door.json")
            outcome.append(0)
        except pyfuse3.FUSEError as error:
            outcome.append(error.errno)

    thread = threading.Thread(target=write)
    thread.start()
    return thread


def own(mount: Unmounted) -> list[str]:
    return [entry.session.id for entry in mount.view.entries.values() if entry.facts.own]


def test_two_machines_that_lose_the_answers_to_the_same_spec_take_over_each_its_own(
    sim: Simulator, tmp_path: Path
) -> None:
    with machine(sim, tmp_path / "a") as one, machine(sim, tmp_path / "b") as other:
        sim.faults.add(method="StartSession", action="lose_reply", times=2)
        outcome = list[int]()
        for thread in [submit(mount, CLIP, outcome) for mount in (one, other)]:
            thread.join(60)
        assert outcome == [0, 0]
        assert sorted(own(one) + own(other)) == sorted(record.session_id for record in sim.sessions.records())
        assert (len(own(one)), len(own(other))) == (1, 1)


def test_of_several_equal_exports_without_a_marker_none_is_taken_over(sim: Simulator, tmp_path: Path) -> None:
    with machine(sim, tmp_path / "a") as mount:
        sim.faults.add(method="StartSession", action="lose_reply")
        slow = sim.faults.add(method="StartSession", action="delay", delay_s=IN_FLIGHT_S)
        outcome = list[int]()
        thread = submit(mount, UNMARKED, outcome)
        assert sim.faults.wait_for_hits(slow, 1, 30)
        with machine(sim, tmp_path / "b") as other:
            other.write(json.dumps(UNMARKED), "new", "door.json")
            thread.join(60)
            assert outcome != [0]
            assert len(sim.sessions.records()) == 2
            assert (own(mount), len(own(other))) == ([], 1)


def test_an_equal_export_that_was_there_before_is_not_taken_over(sim: Simulator, tmp_path: Path) -> None:
    with machine(sim, tmp_path / "b") as other:
        other.write(json.dumps(UNMARKED), "new", "door.json")
        with machine(sim, tmp_path / "a") as mount:
            sim.faults.add(method="StartSession", status="UNAVAILABLE")
            outcome = list[int]()
            submit(mount, UNMARKED, outcome).join(60)
            assert outcome != [0]
            assert "the server lists no such export" in mount.read("new", "door.error").decode()
            assert (own(mount), len(own(other))) == ([], 1)

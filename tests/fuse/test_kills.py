"""A daemon that is killed at every step of a start, and at any moment: nothing starts twice, nothing is forgotten.

Two machines at a time have one server and the same specs under the same names; one
machine is one mount with a state directory of its own. Both are killed and come back.
"""

import contextlib
import dataclasses
import json
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest

from axxonfs.fs import mountpoint
from tests.fuse.harness import CLIP, Rig, wait_until

# Daemons start a hundred times and more: on a busy machine that takes its time.
pytestmark = pytest.mark.timeout(500)

Way = Literal["write", "rename"]
WAYS: tuple[Way, ...] = ("write", "rename")
OPTIONS = {"time_factor": "20"}
# A start takes a few hundredths of a second, of which the server takes some.
SERVER_TAKES_S = 0.05
MOST_S = 0.25
ROUNDS = 10


@dataclasses.dataclass
class Document:
    """A spec that a machine was given, and what its writer was told."""

    name: str
    way: Way
    text: str
    accepted: bool | None = None  # None while nobody was told anything

    def submit(self, rig: Rig) -> None:
        """Write it, or move it into its place, as a program does."""
        final = rig.new / f"{self.name}.json"
        target = final if self.way == "write" else rig.new / f".{self.name}.tmp"
        try:
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            try:
                os.write(descriptor, self.text.encode())
            finally:
                os.close(descriptor)
            if self.way == "rename":
                target.rename(final)
            self.accepted = True
        except OSError:
            self.accepted = False


class Machine:
    """A mount that is killed again and again."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.documents: dict[str, Document] = {}

    def take(self, documents: list[Document]) -> list[threading.Thread]:
        """Begin to submit documents, all at once."""
        self.documents |= {document.name: document for document in documents}
        threads = [threading.Thread(target=document.submit, args=[self.rig]) for document in documents]
        for thread in threads:
            thread.start()
        return threads

    def shown(self) -> dict[str, str]:
        """Return the content of everything that is visible in `new/`, or where it leads."""
        paths = [path for path in self.rig.new.iterdir() if not path.name.startswith(".")]
        return {path.name: str(path.readlink()) if path.is_symlink() else path.read_text() for path in paths}

    def own(self) -> dict[str, list[str]]:
        """Return the ids of the sessions that this mount takes for its own, by the names of their specs."""
        own: dict[str, list[str]] = {}
        for path in self.rig.sessions:
            said = self.rig.status(path)
            if said["own"]:
                assert said["kept"], said
                own.setdefault(said["label"], []).append(said["id"])
        return own

    def die(self) -> None:
        assert self.rig.process is not None
        self.rig.process.send_signal(signal.SIGKILL)
        self.rig.process.wait(60)

    def die_at(self, step: str) -> None:
        """Let the daemon kill itself when it next comes to a step."""
        assert self.rig.process is not None
        self.order.write_text(step)
        self.rig.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: not self.order.exists(), "the daemon to take the order")

    @property
    def order(self) -> Path:
        return self.rig.scratch / "order"

    def settle(self, names: list[str]) -> None:
        """Wait until the mount has said of each document what became of it, if it was taken on at all."""
        shown: dict[str, str] = {}

        def settled() -> bool:
            shown.clear()
            shown.update(self.shown())
            taken = [name for name in names if shown.get(f"{name}.json")]
            return all(f"{name}.session" in shown or f"{name}.error" in shown for name in taken)

        wait_until(settled, "the mount to know what became of its starts")
        for name in names:
            document = self.documents[name]
            # What was accepted is there, be it under a name of its own or as an error that says what to do.
            assert shown.get(f"{name}.json", "") == document.text or not document.accepted, (name, shown)
            started = f"{name}.session" in shown
            assert shown.get(f"{name}.json") == document.text or not started, (name, shown)
            assert started or document.way == "rename" or not document.accepted, (name, shown)


@contextlib.contextmanager
def second_machine(first: Rig) -> Iterator[Rig]:
    """Mount the server of another rig once more, with a state directory of its own."""
    scratch = first.scratch / "second"
    (scratch / "mnt").mkdir(parents=True)
    rig = Rig(first.sim, scratch / "mnt", scratch, {**first.options, "state_dir": str(scratch / "state")})
    try:
        rig.start()
        yield rig
        assert rig.stop() == 0, rig.log.read_text()
    finally:
        if rig.process is not None and rig.process.poll() is None:
            rig.process.kill()
            rig.process.wait(60)
        if mountpoint.find(rig.path) is not None:
            mountpoint.unmount(rig.path, lazy=True)


@pytest.fixture
def machines(rigs: Callable[..., Rig]) -> Iterator[list[Machine]]:
    first = rigs(options=OPTIONS, file_size_bytes=1000)
    with second_machine(first) as second:
        yield [Machine(first), Machine(second)]


def documents(number: int, ways: tuple[Way, ...]) -> list[Document]:
    texts = [json.dumps({**CLIP(), "comment": f"{number}-{place}"}) for place in range(len(ways))]
    return [Document(f"spec{number}-{place}", way, texts[place]) for place, way in enumerate(ways)]


def join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()


def start_all(machines: list[Machine]) -> None:
    threads = [threading.Thread(target=machine.rig.start) for machine in machines]
    for thread in threads:
        thread.start()
    join(threads)


def check_each_has_its_own(machines: list[Machine]) -> None:
    """Check that no session has two owners or none, and that no document started two."""
    own = [machine.own() for machine in machines]
    assert all(len(ids) == 1 for by_name in own for ids in by_name.values()), own
    ids = [session_id for by_name in own for [session_id] in by_name.values()]
    assert sorted(ids) == sorted(record.session_id for record in machines[0].rig.sim.sessions.records())


def check_all_are_started_once_when_written_again(machines: list[Machine]) -> None:
    threads = []
    for machine in machines:
        again = [Document(document.name, "write", document.text) for document in machine.documents.values()]
        threads += machine.take(again)
    join(threads)
    check_each_has_its_own(machines)
    for machine in machines:
        assert all(document.accepted for document in machine.documents.values())
        shown = machine.shown()
        assert {name.removesuffix(".session") for name in shown if name.endswith(".session")} == set(machine.documents)
        assert not [name for name in shown if name.endswith(".error")]
        assert machine.own().keys() == machine.documents.keys()


# Of a start that ends at a step: whether the writer is told of a success, and whether there is a session afterwards.
STEPS: list[tuple[Way, str, bool, bool]] = [
    ("write", "the intent is about to be written", False, False),
    ("write", "the intent is written", False, False),
    ("write", "the server is about to be asked", False, False),
    ("write", "the server has answered", False, True),
    ("write", "the session is about to be written", False, True),
    ("write", "the session is written", False, True),
    ("write", "the writer is about to be answered", False, True),
    ("rename", "the intent is about to be written", False, False),
    ("rename", "the intent is written", False, True),
    ("rename", "the renamer is about to be answered", False, True),
    ("rename", "the intent is written anew", True, False),
    ("rename", "the server is about to be asked", True, False),
    ("rename", "the server has answered", True, True),
    ("rename", "the session is about to be written", True, True),
    ("rename", "the session is written", True, True),
]


def test_a_daemon_that_dies_at_any_step_of_a_start_knows_afterwards_what_became_of_it(machines: list[Machine]) -> None:
    for machine in machines:
        machine.rig.program = ["tests.fuse.dying", str(machine.order)]
        assert machine.rig.stop() == 0
    start_all(machines)
    for number, (way, step, accepted, started) in enumerate(STEPS):
        before = [machine.shown() for machine in machines]
        for machine in machines:
            machine.die_at(step)
        join([thread for machine in machines for thread in machine.take(documents(number, (way,)))])
        for machine in machines:
            assert machine.rig.process is not None
            assert machine.rig.process.wait(60) == -signal.SIGKILL
        start_all(machines)
        for machine, shown in zip(machines, before, strict=True):
            [name] = (document.name for document in documents(number, (way,)))
            machine.settle([name])
            now = machine.shown()
            assert (machine.documents[name].accepted, f"{name}.session" in now) == (accepted, started), step
            assert {name: now.get(name) for name in shown} == shown
        check_each_has_its_own(machines)
    check_all_are_started_once_when_written_again(machines)


@pytest.mark.parametrize("seed", range(5))
def test_a_daemon_that_is_killed_at_any_moment_starts_nothing_twice_and_forgets_nothing(
    machines: list[Machine], seed: int
) -> None:
    """Of 100 deaths a fifth for each seed."""
    chance = random.Random(seed)
    sim = machines[0].rig.sim
    sim.faults.add(method="StartSession", action="delay", delay_s=SERVER_TAKES_S, times=1_000_000)
    done = threading.Event()
    for number in range(ROUNDS):
        texts = documents(number, ("write", "rename", "write", "rename"))
        before = [machine.shown() for machine in machines]
        threads = [
            thread for machine in machines for thread in machine.take([dataclasses.replace(text) for text in texts])
        ]
        for machine in machines:
            done.wait(chance.uniform(0, MOST_S))  # what is waited for is any moment
            machine.die()
        join(threads)
        start_all(machines)
        for machine, shown in zip(machines, before, strict=True):
            machine.settle([text.name for text in texts])
            now = machine.shown()
            assert {name: now.get(name) for name in shown} == shown
    check_each_has_its_own(machines)
    check_all_are_started_once_when_written_again(machines)

"""The tree against a model of it, under random changes at the server and by programs.

All of a mount takes part but the kernel, and a real server over a real connection.
The model is what docs/semantics.md says, in a few lists and sets.
"""

import contextlib
import dataclasses
import datetime as dt
import errno
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyfuse3
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from axxonfs.core import names
from axxonfs.remote.exports import ExportClient
from axxonfs.simulator.server import Simulator
from axxonfs.simulator.switches import Switches
from tests.fuse.harness import pattern_file, plain_options
from tests.rpc.support import connect, make_simulator
from tests.rpc.unmounted import Unmounted

TEXTS = {"state", "status.json", "spec.json", "control"}
LABELS = ("door", "gate")
END = dt.datetime.now(dt.UTC).replace(microsecond=0) - dt.timedelta(minutes=10)
START = END - dt.timedelta(seconds=20)
DOCUMENTS = {
    "clip": json.dumps({"camera": "1.Front door", "from": START.isoformat(), "to": END.isoformat()}),
    "film": json.dumps({"camera": "1.Front door", "from": START.isoformat(), "to": END.isoformat(), "format": "mp4"}),
    "live": json.dumps({"camera": "1", "live": True}),
    "wrong": json.dumps({"camera": "1", "at": "-1h", "live": True}),
}
pick = st.integers(0, 1_000_000)


@dataclasses.dataclass
class Shown:
    """A session as the mount should show it."""

    state: str
    sizes: dict[str, int]  # of results, by path
    label: str | None = None  # of the spec, if it is own
    document: str = ""
    listed: bool = True
    missing: int = 0
    hidden: set[str] = dataclasses.field(default_factory=set)
    read: set[str] = dataclasses.field(default_factory=set)
    unlinked: bool = False  # whether somebody removed the texts

    @property
    def visible(self) -> dict[str, int]:
        finished = self.state in {"completed", "failed"}
        return {path: size for path, size in self.sizes.items() if finished and path not in self.hidden}


class Model(RuleBasedStateMachine):
    """Random histories of a server and a mount of it."""

    sim: Simulator
    client: ExportClient

    def __init__(self) -> None:
        super().__init__()
        self.sim.switches = Switches()
        for record in self.sim.sessions.records():
            self.sim.sessions.destroy(record.session_id)
        self.directory = Path(tempfile.mkdtemp())
        self.stack = contextlib.ExitStack()
        self.mount = self.stack.enter_context(Unmounted(self.client, self.directory))
        self.shown: dict[str, Shown] = {}
        self.lost: dict[str, Shown] = {}  # own ones of an earlier run that the first listing did not have
        self.listings = 1
        self.new: dict[str, str] = {}  # content of the files, and where links lead
        self.names: dict[str, str] = {}  # of the directories, by id
        self.destroyed: dict[str, int] = {}  # by the mount, and how many listings did not have them since
        self.destroyed_own: set[str] = set()

    def teardown(self) -> None:
        try:
            for session_id in self.shown:
                self.look_into(session_id)
        finally:
            self.stack.close()
            shutil.rmtree(self.directory)

    # -- what happens at the server -----------------------------------------------------

    @rule(results=st.integers(0, 2))
    def somebody_has_exported(self, results: int) -> None:
        self.sim.sessions.add(plain_options(), files=[pattern_file(10) for _ in range(results)], succeeded=results > 0)

    @rule()
    def somebody_starts_an_export(self) -> None:
        self.sim.sessions.start(plain_options(), "somebody")

    @precondition(lambda self: any(record.running for record in self.sim.sessions.records()))
    @rule(which=pick, results=st.integers(0, 2))
    def an_export_ends(self, which: int, results: int) -> None:
        running = [record for record in self.sim.sessions.records() if record.running]
        record = running[which % len(running)]
        self.sim.sessions.complete(record, None, tuple(pattern_file(10) for _ in range(results)))

    @precondition(lambda self: self.sim.sessions.records())
    @rule(which=pick)
    def the_server_loses_a_session(self, which: int) -> None:
        records = self.sim.sessions.records()
        self.sim.sessions.destroy(records[which % len(records)].session_id)

    def what_is_destroyed_goes_on_being_listed_or_not(self, linger: bool) -> None:  # noqa: FBT001
        self.sim.switches = Switches(destroyed_lingers_s=1e9 if linger else 0.0)

    def note_destroyed(self, session_id: str) -> None:
        if self.shown.pop(session_id).label is not None:
            self.destroyed_own.add(session_id)
        self.destroyed[session_id] = 0

    # -- what the mount sees of it --------------------------------------------------------

    def take_listing(self) -> None:
        listed = {}
        for record in self.sim.sessions.listed("root", 0, 1_000_000):
            done = "completed" if record.succeeded and record.results else "failed"
            state = "running" if record.running else done
            listed[record.session_id] = (state, {result.path: result.size for result in record.results})
        for session_id, (state, sizes) in listed.items():
            if session_id in self.destroyed:
                continue
            entry = self.shown.setdefault(session_id, self.lost.pop(session_id, Shown(state, sizes)))
            entry.state, entry.sizes, entry.listed, entry.missing = state, sizes, True, 0
        for session_id, entry in list(self.shown.items()):
            if session_id not in listed:
                self.miss(session_id, entry)
        absent = {session_id: 0 if session_id in listed else times + 1 for session_id, times in self.destroyed.items()}
        self.destroyed = {session_id: times for session_id, times in absent.items() if times < 2}

    def miss(self, session_id: str, entry: Shown) -> None:
        if entry.state == "removed" or not entry.listed:
            return
        entry.missing += 1
        if entry.missing < 2:
            return
        unread = entry.state == "running" or entry.sizes.keys() - entry.read
        if entry.label is not None and unread:
            entry.state = "removed"
        else:
            del self.shown[session_id]

    @rule()
    def the_mount_looks(self) -> None:
        self.mount.refresh()
        self.listings += 1
        self.take_listing()
        if self.listings == 2:
            self.shown |= {
                session_id: dataclasses.replace(entry, state="removed") for session_id, entry in self.lost.items()
            }
            self.lost = {}

    @rule(action=st.sampled_from(["status", "cut"]))
    def a_listing_breaks_off(self, action: str) -> None:
        self.sim.faults.add(method="ListSessions", action=action)  # type: ignore[arg-type] # one of two
        with contextlib.suppress(Exception):
            self.mount.refresh()
            pytest.fail("the listing was complete")
        self.sim.faults.clear()

    @initialize()
    def the_mount_comes_up(self) -> None:
        self.take_listing()

    @rule()
    def the_mount_ends_and_comes_up_again(self) -> None:
        self.stack.close()
        own = {session_id: entry for session_id, entry in self.shown.items() if entry.label is not None}
        for entry in (own | self.lost).values():
            entry.hidden, entry.unlinked, entry.missing = set(), False, 0
        # The journal knows those of its own that were not forgotten yet: where they are listed still, they stay away.
        listed = {record.session_id for record in self.sim.sessions.listed("root", 0, 1_000_000)}
        self.destroyed = dict.fromkeys(self.destroyed.keys() & self.destroyed_own & listed, 0)
        self.lost |= own
        self.shown = {}
        self.mount = self.stack.enter_context(Unmounted(self.client, self.directory))
        self.listings = 1
        self.take_listing()

    # -- what programs do -----------------------------------------------------------------

    @contextlib.contextmanager
    def starting(self, label: str, kind: str) -> Iterator[None]:
        """Expect what the submission of a document does to the tree."""
        before = {record.session_id for record in self.sim.sessions.records()}
        again = self.started_already(label, kind)
        yield
        started = [record for record in self.sim.sessions.records() if record.session_id not in before]
        if kind == "wrong":
            assert not started
            self.new[f"{label}.error"] = '"at" asks for recorded video'
            return
        assert len(started) == (0 if again else 1)
        if not again:
            again = started[0].session_id
            self.shown[again] = Shown("running", {}, label, kind, listed=False)
        self.new[f"{label}.session"] = f"../sessions/{self.name_of(again)}"
        self.new.pop(f"{label}.error", None)

    def started_already(self, label: str, kind: str) -> str | None:
        mine = (
            session_id
            for session_id, entry in self.shown.items()
            if (entry.label, entry.document) == (label, kind) and entry.state in {"running", "completed"}
        )
        return next(mine, None) if kind != "live" else None

    @rule(label=st.sampled_from(LABELS), kind=st.sampled_from(sorted(DOCUMENTS)))
    def a_spec_is_written(self, label: str, kind: str) -> None:
        with self.starting(label, kind), contextlib.nullcontext() if kind != "wrong" else refused(errno.EINVAL):
            self.mount.write(DOCUMENTS[kind], "new", f"{label}.json")
        self.new[f"{label}.json"] = DOCUMENTS[kind]

    @rule(label=st.sampled_from(LABELS), kind=st.sampled_from(sorted(DOCUMENTS)))
    def a_spec_is_moved_into_its_place(self, label: str, kind: str) -> None:
        self.mount.write(DOCUMENTS[kind], "new", "scratch")
        with self.starting(label, kind), contextlib.nullcontext() if kind != "wrong" else refused(errno.EINVAL):
            self.mount.rename("new", "scratch", f"{label}.json")
        if kind == "wrong":
            self.mount.unlink("new", "scratch")
        else:
            self.new[f"{label}.json"] = DOCUMENTS[kind]

    @precondition(lambda self: self.new)
    @rule(which=pick)
    def an_entry_of_new_is_removed(self, which: int) -> None:
        name = sorted(self.new)[which % len(self.new)]
        self.mount.unlink("new", name)
        del self.new[name]

    @precondition(lambda self: self.shown)
    @rule(which=pick)
    def somebody_looks_into_a_session(self, which: int) -> None:
        self.look_into(self.chosen(which))

    @rule(name=st.sampled_from(["nothing", "x" * 255, "..."]))
    def somebody_looks_for_what_is_not_there(self, name: str) -> None:
        with refused(errno.ENOENT):
            self.mount.node("sessions", name)

    @precondition(lambda self: any(entry.visible for entry in self.shown.values()))
    @rule(which=pick)
    def a_result_is_read(self, which: int) -> None:
        session_id, path, name = self.chosen_result(which)
        if session_id not in {record.session_id for record in self.sim.sessions.records()}:
            return
        assert self.mount.read("sessions", self.name_of(session_id), name) == self.sim.sessions.result_bytes(
            session_id, path
        )
        self.shown[session_id].read.add(path)

    @precondition(lambda self: any(entry.visible for entry in self.shown.values()))
    @rule(which=pick)
    def a_result_is_removed(self, which: int) -> None:
        session_id, path, name = self.chosen_result(which)
        entry = self.shown[session_id]
        with contextlib.nullcontext() if entry.label is not None else refused(errno.EPERM):
            self.mount.unlink("sessions", self.name_of(session_id), name)
            entry.hidden.add(path)

    @precondition(lambda self: self.shown)
    @rule(which=pick)
    def the_texts_of_a_session_are_removed(self, which: int) -> None:
        session_id = self.chosen(which)
        for text in TEXTS:
            self.mount.unlink("sessions", self.name_of(session_id), text)
        self.shown[session_id].unlinked = True

    @precondition(lambda self: any(entry.label is not None for entry in self.shown.values()))
    @rule(which=pick, linger=st.booleans())
    def an_own_session_is_removed_with_all_that_is_in_it(self, which: int, linger: bool) -> None:  # noqa: FBT001 - drawn
        own = [session_id for session_id, entry in self.shown.items() if entry.label is not None]
        session_id = own[which % len(own)]
        name = self.name_of(session_id)
        self.what_is_destroyed_goes_on_being_listed_or_not(linger)
        for entry in self.mount.names("sessions", name):
            self.mount.unlink("sessions", name, entry)
        self.mount.rmdir("sessions", name)
        self.note_destroyed(session_id)

    @precondition(lambda self: self.shown)
    @rule(which=pick)
    def a_session_is_removed(self, which: int) -> None:
        session_id = self.chosen(which)
        entry, name = self.shown[session_id], self.name_of(session_id)
        cleared = entry.state == "removed" or bool(entry.hidden) or entry.unlinked
        if entry.label is None:
            with refused(errno.EPERM):
                self.mount.rmdir("sessions", name)
        elif entry.visible or not cleared:
            with refused(errno.ENOTEMPTY):
                self.mount.rmdir("sessions", name)
        else:
            self.mount.rmdir("sessions", name)
            self.note_destroyed(session_id)
            assert session_id not in {record.session_id for record in self.sim.sessions.records()}

    @precondition(lambda self: self.shown)
    @rule(which=pick)
    def destroy_is_written_into_control(self, which: int) -> None:
        session_id = self.chosen(which)
        self.mount.write("destroy\n", "sessions", self.name_of(session_id), "control")
        self.note_destroyed(session_id)

    # -- what must hold always --------------------------------------------------------------

    @invariant()
    def every_session_has_one_directory_and_its_name_for_ever(self) -> None:
        assert self.mount.names("sessions") == {self.name_of(session_id) for session_id in self.shown}

    @invariant()
    def new_shows_what_was_written_and_what_became_of_it(self) -> None:
        assert self.mount.names("new") == set(self.new)
        for name, expected in self.new.items():
            content = self.mount.node("new", name).content
            if name.endswith(".session"):
                assert content.target.decode() == expected  # type: ignore[attr-defined]
            elif name.endswith(".error"):
                assert self.mount.read("new", name).decode().startswith(expected)
            else:
                assert self.mount.read("new", name).decode() == expected

    @invariant()
    def inodes_and_links_are_counted_right(self) -> None:
        nodes = list(self.mount.view.tree.walk(self.mount.view.tree.root))
        assert len({node.ino for node in nodes}) == len(nodes) == len(self.mount.view.tree)
        assert all(node.lookups == (node is self.mount.view.tree.root) for node in nodes)
        for node in nodes:
            assert node.subdirectories == sum(child.is_directory for child in node.entries.values())
            assert all(child.parent is node and child.name == name for name, child in node.entries.items())

    def look_into(self, session_id: str) -> None:
        entry, name = self.shown[session_id], self.name_of(session_id)
        assert self.mount.read("sessions", name, "state").decode() == f"{entry.state}\n"
        said = json.loads(self.mount.read("sessions", name, "status.json"))
        assert (said["id"], said["own"], said["label"]) == (session_id, entry.label is not None, entry.label)
        results = self.mount.names("sessions", name) - TEXTS
        sizes = [self.mount.node("sessions", name, result).content.size for result in results]
        assert sorted(sizes) == sorted(entry.visible.values())

    def name_of(self, session_id: str) -> str:
        """Return the name of a session's directory, which must be the one that it had before."""
        tag = names.tag(session_id)
        found = [name for name in self.mount.names("sessions") if name.endswith(f"_{tag}")]
        assert len(found) == 1, (session_id, found)
        return self.names.setdefault(session_id, found[0])

    def chosen(self, which: int) -> str:
        return list(self.shown)[which % len(self.shown)]  # by their age: ids are new in every run

    def chosen_result(self, which: int) -> tuple[str, str, str]:
        """Return session, path and name of one of the results that are visible."""
        results = [(session_id, path) for session_id, entry in self.shown.items() for path in entry.visible]
        session_id, path = results[which % len(results)]
        said = json.loads(self.mount.read("sessions", self.name_of(session_id), "status.json"))
        return session_id, path, next(file["name"] for file in said["files"] if file["path"] == path)


@contextlib.contextmanager
def refused(number: int) -> Iterator[None]:
    with pytest.raises(pyfuse3.FUSEError) as caught:
        yield
    assert caught.value.errno == number


def test_the_tree_is_what_the_model_says_whatever_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AXXONFS_RAISE", "1")
    # So slow that no export ends by itself.
    simulator = make_simulator(tmp_path, file_size_bytes=10, export_speed=1e-6, plaintext=True)
    with simulator as sim, contextlib.closing(connect(sim, tmp_path)) as link:

        class Connected(Model):
            pass

        Connected.sim, Connected.client = sim, ExportClient(link)
        run_state_machine_as_test(
            Connected,
            settings=settings(
                max_examples=50,
                stateful_step_count=40,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
            ),
        )

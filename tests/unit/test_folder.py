import contextlib
import json
import stat

import pytest

from axxonfs.core import document, errors, folder, tree

SPEC = json.dumps({"camera": "1"}).encode()


@pytest.fixture
def new() -> folder.NewFolder:
    nodes = tree.Tree(now_ns=1)
    return folder.NewFolder(nodes, nodes.add(nodes.root, b"new", tree.Folder(), mode=stat.S_IFDIR, now_ns=1))


def create(new: folder.NewFolder, name: bytes, data: bytes = b"") -> tree.Node:
    node = new.create(name, uid=5, gid=6, now_ns=2)
    content = node.content
    assert isinstance(content, folder.Written)
    content.store.write(0, data)
    return node


def names(new: folder.NewFolder) -> set[bytes]:
    return set(new.directory.entries)


@pytest.mark.parametrize(
    ("name", "is_spec"),
    [(b"door.json", True), (b".door.json", False), (b"door.json~", False), (b"4913", False), (b".json", False)],
)
def test_only_visible_names_ending_in_json_are_specs(name: bytes, *, is_spec: bool) -> None:
    assert folder.is_spec(name) is is_spec


@pytest.mark.parametrize("name", [b"a.session", b"a.error"])
def test_the_names_of_outcomes_cannot_be_taken(new: folder.NewFolder, name: bytes) -> None:
    with pytest.raises(errors.NotAllowedError, match="given by the mount"):
        create(new, name)


def test_a_name_leaves_room_for_its_outcomes(new: folder.NewFolder) -> None:
    create(new, b"x" * 247)
    with pytest.raises(errors.NameTooLongError):
        create(new, b"x" * 248)


def test_a_name_is_taken_once(new: folder.NewFolder) -> None:
    create(new, b"a.json")
    with pytest.raises(errors.NameTakenError):
        create(new, b"a.json")


def test_scratch_files_hold_what_is_written_with_holes(new: folder.NewFolder) -> None:
    scratch = folder.Scratch(b"abc")
    scratch.write(5, b"x")
    assert bytes(scratch.data) == b"abc\0\0x"
    scratch.truncate(1)
    assert bytes(scratch.data) == b"a"
    with pytest.raises(errors.TooLargeError):
        scratch.write(folder.MAX_SCRATCH_BYTES, b"x")


def test_a_rename_onto_a_spec_submits_what_is_complete(new: folder.NewFolder) -> None:
    node = create(new, b".tmp", SPEC)
    assert new.submitted_by_rename(node, b"a.json") == SPEC
    new.rename(node, b"a.json", now_ns=3, error_until_s=100.0)
    assert names(new) == {b"a.json"}
    content = node.content
    assert isinstance(content, folder.Written)
    assert isinstance(content.store, document.Draft)
    assert content.store.flush() == document.Nothing()


def test_a_rename_of_half_a_document_is_refused(new: folder.NewFolder) -> None:
    node = create(new, b".tmp", b'{"camera"')
    with pytest.raises(errors.SpecError, match="not complete"):
        new.submitted_by_rename(node, b"a.json")
    assert names(new) == {b".tmp"}


def test_an_empty_file_may_be_renamed_to_a_spec(new: folder.NewFolder) -> None:
    node = create(new, b".tmp")
    assert new.submitted_by_rename(node, b"a.json") is None


def test_a_document_moved_away_and_back_is_not_submitted_again(new: folder.NewFolder) -> None:
    node = create(new, b"a.json", SPEC + b"\n")
    content = node.content
    assert isinstance(content, folder.Written)
    content.submitted = SPEC
    assert new.submitted_by_rename(node, b"a.json~") is None
    new.rename(node, b"a.json~", now_ns=3, error_until_s=100.0)
    assert isinstance(content.store, folder.Scratch)
    assert new.submitted_by_rename(node, b"a.json") is None


def test_a_link_takes_the_error_away(new: folder.NewFolder) -> None:
    new.note_error(b"a", "wrong", now_ns=3, until_s=50.0)
    new.link_session(b"a", b"S1", now_ns=4)
    assert names(new) == {b"a.session"}
    assert new.directory.entries[b"a.session"].content == tree.Link(b"../sessions/S1")


def test_links_and_errors_keep_their_names(new: folder.NewFolder) -> None:
    new.note_error(b"a", "wrong", now_ns=3, until_s=50.0)
    with pytest.raises(errors.NotAllowedError):
        new.submitted_by_rename(new.directory.entries[b"a.error"], b"b")


def test_an_error_outlives_its_spec_for_a_while(new: folder.NewFolder) -> None:
    node = create(new, b"a.json")
    new.note_error(b"a", "wrong", now_ns=3, until_s=50.0)
    new.remove(node, now_ns=4, error_until_s=100.0)
    assert new.expire(99.0, now_ns=5) == []
    assert new.expire(100.0, now_ns=5) == [b"a.error"]
    assert names(new) == set()


@pytest.mark.parametrize("name", [b"a.json~", b"b.json"])
def test_an_error_outlives_a_spec_that_was_moved_away_for_a_while(new: folder.NewFolder, name: bytes) -> None:
    node = create(new, b"a.json")
    new.note_error(b"a", "wrong", now_ns=3, until_s=50.0)
    new.rename(node, name, now_ns=4, error_until_s=100.0)
    assert new.expire(99.0, now_ns=5) == []
    assert new.expire(100.0, now_ns=5) == [b"a.error"]
    assert names(new) == {name}


def test_an_error_whose_spec_is_moved_back_stays(new: folder.NewFolder) -> None:
    node = create(new, b"a.json")
    new.note_error(b"a", "wrong", now_ns=3, until_s=50.0)
    for name in (b"a.json~", b"a.json"):
        new.rename(node, name, now_ns=4, error_until_s=100.0)
    assert new.expire(1e12, now_ns=5) == []


def test_an_error_with_its_spec_stays(new: folder.NewFolder) -> None:
    create(new, b"a.json")
    new.note_error(b"a", "wrong", now_ns=3, until_s=50.0)
    assert new.expire(1e12, now_ns=5) == []


def test_an_error_without_a_spec_stays_for_a_while(new: folder.NewFolder) -> None:
    new.note_error(b"a", "wrong", now_ns=3, until_s=50.0)
    assert new.expire(49.0, now_ns=4) == []
    assert new.expire(50.0, now_ns=4) == [b"a.error"]


def test_spec_link_and_error_go_some_time_after_their_session(new: folder.NewFolder) -> None:
    for name in (b"door.json", b"gate.json"):
        create(new, name, SPEC)
    new.link_session(b"door", b"one", 3)
    new.link_session(b"gate", b"two", 3)
    new.note_error(b"door", "wrong", now_ns=4, until_s=5.0)

    def expire(now_s: float, *sessions: bytes) -> list[bytes]:
        return new.expire_links(set(sessions), now_s=now_s, now_ns=6, gone_after_s=10.0)

    assert expire(100.0, b"one", b"two") == []
    assert expire(101.0, b"two") == [b"door.session"]
    assert new.gone_since_s(b"door.session") == 101.0
    assert expire(110.9, b"two") == []
    assert set(expire(111.0, b"two")) == {b"door.json", b"door.session", b"door.error"}
    assert names(new) == {b"gate.json", b"gate.session"}


def test_a_session_that_is_back_keeps_its_link(new: folder.NewFolder) -> None:
    new.link_session(b"door", b"one", 3)
    new.expire_links(set(), now_s=100.0, now_ns=6, gone_after_s=10.0)
    assert new.expire_links({b"one"}, now_s=105.0, now_ns=6, gone_after_s=10.0) == [b"door.session"]
    assert new.gone_since_s(b"door.session") is None
    assert new.expire_links(set(), now_s=112.0, now_ns=6, gone_after_s=10.0) == [b"door.session"]
    assert names(new) == {b"door.session"}


def test_a_restart_does_not_count_from_the_beginning_how_long_a_session_has_been_gone(new: folder.NewFolder) -> None:
    new.restore(b"door.session", "link", b"../sessions/one", submitted=None, until_s=100.0, now_ns=5)
    assert new.gone_since_s(b"door.session") == 100.0
    new.expire_links(set(), now_s=110.0, now_ns=6, gone_after_s=10.0)
    assert names(new) == set()


def test_the_number_of_entries_is_bounded(new: folder.NewFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "MAX_ENTRIES", 2)
    create(new, b"a")
    create(new, b"b")
    with pytest.raises(errors.StoreFullError):
        create(new, b"c")


def test_the_bytes_of_all_files_are_bounded_and_removing_makes_room(
    new: folder.NewFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "MAX_TOTAL_BYTES", 100)
    new.reserve(60)
    one = create(new, b"one", b"x" * 60)
    new.reserve(30)
    create(new, b"two", b"y" * 30)
    for growth, fits in ((11, False), (10, True), (-5, True)):
        with contextlib.nullcontext() if fits else pytest.raises(errors.StoreFullError, match="remove some files"):
            new.reserve(growth)
    new.remove(one, now_ns=3, error_until_s=0)
    new.reserve(70)
    with pytest.raises(errors.StoreFullError):
        new.reserve(71)


def test_restored_entries_are_as_they_were(new: folder.NewFolder) -> None:
    new.restore(b"a.json", "file", SPEC, submitted=SPEC, until_s=None, now_ns=7)
    new.restore(b"a.session", "link", b"../sessions/S", submitted=None, until_s=None, now_ns=7)
    new.restore(b"b.error", "error", b"wrong\n", submitted=None, until_s=9.0, now_ns=7)
    assert names(new) == {b"a.json", b"a.session", b"b.error"}
    node = new.directory.entries[b"a.json"]
    assert (node.mtime_ns, node.content.size) == (7, len(SPEC))

import stat

import pytest

from axxonfs.core import errors, tree

FILE = stat.S_IFREG | 0o444
DIRECTORY = stat.S_IFDIR | 0o755
NOW_S = 1000.0


@pytest.fixture
def nodes() -> tree.Tree:
    return tree.Tree(now_ns=1)


def text(data: bytes = b"text") -> tree.Text:
    return tree.Text(lambda: data)


def test_an_entry_is_found_by_its_name(nodes: tree.Tree) -> None:
    node = nodes.add(nodes.root, b"a", text(), mode=FILE, now_ns=2)
    assert nodes.find(nodes.root, b"a") is node
    assert nodes.get(node.ino) is node
    assert nodes.root.mtime_ns == 2


@pytest.mark.parametrize(("name", "error"), [(b"b", errors.NoSuchNameError), (b"x" * 256, errors.NameTooLongError)])
def test_other_names_are_not_found(nodes: tree.Tree, name: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        nodes.find(nodes.root, name)


def test_a_file_has_no_entries(nodes: tree.Tree) -> None:
    node = nodes.add(nodes.root, b"a", text(), mode=FILE, now_ns=2)
    with pytest.raises(errors.EntryIsNoDirectoryError):
        nodes.find(node, b"b")


def test_a_removed_node_stays_until_the_kernel_forgets_it(nodes: tree.Tree) -> None:
    node = nodes.add(nodes.root, b"a", text(), mode=FILE, now_ns=2)
    nodes.remember(node)
    nodes.remember(node)
    nodes.remove(node, now_ns=3)
    nodes.forget(node.ino, 1)
    assert nodes.get(node.ino) is node
    nodes.forget(node.ino, 1)
    with pytest.raises(errors.NoSuchNameError):
        nodes.get(node.ino)


def test_a_named_node_stays_when_the_kernel_forgets_it(nodes: tree.Tree) -> None:
    node = nodes.add(nodes.root, b"a", text(), mode=FILE, now_ns=2)
    nodes.remember(node)
    nodes.forget(node.ino, 1)
    assert nodes.find(nodes.root, b"a") is node


def test_a_removed_directory_takes_what_is_in_it_along(nodes: tree.Tree) -> None:
    folder = nodes.add(nodes.root, b"d", tree.Folder(), mode=DIRECTORY, now_ns=2)
    nodes.add(folder, b"a", text(), mode=FILE, now_ns=2)
    nodes.remove(folder, now_ns=3)
    assert len(nodes) == 1


def test_a_directory_that_is_looked_into_only_after_it_went_is_not_filled(nodes: tree.Tree) -> None:
    def populate(directory: tree.Node) -> None:
        nodes.add(directory, b"a", text(), mode=FILE, now_ns=3)

    folder = nodes.add(nodes.root, b"d", tree.Folder(populate), mode=DIRECTORY, now_ns=2)
    nodes.remember(folder)  # somebody works in it
    nodes.remove(folder, now_ns=3)
    assert nodes.entries(folder) == {}
    nodes.forget(folder.ino, 1)
    assert len(nodes) == 1


def test_links_count_the_directories_below(nodes: tree.Tree) -> None:
    folder = nodes.add(nodes.root, b"d", tree.Folder(), mode=DIRECTORY, now_ns=2)
    file = nodes.add(nodes.root, b"a", text(), mode=FILE, now_ns=2)
    assert (nodes.root.links, folder.links, file.links) == (3, 2, 1)
    nodes.remember(file)
    nodes.remove(file, now_ns=3)
    nodes.remove(folder, now_ns=3)
    assert (nodes.root.links, file.links) == (2, 0)


def test_a_directory_is_filled_by_the_first_look_and_only_once(nodes: tree.Tree) -> None:
    filled: list[tree.Node] = []
    folder = nodes.add(nodes.root, b"d", tree.Folder(filled.append), mode=DIRECTORY, now_ns=2)
    assert filled == []
    nodes.entries(folder)
    nodes.entries(folder)
    assert filled == [folder]


def test_a_move_replaces_what_has_the_name(nodes: tree.Tree) -> None:
    old = nodes.add(nodes.root, b"a", text(), mode=FILE, now_ns=2)
    new = nodes.add(nodes.root, b"b", text(), mode=FILE, now_ns=2)
    nodes.move(new, nodes.root, b"a", now_ns=3)
    assert list(nodes.root.entries) == [b"a"]
    assert nodes.find(nodes.root, b"a") is new
    assert old.parent is None


def test_a_move_onto_its_own_name_changes_nothing(nodes: tree.Tree) -> None:
    node = nodes.add(nodes.root, b"a", text(), mode=FILE, now_ns=2)
    nodes.move(node, nodes.root, b"a", now_ns=3)
    assert nodes.find(nodes.root, b"a") is node


def test_a_text_is_built_when_somebody_looks_and_changes_only_when_it_says_something_else() -> None:
    said = [b"one", b"one", b"three"]
    shown = tree.Text(lambda: said.pop(0))
    assert not shown.refresh()
    assert (shown.data, shown.size) == (b"one", 3)
    assert not shown.refresh()
    assert shown.refresh()
    assert shown.data == b"three"


class Said:
    """A text that says what it is told to."""

    def __init__(self, words: bytes) -> None:
        self.words = words
        self.text = tree.Text(lambda: self.words)

    def say(self, words: bytes) -> None:
        """Change the text."""
        self.words = words
        self.text.refresh()


def test_an_open_text_is_taken_anew_at_every_read_from_its_start() -> None:
    said = Said(b"running")
    snapshot = said.text.open(reader=1)
    said.say(b"completed")
    assert snapshot.differs
    assert snapshot.read(3, 9, NOW_S) == b"ning"
    assert snapshot.read(0, 4, NOW_S) == b"comp"
    assert not snapshot.differs
    said.say(b"removed, long ago")
    assert snapshot.read(4, 99, NOW_S) == b"leted"
    assert snapshot.read(0, 99, NOW_S) == b"removed, long ago"


def test_who_was_told_a_length_reads_the_text_that_has_it_once() -> None:
    said = Said(b"running")
    first, second, other = said.text.open(reader=1), said.text.open(reader=1), said.text.open(reader=2)
    said.text.promise(1, NOW_S)
    said.say(b"completed")
    said.text.promise(3, NOW_S)
    assert first.read(0, 99, NOW_S) == second.read(0, 3, NOW_S) + second.read(3, 99, NOW_S) == b"running"
    assert other.read(0, 99, NOW_S) == b"completed"
    assert first.differs
    assert first.read(0, 99, NOW_S) == b"completed"


def test_the_last_length_told_counts() -> None:
    said = Said(b"running")
    snapshot = said.text.open(reader=1)
    said.text.promise(1, NOW_S)
    said.say(b"completed")
    said.text.promise(1, NOW_S)
    said.say(b"removed, long ago")
    assert snapshot.read(0, 99, NOW_S) == b"completed"


def test_being_told_a_length_changes_neither_what_is_being_read_nor_what_was_missed() -> None:
    said = Said(b"running")
    snapshot = said.text.open(reader=1)
    assert snapshot.read(0, 3, NOW_S) == b"run"
    said.say(b"completed")
    said.text.promise(1, NOW_S)
    assert snapshot.read(3, 99, NOW_S) == b"ning"
    assert snapshot.differs


def test_who_waits_for_a_change_reads_the_newest_text_whatever_length_it_was_told() -> None:
    said = Said(b"running")
    snapshot = said.text.open(reader=1)
    said.text.promise(1, NOW_S)
    snapshot.follow()
    said.say(b"completed")
    assert snapshot.read(0, 99, NOW_S) == b"completed"


def test_a_length_that_was_told_long_ago_counts_no_more() -> None:
    said = Said(b"running")
    first, second = said.text.open(reader=1), said.text.open(reader=1)
    said.text.promise(1, NOW_S)
    said.say(b"completed")
    assert first.read(0, 99, NOW_S + tree.PROMISE_S - 0.1) == b"running"
    assert second.read(0, 99, NOW_S + tree.PROMISE_S) == b"completed"


def test_a_closed_text_is_forgotten_and_the_others_of_its_thread_are_not() -> None:
    said = Said(b"running")
    closed, kept = said.text.open(reader=1), said.text.open(reader=1)
    said.text.close(closed)
    said.text.promise(1, NOW_S)
    said.say(b"completed")
    assert closed.read(0, 99, NOW_S) == b"completed"
    assert kept.read(0, 99, NOW_S) == b"running"
    said.text.close(kept)
    said.text.promise(1, NOW_S)


def test_inode_numbers_are_never_given_twice(nodes: tree.Tree) -> None:
    first = nodes.add(nodes.root, b"a", text(), mode=FILE, now_ns=2)
    nodes.remove(first, now_ns=3)
    assert nodes.add(nodes.root, b"a", text(), mode=FILE, now_ns=4).ino > first.ino

import stat

import pytest

from axxonfs.core import errors, tree
from axxonfs.core.texts import Text

FILE = stat.S_IFREG | 0o444
DIRECTORY = stat.S_IFDIR | 0o755


@pytest.fixture
def nodes() -> tree.Tree:
    return tree.Tree(now_ns=1)


def text(data: bytes = b"text") -> Text:
    return Text(lambda: data)


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


def test_inode_numbers_are_never_given_twice(nodes: tree.Tree) -> None:
    first = nodes.add(nodes.root, b"a", text(), mode=FILE, now_ns=2)
    nodes.remove(first, now_ns=3)
    assert nodes.add(nodes.root, b"a", text(), mode=FILE, now_ns=4).ino > first.ino

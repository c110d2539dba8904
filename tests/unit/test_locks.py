"""Locks between processes."""

import os
from pathlib import Path

import pytest

from axxonfs.core import errors
from axxonfs.remote.locks import FileLock, try_lock


def test_a_lock_has_one_holder_and_is_free_once_released_though_a_child_has_the_file_open(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = try_lock(path)
    assert lock is not None
    inherited = os.dup(next(number for number in range(3, 4096) if _is(number, path)))
    assert try_lock(path) is None
    lock.release()
    lock.release()
    again = try_lock(path)
    assert again is not None
    again.release()
    os.close(inherited)


def test_a_forked_child_leaves_the_lock_to_its_parent_and_does_not_hold_it_beyond_the_end_of_that(
    tmp_path: Path,
) -> None:
    path = tmp_path / "lock"
    lock = try_lock(path)
    assert lock is not None
    # What a fork leaves the child with: the same open file under a descriptor of its own.
    inherited = FileLock(os.dup(next(number for number in range(3, 4096) if _is(number, path))))
    inherited.leave()
    inherited.leave()
    assert try_lock(path) is None
    lock.leave()  # as the kernel does at the end of a process
    again = try_lock(path)
    assert again is not None
    again.release()


def test_a_lock_that_cannot_be_made_is_refused_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigurationError, match="nowhere/lock cannot be used: No such file"):
        try_lock(tmp_path / "nowhere" / "lock")


def _is(descriptor: int, path: Path) -> bool:
    link = Path(f"/proc/self/fd/{descriptor}")
    return link.is_symlink() and link.readlink() == path

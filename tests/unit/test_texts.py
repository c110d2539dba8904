"""Texts that are built when somebody looks, and what an open file shows while they change."""

from axxonfs.core.texts import PROMISE_S, Text

NOW_S = 1000.0


def test_a_text_is_built_when_somebody_looks_and_changes_only_when_it_says_something_else() -> None:
    said = [b"one", b"one", b"three"]
    shown = Text(lambda: said.pop(0))
    assert not shown.refresh()
    assert (shown.data, shown.size) == (b"one", 3)
    assert not shown.refresh()
    assert shown.refresh()
    assert shown.data == b"three"


class Said:
    """A text that says what it is told to."""

    def __init__(self, words: bytes) -> None:
        self.words = words
        self.text = Text(lambda: self.words)

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
    assert first.read(0, 99, NOW_S + PROMISE_S - 0.1) == b"running"
    assert second.read(0, 99, NOW_S + PROMISE_S) == b"completed"


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

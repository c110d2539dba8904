"""The read-ahead, played against a server that delivers one chunk per turn and stream."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from axxonfs.core import readahead
from axxonfs.core.readahead import Continue, ReadAhead, Start, Stop

LIMITS = readahead.Limits(max_window=8, max_gap=2, max_streams=3, idle_s=10.0)


@dataclasses.dataclass
class Line:
    """Carries out actions and keeps what arrived; nothing is ever dropped from its cache."""

    count: int
    policy: ReadAhead = dataclasses.field(default_factory=lambda: ReadAhead(LIMITS))
    have: set[int] = dataclasses.field(default_factory=set)
    open: dict[int, int] = dataclasses.field(default_factory=dict)  # stream -> next chunk
    fetched: list[int] = dataclasses.field(default_factory=list)
    started: int = 0
    now_s: float = 0.0

    def apply(self, actions: list[readahead.Action]) -> None:
        for action in actions:
            match action:
                case Start(stream, index):
                    self.open[stream] = index
                    self.started += 1
                case Stop(stream):
                    self.open.pop(stream, None)
                case Continue(stream):
                    assert stream in self.open

    def turn(self) -> None:
        """Let every stream that has room deliver one chunk."""
        for stream in list(self.open):
            if stream in self.open and self.policy.has_room(stream):
                index = self.open[stream]
                if index >= self.count:
                    self.policy.on_end(stream)
                    del self.open[stream]
                    continue
                self.open[stream] = index + 1
                self.have.add(index)
                self.fetched.append(index)
                self.apply(self.policy.on_chunk(stream, index))

    def read(self, first: int, last: int) -> int:
        """Read chunks `first`..`last`; return how many turns it took."""
        wanted = range(first, min(last + 1, self.count))
        turns = 0
        while True:
            missing = [index for index in wanted if index not in self.have]
            self.apply(self.policy.on_read(wanted, missing, self.now_s))
            if not missing:
                return turns
            self.turn()
            turns += 1
            assert turns < 1000, (wanted, missing, self.open)


def test_a_sequential_reader_rides_one_stream() -> None:
    line = Line(100)
    for index in range(100):
        line.read(index, index)
        line.turn()
    assert line.started == 1
    assert line.fetched == list(range(100))


def test_the_window_doubles_while_reading_goes_on() -> None:
    line = Line(100)
    waits = []
    for index in range(12):
        waits.append(line.read(index, index))
        for _ in range(8):
            line.turn()
    assert waits == [1, 1] + 10 * [0]
    assert max(line.have) == 11 + LIMITS.max_window


def test_one_small_read_fetches_one_chunk() -> None:
    line = Line(100)
    line.read(50, 50)
    for _ in range(20):
        line.turn()
    assert line.fetched == [50]


def test_a_small_gap_is_read_over_and_a_large_one_opens_another_stream() -> None:
    line = Line(100)
    line.read(0, 0)
    line.read(2, 2)
    assert line.started == 1
    line.read(50, 50)
    assert line.started == 2


def test_reads_out_of_order_do_not_open_more_streams() -> None:
    line = Line(100, ReadAhead(readahead.Limits()))
    line.read(0, 0)
    wanted = [2, 1, 4, 3, 6, 5]
    for index in wanted:
        line.apply(line.policy.on_read(range(index, index + 1), [index], 0.0))
    for _ in range(10):
        line.turn()
    assert line.started == 1
    assert line.have >= set(range(7))


def test_no_chunk_is_fetched_by_two_streams() -> None:
    line = Line(40)
    line.read(20, 20)
    for index in range(40):
        line.read(index, index)
        line.turn()
    assert sorted(line.fetched) == list(range(40))


def test_a_fourth_place_closes_the_stream_that_was_unused_for_longest() -> None:
    line = Line(1000)
    for now, index in enumerate([0, 100, 200, 300]):
        line.now_s = now
        line.read(index, index)
    assert sorted(line.open.values()) == [101, 201, 301]


def test_a_stream_that_somebody_waits_for_is_never_closed_for_another() -> None:
    policy = ReadAhead(LIMITS)
    for index in (0, 100, 200):
        policy.on_read(range(index, index + 1), [index], 0.0)
    assert policy.on_read(range(300, 301), [300], 1.0) == []
    assert not policy.is_coming(300)
    policy.on_chunk(0, 0)
    actions = policy.on_read(range(300, 301), [300], 2.0)
    assert actions == [Stop(0), Start(3, 300)]


def test_idle_streams_are_closed() -> None:
    policy = ReadAhead(LIMITS)
    policy.on_read(range(1), [0], 0.0)
    assert policy.idle(9.9) == []
    assert policy.idle(10.0) == [Stop(0)]
    assert policy.streams == 0


def test_a_chunk_of_a_stopped_stream_is_no_news() -> None:
    policy = ReadAhead(LIMITS)
    policy.on_read(range(1), [0], 0.0)
    policy.stop_all()
    assert policy.on_chunk(0, 0) == []
    assert not policy.has_room(0)


@given(st.lists(st.tuples(st.integers(0, 59), st.integers(0, 6), st.integers(0, 3)), max_size=30))
def test_every_read_is_served_within_the_bounds(reads: list[tuple[int, int, int]]) -> None:
    line = Line(60)
    for first, more, idle_turns in reads:
        line.now_s += 1
        line.read(first, first + more)
        for _ in range(idle_turns):
            line.turn()
        assert line.policy.streams == len(line.open) <= LIMITS.max_streams
        assert max(line.have, default=0) <= max(first + more for first, more, _ in reads) + LIMITS.max_window


def test_two_interleaved_readers_keep_a_stream_each() -> None:
    line = Line(400)
    for step in range(60):
        line.now_s = step
        line.read(step, step)
        line.read(200 + step, 200 + step)
    assert line.started == 2

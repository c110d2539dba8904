"""The read-ahead, played against a server that delivers one chunk per turn and stream."""

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from axxonfs.core import readahead
from axxonfs.core.chunks import KIB, Range, merged_ranges
from axxonfs.core.line import IN_FLIGHT_BYTES, MIB, FirstChunk, Line, Rate
from axxonfs.core.readahead import Continue, ReadAhead, Sizes, Start, Stop

# Bytes are counted in hundreds of thousands for real; one narrow chunk here is one byte of arithmetic.
N = 64 * KIB
LIMITS = readahead.Limits(max_window=8 * N, max_streams=3, idle_s=10.0)
SIZES = Sizes(N, 4 * N)
SIXTEENFOLD = Sizes(N, 16 * N)


def slow_line() -> Line:
    """10 Mbit/s at 60 ms: the line, not the window, holds a stream back."""
    return line_of(0.06 + N / 1_250_000, 1_250_000)


def fast_line() -> Line:
    """100 MB/s at 3 ms: a seek has 768 KiB in flight, which are 12 chunks here."""
    return line_of(0.003, 100_000_000)


def far_line() -> Line:
    """1 GB/s at 20 ms: a seek has 3 MiB in flight."""
    return line_of(0.02, 1e9)


def line_of(round_trip_s: float, rate: float) -> Line:
    line = Line()
    line.note(FirstChunk(round_trip_s))
    line.note(Rate(rate))
    return line


@dataclasses.dataclass
class Server:
    """Carries out actions and keeps what arrived; nothing is ever dropped from its cache. Places in narrow chunks."""

    count: int
    line: Line = dataclasses.field(default_factory=slow_line)
    have: set[int] = dataclasses.field(default_factory=set)
    open: dict[int, tuple[int, int]] = dataclasses.field(default_factory=dict)  # stream -> next place, its chunk
    fetched: list[int] = dataclasses.field(default_factory=list)
    started: int = 0
    wide: int = 0
    now_s: float = 0.0
    most_ahead: int = 1000 * N
    sizes: Sizes = SIZES
    policy: ReadAhead = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.policy = ReadAhead(self.count * N, self.sizes, self.line, LIMITS)

    def apply(self, actions: list[readahead.Action]) -> None:
        for action in actions:
            match action:
                case Start(stream, offset, chunk_bytes, in_flight_bytes):
                    assert offset % chunk_bytes == 0
                    assert in_flight_bytes in IN_FLIGHT_BYTES
                    self.open[stream] = (offset // N, chunk_bytes // N)
                    self.started += 1
                    self.wide += self.sizes.is_wide(chunk_bytes)
                case Stop(stream):
                    self.open.pop(stream, None)
                case Continue(stream):
                    assert stream in self.open

    def turn(self) -> None:
        """Let every stream that has room deliver one chunk."""
        for stream in list(self.open):
            if stream in self.open and self.policy.has_room(stream, self.most_ahead):
                place, chunk = self.open[stream]
                if place >= self.count:
                    self.policy.on_end(stream)
                    del self.open[stream]
                    continue
                after = min(place + chunk, self.count)
                self.open[stream] = (after, chunk)
                self.have.update(range(place, after))
                self.fetched += range(place, after)
                self.apply(self.policy.on_chunk(stream, after * N))

    def ask(self, first: int, last: int) -> list[Range]:
        """Tell the policy of a read of the chunks `first`..`last`; return what is missing."""
        places = [place for place in range(first, min(last + 1, self.count)) if place not in self.have]
        missing = merged_ranges([(place * N, (place + 1) * N) for place in places], N, self.count * N)
        end = min(last + 1, self.count) * N
        self.apply(self.policy.on_read(first * N, end, missing, self.now_s))
        return missing

    def read(self, first: int, last: int | None = None) -> int:
        """Read chunks; return how many turns it took."""
        turns = 0
        while self.ask(first, first if last is None else last):
            self.turn()
            turns += 1
            assert turns < 1000, (first, last, self.open)
        return turns


def test_a_sequential_reader_rides_one_stream() -> None:
    server = Server(100)
    for place in range(100):
        server.read(place)
        server.turn()
    assert server.started == 1
    assert server.fetched == list(range(100))


def test_the_window_doubles_while_reading_goes_on() -> None:
    server = Server(100)
    waits = []
    for place in range(12):
        waits.append(server.read(place))
        for _ in range(8):
            server.turn()
    assert waits == [1, 1] + 10 * [0]
    # A quarter of the twelve chunks that were asked for.
    assert max(server.have) == 11 + 3


def test_one_small_read_fetches_one_chunk() -> None:
    server = Server(100)
    server.read(50)
    for _ in range(20):
        server.turn()
    assert server.fetched == [50]


def test_a_small_gap_is_read_over_and_a_large_one_opens_another_stream() -> None:
    server = Server(100)
    server.read(0)
    server.read(2)
    assert server.started == 1
    server.read(50)
    assert server.started == 2


def test_the_gap_that_is_read_over_is_what_the_line_brings_in_two_round_trips() -> None:
    assert slow_line().gap_bytes == 281_072
    assert fast_line().gap_bytes == 600_000
    assert Line().gap_bytes == 512 * KIB


def test_reads_out_of_order_do_not_open_more_streams() -> None:
    server = Server(100, Line())
    server.read(0)
    for place in (2, 1, 4, 3, 6, 5):
        server.ask(place, place)
    for _ in range(10):
        server.turn()
    assert server.started == 1
    assert server.have >= set(range(7))


def test_no_byte_is_fetched_by_two_streams() -> None:
    server = Server(40)
    server.read(20)
    for place in range(40):
        server.read(place)
        server.turn()
    assert sorted(server.fetched) == list(range(40))


def test_a_reader_that_keeps_waiting_on_a_fast_line_gets_a_wide_stream() -> None:
    server = Server(200, fast_line())
    for place in range(0, 200, 2):
        server.read(place, place + 1)
    assert server.wide == 1
    assert server.started == 2
    assert sorted(server.fetched) == list(range(200))


def test_who_begins_with_a_whole_mebibyte_gets_a_wide_stream_at_once() -> None:
    server = Server(200, fast_line())
    server.read(0, MIB // N - 1)
    assert (server.wide, server.started) == (1, 1)
    for place in range(MIB // N, 200):
        server.read(place)
    assert server.started == 1
    assert server.fetched == list(range(200))


@pytest.mark.parametrize(
    ("line", "first", "count"), [(fast_line(), 1, 200), (slow_line(), 0, 200), (fast_line(), 0, 20)]
)
def test_elsewhere_on_a_slow_line_and_in_a_small_file_it_does_not(line: Line, first: int, count: int) -> None:
    server = Server(count, line)
    server.read(first, first + MIB // N - 1)
    assert (server.wide, server.started) == (0, 1)


def run_until_wide() -> tuple[Server, int]:
    """Read on until a wide stream begins; return who serves it, and the next place to read."""
    server, place = Server(2000, fast_line()), 100
    while not server.wide:
        server.read(place, place + 1)
        place += 2
    return server, place


def test_a_wide_stream_that_nobody_has_asked_for_yet_ends_with_the_next_seek() -> None:
    server, place = run_until_wide()
    narrow, wide = server.open
    assert server.open[wide][0] >= place
    ending: list[int] = []

    def most_in_flight(_seek: bool) -> float:  # noqa: FBT001 - as the policy calls it
        ending.append(server.policy.ending_bytes)
        return math.inf

    server.policy.most_in_flight = most_in_flight
    actions = server.policy.on_read(1000 * N, 1004 * N, [(1000 * N, 1004 * N)], 0.0)
    assert actions[0] == Stop(wide)
    assert [action.offset for action in actions if isinstance(action, Start)] == [1000 * N]
    assert ending == [server.line.run_bytes]
    server.policy.on_end(wide)
    # The run was over: what still comes of it makes no other.
    assert not [action for action in server.policy.on_chunk(narrow, 110 * N) if isinstance(action, Start)]
    server.policy.on_read(1500 * N, 1504 * N, [(1500 * N, 1504 * N)], 0.0)
    assert ending[-1] == 0


def test_what_was_to_come_before_a_wide_stream_is_wanted_no_more_where_that_ends_in_vain() -> None:
    server, place = run_until_wide()
    narrow, _ = server.open
    server.policy.on_chunk(narrow, place * N)
    assert server.policy.has_room(narrow, 0)
    server.policy.on_read(1000 * N, 1004 * N, [(1000 * N, 1004 * N)], 0.0)
    assert not server.policy.has_room(narrow, 0)


def test_what_was_asked_for_before_a_wide_stream_comes_also_where_that_ends_in_vain() -> None:
    server, place = run_until_wide()
    narrow, wide = server.open
    before = place + 5  # what the narrow one is to bring before the wide one begins
    server.policy.on_read(before * N, (before + 1) * N, [(before * N, (before + 1) * N)], 0.0)
    assert Stop(wide) in server.policy.on_read(1000 * N, 1004 * N, [(1000 * N, 1004 * N)], 0.0)
    server.policy.on_chunk(narrow, place * N)
    assert server.policy.is_coming(before * N)
    assert server.policy.has_room(narrow, 0)


def test_a_wide_stream_that_nobody_has_asked_for_yet_outlives_the_break_of_what_it_follows() -> None:
    server, place = run_until_wide()
    narrow, wide = server.open
    server.policy.on_end(narrow)
    del server.open[narrow]
    server.read(place, place + 1)
    assert wide in server.open
    assert server.started == 3


def test_a_wide_stream_that_somebody_asked_for_outlives_a_seek() -> None:
    server = Server(2000, fast_line())
    for place in range(100, 300, 2):
        server.read(place, place + 1)
    [wide] = [stream for stream, (_, chunk) in server.open.items() if chunk * N > SIZES.narrow]
    server.read(1000)
    assert wide in server.open


def test_a_copy_that_was_given_up_is_not_fetched_on() -> None:
    server = Server(200, fast_line())
    server.read(0, MIB // N - 1)
    server.read(150)
    wide, narrow = server.open
    assert server.policy.left() == [Stop(wide)]
    assert server.policy.unused() == [(0.0, narrow)]


def test_what_was_looked_at_in_a_closed_file_is_kept_for_a_moment_for_whoever_opens_it_again() -> None:
    server = Server(200, fast_line())
    server.read(0)
    server.read(150)
    assert server.policy.left() == []
    assert server.policy.idle(0.9) == []
    assert server.policy.idle(1.0) == [Stop(0), Stop(1)]


def test_a_closed_file_that_is_opened_again_keeps_its_streams_as_before() -> None:
    server = Server(200, fast_line())
    server.read(0)
    server.policy.left()
    server.policy.readers = 1
    assert server.policy.idle(9.9) == []
    assert server.policy.idle(10.0) == [Stop(0)]


def test_on_a_slow_line_streams_stay_narrow() -> None:
    server = Server(200, slow_line())
    for place in range(0, 200, 2):
        server.read(place, place + 1)
    assert (server.wide, server.started) == (0, 1)


def test_a_reader_that_never_waits_stays_narrow() -> None:
    server = Server(200, fast_line())
    for place in range(200):
        server.read(place)
        for _ in range(10):
            server.turn()
    assert server.wide == 0


def test_where_the_mount_has_no_room_streams_stay_narrow() -> None:
    server = Server(200, fast_line())
    server.policy.most_in_flight = lambda _seek: 0
    for place in range(0, 200, 2):
        server.read(place, place + 1)
    assert server.wide == 0


def test_a_fourth_place_closes_the_stream_that_was_unused_for_longest() -> None:
    server = Server(1000)
    for now, place in enumerate([0, 100, 200, 300]):
        server.now_s = now
        server.read(place)
    assert sorted(place for place, _ in server.open.values()) == [101, 201, 301]


def test_a_stream_that_somebody_waits_for_is_never_closed_for_another() -> None:
    server = Server(1000)
    for place in (0, 100, 200):
        server.ask(place, place)
    server.ask(300, 300)
    assert not server.policy.is_coming(300 * N)
    server.turn()
    server.now_s = 1.0
    server.ask(300, 300)
    assert server.policy.is_coming(300 * N)
    assert server.policy.streams == 3


def test_a_stream_nearby_that_was_not_asked_for_a_place_does_not_bring_it() -> None:
    server = Server(100)
    server.read(0)
    server.ask(40, 40)
    server.apply(server.policy.stop(1))
    assert not server.policy.is_coming(40 * N)
    assert not server.policy.is_coming(2 * N)
    server.ask(2, 2)
    assert server.policy.is_coming(2 * N)
    assert server.started == 2


def test_a_reader_that_moves_backwards_gets_what_comes_before_as_well() -> None:
    server = Server(400, fast_line())
    turns = [server.read(place, place + 1) for place in range(300, 200, -2)]
    # 300 KB are four chunks and a half: every third read finds its bytes there.
    assert turns[:2] == [2, 2]
    assert sum(turn > 0 for turn in turns) <= 20
    # A read that is here in part is asked for to its end.
    assert len(server.fetched) <= 1.1 * len(set(server.fetched))


def test_a_single_step_backwards_fetches_nothing_before() -> None:
    server = Server(400, fast_line())
    server.read(300, 301)
    server.read(298, 299)
    assert min(server.fetched) == 298


def test_without_a_window_who_moves_backwards_gets_nothing_before_what_was_asked_for() -> None:
    policy = ReadAhead(400 * N, SIZES, fast_line(), readahead.Limits(max_window=0, max_gap=0, max_streams=8))
    places = range(300, 284, -2)
    starts = [policy.on_read(place * N, (place + 1) * N, [(place * N, (place + 1) * N)], 0.0) for place in places]
    assert [action.offset for [action] in starts if isinstance(action, Start)] == [place * N for place in places]


def test_idle_streams_are_closed() -> None:
    server = Server(10)
    server.ask(0, 0)
    assert server.policy.idle(9.9) == []
    assert server.policy.idle(10.0) == [Stop(0)]
    assert server.policy.streams == 0


def test_a_stream_is_not_idle_while_somebody_waits_for_it() -> None:
    server = Server(10)
    server.ask(0, 1)
    assert server.policy.idle(10.0, [N]) == []
    assert server.policy.idle(10.0, [2 * N]) == [Stop(0)]


def test_an_idle_wide_stream_is_closed_sooner_unless_somebody_waits_for_it() -> None:
    server = Server(400, fast_line())
    for place in range(0, 100, 2):
        server.read(place, place + 1)
    assert server.wide == 1
    (wide,) = server.open
    for _ in range(100):
        server.turn()
    assert server.policy.idle(0.9) == []
    further = max(server.have) + 1
    server.ask(further, further)
    assert server.policy.idle(1.0) == []
    server.read(further)
    assert server.policy.idle(1.0) == [Stop(wide)]


def test_a_chunk_of_a_stopped_stream_is_no_news() -> None:
    server = Server(10)
    server.ask(0, 0)
    server.policy.stop_all()
    assert server.policy.on_chunk(0, N) == []
    assert not server.policy.has_room(0, N)


@pytest.mark.parametrize("most_ahead", [0, 1, 3])
def test_a_stream_keeps_to_what_the_cache_has_room_for(most_ahead: int) -> None:
    server = Server(100, most_ahead=most_ahead * N)
    for place in range(12):
        server.read(place)
        for _ in range(8):
            server.turn()
    assert max(server.have) == 11 + most_ahead


def test_two_interleaved_readers_keep_a_stream_each() -> None:
    server = Server(400)
    for step in range(60):
        server.now_s = step
        server.read(step)
        server.read(200 + step)
    assert server.started == 2


def test_a_read_across_the_places_of_two_streams_is_served_by_both() -> None:
    server = Server(100)
    server.ask(10, 12)
    server.ask(13, 20)
    assert server.read(8, 20) > 0
    assert sorted(server.fetched) == sorted(set(server.fetched))


READS = st.lists(st.tuples(st.integers(0, 59), st.integers(0, 6), st.integers(0, 3)), max_size=30)


@settings(deadline=None)
@given(READS, st.booleans())
def test_every_read_is_served_within_the_bounds(reads: list[tuple[int, int, int]], fast: bool) -> None:  # noqa: FBT001
    server = Server(60, fast_line() if fast else slow_line())
    for first, more, idle_turns in reads:
        server.now_s += 1
        server.read(first, first + more)
        for _ in range(idle_turns):
            server.turn()
        assert server.policy.streams == len(server.open)
        assert server.policy.streams <= LIMITS.max_streams + server.wide
        furthest = max(first + more for first, more, _ in reads)
        ahead = 8 + (4 + 2 * 4 if server.wide else 0)
        assert max(server.have, default=0) <= furthest + ahead


@settings(deadline=None)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=60))
def test_a_run_is_read_ahead_as_far_as_the_reference_says(steps: list[int]) -> None:
    """The reference: doubled with each step after the first, from one chunk up to a quarter of the run."""
    server, place, window = Server(1000), 0, 0.0
    for number, step in enumerate(steps):
        server.read(place, place + step - 1)
        place += step
        if number:
            window = min(8, max(window, min(max(1, 2 * window), place / 4)))
        for _ in range(20):
            server.turn()
        assert len(server.have) == math.ceil(place + window)
    assert server.started == 1


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(1, 20), st.integers(0, 300), st.booleans())
def test_a_second_read_opens_a_stream_where_the_reference_says(first: int, count: int, second: int, fast: bool) -> None:  # noqa: FBT001
    """The reference: behind the first stream's start, or further in front of it than two round trips bring."""
    server = Server(400, fast_line() if fast else slow_line())
    server.read(first, first + count - 1)
    position = (first + count) * N
    server.read(second)
    jumped = second < first or second * N > position + server.line.gap_bytes
    assert server.started == 1 + jumped


@dataclasses.dataclass
class Waiting:
    """A read that asks again only when it is told that nobody brings its bytes."""

    end: int
    missing: list[int]


@dataclasses.dataclass
class Crowd(Server):
    """Many reads at once, and a cache that keeps the last few places only."""

    kept: int = 4
    waiting: list[Waiting] = dataclasses.field(default_factory=list)

    def begin(self, first: int, last: int) -> None:
        missing = [place for place in range(first, last + 1) if place not in self.have]
        self.waiting.append(Waiting((last + 1) * N, missing))
        self._ask(self.waiting[-1], first)

    def pass_time(self) -> None:
        """Let the streams bring something, and wake whom nobody brings anything where one of them parked or ended."""
        before = len(self.fetched)
        running = {stream for stream in self.open if self.policy.has_room(stream, self.most_ahead)}
        self.turn()
        self.have = set(self.fetched[-self.kept :])
        for read in self.waiting:
            read.missing = [place for place in read.missing if place not in self.fetched[before:]]
        self.waiting = [read for read in self.waiting if read.missing]
        still = {stream for stream in self.open if self.policy.has_room(stream, self.most_ahead)}
        unserved = [read for read in self.waiting if not self.policy.is_coming(read.missing[0] * N)]
        if unserved and not running <= still:
            for read in sorted(self.waiting, key=lambda read: read.missing):
                self._ask(read, read.missing[0])

    def _ask(self, read: Waiting, first: int) -> None:
        missing = [(place * N, (place + 1) * N) for place in read.missing]
        self.apply(self.policy.on_read(first * N, read.end, missing, self.now_s))


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 55), st.integers(0, 4), st.integers(0, 6)), min_size=1, max_size=40),
    st.integers(0, 20),
    st.booleans(),
)
@example(reads=[(0, 0, 0), (0, 3, 0), (18, 0, 0), (21, 0, 0)], most_ahead=0, fast=False)
def test_no_read_waits_for_a_stream_that_waits_for_it(
    reads: list[tuple[int, int, int]],
    most_ahead: int,
    fast: bool,  # noqa: FBT001
) -> None:
    crowd = Crowd(60, fast_line() if fast else slow_line(), most_ahead=most_ahead * N)
    for first, more, pauses in reads:
        crowd.now_s += 1
        crowd.begin(first, first + more)
        for _ in range(pauses):
            crowd.pass_time()
    turns = 0
    while crowd.waiting:
        crowd.pass_time()
        turns += 1
        assert turns < 1000, (crowd.waiting, crowd.policy._streams)


def first_start(
    begin: int,
    chunks: int,
    *,
    line: Line | None = None,
    sizes: Sizes = SIXTEENFOLD,
    limits: readahead.Limits = LIMITS,
    most_in_flight: float = math.inf,
) -> tuple[int, int]:
    """Return offset and chunk size, in narrow chunks, of the stream for a read of so many of a file of 1003.5."""
    policy = ReadAhead(1003 * N + N // 2, sizes, line or far_line(), limits)
    policy.most_in_flight = lambda _seek: most_in_flight
    end = (begin + chunks) * N
    started = policy.on_read(begin * N, end, [(begin * N, end)], 0.0)[0]
    assert isinstance(started, Start)
    return started.offset // N, started.chunk_bytes // N


def test_a_large_read_elsewhere_on_a_line_that_holds_much_is_brought_in_larger_chunks() -> None:
    assert first_start(402, 4) == (400, 4)


@pytest.mark.parametrize(
    ("begin", "chunks", "other"),
    [
        (402, 3, {}),
        (402, 4, {"line": fast_line()}),  # which holds 300 KB
        (402, 4, {"line": slow_line()}),
        (402, 4, {"sizes": SIZES}),  # large chunks are no larger than that
        (402, 4, {"sizes": Sizes(N, N)}),
        (402, 4, {"limits": readahead.Limits(max_window=0)}),  # nothing that nobody asked for
        (402, 4, {"most_in_flight": MIB}),
        (1000, 4, {}),  # a larger one would be a short last chunk
    ],
)
def test_any_other_read_is_brought_in_small_chunks(begin: int, chunks: int, other: dict[str, Any]) -> None:
    assert first_start(begin, chunks, **other) == (begin, 1)


def test_a_large_read_of_which_little_is_missing_is_brought_in_small_chunks() -> None:
    policy = ReadAhead(1000 * N, SIXTEENFOLD, far_line(), LIMITS)
    started = policy.on_read(400 * N, 408 * N, [(402 * N, 403 * N)], 0.0)[0]
    assert started == Start(0, 402 * N, N, IN_FLIGHT_BYTES[2])


def test_who_reads_a_megabyte_here_and_there_gets_no_wide_stream() -> None:
    """With what the kernel reads ahead: 256 and 512 KiB, and twice 1 MiB (seen)."""
    server = Server(10_000, far_line(), sizes=SIXTEENFOLD)
    for place in range(100, 9000, 280):
        for first, last in ((0, 3), (4, 11), (12, 27), (28, 43)):
            server.ask(place + first, place + last)
        for _ in range(20):
            server.turn()
    assert (server.wide, server.started) == (0, len(range(100, 9000, 280)))


def test_larger_chunks_do_not_begin_before_another_stream_which_would_end_them() -> None:
    server = Server(1000, far_line(), sizes=SIXTEENFOLD)
    for place in range(402, 420):
        server.read(place)
    server.have -= {402, 403, 404, 405}  # as the cache may let them go
    server.read(402, 405)
    assert [place for place, _ in server.open.values()][1] == 406


@given(reads=st.lists(st.tuples(st.integers(0, 290), st.integers(0, 9), st.integers(0, 3)), max_size=30))
def test_with_larger_chunks_every_read_gets_its_bytes_and_little_comes_twice(reads: list[tuple[int, int, int]]) -> None:
    server = Server(300, far_line(), sizes=SIXTEENFOLD)
    for first, more, turns in reads:
        server.read(first, first + more)
        for _ in range(turns):
            server.turn()
    assert len(server.fetched) - len(server.have) <= 15 * server.started


def test_streams_of_readers_who_share_a_large_file_have_little_in_flight_together() -> None:
    """What they take is missing in the cache, and each reader fetches again what went too soon."""
    cache_bytes, line = 64 * 1024 * KIB, line_of(0.02, 1e9)
    policy = ReadAhead(8 * cache_bytes, Sizes(), line, readahead.Limits(cache_bytes=cache_bytes))
    policy.readers = 16
    in_flight = [
        action.in_flight_bytes
        for place in range(0, 16 * 4096 * KIB, 4096 * KIB)
        for action in policy.on_read(place, place + 256 * KIB, [(place, place + 256 * KIB)], 0.0)
        if isinstance(action, Start)
    ]
    assert len(in_flight) == 16
    assert sum(in_flight) <= cache_bytes / 32 + 4 * IN_FLIGHT_BYTES[0]


@pytest.mark.parametrize(("readers", "caches"), [(1, 8), (16, 0.5)])
def test_one_reader_or_a_file_that_the_cache_holds_takes_what_the_line_holds(readers: int, caches: float) -> None:
    cache_bytes = 64 * 1024 * KIB
    limits = readahead.Limits(cache_bytes=cache_bytes)
    policy = ReadAhead(int(caches * cache_bytes), Sizes(), line_of(0.02, 1e9), limits)
    policy.readers = readers
    started = policy.on_read(0, 256 * KIB, [(0, 256 * KIB)], 0.0)[0]
    assert isinstance(started, Start)
    assert started.in_flight_bytes == IN_FLIGHT_BYTES[2]

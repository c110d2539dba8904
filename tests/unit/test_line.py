"""What the line shows, played by streams of a made-up line."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from axxonfs.core.chunks import KIB
from axxonfs.core.line import IN_FLIGHT_BYTES, STALL_TIMEOUTS_S, FirstChunk, Line, Meter, Rate, Sample

CHUNK = 64 * KIB
NARROW, SMALL, MEDIUM, LARGE, LARGER, WIDEST = IN_FLIGHT_BYTES


def line_of(round_trip_s: float, *rates: float) -> Line:
    line = Line()
    line.note(FirstChunk(round_trip_s))
    for rate in rates:
        line.note(Rate(rate))
    return line


def test_an_unknown_line_is_taken_for_one_that_wastes_least() -> None:
    line = Line()
    assert (line.round_trip_s, line.rate) == (None, None)
    assert line.seek_bytes == NARROW
    assert not line.is_fast
    assert line.gap_bytes == 512 * KIB


def test_the_round_trip_is_the_least_of_the_first_chunks_of_a_minute() -> None:
    line = Line()
    line.note(FirstChunk(0.001, at_s=100.0))
    for second in range(61):
        line.note(FirstChunk(0.05, at_s=101.0 + second))
    assert line.round_trip_s == 0.05


def test_a_busy_minute_makes_no_line_look_distant() -> None:
    line = Line()
    line.note(FirstChunk(0.001, at_s=100.0))
    for number in range(500):
        line.note(FirstChunk(0.03, at_s=101.0 + number * 0.1))
    assert line.round_trip_s == 0.001


@given(st.lists(st.tuples(st.floats(0.0, 20.0), st.floats(0.001, 1.0)), min_size=1, max_size=60))
def test_the_round_trip_is_always_the_least_of_the_last_minute(later: list[tuple[float, float]]) -> None:
    line, now_s, all_of_them = Line(), 0.0, []
    for after_s, waited_s in later:
        now_s += after_s
        line.note(FirstChunk(waited_s, at_s=now_s))
        all_of_them.append((now_s, waited_s))
        assert line.round_trip_s == min(waited for at_s, waited in all_of_them if now_s - at_s <= 60.0)


def test_the_time_of_a_large_first_chunk_itself_is_no_round_trip() -> None:
    line = line_of(0.05, 100e6)
    line.note(FirstChunk(0.03, 1_000_000))
    assert line.round_trip_s == pytest.approx(0.02)
    line.note(FirstChunk(0.01, 1_000_000))
    assert line.round_trip_s == pytest.approx(0.005)


def test_the_rate_is_one_in_the_middle_so_that_an_odd_one_changes_nothing() -> None:
    line = line_of(0.02, 1e6, 1e6, 1e6)
    line.note(Rate(1e9))
    assert line.rate == 1e6


@pytest.mark.parametrize(
    ("round_trip_s", "rate", "seek_bytes", "run_bytes", "is_fast"),
    [
        (0.06, 1.25e6, NARROW, MEDIUM, False),  # 10 Mbit/s
        (0.02, 12.5e6, SMALL, MEDIUM, False),  # 100 Mbit/s
        (0.02, 125e6, MEDIUM, LARGE, True),  # 1 Gbit/s
        (0.06, 125e6, MEDIUM, LARGER, True),
        (0.2, 1.25e9, MEDIUM, WIDEST, True),
        (0.0007, 400e6, NARROW, MEDIUM, True),  # loopback
    ],
)
def test_what_is_in_flight_follows_from_rate_and_round_trip(
    round_trip_s: float, rate: float, seek_bytes: int, run_bytes: int, *, is_fast: bool
) -> None:
    line = line_of(round_trip_s, rate)
    assert (line.seek_bytes, line.run_bytes, line.is_fast) == (seek_bytes, run_bytes, is_fast)


@pytest.mark.parametrize(
    ("round_trip_s", "rate", "gap_bytes", "back_bytes"),
    [(0.06, 1.25e6, 150_000, 75_000), (0.01, 12.5e6, 250_000, 125_000), (0.2, 1e9, 2048 * KIB, 2048 * KIB)],
)
def test_seek_windows_are_what_the_line_brings_in_one_round_trip_and_in_two(
    round_trip_s: float, rate: float, gap_bytes: int, back_bytes: int
) -> None:
    line = line_of(round_trip_s, rate)
    assert (line.gap_bytes, line.back_bytes) == (gap_bytes, back_bytes)
    assert Line().back_bytes == 0


def test_the_kernel_reads_little_ahead_where_that_would_take_a_reader_s_time() -> None:
    assert Line().kernel_ahead_kb == 1024
    assert line_of(0.06, 1.25e6).kernel_ahead_kb == 64
    assert line_of(0.06, 12.5e6).kernel_ahead_kb == 1024


class Stream:
    """A stream whose chunks leave `in_flight_bytes` at a time, every round trip, over a line of a rate."""

    def __init__(self, *, rate: float, round_trip_s: float, in_flight_bytes: int, chunk_bytes: int = CHUNK) -> None:
        self.rate, self.round_trip_s = rate, round_trip_s
        self.in_flight_bytes, self.chunk_bytes = in_flight_bytes, chunk_bytes
        self.meter = Meter(in_flight_bytes, 0.0)
        self.came_bytes = 0
        self.now_s = 0.0

    def bring(self, chunks: int) -> list[Sample]:
        samples: list[Sample] = []
        for _ in range(chunks):
            self.came_bytes += self.chunk_bytes
            windows = -(-self.came_bytes // self.in_flight_bytes)
            # No byte comes before its window has opened, nor faster than the line.
            self.now_s = max(self.now_s + self.chunk_bytes / self.rate, windows * self.round_trip_s)
            samples += self.meter.arrived(self.chunk_bytes, self.now_s)
        return samples


def learnt(samples: list[Sample]) -> Line:
    line = Line()
    for sample in samples:
        line.note(sample)
    return line


# The narrowest window holds two chunks and a bit: three of them tell a rate that is too low.
@settings(deadline=None)
@given(st.floats(1e5, 1e9), st.floats(0.0, 0.3), st.sampled_from(IN_FLIGHT_BYTES[1:3]), st.integers(3, 200))
def test_a_narrow_window_hides_nothing_of_a_line(
    rate: float, round_trip_s: float, in_flight_bytes: int, chunks: int
) -> None:
    stream = Stream(rate=rate, round_trip_s=round_trip_s, in_flight_bytes=in_flight_bytes)
    line = learnt([*stream.bring(chunks), *stream.meter.held_up(CHUNK)])
    assert line.round_trip_s == pytest.approx(max(round_trip_s, CHUNK / rate))
    assert line.rate == pytest.approx(rate, rel=1e-3)


def test_two_chunks_tell_the_rate_already() -> None:
    stream = Stream(rate=1e8, round_trip_s=0.06, in_flight_bytes=NARROW)
    assert learnt(stream.bring(2)).rate == pytest.approx(1e8)


def test_a_line_that_becomes_slower_shows_it() -> None:
    stream = Stream(rate=1e8, round_trip_s=0.06, in_flight_bytes=NARROW)
    samples = stream.bring(40)
    stream.rate = 1e6
    assert learnt(samples + stream.bring(60)).rate == pytest.approx(1e6)


def test_what_came_while_a_stream_was_held_up_is_not_measured() -> None:
    stream = Stream(rate=1e6, round_trip_s=0.06, in_flight_bytes=NARROW)
    before = [*stream.bring(2), *stream.meter.held_up(CHUNK)]
    # All that was in flight comes at once now.
    assert [stream.meter.arrived(CHUNK, 10.0) for _ in range(3)] == [[], [], []]
    after = [sample for number in range(8) for sample in stream.meter.arrived(CHUNK, 10.0 + (number + 1) * 0.1)]
    assert after == [Rate(pytest.approx(CHUNK / 0.1))]  # type: ignore[arg-type]  # equal to a number near it
    assert learnt(before).rate == pytest.approx(1e6)


LEAST_S, MOST_S = STALL_TIMEOUTS_S


def test_a_line_that_is_not_known_gets_all_the_time_of_the_contract() -> None:
    assert Line().stall_timeout_s(CHUNK) == MOST_S


@pytest.mark.parametrize(
    ("first_s", "rate", "timeout_s"),
    [(0.001, 1e9, LEAST_S), (0.5, 1e9, 5.0), (0.1, 16 * CHUNK, LEAST_S), (0.1, 2 * CHUNK, 6.0), (3.0, 1e6, MOST_S)],
)
def test_patience_grows_with_what_the_line_needs_within_bounds(first_s: float, rate: float, timeout_s: float) -> None:
    assert line_of(first_s, rate).stall_timeout_s(CHUNK) == pytest.approx(timeout_s, abs=0.01)


def test_the_slowest_of_the_last_first_chunks_counts() -> None:
    line = line_of(0.001, 1e9)
    line.note(FirstChunk(0.8))
    line.note(FirstChunk(0.001))
    assert line.stall_timeout_s(CHUNK) == pytest.approx(8, abs=0.01)


def test_after_a_stall_there_is_all_the_time_until_something_comes() -> None:
    line = line_of(0.001, 1e9)
    line.note_stall()
    assert line.stall_timeout_s(CHUNK) == MOST_S
    line.note(FirstChunk(0.001))
    assert line.stall_timeout_s(CHUNK) == LEAST_S

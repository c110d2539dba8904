"""What a read asks for: streams to start, to let run on, or to stop.

A stream is one DownloadFile call, which delivers bytes in order from where it
started. A reader that moves forward rides one: the stream may run ahead of the
highest byte asked for by a window, which doubles with every step that shows
that reading is sequential, up to a quarter of what was read so far. A read elsewhere
starts another stream, and the one unused for longest is stopped; the others run
ahead no more. For a reader that moves backwards step by step it begins earlier, by
what the line brings in a round trip. Reads of one reader may arrive out of order by as much as the
kernel sends at once; that is a step forward like any other. A stream ends where
another one began: less than a chunk is on its way twice.

Streams are narrow at first: small chunks, and as much in flight as the line holds
for a seek, so that a probe or a seek costs little. The chunks are not quite so small
where a read asks for several of them, on a line that holds many. Where a reader keeps asking
for what has not come yet, and the line could bring more, a better stream takes
over behind what is on its way already: with large chunks and much in flight. Who
asks for a whole MiB at the beginning of a file gets that one at once.

Readers who share a file that is larger than the cache need the cache more than
speed: one of them fetches what all of them read, as long as it stays there until
the last of them has come by. So their streams together take a small part of the bytes.

All places are byte offsets; streams start at multiples of their chunk size. Pure:
no clock, no I/O, nothing awaits. The constants say which of them are measured.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence

from axxonfs.core.chunks import KIB
from axxonfs.core.line import MIB, SEEK_STEPS, Line, within

# 256 KiB: a quarter of the work in the event loop, and less than a third of what the line holds where they are used.
_NARROW_PER_MIDDLE = 4


@dataclasses.dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of chunks in bytes; `wide` is a multiple of `narrow`."""

    narrow: int = 64 * KIB
    wide: int = MIB

    @property
    def middle(self) -> int:
        """For a seek by who asks for as much at once: `narrow` where large chunks are not four times as large."""
        middle = _NARROW_PER_MIDDLE * self.narrow
        return middle if self.wide > middle else self.narrow

    def is_wide(self, chunk_bytes: int) -> bool:
        """Whether chunks are those of a run."""
        return chunk_bytes > self.middle


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """Bounds for one file."""

    # How far a stream runs ahead of the reader at most, or begins before who moves backwards; with 0 nothing is
    # fetched that nobody asked for. 8 MiB: 1 Gbit/s over 60 ms. Computed.
    max_window: int = 8 * MIB
    # How large a gap is read over at most, whatever the line shows.
    max_gap: float = math.inf
    # What the cache and all streams share.
    cache_bytes: float = math.inf
    # An interleaved container is read in two places at once, and its index in a third; each reader
    # after the first may need one more.
    max_streams: int = 3
    # A stream that nobody reads from keeps a slot at the server. Guessed.
    idle_s: float = 10.0
    # A wide one holds megabytes, and another run may want its place; a run that pauses for longer is over. So is what
    # was looked at in a result that is closed: over a distant line each of its streams holds megabytes, too. Guessed.
    wide_idle_s: float = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Start:
    """Open a stream that begins at byte `offset`."""

    stream: int
    offset: int
    chunk_bytes: int
    in_flight_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class Continue:
    """Let a stream run on, should it wait: there may be room in its window again."""

    stream: int


@dataclasses.dataclass(frozen=True, slots=True)
class Stop:
    """Cancel a stream."""

    stream: int


Action = Start | Continue | Stop

# A run is expected to go on for a quarter of what it has been: what a seek wastes is in proportion. Guessed.
_RUN_PER_WINDOW = 4
# One step backwards may be a seek like any other. Guessed.
_BACKWARD_STEPS = 2
# A reader has asked for so much that had not come yet, before a better stream takes over: a player that
# fills its buffer, or who reads a megabyte here and there, and what the kernel reads ahead for them, come to less
# (seen: 256 + 512 KiB and twice 1 MiB).
_LATE_BYTES = 3 * MIB
# The kernel sends no larger READs, and begins with one only for who reads in such blocks: a copy, hardly a probe.
# Waiting for it to show that it is one costs two round trips (measured).
_COPY_BYTES = MIB
# A player whose bytes come in time asks for few that are late; a copy takes whatever there is. Guessed.
_LATE_SHARE = 1 / 4
# What the streams of shared readers have in flight, and run ahead, is a 32nd of the bytes each. Of 16 readers of
# a file of eight caches a 16th fetched 1.15 of the least possible, a 32nd 1.1 (measured in tests/unit/test_sharing.py).
_SHARED_PART = 32


@dataclasses.dataclass(slots=True)
class _Stream:
    start: int  # its first byte
    next: int  # the next byte to arrive
    demand: int  # one past the highest byte that a reader asked for
    used_s: float
    chunk_bytes: int
    in_flight_bytes: int
    window: int = 0
    follows: int | None = None  # the stream behind which it began, until somebody asks for a byte of it
    follows_demand: int = 0  # what was asked of that one; since then it brings all up to here
    late_bytes: int = 0  # asked for after the start, and not here then
    backward: int = 0  # steps in a row that each ended a little before where the last one began

    @property
    def end(self) -> int:
        """Up to where it may fetch now."""
        return self.demand + self.window


class ReadAhead:
    """The streams of one file of `file_size` bytes."""

    def __init__(self, file_size: int, sizes: Sizes, line: Line, limits: Limits) -> None:
        self.sizes = sizes
        self._file_size = file_size
        self._line = line
        self._limits = limits
        self._streams: dict[int, _Stream] = {}
        self._ending_bytes: dict[int, int] = {}  # what streams have in flight that were stopped and not ended yet
        self._next_stream = 0
        self.readers = 1
        # How much a stream may have in flight at most: for a seek, or else for a run.
        self.most_in_flight: Callable[[bool], float] = lambda _seek: math.inf

    @property
    def ending_bytes(self) -> int:
        """What streams have in flight that were stopped and are about to end."""
        return sum(self._ending_bytes.values())

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    def on_read(self, begin: int, end: int, missing: Sequence[tuple[int, int]], now_s: float) -> list[Action]:
        """Decide what a read of the bytes from `begin` to `end` asks for, of which the ranges `missing` are not here.

        Where all streams are busy for others, a missing range stays without a
        stream (see `is_coming`): ask again when a stream has done its part.
        """
        actions: list[Action] = []
        late_bytes = {number: 0 for number in self._streams if self._covers(number, begin)}
        for first, last in missing:
            place = first
            while place < last:
                number = self._bringing(place)
                if number is None:
                    started = self._start(place, last, end, now_s)
                    if not started:
                        break
                    actions += started
                    number = self._next_stream - 1
                after = int(min(last, self._bound(number)))
                late_bytes[number] = late_bytes.get(number, 0) + after - place
                place = after
        for number, late in late_bytes.items():
            if number in self._streams:
                actions += self._step(number, end, late, now_s)
        return actions

    def is_coming(self, place: int) -> bool:
        """Whether an open stream brings the byte without being asked for more than it was."""
        return any(self.brings(number, place) for number in self._streams)

    def brings(self, stream: int, place: int) -> bool:
        """Whether a stream is open and brings the byte without being asked for more than it was."""
        state = self._streams.get(stream)
        return state is not None and state.next <= place < min(state.demand, self._bound(stream))

    def on_chunk(self, stream: int, end: int) -> list[Action]:
        """Take note that a stream has brought all up to `end`; it ends where another one began."""
        if stream not in self._streams:
            return []
        state = self._streams[stream]
        state.next = end
        return self.stop(stream) if end >= self._bound(stream) else self._bettered(stream)

    def has_room(self, stream: int, most_ahead: int) -> bool:
        """Whether the stream may fetch its next chunk now: at most `most_ahead` further than anybody asked for."""
        state = self._streams.get(stream)
        if state is None:
            return False
        most = min(most_ahead, self._shared_bytes / len(self._streams))
        return state.next < min(state.end, state.demand + most)

    def use(self, stream: int, now_s: float) -> None:
        """Take note that somebody waits for what a stream brings next, whatever was asked for."""
        if stream in self._streams:
            self._streams[stream].used_s = now_s

    def is_satisfied(self, stream: int) -> bool:
        """Whether the stream has brought all that readers asked for so far."""
        return stream in self._streams and self._streams[stream].next >= self._streams[stream].demand

    def on_end(self, stream: int) -> None:
        """Take note that a stream ended, for whatever reason."""
        self._streams.pop(stream, None)
        self._ending_bytes.pop(stream, None)

    def idle(self, now_s: float, wanted: Sequence[int] = ()) -> list[Action]:
        """Return the stops of the streams that nobody used for a while, nor waits for: at the places `wanted`."""
        old = [
            number
            for number, stream in self._streams.items()
            if now_s - stream.used_s >= self._idle_s(stream)
            and not any(stream.next <= place < stream.demand for place in wanted)
        ]
        return [action for number in old for action in self.stop(number)]

    def _idle_s(self, stream: _Stream) -> float:
        satisfied = stream.next >= stream.demand
        over = self.sizes.is_wide(stream.chunk_bytes) or not self.readers
        return self._limits.wide_idle_s if over and satisfied else self._limits.idle_s

    def left(self) -> list[Action]:
        """Take note that nobody has the file open: what was on its way for a copy is wanted no more."""
        self.readers = 0
        wide = [number for number, stream in self._streams.items() if self.sizes.is_wide(stream.chunk_bytes)]
        return [action for number in wide for action in self.stop(number)]

    def unused(self) -> list[tuple[float, int]]:
        """Return when each stream that brings nothing anybody asked for was last used, and its number."""
        return [(stream.used_s, number) for number, stream in self._streams.items() if stream.next >= stream.demand]

    def stop(self, stream: int) -> list[Action]:
        """Return the stop of one stream, if it is open."""
        state = self._streams.pop(stream, None)
        if state is None:
            return []
        self._ending_bytes[stream] = state.in_flight_bytes
        return [Stop(stream)]

    def stop_all(self) -> list[Action]:
        """Return the stops of all streams."""
        return [action for number in list(self._streams) for action in self.stop(number)]

    @property
    def _shared_bytes(self) -> float:
        """What all streams may have in flight, and how far they may run ahead; infinity where nothing is shared."""
        shared = self.readers > 1 and self._file_size > self._limits.cache_bytes
        return self._limits.cache_bytes / _SHARED_PART if shared else math.inf

    def _most_in_flight(self, *, seek: bool) -> float:
        """Return how much one more stream may have in flight."""
        left = self._shared_bytes - sum(stream.in_flight_bytes for stream in self._streams.values())
        # A run takes what is left; a stream that begins leaves something for the next one.
        return min(self.most_in_flight(seek), left / _RUN_PER_WINDOW if seek else left)

    @property
    def _gap_bytes(self) -> float:
        return min(self._line.gap_bytes, self._limits.max_gap)

    def _bringing(self, place: int) -> int | None:
        """Return the stream that brings a byte, or would if asked: it is in its window, or after a small gap."""
        for number, stream in self._streams.items():
            reach = max(stream.next + self._gap_bytes + 1, stream.end)
            if stream.next <= place < min(reach, self._bound(number)):
                return number
        return None

    def _covers(self, stream: int, place: int) -> bool:
        """Whether a byte is on a stream's way, or behind it where it came from."""
        state = self._streams[stream]
        reach = max(state.next + self._gap_bytes, state.end)
        return state.start <= place <= reach and place < self._bound(stream)

    def _bound(self, stream: int) -> float:
        """Return where the next stream after this one began; infinity where there is none."""
        start = self._streams[stream].start
        return min((other.start for other in self._streams.values() if other.start > start), default=math.inf)

    def _start(self, place: int, last: int, stop: int, now_s: float) -> list[Action]:
        # Whoever seeks leaves a place; what is fetched ahead there delays what is wanted here, and takes its room.
        actions = self._left_behind() if self.readers <= 1 else []
        if len(self._streams) >= self._limits.max_streams + max(1, self.readers) - 1:
            unused = self.unused()
            if not unused:
                # All of them bring what somebody waits for; stopping one would make readers undo each other.
                return []
            actions += self.stop(min(unused)[1])
        backward = self._backward(place, stop)
        offset = self._begin(place, backward)
        copy = offset == 0 and _COPY_BYTES <= stop <= self._file_size - _COPY_BYTES and self._limits.max_window > 0
        chunk_bytes, in_flight_bytes = self._means(run=copy)
        if chunk_bytes == self.sizes.narrow and in_flight_bytes >= SEEK_STEPS[-1]:
            offset, chunk_bytes = self._less_finely(place, last, offset)
        stream = _Stream(offset, offset, stop, now_s, chunk_bytes, in_flight_bytes, backward=backward)
        return [*actions, self._open(stream)]

    def _left_behind(self) -> list[Action]:
        """Let no stream run ahead, and stop those that began in vain.

        One whose predecessor has ended stays: it alone knows the place, for whoever comes back or goes on.
        """
        for stream in self._streams.values():
            stream.window = stream.late_bytes = 0
        actions: list[Action] = []
        for number, stream in list(self._streams.items()):
            before = self._streams.get(stream.follows) if stream.follows is not None else None
            if before is not None:
                before.demand = stream.follows_demand
                actions += self.stop(number)
        return actions

    def _means(self, *, run: bool) -> tuple[int, int]:
        """Return the size of chunks, and how much to have in flight, for a run or else for a seek."""
        fast = run and self._line.is_fast
        wanted_bytes = self._wanted_bytes(run=run)
        if fast:
            wanted_bytes = min(wanted_bytes, self._file_size)
        in_flight_bytes = within(min(wanted_bytes, self._most_in_flight(seek=not fast)))
        # Large chunks in a small window would come one at a time.
        wide = fast and in_flight_bytes > self.sizes.wide
        return (self.sizes.wide if wide else self.sizes.narrow), in_flight_bytes

    def _is_best(self, stream: _Stream, *, run: bool) -> bool:
        """Whether there is no better stream, however much may be in flight: asked with every step of a run."""
        return stream.chunk_bytes >= self.sizes.wide and stream.in_flight_bytes >= self._wanted_bytes(run=run)

    def _wanted_bytes(self, *, run: bool) -> int:
        """Return what the line wants to have in flight, for a run or else for a seek."""
        return self._line.run_bytes if run and self._line.is_fast else self._line.seek_bytes

    def _backward(self, place: int, stop: int) -> int:
        """Return how many steps backwards a reader has made with this one."""
        near = (other for other in self._streams.values() if place < other.start <= stop + self._line.gap_bytes)
        return max((other.backward + 1 for other in near), default=0)

    def _begin(self, place: int, backward: int) -> int:
        """Return where a stream for a byte begins: earlier where the reader has moved backwards before."""
        back_bytes = min(self._line.back_bytes, self._limits.max_window) if backward >= _BACKWARD_STEPS else 0
        return max(place - back_bytes, self._fetched(place)) // self.sizes.narrow * self.sizes.narrow

    def _less_finely(self, place: int, last: int, offset: int) -> tuple[int, int]:
        """Return where a stream begins of which `place` to `last` is wanted, and the size of its chunks."""
        middle = self.sizes.middle
        start = offset // middle * middle
        # Not before what others fetched, nor with a short last chunk, which costs the one before it as well.
        fits = self._fetched(place) <= start <= self._file_size - middle
        useful = middle <= last - place and self._limits.max_window > 0
        return (start, middle) if fits and useful else (offset, self.sizes.narrow)

    def _fetched(self, place: int) -> int:
        """Return up to where a stream brings or has brought what lies before a byte."""
        ends = (end for other in self._streams.values() for end in (other.start, other.next) if end <= place)
        return max(ends, default=0)

    def _open(self, stream: _Stream) -> Start:
        number = self._next_stream
        self._next_stream += 1
        self._streams[number] = stream
        return Start(number, stream.start, stream.chunk_bytes, stream.in_flight_bytes)

    def _step(self, number: int, stop: int, late_bytes: int, now_s: float) -> list[Action]:
        stream = self._streams[number]
        stream.used_s = now_s
        if stop > stream.start:
            stream.follows = None
        if stop <= stream.demand:
            for other in self._streams.values():
                if other.follows == number:
                    other.follows_demand = max(other.follows_demand, stop)
            return []
        stream.demand = stop
        stream.late_bytes += late_bytes
        # The first step past what a stream was started for already tells a run from a probe.
        grown = min(max(self.sizes.narrow, 2 * stream.window), (stop - stream.start) // _RUN_PER_WINDOW)
        stream.window = min(self._limits.max_window, max(stream.window, grown))
        return [*self._bettered(number), Continue(number)]

    def _bettered(self, number: int) -> list[Action]:
        """Let a stream that can do more take over behind what another one has in flight."""
        stream = self._streams[number]
        in_flight_end = stream.next + stream.in_flight_bytes
        run = stream.late_bytes >= max(_LATE_BYTES, _LATE_SHARE * (stream.demand - stream.start))
        # The line turned out to hold more than was thought when the stream began, and that much is asked for.
        hindered = stream.demand > in_flight_end and stream.in_flight_bytes < self._line.seek_bytes
        if not (self._limits.max_window and (run or hindered)) or self._is_best(stream, run=run):
            return []
        chunk_bytes, in_flight_bytes = self._means(run=run)
        if chunk_bytes <= stream.chunk_bytes and in_flight_bytes <= stream.in_flight_bytes:
            return []
        start = -(-in_flight_end // chunk_bytes) * chunk_bytes
        # The first one brings what lies between, whether anybody asked for it yet or not.
        others = (other for other in self._streams.values() if other is not stream)
        taken = any(stream.next <= other.start <= start for other in others)
        # A short last chunk would not tell whether the server cuts as large as it was asked to.
        if start + chunk_bytes > self._file_size or taken:
            return []
        demand, stream.demand = stream.demand, start
        after = max(demand, start + chunk_bytes)
        better = _Stream(start, start, after, stream.used_s, chunk_bytes, in_flight_bytes, stream.window)
        if demand <= start:
            better.follows, better.follows_demand = number, demand
        return [self._open(better)]

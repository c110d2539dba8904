"""What a read asks for: streams to start, to let run on, or to stop.

A stream is one DownloadFile call, which delivers chunks in order from where it
started. A reader that moves forward rides one: the stream may run ahead of the
highest chunk asked for by a window, which doubles with every step that shows
that reading is sequential. A read elsewhere starts another stream, and the one
unused for longest is stopped. Reads of one reader may arrive out of order by as
much as the kernel sends at once; that is a step forward like any other. A stream
ends where another one began: no chunk is fetched by two.

All places are chunk indices. Pure: no clock, no I/O, nothing awaits. The
constants say which of them are measured.
"""

import dataclasses
import math
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """Bounds in chunks and streams for one file."""

    # How far a stream runs ahead of the reader at most. 8 MiB of 256 KiB chunks: a bandwidth times
    # round trip of 1 Gbit/s at 60 ms. Computed, not measured.
    max_window: int = 32
    # A gap in front of a stream that is read over rather than reopened. Reopening costs about a
    # round trip; reading over costs the gap. 2 MiB of 256 KiB chunks are what the kernel has in
    # flight, out of order (measured); for seeks it is guessed, until it is derived from the line.
    max_gap: int = 8
    # An interleaved container is read in two places at once, and its index in a third.
    max_streams: int = 3
    # A stream that nobody reads from keeps a slot at the server. Guessed.
    idle_s: float = 10.0


@dataclasses.dataclass(frozen=True, slots=True)
class Start:
    """Open a stream that begins at chunk `index`."""

    stream: int
    index: int


@dataclasses.dataclass(frozen=True, slots=True)
class Continue:
    """Let a waiting stream run on: there is room in its window again."""

    stream: int


@dataclasses.dataclass(frozen=True, slots=True)
class Stop:
    """Cancel a stream."""

    stream: int


Action = Start | Continue | Stop


@dataclasses.dataclass(slots=True)
class _Stream:
    start: int  # its first chunk
    next: int  # the next chunk to arrive
    demand: int  # one past the highest chunk that a reader asked for
    used_s: float
    window: int = 0

    @property
    def end(self) -> int:
        """One past the last chunk that it may fetch now."""
        return self.demand + self.window


class ReadAhead:
    """The streams of one file."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._streams: dict[int, _Stream] = {}
        self._next_stream = 0

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    def on_read(self, wanted: range, missing: Sequence[int], now_s: float) -> list[Action]:
        """Decide what a read of the chunks `wanted` asks for, of which `missing` are not here (ascending).

        Where all streams are busy for others, a missing chunk stays without a
        stream (see `is_coming`): ask again when a stream has done its part.
        """
        actions: list[Action] = []
        riding = {number for number in self._streams if self._covers(number, wanted.start)}
        for index in missing:
            number = self._bringing(index)
            if number is None:
                actions += self._start(index, wanted.stop, now_s)
            else:
                riding.add(number)
        for number in riding & self._streams.keys():
            actions += self._step(number, wanted.stop, now_s)
        return actions

    def is_coming(self, index: int) -> bool:
        """Whether an open stream brings the chunk."""
        return self._bringing(index) is not None

    def on_chunk(self, stream: int, index: int) -> list[Action]:
        """Take note of a chunk that arrived; the stream ends where another one began."""
        if stream not in self._streams:
            return []
        self._streams[stream].next = index + 1
        return self.stop(stream) if index + 1 == self._bound(stream) else []

    def has_room(self, stream: int) -> bool:
        """Whether the stream may fetch its next chunk now."""
        return stream in self._streams and self._streams[stream].next < self._streams[stream].end

    def on_end(self, stream: int) -> None:
        """Take note that a stream ended, for whatever reason."""
        self._streams.pop(stream, None)

    def idle(self, now_s: float) -> list[Action]:
        """Return the stops of the streams that nobody used for a while."""
        old = [number for number, stream in self._streams.items() if now_s - stream.used_s >= self._limits.idle_s]
        return [action for number in old for action in self.stop(number)]

    def unused(self) -> list[tuple[float, int]]:
        """Return when each stream that brings nothing anybody asked for was last used, and its number."""
        return [(stream.used_s, number) for number, stream in self._streams.items() if stream.next >= stream.demand]

    def stop(self, stream: int) -> list[Action]:
        """Return the stop of one stream, if it is open."""
        return [Stop(stream)] if self._streams.pop(stream, None) else []

    def stop_all(self) -> list[Action]:
        """Return the stops of all streams."""
        return [action for number in list(self._streams) for action in self.stop(number)]

    def _bringing(self, index: int) -> int | None:
        """Return the stream that brings a chunk, or would after a small gap."""
        for number, stream in self._streams.items():
            reach = max(stream.next + self._limits.max_gap + 1, stream.end)
            if stream.next <= index < min(reach, self._bound(number)):
                return number
        return None

    def _covers(self, stream: int, index: int) -> bool:
        """Whether a chunk is on a stream's way, or behind it where it came from."""
        state = self._streams[stream]
        reach = max(state.next + self._limits.max_gap, state.end)
        return state.start <= index <= reach and index < self._bound(stream)

    def _bound(self, stream: int) -> float:
        """Return where the next stream after this one began; infinity where there is none."""
        start = self._streams[stream].start
        return min((other.start for other in self._streams.values() if other.start > start), default=math.inf)

    def _start(self, index: int, stop: int, now_s: float) -> list[Action]:
        actions: list[Action] = []
        if len(self._streams) >= self._limits.max_streams:
            unused = self.unused()
            if not unused:
                # All of them bring what somebody waits for; stopping one would make readers undo each other.
                return []
            actions += self.stop(min(unused)[1])
        number = self._next_stream
        self._next_stream += 1
        self._streams[number] = _Stream(start=index, next=index, demand=stop, used_s=now_s)
        return [*actions, Start(number, index)]

    def _step(self, number: int, stop: int, now_s: float) -> list[Action]:
        stream = self._streams[number]
        stream.used_s = now_s
        if stop <= stream.demand:
            return []
        waiting = stream.next >= stream.end
        stream.demand = stop
        # The first step past what a stream was started for already tells a run from a probe.
        stream.window = min(self._limits.max_window, max(1, 2 * stream.window))
        return [Continue(number)] if waiting else []

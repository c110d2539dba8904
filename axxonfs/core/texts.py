"""Texts about something that changes: when they are built, and what an open file shows of them.

A text is built when somebody looks, and kept until what it says changes. Pure;
imports nothing of ours. Instants are in seconds of a clock that does not jump. Not
thread-safe: it belongs to the event loop, and no method awaits.
"""

from collections.abc import Callable

# How long a size that a program was told holds: longer than any pause between two of its calls, and far shorter than
# the life of one that opens a text now and reads it when something has happened.
PROMISE_S = 10.0


class Text:
    """A text about something else, built when somebody looks and kept until what it says changes."""

    __slots__ = ("_data", "_old", "_render", "_snapshots")

    def __init__(self, render: Callable[[], bytes]) -> None:
        self._render = render
        self._data: bytes | None = None
        self._old = False
        self._snapshots: dict[int, list[Snapshot]] = {}  # of each thread that has the text open

    @property
    def data(self) -> bytes:
        """The current text."""
        if self._data is None or self._old:
            self._data, self._old = self._render(), False
        return self._data

    @property
    def size(self) -> int:
        """The length of the current text."""
        return len(self.data)

    def invalidate(self) -> bool:
        """Have the text built anew at the next look; tell whether anybody has seen it."""
        self._old = True
        return self._data is not None

    def refresh(self) -> bool:
        """Build the text anew; tell whether it says something else than the one that was shown."""
        if self._data is None:
            return False
        fresh, self._old = self._render(), False
        if fresh == self._data:
            return False
        self._data = fresh
        return True

    def open(self, reader: int) -> "Snapshot":
        """Open the text for a thread, by its number."""
        snapshot = Snapshot(self, reader)
        self._snapshots.setdefault(reader, []).append(snapshot)
        return snapshot

    def close(self, snapshot: "Snapshot") -> None:
        """Forget what `open` returned."""
        opened = self._snapshots[snapshot.reader]
        opened.remove(snapshot)
        if not opened:
            del self._snapshots[snapshot.reader]

    def promise(self, reader: int, now_s: float) -> None:
        """Take note that a thread is told how long the text is: what it has open shows it that text next."""
        for snapshot in self._snapshots.get(reader, ()):
            snapshot.promise(now_s)


class Snapshot:
    """What an open file shows of a text, whole whatever becomes of the text meanwhile.

    Taken at open and again at every read at offset 0, as in sysfs. A program that
    asks how long the text is before it reads gets the text whose length it was told:
    tar stores no more than that length.
    """

    __slots__ = ("_data", "_promised", "_promised_s", "_text", "reader")

    def __init__(self, text: Text, reader: int) -> None:
        self.reader = reader
        self._text = text
        self._data = text.data
        self._promised: bytes | None = None
        self._promised_s = 0.0

    @property
    def differs(self) -> bool:
        """Whether the text has changed since the snapshot."""
        return self._text.data != self._data

    def read(self, offset: int, size: int, now_s: float) -> bytes:
        """Return a piece; one at offset 0 takes the snapshot anew."""
        if offset == 0:
            kept = self._promised if now_s - self._promised_s < PROMISE_S else None
            self._data, self._promised = self._text.data if kept is None else kept, None
        return self._data[offset : offset + size]

    def promise(self, now_s: float) -> None:
        """Have the next read at offset 0 show the text as it is now, if it comes within `PROMISE_S`."""
        self._promised, self._promised_s = self._text.data, now_s

    def follow(self) -> None:
        """Have the next read at offset 0 show the newest text: somebody waits for a change."""
        self._promised = None

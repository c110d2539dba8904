"""The export agent: one thread that works on all running sessions, a group of pictures at a time.

Decides when each piece of work is due: archive footage at the configured speed,
live footage as it happens. Between two pieces it lets go of everything, so calls
are answered while clips are drawn. It keeps no list of its own that could be
lost: whatever the engine calls running and has no export yet gets one, which is
also how exports go on after a restart. Pure but for the thread: tests call `step`.
"""

import contextlib
import functools
import logging
import threading
from collections.abc import Callable

from axxonfs.core.timers import Timers
from axxonfs.simulator.plan import Plan
from axxonfs.simulator.records import ResultFile, SessionRecord
from axxonfs.simulator.sessions import Sessions
from axxonfs.simulator.switches import Switches
from axxonfs.simulator.writers import Writer, last_frame, name_results

_log = logging.getLogger(__name__)

# A snapshot takes as long as this much footage: 3 s, as measured, at the default speed of 60.
_STILL_WORK_S = 180.0
# How late, at most, a timer is noticed that nobody looks at; and the part of the shortest timer that this may be.
_SWEEP_S = 0.5
_SWEEP_PART = 10


class Export:
    """One running export: a plan, and how much of it a writer has taken."""

    def __init__(self, record: SessionRecord, plan: Plan, writer: Writer, speed: float) -> None:
        self.record = record  # as it was when the work began
        self.plan = plan
        self.writer = writer
        self.last_frame_ms: int | None = None
        self._next_ms = plan.begin_ms
        self._started_s = record.started_s
        self._speed = speed

    @property
    def finished(self) -> bool:
        """Whether the whole interval is written."""
        return self.plan.end_ms is not None and self._next_ms >= self.plan.end_ms

    @property
    def due_s(self) -> float:
        """When, on the engine's clock, the next piece of work may be done (the end, once all is written)."""
        if self.plan.still or self.plan.empty:
            return self._started_s + _STILL_WORK_S / self._speed
        if self.plan.live:
            return self._group_end(self._next_ms) / 1000
        return self._started_s + (self._next_ms - self.plan.begin_ms) / 1000 / self._speed

    def advance(self) -> None:
        """Write the next group of pictures."""
        self._write_until(self._group_end(self._next_ms))

    def stop(self, stop_s: float) -> None:
        """Write what still belongs to an export that was stopped: live footage up to now, or one group at least."""
        if self.plan.still or self.plan.empty:
            return
        if self.plan.live:
            end_ms = self._within(int(stop_s * 1000))
            while self._next_ms < end_ms:
                self._write_until(min(self._group_end(self._next_ms), end_ms))
        if self._next_ms == self.plan.begin_ms:
            self.advance()

    def _write_until(self, end_ms: int) -> None:
        self.writer.write(self._next_ms, end_ms)
        self.last_frame_ms = last_frame(self.plan, self._next_ms, end_ms)
        self._next_ms = end_ms

    def _group_end(self, begin_ms: int) -> int:
        return self._within(begin_ms + self.writer.group_ms)

    def _within(self, instant_ms: int) -> int:
        return instant_ms if self.plan.end_ms is None else min(instant_ms, self.plan.end_ms)


class Agent:
    """Works on the running sessions of an engine, in a thread between `start` and `stop`."""

    def __init__(
        self,
        sessions: Sessions,
        make_export: Callable[[SessionRecord], Export],
        *,
        timers: Timers,
        clock: Callable[[], float],
        switches: Callable[[], Switches],
    ) -> None:
        self._sessions = sessions
        self._make_export = make_export
        self._clock = clock
        self._switches = switches
        self._exports: dict[str, Export] = {}
        self._sweep_every_s = min(_SWEEP_S, timers.live_clip_s / _SWEEP_PART)
        self._next_sweep_s = 0.0
        self._thread: threading.Thread | None = None
        self._stopping = False

    def start(self) -> None:
        """Begin to work."""
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="export-agent", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Leave exports as they are, for the next start, and wait for the thread's end."""
        with self._sessions.changed:
            self._stopping = True
            self._sessions.changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        for export in self._exports.values():
            _close(export)
        self._exports.clear()

    def step(self) -> float:
        """Do one piece of each work that is due; return when, on the engine's clock, to come again."""
        if self._clock() >= self._next_sweep_s:
            self._sessions.sweep()
            self._next_sweep_s = self._clock() + self._sweep_every_s
        running = {record.session_id: record for record in self._sessions.running()}
        for session_id in self._exports.keys() - running.keys():
            self._abandon(session_id)
        for record in running.values():
            self._try_to_work(record)
        return min([export.due_s for export in self._exports.values()] + [self._next_sweep_s])

    def _run(self) -> None:
        while not self._stopping:
            seen = self._sessions.generation
            next_s = self.step()
            # Not as long as that if something was entered or stopped since the look.
            news = functools.partial(self._has_news, seen)
            with self._sessions.changed:
                self._sessions.changed.wait_for(news, max(0.0, next_s - self._clock()))

    def _has_news(self, seen: int) -> bool:
        return self._stopping or self._sessions.generation != seen

    def _try_to_work(self, record: SessionRecord) -> None:
        try:
            self._work(record)
        except Exception as error:  # noqa: BLE001  one export that cannot be drawn must not end all others
            export = self._exports.pop(record.session_id, None)
            if export is not None and isinstance(error, OSError) and self._sessions.is_gone(record.session_id):
                _close(export)  # destroyed meanwhile: its files went from under the writer
            else:
                _log.exception("event=export_failed session=%s", record.session_id)
            self._sessions.complete(record, None, ())

    def _work(self, record: SessionRecord) -> None:
        export = self._exports.get(record.session_id)
        if export is None:
            export = self._exports[record.session_id] = self._make_export(record)
        if record.stop_s is not None:
            export.stop(record.stop_s)
            self._finish(export)
        elif export.due_s <= self._clock():
            self._advance(export)

    def _advance(self, export: Export) -> None:
        if not export.finished:
            export.advance()
            self._sessions.progress(export.record.session_id, export.last_frame_ms, self._results(export))
        if export.finished and export.due_s <= self._clock():
            self._finish(export)

    def _finish(self, export: Export) -> None:
        del self._exports[export.record.session_id]
        export.writer.close()
        self._sessions.complete(export.record, export.last_frame_ms, self._results(export))

    def _abandon(self, session_id: str) -> None:
        export = self._exports.pop(session_id)
        _close(export)
        self._sessions.complete(export.record, None, ())

    def _results(self, export: Export) -> tuple[ResultFile, ...]:
        if self._switches().exports_fail:
            return ()
        form = self._switches().file_id
        return name_results(export.writer.pieces(), export.plan, export.record.session_id, form)


def _close(export: Export) -> None:
    # The files of a destroyed session are gone already, and with them their sizes.
    with contextlib.suppress(FileNotFoundError):
        export.writer.close()

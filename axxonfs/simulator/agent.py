"""The export agent: one thread that works on all running sessions, a group of pictures at a time.

Decides when each piece of work is due: archive footage at the configured speed,
live footage as it happens. Between two pieces it lets go of everything, so calls
are answered while clips are drawn. It keeps no list of its own that could be
lost: whatever the engine calls running and has no export yet gets one, which is
also how exports go on after a restart. Pure but for the thread: tests call `step`.
"""

import logging
import threading
from collections.abc import Callable

from axxonfs.simulator.plan import Plan
from axxonfs.simulator.records import ResultFile, SessionRecord
from axxonfs.simulator.sessions import Sessions
from axxonfs.simulator.switches import Switches
from axxonfs.simulator.writers import Writer, last_frame, name_results

_log = logging.getLogger(__name__)

# A snapshot takes as long as this much footage: 3 s, as measured, at the default speed of 60.
_STILL_WORK_S = 180.0
# How late, at most, a timer is noticed that nobody looks at.
_SWEEP_S = 0.5


class Export:
    """One running export: a plan, and how much of it a writer has taken."""

    def __init__(self, plan: Plan, writer: Writer, started_s: float, speed: float) -> None:
        self.plan = plan
        self.writer = writer
        self.last_frame_ms = plan.begin_ms
        self._next_ms = plan.begin_ms
        self._started_s = started_s
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
        clock: Callable[[], float],
        switches: Callable[[], Switches],
    ) -> None:
        self._sessions = sessions
        self._make_export = make_export
        self._clock = clock
        self._switches = switches
        self._exports: dict[str, Export] = {}
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
            export.writer.close()
        self._exports.clear()

    def step(self) -> float:
        """Do one piece of each work that is due; return when, on the engine's clock, to come again."""
        self._sessions.sweep()
        running = {record.session_id: record for record in self._sessions.running()}
        for session_id in self._exports.keys() - running.keys():
            self._exports.pop(session_id).writer.close()
        for record in running.values():
            self._work(record)
        return min((export.due_s for export in self._exports.values()), default=self._clock() + _SWEEP_S)

    def _run(self) -> None:
        while not self._stopping:
            try:
                next_s = self.step()
            except Exception:  # noqa: BLE001  one export that cannot be drawn must not end all others
                _log.exception("event=export_failed")
                next_s = self._clock() + _SWEEP_S
            with self._sessions.changed:
                if not self._stopping:
                    self._sessions.changed.wait(min(max(0.0, next_s - self._clock()), _SWEEP_S))

    def _work(self, record: SessionRecord) -> None:
        export = self._exports.get(record.session_id)
        if export is None:
            export = self._exports[record.session_id] = self._make_export(record)
        if record.stop_s is not None:
            export.stop(record.stop_s)
            self._finish(record, export)
        elif export.due_s <= self._clock():
            self._advance(record, export)

    def _advance(self, record: SessionRecord, export: Export) -> None:
        if not export.finished:
            export.advance()
            self._sessions.progress(record.session_id, export.last_frame_ms, self._results(record, export))
        if export.finished and export.due_s <= self._clock():
            self._finish(record, export)

    def _finish(self, record: SessionRecord, export: Export) -> None:
        del self._exports[record.session_id]
        export.writer.close()
        self._sessions.complete(record.session_id, self._results(record, export))

    def _results(self, record: SessionRecord, export: Export) -> tuple[ResultFile, ...]:
        if self._switches().exports_fail:
            return ()
        return name_results(export.writer.pieces(), export.plan, record.session_id, self._switches().file_id)

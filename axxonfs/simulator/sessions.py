"""The engine: all export sessions, their states and their timers.

Decides who sees which session, when one ends by itself and what is left of it.
Does no export: the agent asks for what is running and reports back. Imports no
grpc. The clock is handed in (seconds since the epoch, because sessions outlive
the process). Thread-safe: one condition guards everything and is notified of
every change; expiry is also decided at each look, so a client never meets a
session that the next sweep would remove.

Source: the wire contract, sections 6 and 8; timers from axxonfs.core.timers.
"""

import dataclasses
import hashlib
import itertools
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator

from axxonfs.core.timers import Timers
from axxonfs.simulator.plan import is_live_clip
from axxonfs.simulator.records import ResultFile, SessionRecord
from axxonfs.simulator.refusal import Refusal
from axxonfs.simulator.store import Store
from axxonfs.simulator.switches import Switches
from axxonfs.wire.export_pb2 import Options
from axxonfs.wire.export_service_pb2 import EState


class Sessions:
    """All sessions of the simulator."""

    def __init__(
        self,
        store: Store,
        *,
        node_name: str,
        timers: Timers,
        clock: Callable[[], float],
        switches: Callable[[], Switches],
    ) -> None:
        self.changed = threading.Condition()
        self._store = store
        self._node_name = node_name
        self._timers = timers
        self._clock = clock
        self._switches = switches
        self._records = {record.session_id: record for record in store.load()}
        self.generation = 0  # counts the changes that the agent has to look at
        self._sequence = max((record.sequence for record in self._records.values()), default=0)

    # What clients do.

    def start(self, options: Options, user: str) -> SessionRecord:
        """Enter a session that runs from now on; the agent finds it by `running`."""
        with self.changed:
            return self._enter(self._new(options, user))

    def listed(self, user: str, after: int, limit: int) -> list[SessionRecord]:
        """Return the first `limit` sessions that ListSessions shows to `user` behind a sequence number, in order."""
        with self.changed:
            candidates = [record.session_id for record in self._records.values() if record.sequence > after]
            visible = (record for record in self._aged_all(candidates) if self._is_visible(record, user))
            return list(itertools.islice(visible, limit))

    def get(self, session_id: str, user: str) -> SessionRecord:
        """Return a session, S_REMOVED ones included while the switch keeps them; Refusal NOT_FOUND."""
        with self.changed:
            record = self._aged(session_id)
            if record is None or not self._is_visible(record, user) or _only_lingers(record):
                raise no_session()
            return record

    def touch(self, session_id: str) -> None:
        """Reset the timer of a session, if it still exists."""
        with self.changed:
            record = self._records.get(session_id)
            if record is not None and record.gone_s is None:
                self._keep(dataclasses.replace(record, used_s=self._clock()))

    def is_gone(self, session_id: str) -> bool:
        """Return whether a session was destroyed or has expired."""
        with self.changed:
            record = self._aged(session_id)
            return record is None or record.gone_s is not None

    def ask_to_stop(self, session_id: str) -> None:
        """Tell a running session to finish with what it has."""
        with self.changed:
            record = self._records.get(session_id)
            if record is not None and record.running:
                self._stop(record, self._clock())

    def destroy(self, session_id: str) -> None:
        """End a session and delete its results; Refusal NOT_FOUND."""
        with self.changed:
            record = self._records.get(session_id)
            if record is None or record.gone_s is not None:
                raise no_session()
            if self._switches().destroys:
                self._bury(record, self._switches().destroyed_lingers_s)

    # What the agent does.

    def running(self) -> list[SessionRecord]:
        """Return the sessions whose export is not finished."""
        with self.changed:
            return [record for record in self._records.values() if record.running and record.gone_s is None]

    def progress(self, session_id: str, last_frame_ms: int | None, results: tuple[ResultFile, ...]) -> None:
        """Note how far a running export is."""
        with self.changed:
            record = self._records.get(session_id)
            if record is not None and record.running:
                # Not written to disk: after a restart the export works it out again.
                self._records[session_id] = dataclasses.replace(record, last_frame_ms=last_frame_ms, results=results)
                self.changed.notify_all()

    def complete(self, record: SessionRecord, last_frame_ms: int | None, results: tuple[ResultFile, ...]) -> None:
        """Note that an export has finished; it succeeded if there are results."""
        with self.changed:
            current = self._records.get(record.session_id)
            if current is None or current.gone_s is not None:
                self._store.delete(record)  # destroyed meanwhile: the agent may have written files since
            elif current.running:
                self._enter(
                    dataclasses.replace(
                        current,
                        state=EState.S_COMPLETED,
                        last_frame_ms=last_frame_ms,
                        results=results,
                        succeeded=bool(results),
                        used_s=self._clock(),
                    )
                )

    def sweep(self) -> None:
        """Apply the timers to all sessions and forget what is past."""
        with self.changed:
            for _ in self._aged_all(list(self._records)):
                pass

    # What tests do.

    def add(
        self,
        options: Options | None = None,
        *,
        files: Iterable[ResultFile] = (),
        user: str = "somebody",
        succeeded: bool = True,
    ) -> str:
        """Enter a finished session, as if somebody else had exported; return its id."""
        return self.add_many([(options or Options(), tuple(files))], user=user, succeeded=succeeded)[0]

    def add_many(
        self,
        sessions: Iterable[tuple[Options, tuple[ResultFile, ...]]],
        *,
        user: str = "somebody",
        succeeded: bool = True,
    ) -> list[str]:
        """Enter finished sessions, given by their options and results; return their ids."""
        with self.changed:
            records = [self._finished(options, files, user, succeeded=succeeded) for options, files in sessions]
            self._records |= {record.session_id: record for record in records}
            self._store.save(records)
            self.changed.notify_all()
            return [record.session_id for record in records]

    def remove_many(self, session_ids: Iterable[str]) -> None:
        """Let sessions vanish, as if somebody else had destroyed them all at once."""
        with self.changed:
            for session_id in session_ids:
                record = self._records.pop(session_id, None)
                if record is not None:
                    self._store.delete(record)
            self._announce()

    def records(self) -> list[SessionRecord]:
        """Return everything there is, whoever may see it."""
        with self.changed:
            return [record for record in self._aged_all(list(self._records)) if record.gone_s is None]

    def record(self, session_id: str) -> SessionRecord:
        """Return one session, whoever may see it; KeyError."""
        with self.changed:
            return self._records[session_id]

    def result_bytes(self, session_id: str, path: str) -> bytes:
        """Return what a download of this result must give."""
        with self.changed:
            record = self._records[session_id]
            result = record.result(path)
            if result is None:
                raise KeyError(path)
            return self._store.read(record, result)

    def result_sha256(self, session_id: str, path: str) -> str:
        """Return the hash of what a download of this result must give, in hex."""
        return hashlib.sha256(self.result_bytes(session_id, path)).hexdigest()

    def wait_for_state(self, session_id: str, state: EState.ValueType, timeout_s: float) -> SessionRecord:
        """Wait until a session is in `state` and return it; TimeoutError."""

        def reached() -> SessionRecord | None:
            record = self._records.get(session_id)
            return record if record is not None and record.state == state else None

        with self.changed:
            record = self.changed.wait_for(reached, timeout_s)
            if record is None:
                raise TimeoutError(f"{session_id} is not in state {state} after {timeout_s} s")
            return record

    def wait_until_gone(self, session_id: str, timeout_s: float) -> None:
        """Wait until a session was destroyed or has expired; TimeoutError."""
        deadline = time.monotonic() + timeout_s
        with self.changed:
            while not self.is_gone(session_id):
                if not self.changed.wait(deadline - time.monotonic()):
                    raise TimeoutError(f"{session_id} still exists after {timeout_s} s")

    # All below is called with the condition held.

    def _new(self, options: Options, user: str) -> SessionRecord:
        self._sequence += 1
        kept = Options()
        kept.CopyFrom(options)
        now = self._clock()
        return SessionRecord(
            sequence=self._sequence,
            session_id=self._new_id(),
            user=user,
            options=kept,
            state=EState.S_RUNNING,
            started_s=now,
            used_s=now,
        )

    def _new_id(self) -> str:
        name = str(uuid.uuid4())
        match self._switches().session_id:
            case "uuid":
                return name
            case "hostile":
                return f"../hosts\n/\u202e{name}/\0/.."
            case "node":
                return f"hosts/{self._node_name}/{name}"

    def _finished(
        self, options: Options, files: tuple[ResultFile, ...], user: str, *, succeeded: bool
    ) -> SessionRecord:
        return dataclasses.replace(
            self._new(options, user),
            state=EState.S_COMPLETED,
            results=files,
            succeeded=succeeded,
            last_frame_ms=max((file.max_ms or 0 for file in files), default=None),
        )

    def _enter(self, record: SessionRecord) -> SessionRecord:
        self._keep(record)
        self._announce()
        return record

    def _announce(self) -> None:
        self.generation += 1
        self.changed.notify_all()

    def _keep(self, record: SessionRecord) -> None:
        self._records[record.session_id] = record
        self._store.save([record])

    def _aged_all(self, session_ids: Iterable[str]) -> Iterator[SessionRecord]:
        aged = (self._aged(session_id) for session_id in session_ids)
        return (record for record in aged if record is not None)

    def _aged(self, session_id: str) -> SessionRecord | None:
        """Return a session as its timers have made it by now; None if nothing is left of it."""
        record = self._records.get(session_id)
        if record is not None:
            self._age(record, self._clock())
        return self._records.get(session_id)

    def _age(self, record: SessionRecord, now: float) -> None:
        if record.gone_s is not None:
            self._forget_past(record, now)
        elif record.running:
            # The footage ends with the timer, however late it is noticed.
            if now >= (end_s := record.used_s + self._running_limit_s(record)):
                self._stop(record, end_s)
        elif now >= record.used_s + self._timers.completed_s:
            self._bury(record, 0.0)

    def _stop(self, record: SessionRecord, stop_s: float) -> None:
        if record.stop_s is None:
            self._enter(dataclasses.replace(record, stop_s=stop_s))

    def _running_limit_s(self, record: SessionRecord) -> float:
        return self._timers.live_clip_s if is_live_clip(record.options) else self._timers.running_s

    def _bury(self, record: SessionRecord, lingers_s: float) -> None:
        """Make a session gone: for ever, or for now still to be seen as a switch wants it."""
        removed = self._switches().removed_state_s > 0
        state = EState.S_REMOVED if removed else EState.S_COMPLETED
        self._records[record.session_id] = dataclasses.replace(record, gone_s=self._clock(), state=state)
        self._store.delete(record)
        if not removed and not lingers_s:
            del self._records[record.session_id]
        self._announce()

    def _forget_past(self, record: SessionRecord, now: float) -> None:
        switches = self._switches()
        kept_s = switches.removed_state_s if record.state == EState.S_REMOVED else switches.destroyed_lingers_s
        if record.gone_s is not None and now >= record.gone_s + kept_s:
            del self._records[record.session_id]

    def _is_visible(self, record: SessionRecord, user: str) -> bool:
        return self._switches().sessions_of_all or record.user == user


def no_session() -> Refusal:
    """Return the refusal in the words of a real server."""
    return Refusal("NOT_FOUND", "There is no session with provided ID")


def _only_lingers(record: SessionRecord) -> bool:
    return record.gone_s is not None and record.state != EState.S_REMOVED

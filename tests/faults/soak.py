"""Everything at once on one mount, for minutes or hours, and what is counted of it; `test_soak` says what must hold.

16 players and 4 copies in processes of their own, a thousand sessions of which some come and go every second, exports
started, read and removed, a look around every two seconds, and something that goes wrong every few seconds. The first
finding ends the run.
"""

import collections
import contextlib
import dataclasses
import datetime as dt
import json
import os
import random
import re
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from axxonfs.core.names import tag
from tests.faults import programs, record, troubles
from tests.faults.crowd import COPIES, DOUBT_S, PLAYERS, SESSIONS, Churn, Exports, Readers
from tests.faults.judge import WRONG, Judge
from tests.fuse.harness import Rig, wait_until

READ_TIMEOUT_S = 20.0
# A read that was not answered a deadline later, and a while for its program to have the processor, hangs.
STUCK_S = READ_TIMEOUT_S + 5
QUIET_S = 6.0
SAMPLE_S = 5.0


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """What the daemon holds at a moment."""

    memory_mib: float
    threads: int
    descriptors: int
    inodes: int
    streams: int
    waiting: int  # requests that the kernel waits for


class Soak:
    """One run."""

    def __init__(self, rig: Rig, minutes: float) -> None:
        self.rig = rig
        self.minutes = minutes
        self.until_s = time.monotonic() + minutes * 60
        self.chance = random.Random(5)
        self.churn = Churn(rig, self.chance)
        self.exports = Exports(rig)
        self.judge = Judge(time.time())
        self.samples: list[Sample] = []
        self.markers: collections.Counter[str] = collections.Counter()
        self.starts = 0
        self.findings: list[BaseException] = []
        self.longest_look_s = 0.0
        self.nameless = 0  # inodes that had no name in the end
        self._stuck_since: dict[tuple[str, bytes], float] = {}
        self.stuck_s = 0.0

    def run(self) -> None:
        """Do it all, until the time is over or something is found."""
        self.readers = Readers(self.rig)
        tasks = (self._churn, self._export, self._trouble, self._back, self._watch, self._look)
        threads = [threading.Thread(target=self._guarded, args=(task,)) for task in tasks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.rig.sim.faults.clear()
        for last in (self.readers.stop, self._hear, self._tidy):
            self._guarded(last)

    def _guarded(self, task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException as error:  # noqa: BLE001 - raised again in the test's own thread
            self.findings.append(error)

    def _goes_on(self) -> bool:
        return time.monotonic() < self.until_s and not self.findings

    def _churn(self) -> None:
        while self._goes_on():
            time.sleep(1)
            self.churn.turn()

    def _export(self) -> None:
        number = 0
        while self._goes_on():
            number += 1
            self.exports.once(number)
            time.sleep(3)

    def _tidy(self) -> None:
        wait_until(self.exports.tidy, "nothing to be left of the exports", 2 * DOUBT_S, poll_s=1.0)
        self._hear()

    def _trouble(self) -> None:
        """Let something go wrong, one after another with quiet between them."""
        while self._goes_on():
            chosen = self.chance.choice(troubles.TROUBLES)
            episode = self.judge.begin(chosen, time.time())
            chosen.begin(self.rig)
            time.sleep(chosen.lasts_s)
            chosen.end(self.rig)
            episode.ended_s = time.time()
            time.sleep(QUIET_S)

    def _back(self) -> None:
        """See when the mount is back."""
        while self._goes_on():
            self.rig.look()
            listed = json.loads((self.rig.path / ".axxonfs" / "stats.json").read_text())["last_listing"]
            self.judge.listed(dt.datetime.fromisoformat(listed).timestamp(), time.time())
            time.sleep(1)

    def _look(self) -> None:
        """List and stat as people do: it is answered from memory, whatever goes wrong."""
        while self._goes_on():
            began_s = time.monotonic()
            for session in [*(self.rig.path / "sessions").iterdir()][::20]:
                with contextlib.suppress(FileNotFoundError):
                    [path.stat() for path in session.iterdir()]
            self.longest_look_s = max(self.longest_look_s, time.monotonic() - began_s)
            time.sleep(2)

    def _watch(self) -> None:
        while self._goes_on():
            time.sleep(SAMPLE_S)
            self.samples.append(sample(self.rig))
            self._count_starts()
            self._note_stuck()
            self._hear()

    def _count_starts(self) -> None:
        entries = self.rig.sim.calls.entries()
        self.rig.sim.calls.clear()
        for call in entries:
            if call.method == "StartSession" and call.status == "OK":
                self.starts += 1
                self.markers.update(re.findall(r'file_name: "(axxonfs-[^"]+)"', call.request))
        assert self.doubled == [], f"started more than once: {self.doubled}"

    def _note_stuck(self) -> None:
        now_s = time.monotonic()
        blocked = programs.blocked(self.rig)
        self._stuck_since = {read: self._stuck_since.get(read, now_s) for read in blocked}
        self.stuck_s = max([self.stuck_s, *(now_s - since_s for since_s in self._stuck_since.values())])
        # Seen twice at the ends of what it may last, it lasted up to twice the time between two looks longer.
        assert self.stuck_s <= STUCK_S + 2 * SAMPLE_S, f"in state D for {self.stuck_s:.0f} s: {blocked}"

    def _hear(self) -> None:
        """Judge what the programs complained of since the last time."""
        new = [
            queue.popleft() for queue in (self.readers.complaints, self.exports.complaints) for _ in range(len(queue))
        ]
        if new:
            tags = {tag(entry.session_id) for entry in self.rig.sim.sessions.records()}
            unexplained = self.judge.hear(new, tags)
            assert unexplained == [], "\n".join(map(self.judge.words, unexplained[:10]))

    # -- what was seen ----------------------------------------------------------------------

    def report(self, quiet: Sample) -> str:
        """Return the figures."""
        kinds = {episode.trouble.name for episode in self.judge.episodes}
        errors = collections.Counter(complaint.name for complaint in self.judge.complaints)
        wrong = sum(complaint.errno == WRONG for complaint in self.judge.complaints)
        said = ", ".join(f"{name} {count}" for name, count in errors.most_common()) or "none"
        back_s, after = self.judge.slowest_back
        facts = [
            f"checked reads of the programs: {self.readers.reads}; wrong bytes: {wrong}",
            f"exports started: {self.starts}; started twice: {len(self.doubled)}",
            f"errors of the programs: {said}; not explained by what went wrong: {len(self.judge.unexplained)}",
            f"longest from the end of a trouble until the mount was back: {back_s:.0f} s, after {after}",
            f"longest in state D: {self.stuck_s:.0f} s in a program's read; a READ in it has {READ_TIMEOUT_S:.0f} s",
            f"longest listing of all sessions with a look into every twentieth: {self.longest_look_s:.2f} s",
            f"inodes without a name at rest: {self.nameless}",
            *(f"**failed**: {error}" for error in self.findings),
        ]
        went = f"{SESSIONS} sessions of which {self.churn.gone} went and as many came"
        exported = (
            f"{self.exports.done} exports started, read and removed, {self.exports.failed} more that were refused"
        )
        head = f"{self.minutes:g} minutes: {PLAYERS} players, {COPIES} copies, {went}, {exported}; "
        head += f"{len(self.judge.episodes)} troubles of {len(kinds)} kinds."
        heads = ["of the daemon", "first third (median)", "last third (median)", "most", "at rest afterwards"]
        listed = "\n".join(f"- {fact}" for fact in facts)
        return f"{head}\n\n{listed}\n\n{record.table(heads, self._rows(quiet))}\n"

    def _rows(self, quiet: Sample) -> list[list[str]]:
        rows = []
        for field in dataclasses.fields(Sample):
            first, last = self.thirds(field.name)
            most = max(getattr(one, field.name) for one in self.samples)
            figures = (first, last, most, getattr(quiet, field.name))
            rows.append([field.name.replace("_", " "), *(f"{value:.0f}" for value in figures)])
        return rows

    def thirds(self, name: str) -> tuple[float, float]:
        """Return the medians of the first third and the last."""
        third = max(1, len(self.samples) // 3)
        values = [getattr(one, name) for one in self.samples]
        return statistics.median(values[:third]), statistics.median(values[-third:])

    @property
    def doubled(self) -> list[str]:
        """The markers that more than one start carried."""
        return [marker for marker, count in self.markers.items() if count > 1]


def sample(rig: Rig) -> Sample:
    """Return what the daemon holds now."""
    assert rig.process is not None
    process = Path(f"/proc/{rig.process.pid}")
    status = dict(re.findall(r"^(\w+):\s+(\d+)", (process / "status").read_text(), re.MULTILINE))
    stats: dict[str, Any] = json.loads((rig.path / ".axxonfs" / "stats.json").read_text())
    return Sample(
        memory_mib=int(status["VmRSS"]) / 1024,
        threads=int(status["Threads"]),
        descriptors=len(list((process / "fd").iterdir())),
        inodes=rig.inodes(),
        streams=stats["reads"]["streams_open"],
        waiting=waiting(rig.path),
    )


def waiting(path: Path) -> int:
    """Return how many requests the kernel has sent that are not answered; the one for stat is not among them."""
    device = path.stat().st_dev
    counter = Path(f"/sys/fs/fuse/connections/{os.minor(device)}/waiting")
    return int(counter.read_text()) if counter.exists() else 0

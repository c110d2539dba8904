"""Everything at once, for as long as AXXONFS_SOAK_MINUTES says: nothing wrong, nothing unexplained, nothing that grows.

16 players and 4 copies, a thousand sessions of which some come and go every
second, exports started and removed, and something goes wrong every few seconds.
"""

import collections
import contextlib
import dataclasses
import json
import os
import random
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from axxonfs.simulator.records import ResultFile
from tests.faults import programs, record, troubles
from tests.faults.worker import WRONG
from tests.fuse.harness import CLIP, Rig, plain_options, wait_until

MINUTES = float(os.environ.get("AXXONFS_SOAK_MINUTES", "2"))
PLAYERS, COPIES, SESSIONS = 16, 4, 1000
CHURN_PER_S = 4
READ_TIMEOUT_S = 20.0
# A read that began while a trouble lasted may end a deadline later, and its program needs the processor to say so.
GRACE_S = READ_TIMEOUT_S + 5
LOGIN_PAUSE_S = 60.0  # three failed logins in a row
QUIET_S = 6.0
SAMPLE_S = 5.0
KIB, MIB = 1024, 1 << 20
# What chance may add from the first third of a run to the last, besides a part of it.
ALLOWED = {"memory_mib": 40, "threads": 30, "descriptors": 60, "inodes": 1500, "streams": 16}
STATFS_FILES = 1 << 28  # what statfs adds to the number of inodes

Rigs = Callable[..., Rig]


@dataclasses.dataclass(frozen=True, slots=True)
class Sample:
    """What the daemon holds at a moment."""

    memory_mib: float
    threads: int
    descriptors: int
    inodes: int
    streams: int
    waiting: int  # requests that the kernel waits for


@dataclasses.dataclass(frozen=True, slots=True)
class Complaint:
    """An error that a program met."""

    at_s: float
    errno: int
    name: str
    session_id: str


class Readers:
    """The programs, and what they say."""

    def __init__(self, rig: Rig) -> None:
        self.complaints: list[Complaint] = []
        self.reads = 0
        kinds = ["player"] * PLAYERS + ["copy"] * COPIES
        words = [sys.executable, "-m", "tests.faults.worker"]
        pipe = subprocess.PIPE
        self.processes = [
            subprocess.Popen([*words, kind, str(rig.path), str(number)], stdout=pipe, text=True, cwd=record.ROOT)
            for number, kind in enumerate(kinds)
        ]
        self._listeners = [threading.Thread(target=self._listen, args=(process,)) for process in self.processes]
        for listener in self._listeners:
            listener.start()

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        for line in process.stdout or ():
            said = json.loads(line)
            if "reads" in said:
                self.reads += said["reads"]
            else:
                self.complaints.append(Complaint(said["at"], said["errno"], said["name"], said["session"]))

    def stop(self) -> None:
        """End them all; whoever is stuck fails the test."""
        for process in self.processes:
            assert process.poll() is None, "a program has ended by itself"
            process.kill()
        for process in self.processes:
            process.wait(GRACE_S)
        for listener in self._listeners:
            listener.join(GRACE_S)
        for process in self.processes:
            assert process.stdout is not None
            process.stdout.close()


class Churn:
    """Somebody else's sessions: a thousand, of which some come and go all the time."""

    def __init__(self, rig: Rig, chance: random.Random) -> None:
        self._rig = rig
        self._chance = chance
        self._numbers = iter(range(1, 10**9))
        self._ids: collections.deque[str] = collections.deque(self._add(SESSIONS))
        self.gone = 0

    def _add(self, count: int) -> list[str]:
        sizes = [self._chance.choice((0, 1, 1000, 64 * KIB, 300 * KIB, MIB + 1, 3 * MIB)) for _ in range(count)]
        numbered = zip(sizes, self._numbers, strict=False)
        files = [ResultFile(path=f"soak-{number}", size=size, kind="mkv", seed=number) for size, number in numbered]
        return self._rig.sim.sessions.add_many((plain_options(), (file,)) for file in files)

    def turn(self) -> None:
        """Let some go and others come."""
        gone = [self._ids.popleft() for _ in range(CHURN_PER_S)]
        self._rig.sim.sessions.remove_many(gone)
        self.gone += len(gone)
        self._ids.extend(self._add(CHURN_PER_S))


class Exports:
    """Exports that are started, read, compared and removed, one after another."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self.done = self.failed = 0
        self.wrong: list[str] = []
        self.complaints: list[Complaint] = []

    def once(self, number: int) -> None:
        """Do it once; what fails is noted with its errno."""
        name = f"soak{number}"
        session_id = ""
        try:
            session = self._rig.write_spec(name, **(CLIP() | {"comment": name}))
            session_id = self._rig.session_id(session)
            wait_until(lambda: (session / "state").read_text() != "running\n", f"the end of {name}", 90)
            for result in self._rig.results(session):
                if result.read_bytes() != self._rig.truth(result):
                    self.wrong.append(f"{name}/{result.name}")
                result.unlink()
            session.resolve().rmdir()
            for entry in (f"{name}.json", f"{name}.session"):
                (self._rig.new / entry).unlink(missing_ok=True)
            self.done += 1
        except (OSError, KeyError, ValueError) as error:
            self.failed += 1
            number_of = getattr(error, "errno", None) or 0
            self.complaints.append(Complaint(time.time(), number_of, repr(error), session_id))


class Soak:
    """One run."""

    def __init__(self, rig: Rig, minutes: float) -> None:
        self.rig = rig
        self.until_s = time.monotonic() + minutes * 60
        self.chance = random.Random(5)
        self.churn = Churn(rig, self.chance)
        self.exports = Exports(rig)
        self.episodes: list[troubles.Episode] = []
        self.samples: list[Sample] = []
        self.markers: collections.Counter[str] = collections.Counter()
        self.starts = 0
        self.failures: list[BaseException] = []
        self.longest_look_s = 0.0
        self._stuck_since: dict[tuple[str, bytes], float] = {}
        self.stuck_s = 0.0

    def run(self) -> None:
        """Do it all."""
        readers = self.readers = Readers(self.rig)
        tasks = (self._churn, self._export, self._trouble, self._watch, self._look)
        threads = [threading.Thread(target=self._guarded, args=(task,)) for task in tasks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.rig.sim.faults.clear()
        readers.stop()
        if self.failures:
            raise self.failures[0]

    def _guarded(self, task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException as error:  # noqa: BLE001 - raised again in the test's own thread
            self.failures.append(error)

    def _goes_on(self) -> bool:
        return time.monotonic() < self.until_s and not self.failures

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

    def _trouble(self) -> None:
        for episode in troubles.trouble(self.rig, self.chance, self.until_s, quiet_s=QUIET_S):
            self.episodes.append(episode)

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

    def _count_starts(self) -> None:
        entries = self.rig.sim.calls.entries()
        self.rig.sim.calls.clear()
        for call in entries:
            if call.method == "StartSession" and call.status == "OK":
                self.starts += 1
                self.markers.update(re.findall(r'file_name: "(axxonfs-[^"]+)"', call.request))

    def _note_stuck(self) -> None:
        now_s = time.monotonic()
        blocked = programs.blocked(self.rig)
        self._stuck_since = {read: self._stuck_since.get(read, now_s) for read in blocked}
        self.stuck_s = max([self.stuck_s, *(now_s - since_s for since_s in self._stuck_since.values())])

    # -- what is judged -------------------------------------------------------------------

    def unexplained(self) -> list[Complaint]:
        """Return the errors that nothing explains."""
        there = {record.session_id for record in self.rig.sim.sessions.records()}
        complaints = [*self.readers.complaints, *self.exports.complaints]
        return [complaint for complaint in complaints if not self._explained(complaint, there)]

    def _explained(self, complaint: Complaint, there: set[str]) -> bool:
        if complaint.errno == WRONG:
            return False
        if complaint in self.exports.complaints:
            # A start or a removal waits for the server, and may be told that it is away.
            return any(self._near(complaint, episode) for episode in self.episodes)
        if complaint.name in {"ESTALE", "ENOENT", "ENODATA"}:
            return complaint.session_id not in there
        return any(
            complaint.errno in episode.trouble.explains and self._near(complaint, episode) for episode in self.episodes
        )

    def _near(self, complaint: Complaint, episode: troubles.Episode) -> bool:
        lasting_s = LOGIN_PAUSE_S if episode.trouble.explains == troubles.NO_LOGIN else 0.0
        return episode.began_s <= complaint.at_s <= episode.ended_s + GRACE_S + lasting_s

    def report(self, quiet: Sample) -> str:
        """Return the figures."""
        kinds = {episode.trouble.name for episode in self.episodes}
        errors = collections.Counter(complaint.name for complaint in self.readers.complaints)
        wrong = sum(complaint.errno == WRONG for complaint in self.readers.complaints) + len(self.exports.wrong)
        said = ", ".join(f"{name} {count}" for name, count in errors.most_common()) or "none"
        went = f"{SESSIONS} sessions of which {self.churn.gone} went and as many came"
        exported = (
            f"{self.exports.done} exports started, read and removed, {self.exports.failed} more that met a trouble"
        )
        happened = f"{len(self.episodes)} troubles of {len(kinds)} kinds"
        facts = [
            f"checked reads of the programs: {self.readers.reads}; wrong bytes: {wrong}",
            f"exports started: {self.starts}; started twice: {len(self.doubled)}",
            f"errors of the programs: {said}; not explained by what went wrong: {len(self.unexplained())}",
            f"longest in state D: {self.stuck_s:.0f} s, where a read has {READ_TIMEOUT_S:.0f} s",
            f"longest listing of all sessions with a look into every twentieth: {self.longest_look_s:.2f} s",
        ]
        heads = ["of the daemon", "first third (median)", "last third (median)", "most", "at rest afterwards"]
        head = f"{MINUTES:g} minutes: {PLAYERS} players, {COPIES} copies, {went}, {exported}; {happened}."
        listed = "\n".join(f"- {fact}" for fact in facts)
        return f"{head}\n\n{listed}\n\n{record.table(heads, self._rows(quiet))}\n"

    def _rows(self, quiet: Sample) -> list[list[str]]:
        third = max(1, len(self.samples) // 3)
        rows = []
        for field in dataclasses.fields(Sample):
            values = [getattr(one, field.name) for one in self.samples]
            first, last = statistics.median(values[:third]), statistics.median(values[-third:])
            figures = (first, last, max(values), getattr(quiet, field.name))
            rows.append([field.name.replace("_", " "), *(f"{value:.0f}" for value in figures)])
        return rows

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
        inodes=os.statvfs(rig.path).f_files - STATFS_FILES,
        streams=stats["reads"]["streams_open"],
        waiting=waiting(rig.path),
    )


def waiting(path: Path) -> int:
    """Return how many requests the kernel has sent that are not answered; the one for stat is not among them."""
    device = path.stat().st_dev
    counter = Path(f"/sys/fs/fuse/connections/{os.minor(device)}/waiting")
    return int(counter.read_text()) if counter.exists() else 0


@pytest.mark.timeout(MINUTES * 60 + 300)
@pytest.mark.expects_warnings("server away")
@pytest.mark.expects_warnings("login not renewed")
@pytest.mark.expects_warnings("not destroyed")
@pytest.mark.expects_warnings("keep-alive failed")
def test_a_soak_shows_no_wrong_byte_no_doubled_start_and_nothing_that_grows(rigs: Rigs) -> None:
    rig = rigs(
        options={"read_timeout": f"{READ_TIMEOUT_S:g}s", "rate_limit": "8M", "cache_size": "64M"},
        with_wire=True,
        file_size_bytes=200 * KIB,
        export_speed=600.0,
    )
    soak = Soak(rig, MINUTES)
    rig.look()
    wait_until(lambda: len(rig.sessions) >= SESSIONS, "a thousand sessions")
    programs.look_around(rig)  # directories are filled when somebody first looks into them
    soak.run()
    wait_until(lambda: sample(rig).streams == 0, "the streams to end", 120)
    wait_until(lambda: sample(rig).waiting == 0, "the last request to be answered", GRACE_S)
    quiet = sample(rig)
    record.record("soak", soak.report(quiet))
    assert soak.unexplained() == []
    assert soak.exports.wrong == []
    assert soak.doubled == []
    assert soak.exports.done > 0
    assert soak.stuck_s <= GRACE_S + SAMPLE_S
    assert soak.longest_look_s < 10
    check_growth(soak.samples, quiet)


def check_growth(samples: list[Sample], quiet: Sample) -> None:
    """Check that the last third of a run holds no more than the first, but for what chance makes of it."""
    third = max(1, len(samples) // 3)
    for name, allowed in (
        ("memory_mib", 40.0),
        ("threads", 30),
        ("descriptors", 60),
        ("inodes", 1500),
        ("streams", 16),
    ):
        values = [getattr(one, name) for one in samples]
        first, last = statistics.median(values[:third]), statistics.median(values[-third:])
        assert last <= first * 1.15 + allowed, (name, first, last)
    # The threads of a pool stay for a while; none is for ever.
    assert quiet.threads <= samples[0].threads + 30
    assert quiet.descriptors <= samples[0].descriptors + 40

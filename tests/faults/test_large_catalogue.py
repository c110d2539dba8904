"""A catalogue of ten thousand sessions of which a tenth changes every minute: memory and processor stay flat."""

import os
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import record
from tests.fuse.harness import Rig, wait_until

SESSIONS = int(os.environ.get("AXXONFS_CATALOGUE_SESSIONS", "10000"))
MINUTES = float(os.environ.get("AXXONFS_CATALOGUE_MINUTES", "0.5"))
CHANGED_PER_MINUTE = SESSIONS // 10
STEP_S = 2.0


def memory_mib(rig: Rig) -> float:
    assert rig.process is not None
    status = Path(f"/proc/{rig.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+)", status)
    assert found
    return int(found[1]) / 1024


def processor_s(rig: Rig) -> float:
    assert rig.process is not None
    fields = Path(f"/proc/{rig.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.timeout(MINUTES * 60 + 300)
@pytest.mark.expects_warnings("server away")
def test_ten_thousand_sessions_that_change_cost_neither_memory_nor_processor_in_the_end(
    rigs: Callable[..., Rig],
) -> None:
    rig = rigs(sessions=SESSIONS, file_size_bytes=1000)
    wait_until(lambda: len(rig.sessions) >= SESSIONS, "all sessions")
    ids = [entry.session_id for entry in rig.sim.sessions.records()]
    memory, processor = [], []
    until_s = time.monotonic() + MINUTES * 60
    while time.monotonic() < until_s:
        before_s = processor_s(rig)
        count = int(CHANGED_PER_MINUTE * STEP_S / 60)
        gone, ids = ids[:count], ids[count:]
        rig.sim.sessions.remove_many(gone)
        ids += rig.sim.add_samples(count)
        rig.look()
        time.sleep(STEP_S)
        memory.append(memory_mib(rig))
        processor.append((processor_s(rig) - before_s) / STEP_S)
    third = max(1, len(memory) // 3)
    first, last = statistics.median(memory[:third]), statistics.median(memory[-third:])
    busy_first, busy_last = statistics.fmean(processor[:third]), statistics.fmean(processor[-third:])
    record.record(
        "catalogue",
        f"{SESSIONS} sessions, {CHANGED_PER_MINUTE} of them replaced every minute, {MINUTES:g} minutes, a listing "
        f"every {STEP_S:g} s: memory {first:.0f} MiB in the first third and {last:.0f} MiB in the last (most: "
        f"{max(memory):.0f}), processor {100 * busy_first:.0f} % and {100 * busy_last:.0f} % of one.\n",
    )
    assert last <= first * 1.1 + 20
    assert busy_last <= busy_first * 1.5 + 0.2

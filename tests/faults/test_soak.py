"""Everything at once, as long as AXXONFS_SOAK_MINUTES says: nothing wrong, nothing unexplained, nothing that grows."""

import os
from collections.abc import Callable

import pytest

from tests.faults import programs, record
from tests.faults.crowd import KIB, SESSIONS
from tests.faults.soak import READ_TIMEOUT_S, STUCK_S, Sample, Soak, sample
from tests.fuse.harness import Rig, wait_until

MINUTES = float(os.environ.get("AXXONFS_SOAK_MINUTES", "2"))
AN_HOUR = 60
# What chance may add from the first third of a run to the last, besides a twentieth.
CHANCE = {"memory_mib": 40, "threads": 20, "descriptors": 30, "inodes": 300, "streams": 16}

Rigs = Callable[..., Rig]


@pytest.mark.timeout(MINUTES * 60 + 600)
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
    wait_until(lambda: sample(rig).waiting == 0, "the last request to be answered", STUCK_S)
    soak.nameless = rig.nameless()
    quiet = sample(rig)
    record.record("soak" if MINUTES >= AN_HOUR else "short soak", soak.report(quiet))
    if soak.findings:
        raise soak.findings[0]
    assert soak.readers.reads > 0
    assert soak.exports.done > 0
    assert soak.longest_look_s < 30  # it waits for the processor, never for the server
    check_growth(soak, quiet)
    assert soak.nameless == 0


def check_growth(soak: Soak, quiet: Sample) -> None:
    """Check that the last third of a run holds no more than the first, but for what chance makes of it."""
    for name, allowed in CHANCE.items():
        first, last = soak.thirds(name)
        assert last <= first * 1.05 + allowed, (name, first, last)
    # The threads of a pool stay for a while; none is for ever.
    assert quiet.threads <= soak.samples[0].threads + 20
    assert quiet.descriptors <= soak.samples[0].descriptors + 30
    assert quiet.inodes <= soak.samples[0].inodes + CHANCE["inodes"]

"""One trouble while another one lasts, drawn at random, on a mount that is in use: it is always back afterwards.

What one alone does is in `test_matrix`. AXXONFS_PAIRS is how many pairs there are, one after the other on one mount.
"""

import contextlib
import os
import random
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.faults import record, troubles
from tests.faults.troubles import Trouble
from tests.fuse.harness import CLIP, QUICK, Rig, pattern_file, wait_until

PAIRS = int(os.environ.get("AXXONFS_PAIRS", "6"))
SIZE = 700_000
READ_TIMEOUT_S = 10.0
# A login that was put off twice in a row is made half a minute later, and the read before it has its deadline.
BACK_S = 90.0
PAUSES_S = (0.0, 0.3, 1.0, 3.0)

Rigs = Callable[..., Rig]


@pytest.mark.timeout(600 + PAIRS * (BACK_S + 60))
@pytest.mark.expects_warnings("server away")
@pytest.mark.expects_warnings("login not renewed")
@pytest.mark.expects_warnings("keep-alive failed")
def test_a_mount_is_back_after_any_two_troubles(rigs: Rigs) -> None:
    options = QUICK | {"read_timeout": f"{READ_TIMEOUT_S:g}s"}
    rig = rigs(options=options, with_wire=True, file_size_bytes=1000, export_speed=600.0)
    chance = random.Random(11)
    took: list[tuple[float, str]] = []
    with in_use(rig):
        for number in range(PAIRS):
            pair = chance.sample(troubles.TROUBLES, 2)
            for trouble in pair:
                trouble.begin(rig)
                time.sleep(chance.choice(PAUSES_S))
            end(rig, pair)
            names = " and ".join(trouble.name for trouble in pair)
            took.append((back_s(rig, f"pair{number}", names), names))
    slowest_s, names = max(took)
    median_s = sorted(took)[len(took) // 2][0]
    record.record(
        "pairs",
        f"{PAIRS} pairs of {len(troubles.TROUBLES)} troubles, drawn at random. From the end of both until a new "
        f"session was listed, read whole with the right bytes, and an export started: {median_s:.1f} s at the median, "
        f"{slowest_s:.1f} s at most, after {names}.\n",
    )


def end(rig: Rig, pair: list[Trouble]) -> None:
    """End both; what one of them had set, the other one's end may have put back."""
    for trouble in pair:
        trouble.end(rig)
    rig.sim.faults.clear()


def back_s(rig: Rig, name: str, names: str) -> float:
    """Return how long it takes until all that a mount is for works again."""
    began_s = time.monotonic()
    result = pattern_file(SIZE)
    path = rig.hold(result)
    [shown] = wait_until(lambda: rig.results(path), f"the result after {names}", BACK_S)
    truth = rig.truth(shown)
    wait_until(lambda: succeeds(lambda: shown.read_bytes() == truth), f"a whole read after {names}", BACK_S, poll_s=0.3)
    wait_until(lambda: succeeds(lambda: rig.write_spec(name, **CLIP())), f"a start after {names}", BACK_S, poll_s=0.3)
    return time.monotonic() - began_s


def succeeds(action: Callable[[], object]) -> bool:
    """Whether it is done without an error; what it says must be true."""
    with contextlib.suppress(OSError):
        assert action()
        return True
    return False


@contextlib.contextmanager
def in_use(rig: Rig) -> Iterator[None]:
    """Have somebody read all the time, whatever comes of it."""
    stopping = threading.Event()

    def use() -> None:
        while not stopping.wait(0.2):
            with contextlib.suppress(OSError):
                for session in rig.sessions[-3:]:
                    for result in rig.results(session):
                        result.read_bytes()

    user = threading.Thread(target=use)
    user.start()
    try:
        yield
    finally:
        stopping.set()
        user.join()

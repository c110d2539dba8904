"""What goes wrong at random under a mount, and which errors it explains.

Each trouble begins, lasts and ends. Most must not be seen by anybody who reads:
a deadline is longer than they last. A few must: then it is said which errno a
program may see, and only while it lasts, a deadline longer.
"""

import dataclasses
import errno
import random
import time
from collections.abc import Callable, Iterator

from axxonfs.simulator.certificates import Change
from axxonfs.simulator.faults import Action
from axxonfs.simulator.switches import Switches
from tests.fuse.harness import Rig

ALWAYS = 10**9
NOTHING: frozenset[int] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong, for how long, and what a reader may see of it."""

    name: str
    begin: Callable[[Rig], object]
    end: Callable[[Rig], object]
    lasts_s: float = 4.0
    explains: frozenset[int] = NOTHING


def clear(rig: Rig) -> None:
    rig.sim.faults.clear()


def nothing(_: Rig) -> None:
    """Do nothing."""


def fault(
    method: str, action: Action, *, times: int = ALWAYS, explains: frozenset[int] = frozenset(), **words: object
) -> Trouble:
    def begin(rig: Rig) -> None:
        rig.sim.faults.add(method=method, action=action, times=times, **words)  # type: ignore[arg-type]

    details = " ".join(str(word) for word in words.values())
    return Trouble(f"{method} {action} {details}".strip(), begin, clear, explains=explains)


def switched(name: str, lasts_s: float = 4.0, explains: frozenset[int] = NOTHING, **switches: object) -> Trouble:
    def begin(rig: Rig) -> None:
        rig.sim.switches = Switches(**switches)  # type: ignore[arg-type]
        rig.sim.logins.revoke_all()

    def end(rig: Rig) -> None:
        rig.sim.switches = Switches()

    return Trouble(name, begin, end, lasts_s, explains)


def wire(name: str, lasts_s: float = 4.0) -> Trouble:
    return Trouble(f"line {name}", lambda rig: getattr(rig.wire, name)(), lambda rig: rig.wire.thaw(), lasts_s)  # type: ignore[union-attr]


def certificate(change: Change) -> Trouble:
    def begin(rig: Rig) -> None:
        rig.sim.change_certificate(change)

    def end(rig: Rig) -> None:
        rig.sim.change_certificate("renewed")

    return Trouble(f"certificate {change}", begin, end, explains=NO_LOGIN)


BAD_CHUNK = frozenset({errno.EIO})
# A login that the server put off, or a token that it refused twice, is left alone for 15 s and then longer, up to
# five minutes; a certificate that may not be trusted is refused at once.
NO_LOGIN = frozenset({errno.EACCES, errno.EIO})
TROUBLES: tuple[Trouble, ...] = (
    fault("DownloadFile", "cut", after_chunks=2, times=20),
    fault("DownloadFile", "cut", after_chunks=0, status="INTERNAL", times=5),
    fault("DownloadFile", "end", after_chunks=3, times=10),
    fault("DownloadFile", "stall", after_chunks=1),
    fault("DownloadFile", "slow", after_chunks=1, delay_s=0.3),
    fault("DownloadFile", "status", status="UNAVAILABLE"),
    fault("DownloadFile", "status", status="RESOURCE_EXHAUSTED"),
    fault("DownloadFile", "status", status="UNAUTHENTICATED", times=3, explains=NO_LOGIN),
    fault("DownloadFile", "huge_chunk", after_chunks=1, times=2),
    fault("DownloadFile", "wrong_index", after_chunks=1, times=3, explains=BAD_CHUNK),
    fault("DownloadFile", "skip_chunk", after_chunks=1, times=3, explains=BAD_CHUNK),
    fault("DownloadFile", "repeat_chunk", after_chunks=1, times=3, explains=BAD_CHUNK),
    fault("DownloadFile", "empty_chunk", after_chunks=1, times=3, explains=BAD_CHUNK),
    fault("DownloadFile", "short_chunk", after_chunks=1, times=3, explains=BAD_CHUNK),
    fault("DownloadFile", "long_chunk", after_chunks=1, times=3, explains=BAD_CHUNK),
    fault("ListSessions", "status", status="UNAVAILABLE"),
    fault("ListSessions", "cut", after_chunks=1),
    fault("ListSessions", "endless_pages", times=3000),
    fault("ListSessions", "repeat_page"),
    fault("ListSessions", "half_list", times=1),
    fault("ListSessions", "delay", delay_s=3),
    fault("GetSessionState", "status", status="INTERNAL"),
    fault("*", "status", status="UNAVAILABLE"),
    fault("*", "delay", delay_s=1.0),
    switched("locked account", explains=NO_LOGIN, login="locked"),
    switched("limit of connections", explains=NO_LOGIN, login="limit"),
    switched("chunks clamped to 16 KiB", chunk_size_limit_kb=16),
    switched("node offline", node_offline=True),
    Trouble("all tokens end", lambda rig: rig.sim.logins.revoke_all(), nothing),
    Trouble("server restarts", lambda rig: rig.sim.restart(away_s=3), nothing),
    wire("freeze"),
    wire("reset"),
    wire("cut"),
    wire("refuse"),
    wire("strand"),
    Trouble("line at 1 MB/s", lambda rig: rig.wire.throttle(1e6), lambda rig: rig.wire.thaw()),  # type: ignore[union-attr]
    certificate("expired"),
    certificate("other_ca"),
)


@dataclasses.dataclass(slots=True)
class Episode:
    """A trouble that happened."""

    trouble: Trouble
    began_s: float  # since the epoch
    ended_s: float


def trouble(rig: Rig, chance: random.Random, until_s: float, *, quiet_s: float) -> Iterator[Episode]:
    """Make trouble, one after another with quiet between them, until a monotonic time; yield each as it has ended."""
    while time.monotonic() < until_s:
        chosen = chance.choice(TROUBLES)
        began_s = time.time()
        chosen.begin(rig)
        time.sleep(chosen.lasts_s)
        chosen.end(rig)
        yield Episode(chosen, began_s, time.time())
        time.sleep(quiet_s)

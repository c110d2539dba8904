"""What goes wrong at random under a mount, and which errors it explains.

Each trouble begins, lasts and ends. Most must not be seen by anybody who reads:
a deadline is longer than they last. A few must, and a start that waits for the
server may be told that it is away: then it is said which errno a program may see.
Until when, `judge` says.
"""

import dataclasses
import errno
from collections.abc import Callable

from axxonfs.simulator.certificates import Change
from axxonfs.simulator.faults import Action
from axxonfs.simulator.switches import Switches
from tests.fuse.harness import Rig

ALWAYS = 10**9
NOTHING: frozenset[int] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True)
class Trouble:
    """What goes wrong, for how long, and what those may see of it who read, and who start an export."""

    name: str
    begin: Callable[[Rig], object]
    end: Callable[[Rig], object]
    lasts_s: float = 4.0
    reads: frozenset[int] = NOTHING
    starts: frozenset[int] = NOTHING

    def explains(self, doing: str) -> frozenset[int]:
        """Return what a program may see of it that does that; everything but reads and starts needs no server."""
        return {"read": self.reads, "start": self.starts}.get(doing, NOTHING)


def clear(rig: Rig) -> None:
    rig.sim.faults.clear()


def nothing(_: Rig) -> None:
    """Do nothing."""


def fault(
    method: str,
    action: Action,
    *,
    times: int = ALWAYS,
    reads: frozenset[int] = NOTHING,
    starts: frozenset[int] = NOTHING,
    **words: object,
) -> Trouble:
    def begin(rig: Rig) -> None:
        rig.sim.faults.add(method=method, action=action, times=times, **words)  # type: ignore[arg-type]

    details = " ".join(str(word) for word in words.values())
    return Trouble(f"{method} {action} {details}".strip(), begin, clear, reads=reads, starts=starts)


def switched(
    name: str, *, reads: frozenset[int] = NOTHING, starts: frozenset[int] = NOTHING, **switches: object
) -> Trouble:
    def begin(rig: Rig) -> None:
        rig.sim.switches = Switches(**switches)  # type: ignore[arg-type]
        rig.sim.logins.revoke_all()

    def end(rig: Rig) -> None:
        rig.sim.switches = Switches()

    return Trouble(name, begin, end, reads=reads, starts=starts)


def wire(name: str, starts: frozenset[int] = NOTHING) -> Trouble:
    def begin(rig: Rig) -> None:
        getattr(rig.wire, name)()

    return Trouble(f"line {name}", begin, thaw, starts=starts)


def thaw(rig: Rig) -> None:
    assert rig.wire is not None
    rig.wire.thaw()


def certificate(change: Change) -> Trouble:
    def begin(rig: Rig) -> None:
        rig.sim.change_certificate(change)

    def end(rig: Rig) -> None:
        rig.sim.change_certificate("renewed")

    return Trouble(f"certificate {change}", begin, end, reads=REFUSED, starts=REFUSED)


BAD_CHUNK = frozenset({errno.EIO})
# A start is told at once that the server is away, or that it is not known whether it was made.
AWAY = frozenset({errno.EIO})
# A login that the server put off is left alone for 15 s and then longer; a certificate that may not be trusted is
# refused at once. EIO where several reads have failed, for then the others fail at once.
REFUSED = frozenset({errno.EACCES, errno.EIO})
TROUBLES: tuple[Trouble, ...] = (
    fault("DownloadFile", "cut", after_chunks=2, times=20),
    fault("DownloadFile", "cut", after_chunks=0, status="INTERNAL", times=5),
    fault("DownloadFile", "end", after_chunks=3, times=10),
    fault("DownloadFile", "stall", after_chunks=1),
    fault("DownloadFile", "slow", after_chunks=1, delay_s=0.3),
    fault("DownloadFile", "status", status="UNAVAILABLE"),
    fault("DownloadFile", "status", status="RESOURCE_EXHAUSTED"),
    fault("DownloadFile", "status", status="UNAUTHENTICATED", times=3),
    fault("DownloadFile", "huge_chunk", after_chunks=1, times=2),
    fault("DownloadFile", "wrong_index", after_chunks=1, times=3, reads=BAD_CHUNK),
    fault("DownloadFile", "skip_chunk", after_chunks=1, times=3, reads=BAD_CHUNK),
    fault("DownloadFile", "repeat_chunk", after_chunks=1, times=3, reads=BAD_CHUNK),
    fault("DownloadFile", "empty_chunk", after_chunks=1, times=3, reads=BAD_CHUNK),
    fault("DownloadFile", "short_chunk", after_chunks=1, times=3, reads=BAD_CHUNK),
    fault("DownloadFile", "long_chunk", after_chunks=1, times=3, reads=BAD_CHUNK),
    fault("ListSessions", "status", status="UNAVAILABLE"),
    fault("ListSessions", "cut", after_chunks=1),
    fault("ListSessions", "endless_pages", times=3000),
    fault("ListSessions", "repeat_page"),
    fault("ListSessions", "half_list", times=1),
    fault("ListSessions", "delay", delay_s=3),
    fault("GetSessionState", "status", status="INTERNAL"),
    fault("*", "status", status="UNAVAILABLE", starts=AWAY),
    fault("*", "delay", delay_s=1.0),
    switched("locked account", reads=REFUSED, starts=REFUSED, login="locked"),
    switched("limit of connections", reads=REFUSED, starts=REFUSED, login="limit"),
    switched("chunks clamped to 16 KiB", chunk_size_limit_kb=16),
    switched("node offline", starts=AWAY, node_offline=True),
    Trouble("all tokens end", lambda rig: rig.sim.logins.revoke_all(), nothing),
    Trouble("server restarts", lambda rig: rig.sim.restart(away_s=3), nothing, starts=AWAY),
    wire("freeze"),
    wire("reset", starts=AWAY),
    wire("cut", starts=AWAY),
    wire("refuse", starts=AWAY),
    wire("strand", starts=AWAY),
    Trouble("line at 1 MB/s", lambda rig: rig.wire.throttle(1e6), thaw),  # type: ignore[union-attr]
    certificate("expired"),
    certificate("other_ca"),
)

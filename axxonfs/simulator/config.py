"""What a simulator is made from: where it listens, who may log in, what it holds, how fast it is.

Decides the defaults; does nothing. Imports only the switches.
"""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path

from axxonfs.simulator.switches import Switches


def default_directory() -> Path:
    """Return where a simulator keeps its things when nobody says: below the user's state directory."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "axxonfs" / "simulator"


def _fresh_account() -> dict[str, str]:
    # The name and the password that an Axxon One has after its installation.
    return {"root": "root"}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SimulatorConfig:
    """See the comment of each field; units are in the names."""

    directory: Path = dataclasses.field(default_factory=default_directory)  # certificates, state, results
    host: str = "127.0.0.1"
    port: int = 0  # 0 picks one, which later starts of the same Simulator keep
    plaintext: bool = False  # no TLS
    node_name: str = "Server"  # in access points and as the certificate's common name
    san: tuple[str, ...] = ()  # further names and addresses in the certificate; none: common name only
    users: Mapping[str, str] = dataclasses.field(default_factory=_fresh_account, repr=False)  # name -> password
    users_without_export: frozenset[str] = frozenset()
    login_limit: int = 0  # logins open at once; 0: no limit
    token_life_s: float = 300.0  # measured with a 3.0 server; divided by the time factor
    clock_ahead_s: float = 0.0  # how far the clock is ahead that logins go by
    cameras: int = 8
    recorded_s: float = 30 * 86400.0  # how far back the archives reach
    time_factor: float = 1.0  # divides every timer
    export_speed: float = 60.0  # seconds of footage exported per second; live video always takes its time
    file_size_bytes: int | None = None  # results are pattern bytes of this size instead of pictures
    sessions: int = 0  # finished sessions to begin with, in a directory that has none
    prepared_bytes: int = 0  # serialised chunks of patterns kept in memory, for benchmarks: serving is only sending
    call_log: Path | None = None  # JSON lines, one per call
    switches: Switches = dataclasses.field(default_factory=Switches)

"""Listing sessions: scandir and stat of all of them, against a mount that does nothing.

Decides that every sample is of a fresh mount, which the kernel knows nothing of.
"""

import os
import tempfile
import time
from pathlib import Path

from benchmarks import nothing, server
from benchmarks.mounts import do_nothing, mounted_axxonfs
from benchmarks.sheet import Sheet

_POLLS = "ListSessions"  # the mount looks at the server in its own time
_CONTENT = b"nothing"
_FILE_BYTES = 4096


def listing(sheet: Sheet, scratch: Path) -> None:
    """List few sessions and many."""
    few, many = sheet.scale.sessions
    calls, ratio, each_few = _of(sheet, scratch, few)
    more_calls, _, each_many = _of(sheet, scratch, many)
    sheet.bar("listing/calls", calls + more_calls)
    sheet.bar("listing/1000", ratio)
    sheet.bar("listing/growth", each_many / each_few)


def _of(sheet: Sheet, scratch: Path, count: int) -> tuple[int, float, float]:
    """Return the calls made, the ratio to the do-nothing mount, and the time for each session."""
    with tempfile.TemporaryDirectory(dir=scratch, prefix="listing-") as directory:
        place = Path(directory)
        (place / "content").write_bytes(_CONTENT)
        contents = server.Contents(file_bytes=_FILE_BYTES, files=count)
        with server.served(place / "server", contents, tls=True) as source:
            calls: list[int] = []
            times = sheet.rounds(
                {
                    "axxonfs": lambda: _sessions_ms(source, _fresh(place), count, calls),
                    "nothing": lambda: _directories_ms(place / "content", _fresh(place), count),
                }
            )
    medians = {what: sheet.figure("listing", f"{count} sessions", what, "ms", each) for what, each in times.items()}
    return sum(calls), medians["axxonfs"] / medians["nothing"], medians["axxonfs"] / count


def _sessions_ms(source: server.Server, scratch: Path, count: int, calls: list[int]) -> float:
    """List the sessions of a fresh mount, and note the calls that the server got meanwhile."""
    where = scratch / "mnt"
    with mounted_axxonfs(source, source.address, where, scratch, {}):
        before = _calls(source)
        passed_ms = _listed_ms(where / "sessions", count)
        calls.append(_calls(source) - before)
    return passed_ms


def _directories_ms(content: Path, scratch: Path, count: int) -> float:
    """List as many directories of a fresh mount that does nothing."""
    where = scratch / "mnt"
    with do_nothing(content, where, scratch, directories=count):
        return _listed_ms(where / nothing.DIRECTORIES, count)


def _fresh(place: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=place))


def _calls(source: server.Server) -> int:
    calls = source.calls()
    return calls.total() - calls[_POLLS]


def _listed_ms(where: Path, count: int) -> float:
    began_s = time.monotonic()
    with os.scandir(where) as entries:
        found = sum(bool(entry.stat(follow_symlinks=False)) for entry in entries)
    passed_ms = 1e3 * (time.monotonic() - began_s)
    if found != count:
        raise RuntimeError(f"{found} sessions are listed instead of {count}")
    return passed_ms

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
        content = place / "content"
        content.write_bytes(_CONTENT)
        contents = server.Contents(file_bytes=_FILE_BYTES, files=count)
        with server.served(place / "server", contents, tls=True) as source:
            calls = 0
            times: dict[str, list[float]] = {"axxonfs": [], "nothing": []}
            for number in range(sheet.scale.rounds):
                where, keep = place / f"axxonfs{number}", place / f"keep{number}"
                keep.mkdir()
                with mounted_axxonfs(source, source.address, where, keep, {}):
                    before = _calls(source)
                    times["axxonfs"].append(_listed_s(where / "sessions", count))
                    calls += _calls(source) - before
                where = place / f"nothing{number}"
                with do_nothing(content, where, keep, directories=count):
                    times["nothing"].append(_listed_s(where / nothing.DIRECTORIES, count))
    medians = {
        what: sheet.figure("listing", f"{count} sessions", what, "ms", [1e3 * one for one in samples])
        for what, samples in times.items()
    }
    return calls, medians["axxonfs"] / medians["nothing"], medians["axxonfs"] / count


def _calls(source: server.Server) -> int:
    calls = source.calls()
    return calls.total() - calls[_POLLS]


def _listed_s(where: Path, count: int) -> float:
    began_s = time.monotonic()
    with os.scandir(where) as entries:
        found = sum(bool(entry.stat(follow_symlinks=False)) for entry in entries)
    passed_s = time.monotonic() - began_s
    if found != count:
        raise RuntimeError(f"{found} sessions are listed instead of {count}")
    return passed_s

"""Each trouble under each kind of use at once: right bytes or an errno, within the deadline, and all well afterwards.

AXXONFS_MATRIX=all runs every trouble; without it those that differ most are run.
A row is a server, a line and a mount of its own, so rows run side by side.
"""

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import re
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from axxonfs.simulator.pattern import pattern
from axxonfs.simulator.records import ResultFile
from tests.faults import programs, record, troubles
from tests.fuse.harness import CLIP, QUICK, Rig, _cannot_mount, make_rig, plain_options, wait_until

MIB = 1 << 20
SIZE = 3 * MIB + 1000
READ_TIMEOUT_S = 10.0
# A start has 30 s and a read its timeout; a loaded machine takes its time to say so.
DEADLINES_S = {"start": 45.0, "stop": 45.0, "destroy": 45.0}
READ_DEADLINE_S = READ_TIMEOUT_S + 15
MEMORY_S = 5.0
ROWS_AT_ONCE = 3
READS = ("sequential read", "random read", "player opening", "copy")
COLUMNS = (*READS, "listing", "start", "stop", "destroy", "ls meanwhile", "afterwards")
NAMES = {os.strerror(number): name for number, name in errno.errorcode.items()}
# What a program may see of the server's trouble; nothing else, and never wrong bytes.
ALLOWED = {"EIO", "EACCES", "ESTALE", "EINVAL"}
SUBSET = ("DownloadFile cut", "DownloadFile stall", "wrong_index", "locked account", "server restarts", "line freeze")
WARNINGS = ["server away", "login not renewed", "keep-alive failed", "not destroyed"]
# Prints the hash of 64 KiB at each of the offsets.
PIECES = """
import hashlib, os, sys
file = os.open(sys.argv[1], os.O_RDONLY)
print(hashlib.sha256(b"".join(os.pread(file, 65536, int(offset)) for offset in sys.argv[2:])).hexdigest())
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one use."""

    outcome: str  # right, WRONG, or the name of an errno
    took_s: float

    def __str__(self) -> str:
        return f"{self.outcome} {self.took_s:.1f} s"


def files(rig: Rig) -> dict[str, Path]:
    """Let the server hold a result for each kind of reading, and one for afterwards."""
    names = (*READS, "afterwards")
    results = [ResultFile(path=f"m-{seed}", size=SIZE, kind="mkv", seed=seed) for seed in range(len(names))]
    ids = rig.sim.sessions.add_many((plain_options(), (result,)) for result in results)
    rig.look()
    return {name: rig.results(rig.session_dir(session_id))[0] for name, session_id in zip(names, ids, strict=True)}


def truth(name: str) -> bytes:
    return pattern((*READS, "afterwards").index(name), 0, SIZE)


def pieces(name: str, offsets: list[int]) -> str:
    return hashlib.sha256(b"".join(truth(name)[offset : offset + 65536] for offset in offsets)).hexdigest()


def verdict(program: programs.Program, expected: str = "") -> Verdict:
    status, output, took_s = program.end(120)
    text = output.decode(errors="replace")
    if status == 0:
        return Verdict("right" if not expected or text.split()[:1] == [expected] else "WRONG", took_s)
    found = [name for words, name in NAMES.items() if words in text]
    return Verdict(found[0] if found else f"? {text[-80:]}", took_s)


def shell(text: str, path: Path) -> programs.Program:
    return programs.start("bash", "-c", 'echo "$1" > "$0"', path, text)


def use(rig: Rig, shown: dict[str, Path], live: Path, done: Path, copy: Path) -> dict[str, Verdict]:
    """Do everything at once."""
    whole = hashlib.sha256(truth(READS[0])).hexdigest()
    scattered = [SIZE * part // 7 for part in (5, 1, 6, 3)]
    opening = [0, SIZE - 65536, SIZE // 2]
    python = (sys.executable, "-c", PIECES)
    running = {
        "sequential read": (programs.start("sha256sum", shown["sequential read"]), whole),
        "random read": (
            programs.start(*python, shown["random read"], *map(str, scattered)),
            pieces("random read", scattered),
        ),
        "player opening": (
            programs.start(*python, shown["player opening"], *map(str, opening)),
            pieces("player opening", opening),
        ),
        "copy": (programs.start("cp", shown["copy"], copy), ""),
        "listing": (programs.start("ls", "-lR", rig.path / "sessions"), ""),
        "start": (shell(json.dumps(CLIP()), rig.new / "matrix.json"), ""),
        "stop": (shell("stop", live / "control"), ""),
        "destroy": (shell("destroy", done / "control"), ""),
    }
    with programs.running(*(program for program, _ in running.values())), ThreadPoolExecutor(len(running)) as pool:
        waiting = {name: pool.submit(verdict, *pair) for name, pair in running.items()}
        verdicts = {name: future.result() for name, future in waiting.items()}
    if verdicts["listing"].outcome == "ENOENT":  # a session was destroyed while ls was in it
        verdicts["listing"] = Verdict("right", verdicts["listing"].took_s)
    if verdicts["copy"].outcome == "right" and copy.read_bytes() != truth("copy"):
        verdicts["copy"] = Verdict("WRONG", verdicts["copy"].took_s)
    return verdicts


def row(trouble: troubles.Trouble, scratch: Path) -> dict[str, Verdict]:
    """Run one trouble under all uses."""
    options = QUICK | {"read_timeout": f"{READ_TIMEOUT_S:g}s", "destroy": "all"}
    with make_rig(
        scratch, declared=WARNINGS, options=options, with_wire=True, file_size_bytes=100_000, export_speed=600.0
    ) as rig:
        shown = files(rig)
        live = rig.write_spec("live", camera="1", live=True).resolve()
        done = rig.exported("done").parent.resolve()
        ended = threading.Event()
        with ThreadPoolExecutor(2) as pool:
            trouble.begin(rig)
            looking = pool.submit(programs.longest_s, lambda: look(rig), lambda: not ended.is_set())
            ending = pool.submit(end_later, trouble, rig)
            try:
                verdicts = use(rig, shown, live, done, scratch / "copy")
            finally:
                ended.set()
                ending.result()
            verdicts["ls meanwhile"] = Verdict("right", looking.result())
        assert programs.blocked(rig) == {}
        started_s = time.monotonic()
        wait_until(lambda: reads_right(shown["afterwards"]), f"all well after {trouble.name}", 60)
        verdicts["afterwards"] = Verdict("right", time.monotonic() - started_s)
        markers = [text for text in map(started_by, rig.sim.calls.entries()) if text]
        assert len(markers) == len(set(markers)), trouble.name
        rig.sim.switches = type(rig.sim.switches)()
        return verdicts


def end_later(trouble: troubles.Trouble, rig: Rig) -> None:
    time.sleep(trouble.lasts_s)
    trouble.end(rig)


def look(rig: Rig) -> None:
    try:
        programs.look_around(rig)
    except OSError as error:
        # One is destroyed meanwhile: its names are ENOENT, and what is open of it ESTALE (docs/semantics.md).
        assert error.errno in {errno.ENOENT, errno.ESTALE}, error  # noqa: PT017 - usually there is none


def reads_right(path: Path) -> bool:
    with contextlib.suppress(OSError):
        assert path.read_bytes() == truth("afterwards")
        return True
    return False


def started_by(call: object) -> str:
    """Return the marker of a start that the server has made."""
    text = str(call)
    match = re.search(r'file_name: \\?"(axxonfs-[^"\\]+)', text)
    return match[1] if match and "StartSession" in text and "'OK'" in text else ""


def chosen() -> list[troubles.Trouble]:
    if os.environ.get("AXXONFS_MATRIX") == "all":
        return list(troubles.TROUBLES)
    return [next(one for one in troubles.TROUBLES if word in one.name) for word in SUBSET]


@pytest.mark.timeout(1500)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_every_use_under_every_trouble_ends_in_time_with_the_right_bytes_or_an_errno(tmp_path: Path) -> None:
    if _cannot_mount():
        pytest.skip(_cannot_mount())
    rows = chosen()
    scratches = [tmp_path / str(number) for number in range(len(rows))]
    for scratch in scratches:
        scratch.mkdir()
    with ThreadPoolExecutor(ROWS_AT_ONCE) as pool:
        found = dict(zip([one.name for one in rows], pool.map(row, rows, scratches), strict=True))
    cells = [(name, column, cell) for name, verdicts in found.items() for column, cell in verdicts.items()]
    if os.environ.get("AXXONFS_MATRIX") == "all":
        record.record("matrix", report(found, cells))
    assert [cell for cell in cells if cell[2].outcome not in {"right", *ALLOWED}] == []
    late = [cell for cell in cells if cell[1] in (*READS, *DEADLINES_S) and cell[2].took_s > limit_s(cell[1])]
    assert late == []
    assert [cell for cell in cells if cell[1] == "ls meanwhile" and cell[2].took_s > MEMORY_S] == []


def limit_s(column: str) -> float:
    return DEADLINES_S.get(column, READ_DEADLINE_S)


def report(found: dict[str, dict[str, Verdict]], cells: list[tuple[str, str, Verdict]]) -> str:
    wrong = sum(cell.outcome == "WRONG" for _, _, cell in cells)
    reads = [cell.took_s for _, column, cell in cells if column in READS]
    head = f"{len(found)} troubles, {len(cells)} cells, wrong bytes in {wrong} of them; the slowest read took "
    head += (
        f"{max(reads):.1f} s, where one read(2) has {READ_TIMEOUT_S:.0f} s. A start that is made twice, or a program "
    )
    head += "that is left in state D, fails the run."
    rows = [[name, *(str(verdicts[column]) for column in COLUMNS)] for name, verdicts in found.items()]
    return f"{head}\n\n{record.table(['trouble', *COLUMNS], rows)}\n"

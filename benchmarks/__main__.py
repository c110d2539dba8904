"""`python -m benchmarks`: run the scenarios, print and save what they show, draw the picture.

Decides which scenarios run on which stage, and cleans up: whatever happens, what
was mounted is unmounted, what was started is ended, and what was measured until
then is shown and saved. Needs the `bench` extra,
sshfs and an sshd; run it as root, as the kernel's limits are raised for root only.
"""

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import rich.console

from benchmarks import latency, plot, report, sharing, slow_line, throughput, without_mount
from benchmarks.children import ChildError
from benchmarks.clip import make_clip
from benchmarks.facts import machine_facts
from benchmarks.listing import listing
from benchmarks.server import Contents
from benchmarks.sheet import FULL, QUICK, Figure, Sheet
from benchmarks.stage import Stage

Scenario = Callable[[Stage, Sheet], None]
# Over TLS, which is how a mount is used.
SCENARIOS: Mapping[str, Scenario] = {
    "sequential": throughput.sequential,
    "again": throughput.again,
    "random": latency.at_random,
    "opening": latency.opening,
    "first-frame": slow_line.first_frames,
    "seek-waste": slow_line.seek_waste,
    "control": slow_line.control,
    "skipping": latency.skipping,
    "sharing": sharing.sharing,
    "players": sharing.players,
    "small": sharing.small,
    "beside-copy": sharing.beside_copy,
    "fsspec": without_mount.fsspec,
    "scaling": without_mount.scaling,
}
PLAIN_SCENARIOS: Mapping[str, Scenario] = {"alone": throughput.alone, "sequential": throughput.sequential}
NAMES = (*PLAIN_SCENARIOS, *SCENARIOS, "listing")
DOCS = Path(__file__).parents[1] / "docs"
PICTURES = {"benchmarks.svg": plot.draw, "scaling.svg": plot.draw_scaling}
# The longest scenario takes so many fresh files: each worker of each round one.
_FILES = 480
_CLIPS = 8
_WIDTH = 120  # where nobody looks
_FAILED, _INTERRUPTED = 1, 130


def main() -> int:
    """Do what the command line says."""
    args = _parser().parse_args()
    console = rich.console.Console(width=None if sys.stdout.isatty() else _WIDTH)
    if args.plot:
        return _plot(console)
    # `kill` ends a run as Ctrl-C does.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    began_s = time.monotonic()
    sheet = Sheet(QUICK if args.quick else FULL, lambda text: console.print(_stamped(text, began_s), highlight=False))
    facts = machine_facts()
    status = _finish(console, lambda: _run(sheet, args.only or list(NAMES)))
    report.show(console, facts, sheet)
    console.print(f"Saved as {report.save(facts, sheet, quick=args.quick).name} in benchmarks/results.")
    if not (args.quick or args.only or status):
        for name, draw in PICTURES.items():
            draw(sheet.figures, DOCS / name)
            console.print(f"Drew docs/{name}.")
    return status


def _finish(console: rich.console.Console, run: Callable[[], None]) -> int:
    """Run to the end, or to what comes between; return the exit status."""
    try:
        run()
    except KeyboardInterrupt:
        console.print("Interrupted. What was measured so far:")
        return _INTERRUPTED
    except ChildError as error:
        console.print(f"The run cannot go on: {error}\nWhat was measured so far:", markup=False, highlight=False)
        return _FAILED
    except Exception:  # noqa: BLE001 - whatever it is, an hour's figures are not lost for it
        console.print_exception()
        console.print("The run cannot go on. What was measured so far:")
        return _FAILED
    return 0


def _interrupt(*_: object) -> None:
    """End the run, once: cleaning up is not interrupted."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="smaller files, fewer rounds: for trying something")
    parser.add_argument("--only", action="append", choices=sorted(set(NAMES)), metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--plot", action="store_true", help="draw the pictures in docs/ from the last runs, and exit")
    return parser


def _plot(console: rich.console.Console) -> int:
    drawn = [name for name, draw in PICTURES.items() if _drew(console, name, draw)]
    if not drawn:
        console.print("There is no run that measured enough to draw: python -m benchmarks makes one.")
    return not drawn


def _drew(console: rich.console.Console, name: str, draw: Callable[[Sequence[Figure], Path], None]) -> bool:
    """Draw a picture from the last run that measured what it shows; return whether there is one."""
    for path in report.newest_first():
        with contextlib.suppress(LookupError):
            draw(report.load(path), DOCS / name)
            console.print(f"Drew docs/{name} from {path.name}.")
            return True
    return False


def _run(sheet: Sheet, names: list[str]) -> None:
    with _scratch() as scratch:
        for tls, scenarios in ((False, PLAIN_SCENARIOS), (True, SCENARIOS)):
            chosen = [scenario for name, scenario in scenarios.items() if name in names]
            if chosen:
                _run_on(sheet, scratch / ("tls" if tls else "plain"), chosen, tls=tls)
        if "listing" in names:
            listing(sheet, scratch)


def _run_on(sheet: Sheet, scratch: Path, scenarios: list[Scenario], *, tls: bool) -> None:
    scratch.mkdir()
    clip = scratch / "clip.mp4"
    if slow_line.first_frames in scenarios:
        make_clip(clip, sheet.scale.clip_bytes)
    contents = Contents(
        file_bytes=sheet.scale.file_bytes, files=_FILES, clip=clip, clips=_CLIPS if clip.exists() else 0
    )
    with Stage(scratch, contents, tls=tls) as stage:
        for scenario in scenarios:
            scenario(stage, sheet)


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """Yield a directory in memory where there is one: a disk is not what is measured."""
    memory = Path("/dev/shm")  # noqa: S108 - a directory of one's own is made in it
    where = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="axxonfs-bench-", dir=where) as directory:
        yield Path(directory)


def _stamped(text: str, began_s: float) -> str:
    return f"[{time.monotonic() - began_s:5.0f} s] {text}"


if __name__ == "__main__":
    sys.exit(main())

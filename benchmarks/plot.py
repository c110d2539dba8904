"""The picture of a run that the README shows.

Decides what it shows: throughput at each round trip, and how long a player waits.
Drawn from the file of a run, so that it can be drawn again; the same figures give
the same file.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture
from matplotlib.ticker import ScalarFormatter

from benchmarks.bars import TLS
from benchmarks.latency import SECOND, player_steps
from benchmarks.sheet import Figure
from benchmarks.without_mount import COUNTS, LINES

_MOUNTS = ("axxonfs", "rclone", "sshfs")
_NAMES = {"axxonfs": "axxonfs", "rclone": "rclone mount", "sshfs": "sshfs", "bare": "a Python loop over the call"}
_COLOURS = {"axxonfs": "#1f6feb", "rclone": "#d29922", "sshfs": "#8957e5", "bare": "#8b949e"}
_ROUND_TRIPS = ("0 ms", "20 ms", "60 ms")
_SIZE_INCHES = (10.0, 4.0)
_CURVE_INCHES = (6.5, 3.6)


def draw(figures: Sequence[Figure], path: Path) -> None:
    """Write the picture, its kind after the suffix; LookupError where the run did not measure what it shows."""
    mpl.rcParams.update({"svg.hashsalt": "axxonfs", "svg.fonttype": "none", "font.size": 9})
    picture = Picture(figsize=_SIZE_INCHES, layout="constrained")
    left, right = picture.subplots(1, 2)
    _throughput(left, figures)
    _opening(right, figures)
    picture.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=len(_NAMES), frameon=False)
    path.parent.mkdir(exist_ok=True)
    picture.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def draw_scaling(figures: Sequence[Figure], path: Path) -> None:
    """Write the picture of workers against throughput; LookupError as `draw`."""
    mpl.rcParams.update({"svg.hashsalt": "axxonfs", "svg.fonttype": "none", "font.size": 9})
    picture = Picture(figsize=_CURVE_INCHES, layout="constrained")
    axes = picture.subplots()
    for line, colour in zip(LINES, _COLOURS.values(), strict=False):
        heights = [_median(figures, "scaling", str(line), f"workers: {count}") for count in COUNTS]
        axes.plot(COUNTS, heights, marker="o", color=colour, label=f"round trip {line}")
    axes.set_title("Hashing results by several workers (TLS, two cores for server and workers)")
    axes.set_xlabel("worker processes")
    axes.set_ylabel("MB/s of all together")
    axes.set_xticks(COUNTS)
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    path.parent.mkdir(exist_ok=True)
    picture.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _throughput(axes: Axes, figures: Sequence[Figure]) -> None:
    groups = {who: [_median(figures, "sequential", f"{line}, {TLS}", who) for line in _ROUND_TRIPS] for who in _NAMES}
    _bars(axes, [f"round trip {line}" for line in _ROUND_TRIPS], groups)
    axes.set_title("Reading a file from end to end (TLS)")
    axes.set_ylabel("MB/s, more is better")


def _opening(axes: Axes, figures: Sequence[Figure]) -> None:
    steps = [*(step.name for step in player_steps(1 << 30)), SECOND]
    groups = {who: [_median(figures, "opening", "20 ms", f"{who}: {step}") for step in steps] for who in _MOUNTS}
    _bars(axes, [step.replace(" ", "\n", 1) for step in steps], groups)
    axes.set_title("What a player waits for, at a round trip of 20 ms")
    axes.set_ylabel("ms, less is better")


def _bars(axes: Axes, labels: Sequence[str], groups: Mapping[str, Sequence[float]]) -> None:
    width = 0.8 / len(groups)
    for number, (who, heights) in enumerate(groups.items()):
        places = [place + (number - (len(groups) - 1) / 2) * width for place in range(len(labels))]
        drawn = axes.bar(places, heights, width, label=_NAMES[who], color=_COLOURS[who])
        axes.bar_label(drawn, fmt="%.0f", fontsize=7)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.set_xticks(range(len(labels)), labels)
    axes.spines[["top", "right"]].set_visible(False)


def _median(figures: Sequence[Figure], scenario: str, where: str, what: str) -> float:
    medians = {(one.scenario, one.circumstances, one.what): one.median for one in figures}
    return medians[scenario, where, what]

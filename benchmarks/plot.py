"""The picture of a run that the README shows.

Decides what it shows: throughput at each round trip, and how long a player waits.
Drawn from the file of a run, so that it can be drawn again; the same figures give
the same file.
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Picture

from benchmarks.bars import TLS
from benchmarks.latency import player_steps
from benchmarks.sheet import Figure

_WHO = {"axxonfs": "axxonfs", "rclone": "rclone mount", "sshfs": "sshfs"}
_DRAIN = "bare"
_COLOURS = {"axxonfs": "#1f6feb", "rclone": "#d29922", "sshfs": "#8957e5", "bare": "#8b949e"}
_ROUND_TRIPS = ("0 ms", "20 ms", "60 ms")
_SIZE_INCHES = (10.0, 3.8)


def is_enough(figures: Sequence[Figure]) -> bool:
    """Whether a run measured what the picture shows."""
    return {"sequential", "opening"} <= {figure.scenario for figure in figures}


def draw(figures: Sequence[Figure], path: Path) -> None:
    """Write the picture; its kind follows from the suffix."""
    mpl.rcParams.update({"svg.hashsalt": "axxonfs", "svg.fonttype": "none", "font.size": 9})
    picture = Picture(figsize=_SIZE_INCHES, layout="constrained")
    left, right = picture.subplots(1, 2)
    _throughput(left, figures)
    _opening(right, figures)
    path.parent.mkdir(exist_ok=True)
    picture.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


def _throughput(axes: Axes, figures: Sequence[Figure]) -> None:
    names = {**_WHO, _DRAIN: "a Python loop over the call"}
    groups = [[_median(figures, "sequential", f"{line}, {TLS}", who) for line in _ROUND_TRIPS] for who in names]
    _bars(axes, _ROUND_TRIPS, dict(zip(names, groups, strict=True)), list(names.values()))
    axes.set_yscale("log")
    axes.set_title("Reading a file from end to end (TLS)")
    axes.set_ylabel("MB/s, more is better")
    axes.set_xlabel("round trip")


def _opening(axes: Axes, figures: Sequence[Figure]) -> None:
    steps = [step.name for step in player_steps(1 << 30)]
    groups = {who: [_median(figures, "opening", "20 ms", f"{who}: {step}") for step in steps] for who in _WHO}
    _bars(axes, steps, groups, list(_WHO.values()))
    axes.set_title("What a player waits for, at a round trip of 20 ms")
    axes.set_ylabel("ms, less is better")


def _bars(axes: Axes, labels: Sequence[str], groups: dict[str, list[float]], names: Sequence[str]) -> None:
    width = 0.8 / len(groups)
    for number, ((who, heights), name) in enumerate(zip(groups.items(), names, strict=True)):
        places = [place + (number - (len(groups) - 1) / 2) * width for place in range(len(labels))]
        drawn = axes.bar(places, heights, width, label=name, color=_COLOURS[who])
        axes.bar_label(drawn, fmt="%.0f", fontsize=7)
    axes.set_xticks(range(len(labels)), labels)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)


def _median(figures: Sequence[Figure], scenario: str, where: str, what: str) -> float:
    wanted = scenario, where, what
    return next(one.median for one in figures if (one.scenario, one.circumstances, one.what) == wanted)

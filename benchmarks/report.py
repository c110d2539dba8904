"""What a run leaves: tables on the terminal, and a file of JSON for the picture and for later.

Decides what stands in the file; nothing of the machine but `facts`. A bar that
is not met is said to be not met, and that is all: nothing here fails.
"""

import dataclasses
import datetime as dt
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import rich.console
import rich.table

from benchmarks.bars import BARS, Bar
from benchmarks.sheet import Figure, Sheet

RESULTS = Path(__file__).parent / "results"
VERSION = 1
OURS = "axxonfs"


def show(console: rich.console.Console, facts: Mapping[str, str], sheet: Sheet) -> None:
    """Print everything."""
    console.print(", ".join(f"{name} {value}" for name, value in facts.items()), highlight=False)
    console.print(_figures(sheet))
    console.print(_bars(sheet))
    met = sum(bar.met(sheet.values[bar.name]) for bar in BARS if bar.name in sheet.values)
    console.print(f"{met} of {len(sheet.values)} bars are met.")


def save(facts: Mapping[str, str], sheet: Sheet, *, quick: bool) -> Path:
    """Write a file of JSON, named by the instant, and return its path."""
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{now:%Y%m%dT%H%M%SZ}{'-quick' if quick else ''}.json"
    text = {
        "version": VERSION,
        "ended": now.isoformat(),
        "quick": quick,
        "machine": dict(facts),
        "bars": [_told(bar, sheet.values[bar.name]) for bar in BARS if bar.name in sheet.values],
        "figures": [_written(figure, sheet.figures) for figure in sheet.figures],
    }
    path.write_text(json.dumps(text, indent=1) + "\n")
    return path


def newest_first() -> list[Path]:
    """Return the files of all runs, the last one first, quick ones behind."""
    return sorted(RESULTS.glob("*.json"), key=lambda path: ("quick" not in path.name, path.name), reverse=True)


def load(path: Path) -> list[Figure]:
    """Return the figures of a run."""
    text: dict[str, Any] = json.loads(path.read_text())
    names = [field.name for field in dataclasses.fields(Figure)]
    return [Figure(**{name: row[name] for name in names}) for row in text["figures"]]


def _written(figure: Figure, figures: Sequence[Figure]) -> dict[str, object]:
    ratio = ratio_of(OURS, figure, figures)
    return {**dataclasses.asdict(figure), "median": figure.median, "axxonfs_of_this": ratio}


def ratio_of(who: str, other: Figure, figures: Sequence[Figure]) -> float | None:
    """Return the median of `who`, of that of another one that did the same; None where there is no such thing."""
    same = (other.scenario, other.circumstances, other.unit)
    # "rclone: head" is to be compared with "axxonfs: head".
    wanted = f"{who}: {other.what.partition(': ')[2]}" if ": " in other.what else who
    for figure in figures:
        if (figure.scenario, figure.circumstances, figure.unit) == same and figure.what == wanted != other.what:
            return figure.median / other.median if other.median else None
    return None


def _told(bar: Bar, value: float) -> dict[str, object]:
    return {"name": bar.name, "text": bar.text, "value": value, "bar": bar.wanted, "met": bar.met(value)}


def _figures(sheet: Sheet) -> rich.table.Table:
    title = "Figures: medians, and from least to most; what axxonfs comes to, of each"
    table = rich.table.Table("scenario", "where", "what", title=title)
    for heading in ("median", "least", "most", "unit", "axxonfs"):
        table.add_column(heading, justify="left" if heading == "unit" else "right")
    for figure in sheet.figures:
        numbers = (f"{number:.4g}" for number in (figure.median, min(figure.samples), max(figure.samples)))
        ratio = ratio_of(OURS, figure, sheet.figures)
        shown = "" if ratio is None else f"{ratio:.2f}"
        table.add_row(figure.scenario, figure.circumstances, figure.what, *numbers, figure.unit, shown)
    return table


def _bars(sheet: Sheet) -> rich.table.Table:
    table = rich.table.Table("what", title="Bars")
    for heading in ("measured", "bar"):
        table.add_column(heading, justify="right")
    table.add_column("")
    for bar in BARS:
        if bar.name in sheet.values:
            value = sheet.values[bar.name]
            table.add_row(bar.text, f"{value:.3g}", bar.wanted, "met" if bar.met(value) else "[bold red]not met[/]")
    return table

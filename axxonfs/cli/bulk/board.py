"""What a person sees while exports run: bars on a terminal, lines elsewhere.

Decides what is said and how often. Threads tell it what happens; it is told names,
and numbers of bytes. On a terminal what runs has a line with a bar, and what has
ended leaves one line behind; elsewhere nothing is ever written over.
"""

import contextlib
import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import rich.console
import rich.filesize
import rich.markup
import rich.progress
import rich.table
import rich.text

from axxonfs.core.delivery import Outcome

_NAME_COLUMNS = 26
_QUARTERS = 4
# Where lines are all there is, a long copy says so often that it goes on.
_LINE_EVERY_S = 10.0
_GOOD = frozenset({Outcome.DELIVERED, Outcome.COMPLETED, Outcome.ELSEWHERE})


class Board(Protocol):
    """What the work tells."""

    def started(self, name: str, session: Path) -> None:
        """An export has a session."""

    def exporting(self, name: str, status: Mapping[str, Any]) -> None:
        """This is what `status.json` says now."""

    def copying(self, name: str, files: int, size: int) -> None:
        """So many files with so many bytes in all are to be copied."""

    def advanced(self, name: str, file: str, there: int) -> None:
        """So many bytes of a file are there."""

    def copied(self, name: str, file: str, size: int) -> None:
        """A file is there."""

    def ended(self, name: str, outcome: Outcome, why: str) -> None:
        """It came out so."""

    def left(self, name: str, why: str) -> None:
        """Nothing more can be done for it now."""

    def note(self, name: str, text: str) -> None:
        """Something is worth a line."""


class Lines:
    """A line for everything that happens."""

    def __init__(self, console: rich.console.Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._quarters: dict[str, int] = {}
        self._said_s: dict[str, float] = {}
        self._sizes: dict[str, int] = {}

    def started(self, name: str, session: Path) -> None:
        """An export has a session."""
        self.note(name, f"started as {session}")

    def exporting(self, name: str, status: Mapping[str, Any]) -> None:
        """Say each quarter."""
        quarter = int((status["progress"] or 0) * _QUARTERS)
        if status["state"] == "running" and quarter > self._quarters.setdefault(name, 0):
            self._quarters[name] = quarter
            self.note(name, f"{_percent(status)} exported{_until(status)}")

    def copying(self, name: str, files: int, size: int) -> None:
        """Say what is to be copied."""
        self._sizes[name] = size
        self._said_s[name] = time.monotonic()
        self.note(name, f"exported, {_count(files, 'file')}, {rich.filesize.decimal(size)}")

    def advanced(self, name: str, file: str, there: int) -> None:
        """Say it now and then."""
        if time.monotonic() - self._said_s.get(name, 0.0) >= _LINE_EVERY_S:
            self._said_s[name] = time.monotonic()
            self.note(name, f"{file}: {rich.filesize.decimal(there)} copied")

    def copied(self, name: str, file: str, size: int) -> None:
        """A file is there."""
        self.note(name, f"{file} copied, {rich.filesize.decimal(size)}")

    def ended(self, name: str, outcome: Outcome, why: str) -> None:
        """It came out so."""
        self.note(name, outcome.value + (f": {why}" if why else ""))

    def left(self, name: str, why: str) -> None:
        """Nothing more can be done for it now."""
        self.note(name, f"left unfinished: {why}")

    def note(self, name: str, text: str) -> None:
        """Write a line."""
        with self._lock:
            self._console.print(f"{name}: {text}", markup=False, highlight=False, soft_wrap=True)


class Bars:
    """A bar for what runs, and one for all of it."""

    def __init__(self, console: rich.console.Console, total: int) -> None:
        self._progress = rich.progress.Progress(
            rich.progress.TextColumn("{task.description}", table_column=rich.table.Column(no_wrap=True)),
            rich.progress.BarColumn(bar_width=None),
            _Beside(self._text, table_column=rich.table.Column(no_wrap=True)),
            console=console,
            expand=True,
        )
        self._lock = threading.Lock()
        self._tasks: dict[str, rich.progress.TaskID] = {}
        self._bytes: dict[str, dict[str, int]] = {}
        self._all = self._progress.add_task("all", total=total, visible=total > 1)

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Show it while this lasts."""
        with self._progress:
            yield

    def started(self, name: str, session: Path) -> None:
        """Show a bar."""
        del session
        self._task(name)

    def exporting(self, name: str, status: Mapping[str, Any]) -> None:
        """Move its bar."""
        self._progress.update(
            self._task(name), total=1.0, completed=status["progress"], text=f"{_percent(status)}{_until(status)}"
        )

    def copying(self, name: str, files: int, size: int) -> None:
        """Let its bar count bytes from now on."""
        del files
        self._bytes[name] = {}
        self._progress.reset(self._task(name), total=size, text="copying")

    def advanced(self, name: str, file: str, there: int) -> None:
        """Move its bar."""
        self._bytes[name][file] = there
        task = self._task(name)
        total = next((each.total for each in self._progress.tasks if each.id == task), 0)
        done = sum(self._bytes[name].values())
        text = f"{rich.filesize.decimal(done)} of {rich.filesize.decimal(int(total or 0))}"
        self._progress.update(task, completed=done, text=text)

    def copied(self, name: str, file: str, size: int) -> None:
        """Move its bar to where the file ends."""
        self.advanced(name, file, size)

    def ended(self, name: str, outcome: Outcome, why: str) -> None:
        """Take its bar away and leave a line."""
        self._progress.advance(self._all)
        self._progress.remove_task(self._task(name))
        colour = "green" if outcome in _GOOD else "red"
        self._say(name, f"[{colour}]{outcome.value}[/]{rich.markup.escape(f': {why}' if why else '')}")

    def left(self, name: str, why: str) -> None:
        """Take its bar away and say why."""
        self._progress.remove_task(self._task(name))
        self._say(name, f"[yellow]left unfinished[/]: {rich.markup.escape(why)}")

    def note(self, name: str, text: str) -> None:
        """Write a line above the bars."""
        self._say(name, rich.markup.escape(text))

    def _say(self, name: str, marked: str) -> None:
        self._progress.console.print(f"{rich.markup.escape(name)}: {marked}", highlight=False)

    def _task(self, name: str) -> rich.progress.TaskID:
        with self._lock:
            if name not in self._tasks:
                short = name if len(name) <= _NAME_COLUMNS else f"{name[: _NAME_COLUMNS - 1]}…"
                self._tasks[name] = self._progress.add_task(rich.markup.escape(short), total=1.0, text="")
            return self._tasks[name]

    def _text(self, task: rich.progress.Task) -> str:
        if task.id != self._all:
            return str(task.fields["text"])
        # Made when it is drawn: what a thread counted and then wrote, another one could be ahead of.
        size = sum(there for files in list(self._bytes.values()) for there in list(files.values()))
        return f"{task.completed:.0f} of {task.total:.0f}" + (f", {rich.filesize.decimal(size)}" if size else "")


class _Beside(rich.progress.ProgressColumn):
    """The text beside a bar."""

    def __init__(self, text: Callable[[rich.progress.Task], str], table_column: rich.table.Column) -> None:
        super().__init__(table_column)
        self._text = text

    def render(self, task: rich.progress.Task) -> rich.text.Text:
        """Return the text of a bar."""
        return rich.text.Text(self._text(task))


@contextlib.contextmanager
def board(total: int) -> Iterator[Lines | Bars]:
    """Yield what shows `total` exports: bars on a terminal, lines elsewhere."""
    console = rich.console.Console()
    if not console.is_terminal:
        yield Lines(console)
        return
    bars = Bars(console, total)
    with bars.shown():
        yield bars


def _percent(status: Mapping[str, Any]) -> str:
    return "" if status["progress"] is None else f"{status['progress']:.0%}"


def _until(status: Mapping[str, Any]) -> str:
    if status["stale_since"]:
        return ", the server is away"
    if not status["estimated_end"]:
        return ""
    end = dt.datetime.fromisoformat(status["estimated_end"]).astimezone()
    return f", until about {end:%H:%M:%S}"


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"

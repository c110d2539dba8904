"""axxonfs as users run it, but for one thing: it kills itself at a named step of a start.

`python -m tests.fuse.dying FILE COMMAND...` runs `axxonfs COMMAND...`. At SIGUSR2 it
takes the name of a step from FILE, which it removes then, and when that step comes
next, SIGKILL ends it. The steps are wrapped around the program from outside:
nothing in axxonfs knows of them.
"""

import dataclasses
import functools
import inspect
import itertools
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from axxonfs.cli import main
from axxonfs.fs.journal import Journal
from axxonfs.fs.operations import Operations
from axxonfs.remote.exports import ExportClient


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """Before or after the `count`th call of a method."""

    owner: type
    method: str
    after: bool
    count: int = 1


STEPS = {
    "the intent is about to be written": Step(Journal, "intend", after=False),
    "the intent is written": Step(Journal, "intend", after=True),
    "the intent is written anew": Step(Journal, "intend", after=True, count=2),
    "the server is about to be asked": Step(ExportClient, "start_session", after=False),
    "the server has answered": Step(ExportClient, "start_session", after=True),
    "the session is about to be written": Step(Journal, "started", after=False),
    "the session is written": Step(Journal, "started", after=True),
    "the writer is about to be answered": Step(Operations, "write", after=True),
    "the renamer is about to be answered": Step(Operations, "rename", after=True),
}


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _arm(step: Step) -> None:
    original: Callable[..., Any] = getattr(step.owner, step.method)
    calls = itertools.count(1)

    @functools.wraps(original)
    def dying(*args: Any, **kwargs: Any) -> Any:
        due = next(calls) == step.count
        if due and not step.after:
            _die()
        answer = original(*args, **kwargs)
        if due and step.after:
            _die()
        return answer

    @functools.wraps(original)
    async def dying_later(*args: Any, **kwargs: Any) -> Any:
        due = next(calls) == step.count
        answer = await original(*args, **kwargs)
        if due:
            _die()
        return answer

    setattr(step.owner, step.method, dying_later if inspect.iscoroutinefunction(original) else dying)


def _run() -> int:
    order = Path(sys.argv[1])

    def take_order(*_args: object) -> None:
        _arm(STEPS[order.read_text()])
        order.unlink()

    signal.signal(signal.SIGUSR2, take_order)
    return main.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(_run())

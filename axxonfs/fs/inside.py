"""What the daemon is doing now, in words for the log: SIGUSR1 asks for it where something seems to hang.

Tasks of the event loop with what each waits for, innermost first; the tasks of requests end in pyfuse3, which cannot
be looked through, so requests come separately. Bounded: a log line for each of a few hundred. Belongs to the event
loop.
"""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import trio

log = logging.getLogger(__name__)

MOST_LINES = 300  # of each kind
_PACKAGE = "axxonfs"


def dump(requests: Iterable[str], results: Iterable[str]) -> None:
    """Write tasks, and what is said of requests and of results that are read, into the log."""
    for line in (*_bounded(map(_task, _tasks())), *_bounded(requests), *_bounded(results)):
        log.info("inside %s", line)


def _bounded(lines: Iterable[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        if number == MOST_LINES:
            yield "more of these are not shown"
            return
        yield line


def _task(task: trio.lowlevel.Task) -> str:
    return f"task name={task.name} waits={_place(task)}"


def _tasks() -> Iterator[trio.lowlevel.Task]:
    """Yield all tasks of the event loop, outer ones first."""
    root = trio.lowlevel.current_root_task()
    waiting = [root] if root else []
    while waiting:
        task = waiting.pop()
        yield task
        waiting += [child for nursery in task.child_nurseries for child in nursery.child_tasks]


def _place(task: trio.lowlevel.Task) -> str:
    """Return where a task is: the functions of ours on its way, innermost first, and what they wait in."""
    frames = [(Path(frame.f_code.co_filename), frame.f_code.co_name, line) for frame, line in task.iter_await_frames()]
    ours = [f"{path.stem}.{name}:{line}" for path, name, line in frames if _PACKAGE in path.parts]
    innermost = [f"{path.stem}.{name}:{line}" for path, name, line in frames[-1:] if _PACKAGE not in path.parts]
    return "<".join([*innermost, *reversed(ours)]) or "-"

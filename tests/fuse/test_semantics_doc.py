"""The examples of docs/semantics.md, run from top to bottom in the root of a real mount.

In a `console` block a line that begins with `$ ` is typed into bash, and what
follows is its output, in which `...` stands for anything. A `python` block is run
and has to end by itself.
"""

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuse.harness import Rig, module_rig

DOCUMENT = Path(__file__).parents[2] / "docs" / "semantics.md"
BLOCK = re.compile(r"^```(?P<language>console|python)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)
TIMEOUT_S = 60.0
PROGRAMS = ("ffprobe", "getfattr", "jq")
# The examples name fixed instants, which the archive has to reach back to.
RECORDED_S = 100 * 365 * 86400.0


@dataclasses.dataclass(frozen=True, slots=True)
class Example:
    """One command, and what it is said to print."""

    line: int
    command: tuple[str, ...]
    output: str


def examples() -> Iterator[Example]:
    text = DOCUMENT.read_text("utf-8")
    for block in BLOCK.finditer(text):
        line = text.count("\n", 0, block.start()) + 2
        if block["language"] == "python":
            yield Example(line, (sys.executable, "-c", block["text"]), "")
        else:
            yield from typed(block["text"], line)


def typed(text: str, line: int) -> Iterator[Example]:
    """Yield the commands of a console block, which begins at `line`."""
    for part in re.split(r"^(?=\$ )", text, flags=re.MULTILINE):
        if part:
            command, _, output = part.removeprefix("$ ").partition("\n")
            yield Example(line, ("bash", "-c", command), output)
        line += part.count("\n")


def pattern(output: str) -> str:
    """Return the expression that an output with `...` in it stands for."""
    return ".*".join(map(re.escape, output.split("...")))


EXAMPLES = list(examples())


class Reader:
    """Somebody who types the examples one after the other, each once."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._printed: list[str] = []

    def printed(self, place: int) -> str:
        """Return what an example printed, after all those before it."""
        while len(self._printed) <= place:
            self._printed.append(self._type(EXAMPLES[len(self._printed)].command))
        return self._printed[place]

    def _type(self, command: tuple[str, ...]) -> str:
        where = self._rig.path
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {**os.environ, "LC_ALL": "C", "PATH": path, "HOME": str(self._rig.scratch)}
        done = subprocess.run(
            command,
            cwd=where,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIMEOUT_S,
            check=False,
        )
        # What bash says at a prompt, where people type.
        return done.stdout.decode().replace("bash: line 1: ", "bash: ")


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    if missing := [program for program in PROGRAMS if not shutil.which(program)]:
        pytest.skip(f"missing: {', '.join(missing)}")
    with module_rig(tmp_path_factory, recorded_s=RECORDED_S) as rig:
        yield Reader(rig)


@pytest.mark.parametrize("place", range(len(EXAMPLES)), ids=[f"line{example.line}" for example in EXAMPLES])
def test_an_example_prints_what_the_document_says(reader: Reader, place: int) -> None:
    printed = reader.printed(place)
    assert re.fullmatch(pattern(EXAMPLES[place].output), printed, re.DOTALL), printed

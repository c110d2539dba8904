"""What is seen of many exports at once, told from many threads."""

import io
import re
import sys
import threading
from collections.abc import Iterator

import pytest
import rich.console

from axxonfs.cli.bulk.board import Bars
from axxonfs.core.delivery import Outcome

THREADS, ROUNDS = 8, 50


@pytest.fixture
def hasty() -> Iterator[None]:
    """Let threads take turns as often as can be."""
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual_s)


def last_count() -> str:
    """Let as many exports as there are threads end at one moment; return what the bar of all says in the end."""
    written, together = io.StringIO(), threading.Barrier(THREADS)
    bars = Bars(rich.console.Console(file=written, force_terminal=True, width=100), THREADS)

    def work(name: str) -> None:
        bars.copying(name, 1, 1000)
        bars.copied(name, "clip.mkv", 1000)
        together.wait()
        bars.ended(name, Outcome.DELIVERED, "")

    with bars.shown():
        threads = [threading.Thread(target=work, args=[f"{number}"]) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return str(re.findall(r"\d+ of \d+, [\d.]+ \w+", written.getvalue())[-1])


@pytest.mark.usefixtures("hasty")
def test_the_bar_of_all_counts_what_ends_in_any_thread() -> None:
    assert {last_count() for _ in range(ROUNDS)} == {"8 of 8, 8.0 kB"}

"""What a run writes down: figures, and the value of each bar.

Decides how samples are taken (in rounds, A B A B, so that a drift of the machine
meets all alike) and how they become one number (the median). Belongs to the
benchmark's own thread.
"""

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence

from benchmarks.bars import BARS, PLAIN, TLS

MIB = 1 << 20
_NAMES = frozenset(bar.name for bar in BARS)


@dataclasses.dataclass(frozen=True, slots=True)
class Scale:
    """How large a run is."""

    rounds: int
    file_bytes: int
    clip_bytes: int
    sessions: tuple[int, int]  # of the listing: its bar's number, and ten times as many
    play_s: float
    control_calls: int
    random_reads: int


FULL = Scale(
    rounds=5,
    file_bytes=512 * MIB,
    clip_bytes=200_000_000,
    sessions=(1000, 10_000),
    play_s=8.0,
    control_calls=25,
    random_reads=200,
)
QUICK = Scale(
    rounds=3,
    file_bytes=128 * MIB,
    clip_bytes=50_000_000,
    sessions=(200, 2000),
    play_s=2.0,
    control_calls=10,
    random_reads=50,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Figure:
    """What was measured of one thing under one set of circumstances."""

    scenario: str
    circumstances: str  # the line, the encryption
    what: str
    unit: str
    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        """The number that stands for the samples."""
        return statistics.median(self.samples)


@dataclasses.dataclass(slots=True)
class Sheet:
    """The results of a run while it goes on."""

    scale: Scale
    say: Callable[[str], None]
    figures: list[Figure] = dataclasses.field(default_factory=list)
    values: dict[str, float] = dataclasses.field(default_factory=dict)  # by the name of a bar

    def rounds(
        self,
        takes: Mapping[str, Callable[[], float]],
        times: int | None = None,
        before: Callable[[], object] = lambda: None,
    ) -> dict[str, list[float]]:
        """Take a sample of each in turn, as many times as the run is large; return them by name.

        `before` is called before each sample, and is no part of it.
        """
        samples: dict[str, list[float]] = {name: [] for name in takes}
        for _ in range(times or self.scale.rounds):
            for name, take in takes.items():
                before()
                samples[name].append(take())
        return samples

    def figure(self, scenario: str, circumstances: str, what: str, unit: str, samples: Sequence[float]) -> float:
        """Write a figure down; return its median."""
        figure = Figure(scenario, circumstances, what, unit, tuple(samples))
        self.figures.append(figure)
        self.say(f"{scenario}, {circumstances}: {what} {figure.median:.4g} {unit}")
        return figure.median

    def bar(self, name: str, value: float) -> None:
        """Write the value of a bar down; ValueError if there is no such bar."""
        if name not in _NAMES:
            raise ValueError(f"{name} is no bar")
        self.values[name] = value


def encryption(*, tls: bool) -> str:
    """Return the word for it."""
    return TLS if tls else PLAIN


def percentile(samples: Sequence[float], percent: int) -> float:
    """Return the sample that so many per cent are not above."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]

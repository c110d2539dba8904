"""Which errors of programs are explained by what went wrong, and which are a defect of the mount.

An error is explained by a trouble that allows it, from its beginning until the mount says that it is back: its first
complete listing after the trouble ended. What waits for the server for so long, as a start does, may say so when its
deadline has passed, though the trouble ended before. There is no other allowance. A session that went explains what
programs meet in its directory. Pure; times are seconds since the epoch, handed in.
"""

import dataclasses
import re
from collections.abc import Collection, Sequence

from tests.faults.troubles import Trouble

WRONG = -1  # in place of an errno: wrong bytes
WENT = frozenset({"ESTALE", "ENOENT", "ENODATA"})
# From an error until its program has the processor and says when it was.
SAYING_S = 5.0
# By contract, what begins in a trouble may end with an error so much later. Reads have no such allowance: they go on.
DEADLINES_S = {"start": 30.0}


@dataclasses.dataclass(slots=True)
class Episode:
    """A trouble that happened."""

    trouble: Trouble
    began_s: float
    ended_s: float | None = None
    back_s: float | None = None  # when the mount said so

    def covers(self, at_s: float, deadline_s: float = 0.0) -> bool:
        """Whether it still had its effects then, on what has had such a deadline."""
        return self.began_s <= at_s <= (float("inf") if self.back_s is None else self.back_s + deadline_s + SAYING_S)


@dataclasses.dataclass(frozen=True, slots=True)
class Complaint:
    """An error that a program met."""

    at_s: float
    errno: int
    name: str
    doing: str  # read, or whatever the program did
    where: str  # below the mountpoint


class Judge:
    """What went wrong so far, and what was said of it."""

    def __init__(self, began_s: float) -> None:
        self._began_s = began_s
        self.episodes: list[Episode] = []
        self.complaints: list[Complaint] = []
        self.unexplained: list[Complaint] = []

    def begin(self, trouble: Trouble, now_s: float) -> Episode:
        """Take note of a trouble, before it begins."""
        self.episodes.append(Episode(trouble, now_s))
        return self.episodes[-1]

    def listed(self, at_s: float, now_s: float) -> None:
        """Take note that the mount had a complete listing."""
        for episode in self.episodes:
            if episode.back_s is None and episode.ended_s is not None and episode.ended_s < at_s:
                episode.back_s = now_s

    def hear(self, complaints: Sequence[Complaint], tags: Collection[str]) -> list[Complaint]:
        """Take errors in; return those that nothing explains. `tags` are of the sessions that the server has."""
        new = [complaint for complaint in complaints if not self._explains(complaint, tags)]
        self.complaints += complaints
        self.unexplained += new
        return new

    def words(self, complaint: Complaint) -> str:
        """Say what a program met, and what went wrong around that time."""
        before = [episode for episode in self.episodes if episode.began_s <= complaint.at_s + SAYING_S][-4:]
        troubles = "; ".join(self._episode(episode) for episode in before) or "nothing so far"
        met = f"{complaint.name} in {complaint.doing} of {complaint.where} at {self._at(complaint.at_s)}"
        return f"{met} is explained by nothing that went wrong. Lately: {troubles}."

    @property
    def slowest_back(self) -> tuple[float, str]:
        """How long the mount took at the longest from the end of a trouble until it was back, and of which."""
        took = [
            (episode.back_s - episode.ended_s, episode.trouble.name)
            for episode in self.episodes
            if episode.back_s is not None and episode.ended_s is not None
        ]
        return max(took, default=(0.0, "none"))

    def _explains(self, complaint: Complaint, tags: Collection[str]) -> bool:
        if complaint.errno == WRONG:
            return False
        if complaint.name in WENT:
            tag = re.match(r"sessions/[^/]*_(\w+)~*(/|$)", complaint.where)
            return tag is not None and tag[1] not in tags
        return any(
            episode.covers(complaint.at_s, DEADLINES_S.get(complaint.doing, 0.0))
            and complaint.errno in episode.trouble.explains(complaint.doing)
            for episode in self.episodes
        )

    def _episode(self, episode: Episode) -> str:
        if episode.ended_s is None:
            return f"{episode.trouble.name} since {self._at(episode.began_s)}"
        back = "not back yet" if episode.back_s is None else f"back at {self._at(episode.back_s)}"
        return f"{episode.trouble.name} from {self._at(episode.began_s)} to {self._at(episode.ended_s)}, {back}"

    def _at(self, time_s: float) -> str:
        return f"+{time_s - self._began_s:.1f} s"

"""What the soak takes for explained: so that it cannot pass because it allows too much."""

import errno

import pytest

from tests.faults.judge import SAYING_S, WRONG, Complaint, Judge
from tests.faults.troubles import TROUBLES, Trouble, nothing

LOGIN = next(one for one in TROUBLES if one.name == "locked account")
CHUNK = next(one for one in TROUBLES if one.name.startswith("DownloadFile wrong_index"))
SILENT = next(one for one in TROUBLES if one.name == "line freeze")
THERE = "sessions/20261122T101500Z_1.Front_door_mkv_3f2a9c1d/clip.mkv"


def complaint(at_s: float, number: int = errno.EACCES, doing: str = "read", where: str = THERE) -> Complaint:
    return Complaint(at_s, number, errno.errorcode.get(number, "wrong bytes"), doing, where)


def judged(trouble: Trouble, heard: Complaint, *, back_s: float | None = 120.0) -> bool:
    """Whether a trouble from 100 to 104 s, after which the mount was back then, explains an error."""
    judge = Judge(0.0)
    episode = judge.begin(trouble, 100.0)
    judge.listed(103.0, 103.0)  # while it lasts: says nothing
    episode.ended_s = 104.0
    judge.listed(103.9, 105.0)  # old: says nothing either
    if back_s is not None:
        judge.listed(back_s, back_s)
    return judge.hear([heard], {"3f2a9c1d"}) == []


@pytest.mark.parametrize(
    ("at_s", "explained"), [(99.9, False), (100.0, True), (119.0, True), (120.0 + SAYING_S + 0.1, False)]
)
def test_an_error_is_explained_from_the_beginning_of_its_trouble_until_the_mount_is_back(
    at_s: float, *, explained: bool
) -> None:
    assert judged(LOGIN, complaint(at_s)) is explained


@pytest.mark.parametrize(
    ("doing", "after_s", "explained"), [("start", 30.0, True), ("start", 40.0, False), ("read", 30.0, False)]
)
def test_a_start_may_say_at_its_deadline_what_its_beginning_met(doing: str, after_s: float, *, explained: bool) -> None:
    assert judged(LOGIN, complaint(120.0 + after_s, errno.EACCES, doing)) is explained


def test_as_long_as_the_mount_is_not_back_its_errors_are_explained() -> None:
    assert judged(LOGIN, complaint(500.0), back_s=None)


@pytest.mark.parametrize(
    ("trouble", "number", "doing", "explained"),
    [
        (LOGIN, errno.EACCES, "read", True),
        (LOGIN, errno.EINVAL, "read", False),
        (CHUNK, errno.EIO, "read", True),
        (CHUNK, errno.EACCES, "read", False),
        (CHUNK, errno.EIO, "start", False),
        (SILENT, errno.EIO, "read", False),
        (LOGIN, errno.EACCES, "list", False),
        (LOGIN, WRONG, "read", False),
    ],
)
def test_a_trouble_explains_its_own_errors_of_its_own_uses_and_no_others(
    trouble: Trouble, number: int, doing: str, *, explained: bool
) -> None:
    assert judged(trouble, complaint(101.0, number, doing)) is explained


@pytest.mark.parametrize(
    ("where", "explained"),
    [
        (THERE, False),
        ("sessions/20261122T101500Z_1.Front_door_mkv_ffffffff/clip.mkv", True),
        ("sessions/20261122T101500Z_1.Front_door_mkv_ffffffff", True),
        ("sessions/20261122T101500Z_1.Front_door_mkv_3f2a9c1d~/clip.mkv", False),
        ("sessions", False),
        ("new/soak1.json", False),
    ],
)
def test_a_name_may_be_missing_only_where_its_session_went(where: str, *, explained: bool) -> None:
    assert judged(LOGIN, complaint(101.0, errno.ENOENT, "read", where)) is explained


def test_what_is_not_explained_is_said_with_what_went_wrong_around_it() -> None:
    judge = Judge(50.0)
    episode = judge.begin(Trouble("a storm", nothing, nothing), 60.0)
    [heard] = judge.hear([complaint(61.5, errno.EIO)], set())
    assert judge.words(heard).endswith("explained by nothing that went wrong. Lately: a storm since +10.0 s.")
    episode.ended_s = 64.0
    assert "a storm from +10.0 s to +14.0 s, not back yet" in judge.words(heard)
    judge.listed(70.0, 70.5)
    assert f"EIO in read of {THERE} at +11.5 s" in judge.words(heard)
    assert "back at +20.5 s" in judge.words(heard)
    assert judge.slowest_back == (6.5, "a storm")

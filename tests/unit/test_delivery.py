"""What was delivered, against what was asked for."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axxonfs.core import sessions, spec, status, timers
from axxonfs.core.delivery import Difference, Outcome, difference, end_of, outcome
from axxonfs.core.instants import format_rfc3339
from axxonfs.wire import export_service_pb2
from tests.unit import builders

START = builders.START
ASKED_S = 300


def written(seconds: float) -> str:
    return format_rfc3339(START + dt.timedelta(seconds=seconds))


def told(*covered: tuple[float, float], state: str = "completed", **keys: Any) -> dict[str, Any]:
    """Return a `status.json` of five minutes of which these seconds were delivered."""
    files = [
        {"interval": {"from": written(begin), "to": written(end)}, "downloadable": True, "why_not": None}
        for begin, end in covered
    ]
    requested = {"from": written(0), "to": written(ASKED_S)}
    return {"state": state, "requested": requested, "files": files, "last_error": None, **keys}


def found(*covered: tuple[float, float], tolerance_s: float = 2) -> Difference:
    return difference(told(*covered), {}, tolerance=dt.timedelta(seconds=tolerance_s))


@pytest.mark.parametrize(
    ("covered", "begins_s", "ends_s", "missing"),
    [
        ([(0, 300)], 0, 0, []),
        ([(-1.5, 300.2)], -1.5, 0.2, []),  # from a key frame on
        ([(0, 298)], 0, -2, []),  # within the tolerance
        ([(0, 297.9)], 0, -2.1, [(297.9, 300)]),
        ([(100, 300)], 100, 0, [(0, 100)]),
        ([(0, 100), (200, 300)], 0, 0, [(100, 200)]),
        ([(200, 300), (0, 100), (100, 200)], 0, 0, []),  # parts, in any order
        ([(0, 200), (100, 300)], 0, 0, []),  # one file for each camera
        ([(50, 100), (200, 250)], 50, -50, [(0, 50), (100, 200), (250, 300)]),
        ([(400, 500)], 400, 200, [(0, 300)]),  # another time altogether
    ],
)
def test_what_is_missing_is_what_no_result_covers(
    covered: list[tuple[float, float]], begins_s: float, ends_s: float, missing: list[tuple[float, float]]
) -> None:
    difference = found(*covered)
    assert (difference.begins_s, difference.ends_s) == (begins_s, ends_s)
    assert [(written(begin), written(end)) for begin, end in missing] == [
        (format_rfc3339(begin), format_rfc3339(end)) for begin, end in difference.missing
    ]
    assert difference.missing_s == pytest.approx(sum(end - begin for begin, end in missing))


@given(st.lists(st.tuples(st.integers(-50, 350), st.integers(1, 200)), min_size=1, max_size=6))
def test_what_is_missing_and_what_is_covered_make_up_what_was_asked_for(parts: list[tuple[int, int]]) -> None:
    covered = [(begin, begin + length) for begin, length in parts]
    here = {second for begin, end in covered for second in range(max(0, begin), min(ASKED_S, end))}
    assert found(*covered, tolerance_s=0).missing_s == ASKED_S - len(here)


def test_a_result_without_times_says_nothing_about_what_is_missing() -> None:
    status = told()
    status["files"] = [{"interval": {"from": None, "to": None}, "downloadable": True, "why_not": None}]
    difference_found = difference(status, {})
    assert difference_found == Difference(None, None, (), 0.0)
    assert outcome(status, difference_found) == (Outcome.DELIVERED, "")


@pytest.mark.parametrize(("duration", "missing_s"), [("90s", 0.0), ("2m", 29.0), (None, 0.0)])
def test_live_video_is_compared_by_its_length(duration: str | None, missing_s: float) -> None:
    status = told((0, 91), requested={"from": None, "to": None})
    document = {"live": True, **({"duration": duration} if duration else {})}
    assert difference(status, document, tolerance=dt.timedelta(seconds=2)).missing_s == missing_s


def test_a_frame_is_there_if_it_is_near_the_instant() -> None:
    status = told((-0.2, -0.2), requested={"from": written(0), "to": written(0)})
    assert difference(status, {}, tolerance=dt.timedelta(seconds=2)).missing_s == 0
    assert difference(status, {}).begins_s == -0.2


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (told((0, 300)), (Outcome.DELIVERED, "")),
        (told((0, 200)), (Outcome.LESS, "100 s are missing: 2026-11-22T10:18:20Z to 2026-11-22T10:20:00Z")),
        (told((0, 300), state="removed", last_error="gone: why"), (Outcome.GONE, "gone: why")),
        (told(state="removed"), (Outcome.GONE, "the server has it no more")),
        (told(state="failed"), (Outcome.FAILED, "the server ended the export without success, and does not say why")),
    ],
)
def test_a_session_that_has_ended_came_out_one_way(status: dict[str, Any], expected: tuple[Outcome, str]) -> None:
    assert outcome(status, difference(status, {})) == expected


def test_what_is_kept_elsewhere_on_purpose_is_no_failure() -> None:
    status = told((0, 300))
    status["files"][0] |= {"downloadable": False, "why_not": "the result is in the cloud"}
    assert outcome(status, difference(status, {})) == (Outcome.ELSEWHERE, "the result is in the cloud")
    assert end_of(status) == (Outcome.COMPLETED, "")


def document_of(info: export_service_pb2.ListSessionsResponse.SessionInfo) -> dict[str, Any]:
    context = status.Context(cameras=(), names={}, timers=timers.Timers(), now_s=2.0)
    return status.document(sessions.session_of(info), sessions.Facts(), context)


def test_the_texts_of_the_mount_are_what_is_taken() -> None:
    info = builders.completed("1", builders.file(start=START - dt.timedelta(seconds=1)))
    shown = spec.spec_from_options(info.session.options, cameras=[])
    last = (START + dt.timedelta(seconds=299), START + dt.timedelta(seconds=300))
    assert difference(document_of(info), shown) == Difference(-1.0, -1.0, (last,), 1.0)
    empty = builders.completed(succeeded=False)
    assert end_of(document_of(empty))[0] is Outcome.FAILED

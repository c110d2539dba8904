"""What processes of one machine know of each other's refused logins."""

import json
import time
from pathlib import Path

import pytest

from axxonfs.core import errors
from axxonfs.remote.refusals import VARIABLE_PAUSES_S, SharedRefusals

VARIABLE = "AXXONFS_PASSWORD"  # the version of a password that came from there
FILE = (1, 2, 3, 4)


def pause_s(directory: Path) -> float:
    return float(json.loads((directory / "refused.json").read_text())["a@vms"]["pause"])


def test_a_password_from_a_variable_is_tried_more_and_more_seldom(tmp_path: Path) -> None:
    shared = SharedRefusals("a@vms", tmp_path)
    assert shared.words(VARIABLE) is None
    least_s, most_s = VARIABLE_PAUSES_S
    pauses_s = []
    for _ in range(8):
        shared.add(VARIABLE, "no such account")
        pauses_s.append(pause_s(tmp_path))
        assert "no such account" in (SharedRefusals("a@vms", tmp_path).words(VARIABLE) or "")
    assert pauses_s[:3] == [least_s, 2 * least_s, 4 * least_s]
    assert pauses_s[-1] == most_s
    # A file says by itself whether it was mended.
    assert shared.words(FILE) is None
    shared.accepted()
    assert shared.words(VARIABLE) is None


def test_a_pause_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = SharedRefusals("a@vms", tmp_path)
    shared.add(VARIABLE, "no")
    now_s = time.time()
    monkeypatch.setattr(time, "time", lambda: now_s + VARIABLE_PAUSES_S[0] + 1)
    assert shared.words(VARIABLE) is None
    # A clock that was set back by years must not shut an account out for as long.
    monkeypatch.setattr(time, "time", lambda: now_s - 1e8)
    assert shared.words(VARIABLE) is None


@pytest.mark.parametrize("text", ["", "[]", '{"a@vms": 7}', '{"a@vms": {"until": "x", "pause": []}}'])
def test_a_damaged_memory_is_no_obstacle(tmp_path: Path, text: str) -> None:
    (tmp_path / "refused.json").write_text(text)
    shared = SharedRefusals("a@vms", tmp_path)
    assert shared.words(VARIABLE) is None
    shared.add(VARIABLE, "no")
    assert shared.words(VARIABLE)


def test_one_at_a_time_tries_to_log_in(tmp_path: Path) -> None:
    first, second = SharedRefusals("a@vms", tmp_path), SharedRefusals("a@vms", tmp_path)
    with first.turn(1.0), pytest.raises(errors.DeadlineError), second.turn(0.1):
        raise AssertionError
    with second.turn(0.0):
        pass

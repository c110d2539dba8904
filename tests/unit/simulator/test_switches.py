import dataclasses
import re

import pytest

from axxonfs.simulator.switches import Switches, explain, parse


def test_every_switch_names_the_section_of_the_contract_it_answers() -> None:
    for name, _default, explanation in explain():
        assert re.match(r"\d+(\.\d+)?: ", explanation), name


def test_every_switch_can_be_set_to_its_own_default_from_a_text() -> None:
    assignments = [f"{name.partition('=')[0]}={default}" for name, default, _ in explain()]
    assert len(assignments) == len(dataclasses.fields(Switches))
    assert parse(assignments) == Switches()


def test_values_have_the_type_of_their_switch() -> None:
    switches = parse(["partial_result=true", "timestamp_digits=9", "removed_state_s=1.5", "running_as=17", "no_agent="])
    assert switches == Switches(
        partial_result=True, timestamp_digits=9, removed_state_s=1.5, running_as=17, no_agent=""
    )


@pytest.mark.parametrize(
    ("assignment", "words"),
    [
        ("nonsense=1", "known name"),
        ("chunk_index", "NAME=VALUE"),
        ("chunk_index=both", r"absolute\|relative"),
        ("partial_result=yes", r"false\|true"),
        ("timestamp_digits=4", r"0\|3\|6\|9"),
        ("size_error=much", "number"),
    ],
)
def test_a_wrong_assignment_is_refused_with_what_would_be_right(assignment: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse([assignment])

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from axxonfs.core import options
from axxonfs.core.errors import SpecError
from axxonfs.wire import export_pb2
from tests.unit.wire_strategies import messages


@pytest.mark.parametrize(
    ("raw", "path", "says"),
    [
        (3, "options", "must be an object, in { }"),
        ({"liv": {}}, "options.liv", 'there is no such field: did you mean "live"?'),
        ({"maxFileSize": "5", "max_file_size": 1}, "options.max_file_size", "stands twice, under both of its names"),
        ({"live": {}, "archive": {}}, "options.archive", "two values for one choice"),
        ({"settings": [{"comment": "a", "font": {}}]}, "options.settings[0].font", "two values for one choice"),
        ({"settings": {}}, "options.settings", "must be a list, in [ ]"),
        ({"settings": [None]}, "options.settings[0]", "must be an object, in { }"),
        ({"settings": [{"comment": 1}]}, "options.settings[0].comment", "must be a text in double quotes"),
        ({"settings": [{"timezone": 2**31}]}, "options.settings[0].timezone", "must be a whole number that fits"),
        ({"max_file_size": -1}, "options.max_file_size", "must be a whole number that fits"),
        ({"cloud_export": 1}, "options.cloud_export", "must be true or false, without quotes"),
        ({"stream": {"format": "MP5"}}, "options.stream.format", '"MP5" is not known: did you mean "MP4"?'),
        ({"live": {"duration": 90}}, "options.live.duration", 'must be a duration in seconds, as in "90s"'),
        ({"live": {"duration": "1m"}}, "options.live.duration", 'must be a duration in seconds, as in "90s"'),
        ({"stream": {"settings": [{"time_lapse": {"fps": 1e39}}]}},
         "options.stream.settings[0].time_lapse.fps", "must be a number that fits"),
        ({"snapshot": {"settings": [{"snapshot": {"image": "a"}}]}},
         "options.snapshot.settings[0].snapshot.image", "must be bytes in base64"),
        ({"archive": {"sources": [{"mask_filter": []}]}},
         "options.archive.sources[0].mask_filter", "must be an object, in { }"),
        ({"archive": {"sources": [{"mask_filter": {"a": {"allow": 1}}}]}},
         "options.archive.sources[0].mask_filter.a.allow", "must be true or false, without quotes"),
    ],
)  # fmt: skip
def test_raw_options_that_are_wrong_are_refused_at_the_field(raw: object, path: str, says: str) -> None:
    with pytest.raises(SpecError) as refusal:
        options.read_form(raw)
    assert says in str(refusal.value)
    assert refusal.value.path == path


def test_both_names_of_a_field_are_taken_and_null_is_its_default() -> None:
    assert options.read_form({"maxFileSize": "5", "live": None, "cloud_export": True}) == {
        "max_file_size": "5",
        "cloud_export": True,
    }


def test_values_that_a_newer_server_may_know_are_taken() -> None:
    assert options.read_form({"stream": {"format": 99}}) == {"stream": {"format": 99}}


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(messages(export_pb2.Options.DESCRIPTOR))
def test_the_form_of_any_options_is_read_and_builds_the_same_again(message: Any) -> None:
    form = options.form_of(message)
    again = options.build(options.read_form(form))
    assert again.SerializeToString(deterministic=True) == message.SerializeToString(deterministic=True)


@pytest.mark.parametrize(
    ("form", "over", "result"),
    [
        ({"a": 1}, {}, {"a": 1}),
        ({"a": 1, "b": 2}, {"b": 3, "c": 4}, {"a": 1, "b": 3, "c": 4}),
        ({"a": [1]}, {"a": [2]}, {"a": [1, 2]}),
        ({"a": {"b": [1], "c": 1}}, {"a": {"b": [2], "c": 2}}, {"a": {"b": [1, 2], "c": 2}}),
    ],
)
def test_fields_are_replaced_and_lists_appended_to(
    form: options.Form, over: options.Form, result: options.Form
) -> None:
    assert options.merged(form, over) == result


def test_unknown_fields_of_a_newer_server_do_not_make_another_export() -> None:
    one = export_pb2.Options(max_file_size=1)
    newer = export_pb2.Options.FromString(one.SerializeToString() + b"\xa2\x0f\x01x")
    assert newer != one
    assert options.same_export(one, newer)


def test_only_a_file_name_that_a_mount_gives_is_a_marker() -> None:
    message = export_pb2.Options()
    message.settings.add(file_name="door")
    assert options.marker_of(message) is None
    message.settings.add(file_name="axxonfs-1")
    assert options.marker_of(message) == "axxonfs-1"
    assert [setting.file_name for setting in options.without_marker(message).settings] == ["door"]

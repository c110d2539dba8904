import datetime as dt
import unicodedata
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axxonfs.core import names

INSTANT = dt.datetime(2026, 11, 22, 10, 15, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("1.Front door", "1.Front_door"),
        ("Вход 2", "Вход_2"),
        ("入口", "入口"),
        ("प्रवेश", "प्रवेश"),
        ("a/b\\c:d", "a_b_c_d"),
        ("..", "_."),
        (".hidden", "_hidden"),
        ("", "_"),
        ("\u202egpj.exe", "_gpj.exe"),
        ("line\nbreak\x00", "line_break_"),
        ("cafe\u0301", "café"),
    ],
)
def test_labels_become_plain_names(label: str, name: str) -> None:
    assert names.clean(label) == name


@given(st.text())
def test_no_label_makes_an_illegal_name(label: str) -> None:
    name = names.clean(label)
    assert 0 < len(name.encode()) <= 120
    assert not name.startswith(".")
    assert all(unicodedata.category(char)[0] in "LNM" or char in "._-+" for char in name)


def test_a_session_is_named_by_start_camera_format_and_tag() -> None:
    name = names.session_name(
        start=names.instant_label(INSTANT), cameras=["1.Front door", "2", "3"], form="mp4", session_id="hosts/S/1"
    )
    assert name == f"20261122T101500Z_1.Front_door_and2_mp4_{names.tag('hosts/S/1')}"


def test_the_tag_is_the_same_for_ever() -> None:
    assert len(names.tag("hosts/Server/0")) == 8
    assert names.tag("a") == "ca978112"  # the first digits of SHA-256 of "a"


def test_local_names_carry_their_offset() -> None:
    assert names.instant_label(INSTANT, zoneinfo.ZoneInfo("Europe/Athens")) == "20261122T121500+0200"


def labels(*starts: dt.datetime | None, mime_type: str = "video/mp4") -> list[names.ResultLabel]:
    return [names.ResultLabel(start, mime_type) for start in starts]


def test_one_result_is_named_by_camera_and_start() -> None:
    assert names.result_names(labels(INSTANT), cameras=["1.Gate"], requested="mp4", zone=None) == [
        "1.Gate_20261122T101500Z.mp4"
    ]


def test_several_results_are_numbered_in_time_order() -> None:
    later = INSTANT + dt.timedelta(minutes=1)
    assert names.result_names(labels(later, INSTANT), cameras=["1.Gate"], requested="mkv", zone=None) == [
        "1.Gate_20261122T101600Z_part2.mp4",
        "1.Gate_20261122T101500Z_part1.mp4",
    ]


def test_results_of_several_cameras_name_none() -> None:
    assert names.result_names(labels(INSTANT, INSTANT), cameras=["1", "2"], requested="mp4", zone=None) == [
        "20261122T101500Z_part1.mp4",
        "20261122T101500Z_part2.mp4",
    ]


def test_a_result_without_anything_to_name_it_by_is_called_export() -> None:
    assert names.result_names(labels(None), cameras=[], requested="exe", zone=None) == ["export.mp4"]


@pytest.mark.parametrize(
    ("requested", "mime_type", "extension"),
    [
        ("mp4", "video/mp4", "mp4"),
        ("jpeg", "image/jpeg", "jpg"),
        ("mp4", "application/zip", "zip"),
        ("avi", "video/x-msvideo", "avi"),
        ("exe", "application/octet-stream", "exe"),
        ("mkv", "", "mkv"),
        ("mkv", "VIDEO/MP4; codecs=avc1", "mp4"),
    ],
)
def test_the_extension_is_what_was_asked_for_unless_the_type_contradicts(
    requested: str, mime_type: str, extension: str
) -> None:
    assert names.extension(requested, mime_type) == extension


def test_a_taken_name_gets_a_number() -> None:
    assert names.unique("a", set()) == "a"
    assert names.unique("a", {"a", "a~2"}) == "a~3"

"""Many exports at once: their names, their instants, their settings, and what is wrong with them."""

import datetime as dt
import json
import zoneinfo
from typing import Any

import pytest

from axxonfs.core import batch, spec
from axxonfs.core.cameras import Archive, Camera, camera_document, camera_of_document
from axxonfs.core.errors import SpecError
from tests.unit import builders

NOW = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
ARCHIVE = Archive("A", "hosts/Server/MultimediaStorage.A/MultimediaStorage", default=True)
CAMERAS = [
    Camera(builders.FRONT_DOOR, "1", "Front door", "Server", (ARCHIVE,)),
    Camera(builders.GATE, "2", "Gate", "Server", (ARCHIVE,)),
]
SETTING = batch.Setting(CAMERAS, NOW)
HOUR = {"from": "-2h", "to": "-1h"}


def orders_of(*named: tuple[str, dict[str, Any]]) -> list[batch.Order]:
    orders, wrong = batch.make_orders(named, SETTING)
    assert wrong == []
    return orders


def test_names_are_fit_for_files_and_unique() -> None:
    orders = orders_of(*((name, {"camera": "1", **HOUR}) for name in ("a/b", "a b", "a_b", ".hidden", "")))
    assert [order.name for order in orders] == ["a_b", "a_b~2", "a_b~3", "_hidden", "_"]


def test_relative_instants_count_from_one_moment_and_mean_the_same_later() -> None:
    [order] = orders_of(("clip", {"camera": "1", **HOUR}))
    assert order.given == {"camera": "1", **HOUR}
    document = spec.parse_document(order.document)
    assert document == {"camera": "1", "from": "2026-11-22T10:00:00Z", "to": "2026-11-22T11:00:00Z"}
    later = spec.resolve(document, cameras=CAMERAS, now=NOW + dt.timedelta(hours=1), timezone=None)
    assert not later.relative
    assert later.requested == (NOW - dt.timedelta(hours=2), NOW - dt.timedelta(hours=1))


def test_instants_that_are_none_of_these_stay_as_they_are() -> None:
    given = {"camera": "1", "from": "2026-11-22T10:00:00+02:00", "to": "2026-11-22T11:00:00+02:00"}
    [order] = orders_of(("clip", given))
    assert (order.given, order.fixed) == (given, {})


def test_local_times_are_those_of_the_mount() -> None:
    given = {"camera": "1", "at": "2026-11-22T10:00:00"}
    assert len(batch.make_orders([("x", given)], SETTING)[1]) == 1
    berlin = batch.Setting(CAMERAS, NOW, zoneinfo.ZoneInfo("Europe/Berlin"))
    assert batch.make_orders([("x", given)], berlin)[1] == []


def test_all_that_is_wrong_is_found_at_once() -> None:
    named = [("good", {"camera": "1", **HOUR}), ("bad", {"camera": "9", **HOUR}), ("worse", {"camera": "1"})]
    orders, wrong = batch.make_orders(named, SETTING)
    assert [order.name for order in orders] == ["good"]
    assert [name for name, _ in wrong] == ["bad", "worse"]
    assert 'there is no camera "9"' in str(wrong[0][1])


def test_each_camera_is_an_export_of_its_own_called_as_people_know_it() -> None:
    named = batch.named_by_camera(["2", "Front door", "nobody"], HOUR, CAMERAS)
    assert [name for name, _ in named] == ["2.Gate", "1.Front door", "nobody"]
    assert named[0][1] == {"camera": "2", **HOUR}


def test_what_a_camera_text_says_is_a_camera_again() -> None:
    assert [camera_of_document(camera_document(camera)) for camera in CAMERAS] == CAMERAS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("quality=best", ("quality", "best")),
        ("comment=4711", ("comment", "4711")),  # it takes a text, so that is what it is
        ("comment=a=b", ("comment", "a=b")),
        ("comment=", ("comment", "")),
        ("max_file_size=2G", ("max_file_size", "2G")),
        ("audio=false", ("audio", False)),
        ("live=true", ("live", True)),
        ("duration=90s", ("duration", "90s")),
        ('subtitles={"mode":"burnt"}', ("subtitles", {"mode": "burnt"})),
        ("masks=[[[0,0],[0.5,0],[0.5,0.5]]]", ("masks", [[[0, 0], [0.5, 0], [0.5, 0.5]]])),
        ('options={"settings":[{"burn_subtitle":true}]}', ("options", {"settings": [{"burn_subtitle": True}]})),
    ],
)
def test_a_setting_has_the_value_that_its_key_takes(text: str, expected: tuple[str, Any]) -> None:
    assert batch.read_setting(text) == expected


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("quality", "write KEY=VALUE"),
        ("qualty=best", 'did you mean "quality"'),
        ("quality=superb", '"superb" is not known'),
        ("audio=no", "must be true or false"),
        ('subtitles={"mode":"loud"}', '"loud" is not known'),
        ("password=geheim", "everybody could read it here"),
        ("camera=1", "use --camera"),
        ("to=now", "use --until"),
    ],
)
def test_a_setting_that_is_wrong_is_refused_in_words(text: str, problem: str) -> None:
    with pytest.raises(SpecError) as caught:
        batch.read_setting(text)
    assert problem in str(caught.value)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"camera": "1", "from": "-2h"}, "--until is missing: write --from and --until for a clip, --at for a frame"),
        ({"camera": "1", "from": "-1h", "to": "-2h"}, "--from must be before --until: "),
        ({"camera": "1"}, "--at for a frame, or --set live=true for live video"),
        ({"camera": "to", **HOUR}, '--camera: there is no camera "to"'),
        ({"camera": "1", **HOUR, "duration": "9s"}, '--from asks for recorded video, but "duration" for live video'),
    ],
)
def test_what_is_wrong_is_said_in_the_options_that_were_given(given: dict[str, Any], problem: str) -> None:
    [(_, error)] = batch.make_orders([("x", given)], SETTING)[1]
    assert problem in batch.in_options(str(error), given.values())


@pytest.mark.parametrize(
    ("text", "documents"),
    [
        ("", []),
        (" \n", []),
        ('{"a": 1}', ['{"a": 1}']),
        ('\ufeff{"a": 1}\n{"b": "}{"}\n', ['{"a": 1}', '{"b": "}{"}']),
        ('{"a": 1}{"b": 2}', ['{"a": 1}', '{"b": 2}']),
        ('{"a": 1} nonsense {"b": 2}', ['{"a": 1}', 'nonsense {"b": 2}']),
    ],
)
def test_documents_in_one_text_stand_one_after_the_other(text: str, documents: list[str]) -> None:
    assert batch.split_documents(text) == documents


def test_a_secret_is_in_the_document_and_nowhere_else() -> None:
    [order] = orders_of(("door", {"camera": "1", **HOUR, "password": "geheim"}))
    assert json.loads(order.document)["password"] == "geheim"
    assert order.has_secrets
    assert order.masked["password"] == "******"
    assert "geheim" not in repr(order)
    assert not orders_of(("door", {"camera": "1", **HOUR}))[0].has_secrets


def test_batches_are_compared_by_what_was_asked_and_not_by_when() -> None:
    first = orders_of(("a", {"camera": "1", **HOUR, "password": "x1"}), ("b", {"camera": "2", **HOUR}))
    stored = {order.name: order.masked for order in first}
    assert batch.differing(stored, first) == []
    assert batch.differing(stored, first[:1]) == ["b"]
    other = orders_of(("a", {"camera": "1", **HOUR}), ("b", {"camera": "2", **HOUR}), ("c", {"camera": "2", **HOUR}))
    assert batch.differing(stored, other) == ["a", "c"]


@pytest.mark.parametrize(
    ("wanted", "taken", "expected"),
    [
        ("clip.mp4", [], "clip.mp4"),
        ("clip.mp4", ["clip.mp4"], "clip~2.mp4"),
        ("clip.mp4", ["clip.mp4", "clip~2.mp4"], "clip~3.mp4"),
        ("1.Gate_x.mkv", ["1.Gate_x.mkv"], "1.Gate_x~2.mkv"),
    ],
)
def test_a_file_name_that_is_taken_gets_a_number(wanted: str, taken: list[str], expected: str) -> None:
    assert batch.local_name(wanted, taken) == expected

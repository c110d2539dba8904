"""What an export does to the picture, by its options alone."""

import pytest

from axxonfs.core import spec
from axxonfs.core.cameras import Archive, Camera
from axxonfs.core.treatment import treatment_of
from axxonfs.wire import export_pb2
from tests.unit import builders

CAMERA = Camera(builders.FRONT_DOOR, "1", "Front door", "Server", (Archive("A", "hosts/Server/A/A", default=True),))
WHEN = {"from": "2026-11-22T10:15:00Z", "to": "2026-11-22T10:20:00Z"}
BURNT = {"mode": "burnt", "show": ["timestamp"]}
SOFT = {"mode": "soft", "show": ["timestamp"]}


def options(**keys: object) -> export_pb2.Options:
    document = {"camera": "1", **({} if "at" in keys else WHEN), **keys}
    return spec.resolve(document, cameras=[CAMERA], now=builders.START, timezone=None).options


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"quality": "original"},
        {"subtitles": SOFT, "comment": "case 4711"},
        {"time_lapse": {"fps": 1}},
        {"frame_rate": "original"},
        {"video_codec": "default"},
        {"audio": False, "password": "x", "max_file_size": "1G"},
    ],
)
def test_matroska_stays_as_recorded_unless_something_forces_otherwise(keys: dict[str, object]) -> None:
    treated = treatment_of(options(**keys))
    assert (treated.recompressed, treated.reasons, treated.burnt_in) == (False, (), False)


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"format": "avi"}, "avi is always encoded anew"),
        ({"quality": "best"}, "a quality was chosen"),
        ({"quality": "tiny", "format": "mp4"}, "a quality was chosen"),
        ({"frame_rate": "half"}, "frames are left out"),
        ({"crop": {"left": 0.5}}, "a part of the picture is cut out"),
        ({"masks": [[[0, 0], [0.5, 0], [0.5, 0.5]]]}, "parts of the picture are masked"),
        ({"mask_detector": "hosts/Server/AVDetector.1/EventSupplier"}, "objects are masked"),
        ({"fisheye": {"display": "ptz"}}, "the fisheye picture is made flat"),
        ({"highlight_areas": True}, "areas are marked"),
        ({"apply_mask": True}, "masks are applied"),
        ({"subtitles": BURNT}, "text is burnt into the picture"),
        ({"at": "2026-11-22T10:15:00Z"}, "a frame is a picture of its own"),
    ],
)
def test_what_changes_the_picture_is_a_reason(keys: dict[str, object], reason: str) -> None:
    treated = treatment_of(options(**keys))
    assert (treated.recompressed, treated.reasons) == (True, (reason,))


@pytest.mark.parametrize("keys", [{"format": "mp4"}, {"format": "exe"}, {"video_codec": "h264"}])
def test_what_the_vendor_does_not_say_is_not_known(keys: dict[str, object]) -> None:
    treated = treatment_of(options(**keys))
    assert treated.recompressed is None
    assert all("is not documented" in reason for reason in treated.reasons)


@pytest.mark.parametrize(
    "keys",
    [
        {"subtitles": BURNT},
        {"subtitles": {"mode": "none", "stream_mode": "burnt"}},
        {"options": {"settings": [{"burn_subtitle": True}]}},
        {"at": "2026-11-22T10:15:00Z", "subtitles": BURNT},
    ],
)
def test_text_is_burnt_in_by_each_way_to_ask_for_it(keys: dict[str, object]) -> None:
    assert treatment_of(options(**keys)).burnt_in


def test_text_is_not_burnt_in_when_that_is_switched_off() -> None:
    assert not treatment_of(options(options={"settings": [{"burn_subtitle": False}]})).burnt_in


def test_two_cameras_with_the_same_reason_say_it_once() -> None:
    document = {**WHEN, "cameras": [{"name": "1", "crop": {"left": 0.5}}] * 2}
    message = spec.resolve(document, cameras=[CAMERA], now=builders.START, timezone=None).options
    assert treatment_of(message).reasons == ("a part of the picture is cut out",)

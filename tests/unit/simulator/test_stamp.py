import datetime as dt
import io
from typing import ClassVar

import pytest
from PIL import Image

from axxonfs.simulator.picture import draw
from axxonfs.simulator.site import make_site
from axxonfs.simulator.stamp import PICTURE_SIZE, Stamp, decode_stamp, read_stamp

CAMERA = make_site("Server", 7).cameras[6]
INSTANT = dt.datetime(2026, 11, 22, 10, 15, 0, 200_000, tzinfo=dt.UTC)
PICTURE = draw(CAMERA, round(INSTANT.timestamp() * 1000))


def test_a_picture_says_when_and_by_which_camera_it_was_taken() -> None:
    assert decode_stamp(PICTURE) == Stamp(INSTANT, 7)


def test_an_array_of_pixels_is_read_as_well() -> None:
    class Pixels:
        __array_interface__: ClassVar = {
            "version": 3,
            "shape": (180, 320, 3),
            "typestr": "|u1",
            "strides": (960, 3, 1),
        }

        def tobytes(self) -> bytes:
            return PICTURE.tobytes()

    assert read_stamp(Pixels()) == INSTANT


@pytest.mark.parametrize("quality", [20, 95])
def test_the_stamp_survives_compression(quality: int) -> None:
    file = io.BytesIO()
    PICTURE.save(file, "JPEG", quality=quality)
    assert read_stamp(Image.open(file)) == INSTANT


@pytest.mark.parametrize("size", [(640, 360), (1280, 720), (213, 120)])
def test_the_stamp_survives_another_size(size: tuple[int, int]) -> None:
    assert read_stamp(PICTURE.resize(size)) == INSTANT


@pytest.mark.parametrize("colour", ["black", "white", "gray"])
def test_a_picture_without_stamp_is_refused(colour: str) -> None:
    with pytest.raises(ValueError, match="no stamp"):
        read_stamp(Image.new("RGB", PICTURE_SIZE, colour))


def test_a_stamp_with_a_damaged_cell_is_refused() -> None:
    damaged = PICTURE.copy()
    left, top = 16 + 30 * 8, 156
    cell = damaged.getpixel((left + 4, top + 4))
    damaged.paste("white" if cell == (0, 0, 0) else "black", (left, top, left + 8, top + 8))
    with pytest.raises(ValueError, match="no stamp"):
        read_stamp(damaged)


def test_the_picture_moves() -> None:
    later = draw(CAMERA, round(INSTANT.timestamp() * 1000) + 200)
    scene = (0, 48, PICTURE_SIZE[0], 120)
    assert PICTURE.crop(scene).tobytes() != later.crop(scene).tobytes()

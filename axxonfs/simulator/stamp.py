"""A strip of black and white cells in every picture, from which a test reads when it was taken.

Decides its layout: 72 cells in two rows, each eight pixels square so that it
survives compression: 48 bits of milliseconds since the epoch, 8 of the camera's
number, 16 of a checksum. Pure; imports Pillow and nothing of ours.

Tests call `read_stamp` on frames that any decoder gave them, also enlarged or reduced.
"""

import binascii
import dataclasses
import datetime as dt
from typing import Any

from PIL import Image

PICTURE_SIZE = (320, 180)
_CELL = 8
_COLUMNS, _ROWS = 36, 2
_CORNER = (16, 156)  # of the strip in the picture, left and top; in whole cells, as the blocks of codecs
_AREA = (_CORNER[0], _CORNER[1], _CORNER[0] + _COLUMNS * _CELL, _CORNER[1] + _ROWS * _CELL)
_WHITE_FROM = 128


@dataclasses.dataclass(frozen=True, slots=True)
class Stamp:
    """What a strip says."""

    taken_at: dt.datetime  # UTC
    camera: int


def draw_stamp(picture: Image.Image, instant_ms: int, camera: int) -> None:
    """Draw the strip into a picture of the usual size."""
    number = int.from_bytes(_sealed((instant_ms << 8 | camera & 0xFF).to_bytes(7, "big")), "big")
    cells = bytes(255 if bit == "1" else 0 for bit in f"{number:072b}")
    strip = Image.frombytes("L", (_COLUMNS, _ROWS), cells)
    picture.paste(strip.resize((_COLUMNS * _CELL, _ROWS * _CELL), Image.Resampling.NEAREST), _CORNER)


def read_stamp(picture: Any) -> dt.datetime:  # noqa: ANN401  see below
    """Return when a picture was taken (UTC); it is a Pillow image or an RGB array. ValueError without a strip."""
    return decode_stamp(picture).taken_at


def decode_stamp(picture: Any) -> Stamp:  # noqa: ANN401  Image.fromarray takes whatever has an array interface
    """Return everything that the strip of a picture says; ValueError if there is none that holds together."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    if image.size != PICTURE_SIZE:
        image = image.resize(PICTURE_SIZE, Image.Resampling.BOX)
    cells = image.convert("L").crop(_AREA).resize((_COLUMNS, _ROWS), Image.Resampling.BOX).tobytes()
    sealed = int("".join("1" if cell >= _WHITE_FROM else "0" for cell in cells), 2).to_bytes(9, "big")
    if _sealed(sealed[:7]) != sealed:
        raise ValueError("the picture carries no stamp that can be read")
    milliseconds = int.from_bytes(sealed[:6], "big")
    return Stamp(dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=milliseconds), sealed[6])


def _sealed(data: bytes) -> bytes:
    # The initial value keeps an all-black strip from being valid.
    return data + binascii.crc_hqx(data, 0xFFFF).to_bytes(2, "big")

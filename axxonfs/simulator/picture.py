"""What a camera sees at an instant: a moving picture with its name, the time, and the stamp.

Pure: the same camera and instant give the same picture. Used by the agent's thread only
(the cached backgrounds are never written to).
"""

import datetime as dt
import functools
import math

from PIL import Image, ImageDraw, ImageFont

from axxonfs.simulator.site import Camera
from axxonfs.simulator.stamp import PICTURE_SIZE, draw_stamp
from axxonfs.simulator.times import utc

_WIDTH, _HEIGHT = PICTURE_SIZE
_BALL = 14
_FLOOR = 120


def draw(camera: Camera, instant_ms: int, timezone_min: int = 0, comment: str = "") -> Image.Image:
    """Return the picture of a camera at an instant; the burnt-in time is local to `timezone_min` east of UTC."""
    picture = _background(camera).copy()
    canvas = ImageDraw.Draw(picture)
    _draw_ball(canvas, camera, instant_ms / 1000)
    canvas.text((8, 26), _time_text(instant_ms, timezone_min), font=_font(), fill="white")
    if comment:
        canvas.text((8, 46), comment, font=_font(), fill="white")
    draw_stamp(picture, instant_ms, camera.number)
    return picture


@functools.lru_cache(maxsize=64)
def _background(camera: Camera) -> Image.Image:
    """Return what does not move: a colour of its own for each camera, a floor, the name, the bed of the stamp."""
    hue = camera.number * 47 % 360
    picture = Image.new("RGB", PICTURE_SIZE, f"hsl({hue}, 35%, 30%)")
    canvas = ImageDraw.Draw(picture)
    canvas.rectangle((0, _FLOOR, _WIDTH, _HEIGHT), fill=f"hsl({hue}, 25%, 18%)")
    canvas.rectangle((0, 148, _WIDTH, _HEIGHT), fill="black")
    canvas.text((8, 6), f"{camera.number}.{camera.name}", font=_font(), fill="white")
    return picture


def _draw_ball(canvas: ImageDraw.ImageDraw, camera: Camera, seconds: float) -> None:
    # Crosses the picture in ten seconds, there and back, and bounces once a second.
    across = abs((seconds / 10 + camera.number / 7) % 2 - 1) * (_WIDTH - _BALL)
    height = abs(math.sin(math.pi * (seconds % 1))) * 40
    top = _FLOOR - _BALL - height
    canvas.ellipse((across, top, across + _BALL, top + _BALL), fill="gold")


def _time_text(instant_ms: int, timezone_min: int) -> str:
    zone = dt.timezone(dt.timedelta(minutes=timezone_min)) if timezone_min else dt.UTC
    local = utc(instant_ms).astimezone(zone)
    return f"{local:%Y-%m-%d %H:%M:%S}.{instant_ms % 1000:03} {local:%Z}"


@functools.cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(14)

"""The values that keys of a spec take: sizes, colours, areas, fonts, and other small objects.

Decides what each may be and how it is written on the wire. Pure; imports
pydantic, instants and `fields`. Facts: section 1.2 of the wire contract.
"""

import datetime as dt
import zoneinfo
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pydantic
from pydantic import BeforeValidator, Field, WithJsonSchema

from axxonfs.core import fields, instants
from axxonfs.core.fields import Keys, Wire


def key(description: str, *examples: object, alias: str | None = None) -> Any:  # noqa: ANN401 - as pydantic.Field
    """Declare a key that may be left out."""
    return Field(default=None, description=description, examples=list(examples), alias=alias)


def flag(description: str, *, example: bool = True) -> Any:  # noqa: ANN401 - as pydantic.Field
    """Declare a key that is true or false, and may be left out."""
    return key(description, example)


def _read_by(parse: Callable[[str], object]) -> BeforeValidator:
    def read(value: object) -> object:
        if not isinstance(value, str):
            raise fields.text_problem()
        return parse(value)

    return BeforeValidator(read)


def _parse_length(text: str) -> dt.timedelta:
    duration = instants.parse_duration(text)
    if not duration:
        raise ValueError("must be longer than nothing")
    return duration


_TEXT_SCHEMA = WithJsonSchema({"type": "string"})
Duration = Annotated[dt.timedelta, _read_by(_parse_length), _TEXT_SCHEMA]
Zone = Annotated[zoneinfo.ZoneInfo, _read_by(instants.parse_zone), _TEXT_SCHEMA]
Size = Annotated[
    int, BeforeValidator(instants.parse_size), Field(gt=0, lt=2**64), WithJsonSchema({"type": ["string", "integer"]})
]
Text = Annotated[str, Field(min_length=1)]
Colour = Annotated[str, Field(pattern=r"^#[0-9A-Fa-f]{6}([0-9A-Fa-f]{2})?$")]
Offset = Annotated[str, Field(pattern=r"^[+-]([01][0-9]|2[0-3]):[0-5][0-9]$")]
Fraction = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, lt=2**31)]
Point = Annotated[list[float], Field(min_length=2, max_length=2)]
Polygon = Annotated[list[Point], Field(min_length=3)]
Quality = Literal["best", "fine", "good", "original", "medium", "small", "tiny", "best_size"]
AudioCodec = Literal["default", "g711", "mp2"]
Entity = Literal["timestamp", "comment", "bookmark", "author", "camera_id", "camera_name", "location", "stream"]
Method = Literal["none", "soft", "burnt"]

QUALITY = fields.named(
    best="C_BEST_QUALITY",
    fine="C_FINE_QUALITY",
    good="C_GOOD_QUALITY",
    original="C_NORMAL",
    medium="C_MEDIUM",
    small="C_SMALL_SIZE",
    tiny="C_TINY_SIZE",
    best_size="C_BEST_SIZE",
)
METHOD = fields.named(none="SM_NONE", soft="SM_SOFT", burnt="SM_HARD")


class Area(Keys):
    """A rectangle within the picture or page; edges as fractions of its width and height."""

    left: Fraction = Field(0, description="left edge, 0 is the left of the picture", examples=[0.25])
    top: Fraction = Field(0, description="upper edge, 0 is the top of the picture", examples=[0.25])
    right: Fraction = Field(1, description="right edge, 1 is the right of the picture", examples=[0.75])
    bottom: Fraction = Field(1, description="lower edge, 1 is the bottom of the picture", examples=[0.75])

    @pydantic.model_validator(mode="after")
    def _check_size(self) -> "Area":
        if self.left >= self.right or self.top >= self.bottom:
            raise ValueError("left must be less than right, and top less than bottom")
        return self


class Font(Keys):
    """A font of the server."""

    face: Text | None = key("name of the font", "Arial")
    size: Annotated[float, Field(gt=0)] | None = key("size in points", 12)
    style: Count | None = key("style, in the vendor's numbers", 0)


class TimeLapse(Keys):
    """A clip of key frames only."""

    fps: Annotated[float, Field(ge=0)] | None = key("frames per second; 0 leaves them as recorded", 1)
    speed: Annotated[float, Field(ge=0)] | None = key(
        "how many times faster it plays; 0 leaves it as recorded, above 2 there is no sound", 4
    )


class Subtitles(Keys):
    """What is written about the picture, and how."""

    mode: Annotated[Method, Wire("common_info_mode", METHOD)] = Field(
        description="none, soft (a subtitle track) or burnt (into the picture)", examples=["soft"]
    )
    stream_mode: Annotated[Method | None, Wire("stream_data_mode", METHOD)] = key(
        "the same for data that was recorded with the stream", "none"
    )
    show: Annotated[list[Entity] | None, Wire("details", fields.listed(fields.prefixed("SE_")))] = key(
        "what is shown", ["timestamp", "camera_name"]
    )
    pattern: Annotated[Text | None, Wire("common_info_pattern")] = key(
        "the text itself, in the notation of the server", "case 4711"
    )


class Fisheye(Keys):
    """How the picture of a fisheye camera is made flat."""

    left: float | None = key("left edge of the circle", 0.0)
    top: float | None = key("upper edge of the circle", 0.0)
    right: float | None = key("right edge of the circle", 1.0)
    bottom: float | None = key("lower edge of the circle", 1.0)
    fov: float | None = key("field of view", 180.0)
    pan: float | None = key("pan", 0.0)
    tilt: float | None = key("tilt", 0.0)
    view_angle: float | None = key("angle of the view", 90.0)
    width: Annotated[Count | None, Wire("dest_width")] = key("width of the result in pixels", 1280)
    height: Annotated[Count | None, Wire("dest_height")] = key("height of the result in pixels", 720)
    place: Annotated[Literal["ceiling", "wall", "ground"] | None, Wire("camera_place", fields.prefixed("CP_"))] = key(
        "where the camera is mounted", "ceiling"
    )
    lens: Annotated[Text | None, Wire("camera_lens")] = key("the vendor's name of the lens", "generic")
    display: Annotated[Literal["ptz", "perimeter"] | None, Wire("display_mode", fields.prefixed("FD_"))] = key(
        "a part of the picture, or all around", "ptz"
    )


class Focus(Keys):
    """A face or number plate that a page shows."""

    item: Text | None = key("guid of the object", "6d2f5a52-0000-0000-0000-000000000000")
    image: Text | None = key("guid of its image", "0f6a1c11-0000-0000-0000-000000000000")
    area: Annotated[Area | None, Wire("area", fields.nested(Area))] = key(
        "where it is in the picture", {"left": 0.4, "top": 0.1, "right": 0.6, "bottom": 0.4}
    )


AREA = fields.nested(Area)
FONT = fields.nested(Font)
FOCUS = fields.nested(Focus)
AREA_EXAMPLE = {"left": 0.25, "top": 0.25, "right": 0.75, "bottom": 0.75}

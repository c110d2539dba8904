"""The keys of a spec: what each is called, what may stand there, and where it goes on the wire.

One declaration per key: the checks, the JSON Schema for editors and both
directions of the translation follow from it. What keys mean together is decided
by `spec`. Pure; imports pydantic, `values` and `fields`. Facts: section 1.2 of the
wire contract.
"""

from typing import Annotated, Any, ClassVar, Literal

import pydantic
from pydantic import Field, GetJsonSchemaHandler
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from axxonfs.core import fields, values
from axxonfs.core.fields import Keys, Wire
from axxonfs.core.values import flag, key

OUTPUT_OF_FORMAT = {
    "mkv": "stream",
    "mp4": "stream",
    "avi": "stream",
    "exe": "stream",
    "jpeg": "snapshot",
    "pdf": "snapshot",
}


class PerCamera(Keys):
    """What may be different for each camera."""

    archive: values.Text | None = key(
        "name or storage access point; the camera's default archive if left out", "AliceBlue"
    )
    crop: Annotated[values.Area | None, Wire("settings.crop_area", values.AREA)] = key(
        "the part of the picture that is exported", values.AREA_EXAMPLE
    )
    masks: Annotated[list[values.Polygon] | None, Wire("settings.mask_space", fields.POLYGONS)] = key(
        "polygons to be masked; points are [x, y] in fractions of the picture", [[[0, 0], [0.5, 0], [0.5, 0.5]]]
    )
    mask_detector: Annotated[values.Text | None, Wire("settings.mask_detector")] = key(
        "access point of the detector whose objects are masked", "hosts/Server/AVDetector.1/EventSupplier"
    )
    fisheye: Annotated[values.Fisheye | None, Wire("settings.fisheye_info", fields.nested(values.Fisheye))] = key(
        "how a fisheye picture is made flat", {"place": "ceiling", "display": "ptz"}
    )
    track_color: Annotated[values.Colour | None, Wire("settings.track_color", fields.COLOUR)] = key(
        "colour of the tracks of objects, #rrggbb or #rrggbbaa", "#ff0000"
    )
    text_background: Annotated[values.Colour | None, Wire("settings.text_place_color", fields.COLOUR)] = key(
        "colour behind the text, #rrggbb or #rrggbbaa", "#00000080"
    )
    text_align: Annotated[
        Literal["center", "left", "right"] | None, Wire("settings.horizon_text_align", fields.prefixed("H_"))
    ] = key("where the text stands in its line", "left")
    text_valign: Annotated[
        Literal["bottom", "center", "top"] | None, Wire("settings.vertical_text_align", fields.prefixed("V_"))
    ] = key("where the text stands in its place", "bottom")
    tracks: Annotated[list[values.Text] | None, Wire("tracks")] = key(
        "access points of further tracks, such as microphones",
        ["hosts/Server/DeviceIpint.1/SourceEndpoint.audio:0"],
    )


class CameraKeys(PerCamera):
    """What may be said of one camera among several, but for its name."""

    text_place: Annotated[values.Area | None, Wire("settings.text_place", values.AREA)] = key(
        "where the text stands in the picture of this camera", values.AREA_EXAMPLE
    )
    text_color: Annotated[values.Colour | None, Wire("settings.text_color", fields.COLOUR)] = key(
        "colour of the text in the picture of this camera", "#ffffff"
    )


class CameraEntry(CameraKeys):
    """A camera: its name alone, or an object that says more."""

    name: values.Text = Field(
        description="display id, display name, ID.NAME, or access point of the camera", examples=["1.Front door"]
    )

    @pydantic.model_validator(mode="before")
    @classmethod
    def _take_name(cls, value: object) -> object:
        if isinstance(value, list):
            raise ValueError('this is for one camera: several stand under "cameras", as in "cameras": ["1", "2"]')  # noqa: TRY004 - as pydantic takes it
        if not isinstance(value, str | dict):
            raise fields.text_problem()
        return {"name": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Say that the name alone will do."""
        return {"anyOf": [{"type": "string", "minLength": 1}, handler(core)]}


class Spec(PerCamera):
    """A video export of an Axxon One server."""

    other_words: ClassVar = {
        "begin": "from",
        "start": "from",
        "since": "from",
        "end": "to",
        "until": "to",
        "time": "at",
        "timestamp": "at",
        "length": "duration",
        "type": "format",
        "sound": "audio",
        "codec": "video_codec",
        "color": "text_color",
        "colour": "text_color",
    }

    schema_: str | None = key("where an editor finds this schema", "../.axxonfs/spec.schema.json", alias="$schema")
    camera: CameraEntry | None = key("display id, display name, ID.NAME, or access point", "1.Front door")
    cameras: Annotated[list[CameraEntry], Field(min_length=1)] | None = key(
        "several cameras for one export", ["1.Front door", {"name": "2.Gate", "archive": "AliceBlue"}]
    )
    from_: str | None = key(
        "begin of a clip from the archive: RFC 3339 with an offset, or relative to now",
        "2026-11-22T10:15:00+02:00",
        "-5m",
        alias="from",
    )
    to: str | None = key("end of a clip from the archive, as `from`", "2026-11-22T10:20:00+02:00", "now")
    at: str | None = key("instant of a frame from the archive, as `from`", "2026-11-22T10:15:00+02:00", "-5m")
    live: bool | None = flag("true: live video, for `duration` or until stopped, or a frame of it")
    duration: values.Duration | None = key("how long live video is exported; until stopped if left out", "90s", "1h30m")
    timezone: values.Zone | None = key("IANA zone of instants that have no offset", "Europe/Berlin")
    format: Literal["mkv", "mp4", "avi", "exe", "jpeg", "pdf"] | None = key(
        "mkv (not recompressed) for clips and jpeg for frames if left out", "mp4"
    )

    comment: Annotated[str | None, Wire("settings.comment")] = key("text that the export shows", "case 4711")
    password: Annotated[values.Text | None, Wire("stream.settings.password")] = key(
        "protects the clip, which may then come as a zip; masked as soon as it was read", "a long sentence is best"
    )
    max_file_size: Annotated[values.Size | None, Wire("max_file_size", fields.WHOLE)] = key(
        "a new file begins at this size, in bytes or with K, M, G (binary)", "2G", 268_435_456
    )
    agent: Annotated[values.Text | None, Wire("export_agent_access_point")] = key(
        "access point of the export agent; the server's first one if left out", "hosts/Server/MMExportAgent.0"
    )
    separate_files: Annotated[bool | None, Wire("mode.discrete")] = flag("one file for each camera")

    quality: Annotated[values.Quality | None, Wire("stream.settings.video_quality", values.QUALITY)] = key(
        "of the video; original leaves it as recorded unless something else forces a new encoding", "original"
    )
    video_codec: Annotated[
        Literal["default", "mjpeg", "mpeg4", "h264"] | None,
        Wire("stream.settings.video_codec", fields.prefixed("VC_")),
    ] = key("how video is encoded if it must be", "h264")
    frame_rate: Annotated[
        Literal["original", "half", "quarter", "octant"] | None,
        Wire("stream.settings.frame_frequency", fields.prefixed("FF_")),
    ] = key("how many of the frames are kept; octant is an eighth", "half")
    time_lapse: Annotated[
        values.TimeLapse | None, Wire("stream.settings.time_lapse", fields.nested(values.TimeLapse))
    ] = key("key frames only, played faster", {"fps": 1, "speed": 4})
    audio: Annotated[bool | None, Wire("stream.settings.reject_audio", fields.NOT)] = flag(
        "false: no sound", example=False
    )
    audio_quality: Annotated[values.Quality | None, Wire("stream.settings.audio_quality", values.QUALITY)] = key(
        "of the sound", "good"
    )
    audio_codec: Annotated[values.AudioCodec | None, Wire("stream.settings.audio_codec", fields.prefixed("AC_"))] = key(
        "how sound is encoded if it must be", "mp2"
    )

    subtitles: Annotated[
        values.Subtitles | None,
        Wire("settings.subtitle_cast", fields.nested(values.Subtitles, common_info_mode="SM_NONE")),
    ] = key("what is written about the picture", {"mode": "soft", "show": ["timestamp", "camera_name"]})
    timestamp_format: Annotated[values.Text | None, Wire("settings.timestamp_format")] = key(
        "format of instants in texts, in the notation of the server", "%Y-%m-%d %H:%M:%S"
    )
    display_timezone: Annotated[values.Offset | None, Wire("settings.timezone", fields.OFFSET)] = key(
        "offset from UTC of instants in texts; the server's own if left out", "+02:00"
    )
    text_place: Annotated[values.Area | None, Wire("settings.text_place", values.AREA)] = key(
        "where the text stands in the picture", values.AREA_EXAMPLE
    )
    text_color: Annotated[values.Colour | None, Wire("settings.text_color", fields.COLOUR)] = key(
        "colour of the text, #rrggbb or #rrggbbaa", "#ffffff"
    )
    font: Annotated[values.Font | None, Wire("settings.font", values.FONT)] = key(
        "of the text", {"face": "Arial", "size": 12}
    )
    highlight_areas: Annotated[bool | None, Wire("settings.highlight_areas")] = flag("mark areas of interest")
    apply_mask: Annotated[bool | None, Wire("settings.apply_mask")] = flag("apply the masks")
    invert_mask: Annotated[bool | None, Wire("settings.invert_mask")] = flag("mask what the masks leave out")

    pdf_layout: Annotated[
        Literal["portrait", "landscape"] | None, Wire("snapshot.settings.pdf_layout", fields.prefixed("PL_"))
    ] = key("of the page", "landscape")
    snapshot_place: Annotated[values.Area | None, Wire("snapshot.settings.snapshot_place", values.AREA)] = key(
        "where the frame stands on the page", values.AREA_EXAMPLE
    )
    comment_place: Annotated[values.Area | None, Wire("snapshot.settings.comment_place", values.AREA)] = key(
        "where the comment stands on the page", values.AREA_EXAMPLE
    )
    timestamp_place: Annotated[values.Area | None, Wire("snapshot.settings.timestamp_place", values.AREA)] = key(
        "where the instant stands on the page", values.AREA_EXAMPLE
    )
    face: Annotated[values.Focus | None, Wire("snapshot.settings.face_info", values.FOCUS)] = key(
        "a face that the page shows", {"item": "6d2f5a52-0000-0000-0000-000000000000"}
    )
    plate: Annotated[values.Focus | None, Wire("snapshot.settings.plate_info", values.FOCUS)] = key(
        "a number plate that the page shows", {"item": "6d2f5a52-0000-0000-0000-000000000000"}
    )
    pdf_text_color: Annotated[values.Colour | None, Wire("snapshot.settings.pdf_text_color", fields.COLOUR)] = key(
        "colour of the text on the page", "#000000"
    )
    pdf_font: Annotated[values.Font | None, Wire("snapshot.settings.pdf_font", values.FONT)] = key(
        "of the text on the page", {"face": "Arial", "size": 12}
    )

    store_on_agent: Annotated[bool | None, Wire("store_result_by_export_agent")] = flag(
        "keep the results in the agent's folder; they cannot be downloaded"
    )
    external_directory: Annotated[values.Text | None, Wire("external_directory")] = key(
        "directory of the server that takes the results; they cannot be downloaded", "D:\\Export"
    )
    cloud_export: Annotated[bool | None, Wire("cloud_export")] = flag(
        "send the results to the cloud; they cannot be downloaded"
    )
    file_name: Annotated[values.Text | None, Wire("settings.file_name")] = key(
        "name of files that are not downloaded", "front-door"
    )

    options: dict[str, Any] | None = key(
        "raw export options in protobuf's JSON form, for what has no key: replaces fields, appends to lists",
        {"settings": [{"burn_subtitle": True}]},
    )


class _Generator(GenerateJsonSchema):
    """Leaves out what an editor would only be confused by: null, defaults of null, and titles made of names."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        form = super().default_schema(schema)
        return {key: value for key, value in form.items() if key != "default" or value is not None}

    def field_title_should_be_set(self, schema: Any) -> bool:  # noqa: ANN401, ARG002 - as declared by pydantic
        return False


_EXAMPLES = [
    {
        "camera": "1.Front door",
        "from": "2026-11-22T10:15:00+02:00",
        "to": "2026-11-22T10:20:00+02:00",
        "format": "mp4",
    },
    {"camera": "1.Front door", "at": "2026-11-22T10:15:00+02:00", "format": "pdf", "comment": "case 4711"},
    {"cameras": ["1.Front door", "2.Gate"], "live": True, "duration": "90s"},
]


def spec_schema() -> dict[str, Any]:
    """Return the JSON Schema of a spec, for editors."""
    schema = Spec.model_json_schema(schema_generator=_Generator)
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        **schema,
        "title": "axxonfs export spec",
        "examples": _EXAMPLES,
    }

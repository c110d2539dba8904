"""What an export is going to do: options as the client sent them, checked and made definite.

Decides which options are refused and in which words, what the defaults are and
which instants are delivered. Pure: the same options started at the same instant
give the same plan, so a restarted simulator goes on by planning again.

Not honoured, and accepted silently: masks, crops, fisheye, tracks, places,
fonts, colours, subtitles, qualities and codecs, audio (there is none),
timestamp_format, TimeLapse.fps, the layout of PDF pages and external frames.

Source: the wire contract, sections 1.2, 3, 5, 6.2 and 6.5.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal

from axxonfs.simulator.footage import FRAME_MS, GROUP_MS, frame_before, key_frame_before
from axxonfs.simulator.refusal import Refusal
from axxonfs.simulator.site import Camera, Site, cannot_resolve
from axxonfs.simulator.switches import Switches
from axxonfs.simulator.times import parse_wire_time
from axxonfs.wire import export_pb2 as wire

Format = Literal["mkv", "mp4", "avi", "exe", "jpeg", "pdf"]
Kept = Literal["here", "by_agent", "external", "cloud"]
_Source = wire.LiveMode.Source | wire.ArchiveMode.Source

_CLIPS: dict[int, Format] = {
    wire.StreamType.DEFAULT: "mkv",
    wire.StreamType.MKV: "mkv",
    wire.StreamType.AVI: "avi",
    wire.StreamType.EXE: "exe",
    wire.StreamType.MP4: "mp4",
}
_FRAMES: dict[int, Format] = {
    wire.SnapshotType.DEFAULT: "jpeg",
    wire.SnapshotType.JPEG: "jpeg",
    wire.SnapshotType.PDF: "pdf",
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A definite export. The interval is what is delivered; it is empty where nothing is recorded."""

    cameras: tuple[Camera, ...]
    format: Format
    live: bool
    begin_ms: int
    end_ms: int | None  # None: until stopped
    step_ms: int = FRAME_MS  # of footage between two frames
    speed: float = 1.0  # footage seconds shown in one second
    discrete: bool = False
    max_file_bytes: int = 0  # 0: no limit
    password: str = dataclasses.field(default="", repr=False)
    comment: str = ""
    timezone_min: int = 0
    kept: Kept = "here"
    directory: str = ""  # of results that are kept elsewhere
    file_name: str = ""

    @property
    def still(self) -> bool:
        """Whether the result is single pictures."""
        return self.format in ("jpeg", "pdf")

    @property
    def group_ms(self) -> int:
        """How much footage lies between two key frames of the result: whole frames, and no less than recorded."""
        return -(-GROUP_MS // self.step_ms) * self.step_ms

    @property
    def empty(self) -> bool:
        """Whether there is no footage to export."""
        return self.end_ms is not None and self.end_ms <= self.begin_ms


def is_live_clip(options: wire.Options) -> bool:
    """Return whether the shorter of the two timers for running exports applies."""
    return options.HasField("live") and options.HasField("stream")


def make_plan(options: wire.Options, site: Site, now_ms: int, recorded_ms: int, switches: Switches) -> Plan:
    """Return the plan of an export that starts at `now_ms`; Refusal says what is wrong with it."""
    if not options.HasField("mode"):
        raise _invalid("Export mode is not set.")
    if not options.HasField("output_type"):
        raise _invalid("Output type is not set.")
    live = options.HasField("live")
    begin_ms, end_ms = _live_interval(options, now_ms) if live else _recorded(options, now_ms, recorded_ms, switches)
    plan = Plan(
        cameras=_cameras(options, site, switches),
        format=_format(options),
        live=live,
        begin_ms=begin_ms,
        end_ms=end_ms,
        discrete=options.live.discrete if live else options.archive.discrete,
        max_file_bytes=options.max_file_size or switches.agent_file_limit,
    )
    return _with_kept(_with_common(_with_stream(plan, options), options), options)


def _invalid(text: str) -> Refusal:
    return Refusal("INVALID_ARGUMENT", text)


def check_agent(options: wire.Options, site: Site, switches: Switches) -> None:
    """Refuse an export that no agent can be given to."""
    if switches.no_agent:
        raise Refusal(switches.no_agent, "Export agent is not available.")
    if options.export_agent_access_point not in ("", site.agent):
        raise cannot_resolve(options.export_agent_access_point)


def _cameras(options: wire.Options, site: Site, switches: Switches) -> tuple[Camera, ...]:
    if options.HasField("live"):
        return _origins(options.live.sources, site)
    cameras = _origins(options.archive.sources, site)
    for camera, source in zip(cameras, options.archive.sources, strict=True):
        _check_storages(camera, source.storages, switches)
    return cameras


def _origins(sources: Sequence[_Source], site: Site) -> tuple[Camera, ...]:
    if not sources:
        raise _invalid("Sources are not set.")
    if not all(source.origin for source in sources):
        raise _invalid("Empty access point information.")
    return tuple(site.camera(source.origin) for source in sources)


def _check_storages(camera: Camera, storages: Sequence[str], switches: Switches) -> None:
    if not storages and switches.empty_storages == "refuse":
        raise _invalid("Storages are not set.")
    for storage in storages:
        if storage not in camera.storages:
            raise cannot_resolve(storage)


def _format(options: wire.Options) -> Format:
    known, number = (
        (_FRAMES, int(options.snapshot.format))
        if options.HasField("snapshot")
        else (_CLIPS, int(options.stream.format))
    )
    if number not in known:
        raise _invalid(f"Unknown output format {number}.")
    return known[number]


def _live_interval(options: wire.Options, now_ms: int) -> tuple[int, int | None]:
    if options.HasField("snapshot"):
        return _frame(now_ms)
    if not options.live.HasField("duration"):
        return key_frame_before(now_ms), None
    duration_ms = options.live.duration.ToMilliseconds()
    if duration_ms <= 0:
        raise _invalid("Duration is not positive.")
    return key_frame_before(now_ms), now_ms + duration_ms


def _recorded(options: wire.Options, now_ms: int, recorded_ms: int, switches: Switches) -> tuple[int, int]:
    """Return what is recorded of the interval that was asked for; an empty one if nothing is."""
    asked = _asked(options, switches)
    oldest_ms = now_ms - recorded_ms
    if asked is None or asked[1] <= oldest_ms or asked[0] >= now_ms:
        return now_ms, now_ms
    if options.HasField("snapshot"):
        return _frame(asked[0])
    return key_frame_before(max(asked[0], oldest_ms)), min(asked[1], now_ms)


def _asked(options: wire.Options, switches: Switches) -> tuple[int, int] | None:
    archive = options.archive
    try:
        begin_ms = parse_wire_time(archive.start_timestamp)
        end_ms = begin_ms + 1 if options.HasField("snapshot") else parse_wire_time(archive.end_timestamp)
    except ValueError as error:
        if switches.bad_time == "silent":
            return None
        raise _invalid(f"Bad timestamp: {error}.") from None
    if begin_ms >= end_ms:
        raise _invalid("The interval does not end after its beginning.")
    return begin_ms, end_ms


def _frame(instant_ms: int) -> tuple[int, int]:
    frame_ms = frame_before(instant_ms)
    return frame_ms, frame_ms + 1


def _with_stream(plan: Plan, options: wire.Options) -> Plan:
    for setting in options.stream.settings:
        match setting.WhichOneof("setting"):
            case "frame_frequency":
                plan = dataclasses.replace(plan, step_ms=FRAME_MS << setting.frame_frequency)
            case "time_lapse":
                plan = dataclasses.replace(plan, step_ms=GROUP_MS, speed=setting.time_lapse.speed or 1.0)
            case "password":
                plan = dataclasses.replace(plan, password=setting.password)
            case _:
                pass
    return plan


def _with_common(plan: Plan, options: wire.Options) -> Plan:
    for setting in options.settings:
        match setting.WhichOneof("setting"):
            case "comment":
                plan = dataclasses.replace(plan, comment=setting.comment)
            case "timezone":
                plan = dataclasses.replace(plan, timezone_min=setting.timezone)
            case "file_name":
                plan = dataclasses.replace(plan, file_name=setting.file_name)
            case _:
                pass
    return plan


def _with_kept(plan: Plan, options: wire.Options) -> Plan:
    if options.cloud_export:
        return dataclasses.replace(plan, kept="cloud")
    if options.external_directory:
        return dataclasses.replace(plan, kept="external", directory=options.external_directory)
    if options.store_result_by_export_agent:
        return dataclasses.replace(plan, kept="by_agent", directory="/var/lib/axxonsoft/export")
    return plan

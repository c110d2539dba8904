"""Options as clients send them, and a clock to turn."""

import dataclasses

from axxonfs.simulator.plan import Plan, check_agent, make_plan
from axxonfs.simulator.site import make_site
from axxonfs.simulator.switches import Switches
from axxonfs.simulator.times import wire_time
from axxonfs.wire.export_pb2 import Options, SnapshotType, StreamType

SITE = make_site("Server", 8)
# 2027-01-15 08:00:00.5: on no key frame and on no frame of the grid.
NOW_MS = 1_800_000_000_500
HOUR_MS = 3_600_000
ALICE = "hosts/Server/MultimediaStorage.AliceBlue/MultimediaStorage"


@dataclasses.dataclass(slots=True)
class Clock:
    """Seconds since the epoch, as a test wants them."""

    now_s: float = NOW_MS / 1000

    def __call__(self) -> float:
        return self.now_s


def origin(camera: int) -> str:
    return f"hosts/Server/DeviceIpint.{camera}/SourceEndpoint.video:0:0"


def archive(begin_ms: int, end_ms: int | None, cameras: tuple[int, ...] = (1,)) -> Options:
    options = Options()
    for camera in cameras:
        options.archive.sources.add(origin=origin(camera), storages=[ALICE])
    options.archive.start_timestamp = wire_time(begin_ms)
    if end_ms is not None:
        options.archive.end_timestamp = wire_time(end_ms)
    return options


def clip(
    begin_ms: int = NOW_MS - HOUR_MS,
    end_ms: int = NOW_MS - HOUR_MS + 10_000,
    cameras: tuple[int, ...] = (1,),
    kind: StreamType.EFormat.ValueType = StreamType.MKV,
) -> Options:
    options = archive(begin_ms, end_ms, cameras)
    options.stream.format = kind
    return options


def frame(at_ms: int, kind: SnapshotType.EFormat.ValueType = SnapshotType.JPEG) -> Options:
    options = archive(at_ms, None)
    options.snapshot.format = kind
    return options


def live_clip(duration_s: int | None = None) -> Options:
    options = Options()
    options.live.sources.add(origin=origin(1))
    options.stream.format = StreamType.MP4
    if duration_s is not None:
        options.live.duration.FromSeconds(duration_s)
    return options


def live_frame() -> Options:
    options = live_clip()
    options.snapshot.format = SnapshotType.JPEG
    return options


def plan(options: Options, switches: Switches | None = None, now_ms: int = NOW_MS) -> Plan:
    """Do what StartSession does before it enters a session."""
    check_agent(options, SITE, switches or Switches())
    return make_plan(options, SITE, now_ms, 24 * HOUR_MS, switches or Switches())

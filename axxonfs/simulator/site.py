"""The installation that the simulator pretends to be: one node, its cameras, archives and export agent.

Decides access points, names and which camera is recorded where; chosen so that
names meet what clients stumble over (two that are equal, other scripts, a
slash). Pure values and the messages made from them. Source: the wire contract,
sections 1.7 and 4.
"""

import dataclasses

from axxonfs.simulator.refusal import Refusal
from axxonfs.wire import domain_pb2 as wire

_NAMES = ("Front door", "Gate", "Hall", "Loading dock", "Gate", "Склад 2 東", "Lift A/B", "Roof")
# What nobody should make a file name of as it is; the last but one is 4 KiB long, and two are equal.
_HOSTILE = ("", ".", "..", "../../etc/passwd", "a\0b", "line\nbreak", "\u202egpj.exe\u202c", "x" * 4096, "..")
_UNRECORDED = 8  # this camera has no archive
_EMBEDDED = 3  # this one records on its own card, too
_FPS = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Camera:
    """A camera, and where it is recorded: its default archive first."""

    number: int
    name: str
    access_point: str
    storages: tuple[str, ...]

    @property
    def device(self) -> str:
        """The device part of the access point, as DeviceIpint.1."""
        return f"DeviceIpint.{self.number}"


@dataclasses.dataclass(frozen=True, slots=True)
class Site:
    """The node and what is on it."""

    node_name: str
    cameras: tuple[Camera, ...]

    @property
    def agent(self) -> str:
        """The access point of the only export agent."""
        return f"hosts/{self.node_name}/MMExportAgent.0"

    def camera(self, access_point: str) -> Camera:
        """Return a camera; Refusal with the words of the real server if there is none."""
        for camera in self.cameras:
            if camera.access_point == access_point:
                return camera
        raise cannot_resolve(access_point)

    def storages(self) -> list[str]:
        """Return the access points of all archives, each once."""
        return list(dict.fromkeys(storage for camera in self.cameras for storage in camera.storages))


def cannot_resolve(access_point: str) -> Refusal:
    """Return the refusal for an access point that nobody has."""
    return Refusal("INTERNAL", f"Can't resolve reference to {access_point}")


def make_site(node_name: str, cameras: int) -> Site:
    """Return an installation with so many cameras."""
    return Site(node_name, tuple(_camera(node_name, number) for number in range(1, cameras + 1)))


def _camera(node: str, number: int) -> Camera:
    name = _NAMES[number - 1] if number <= len(_NAMES) else f"Camera {number}"
    access_point = f"hosts/{node}/DeviceIpint.{number}/SourceEndpoint.video:0:0"
    return Camera(number, name, access_point, tuple(_storages(node, number)))


def _storages(node: str, number: int) -> list[str]:
    if number == _UNRECORDED:
        return []
    storages = [f"hosts/{node}/MultimediaStorage.AliceBlue/MultimediaStorage"]
    if number % 2 == 0:
        storages.append(f"hosts/{node}/MultimediaStorage.STORAGE_A/MultimediaStorage")
    if number == _EMBEDDED:
        storages.append(f"hosts/{node}/DeviceIpint.{number}/MultimediaStorage.0")
    return storages


def camera_message(camera: Camera, *, full: bool, hostile: bool = False) -> wire.Camera:
    """Return the camera as ListCameras sends it; `full` with streams and archives, `hostile` with a name to fear."""
    number = str(camera.number)
    name, display_id = (_HOSTILE[(camera.number - 1) % len(_HOSTILE)], "") if hostile else (camera.name, number)
    message = wire.Camera(
        access_point=camera.access_point,
        display_name=name,
        display_id=display_id,
        is_activated=True,
        enabled=True,
    )
    message.has_archive_bindings.value = bool(camera.storages)
    if full:
        message.video_streams.append(_stream(camera))
        message.archive_bindings.extend(_binding(camera, storage) for storage in camera.storages)
    return message


def incomplete_message(camera: Camera) -> wire.Camera:
    """Return the camera as a server sends it whose node did not answer in time."""
    return wire.Camera(access_point=camera.access_point, incomplete=True)


def archive_message(access_point: str) -> wire.Archive:
    """Return the archive as ListArchives sends it."""
    embedded = "/DeviceIpint." in access_point
    return wire.Archive(
        access_point=access_point,
        display_name=_archive_name(access_point),
        is_embedded=embedded,
        is_activated=True,
        enabled=True,
        storage_type=wire.EStorageType.ST_EMBEDDED if embedded else wire.EStorageType.ST_OBJECT,
    )


def _archive_name(access_point: str) -> str:
    device, storage = access_point.split("/")[2:4]
    return storage if device.startswith("DeviceIpint.") else device.removeprefix("MultimediaStorage.")


def _stream(camera: Camera) -> wire.VideoStreaming:
    return wire.VideoStreaming(
        stream_acess_point=camera.access_point, enabled=True, display_id="0", fps=_FPS, is_activated=True
    )


def _binding(camera: Camera, storage: str) -> wire.ArchiveBinding:
    source = wire.StorageSource(
        access_point=f"{storage.rsplit('/', 1)[0]}/Sources/src.{camera.number:032X}",
        storage=storage,
        media_source=camera.access_point,
        origin=camera.access_point,
        mimetype="video",
    )
    return wire.ArchiveBinding(
        name=_archive_name(storage),
        storage=storage,
        archive=archive_message(storage),
        is_default=storage == camera.storages[0],
        is_permanent=True,
        has_live_sources=True,
        sources=[source],
    )

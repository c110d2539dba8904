"""Cameras and their archives, and which of them a person means.

Decides the default archive of a camera (by the rule of the vendor's web server)
and what a query names: exactly one camera, or an error that lists the nearest.
Pure; imports the wire's messages, the domain errors and the words of error
texts. Facts: section 4 of the wire contract.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from axxonfs.core import words
from axxonfs.core.errors import SpecError
from axxonfs.wire import domain_pb2

_LISTED = 5  # names in one error text


@dataclasses.dataclass(frozen=True, slots=True)
class Archive:
    """An archive that a camera records to."""

    name: str
    access_point: str  # ArchiveBinding.storage: what goes into the storages of a source
    default: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Camera:
    """A camera that can be exported."""

    access_point: str
    display_id: str
    display_name: str
    node: str  # the name of its server; empty where the access point does not tell
    archives: tuple[Archive, ...] = ()

    @property
    def label(self) -> str:
        """What people know it by: `id.name`."""
        return ".".join(part for part in (self.display_id, self.display_name) if part) or self.access_point


def cameras_of(items: Iterable[domain_pb2.Camera]) -> tuple[Camera, ...]:
    """Return the server's cameras, each once: pages of a listing may overlap."""
    cameras = {item.access_point: _camera_of(item) for item in items if item.access_point}
    return tuple(cameras.values())


def _camera_of(item: domain_pb2.Camera) -> Camera:
    bindings = [binding for binding in item.archive_bindings if binding.storage]
    default = _default_of(bindings)
    archives = (Archive(_archive_name(binding), binding.storage, binding is default) for binding in bindings)
    return Camera(item.access_point, item.display_id, item.display_name, _node_of(item.access_point), tuple(archives))


def _node_of(access_point: str) -> str:
    hosts, _, rest = access_point.partition("/")
    return rest.partition("/")[0] if hosts == "hosts" else ""


def _archive_name(binding: domain_pb2.ArchiveBinding) -> str:
    return binding.name or binding.archive.display_name or binding.storage


def _default_of(bindings: Sequence[domain_pb2.ArchiveBinding]) -> domain_pb2.ArchiveBinding | None:
    """Return the first binding that passes the first rule that any passes."""
    rules: tuple[Callable[[domain_pb2.ArchiveBinding], bool], ...] = (
        lambda binding: binding.is_default,
        lambda binding: not _is_embedded(binding) and any(map(_is_own_video, binding.sources)),
        lambda binding: not _is_embedded(binding) and bool(binding.sources),
        lambda binding: bool(binding.sources),
        lambda _binding: True,  # not the vendor's: one storage is always sent
    )
    return next((binding for rule in rules for binding in bindings if rule(binding)), None)


def _is_embedded(binding: domain_pb2.ArchiveBinding) -> bool:
    """Whether the archive is the camera's own memory card; the access point says so where the archive is left out."""
    return binding.archive.storage_type == domain_pb2.ST_EMBEDDED or "/DeviceIpint." in binding.storage


def _is_own_video(source: domain_pb2.StorageSource) -> bool:
    """Whether it is video that was recorded here, and not replicated from another archive."""
    is_video = "SourceEndpoint.video" in source.media_source or source.mimetype.startswith("video")
    return is_video and not source.origin_storage


def find_camera(cameras: Sequence[Camera], query: str, path: str = "camera") -> Camera:
    """Return the one camera that `query` names by display id, display name, `id.name` or access point.

    Args:
        cameras: all that there are.
        query: as a person wrote it.
        path: the key of the spec that it stands in, for the error.

    Raises:
        SpecError: there is none, or there are several.
    """
    found = [camera for camera in cameras if camera.access_point == query]
    found = found or [camera for camera in cameras if query in _names(camera)]
    if len(found) == 1:
        return found[0]
    if found:
        which = words.listing(_distinct_name(camera, found) for camera in found)
        raise SpecError(f'"{path}": {words.quote(query)} may be several cameras: write {which}', path)
    raise SpecError(f'"{path}": there is no camera {words.quote(query)}: {_nearest_cameras(cameras, query)}', path)


def _names(camera: Camera) -> tuple[str, ...]:
    return tuple(name for name in (camera.display_id, camera.display_name, camera.label) if name)


def _distinct_name(camera: Camera, others: Sequence[Camera]) -> str:
    """Return the label, or the access point where another camera has the same label."""
    same = sum(other.label == camera.label for other in others)
    return camera.label if same == 1 else camera.access_point


def _nearest_cameras(cameras: Sequence[Camera], query: str) -> str:
    if not cameras:
        return "the server shows none to this account"
    labels = {name: camera.label for camera in cameras for name in (*_names(camera), camera.access_point)}
    near = dict.fromkeys(labels[name] for name in words.nearest(query, labels, count=_LISTED))
    if near:
        return f"did you mean {words.listing(near)}?"
    return f"write for example {words.listing(list(dict.fromkeys(labels.values()))[:_LISTED])}"


def find_archive(camera: Camera, query: str | None, path: str = "archive") -> Archive:
    """Return the archive that `query` names by its name or storage access point; the default one for None.

    Raises:
        SpecError: there is none, or there are several.
    """
    if not camera.archives:
        raise SpecError(f'"{path}": camera {words.quote(camera.label)} records to no archive: use "live"', path)
    if query is None:
        return next((archive for archive in camera.archives if archive.default), camera.archives[0])
    found = [archive for archive in camera.archives if archive.access_point == query]
    found = found or [archive for archive in camera.archives if archive.name == query]
    if len(found) == 1:
        return found[0]
    of_camera = f"of camera {words.quote(camera.label)}"
    if found:
        which = words.listing(archive.access_point for archive in found)
        raise SpecError(f'"{path}": {words.quote(query)} may be several archives {of_camera}: write {which}', path)
    hint = words.suggestion(query, [archive.name for archive in camera.archives])
    raise SpecError(f'"{path}": there is no archive {words.quote(query)} {of_camera}: {hint}', path)


def camera_document(camera: Camera) -> dict[str, Any]:
    """Return what `camera.json` says."""
    return {
        "access_point": camera.access_point,
        "display_id": camera.display_id,
        "display_name": camera.display_name,
        "node": camera.node,
        "archives": [
            {"name": archive.name, "access_point": archive.access_point, "default": archive.default}
            for archive in camera.archives
        ],
    }


def camera_of_document(document: Mapping[str, Any]) -> Camera:
    """Return the camera that `camera.json` describes."""
    archives = (Archive(item["name"], item["access_point"], item["default"]) for item in document["archives"])
    return Camera(
        access_point=document["access_point"],
        display_id=document["display_id"],
        display_name=document["display_name"],
        node=document["node"],
        archives=tuple(archives),
    )


def label_of_unknown(access_point: str) -> str:
    """Return what to call a camera that is not listed: its device, which people may know."""
    # hosts/NODE/DeviceIpint.7/SourceEndpoint.video:0:0
    _, _, below_node = access_point.partition("/")
    device = below_node.partition("/")[2].partition("/")[0]
    return device or access_point or "unknown"

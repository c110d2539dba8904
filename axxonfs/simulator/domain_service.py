"""DomainService: cameras, archives and the version.

Decides only paging and views; the cameras are made in `site`. Stateless.
Source: the wire contract, sections 1.7 and 4.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from axxonfs.simulator.gate import Caller, Method
from axxonfs.simulator.paging import make_token, messages, read_token
from axxonfs.simulator.refusal import Refusal
from axxonfs.simulator.site import Camera, Site, archive_message, camera_message, incomplete_message
from axxonfs.simulator.switches import Switches
from axxonfs.wire import domain_pb2 as wire

VERSION = "3.0.0.46 (axxonfs simulator)"
EXPORT_AGENT = 6  # CT_EXPORT_AGENT
_T = TypeVar("_T")


class DomainService:
    """Answers the calls of DomainService."""

    def __init__(self, site: Site, switches: Callable[[], Switches]) -> None:
        self._site = site
        self._switches = switches

    def methods(self) -> Mapping[str, Method]:
        """Return the methods by their names on the wire."""
        return {
            "ListCameras": self.list_cameras,
            "BatchGetCameras": self.batch_get_cameras,
            "ListArchives": self.list_archives,
            "ListComponents": self.list_components,
            "GetVersion": self.get_version,
        }

    def list_cameras(self, request: wire.ListCamerasRequest, _: Caller) -> Iterator[wire.ListCamerasResponse]:
        """Yield the cameras of one page."""
        full = request.view == wire.EViewMode.VIEW_MODE_FULL
        cameras, token = self._page(self._site.cameras, _access_point, request.page_token, request.page_size)
        items = [self._camera(camera, full=full) for camera in cameras]
        for part, part_token in messages(items, token, token_alone=self._switches().token_alone):
            yield wire.ListCamerasResponse(items=part, next_page_token=part_token)
        # A last message without items and token is what captures of a real server show.
        yield wire.ListCamerasResponse()

    def batch_get_cameras(
        self, request: wire.BatchGetCamerasRequest, _: Caller
    ) -> Iterator[wire.BatchGetCamerasResponse]:
        """Yield the cameras that were asked for by access point, and the names that nobody has."""
        answer = wire.BatchGetCamerasResponse()
        for item in request.items:
            try:
                camera = self._site.camera(item.access_point)
            except Refusal:
                answer.not_found_objects.append(item.access_point)
            else:
                full = item.view != wire.ResourceLocator.EView.VIEW_BASIC
                hostile = self._switches().camera_names == "hostile"
                answer.items.append(camera_message(camera, full=full, hostile=hostile))
        yield answer

    def list_archives(self, request: wire.ListArchivesRequest, _: Caller) -> Iterator[wire.ListArchivesResponse]:
        """Yield the archives of one page."""
        storages, token = self._page(self._site.storages(), str, request.page_token, request.page_size)
        items = [archive_message(storage) for storage in storages]
        for part, part_token in messages(items, token, token_alone=self._switches().token_alone):
            yield wire.ListArchivesResponse(items=part, next_page_token=part_token)
        yield wire.ListArchivesResponse()

    def list_components(self, request: wire.ListComponentsRequest, _: Caller) -> Iterator[wire.ListComponentsResponse]:
        """Yield the export agent, where that is asked for and there is one."""
        if request.component_type == EXPORT_AGENT and not self._switches().no_agent:
            agent = wire.Component(access_point=self._site.agent, display_id="0", is_activated=True, enabled=True)
            yield wire.ListComponentsResponse(items=[agent])
        yield wire.ListComponentsResponse()

    def get_version(self, _request: wire.GetVersionRequest, _: Caller) -> wire.GetVersionResponse:
        """Return a version that says what this is."""
        return wire.GetVersionResponse(Version=VERSION)

    def _camera(self, camera: Camera, *, full: bool) -> wire.Camera:
        if self._switches().incomplete_camera and camera is self._site.cameras[0]:
            return incomplete_message(camera)
        return camera_message(camera, full=full, hostile=self._switches().camera_names == "hostile")

    def _page(self, items: Sequence[_T], key: Callable[[_T], str], token: str, page_size: int) -> tuple[list[_T], str]:
        size = page_size if page_size > 0 else self._switches().default_page_size
        rest = list(items)
        if token:
            after = read_token(token)
            rest = list(itertools.dropwhile(lambda item: key(item) != after, rest))[1:]
        return rest[:size], make_token(key(rest[size - 1])) if len(rest) > size else ""


def _access_point(camera: Camera) -> str:
    return camera.access_point

"""The folder `cameras/`: a directory with a description for each camera that can be exported.

Decides their names, and which of them change when the server lists them anew.
Pure; belongs to the event loop. The picture is described in docs/semantics.md.
"""

from collections.abc import Sequence

from axxonfs.core import names, status, tree
from axxonfs.core.cameras import Camera, camera_document, label_of_unknown
from axxonfs.core.entries import DIRECTORY_MODE, TEXT_MODE, Notice, drop
from axxonfs.core.sessions import Session
from axxonfs.core.texts import Text


class CameraFolder:
    """The cameras of one server as the tree shows them."""

    def __init__(self, nodes: tree.Tree, directory: tree.Node) -> None:
        self.cameras: tuple[Camera, ...] = ()
        self._tree = nodes
        self._directory = directory
        self._labels: dict[str, str] = {}
        self._nodes: dict[str, tree.Node] = {}

    def apply(self, listed: Sequence[Camera], now_ns: int) -> list[Notice]:
        """Take the list of cameras; one that is as it was keeps its directory."""
        cameras = sorted(listed, key=lambda camera: camera.access_point)
        before, self.cameras = self.cameras, tuple(cameras)
        self._labels = {camera.access_point: camera.label for camera in cameras}
        lost = [self._nodes.pop(camera.access_point) for camera in before if camera not in cameras]
        notices = [notice for node in lost for notice in drop(self._tree, node, now_ns)]
        for camera in cameras:
            if camera.access_point not in self._nodes:
                self._add(camera, now_ns)
        return notices

    def labels(self, session: Session) -> tuple[str, ...]:
        """Return the labels (`id.name`) of a session's cameras; a part of the access point for unknown ones."""
        return tuple(self._labels.get(origin) or label_of_unknown(origin) for origin in session.origins)

    def _add(self, camera: Camera, now_ns: int) -> None:
        taken = {name.decode() for name in self._directory.entries}
        name = names.unique(names.clean(camera.label), taken).encode()
        folder = self._tree.add(self._directory, name, tree.Folder(), mode=DIRECTORY_MODE, now_ns=now_ns)
        self._nodes[camera.access_point] = folder
        text = Text(lambda: status.render(camera_document(camera)))
        self._tree.add(folder, b"camera.json", text, mode=TEXT_MODE, now_ns=now_ns)

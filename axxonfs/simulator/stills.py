"""Single pictures: JPEG, one for each camera, and PDF with a page for each. Used by the agent's thread only."""

from pathlib import Path

from axxonfs.simulator.picture import draw
from axxonfs.simulator.plan import Plan
from axxonfs.simulator.site import Camera
from axxonfs.simulator.writers import Piece

# Large enough for the stamp, small enough for thousands of snapshots.
_JPEG_QUALITY = 85
# Pixels per inch: the picture is eight inches wide on its page.
_PDF_RESOLUTION = 40.0


class StillWriter:
    """The pictures of all cameras at one instant."""

    def __init__(self, plan: Plan, directory: Path) -> None:
        self.group_ms = plan.group_ms
        self._plan = plan
        self._directory = directory
        self._pieces: tuple[Piece, ...] = ()

    def write(self, begin_ms: int, _end_ms: int) -> None:
        """Draw the pictures at `begin_ms`."""
        self._directory.mkdir(parents=True, exist_ok=True)
        if self._plan.format == "pdf":
            self._pieces = (self._document(begin_ms),)
        else:
            self._pieces = tuple(self._picture(camera, begin_ms) for camera in self._plan.cameras)

    def pieces(self) -> tuple[Piece, ...]:
        """Return the files, once drawn."""
        return self._pieces

    def close(self) -> None:
        """Do nothing: every file is finished at once."""

    def _document(self, instant_ms: int) -> Piece:
        first, *others = [draw(camera, instant_ms, self._plan.timezone_min) for camera in self._plan.cameras]
        path = self._directory / "1.pdf"
        first.save(path, "PDF", save_all=True, append_images=others, resolution=_PDF_RESOLUTION)
        return self._piece(self._plan.cameras[0], path, instant_ms)

    def _picture(self, camera: Camera, instant_ms: int) -> Piece:
        path = self._directory / f"{camera.number}.jpeg"
        picture = draw(camera, instant_ms, self._plan.timezone_min, self._plan.comment)
        picture.save(path, "JPEG", quality=_JPEG_QUALITY)
        return self._piece(camera, path, instant_ms)

    def _piece(self, camera: Camera, path: Path, instant_ms: int) -> Piece:
        return Piece(camera, self._plan.format, path.stat().st_size, instant_ms, instant_ms, stored=path.name)

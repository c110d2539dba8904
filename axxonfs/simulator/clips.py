"""Clips that play: groups of pictures encoded into Matroska, MP4 and AVI.

Decides codecs, tracks, parts and what a password does. A part holds whole groups
of pictures and plays by itself. A password makes an ordinary zip of each part
(not encrypted: no library for that is among the dependencies); EXE is the
Matroska file behind a header that no player takes for a container. Used by the
agent's thread only; PyAV lets go of the interpreter while it encodes.

Source: the wire contract, section 5.
"""

import dataclasses
import shutil
import zipfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
from av.packet import Packet
from av.stream import Stream
from av.video.frame import PictureType

from axxonfs.simulator.picture import draw
from axxonfs.simulator.plan import Plan
from axxonfs.simulator.site import Camera
from axxonfs.simulator.stamp import PICTURE_SIZE
from axxonfs.simulator.writers import Piece

_CONTAINERS = {"mkv": "matroska", "mp4": "mp4", "avi": "avi", "exe": "matroska"}
# AVI is what the vendor's agent encodes anew; the others carry what cameras send.
_CODECS: dict[str, Literal["libx264", "mpeg4"]] = {"mkv": "libx264", "mp4": "libx264", "avi": "mpeg4", "exe": "libx264"}
# The fastest there is, and no picture held back: a part's size is known when a group is written.
_FASTEST = {"libx264": {"preset": "ultrafast", "tune": "zerolatency", "crf": "28"}, "mpeg4": {"qscale": "4"}}
# Of a container for each frame, roughly: its entry in the index and the framing.
_OVERHEAD_BYTES = 32
_EXE_HEADER = b"MZ" + bytes(510)


class ClipWriter:
    """One clip of one or several cameras, in as many parts as the limit of size asks for."""

    def __init__(self, plan: Plan, cameras: Sequence[Camera], directory: Path) -> None:
        self.group_ms = plan.group_ms
        self._plan = plan
        self._cameras = cameras
        self._directory = directory
        self._part: _Part | None = None
        self._pieces: tuple[Piece, ...] = ()

    def write(self, begin_ms: int, end_ms: int) -> None:
        """Encode a group of pictures; into a new part if the present one is full."""
        limit = self._plan.max_file_bytes
        if self._part is not None and limit and self._part.bytes >= limit:
            self.close()
        if self._part is None:
            self._part = self._new_part(begin_ms)
        for instant_ms in range(begin_ms, end_ms, self._plan.step_ms):
            self._part.write(instant_ms, is_key=instant_ms == begin_ms)

    def pieces(self) -> tuple[Piece, ...]:
        """Return the finished parts, and the present one as far as it is."""
        return self._pieces if self._part is None else (*self._pieces, self._piece(self._part))

    def close(self) -> None:
        """Finish the present part."""
        if self._part is not None:
            part, self._part = self._part, None
            part.close()
            self._pieces = (*self._pieces, self._piece(part))

    def _new_part(self, begin_ms: int) -> "_Part":
        self._directory.mkdir(parents=True, exist_ok=True)
        name = f"{self._cameras[0].number}-{len(self._pieces) + 1}.{self._plan.format}"
        return _Part(self._plan, self._cameras, self._directory / name, begin_ms)

    def _piece(self, part: "_Part") -> Piece:
        return Piece(
            self._cameras[0],
            part.path.suffix.removeprefix("."),
            part.size,
            part.begin_ms,
            part.end_ms,
            stored=part.path.name,
        )


class DiscreteWriter:
    """A clip of its own for each camera."""

    def __init__(self, plan: Plan, directory: Path) -> None:
        self.group_ms = plan.group_ms
        self._writers = [ClipWriter(plan, [camera], directory) for camera in plan.cameras]

    def write(self, begin_ms: int, end_ms: int) -> None:
        """Encode a group of pictures of every camera."""
        for writer in self._writers:
            writer.write(begin_ms, end_ms)

    def pieces(self) -> tuple[Piece, ...]:
        """Return the parts of the first camera, then those of the second, and so on."""
        return tuple(piece for writer in self._writers for piece in writer.pieces())

    def close(self) -> None:
        """Finish every present part."""
        for writer in self._writers:
            writer.close()


@dataclasses.dataclass(slots=True)
class _Track:
    camera: Camera
    stream: av.VideoStream


class _Part:
    """One file while it is written."""

    def __init__(self, plan: Plan, cameras: Sequence[Camera], path: Path, begin_ms: int) -> None:
        self.path = path
        self.begin_ms = self.end_ms = begin_ms
        self.bytes = 0  # of footage and index so far
        self._plan = plan
        self._container = av.open(path, "w", format=_CONTAINERS[plan.format])
        self._rate = Fraction(plan.speed).limit_denominator(1000) * 1000 / plan.step_ms
        self._tracks = [_Track(camera, self._stream(camera)) for camera in cameras]
        self._frames = 0

    @property
    def size(self) -> int:
        """The file's size; before it is closed, of what has arrived there."""
        return self.path.stat().st_size

    def write(self, instant_ms: int, *, is_key: bool) -> None:
        """Encode the pictures of all cameras at an instant."""
        for track in self._tracks:
            picture = draw(track.camera, instant_ms, self._plan.timezone_min, self._plan.comment)
            frame: av.VideoFrame = av.VideoFrame.from_image(picture)  # type: ignore[no-untyped-call]  # PyAV types it not
            frame.pts, frame.time_base = self._frames, 1 / self._rate
            frame.pict_type = PictureType.I if is_key else PictureType.NONE
            self._mux(track.stream.encode(frame))
        self._frames += 1
        self.end_ms = instant_ms + self._plan.step_ms

    def close(self) -> None:
        """Write the index, and wrap the file as the options ask."""
        for track in self._tracks:
            self._mux(track.stream.encode(None))
        self._container.close()
        if self._plan.format == "exe":
            _prepend(_EXE_HEADER, self.path)
        if self._plan.password:
            self.path = _zipped(self.path)

    def _stream(self, camera: Camera) -> av.VideoStream:
        codec = _CODECS[self._plan.format]
        stream = self._container.add_stream(codec, rate=self._rate, options=_FASTEST[codec])
        stream.width, stream.height = PICTURE_SIZE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1  # the agent is to take one core at most
        stream.codec_context.gop_size = self._plan.group_ms // self._plan.step_ms
        stream.metadata["title"] = f"{camera.number}.{camera.name}"
        return stream

    def _mux(self, packets: "list[Packet[Stream]]") -> None:
        for packet in packets:
            self.bytes += packet.size + _OVERHEAD_BYTES
            self._container.mux(packet)


def _prepend(header: bytes, path: Path) -> None:
    body = path.with_suffix(".body")
    path.rename(body)
    with path.open("wb") as whole, body.open("rb") as source:
        whole.write(header)
        shutil.copyfileobj(source, whole)
    body.unlink()


def _zipped(path: Path) -> Path:
    archive = path.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w") as file:
        file.write(path, path.name)
    path.unlink()
    return archive

"""A clip of a given size that plays, with its index at its end.

Decides its bit rate: that of a camera, so that the index has a real one's size.
Two seconds are encoded, and their packets muxed again and again: large in a
moment, and every picture decodes. Imports nothing of ours.
"""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.packet import Packet
from av.stream import Stream

_FPS = 25
_GROUP = 50  # pictures: two seconds
_WIDTH, _HEIGHT = 1280, 720
_BITS_PER_S = 6_000_000


def make_clip(path: Path, size_bytes: int) -> None:
    """Write an MP4 of about `size_bytes`."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=_FPS, options={"preset": "ultrafast", "tune": "zerolatency"})
        stream.width, stream.height, stream.pix_fmt = _WIDTH, _HEIGHT, "yuv420p"
        stream.bit_rate = _BITS_PER_S
        stream.codec_context.gop_size = _GROUP
        packets = [(bytes(packet), packet.is_keyframe) for packet in _packets(stream)]
        rounds = -(-size_bytes // sum(len(data) for data, _ in packets))
        for number, (data, is_key) in enumerate(packets * rounds):
            packet = av.Packet(data)
            packet.stream, packet.time_base = stream, Fraction(1, _FPS)
            packet.pts = packet.dts = number
            packet.duration = 1
            packet.is_keyframe = is_key
            container.mux(packet)


def first_frame(path: Path) -> None:
    """Decode the first picture of a clip, as a player does."""
    with av.open(str(path)) as container:
        next(container.decode(video=0))


def _packets(stream: av.VideoStream) -> "list[Packet[Stream]]":
    """Return two seconds of a picture that moves and is full of noise, as a camera's at night."""
    chance = np.random.default_rng(1)
    packets = []
    for number in range(_GROUP):
        noise = chance.integers(0, 48, (_HEIGHT, _WIDTH, 3), dtype=np.uint8)
        frame = av.VideoFrame.from_ndarray(np.roll(noise, number * 8, axis=1), format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, _FPS)
        packets += stream.encode(frame)
    return packets + stream.encode(None)

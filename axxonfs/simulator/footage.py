"""The grid of instants on which footage exists: frames, key frames, and what an interval delivers.

Pure numbers, milliseconds since the epoch. Every camera records five small
frames per second in groups of two seconds; a clip can begin only where a group
does, so it begins at or before what was asked for.
"""

FRAME_MS = 200
GROUP_MS = 2000


def key_frame_before(instant_ms: int) -> int:
    """Return the latest key frame at or before an instant."""
    return instant_ms // GROUP_MS * GROUP_MS


def frame_before(instant_ms: int) -> int:
    """Return the latest frame at or before an instant."""
    return instant_ms // FRAME_MS * FRAME_MS

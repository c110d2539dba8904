"""Read frames of a clip with PyAV, through fsspec and without a copy of the clip.

    python -m examples.frames axxon://export@vms.example.com/SESSION/FILE.mp4 frames/ --count 10

Seeks to so many places, evenly spread, and saves the picture there. Only what the
decoder asks for is fetched.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import fsspec


def frames(url: str, count: int, **words: Any) -> Iterator[av.VideoFrame]:
    """Yield `count` frames of a clip, evenly spread from its beginning on; `words` are options of the file system."""
    with fsspec.open(url, **words) as file, av.open(file) as container:
        video = container.streams.video[0]
        for number in range(count):
            if number:
                container.seek(int(container.duration * number / count))
            yield next(container.decode(video))


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("url", help="axxon://USER@HOST[:PORT]/SESSION/FILE")
    parser.add_argument("directory", type=Path, help="where to save the pictures")
    parser.add_argument("--count", type=int, default=10, help="how many; default 10")
    args = parser.parse_args()
    args.directory.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames(args.url, args.count)):
        path = args.directory / f"{number:03}_{frame.time:08.2f}s.jpg"
        frame.to_image().save(path)
        print(path)


if __name__ == "__main__":
    main()

"""Hash every clip of a day under Dask, and write a manifest of what was delivered.

    python -m examples.hash_day axxon://export@vms.example.com 2026-11-22 manifest.csv

Each row names session, camera, what was asked for and what was delivered, the size
and the SHA-256 of one result. The password is read where it is needed: by this
process and by every worker, from the file or the variable that docs/fsspec.md names.
Give --scheduler to use a cluster that runs; without it the cluster is this machine.
"""

import argparse
import csv
import dataclasses
import datetime as dt
import hashlib
import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import fsspec
from distributed import Client

from axxonfs.fsspec import AxxonFileSystem

STEP_BYTES = 1 << 20
# Left alone, Dask has the malloc of its workers give memory back at once, and reading takes twice as long
# (docs/scaling.md). Read by a process when it begins.
MALLOC = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_TRIM_THRESHOLD_": "67108864",
    "MALLOC_MMAP_THRESHOLD_": "33554432",
}
# A task may meet a server that restarts; a worker that died costs its tasks again anyway.
RETRIES = 3


@dataclasses.dataclass(frozen=True)
class Clip:
    """One row of the manifest."""

    session: str
    camera: str
    requested_from: str
    requested_to: str
    delivered_from: str
    delivered_to: str
    file: str
    size: int
    sha256: str = ""


def clips_of(fs: AxxonFileSystem, day: dt.date) -> list[Clip]:
    """Return the results of all exports whose requested interval begins on a day (in UTC)."""
    clips = []
    for session in fs.ls("", detail=False):
        status = fs.status(session)
        start = status["requested"]["from"]
        if status["state"] != "completed" or start is None or dt.datetime.fromisoformat(start).date() != day:
            continue
        clips += [_clip(session, status, info) for info in fs.ls(session)]
    return clips


def _clip(session: str, status: dict[str, Any], info: dict[str, Any]) -> Clip:
    [file] = [file for file in status["files"] if file["path"] == info["path"]]
    return Clip(
        session=session,
        camera=" ".join(status["cameras"]),
        requested_from=status["requested"]["from"] or "",
        requested_to=status["requested"]["to"] or "",
        delivered_from=file["interval"]["from"] or "",
        delivered_to=file["interval"]["to"] or "",
        file=info["name"],
        size=info["size"],
    )


def hashed(fs: AxxonFileSystem, clip: Clip) -> Clip:
    """Read a result to its end and return its row with the hash; this is what workers do."""
    digest = hashlib.sha256()
    with fs.open(clip.file) as file:
        while data := file.read(STEP_BYTES):
            digest.update(data)
    return dataclasses.replace(clip, sha256=digest.hexdigest())


def hash_day(fs: AxxonFileSystem, day: dt.date, cluster: Client) -> list[Clip]:
    """Hash all clips of a day; their sessions are kept alive meanwhile."""
    clips = clips_of(fs, day)
    with fs.keep({clip.session for clip in clips}):
        futures = cluster.map(lambda clip: hashed(fs, clip), clips, pure=False, retries=RETRIES)
        return list(cluster.gather(futures))


def set_malloc() -> None:
    """Have the workers that this process starts keep their memory, unless the environment says otherwise."""
    for name, value in MALLOC.items():
        os.environ.setdefault(name, value)


def write_manifest(path: Path, clips: Iterable[Clip]) -> None:
    """Write one row for each result, in the order of their names."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(field.name for field in dataclasses.fields(Clip))
        rows.writerows(dataclasses.astuple(clip) for clip in sorted(clips, key=lambda clip: clip.file))


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("server", help="axxon://USER@HOST[:PORT]")
    parser.add_argument("day", type=dt.date.fromisoformat, help="as in 2026-11-22, in UTC")
    parser.add_argument("manifest", type=Path, help="a CSV file to write")
    parser.add_argument("--scheduler", help="address of a Dask scheduler")
    args = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    fs, _ = fsspec.core.url_to_fs(args.server)
    set_malloc()
    with Client(args.scheduler) as cluster:
        clips = hash_day(fs, args.day, cluster)
    write_manifest(args.manifest, clips)
    print(f"{len(clips)} results, {sum(clip.size for clip in clips)} bytes: {args.manifest}")


if __name__ == "__main__":
    main()

"""Servers that name things as nobody should, and that give settings back otherwise than they got them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from axxonfs.simulator.switches import Switches
from tests.fuse.harness import CLIP, QUICK, Rig

Rigs = Callable[..., Rig]


def everything(path: Path) -> Iterator[Path]:
    for entry in path.iterdir():
        yield entry
        if entry.is_dir() and not entry.is_symlink():
            yield from everything(entry)


def test_no_name_that_a_server_gives_leads_out_of_the_tree_or_is_illegal(rigs: Rigs) -> None:
    hostile = Switches(session_id="hostile", file_id="hostile", camera_names="hostile")
    rig = rigs(options=QUICK, switches=hostile, file_size_bytes=1000, cameras=9)
    cameras = [json.loads((path / "camera.json").read_text()) for path in (rig.path / "cameras").iterdir()]
    assert len(cameras) == 9
    assert {camera["display_name"] for camera in cameras} >= {"", "..", "a\0b", "line\nbreak", "x" * 4096}
    result = rig.exported("clip", camera=cameras[0]["access_point"])
    assert result.read_bytes() == rig.truth(result)
    assert "\0" in rig.status(result.parent)["id"]
    for path in everything(rig.path):
        assert 0 < len(path.name.encode()) <= 255
        assert path.name.isprintable()
        assert path.resolve().is_relative_to(rig.path.resolve())


def test_a_start_whose_answer_is_lost_is_found_although_its_options_come_back_otherwise(rigs: Rigs) -> None:
    rig = rigs(options=QUICK, switches=Switches(echoed_options="normalised"), file_size_bytes=1000)
    rig.sim.faults.add(method="StartSession", action="lose_reply", status="UNAVAILABLE")
    session = rig.write_spec("lost", **CLIP(), comment="the yard")
    assert (rig.starts, len(rig.sim.sessions.records())) == (1, 1)
    assert rig.status(session)["own"]

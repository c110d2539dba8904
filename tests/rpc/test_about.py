"""What a mount says of its server."""

import contextlib
from pathlib import Path

import pytest

from axxonfs.fs import about
from axxonfs.fs.options import MountOptions, parse_options
from tests.rpc.support import TIMEOUT_S, connect, make_simulator

WHERE = Path("/mnt/axxon")
CASES = [
    (MountOptions(), False, None),
    (parse_options({"ro": True, "timezone": "Europe/Berlin"}), True, "Europe/Berlin"),
]


@pytest.mark.parametrize(("options", "read_only", "zone"), CASES)
def test_in_plaintext_no_certificate_is_named(
    tmp_path: Path, options: MountOptions, *, read_only: bool, zone: str | None
) -> None:
    with (
        make_simulator(tmp_path, plaintext=True) as simulator,
        contextlib.closing(connect(simulator, tmp_path)) as link,
    ):
        before = about.document(link, WHERE, options, 0.0)
        link.login.metadata(TIMEOUT_S)
        after = about.document(link, WHERE, options, 0.0)
    assert (after["certificate"], after["read_only"], after["timezone"]) == (None, read_only, zone)
    assert before["clock"] is None
    assert abs(after["clock"]["ahead_s"]) <= after["clock"]["uncertainty_s"]

"""The ledger of a batch, where each export goes on by it, and the papers made from it."""

import itertools
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from axxonfs.core import ledger, manifest
from axxonfs.core.batch import Order
from axxonfs.core.delivery import Difference, Outcome
from axxonfs.core.errors import InvalidError
from axxonfs.core.ledger import Header, Item, Seen, Step
from tests.unit import builders
from tests.unit.test_delivery import document_of

HEADER = Header("3f2a9c1d", "vms:20109", "export", "2026-11-22T12:00:00Z")
ORDER = Order(
    "door", {"camera": "1", "from": "-2h", "to": "-1h", "password": "geheim"}, {"from": "2026-11-22T10:00:00Z"}
)
FACTS = manifest.facts_of(document_of(builders.completed()), {"camera": "1"}, Difference(None, None, (), 0.0))
EVENTS: list[dict[str, Any]] = [
    ledger.ordered(ORDER),
    {"event": "boot", "name": "b00t"},
    {"event": "asked", "name": "door"},
    {"event": "started", "name": "door", "session": "20261122T100000Z_1_mkv_aaaaaaaa", "id": "hosts/Server/1"},
    {"event": "exported", "name": "door", "outcome": "less than asked", "why": "100 s are missing", "facts": FACTS},
    {"event": "claimed", "name": "door", "path": "id-1", "file": "clip.mkv", "size": 1000},
    {"event": "copied", "name": "door", "path": "id-1", "sha256": "ab" * 32},
    {"event": "ended", "name": "door", "outcome": "less than asked", "why": "100 s are missing"},
]


def text_of(events: list[dict[str, Any]]) -> bytes:
    return b"".join([ledger.first_line(HEADER), *map(ledger.line_of, events)])


def after(count: int) -> Item:
    """Return the item as it is after so many events."""
    return ledger.read(text_of(EVENTS[:count])).items["door"]


def test_what_was_written_is_read_again() -> None:
    found = ledger.read(text_of(EVENTS))
    item = found.items["door"]
    assert (found.header, found.boot, found.finished) == (HEADER, "b00t", True)
    assert (item.session_id, item.secret, item.fixed) == ("hosts/Server/1", True, ORDER.fixed)
    assert (item.outcome, item.why) == (Outcome.LESS, "100 s are missing")
    assert found.local_names == {"clip.mkv"}
    assert b"geheim" not in text_of(EVENTS)


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_line_that_was_being_written_counts_as_not_written(cut: int) -> None:
    text = text_of(EVENTS)
    torn = text[:-cut]
    assert ledger.whole_lines(torn) == text_of(EVENTS[:-1])
    assert ledger.read(torn).items["door"].outcome is Outcome.UNFINISHED


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\n",
        b"{}\n",
        b"[]\n",
        b'{"axxonfs_export": 2}\n',
        b'{"axxonfs_export": 1}\n',
        b"nonsense\n",
        text_of([{"event": "asked", "name": "nobody"}]),
        text_of([{"event": "unheard of", "name": "door"}]),
        text_of([{"event": "ordered"}]),
        text_of(EVENTS[:1]) + b"\xff\n",
    ],
)
def test_what_is_no_ledger_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidError):
        ledger.read(text)


@pytest.mark.parametrize(
    ("events", "seen", "step"),
    [
        (1, Seen(), Step.ASK),
        (1, Seen(link=True, spec_bytes=9), Step.ASK),  # of somebody else: it was never asked for here
        (3, Seen(), Step.ASK),  # the mount never got it
        (3, Seen(spec_bytes=0), Step.ASK),
        (3, Seen(spec_bytes=9), Step.AWAIT),  # the mount has it, and has not answered
        (3, Seen(spec_bytes=9, link=True), Step.FOLLOW),  # nobody lived to note the answer
        (3, Seen(spec_bytes=9, error=True), Step.ASK),
        (3, Seen(link=True), Step.FOLLOW),
        (4, Seen(), Step.FOLLOW),
        (5, Seen(), Step.FOLLOW),
        (6, Seen(), Step.FOLLOW),
        (7, Seen(), Step.END),
        (8, Seen(), Step.DONE),
    ],
)
def test_an_export_goes_on_where_it_was(events: int, seen: Seen, step: Step) -> None:
    assert ledger.next_step(after(events), seen) is step


@pytest.mark.parametrize("events", range(1, 9))
@pytest.mark.parametrize("seen", [Seen(*each) for each in itertools.product([False, True], [False, True], [0, 9])])
def test_nothing_that_may_have_been_started_is_submitted_again_unless_the_mount_knows_of_it(
    events: int, seen: Seen
) -> None:
    item = after(events)
    if ledger.next_step(item, seen) is Step.ASK:
        assert item.session is None
        assert not item.asked or not seen.link
        assert not item.asked or not seen.spec_bytes or seen.error


def test_what_cannot_be_downloaded_is_not_waited_for() -> None:
    facts = {**FACTS, "files": [{**FACTS["files"][0], "downloadable": False}]}
    found = ledger.read(text_of([*EVENTS[:4], {**EVENTS[4], "facts": facts}]))
    assert found.items["door"].fetched


# -- the papers ------------------------------------------------------------------------------


def test_the_manifest_says_what_was_asked_and_what_came() -> None:
    mount = {
        "server": "renamed",
        "account": "export",
        "certificate": {"fingerprint": "sha256:ab"},
        "clock": None,
        "axxonfs": "0.1",
    }
    document = manifest.manifest(ledger.read(text_of(EVENTS)), mount, version="0.2", written="2026-11-22T13:00:00Z")
    assert (document["complete"], document["server"], document["axxonfs"]) == (
        True,
        "vms:20109",
        {"command": "0.2", "mount": "0.1"},
    )
    assert document["certificate"] == {"fingerprint": "sha256:ab"}
    [entry] = document["exports"]
    assert entry["asked"] == {"camera": "1", "from": "2026-11-22T10:00:00Z", "to": "-1h", "password": "******"}
    assert (entry["outcome"], entry["session_id"], entry["recompressed"]) == ("less than asked", "hosts/Server/1", None)
    [file] = entry["files"]
    assert (file["name"], file["sha256"], file["size"]) == ("clip.mkv", "ab" * 32, 1000)
    assert manifest.outcomes(document) == [Outcome.LESS]
    json.dumps(document)


def test_a_result_that_is_not_here_has_no_name_in_the_manifest() -> None:
    document = manifest.manifest(ledger.read(text_of(EVENTS[:6])), {}, version="0.2", written="")
    [file] = document["exports"][0]["files"]
    assert (document["complete"], file["name"], file["sha256"], document["certificate"]) == (False, None, None, None)
    assert manifest.copied(ledger.read(text_of(EVENTS[:6]))) == []


def test_sums_are_those_that_sha256sum_checks_whatever_the_names(tmp_path: Path) -> None:
    names = ["clip.mkv", "with space", "back\\slash", "new\nline", "6.Склад_東.mp4", "carriage\rreturn"]
    for name in names:
        (tmp_path / name).write_text(name)
    written = subprocess.run(["sha256sum", *names], cwd=tmp_path, capture_output=True, check=True).stdout
    hashes = [line.removeprefix(b"\\")[:64].decode() for line in written.splitlines() if len(line) > 64]
    (tmp_path / "SHA256SUMS").write_bytes(manifest.sums(zip(names, hashes, strict=True)))
    subprocess.run(["sha256sum", "--strict", "-c", "SHA256SUMS"], cwd=tmp_path, check=True, capture_output=True)

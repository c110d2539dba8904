"""Whatever a server sends, right or wrong, old or newer than this: no message does harm.

Messages are drawn from their descriptors, with every field of the wire, unknown numbers of enums, and texts and sizes
chosen for the trouble that they make. Cases that were found are pinned with `example`.
"""

import json
import unicodedata
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from axxonfs.core import cameras, chunks, entries, errors, sessions, spec, view
from axxonfs.core.texts import Text
from axxonfs.core.timers import Timers
from axxonfs.remote.verdict import verdict
from axxonfs.wire import authentication_pb2, domain_pb2, export_service_pb2
from tests.unit import builders
from tests.unit.wire_strategies import SITE, messages

NOW_S = 1_000_000.0
SessionInfo = export_service_pb2.ListSessionsResponse.SessionInfo
bounded = settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], deadline=None)

HOSTILE = ["", ".", "..", "/", "\0", "a/b", "\n", "\u202egpj", "x" * 4096, "\u0301", "CON", "\ud7ff", "~", "-rf"]
ODD_INSTANTS = ["00010101T000000", "99991231T235959.999999999", "20260230T101500", "20261122T101500.", "past", "2026"]
SIZES = [0, 1, 2**31, 2**63 - 1, 2**63, 2**64 - 1]


@st.composite
def sent_sessions(draw: st.DrawFn) -> list[Any]:
    """Draw a listing: any messages, with hostile ids, times and files laid over some of them."""
    listed: list[Any] = draw(st.lists(messages(SessionInfo.DESCRIPTOR), max_size=3))
    for info in listed:
        info.session.id = draw(st.sampled_from([*HOSTILE, "hosts/Server/1", info.session.id]))
        info.state.state = draw(st.integers(0, 5))
        for file in info.state.result.files:
            file.path = draw(st.sampled_from([*HOSTILE, file.path]))
            file.size = draw(st.sampled_from(SIZES))
            file.min_timestamp = draw(st.sampled_from([*ODD_INSTANTS, file.min_timestamp]))
            file.max_timestamp = draw(st.sampled_from([*ODD_INSTANTS, file.max_timestamp]))
            file.mime_type = draw(st.sampled_from([*HOSTILE, "video/mp4", "application/zip"]))
    return listed


def check_name(name: bytes) -> None:
    text = name.decode()
    assert 0 < len(name) <= 255
    assert text not in {".", ".."}
    assert not any(char == "/" or unicodedata.category(char)[0] == "C" for char in text)


def check_entry(shown: view.View, entry: entries.Entry) -> None:
    """Every name is legal, every text is what it says to be, every size can be told to the kernel."""
    check_name(entry.node.name)
    for child in shown.tree.entries(entry.node).values():
        check_name(child.name)
        assert 0 <= child.content.size < 2**63
        if isinstance(child.content, Text) and child.name.endswith(b".json"):
            json.loads(child.content.data)


@bounded
@example([], [builders.completed("1", builders.file("a"), builders.file("b", size=2**63))])
@given(sent_sessions(), sent_sessions())
def test_any_listing_can_be_shown_and_any_other_after_it(first: list[Any], second: list[Any]) -> None:
    shown = view.View(view.Settings(timers=Timers()), NOW_S)
    shown.apply_cameras(SITE, NOW_S)
    for step, listed in enumerate((first, second, [], [])):
        shown.apply_listing(listed, NOW_S + step)
        names = [entry.node.name for entry in shown.entries.values()]
        assert len(set(names)) == len(names)
        for entry in shown.entries.values():
            check_entry(shown, entry)


@bounded
@given(sent_sessions())
def test_every_session_has_an_expiry_and_a_reason_to_be_kept_or_none(listed: list[Any]) -> None:
    for info in listed:
        session = sessions.session_of(info)
        because = sessions.kept_because(session, sessions.Facts(own=True), Timers(), NOW_S)
        assert isinstance(because, str)
        json.dumps(spec.spec_from_options(info.session.options, cameras=SITE))


@bounded
@given(st.lists(messages(domain_pb2.Camera.DESCRIPTOR), max_size=4), st.sampled_from(HOSTILE))
def test_any_cameras_can_be_shown_and_named(listed: list[Any], label: str) -> None:
    for item in listed[:1]:
        item.display_name = item.display_id = label
    shown = view.View(view.Settings(timers=Timers()), NOW_S)
    site = cameras.cameras_of(listed)
    shown.apply_cameras(site, NOW_S)
    for child in shown.tree.entries(shown.tree.find(shown.tree.root, b"cameras")).values():
        check_name(child.name)
    for camera in site:
        try:
            assert cameras.find_camera(site, camera.access_point).access_point == camera.access_point
        except errors.SpecError as error:
            # Another camera may be called what this one's access point is; then both are named.
            assert camera.access_point in str(error) or len(camera.access_point) > 60  # noqa: PT017


@bounded
@given(messages(authentication_pb2.AuthenticateResponseEx.DESCRIPTOR), st.sampled_from(["", "a password", "*"]))
@example(authentication_pb2.AuthenticateResponseEx(error_code=99), "")  # type: ignore[arg-type] # a newer server's
def test_any_answer_to_a_login_is_a_login_or_a_refusal_without_the_password(answer: Any, password: str) -> None:
    answer.error_description.description = f"no: {password}"
    refusal = verdict(answer, (password,))
    if refusal is None:
        assert answer.token_name
        assert answer.token_value
    elif password == "a password":
        assert password not in str(refusal)


@bounded
@given(
    st.integers(1, 40_000),
    st.sampled_from([1024, 4096]),
    st.lists(st.tuples(st.sampled_from([0, 1, 2, 3, 4, 2**63, 2**64 - 1]), st.integers(0, 5000)), max_size=8),
    st.integers(0, 3),
)
def test_any_chunks_are_taken_in_their_order_or_refused(
    file_size: int, chunk_size: int, sent: list[tuple[int, int]], start: int
) -> None:
    count = chunks.chunk_count(file_size, chunk_size)
    start = min(start, count - 1)
    stream = chunks.ChunkStream(start, chunk_size, file_size)
    taken: list[int] = []
    try:
        for index, length in sent:
            place = stream.accept(index, length)
            if place is not None:
                assert length == chunks.chunk_length(place, chunk_size, file_size)
                taken.append(place)
        stream.finish()
    except errors.AxxonfsError:
        assert taken == list(range(start, start + len(taken)))
    else:
        assert taken == list(range(start, count))


@pytest.mark.parametrize("label", HOSTILE)
def test_hostile_labels_never_collide(label: str) -> None:
    shown = view.View(view.Settings(timers=Timers()), NOW_S)
    listed = [builders.completed(f"{label}{number}", builders.file(label), builders.file(label)) for number in range(3)]
    shown.apply_listing(listed, NOW_S)
    assert len({entry.node.name for entry in shown.entries.values()}) == len(listed)
    for entry in shown.entries.values():
        check_entry(shown, entry)

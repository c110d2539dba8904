"""Cameras and archives of the simulator, over TLS."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.unknown_fields import UnknownFieldSet

from axxonfs.simulator.server import Simulator
from axxonfs.simulator.switches import Switches
from axxonfs.wire import domain_pb2 as wire
from tests.rpc.simulated import Client, origin, refusal, simulated

Served = tuple[Simulator, Client]
FULL = wire.EViewMode.VIEW_MODE_FULL
ALICE = "hosts/Server/MultimediaStorage.AliceBlue/MultimediaStorage"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with simulated(tmp_path_factory.mktemp("simulator"), cameras=50) as pair:
        yield pair


@pytest.fixture(autouse=True)
def usual_switches(served: Served) -> Iterator[None]:
    yield
    served[0].switches = Switches()


def messages(client: Client, **fields: Any) -> list[wire.ListCamerasResponse]:
    return list(client.call(client.domain.ListCameras, wire.ListCamerasRequest(**fields)))


def cameras(client: Client, **fields: Any) -> list[wire.Camera]:
    return [camera for message in messages(client, **fields) for camera in message.items]


def test_all_cameras_come_over_several_messages_and_an_empty_last_one(served: Served) -> None:
    sent = messages(served[1], view=FULL, page_size=100)
    assert [len(message.items) for message in sent] == [40, 10, 0]
    assert not any(message.next_page_token for message in sent)


@pytest.mark.parametrize("token_alone", [False, True])
def test_page_size_bounds_a_call_and_a_token_leads_on(served: Served, token_alone: bool) -> None:  # noqa: FBT001  a table of cases
    served[0].switches = Switches(token_alone=token_alone)
    found, token = [], ""
    for count in (45, 5):
        sent = messages(served[1], page_size=45, page_token=token)
        assert sum(len(message.items) for message in sent) == count
        found += [camera.display_id for message in sent for camera in message.items]
        token = "".join(message.next_page_token for message in sent)
    assert token == ""
    assert found == [str(number) for number in range(1, 51)]


def test_a_bad_token_is_refused(served: Served) -> None:
    assert refusal(lambda: messages(served[1], page_token="nonsense"))[0] is grpc.StatusCode.INVALID_ARGUMENT


def test_names_are_as_awkward_as_real_ones(served: Served) -> None:
    names = [camera.display_name for camera in cameras(served[1])]
    assert names.count("Gate") == 2
    assert any("/" in name for name in names)
    assert any(not name.isascii() for name in names)


def test_archives_and_streams_come_with_the_full_view_only(served: Served) -> None:
    bare, full = (cameras(served[1], view=view)[0] for view in (0, FULL))
    assert (len(bare.archive_bindings), len(bare.video_streams)) == (0, 0)
    assert bare.has_archive_bindings.value
    binding = full.archive_bindings[0]
    assert (binding.storage, binding.name, binding.is_default) == (ALICE, "AliceBlue", True)
    assert full.video_streams[0].stream_acess_point == full.access_point == origin(1)


def test_cameras_have_one_two_an_embedded_or_no_archive(served: Served) -> None:
    archives = {
        camera.display_id: [(binding.name, binding.is_default) for binding in camera.archive_bindings]
        for camera in cameras(served[1], view=FULL)
    }
    assert archives["1"] == [("AliceBlue", True)]
    assert archives["2"] == [("AliceBlue", True), ("STORAGE_A", False)]
    assert archives["3"] == [("AliceBlue", True), ("MultimediaStorage.0", False)]
    assert archives["8"] == []


def test_an_incomplete_camera_is_had_whole_by_its_access_point(served: Served) -> None:
    served[0].switches = Switches(incomplete_camera=True)
    first = cameras(served[1], view=FULL)[0]
    assert first.incomplete
    assert not first.archive_bindings
    whole = batch(served[1], first.access_point)
    assert not whole.items[0].incomplete
    assert whole.items[0].archive_bindings[0].storage == ALICE


def test_a_camera_that_does_not_exist_is_said_so(served: Served) -> None:
    answer = batch(served[1], origin(1), origin(99))
    assert [camera.access_point for camera in answer.items] == [origin(1)]
    assert list(answer.not_found_objects) == [origin(99)]


def test_archives_are_listed_once_each(served: Served) -> None:
    sent = list(served[1].call(served[1].domain.ListArchives, wire.ListArchivesRequest()))
    archives = [archive for message in sent for archive in message.items]
    assert [archive.display_name for archive in archives] == ["AliceBlue", "STORAGE_A", "MultimediaStorage.0"]
    assert archives[2].storage_type == wire.EStorageType.ST_EMBEDDED


def test_the_version_says_what_this_is(served: Served) -> None:
    answer = served[1].call(served[1].domain.GetVersion, wire.GetVersionRequest())
    assert "simulator" in answer.Version


def test_every_message_may_carry_a_field_that_nobody_knows(served: Served) -> None:
    assert len(UnknownFieldSet(messages(served[1])[0])) == 0
    served[0].switches = Switches(unknown_fields=True)
    sent = messages(served[1])
    for message in sent:
        [field] = [UnknownFieldSet(message)[number] for number in range(len(UnknownFieldSet(message)))]
        assert (field.field_number, field.data) == (1999, b"ip_devices")
    assert sum(len(message.items) for message in sent) == 50


def batch(client: Client, *access_points: str) -> wire.BatchGetCamerasResponse:
    request = wire.BatchGetCamerasRequest(items=[wire.ResourceLocator(access_point=point) for point in access_points])
    [answer] = client.call(client.domain.BatchGetCameras, request)
    assert isinstance(answer, wire.BatchGetCamerasResponse)
    return answer


def test_a_site_without_cameras_lists_none(tmp_path: Path) -> None:
    with simulated(tmp_path, cameras=0) as (_, client):
        assert cameras(client) == []

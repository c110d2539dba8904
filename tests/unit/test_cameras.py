import pytest
from hypothesis import given
from hypothesis import strategies as st

from axxonfs.core.cameras import Archive, Camera, cameras_of, find_archive, find_camera
from axxonfs.core.errors import SpecError
from axxonfs.wire import domain_pb2

ALICE = "hosts/Server/MultimediaStorage.AliceBlue/MultimediaStorage"
CORAL = "hosts/Server/MultimediaStorage.Coral/MultimediaStorage"
CARD = "hosts/Server/DeviceIpint.1/MultimediaStorage.0"
VIDEO = "hosts/Server/DeviceIpint.1/SourceEndpoint.video:0:0"
AUDIO = "hosts/Server/DeviceIpint.1/SourceEndpoint.audio:0"

Binding = domain_pb2.ArchiveBinding
Source = domain_pb2.StorageSource


def camera(number: int, name: str, *archives: Archive, node: str = "Server") -> Camera:
    access_point = f"hosts/{node}/DeviceIpint.{number}/SourceEndpoint.video:0:0"
    return Camera(access_point, str(number), name, node, archives)


DOOR = camera(1, "Front door", Archive("Coral", CORAL), Archive("AliceBlue", ALICE, default=True))
GATE = camera(2, "Gate")
OTHER_GATE = camera(3, "Gate")
TWIN = camera(2, "Gate", node="Second")
SITE = (DOOR, GATE, OTHER_GATE)


def archives_of(*bindings: Binding) -> tuple[Archive, ...]:
    (read,) = cameras_of([domain_pb2.Camera(access_point=VIDEO, archive_bindings=bindings)])
    return read.archives


def test_a_camera_of_the_wire_is_read() -> None:
    item = domain_pb2.Camera(access_point=VIDEO, display_id="1", display_name="Front door")
    item.archive_bindings.add(name="AliceBlue", storage=ALICE, is_default=True)
    (read,) = cameras_of([item])
    assert read == Camera(VIDEO, "1", "Front door", "Server", (Archive("AliceBlue", ALICE, default=True),))
    assert read.label == "1.Front door"


def test_a_camera_on_two_pages_is_one_camera_and_one_without_access_point_is_none() -> None:
    item = domain_pb2.Camera(access_point=VIDEO)
    assert len(cameras_of([item, item, domain_pb2.Camera(display_name="ghost")])) == 1


def test_a_camera_without_id_and_name_is_known_by_its_access_point() -> None:
    assert Camera(VIDEO, "", "", "Server").label == VIDEO
    assert Camera(VIDEO, "", "Yard", "Server").label == "Yard"


def test_an_archive_without_name_gets_another_name() -> None:
    named = Binding(storage=ALICE, archive=domain_pb2.Archive(display_name="Blue"))
    assert [archive.name for archive in archives_of(named, Binding(storage=CORAL))] == ["Blue", CORAL]


own = Source(media_source=VIDEO)
replica = Source(media_source=VIDEO, origin_storage=CORAL)
sound = Source(media_source=AUDIO)
by_mime = Source(mimetype="video/h264")
card_by_type = domain_pb2.Archive(storage_type=domain_pb2.ST_EMBEDDED)


@pytest.mark.parametrize(
    ("bindings", "default"),
    [
        ([Binding(storage=CORAL, sources=[own]), Binding(storage=ALICE, is_default=True)], ALICE),
        ([Binding(storage=CORAL, sources=[replica]), Binding(storage=ALICE, sources=[own])], ALICE),
        ([Binding(storage=CORAL, sources=[sound]), Binding(storage=ALICE, sources=[by_mime])], ALICE),
        ([Binding(storage=CARD, sources=[own]), Binding(storage=ALICE, sources=[own])], ALICE),
        ([Binding(storage=CORAL, archive=card_by_type, sources=[own]), Binding(storage=ALICE, sources=[own])], ALICE),
        ([Binding(storage=CARD, sources=[own]), Binding(storage=ALICE, sources=[replica])], ALICE),
        ([Binding(storage=CORAL), Binding(storage=CARD, sources=[own])], CARD),
        ([Binding(storage=CORAL), Binding(storage=ALICE)], CORAL),
        ([Binding(is_default=True), Binding(storage=ALICE)], ALICE),
    ],
    ids=[
        "the one marked",
        "own video before replicas",
        "video before sound",
        "no memory card, by its access point",
        "no memory card, by its type",
        "a replica before a memory card",
        "a memory card before an archive without recordings",
        "the first if nothing tells them apart",
        "one that cannot be addressed is none",
    ],
)
def test_the_default_archive_is_found_as_the_vendor_finds_it(bindings: list[Binding], default: str) -> None:
    assert [archive.access_point for archive in archives_of(*bindings) if archive.default] == [default]


@pytest.mark.parametrize("query", ["1", "Front door", "1.Front door", DOOR.access_point])
def test_a_camera_is_found_by_each_of_its_names(query: str) -> None:
    assert find_camera(SITE, query) is DOOR


@pytest.mark.parametrize(
    ("site", "query", "says"),
    [
        (SITE, "1.Frnt dor", 'there is no camera "1.Frnt dor": did you mean "1.Front door"'),
        (SITE, "front door", 'did you mean "1.Front door"'),
        (SITE, "Parking", 'write for example "1.Front door", "2.Gate" or "3.Gate"'),
        (SITE, "", "there is no camera"),
        ((camera(1, ""), camera(2, "")), "", "there is no camera"),
        (SITE, "Gate", 'may be several cameras: write "2.Gate" or "3.Gate"'),
        ((*SITE, camera(5, "Gate")), "Gate", 'write "2.Gate", "3.Gate" or "5.Gate"'),
        ((GATE, TWIN), "2.Gate", f'write "{GATE.access_point}" or "{TWIN.access_point}"'),
        ((camera(1, "2"), GATE), "2", 'write "1.2" or "2.Gate"'),
        ((), "1", "the server shows none to this account"),
    ],
)
def test_a_query_that_names_no_camera_or_several_is_refused_with_candidates(
    site: tuple[Camera, ...], query: str, says: str
) -> None:
    with pytest.raises(SpecError) as refusal:
        find_camera(site, query, "cameras[1]")
    assert says in str(refusal.value)
    assert str(refusal.value).startswith('"cameras[1]": ')
    assert refusal.value.path == "cameras[1]"


@given(st.text(max_size=40))
def test_any_query_finds_a_camera_or_is_refused(query: str) -> None:
    try:
        find_camera(SITE, query)
    except SpecError:
        return


@pytest.mark.parametrize(("query", "access_point"), [(None, ALICE), ("Coral", CORAL), (CORAL, CORAL)])
def test_an_archive_is_the_default_one_or_found_by_name_or_access_point(query: str | None, access_point: str) -> None:
    assert find_archive(DOOR, query).access_point == access_point


@pytest.mark.parametrize(
    ("of", "query", "says"),
    [
        (DOOR, "AliceBleu", 'there is no archive "AliceBleu" of camera "1.Front door": did you mean "AliceBlue"?'),
        (DOOR, "x", 'write "Coral" or "AliceBlue"'),
        (GATE, None, 'camera "2.Gate" records to no archive'),
        (camera(1, "", Archive("A", ALICE), Archive("A", CORAL)), "A", f'write "{ALICE}" or "{CORAL}"'),
    ],
)
def test_a_query_that_names_no_archive_or_several_is_refused_with_candidates(
    of: Camera, query: str | None, says: str
) -> None:
    with pytest.raises(SpecError) as refusal:
        find_archive(of, query)
    assert says in str(refusal.value)
    assert refusal.value.path == "archive"

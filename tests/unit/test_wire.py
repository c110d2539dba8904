"""The quirks of the wire that a well-meant clean-up would break: numbers, names, types as they are on real servers."""

import pytest
from google.protobuf.descriptor import FieldDescriptor

from axxonfs.wire import authentication_pb2, domain_pb2, export_event_pb2, export_pb2, export_service_pb2, primitive_pb2

FILES = (primitive_pb2, export_pb2, export_service_pb2, export_event_pb2, authentication_pb2, domain_pb2)


def test_the_calls_have_the_paths_that_servers_answer() -> None:
    paths = {
        f"/{service.full_name}/{method.name}"
        for file in FILES
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert paths >= {
        "/axxonsoft.bl.mmexport.ExportService/ListSessions",
        "/axxonsoft.bl.mmexport.ExportService/StartSession",
        "/axxonsoft.bl.mmexport.ExportService/GetSessionState",
        "/axxonsoft.bl.mmexport.ExportService/StopSession",
        "/axxonsoft.bl.mmexport.ExportService/DestroySession",
        "/axxonsoft.bl.mmexport.ExportService/DownloadFile",
        "/axxonsoft.bl.auth.AuthenticationService/AuthenticateEx2",
        "/axxonsoft.bl.auth.AuthenticationService/RenewSession2",
        "/axxonsoft.bl.auth.AuthenticationService/CloseSession",
        "/axxonsoft.bl.domain.DomainService/ListCameras",
        "/axxonsoft.bl.domain.DomainService/BatchGetCameras",
    }


@pytest.mark.parametrize("method", ["ListSessions", "DownloadFile"])
def test_listings_and_downloads_are_streams(method: str) -> None:
    service = export_service_pb2.DESCRIPTOR.services_by_name["ExportService"]
    assert service.methods_by_name[method].server_streaming


@pytest.mark.parametrize(
    ("message", "field", "number"),
    [
        (export_service_pb2.StartSessionRequest, "session_options", 2),
        (export_service_pb2.Result.File, "cloud_id", 7),
        (export_service_pb2.Result.File, "timezone", 8),
        (export_service_pb2.DownloadFileRequest, "start_from_chunk_index", 4),
        (export_pb2.TrackFilter, "allow", 2),
        (export_pb2.TrackFilter, "tracks", 3),
        (export_pb2.Options, "external_directory", 9),
        (export_pb2.Options, "export_agent_access_point", 100),
        (authentication_pb2.AuthenticateResponseEx, "expires_in", 5),
        (authentication_pb2.AuthenticateResponseEx, "error_code", 20),
        (authentication_pb2.AuthenticateResponseEx, "error_description", 26),
        (authentication_pb2.CloseSessionResponse, "error_code", 15),
        (domain_pb2.VideoStreaming, "stream_acess_point", 1),
        (domain_pb2.VideoStreaming, "decoder_acess_point", 2),
        (domain_pb2.ArchiveBinding, "sources", 16),
        (domain_pb2.Camera, "archive_bindings", 19),
        (domain_pb2.Camera, "has_archive_bindings", 37),
        (domain_pb2.ListCamerasRequest, "view", 2),
        (domain_pb2.GetVersionResponse, "Version", 1),
        (export_event_pb2.ExportEvent, "user_roles", 7),
    ],
)
def test_fields_have_the_numbers_of_the_wire(message: type, field: str, number: int) -> None:
    assert message.DESCRIPTOR.fields_by_name[field].number == number  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("message", "count"),
    [
        (export_pb2.Options, 10),
        (export_pb2.CommonSetting, 12),
        (export_pb2.StreamSetting, 8),
        (export_pb2.SnapshotSetting, 9),
        (export_pb2.SourceSetting, 10),
        (export_pb2.FisheyeInfo, 13),
        (export_pb2.ArchiveMode.Source, 6),
        (export_service_pb2.Result.File, 7),
    ],
)
def test_messages_are_complete(message: type, count: int) -> None:
    assert len(message.DESCRIPTOR.fields) == count  # type: ignore[attr-defined]


def test_what_has_presence_on_the_wire_has_it_here() -> None:
    options = export_pb2.Options.DESCRIPTOR
    assert [field.name for field in options.oneofs_by_name["mode"].fields] == ["live", "archive"]
    assert [field.name for field in options.oneofs_by_name["output_type"].fields] == ["snapshot", "stream"]
    assert options.fields_by_name["max_file_size"].type == FieldDescriptor.TYPE_UINT64
    assert not options.fields_by_name["max_file_size"].has_presence
    assert export_pb2.LiveMode.DESCRIPTOR.fields_by_name["duration"].has_presence


def test_the_enums_have_their_numbers() -> None:
    assert dict(export_service_pb2.EState.items()) == {"S_NONE": 0, "S_RUNNING": 1, "S_COMPLETED": 2, "S_REMOVED": 3}
    assert export_pb2.EQuality.Value("C_NORMAL") == 3
    assert export_pb2.EQuality.Value("C_MEDIUM") == 7
    assert dict(export_pb2.StreamType.EFormat.items()) == {"DEFAULT": 0, "MKV": 1, "AVI": 2, "EXE": 3, "MP4": 4}
    assert dict(export_pb2.SnapshotType.EFormat.items()) == {"DEFAULT": 0, "JPEG": 1, "PDF": 2}
    assert export_pb2.SubtitleInfo.EEntity.Value("SE_STREAM") == 7
    codes = authentication_pb2.EAuthenticateCode
    assert codes.Value("AUTHENTICATE_CODE_WRONG_CREDENTIALS") == 2
    assert codes.Value("AUTHENTICATE_CODE_TFA_TIME_EXCEEDED") == 25


def test_an_enum_number_of_a_newer_server_survives() -> None:
    state = export_service_pb2.State()
    state.ParseFromString(b"\x08\x63")  # field 1 = 99
    assert state.state == 99
    assert state.SerializeToString() == b"\x08\x63"

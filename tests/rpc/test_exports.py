"""The calls of the client: against the simulator over TLS, and against servers that answer oddly."""

import contextlib
import hashlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Never

import grpc
import pytest

from axxonfs.core import errors
from axxonfs.remote import exports
from axxonfs.remote.channel import Link
from axxonfs.remote.exports import ExportClient, SessionInfo
from axxonfs.remote.login import Credentials
from axxonfs.remote.statuses import domain_error
from axxonfs.remote.trust import Endpoint, Trust, TrustOptions, establish
from axxonfs.simulator.certificates import ensure_certificates
from axxonfs.simulator.server import Simulator
from axxonfs.simulator.switches import Switches
from axxonfs.wire import domain_pb2, export_pb2, export_service_pb2
from tests.faults.wire import wired
from tests.rpc.support import TIMEOUT_S, USER, clip, connect, finished, make_simulator, scripted, write_password

Status = grpc.StatusCode

# What every status becomes; a status without a row here fails the test below.
EXPECTED: dict[grpc.StatusCode, type[errors.AxxonfsError]] = {
    Status.CANCELLED: errors.ServerAwayError,
    Status.UNKNOWN: errors.ServerAwayError,
    Status.INVALID_ARGUMENT: errors.RefusedError,
    Status.DEADLINE_EXCEEDED: errors.DeadlineError,
    Status.NOT_FOUND: errors.SessionGoneError,
    Status.ALREADY_EXISTS: errors.RefusedError,
    Status.PERMISSION_DENIED: errors.AccessError,
    Status.UNAUTHENTICATED: errors.TokenRejectedError,
    Status.RESOURCE_EXHAUSTED: errors.ServerAwayError,
    Status.FAILED_PRECONDITION: errors.RefusedError,
    Status.ABORTED: errors.ServerAwayError,
    Status.UNIMPLEMENTED: errors.NotServedError,
    Status.OUT_OF_RANGE: errors.RefusedError,
    Status.INTERNAL: errors.ServerAwayError,
    Status.UNAVAILABLE: errors.ServerAwayError,
    Status.DATA_LOSS: errors.ServerAwayError,
}


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[Simulator]:
    with make_simulator(tmp_path, file_size_bytes=100_000) as running:
        yield running


@pytest.fixture
def client(simulator: Simulator, tmp_path: Path) -> Iterator[ExportClient]:
    with contextlib.closing(connect(simulator, tmp_path)) as link:
        yield ExportClient(link)


def abort(status: grpc.StatusCode, words: str) -> Callable[[object, grpc.ServicerContext], Never]:
    def answer(_request: object, context: grpc.ServicerContext) -> Never:
        context.abort(status, words)

    return answer


# --- statuses


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.OK], ids=lambda code: code.name)
def test_every_status_has_its_domain_error_with_the_servers_words(tmp_path: Path, status: grpc.StatusCode) -> None:
    with (
        scripted(tmp_path, GetSessionState=abort(status, "the server's\nown words")) as client,
        pytest.raises(errors.AxxonfsError) as caught,
    ):
        client.session_state("any")
    assert type(caught.value) is EXPECTED[status]
    if status is not Status.DEADLINE_EXCEEDED:
        assert str(caught.value) == f"cannot ask for the session's state: the server's own words ({status.name})"


@pytest.mark.parametrize(
    ("status", "kind"), [(Status.INTERNAL, errors.RefusedError), (Status.UNAVAILABLE, errors.ServerAwayError)]
)
def test_a_reference_that_cannot_be_resolved_is_refused_unless_its_node_is_offline(
    tmp_path: Path, status: grpc.StatusCode, kind: type[errors.AxxonfsError]
) -> None:
    with (
        scripted(tmp_path, StartSession=abort(status, "Can't resolve reference to hosts/A/MMExportAgent.9")) as client,
        pytest.raises(kind, match=r"hosts/A/MMExportAgent\.9"),
    ):
        client.start_session(export_pb2.Options())


def test_a_status_without_words_is_named() -> None:
    assert str(domain_error(grpc.RpcError(), "try")) == "cannot try: no status"


def test_the_words_of_a_server_are_held_to_one_line_of_bounded_length(tmp_path: Path) -> None:
    with (
        scripted(tmp_path, GetVersion=abort(Status.INTERNAL, "\x1b[2J\r\n" + "x" * 5000)) as client,
        pytest.raises(errors.ServerAwayError) as caught,
    ):
        client.server_version()
    assert len(str(caught.value)) < 600
    assert str(caught.value).isprintable()


def test_a_token_in_the_servers_words_is_blotted_out(simulator: Simulator, client: ExportClient) -> None:
    [(_, token)] = client.link.login.metadata(TIMEOUT_S)
    simulator.faults.add(method="GetVersion", details=f"no luck with {token}, sorry")
    with pytest.raises(errors.ServerAwayError, match=r"no luck with \*\*\*, sorry"):
        client.server_version()


# --- connections


@pytest.mark.parametrize("san", [(), ("node.example", "127.0.0.1")], ids=["common name", "alternative names"])
def test_calls_go_over_tls_with_certificates_of_both_kinds(tmp_path: Path, san: tuple[str, ...]) -> None:
    with make_simulator(tmp_path, san=san) as simulator, contextlib.closing(connect(simulator, tmp_path)) as link:
        assert ExportClient(link).server_version() == "3.0.0.46 (axxonfs simulator)"


def test_a_link_without_trust_is_for_loopback_only(tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigurationError, match="in the clear"):
        Link(Endpoint("10.0.0.7"), None, Credentials(USER, write_password(tmp_path / "password")))


def test_nothing_is_connected_before_the_first_call(simulator: Simulator, tmp_path: Path) -> None:
    with contextlib.closing(connect(simulator, tmp_path)):
        assert sockets_to(simulator.port) == []
    assert simulator.calls.entries() == []


def test_control_and_data_are_two_connections_that_give_up_what_is_not_acknowledged(
    simulator: Simulator, client: ExportClient
) -> None:
    session_id, file = finished(simulator, client)
    assert len(sockets_to(simulator.port)) == 1
    assert sum(len(chunk.data) for chunk in client.open_download(session_id, file.path, 64, 0)) == file.size
    assert sockets_to(simulator.port) == [8000, 8000]


def test_two_links_share_no_connection(tmp_path: Path) -> None:
    with make_simulator(tmp_path, plaintext=True) as simulator, contextlib.ExitStack() as links:
        for _ in range(2):
            link = links.enter_context(contextlib.closing(connect(simulator, tmp_path)))
            ExportClient(link).server_version()
        assert len(sockets_to(simulator.port)) == 2


def sockets_to(port: int) -> list[int]:
    """Return the TCP_USER_TIMEOUT of each connection of this process to a port."""
    timeouts = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(descriptor.name))) as connection:
            if connection.getpeername()[1] == port:
                timeouts.append(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))
    return timeouts


def test_a_server_that_comes_back_is_found_by_the_same_link(simulator: Simulator, client: ExportClient) -> None:
    client.server_version()
    simulator.stop()
    with pytest.raises(errors.ServerAwayError):
        client.server_version()
    simulator.start()
    until_answered(client)
    assert simulator.calls.count("AuthenticateEx2") == 2


def until_answered(client: ExportClient) -> None:
    """Call until gRPC has connected again, which nothing announces; the timeout of the test bounds it."""
    pause = threading.Event()
    while True:
        with contextlib.suppress(errors.ServerAwayError):
            assert client.server_version()
            return
        pause.wait(0.05)


@pytest.fixture
def renewed(tmp_path: Path) -> dict[str, bytes]:
    """Another certificate of the node, with its key."""
    ensure_certificates(tmp_path / "renewed", "Server", ())
    return {name: (tmp_path / "renewed" / name).read_bytes() for name in ("node.pem", "node.key")}


@contextlib.contextmanager
def pinned(simulator: Simulator, tmp_path: Path, *pins: str) -> Iterator[ExportClient]:
    endpoint = Endpoint("127.0.0.1", simulator.port)

    def decide() -> Trust | None:
        return establish(endpoint, TrustOptions(pins=pins), learnt_name=None, timeout_s=TIMEOUT_S)

    credentials = Credentials(USER, write_password(tmp_path / "password"))
    with contextlib.closing(Link(endpoint, decide(), credentials, retrust=decide)) as link:
        yield ExportClient(link)


def restart_with(simulator: Simulator, files: dict[str, bytes]) -> None:
    simulator.stop()
    for name, content in files.items():
        (simulator.config.directory / name).write_bytes(content)
    simulator.start()


def fingerprint(certificate: bytes) -> str:
    return f"sha256:{hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.decode())).hexdigest()}"


def test_a_server_that_comes_back_with_another_pinned_certificate_is_found_by_the_same_link(
    simulator: Simulator, tmp_path: Path, renewed: dict[str, bytes]
) -> None:
    old, new = fingerprint(simulator.node_file.read_bytes()), fingerprint(renewed["node.pem"])
    with pinned(simulator, tmp_path, old, new) as client:
        client.server_version()
        restart_with(simulator, renewed)
        until_answered(client)


def test_a_server_that_comes_back_with_a_certificate_that_is_not_pinned_is_refused_in_words(
    simulator: Simulator, tmp_path: Path, renewed: dict[str, bytes]
) -> None:
    with pinned(simulator, tmp_path, fingerprint(simulator.node_file.read_bytes())) as client:
        client.server_version()
        restart_with(simulator, renewed)
        with pytest.raises(errors.CertificateError, match="is not pinned"):
            until_answered(client)


def test_a_call_ends_at_its_deadline(simulator: Simulator, client: ExportClient) -> None:
    client.server_version()
    simulator.faults.add(method="GetVersion", action="delay", delay_s=TIMEOUT_S)
    with pytest.raises(errors.DeadlineError, match="cannot ask for the version: no answer in time"):
        client.server_version(timeout_s=0.05)


def test_closing_logs_out_and_leaves_no_thread(simulator: Simulator, tmp_path: Path) -> None:
    before = set(threading.enumerate())
    link = connect(simulator, tmp_path)
    client = ExportClient(link)
    session_id, file = finished(simulator, client)
    downloaded = list(client.open_download(session_id, file.path, 64, 0))
    link.close()
    link.close()
    assert downloaded
    assert simulator.logins.open_logins() == 0
    assert simulator.calls.entries()[-1].method == "CloseSession"
    assert {
        thread for thread in threading.enumerate() if thread not in before and "simulator" not in thread.name
    } == set()
    with pytest.raises(errors.ServerAwayError, match="was closed"):
        client.server_version()


def test_a_call_in_flight_ends_when_the_link_is_closed(tmp_path: Path) -> None:
    asked, may_answer = threading.Event(), threading.Event()

    def wait(_request: object, _context: object) -> domain_pb2.GetVersionResponse:
        asked.set()
        may_answer.wait(TIMEOUT_S)
        return domain_pb2.GetVersionResponse()

    with scripted(tmp_path, GetVersion=wait) as client, futures.ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.server_version)
        assert asked.wait(TIMEOUT_S)
        client.link.close()
        with pytest.raises(errors.ServerAwayError):
            call.result(TIMEOUT_S)
        may_answer.set()


# --- tokens


def test_a_rejected_token_costs_one_fresh_login_and_one_more_try(simulator: Simulator, client: ExportClient) -> None:
    client.server_version()
    simulator.logins.revoke_all()
    assert client.list_sessions() == []
    assert client.server_version()
    assert simulator.calls.count("AuthenticateEx2") == 2
    assert simulator.calls.count("ListSessions") == 2


def test_a_server_that_rejects_every_token_is_not_worn_out_with_logins(
    simulator: Simulator, client: ExportClient
) -> None:
    simulator.faults.add(method="ListSessions", status="UNAUTHENTICATED", details="no", times=100)
    for _ in range(3):
        with pytest.raises(errors.AccessError, match=r"cannot list the sessions: no|does not accept the tokens"):
            client.list_sessions(timeout_s=2.0)
    # The pauses between them are 0, 0.5, 1, 2 and 4 s, or half of it, and none is longer than the time that is left.
    assert simulator.calls.count("AuthenticateEx2") <= 6


@pytest.mark.parametrize("logged_in", [True, False])
def test_a_connection_that_is_silent_for_ever_is_replaced(
    simulator: Simulator, tmp_path: Path, *, logged_in: bool
) -> None:
    with (
        wired(("127.0.0.1", simulator.port)) as wire,
        contextlib.closing(connect(simulator, tmp_path, port=wire.address[1])) as link,
    ):
        client = ExportClient(link)
        client.server_version()
        if not logged_in:
            link.login.reject(link.login.metadata(TIMEOUT_S))
        wire.strand()
        with pytest.raises(errors.UnavailableError, match="no answer in time"):
            client.list_sessions(timeout_s=3.0)
        assert client.list_sessions(timeout_s=TIMEOUT_S) == []


def test_a_login_that_comes_too_late_after_a_rejected_token_is_told_as_that_rejection(
    simulator: Simulator, client: ExportClient
) -> None:
    client.server_version()
    simulator.faults.add(method="ListSessions", status="UNAUTHENTICATED", details="no", times=100)
    simulator.faults.add(method="AuthenticateEx2", action="delay", delay_s=3.0)
    with pytest.raises(errors.TokenRejectedError, match="cannot list the sessions: no"):
        client.list_sessions(timeout_s=1.0)


def test_a_call_whose_token_is_rejected_several_times_in_a_row_is_made_once_one_is_accepted(
    simulator: Simulator, client: ExportClient
) -> None:
    simulator.faults.add(method="ListSessions", status="UNAUTHENTICATED", times=4)
    assert client.list_sessions() == []
    assert simulator.calls.count("AuthenticateEx2") == 5


def test_an_account_without_the_right_to_export_is_told_so(tmp_path: Path) -> None:
    nobody = frozenset({USER})
    with (
        make_simulator(tmp_path, users_without_export=nobody) as simulator,
        contextlib.closing(connect(simulator, tmp_path)) as link,
    ):
        client = ExportClient(link)
        with pytest.raises(errors.AccessError, match="cannot start the export: Insufficient privileges"):
            client.start_session(clip(client))


# --- listings


@pytest.mark.parametrize("page_size", [1, 2, 3, 100])
@pytest.mark.parametrize("switches", [Switches(), Switches(token_alone=True), Switches(unknown_fields=True)])
def test_a_listing_is_complete_whatever_its_pages(
    simulator: Simulator, client: ExportClient, page_size: int, switches: Switches
) -> None:
    options = clip(client)
    started = {client.start_session(options) for _ in range(5)}
    simulator.switches = switches
    listed = client.list_sessions(page_size=page_size)
    assert [info.session.options.archive.start_timestamp for info in listed] == [options.archive.start_timestamp] * 5
    assert {info.session.id for info in listed} == started


def test_no_sessions_is_an_ordinary_listing(client: ExportClient) -> None:
    assert client.list_sessions() == []


def test_a_listing_that_breaks_off_is_an_error(simulator: Simulator, client: ExportClient) -> None:
    options = clip(client)
    for _ in range(3):
        client.start_session(options)
    simulator.faults.add(method="ListSessions", action="cut", after_chunks=1)
    with pytest.raises(errors.ServerAwayError):
        client.list_sessions(page_size=2)


def endless(tokens: Iterator[str]) -> Callable[[object, object], Iterator[export_service_pb2.ListSessionsResponse]]:
    def answer(_request: object, _context: object) -> Iterator[export_service_pb2.ListSessionsResponse]:
        yield export_service_pb2.ListSessionsResponse(next_page_token=next(tokens))

    return answer


def test_many_pages_have_longer_than_one(
    simulator: Simulator, client: ExportClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "PAGE_TIMEOUT_S", 3.0)
    started = {client.start_session(clip(client)) for _ in range(5)}
    simulator.faults.add(method="ListSessions", action="delay", delay_s=0.7, times=100)
    began_s = time.monotonic()
    assert {info.session.id for info in client.list_sessions(page_size=1)} == started
    assert time.monotonic() - began_s > exports.PAGE_TIMEOUT_S
    simulator.faults.clear()
    simulator.faults.add(method="ListSessions", action="delay", delay_s=TIMEOUT_S, times=1)
    with pytest.raises(errors.DeadlineError):
        client.list_sessions(page_size=1)


@pytest.mark.parametrize("tokens", [["a"] * 9, ["a", "b", "a"], [str(number) for number in range(2000)]])
def test_pages_that_never_end_are_an_error(tmp_path: Path, tokens: list[str]) -> None:
    with (
        scripted(tmp_path, ListSessions=endless(iter(tokens))) as client,
        pytest.raises(errors.ServerAwayError, match="does not end"),
    ):
        client.list_sessions()


def test_a_session_that_moved_to_another_page_is_listed_once_and_one_without_id_never(tmp_path: Path) -> None:
    def answer(request: export_service_pb2.ListSessionsRequest, _: object) -> Iterator[object]:
        state = export_service_pb2.S_COMPLETED if request.page_token else export_service_pb2.S_RUNNING
        for session_id in ("moved", ""):
            yield export_service_pb2.ListSessionsResponse(sessions=[info(session_id, state)])
        yield export_service_pb2.ListSessionsResponse(next_page_token="" if request.page_token else "2")

    with scripted(tmp_path, ListSessions=answer) as client:
        assert client.list_sessions() == [info("moved", export_service_pb2.S_COMPLETED)]


def info(session_id: str, state: export_service_pb2.EState.ValueType) -> SessionInfo:
    return SessionInfo(session=export_service_pb2.Session(id=session_id), state=export_service_pb2.State(state=state))


def test_a_page_beyond_the_usual_limit_of_a_message_is_taken(tmp_path: Path) -> None:
    comment = export_pb2.Options(settings=[export_pb2.CommonSetting(comment="x" * (5 << 20))])
    session = export_service_pb2.Session(id="large", options=comment)
    reply = export_service_pb2.ListSessionsResponse(sessions=[SessionInfo(session=session)])
    with scripted(tmp_path, ListSessions=lambda _request, _context: iter([reply])) as client:
        assert len(client.list_sessions()) == 1


# --- sessions


def test_an_export_is_started_watched_stopped_and_destroyed(simulator: Simulator, client: ExportClient) -> None:
    session_id, file = finished(simulator, client)
    assert file.size == 100_000
    assert client.stop_session(session_id).state == export_service_pb2.S_COMPLETED
    client.destroy_session(session_id)
    with pytest.raises(errors.SessionGoneError, match="There is no session"):
        client.session_state(session_id)


def test_destroying_what_is_gone_succeeds(simulator: Simulator, client: ExportClient) -> None:
    client.destroy_session("never was")
    assert simulator.calls.entries()[-1].status == "NOT_FOUND"


def test_a_state_that_no_definition_knows_does_no_harm(simulator: Simulator, client: ExportClient) -> None:
    simulator.switches = Switches(running_as=17, unknown_fields=True)
    options = clip(client)
    options.live.sources.add(origin=options.archive.sources[0].origin)  # live video runs until it is stopped
    session_id = client.start_session(options)
    assert client.session_state(session_id).state == 17


def test_a_start_that_is_refused_gives_the_servers_words(client: ExportClient) -> None:
    with pytest.raises(errors.RefusedError, match="INVALID_ARGUMENT"):
        client.start_session(export_pb2.Options())


def test_a_start_without_a_session_id_is_an_error(tmp_path: Path) -> None:
    empty = export_service_pb2.StartSessionResponse()
    with (
        scripted(tmp_path, StartSession=lambda _request, _context: empty) as client,
        pytest.raises(errors.ServerAwayError, match="without a session id"),
    ):
        client.start_session(export_pb2.Options())


def test_a_start_whose_reply_is_lost_is_not_repeated_by_the_client(simulator: Simulator, client: ExportClient) -> None:
    options = clip(client)
    simulator.faults.add(method="StartSession", action="lose_reply")
    with pytest.raises(errors.ServerAwayError):
        client.start_session(options)
    assert len(client.list_sessions()) == 1


# --- cameras


def test_cameras_come_with_their_archives(client: ExportClient) -> None:
    cameras = client.list_cameras()
    assert [camera.display_id for camera in cameras] == [str(number) for number in range(1, 9)]
    assert cameras[0].archive_bindings[0].storage == "hosts/Server/MultimediaStorage.AliceBlue/MultimediaStorage"


def test_an_incomplete_camera_is_fetched_whole(simulator: Simulator, client: ExportClient) -> None:
    whole = client.list_cameras()
    simulator.switches = Switches(incomplete_camera=True)
    assert client.list_cameras() == whole
    assert simulator.calls.count("BatchGetCameras") == 1


def test_a_camera_that_vanished_is_dropped_and_one_out_of_reach_stays_as_it_came(tmp_path: Path) -> None:
    listed = [domain_pb2.Camera(access_point=name, incomplete=True) for name in ("a", "b", "c")]
    pages = {
        "": domain_pb2.ListCamerasResponse(items=listed[:2], next_page_token="2"),
        "2": domain_pb2.ListCamerasResponse(items=listed[2:]),
    }
    whole = domain_pb2.Camera(access_point="c", display_name="Yard")

    def fetch(request: domain_pb2.BatchGetCamerasRequest, _: object) -> Iterator[domain_pb2.BatchGetCamerasResponse]:
        assert [item.access_point for item in request.items] == ["a", "b", "c"]
        yield domain_pb2.BatchGetCamerasResponse(not_found_objects=["a"], unreachable_objects=["b"])
        yield domain_pb2.BatchGetCamerasResponse(items=[whole, domain_pb2.Camera(access_point="not asked for")])

    with scripted(
        tmp_path, ListCameras=lambda request, _: iter([pages[request.page_token]]), BatchGetCameras=fetch
    ) as client:
        assert client.list_cameras() == [listed[1], whole]

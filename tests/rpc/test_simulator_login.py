"""Logins, tokens and certificates of the simulator, over TLS."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from axxonfs.simulator.config import SimulatorConfig
from axxonfs.simulator.server import Simulator
from axxonfs.simulator.switches import Switches
from axxonfs.wire import authentication_pb2, domain_pb2, export_service_pb2
from axxonfs.wire.authentication_pb2 import EAuthenticateCode
from tests.rpc.simulated import TIMEOUT_S, Client, clip, finish, refusal, secure_channel, simulated

UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Simulator, Client]]:
    with simulated(tmp_path_factory.mktemp("simulator"), token_life_s=300.0) as pair:
        yield pair


def every_guarded_call(client: Client) -> list[Callable[[], Any]]:
    """Return a way to make each call that needs a login."""
    requests: dict[Callable[..., Any], object] = {
        client.auth.RenewSession2: authentication_pb2.RenewSessionRequest(),
        client.auth.CloseSession: authentication_pb2.CloseSessionRequest(),
        client.domain.ListCameras: domain_pb2.ListCamerasRequest(),
        client.domain.BatchGetCameras: domain_pb2.BatchGetCamerasRequest(),
        client.domain.ListArchives: domain_pb2.ListArchivesRequest(),
        client.domain.GetVersion: domain_pb2.GetVersionRequest(),
        client.exports.ListSessions: export_service_pb2.ListSessionsRequest(),
        client.exports.StartSession: export_service_pb2.StartSessionRequest(),
        client.exports.GetSessionState: export_service_pb2.GetSessionStateRequest(),
        client.exports.StopSession: export_service_pb2.StopSessionRequest(),
        client.exports.DestroySession: export_service_pb2.DestroySessionRequest(),
        client.exports.DownloadFile: export_service_pb2.DownloadFileRequest(),
    }
    return [functools.partial(drain, client, method, request) for method, request in requests.items()]


def drain(client: Client, method: Callable[..., Any], request: object) -> None:
    answer = client.call(method, request)
    if isinstance(answer, Iterator):
        list(answer)


@pytest.mark.parametrize(
    ("token", "words"),
    [((), "missing auth token"), ((("auth_token", "e30.e30.forged"),), "auth token is invalid or expired")],
)
def test_every_call_but_the_login_needs_a_valid_token(
    served: tuple[Simulator, Client], token: tuple[tuple[str, str], ...], words: str
) -> None:
    client = Client(served[0])
    client.token = token
    refusals = [refusal(call) for call in every_guarded_call(client)]
    assert refusals == [(UNAUTHENTICATED, words)] * 12
    client.channel.close()


def test_a_wrong_password_is_an_ok_call_with_a_code(served: tuple[Simulator, Client]) -> None:
    answer = served[1].log_in("root", "wrong")
    assert answer.error_code == EAuthenticateCode.AUTHENTICATE_CODE_WRONG_CREDENTIALS
    assert not answer.token_value


def test_a_login_is_renewed_and_closed_over_the_wire(served: tuple[Simulator, Client]) -> None:
    client = Client(served[0])
    renewed = client.call(client.auth.RenewSession2, authentication_pb2.RenewSessionRequest())
    assert (renewed.expires_in, renewed.token_name) == (300, "auth_token")
    client.call(client.auth.CloseSession, authentication_pb2.CloseSessionRequest())
    client.token = ((renewed.token_name, renewed.token_value),)
    assert refusal(client.listing)[0] is UNAUTHENTICATED
    client.channel.close()


@pytest.mark.parametrize("cuts", [False, True])
def test_a_stream_outlives_its_token_unless_a_switch_cuts_it(
    tmp_path: Path,
    cuts: bool,  # noqa: FBT001  a table of cases
) -> None:
    config = {"file_size_bytes": 64 << 20, "switches": Switches(token_cuts_streams=cuts)}
    with simulated(tmp_path, **config) as (simulator, client):
        session_id, state = finish(simulator, client, clip())
        stream = client.download(session_id, state.result.files[0].path, kb=1024)
        next(stream)
        simulator.logins.revoke_all()
        if cuts:
            assert refusal(list, stream)[0] is UNAUTHENTICATED
        else:
            assert len(list(stream)) == 63
        assert refusal(client.listing)[0] is UNAUTHENTICATED


@pytest.mark.parametrize("trusted", ["ca_file", "node_file"])
def test_the_root_or_the_nodes_own_certificate_is_enough_to_trust(
    served: tuple[Simulator, Client], trusted: str
) -> None:
    pem = getattr(served[0], trusted).read_bytes()
    with secure_channel(served[0], pem) as channel:
        assert check_health(channel) == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize(
    ("san", "accepted", "refused"),
    [((), "Server", "127.0.0.1"), (("127.0.0.1", "node.example"), "127.0.0.1", "Server")],
)
def test_the_common_name_counts_only_where_there_are_no_other_names(
    tmp_path: Path, san: tuple[str, ...], accepted: str, refused: str
) -> None:
    with Simulator(SimulatorConfig(directory=tmp_path, san=san)) as simulator:
        with secure_channel(simulator, name=accepted) as channel:
            assert check_health(channel) == health_pb2.HealthCheckResponse.SERVING
        with secure_channel(simulator, name=refused) as channel:
            assert refusal(check_health, channel)[0] is grpc.StatusCode.UNAVAILABLE


def test_plaintext_is_served_where_it_is_asked_for(tmp_path: Path) -> None:
    with (
        Simulator(SimulatorConfig(directory=tmp_path, plaintext=True)) as simulator,
        grpc.insecure_channel(simulator.address) as channel,
    ):
        assert check_health(channel) == health_pb2.HealthCheckResponse.SERVING


def test_an_unknown_method_is_unimplemented(served: tuple[Simulator, Client]) -> None:
    method = served[1].channel.unary_unary("/axxonsoft.bl.auth.AuthenticationService/Authenticate2", bytes, bytes)
    assert refusal(lambda: method(b"", timeout=TIMEOUT_S))[0] is grpc.StatusCode.UNIMPLEMENTED


def test_two_simulators_cannot_share_a_port(tmp_path: Path, served: tuple[Simulator, Client]) -> None:
    other = SimulatorConfig(directory=tmp_path, port=served[0].port)
    with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{served[0].port}"), Simulator(other):
        pass


def check_health(channel: grpc.Channel) -> int:
    answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_S)
    return int(answer.status)

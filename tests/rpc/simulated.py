"""A simulator with a plain gRPC client over TLS, for the tests of the simulator itself."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from axxonfs.simulator.config import SimulatorConfig
from axxonfs.simulator.server import Simulator
from axxonfs.simulator.times import wire_time
from axxonfs.stubs import authentication_pb2_grpc, domain_pb2_grpc, export_service_pb2_grpc
from axxonfs.wire import authentication_pb2, export_pb2, export_service_pb2
from axxonfs.wire.export_service_pb2 import EState

TIMEOUT_S = 20.0
PASSWORD = "secret"
# Fast enough that no export has to be waited for.
AT_ONCE = 1e9
Metadata = tuple[tuple[str, str], ...]


class Client:
    """The stubs, the token of one login, and the calls that most tests make."""

    def __init__(self, simulator: Simulator, user: str = "root") -> None:
        self.channel = secure_channel(simulator)
        self.auth = authentication_pb2_grpc.AuthenticationServiceStub(self.channel)
        self.domain = domain_pb2_grpc.DomainServiceStub(self.channel)
        self.exports = export_service_pb2_grpc.ExportServiceStub(self.channel)
        self.token: Metadata = ()
        self.log_in(user)

    def log_in(self, user: str = "root", password: str = PASSWORD) -> authentication_pb2.AuthenticateResponseEx:
        request = authentication_pb2.AuthenticateRequest(user_name=user, password=password)
        answer: authentication_pb2.AuthenticateResponseEx = self.auth.AuthenticateEx2(request, timeout=TIMEOUT_S)
        if answer.token_name:
            self.token = ((answer.token_name, answer.token_value),)
        return answer

    def call(self, method: Callable[..., Any], request: object, timeout_s: float = TIMEOUT_S) -> Any:
        """Make a call with the token and a deadline."""
        return method(request, metadata=self.token, timeout=timeout_s)

    def start(self, options: export_pb2.Options) -> str:
        request = export_service_pb2.StartSessionRequest(session_options=options)
        return str(self.call(self.exports.StartSession, request).started_session_id)

    def state(self, session_id: str) -> export_service_pb2.State:
        request = export_service_pb2.GetSessionStateRequest(session_id=session_id)
        answer: export_service_pb2.GetSessionStateResponse = self.call(self.exports.GetSessionState, request)
        return answer.session_state

    def stop(self, session_id: str) -> export_service_pb2.State:
        request = export_service_pb2.StopSessionRequest(session_id=session_id)
        answer: export_service_pb2.StopSessionResponse = self.call(self.exports.StopSession, request)
        return answer.session_state

    def destroy(self, session_id: str) -> None:
        self.call(self.exports.DestroySession, export_service_pb2.DestroySessionRequest(session_id=session_id))

    def listing(self, page_size: int = 0, page_token: str = "") -> list[export_service_pb2.ListSessionsResponse]:
        request = export_service_pb2.ListSessionsRequest(page_size=page_size, page_token=page_token)
        return list(self.call(self.exports.ListSessions, request))

    def listed(self) -> dict[str, EState.ValueType]:
        """Return id and state of all sessions on the first page."""
        return {info.session.id: info.state.state for message in self.listing() for info in message.sessions}

    def download(self, session_id: str, path: str, kb: int = 64, start: int = 0, timeout_s: float = TIMEOUT_S) -> Any:
        """Return the running call of DownloadFile."""
        request = export_service_pb2.DownloadFileRequest(
            session_id=session_id, file_path=path, chunk_size_kb=kb, start_from_chunk_index=start
        )
        return self.call(self.exports.DownloadFile, request, timeout_s)

    def read(self, session_id: str, path: str, kb: int = 64) -> bytes:
        return b"".join(chunk.data for chunk in self.download(session_id, path, kb))


@contextlib.contextmanager
def simulated(directory: Path, **config: Any) -> Iterator[tuple[Simulator, Client]]:
    """Run a simulator and log in to it, once for all of the test however fast its timers are."""
    defaults: dict[str, Any] = {
        "users": {"root": PASSWORD, "guest": PASSWORD},
        "export_speed": AT_ONCE,
        "token_life_s": 1e8,
    }
    with Simulator(SimulatorConfig(directory=directory, **{**defaults, **config})) as simulator:
        client = Client(simulator)
        with client.channel:
            yield simulator, client


def secure_channel(simulator: Simulator, pem: bytes | None = None, name: str = "Server") -> grpc.Channel:
    credentials = grpc.ssl_channel_credentials(simulator.ca_file.read_bytes() if pem is None else pem)
    # Every test has a connection of its own; -1: messages of any size.
    options = [
        ("grpc.ssl_target_name_override", name),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_receive_message_length", -1),
    ]
    return grpc.secure_channel(simulator.address, credentials, options)


def refusal(attempt: Callable[..., object], *args: object) -> tuple[grpc.StatusCode, str]:
    """Return status and text with which a call is refused."""
    with pytest.raises(grpc.RpcError) as caught:
        attempt(*args)
    error = caught.value
    assert isinstance(error, grpc.Call)
    return error.code(), str(error.details())


def origin(camera: int) -> str:
    return f"hosts/Server/DeviceIpint.{camera}/SourceEndpoint.video:0:0"


def clip(
    cameras: tuple[int, ...] = (1,),
    seconds: float = 4,
    kind: export_pb2.StreamType.EFormat.ValueType = export_pb2.StreamType.MKV,
    begin_ms: int | None = None,
) -> export_pb2.Options:
    """Return the options of a clip from the archive, ten minutes ago unless said otherwise."""
    begin_ms = int(time.time() * 1000) - 600_000 if begin_ms is None else begin_ms
    options = export_pb2.Options()
    for camera in cameras:
        storage = "hosts/Server/MultimediaStorage.AliceBlue/MultimediaStorage"
        options.archive.sources.add(origin=origin(camera), storages=[storage])
    options.archive.start_timestamp = wire_time(begin_ms)
    options.archive.end_timestamp = wire_time(begin_ms + int(seconds * 1000))
    options.stream.format = kind
    return options


def frame(
    cameras: tuple[int, ...] = (1,),
    kind: export_pb2.SnapshotType.EFormat.ValueType = export_pb2.SnapshotType.JPEG,
    at_ms: int | None = None,
) -> export_pb2.Options:
    options = clip(cameras, begin_ms=at_ms)
    options.archive.ClearField("end_timestamp")
    options.snapshot.format = kind
    return options


def live_clip(seconds: float | None = None) -> export_pb2.Options:
    options = export_pb2.Options()
    options.live.sources.add(origin=origin(1))
    options.stream.format = export_pb2.StreamType.MP4
    if seconds is not None:
        options.live.duration.FromMilliseconds(int(seconds * 1000))
    return options


def finish(simulator: Simulator, client: Client, options: export_pb2.Options) -> tuple[str, export_service_pb2.State]:
    """Run an export to its end; return its id and its last state."""
    session_id = client.start(options)
    simulator.sessions.wait_for_state(session_id, EState.S_COMPLETED, TIMEOUT_S)
    return session_id, client.state(session_id)

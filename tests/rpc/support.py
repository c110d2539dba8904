"""What several tests of the client need: a way in, and the smallest export."""

import contextlib
import datetime as dt
import functools
import tempfile
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message_factory import GetMessageClass

from axxonfs.remote.channel import SEEK_CONNECTIONS, Link
from axxonfs.remote.exports import ExportClient
from axxonfs.remote.login import Credentials, PasswordFile
from axxonfs.remote.trust import Endpoint, TrustOptions, establish
from axxonfs.simulator.certificates import ensure_certificates
from axxonfs.simulator.config import SimulatorConfig
from axxonfs.simulator.server import Simulator
from axxonfs.wire import authentication_pb2, domain_pb2, export_pb2, export_service_pb2

USER = "root"
PASSWORD = "correct horse"
TIMEOUT_S = 10.0
WIRE_TIME = "%Y%m%dT%H%M%S.%f"


def make_simulator(tmp_path: Path, **settings: Any) -> Simulator:
    """Return a simulator that need not make keys of its own, which takes longer than most tests."""
    directory = tmp_path / "simulator"
    directory.mkdir()
    for name, content in certificate_files().items():
        (directory / name).write_bytes(content)
    return Simulator(SimulatorConfig(**{"directory": directory, "users": {USER: PASSWORD}, **settings}))


@functools.cache
def certificate_files() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as directory:
        ensure_certificates(Path(directory), "Server", ())
        return {path.name: path.read_bytes() for path in Path(directory).iterdir()}


def write_password(path: Path, password: str = PASSWORD) -> PasswordFile:
    path.write_text(f"{password}\n")
    path.chmod(0o600)
    return PasswordFile(path)


def connect(simulator: Simulator, tmp_path: Path, *, password: str = PASSWORD, port: int | None = None) -> Link:
    """Return a link to the simulator, or to what stands before it, with everything checked as a mount does it."""
    endpoint = Endpoint("127.0.0.1", port or simulator.port)
    plaintext = simulator.config.plaintext
    options = TrustOptions(ca_file=None if plaintext else simulator.ca_file, plaintext=plaintext)
    trust = establish(endpoint, options, learnt_name=None, timeout_s=TIMEOUT_S)
    return Link(endpoint, trust, Credentials(USER, write_password(tmp_path / "password", password)))


def clip(client: ExportClient, camera: int = 0) -> export_pb2.Options:
    """Return the options of a clip of one second from the archive of a camera."""
    chosen = client.list_cameras()[camera]
    start = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
    storages = [chosen.archive_bindings[0].storage]
    return export_pb2.Options(
        archive=export_pb2.ArchiveMode(
            sources=[export_pb2.ArchiveMode.Source(origin=chosen.access_point, storages=storages)],
            start_timestamp=start.strftime(WIRE_TIME),
            end_timestamp=(start + dt.timedelta(seconds=1)).strftime(WIRE_TIME),
        ),
        stream=export_pb2.StreamType(format=export_pb2.StreamType.MKV),
    )


def finished(simulator: Simulator, client: ExportClient) -> tuple[str, export_service_pb2.Result.File]:
    """Start an export, wait until it is done, and return its session and its result."""
    session_id = client.start_session(clip(client))
    simulator.sessions.wait_for_state(session_id, export_service_pb2.S_COMPLETED, TIMEOUT_S)
    return session_id, client.session_state(session_id).result.files[0]


Handler = Callable[[Any, grpc.ServicerContext], Any]

GOOD_LOGIN = authentication_pb2.AuthenticateResponseEx(
    token_name="auth_token", token_value="token-of-the-script", expires_in=300
)
_SERVICES = (
    authentication_pb2.DESCRIPTOR.services_by_name["AuthenticationService"],
    domain_pb2.DESCRIPTOR.services_by_name["DomainService"],
    export_service_pb2.DESCRIPTOR.services_by_name["ExportService"],
)


@contextlib.contextmanager
def scripted(
    tmp_path: Path, *, least_connections: int = SEEK_CONNECTIONS, **methods: Handler
) -> Iterator[ExportClient]:
    """Yield a client of a server that has these methods only, and accepts every login."""
    methods = {"AuthenticateEx2": lambda _request, _context: GOOD_LOGIN, **methods}
    with futures.ThreadPoolExecutor(8) as pool:
        server = grpc.server(pool)
        server.add_generic_rpc_handlers([_service(descriptor, methods) for descriptor in _SERVICES])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        credentials = Credentials(USER, write_password(tmp_path / "password"))
        link = Link(Endpoint("127.0.0.1", port), None, credentials, least_connections=least_connections)
        with contextlib.closing(link):
            yield ExportClient(link)
        server.stop(0).wait()


def _service(descriptor: ServiceDescriptor, methods: dict[str, Handler]) -> "grpc.GenericRpcHandler[Any, Any]":
    handlers = {}
    for method in descriptor.methods:
        if method.name in methods:
            streaming = method.server_streaming
            make = grpc.unary_stream_rpc_method_handler if streaming else grpc.unary_unary_rpc_method_handler
            handlers[method.name] = make(
                methods[method.name],
                GetMessageClass(method.input_type).FromString,
                GetMessageClass(method.output_type).SerializeToString,
            )
    return grpc.method_handlers_generic_handler(descriptor.full_name, handlers)

"""The simulator as a whole: puts its parts together, starts and ends them.

Concurrency: gRPC's worker threads answer calls, the agent's thread exports, the
engine's condition keeps them apart. `start` and `stop` belong to one thread.
"""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from axxonfs.core.timers import scaled
from axxonfs.simulator.agent import Agent, Export
from axxonfs.simulator.calls import CallLog
from axxonfs.simulator.certificates import Change, change_certificate, ensure_certificates
from axxonfs.simulator.clips import ClipWriter, DiscreteWriter
from axxonfs.simulator.config import SimulatorConfig
from axxonfs.simulator.domain_service import DomainService
from axxonfs.simulator.download import Prepared
from axxonfs.simulator.export_service import ExportService
from axxonfs.simulator.faults import Faults
from axxonfs.simulator.gate import Gate
from axxonfs.simulator.login_service import PUBLIC, LoginService
from axxonfs.simulator.logins import Logins
from axxonfs.simulator.plan import Plan, check_agent, make_plan
from axxonfs.simulator.records import SessionRecord
from axxonfs.simulator.samples import sample_sessions
from axxonfs.simulator.sessions import Sessions
from axxonfs.simulator.site import make_site
from axxonfs.simulator.stills import StillWriter
from axxonfs.simulator.store import Store
from axxonfs.simulator.switches import Switches
from axxonfs.simulator.writers import PatternWriter, Writer, seed_of
from axxonfs.wire import authentication_pb2, domain_pb2, export_pb2, export_service_pb2

# Each stream that a client lets wait holds one thread; tests stall dozens and still want answers.
_THREADS = 200
_EXPORT = export_service_pb2.DESCRIPTOR.services_by_name["ExportService"]
_DOMAIN = domain_pb2.DESCRIPTOR.services_by_name["DomainService"]
_LOGIN = authentication_pb2.DESCRIPTOR.services_by_name["AuthenticationService"]


class Simulator:
    """An Axxon One export server; a context manager, or `start`, `stop` (which may be repeated) and `close`.

    `switches` may be replaced at any time; calls that begin later meet the new ones.
    """

    def __init__(self, config: SimulatorConfig) -> None:
        self.config = config
        self.switches: Switches = config.switches
        self.port = config.port
        self._root, self._node = ensure_certificates(config.directory, config.node_name, config.san)
        self._site = make_site(config.node_name, config.cameras)
        self._store = Store(config.directory)
        self.calls = CallLog(config.call_log)
        self.faults = Faults()
        self._prepared = Prepared(config.prepared_bytes) if config.prepared_bytes else None
        self.logins = Logins(
            config.users,
            node_name=config.node_name,
            life_s=config.token_life_s / config.time_factor,
            limit=config.login_limit,
            clock=lambda: time.time() + config.clock_ahead_s,
            switches=self._current_switches,
        )
        timers = scaled(config.time_factor)
        self.sessions = Sessions(
            self._store,
            node_name=config.node_name,
            timers=timers,
            clock=time.time,
            switches=self._current_switches,
        )
        if not self.sessions.records():
            self.add_samples(config.sessions)
        self._agent = Agent(
            self.sessions,
            self._export,
            timers=timers,
            clock=time.time,
            switches=self._current_switches,
        )
        self._running: tuple[grpc.Server, ThreadPoolExecutor] | None = None

    @property
    def ca_file(self) -> Path:
        """The root's certificate."""
        return self._root.certificate_file

    @property
    def node_file(self) -> Path:
        """The server's own certificate."""
        return self._node.certificate_file

    @property
    def address(self) -> str:
        """Where it listens, as HOST:PORT or [IPV6]:PORT."""
        host = self.config.host
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Listen and work; OSError if the address cannot be had."""
        pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="simulator")
        server = self._make_server(pool)
        self.port = self._listen(server)
        server.start()
        self._agent.start()
        self._running = server, pool

    def stop(self) -> None:
        """End every call and stop listening; sessions stay, logins do not. `start` takes the same port again."""
        if self._running is None:
            return
        server, pool = self._running
        self._running = None
        server.stop(grace=None).wait()
        # Calls that were cut are still on their way out, and need the agent and the store for that.
        pool.shutdown()
        self._agent.stop()
        self.logins.revoke_all()

    def restart(self, *, forget: bool = False, away_s: float = 0.0) -> None:
        """Stop, stay away for a while, and start again; `forget` loses all sessions, as a reinstalled server does."""
        self.stop()
        if forget:
            self.sessions.remove_many([record.session_id for record in self.sessions.records()])
        time.sleep(away_s)
        self.start()

    def change_certificate(self, change: Change) -> None:
        """Restart with another certificate, see `certificates`."""
        self.stop()
        change_certificate(self.config.directory, self.config.node_name, self.config.san, change)
        self.start()

    def add_samples(self, count: int) -> list[str]:
        """Let as many finished sessions of somebody else appear, and return their ids."""
        samples = sample_sessions(self._site, count, int(time.time() * 1000), self.config.file_size_bytes)
        return self.sessions.add_many(samples)

    def close(self) -> None:
        """Stop for good."""
        self.stop()
        self.calls.close()
        self._store.close()

    def _make_server(self, pool: ThreadPoolExecutor) -> grpc.Server:
        # Without the option a second simulator would share the port silently.
        server = grpc.server(pool, options=[("grpc.so_reuseport", 0)])
        gate = Gate(self.calls, self.faults, self.logins, self._current_switches)
        exports = ExportService(
            self.sessions,
            self._store,
            self._check,
            self.config.users_without_export,
            self._current_switches,
            self._prepared,
        )
        domain = DomainService(self._site, self._current_switches)
        login = LoginService(self.logins)
        services = (
            gate.service(_EXPORT, exports.methods()),
            gate.service(_DOMAIN, domain.methods()),
            gate.service(_LOGIN, login.methods(), PUBLIC),
        )
        server.add_generic_rpc_handlers(services)
        _add_health(server)
        return server

    def _listen(self, server: grpc.Server) -> int:
        try:
            if self.config.plaintext:
                return server.add_insecure_port(self.address)
            pair = (self._node.key_pem(), self._node.certificate_pem())
            return server.add_secure_port(self.address, grpc.ssl_server_credentials([pair]))
        except RuntimeError as error:
            raise OSError(f"cannot listen on {self.address}: {self._why_not()}") from error

    def _why_not(self) -> str:
        """Return why nobody can listen there, which gRPC tells its own log only."""
        family = socket.AF_INET6 if ":" in self.config.host else socket.AF_INET
        try:
            with socket.socket(family) as probe:
                probe.bind((self.config.host, self.port))
        except OSError as error:
            return error.strerror or str(error)
        return "gRPC cannot"

    def _current_switches(self) -> Switches:
        return self.switches

    def _check(self, options: export_pb2.Options) -> None:
        check_agent(options, self._site, self.switches)
        self._plan(options, time.time())

    def _plan(self, options: export_pb2.Options, now_s: float) -> Plan:
        return make_plan(options, self._site, int(now_s * 1000), int(self.config.recorded_s * 1000), self.switches)

    def _export(self, record: SessionRecord) -> Export:
        plan = self._plan(record.options, record.started_s)
        return Export(record, plan, self._writer(record, plan), self.config.export_speed)

    def _writer(self, record: SessionRecord, plan: Plan) -> Writer:
        directory = self._store.directory_of(record)
        if self.config.file_size_bytes is not None or plan.kept != "here" or plan.empty:
            return PatternWriter(plan, self.config.file_size_bytes, seed_of(record.session_id))
        if plan.still:
            return StillWriter(plan, directory)
        return DiscreteWriter(plan, directory) if plan.discrete else ClipWriter(plan, plan.cameras, directory)


def _add_health(server: grpc.Server) -> None:
    servicer = health.HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)

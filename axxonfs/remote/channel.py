"""The connections to a server, and how a call is made over them.

Decides the options of the channels, that control and data never share a
connection (a copy over a slow line must not starve polling and keep-alive), that
each amount of bytes in flight has connections of its own, that every call has a
deadline and carries the token, and that a rejected token costs a fresh login and
another try, as long as there is time. Imports grpc. Thread-safe; calls block. Channels are made at the
first call or when they are warmed, so a process may fork before it. Facts:
section 2 of the wire contract and docs/design.md, "gRPC from Python".
"""

import contextlib
import ctypes
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar
from urllib.parse import quote

import grpc

from axxonfs.core import errors
from axxonfs.core.line import IN_FLIGHT_BYTES, NARROW_BYTES, SEEK_STEPS
from axxonfs.remote import filechunk
from axxonfs.remote.certificates import Certificate, Endpoint
from axxonfs.remote.credentials import Credentials
from axxonfs.remote.gate import gate, gated
from axxonfs.remote.login import Login, Metadata
from axxonfs.remote.refusals import Refusals
from axxonfs.remote.statuses import translated
from axxonfs.remote.trust import Trust, check_not_tls
from axxonfs.stubs.authentication_pb2_grpc import AuthenticationServiceStub
from axxonfs.stubs.domain_pb2_grpc import DomainServiceStub
from axxonfs.stubs.export_service_pb2_grpc import ExportServiceStub
from axxonfs.wire import export_service_pb2 as service

_Request = TypeVar("_Request")
_Reply = TypeVar("_Reply")
_Result = TypeVar("_Result")

_Options = tuple[tuple[str, int | str], ...]

_MIB = 1024 * 1024

LOOKUP_TIMEOUT_S = 10.0

# What a stream has in flight also uses up the window of its connection, for a
# round trip: a probe right after another one would wait for it (measured). They take turns.
SEEK_CONNECTIONS = 4
# Of the least step, for a mount: one for each stream that it has open by default. Sixteen players all
# begin with it, and four of them on one connection get less than they play (measured).
MOUNT_CONNECTIONS = 16

_OPTIONS: _Options = (
    # Identical channels would otherwise share one connection (measured).
    ("grpc.use_local_subchannel_pool", 1),
    # gRPC's 4 MiB are less than a chunk of 4096 KiB or a page of long listings; no limit would be no bound.
    ("grpc.max_receive_message_length", 16 * _MIB),
    # A server that is back is found within seconds; gRPC's default grows to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # In spite of its name this is how long one attempt to connect may take; default 20 s.
    ("grpc.min_reconnect_backoff_ms", 10_000),
    # Servers end connections that are pinged more often than every 5 minutes
    # ("too_many_pings"). What is wanted is what comes with it: sent bytes that are not
    # acknowledged within the timeout end the connection (TCP_USER_TIMEOUT; without it
    # a half-open one lives for 15 minutes). Shorter than a call's deadline, so that the
    # next call connects anew.
    ("grpc.keepalive_time_ms", 330_000),
    ("grpc.keepalive_timeout_ms", 8_000),
    # The certificate was checked over a direct connection; the calls go the same way.
    ("grpc.enable_http_proxy", 0),
    ("grpc.primary_user_agent", "axxonfs"),
)

# However many calls get no answer in time: one new connection in so many seconds. Shorter than their deadlines.
_SILENCE_S = 2.0

# For a handshake on this machine, however little time a failed login has left; 0 would not wait at all.
_LEAST_S = 0.5

# How grpc words a certificate that does not fit, and a name that does not.
_UNTRUSTED = ("CERTIFICATE_VERIFY_FAILED", "Custom verification check failed")


class Stubs(NamedTuple):
    """The services, over one connection."""

    authentication: AuthenticationServiceStub
    domain: DomainServiceStub
    exports: ExportServiceStub
    download: "grpc.UnaryStreamMultiCallable[service.DownloadFileRequest, filechunk.Chunk]"


class Connection:
    """One HTTP/2 connection, made when it is first asked for."""

    def __init__(self, endpoint: Endpoint, trust: Trust | None, options: _Options) -> None:
        self._endpoint = endpoint
        self.trust = trust
        self._options = options
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._stubs: Stubs | None = None
        self._closed = self._warmed = False
        self._made_s = 0.0
        self.alive_s = 0.0  # when something came last, on the monotonic clock

    def stubs(self) -> Stubs:
        """Return the services; ServerAwayError after `close`."""
        with gate, self._lock:
            if self._closed:
                raise errors.ServerAwayError(f"the connection to {self._endpoint} was closed")
            if self._stubs is None:
                self._channel = channel = self._connect()
                self._made_s = time.monotonic()
                self._stubs = _stubs(gated(channel, lambda: self._abandon(channel)))
            return self._stubs

    def warm(self) -> None:
        """Connect now, behind: whoever comes first does not pay for it."""
        self.stubs()
        with self._lock:
            if self._channel is not None and not self._warmed:
                self._warmed = True
                # It starts a thread that watches the channel, of which the gate need not know: before a fork the
                # channel is closed, and that waits until the thread is out of gRPC (measured).
                with contextlib.suppress(RuntimeError):  # there is no thread for it: then the first call connects
                    self._channel.subscribe(self._ignore, try_to_connect=True)

    def _ignore(self, state: grpc.ChannelConnectivity) -> None:
        """Let the watching thread of grpc go as soon as it has seen the connection."""
        with self._lock:
            if self._channel is not None and state is grpc.ChannelConnectivity.READY:
                self._channel.unsubscribe(self._ignore)

    def renew(self, since_s: float) -> None:
        """Let later calls connect anew if nothing came since then: it may be dead without knowing it.

        Calls in flight keep it until they end: it may only be slow.
        """
        with self._lock:
            if max(self._made_s, self.alive_s) < since_s:
                self._forget()

    def reset(self, trust: Trust) -> None:
        """End what there is; the next call connects anew."""
        self.trust = trust
        with gate:
            self.drop()

    def close(self) -> None:
        """End what there is, for good."""
        self._closed = True
        with gate:
            self.drop()

    def drop(self) -> None:
        """End what there is for now; the next call connects anew. The gate need not be open."""
        with self._lock:
            channel = self._channel
            self._forget()
        if channel is not None:
            channel.close()

    def _forget(self) -> None:
        """Have the next call connect anew; under the lock."""
        self._channel, self._stubs, self._warmed = None, None, False

    def _abandon(self, channel: grpc.Channel) -> None:
        """Connect anew, and let nobody take the channel to pieces: that waits for ever for its calls (measured)."""
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(channel))
        with self._lock:
            if self._channel is channel:
                self._forget()

    def _connect(self) -> grpc.Channel:
        # With the scheme spelt out, no host name can be taken for another one ("unix:1").
        target = f"dns:///{quote(str(self._endpoint), safe=':[]')}"
        if self.trust is None:
            return grpc.insecure_channel(target, self._options)
        options = (*self._options, ("grpc.ssl_target_name_override", self.trust.name))
        return grpc.secure_channel(target, grpc.ssl_channel_credentials(self.trust.root_pem), options)


def _stubs(channel: grpc.Channel) -> Stubs:
    method = service.DESCRIPTOR.services_by_name["ExportService"].methods_by_name["DownloadFile"]
    download = channel.unary_stream(
        f"/{method.containing_service.full_name}/{method.name}",
        request_serializer=service.DownloadFileRequest.SerializeToString,
        response_deserializer=filechunk.parse,
    )
    return Stubs(AuthenticationServiceStub(channel), DomainServiceStub(channel), ExportServiceStub(channel), download)


class Link:
    """A server, a login there, and the connections to it; close it when it is no longer needed.

    `retrust` is asked once the server shows another certificate than `trust` was
    made from: it returns a new trust (another of several pins), or raises the
    CertificateError that the calls then end with. `least_connections` are for the
    downloads with the least in flight, which are those that begin many at a time.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        trust: Trust | None,
        credentials: Credentials,
        *,
        retrust: Callable[[], Trust | None] | None = None,
        refusals: Refusals | None = None,
        in_flight_bytes: Sequence[int] = IN_FLIGHT_BYTES,
        least_connections: int = SEEK_CONNECTIONS,
    ) -> None:
        if trust is None and not endpoint.is_loopback:
            raise errors.ConfigurationError(f"no password goes to {endpoint} in the clear: give a trust")
        self._control = Connection(endpoint, trust, _OPTIONS)
        self._data = {
            step: [Connection(endpoint, trust, (*_OPTIONS, *_lookahead(step))) for _ in range(count)]
            for step, count in ((step, _connections(step, least_connections)) for step in in_flight_bytes)
        }
        self._turns = {step: itertools.cycle(connections) for step, connections in self._data.items()}
        self._retrust = retrust
        self._retrusting = threading.Lock()
        self.endpoint = endpoint
        self.login = Login(lambda: self._control.stubs().authentication, credentials, refusals=refusals)

    @property
    def certificate(self) -> Certificate | None:
        """The certificate that the server is trusted for; None in plaintext."""
        return self._control.trust.certificate if self._control.trust else None

    def log_in(self, timeout_s: float) -> Metadata:
        """Return what calls must carry, logged in where that is needed.

        Raises:
            ConfigurationError: the server speaks TLS, and this link does not.
            AxxonfsError: as Login.metadata.
        """
        deadline_s = time.monotonic() + timeout_s
        try:
            return self.login.metadata(timeout_s)
        except errors.ServerAwayError:
            if self._control.trust is None:
                check_not_tls(self.endpoint, max(_LEAST_S, _left_s(deadline_s)))
            raise

    @property
    def control(self) -> Stubs:
        """The services for everything but downloads; ServerAwayError after `close`."""
        return self._control.stubs()

    def data(self, in_flight_bytes: int) -> Connection:
        """Return a connection for a download with so much in flight, which is one of the steps."""
        return next(self._turns[in_flight_bytes])

    def distrust(self, silent_s: float) -> None:
        """Let later downloads connect anew where nothing came for so long."""
        for connection in itertools.chain.from_iterable(self._data.values()):
            connection.renew(time.monotonic() - silent_s)

    def warm(self, in_flight_bytes: int) -> None:
        """Connect behind what downloads with so much in flight will use; nothing after `close`. Never blocks."""
        with contextlib.suppress(errors.ServerAwayError):
            for connection in self._data[in_flight_bytes]:
                connection.warm()

    @property
    def _connections(self) -> Iterator[Connection]:
        """Everything to close, control last."""
        yield from itertools.chain.from_iterable(self._data.values())
        yield self._control

    def ask(
        self,
        method: "grpc.UnaryUnaryMultiCallable[_Request, _Reply]",
        request: _Request,
        doing: str,
        timeout_s: float,
        secrets: Sequence[str] = (),
    ) -> _Reply:
        """Make a call with one answer; `doing` names it in errors, `timeout_s` bounds it with its login.

        Should the server repeat what stands in `secrets`, errors do not.

        Raises:
            AxxonfsError: see the table in axxonfs.remote.statuses.
        """

        def once(metadata: Metadata, left_s: float) -> _Reply:
            return method(request, timeout=left_s, metadata=metadata)

        return self._with_token(once, doing, timeout_s, secrets)

    def collect(
        self, method: "grpc.UnaryStreamMultiCallable[_Request, _Reply]", request: _Request, doing: str, timeout_s: float
    ) -> list[_Reply]:
        """Make a call with a stream of answers and return them all, or raise as `ask`."""

        def once(metadata: Metadata, left_s: float) -> list[_Reply]:
            return list(method(request, timeout=left_s, metadata=metadata))

        return self._with_token(once, doing, timeout_s)

    @contextlib.contextmanager
    def authorised(self, doing: str, timeout_s: float, *, secrets: Sequence[str] = ()) -> Iterator[Metadata]:
        """Yield what a call must carry, and translate what the call raises; a rejected token is not used again.

        `secrets` are kept out of errors, as the token is.
        """
        metadata: Metadata = ()
        try:
            metadata = self._metadata(timeout_s)
            with translated(doing, [*secrets, *(value for _, value in metadata)]):
                yield metadata
        except errors.TokenRejectedError:
            self.login.reject(metadata)
            raise
        except errors.ServerAwayError as error:
            self._look_again(error)
            raise
        except errors.DeadlineError:
            self._heard_nothing()  # of a control call: downloads have no deadline
            raise

    def disconnect(self) -> None:
        """End all connections for now, as before a fork, which gRPC survives without any; the login stays.

        Calls that are in flight end with ServerAwayError; the next ones connect anew.
        """
        for connection in self._connections:
            connection.drop()

    def close(self) -> None:
        """Log out and end all connections; calls that are in flight end with ServerAwayError."""
        self.login.close()
        for connection in self._connections:
            connection.close()

    def _metadata(self, timeout_s: float) -> Metadata:
        try:
            return self.log_in(timeout_s)
        except (errors.UnavailableError, errors.ConfigurationError) as error:
            if isinstance(error, errors.DeadlineError):
                self._heard_nothing()
            raise errors.NotSentError(str(error)) from error

    def _heard_nothing(self) -> None:
        """Let later control calls connect anew: a middlebox that forgot the connection says nothing, ever."""
        self._control.renew(time.monotonic() - _SILENCE_S)

    def _look_again(self, error: errors.ServerAwayError) -> None:
        """Where a handshake failed, decide anew whether to trust the server; the next call profits."""
        if self._retrust is None or not any(words in str(error) for words in _UNTRUSTED):
            return
        if not self._retrusting.acquire(blocking=False):
            return
        try:
            trust = self._retrust()
            if trust is not None:  # never from TLS to plaintext
                for connection in self._connections:
                    connection.reset(trust)
        finally:
            self._retrusting.release()

    def _with_token(
        self,
        once: Callable[[Metadata, float], _Result],
        doing: str,
        timeout_s: float,
        secrets: Sequence[str] = (),
    ) -> _Result:
        """Make a call under one deadline; a rejected token costs a fresh login and another try while there is time."""
        deadline_s = time.monotonic() + timeout_s
        rejected: errors.TokenRejectedError | None = None
        while True:
            try:
                with self.authorised(doing, _left_s(deadline_s), secrets=secrets) as metadata:
                    return once(metadata, _left_s(deadline_s))
            except errors.TokenRejectedError as error:
                rejected = error
                if not _left_s(deadline_s):
                    raise
            except (errors.LoginDelayedError, errors.NotSentError) as error:
                # The server's words to the token say more than that there is no time for another login.
                late = isinstance(error, errors.LoginDelayedError) or not _left_s(deadline_s)
                raise (rejected if rejected and late else error) from error


def _connections(in_flight_bytes: int, least: int) -> int:
    if in_flight_bytes == NARROW_BYTES:
        return least
    # What is for runs waits for no window.
    return SEEK_CONNECTIONS if in_flight_bytes in SEEK_STEPS else 1


def _lookahead(size_bytes: int) -> _Options:
    # Without the probe, which lets 4 to 27 MiB of an unread stream pile up (measured), lookahead bounds it.
    return (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", size_bytes))


def _left_s(deadline_s: float) -> float:
    return max(0.0, deadline_s - time.monotonic())

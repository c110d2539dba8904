"""What every call passes on its way in and out: the log, the faults, the login.

Decides nothing about exports. Turns services (plain methods that return or yield
messages, and raise Refusal) into gRPC handlers; everything leaves here as
serialised bytes, because a stream of chunks must not build a message for each.
Runs in gRPC's worker threads, one per call; the objects it uses lock themselves.

Source: the wire contract, sections 1.1, 1.8 and 2.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from axxonfs.simulator.calls import Call, CallLog
from axxonfs.simulator.faults import Fault, Faults
from axxonfs.simulator.logins import TOKEN_NAME, Logins, Token
from axxonfs.simulator.refusal import Refusal
from axxonfs.simulator.spoiling import spoilt_message
from axxonfs.simulator.switches import Switches

# Field 1999 with a text, which no definition knows: 1999 << 3 | 2 as a varint, then the length.
_UNKNOWN_FIELD = b"\xfa\x7c\x0aip_devices"
_NOBODY = Token("", "", 0.0)


@dataclasses.dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and which faults the call meets."""

    token: Token
    token_value: str
    faults: tuple[Fault, ...]

    @property
    def user(self) -> str:
        """The name of the account; empty for calls that need no login."""
        return self.token.user


# Takes the method's own request; returns its reply, or yields its replies (bytes are taken as serialised).
Method = Callable[[Any, Caller], Any]


class Gate:
    """Wraps the methods of services."""

    def __init__(self, calls: CallLog, faults: Faults, logins: Logins, switches: Callable[[], Switches]) -> None:
        self._calls = calls
        self._faults = faults
        self._logins = logins
        self._switches = switches

    def service(
        self, descriptor: ServiceDescriptor, methods: Mapping[str, Method], public: frozenset[str] = frozenset()
    ) -> "grpc.GenericRpcHandler[Any, Any]":
        """Return the handler of a whole service; methods in `public` need no login."""
        handlers = {}
        for method in descriptor.methods:
            wrapped = self._streaming if method.server_streaming else self._single
            make = (
                grpc.unary_stream_rpc_method_handler if method.server_streaming else grpc.unary_unary_rpc_method_handler
            )
            parse = GetMessageClass(method.input_type).FromString
            handlers[method.name] = make(
                wrapped(method.name, methods[method.name], public=method.name in public), parse
            )
        return grpc.method_handlers_generic_handler(descriptor.full_name, handlers)

    def _single(self, name: str, method: Method, *, public: bool) -> Callable[[Message, grpc.ServicerContext], bytes]:
        def answer(request: Message, context: grpc.ServicerContext) -> bytes:
            with self._logged(name, request, context):
                caller = self._admit(name, request, context, public=public)
                reply = self._serialised(spoilt_message(method(request, caller), caller.faults))
                _lose_reply(caller)
                return reply

        return answer

    def _streaming(
        self, name: str, method: Method, *, public: bool
    ) -> Callable[[Message, grpc.ServicerContext], Iterator[bytes]]:
        def answer(request: Message, context: grpc.ServicerContext) -> Iterator[bytes]:
            with self._logged(name, request, context) as call:
                caller = self._admit(name, request, context, public=public)
                for message in self._disturbed(method(request, caller), caller, context):
                    call.messages += 1
                    yield self._serialised(spoilt_message(message, caller.faults))

        return answer

    @contextlib.contextmanager
    def _logged(self, name: str, request: Message, context: grpc.ServicerContext) -> Iterator[Call]:
        """Enter the call into the log, turn a Refusal into its status, and write down how the call ended."""
        call = self._calls.begin(name, request)
        status = "UNKNOWN"
        try:
            yield call
            status = "OK" if context.is_active() else "CANCELLED"
        except Refusal as refusal:
            status = refusal.code
            context.abort(grpc.StatusCode[refusal.code], refusal.details)
        except GeneratorExit:
            status = "CANCELLED"
            raise
        finally:
            self._calls.end(call, status)

    def _admit(self, name: str, request: Message, context: grpc.ServicerContext, *, public: bool) -> Caller:
        """Apply the faults that come before a call does anything, then check its token."""
        faults = self._faults.take(name, getattr(request, "session_id", ""))
        if faults:
            context.add_callback(self._faults.wake)
        for fault in faults:
            if fault.action == "delay":
                self._faults.hold(fault, lambda: not context.is_active(), fault.delay_s)
            if fault.action == "status":
                raise Refusal(fault.status, fault.details)
        token_value = str(dict(context.invocation_metadata()).get(TOKEN_NAME, ""))
        return Caller(_NOBODY if public else self._logins.check(token_value), token_value, faults)

    def _disturbed(
        self, messages: Iterable[Message | bytes], caller: Caller, context: grpc.ServicerContext
    ) -> Iterator[Message | bytes]:
        sent = 0
        for message in messages:
            if self._ends(caller, sent, context):
                return
            yield message
            sent += 1
        self._ends(caller, sent, context)

    def _ends(self, caller: Caller, sent: int, context: grpc.ServicerContext) -> bool:
        """Apply what befalls a stream after `sent` messages; return whether it ends here as if complete."""
        if self._switches().token_cuts_streams:
            self._logins.check(caller.token_value)
        for fault in caller.faults:
            if fault.action == "slow" and sent >= fault.after_chunks:
                self._faults.hold(fault, lambda: not context.is_active(), fault.delay_s)
            if fault.after_chunks == sent and self._strikes(fault, context):
                return True
        return False

    def _strikes(self, fault: Fault, context: grpc.ServicerContext) -> bool:
        if fault.action == "stall":
            self._faults.hold(fault, lambda: not context.is_active())
        if fault.action == "cut":
            raise Refusal(fault.status, fault.details)
        return fault.action == "end"

    def _serialised(self, message: Message | bytes) -> bytes:
        data = message if isinstance(message, bytes) else message.SerializeToString()
        return data + _UNKNOWN_FIELD if self._switches().unknown_fields else data


def _lose_reply(caller: Caller) -> None:
    for fault in caller.faults:
        if fault.action == "lose_reply":
            raise Refusal(fault.status, fault.details)

"""Calls whose outcome is looked at as it comes: status, words, messages. For finding out what a server does.

Decides nothing, retries nothing, and raises no domain errors but the login's. Imports grpc. Blocking.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import grpc
from google.protobuf.message import Message

from axxonfs.core import errors
from axxonfs.core.line import NARROW_BYTES
from axxonfs.remote.channel import Link, Stubs
from axxonfs.remote.statuses import domain_error, printable
from axxonfs.wire.export_service_pb2 import DownloadFileRequest

_LOGIN_TIMEOUT_S = 10.0


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """How a call ended: the name of its status, the server's words, and the messages that came before."""

    status: str
    words: str
    messages: tuple[Any, ...]
    lost: errors.UnavailableError | None = None  # of a call that the server may have carried out all the same

    @property
    def is_ok(self) -> bool:
        """Whether the server took the call."""
        return self.status == "OK"


class Probe:
    """Makes calls over the connections of a link."""

    def __init__(self, link: Link, timeout_s: float) -> None:
        self._link = link
        self._timeout_s = timeout_s

    def ask(self, method: str, request: Message) -> Answer:
        """Make a call of ExportService with one answer."""
        return self._outcome(lambda stubs, options: iter([getattr(stubs.exports, method)(request, **options)]))

    def listing(self, service: str, method: str, request: Message) -> Answer:
        """Make a call with a stream of answers, to its end; `service` is `exports` or `domain`."""
        return self._outcome(lambda stubs, options: getattr(getattr(stubs, service), method)(request, **options))

    def chunks(
        self,
        request: DownloadFileRequest,
        most: int,
        *,
        between: Callable[[int], None] | None = None,
        timeout_s: float = 0.0,
    ) -> Answer:
        """Download `most` chunks at most; `between` is called after each with how many came."""

        def call(_: Stubs, options: dict[str, Any]) -> Iterator[Any]:
            options["timeout"] = timeout_s or self._timeout_s
            stream = self._link.data(NARROW_BYTES).stubs().download(request, **options)
            for number, chunk in enumerate(itertools.islice(stream, most), 1):
                yield chunk
                if between is not None:
                    between(number)
            stream.cancel()  # type: ignore[no-untyped-call]  # the stubs leave it bare

        return self._outcome(call)

    def _outcome(self, call: Callable[[Stubs, dict[str, Any]], Iterator[Any]]) -> Answer:
        metadata = self._link.login.metadata(_LOGIN_TIMEOUT_S)
        hide = [value for _, value in metadata]
        messages: list[Any] = []
        try:
            for message in call(self._link.control, {"metadata": metadata, "timeout": self._timeout_s}):
                messages.append(message)  # noqa: PERF402 - what came before a failure counts
        except grpc.RpcError as error:
            status = error.code().name if isinstance(error, grpc.Call) else "no status"
            words = (error.details() or "") if isinstance(error, grpc.Call) else str(error)
            return Answer(status, printable(words, hide), tuple(messages), _lost(error, hide))
        return Answer("OK", "", tuple(messages))


def _lost(error: grpc.RpcError, hide: Iterable[str]) -> errors.UnavailableError | None:
    match domain_error(error, "hear an answer", hide):
        case errors.NotSentError():
            return None
        case errors.UnavailableError() as failure:
            return failure
    return None

"""The one table from gRPC status to domain error, and the border that applies it.

Decides what a failed call means and what its text says: the server's words on
one line, never a token. Imports grpc. Holds no state, so any thread may use it.
Facts: section 6.5 of the wire contract.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping

import grpc

from axxonfs.core import errors

# Every status but OK stands here. Doubtful rows:
# - NOT_FOUND is about the session even in DownloadFile: the results go together
#   with it, and a path is never asked for that the session did not list.
# - FAILED_PRECONDITION and ALREADY_EXISTS will say the same when asked again, so
#   they are a refusal. OUT_OF_RANGE is, too: we know the size and never ask past it.
# - UNIMPLEMENTED is an older server that lacks a call: no retry helps, but for logins, which every server has.
# - RESOURCE_EXHAUSTED is the server's load or a message beyond our bound, not a
#   wrong request: it is worth another try later.
# - CANCELLED is never our own cancel, which its caller knows about before it looks
#   at a status; so the server or a proxy dropped the call, or the link was closed.
# - INTERNAL stands for passing faults of the server's own bus. Its one lasting use
#   that is known, a name that does not resolve, is told by its words, below.
_TABLE: Mapping[grpc.StatusCode, type[errors.AxxonfsError]] = {
    grpc.StatusCode.NOT_FOUND: errors.SessionGoneError,
    grpc.StatusCode.PERMISSION_DENIED: errors.AccessError,
    grpc.StatusCode.UNAUTHENTICATED: errors.TokenRejectedError,
    grpc.StatusCode.INVALID_ARGUMENT: errors.RefusedError,
    grpc.StatusCode.FAILED_PRECONDITION: errors.RefusedError,
    grpc.StatusCode.OUT_OF_RANGE: errors.RefusedError,
    grpc.StatusCode.UNIMPLEMENTED: errors.NotServedError,
    grpc.StatusCode.ALREADY_EXISTS: errors.RefusedError,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineError,
    grpc.StatusCode.UNAVAILABLE: errors.ServerAwayError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.ServerAwayError,
    grpc.StatusCode.CANCELLED: errors.ServerAwayError,
    grpc.StatusCode.ABORTED: errors.ServerAwayError,
    grpc.StatusCode.DATA_LOSS: errors.ServerAwayError,
    grpc.StatusCode.INTERNAL: errors.ServerAwayError,
    grpc.StatusCode.UNKNOWN: errors.ServerAwayError,
}

# Said with INTERNAL for an access point that does not exist. With UNAVAILABLE the
# same words mean that its node is offline, and then a later try may succeed.
_UNRESOLVED = "Can't resolve reference to"

# grpc's own words for a call that waited for a connection which did not come about.
_UNCONNECTED = "failed to connect to all addresses"

# What a server says reaches logs and the texts of the mount; it is held to this.
_WORDS_LIMIT = 500


@contextlib.contextmanager
def translated(doing: str, hide: Iterable[str] = ()) -> Iterator[None]:
    """Turn what grpc raises inside into a domain error.

    `doing` names the call for people, as in "stop the export"; what stands
    in `hide` (tokens, passwords) is blotted out of the server's words.
    """
    try:
        yield
    except grpc.RpcError as error:
        raise domain_error(error, doing, hide) from error
    except ValueError as error:
        # The only way in which grpc says that its channel was closed under a call.
        if "closed" not in str(error).lower():
            raise
        raise errors.ServerAwayError(f"cannot {doing}: the connection was closed") from error


def domain_error(error: grpc.RpcError, doing: str, hide: Iterable[str] = ()) -> errors.AxxonfsError:
    """Return the domain error for a failed call."""
    # Every RpcError that a call raises is the call, too; the stubs do not say so.
    status, words = (error.code(), error.details()) if isinstance(error, grpc.Call) else (None, str(error))
    return _kind(status, words or "")(_text(status, doing, printable(words or "", hide)))


def printable(words: str, hide: Iterable[str] = ()) -> str:
    """Return the server's words on one line of bounded length, without the words in `hide`."""
    for secret in filter(None, hide):
        words = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", words)
    line = " ".join("".join(character if character.isprintable() else " " for character in words).split())
    return line if len(line) <= _WORDS_LIMIT else f"{line[: _WORDS_LIMIT - 3]}..."


def _kind(status: grpc.StatusCode | None, words: str) -> type[errors.AxxonfsError]:
    if status is grpc.StatusCode.UNAVAILABLE and words.startswith(_UNCONNECTED):
        return errors.NotSentError
    if status is grpc.StatusCode.INTERNAL and words.startswith(_UNRESOLVED):
        return errors.NotServedError
    return _TABLE.get(status, errors.ServerAwayError) if status else errors.ServerAwayError


def _text(status: grpc.StatusCode | None, doing: str, words: str) -> str:
    if status is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"cannot {doing}: no answer in time"
    name = status.name if status else "no status"
    return f"cannot {doing}: {words} ({name})" if words else f"cannot {doing}: {name}"

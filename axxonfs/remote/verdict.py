"""What the server's answer to a login means: usable, refused, or not now.

Decides which of the two every code is, in words for people, and how long an
account is left alone. Pure: no I/O, no clock, no grpc. Facts: sections 1.6 and 2
of the wire contract.
"""

import re
from collections.abc import Iterable

from axxonfs.core import errors
from axxonfs.remote.statuses import printable
from axxonfs.wire import authentication_pb2 as wire

# Guessed: servers lock an account after a handful of failures and unlock it after
# minutes, and this must not be what keeps it locked.
_FIRST_DELAY_S = 15.0
_LONGEST_DELAY_S = 300.0

# After tokens that were rejected as soon as they were given. Guessed: each login leaves a connection behind until
# its token ends, and servers limit how many there are; a server that only restarted accepts the second.
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 15.0

_Code = wire.EAuthenticateCode

# A later try may succeed although nothing changes here.
_DELAYED = {
    _Code.AUTHENTICATE_CODE_GENERAL_ERROR: "the server could not log this account in",
    _Code.AUTHENTICATE_CODE_USER_LOCKED: "the account is locked",
    _Code.AUTHENTICATE_CODE_IP_BLOCKED: "the server blocks this machine's address",
    _Code.AUTHENTICATE_CODE_ALREADY_LOGGED: "the account is logged in elsewhere and may be so only once",
    _Code.AUTHENTICATE_CODE_TIMEZONE_DENIED: "the account may not log in at this time of day",
}

# Trying again is useless, or worse: it locks the account.
_SECOND_FACTOR = "the account asks for a second factor: give the mount an account of its own without one"
_REFUSED = {
    _Code.AUTHENTICATE_CODE_WRONG_CREDENTIALS: "user name or password is wrong",
    _Code.AUTHENTICATE_CODE_PASSWORD_INVALID: "the password does not meet the server's rules any more: change it there",
    _Code.AUTHENTICATE_CODE_WRONG_SUPERVISOR_ROLE: "the account asks for a supervisor: give the mount one without",
    _Code.AUTHENTICATE_CODE_SECOND_FACTOR_AUTH_NEEDED: _SECOND_FACTOR,
    _Code.AUTHENTICATE_CODE_TFA_WRONG_CODE: _SECOND_FACTOR,
    _Code.AUTHENTICATE_CODE_TFA_NOT_ENABLED: _SECOND_FACTOR,
    _Code.AUTHENTICATE_CODE_TFA_TYPE_MISMATCH: _SECOND_FACTOR,
    _Code.AUTHENTICATE_CODE_TFA_TYPE_UNSUPPORTED: _SECOND_FACTOR,
    _Code.AUTHENTICATE_CODE_TFA_ATTEMPT_LIMIT_EXCEEDED: _SECOND_FACTOR,
    _Code.AUTHENTICATE_CODE_TFA_TIME_EXCEEDED: _SECOND_FACTOR,
}

# What HTTP/2 takes as metadata. grpc refuses the rest with a ValueError that shows
# the token, and -bin and grpc- mean something of its own to it.
_TOKEN_NAME = re.compile(r"(?!grpc-)[a-z0-9_.-]+(?<!-bin)")
_TOKEN_VALUE = re.compile(r"[\x21-\x7e]+(?: +[\x21-\x7e]+)*")


def retry_delay_s(failures: int, jitter: float) -> float:
    """Return how long to leave an account alone after `failures` (>= 1) delayed logins; jitter is in 0..1.

    Doubles up to a bound; the jitter takes away up to half, so that many mounts
    do not come back at once.
    """
    longest = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2.0 ** min(failures - 1, 16))
    return longest * (1 - jitter / 2)


def rejection_pause_s(in_a_row: int, jitter: float) -> float:
    """Return how long after the last of `in_a_row` (>= 0) rejected young tokens to log in again; jitter is in 0..1.

    Not at all after one: it may just have been the server that restarted.
    """
    if in_a_row < 2:  # noqa: PLR2004 - a row of one is none
        return 0.0
    longest = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(in_a_row - 2, 16))
    return longest * (1 - jitter / 2)


def verdict(answer: wire.AuthenticateResponseEx, secrets: Iterable[str] = ()) -> errors.AccessError | None:
    """Return why an answer to a login is none, without a word of `secrets`; None for one that can be used.

    A code that is not known here counts as delayed: it is not the one for wrong
    credentials, and a mount should come back by itself.
    """
    description = answer.error_description
    said = f" ({printable(description.description, secrets)})" if description.description else ""
    if description.reached_connection_limit.value:
        return errors.LoginDelayedError(f"the server has too many connections of this kind{said}")
    if description.incorrect_client_type.value:
        return errors.LoginRefusedError(f"the account may not be used by this kind of client{said}")
    if answer.error_code in _REFUSED:
        return errors.LoginRefusedError(_REFUSED[answer.error_code] + said)
    if answer.error_code != _Code.AUTHENTICATE_CODE_OK:
        words = _DELAYED.get(answer.error_code, f"the server answers with code {answer.error_code}")
        return errors.LoginDelayedError(words + said)
    return _unfinished(answer)


def _unfinished(answer: wire.AuthenticateResponseEx) -> errors.AccessError | None:
    traits = answer.credential_traits
    if traits.password_must_be_changed or traits.username_must_be_changed:
        what = "password" if traits.password_must_be_changed else "user name"
        return errors.LoginRefusedError(f"the {what} must be changed first: log in once with the vendor's client")
    if not (_TOKEN_NAME.fullmatch(answer.token_name.lower()) and _TOKEN_VALUE.fullmatch(answer.token_value)):
        return errors.LoginDelayedError("the server accepted the login but gave no token that can be used")
    return None

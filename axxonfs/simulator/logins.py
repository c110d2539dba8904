"""Who is logged in: passwords, tokens, their life and their renewal.

Decides what each login attempt, renewal and token is answered. Pure but for the
random values of tokens; the clock is handed in. Thread-safe: one lock. Tokens
look like the JWTs of the real server (claims aud, exp, iat, iss, lgn, rls, sid,
sub), but only the table here says which are valid; it does not survive a
restart, so clients of a restarted simulator log in again.

Source: the wire contract, sections 1.6 and 2.
"""

import base64
import dataclasses
import json
import secrets
import threading
import uuid
from collections.abc import Callable, Mapping

from axxonfs.simulator.refusal import Refusal
from axxonfs.simulator.switches import Switches
from axxonfs.simulator.times import utc
from axxonfs.wire import authentication_pb2 as wire

TOKEN_NAME = "auth_token"  # noqa: S105  the name of the metadata key, not a secret
_OK = wire.EAuthenticateCode.AUTHENTICATE_CODE_OK
_GENERAL = wire.EAuthenticateCode.AUTHENTICATE_CODE_GENERAL_ERROR
_WRONG = wire.EAuthenticateCode.AUTHENTICATE_CODE_WRONG_CREDENTIALS
_CODES: Mapping[str, wire.EAuthenticateCode.ValueType] = {
    "general": _GENERAL,
    "locked": wire.EAuthenticateCode.AUTHENTICATE_CODE_USER_LOCKED,
    "ip_blocked": wire.EAuthenticateCode.AUTHENTICATE_CODE_IP_BLOCKED,
    "already_logged": wire.EAuthenticateCode.AUTHENTICATE_CODE_ALREADY_LOGGED,
    "second_factor": wire.EAuthenticateCode.AUTHENTICATE_CODE_SECOND_FACTOR_AUTH_NEEDED,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Token:
    """A token that was given out: for whom, in which login, and until when (clock seconds)."""

    user: str
    login_id: str
    ends_s: float


class Logins:
    """The accounts and the tokens given out."""

    def __init__(
        self,
        users: Mapping[str, str],
        *,
        node_name: str,
        life_s: float,
        limit: int,
        clock: Callable[[], float],
        switches: Callable[[], Switches],
    ) -> None:
        self._lock = threading.Lock()
        self._users = dict(users)
        self._tokens: dict[str, Token] = {}
        self._node_name = node_name
        # expires_in has whole seconds, so a shorter life could not be told to the client.
        self._life_s = max(1.0, life_s)
        self._limit = limit
        self._clock = clock
        self._switches = switches

    def log_in(self, user: str, password: str) -> wire.AuthenticateResponseEx:
        """Answer AuthenticateEx2: always OK for gRPC, with the outcome in error_code."""
        with self._lock:
            expected = self._users.get(user)
            if expected is None or not secrets.compare_digest(expected.encode(), password.encode()):
                return _refused(_WRONG, "Wrong credentials")
            answer = self._switches().login
            if answer in _CODES:
                return _refused(_CODES[answer], answer)
            if answer == "limit" or self._is_full():
                return _refused(_GENERAL, "Connection limit reached", limit=True)
            return self._give(user, str(uuid.uuid4()))

    def renew(self, token_value: str) -> wire.AuthenticateResponseEx:
        """Answer RenewSession2: another token for the same login; the old one lives to its own end."""
        token = self.check(token_value)
        with self._lock:
            return self._give(token.user, token.login_id)

    def check(self, token_value: str | None) -> Token:
        """Return what a token stands for; Refusal if there is none or it is not, or no longer, valid."""
        if not token_value:
            raise Refusal("UNAUTHENTICATED", "missing auth token")
        with self._lock:
            token = self._tokens.get(token_value)
        if token is None or token.ends_s <= self._clock():
            raise Refusal("UNAUTHENTICATED", "auth token is invalid or expired")
        return token

    def log_out(self, token_value: str) -> None:
        """Answer CloseSession: every token of this login ends, other logins go on."""
        login_id = self.check(token_value).login_id
        with self._lock:
            self._tokens = {value: token for value, token in self._tokens.items() if token.login_id != login_id}

    def set_password(self, user: str, password: str) -> None:
        """Create an account or change its password; tokens already given out stay valid."""
        with self._lock:
            self._users[user] = password

    def revoke_all(self) -> None:
        """End every token at once, as if its time had come."""
        with self._lock:
            self._tokens.clear()

    def tokens(self) -> tuple[str, ...]:
        """Return the values of all tokens that were given out and not taken back: for tests that look for leaks."""
        with self._lock:
            return tuple(self._tokens)

    def open_logins(self) -> int:
        """Return how many logins have a token that is still valid."""
        with self._lock:
            return self._count()

    def _is_full(self) -> bool:
        return bool(self._limit) and self._count() >= self._limit

    def _count(self) -> int:
        now = self._clock()
        self._tokens = {value: token for value, token in self._tokens.items() if token.ends_s > now}
        return len({token.login_id for token in self._tokens.values()})

    def _give(self, user: str, login_id: str) -> wire.AuthenticateResponseEx:
        now = self._clock()
        token = Token(user, login_id, now + self._life_s)
        value = _jwt_like(token, int(now), self._node_name)
        self._tokens[value] = token
        return wire.AuthenticateResponseEx(
            token_name=TOKEN_NAME,
            token_value=value,
            expires_at=utc(int(token.ends_s) * 1000).strftime("%Y%m%dT%H%M%S"),
            expires_in=int(self._life_s),
            user_id=_id_of(user),
            roles_ids=[_id_of("admin")],
            credential_traits=wire.CredentialTraits(),
            error_code=_OK,
        )


def _refused(
    code: wire.EAuthenticateCode.ValueType, description: str, *, limit: bool = False
) -> wire.AuthenticateResponseEx:
    answer = wire.AuthenticateResponseEx(error_code=code)
    answer.error_description.description = description
    if limit:
        answer.error_description.reached_connection_limit.value = True
    return answer


def _id_of(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


def _jwt_like(token: Token, now: int, node_name: str) -> str:
    header = {"alg": "RS256", "typ": "JWT"}
    claims = {
        "aud": "*.*",
        "exp": int(token.ends_s),
        "iat": now,
        "iss": node_name,
        "lgn": token.user,
        "rls": [_id_of("admin")],
        "sid": token.login_id,
        "sub": _id_of(token.user),
    }
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), secrets.token_bytes(256)]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)

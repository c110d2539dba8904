"""One login at the server: its token, when it is renewed, and when no login is tried at all.

Decides when credentials may be tried (a refusal stands until they change, a
locked account is left alone for a while, a server that rejects the tokens it
gives is asked more and more slowly), and that one thread at a time logs in while
the others wait for its result. Tokens live in memory only and are shown
nowhere. Imports grpc by way of the stubs. Thread-safe: one lock is held over the
network, never longer than the deadline of the call that took it. Facts: sections
1.6 and 2 of the wire contract.
"""

import contextlib
import dataclasses
import enum
import logging
import random
import threading
import time
from collections.abc import Callable, Hashable, Iterator

from axxonfs.core import errors
from axxonfs.core.clocks import ClockDifference, clock_difference
from axxonfs.remote.credentials import Credentials, Password, PasswordFile, PasswordVariable
from axxonfs.remote.refusals import Refusals
from axxonfs.remote.statuses import translated
from axxonfs.remote.verdict import rejection_pause_s, retry_delay_s, verdict
from axxonfs.stubs.authentication_pb2_grpc import AuthenticationServiceStub
from axxonfs.wire import authentication_pb2 as wire

__all__ = ["Credentials", "Login", "Metadata", "PasswordFile", "PasswordVariable", "retry_delay_s", "verdict"]

Metadata = tuple[tuple[str, str], ...]

_log = logging.getLogger(__name__)

_RENEW_AT = 0.5  # of a token's life: a renewal that fails can be tried again several times before the end
_RETRY_AT = 0.25  # of what is left, after a renewal that failed
_DEFAULT_LIFE_S = 300  # measured with a 3.0 server; for an answer without expires_in
# A token that was rejected sooner than this after it was given says that the next one may fare no better. Guessed.
_YOUNG_S = 10.0
_IDLE_S = 30.0  # until somebody should look again where there is no token: the next call logs in anyway
_CLOSED = "cannot log in: this connection was closed"
_CLOSE_TIMEOUT_S = 2.0  # an unmount has 10 s for everything

_REFUSALS = (errors.AccessError, errors.InvalidError, errors.SessionGoneError)


@dataclasses.dataclass(frozen=True, slots=True)
class _Token:
    """What later calls carry; times are on the clock of its Login."""

    metadata: Metadata = dataclasses.field(repr=False)
    given_at_s: float
    renew_at_s: float
    ends_at_s: float
    rejected_before: int = 0  # how many in a row were rejected young, before this one

    @classmethod
    def of(cls, answer: wire.AuthenticateResponseEx, asked_at_s: float, rejected_before: int = 0) -> "_Token":
        life_s = answer.expires_in if answer.expires_in > 0 else _DEFAULT_LIFE_S
        metadata = ((answer.token_name.lower(), answer.token_value),)
        renew_at_s, ends_at_s = asked_at_s + life_s * _RENEW_AT, asked_at_s + life_s
        return cls(metadata, asked_at_s, renew_at_s, ends_at_s, rejected_before)

    def later(self, now: float) -> "_Token":
        """Return it with the next renewal put off, after one that failed."""
        return dataclasses.replace(self, renew_at_s=now + (self.ends_at_s - now) * _RETRY_AT)


@dataclasses.dataclass(frozen=True, slots=True)
class _Rejection:
    """A token that the server did not accept, and when it first said so."""

    token: _Token
    at_s: float
    was_of_use: bool  # before that

    @property
    def in_a_row(self) -> int:
        """How many tokens were rejected young, one after another; 0 for one that was good for a while, or of use."""
        is_young = self.at_s - self.token.given_at_s < _YOUNG_S
        return self.token.rejected_before + 1 if is_young and not self.was_of_use else 0


@dataclasses.dataclass(frozen=True, slots=True)
class _Refused:
    """No login is tried until the credentials change."""

    words: str
    version: Hashable = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class _Delayed:
    """No login is tried before a time on the clock of the Login."""

    words: str
    until_s: float
    failures: int


class Standing(enum.StrEnum):
    """How a login is."""

    OK = "ok"  # there is a token that can be used
    REFUSED = "refused"  # the password is not tried again until it changes
    DELAYED = "delayed"  # the account cannot log in now
    NONE = "none"  # it was not tried since the last token ended, or the server did not answer


class Login:
    """The login of one link; `service` gives the stub to call, made only when it is needed."""

    def __init__(
        self,
        service: Callable[[], AuthenticationServiceStub],
        credentials: Credentials,
        *,
        refusals: Refusals | None = None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._service = service
        self._credentials = credentials
        self._refusals = refusals
        self._clock = clock
        self._jitter = jitter
        self._wall_clock = wall_clock
        self.clock_difference: ClockDifference | None = None  # as the last answer told it
        self.token_life_s: int | None = None  # as the last login told it
        self._lock = threading.Lock()
        self._token: _Token | None = None
        self._hold: _Refused | _Delayed | None = None
        self._rejection: _Rejection | None = None
        self._of_use: Metadata = ()  # the token that a download was last served with
        self._closed = threading.Event()

    def metadata(self, timeout_s: float) -> Metadata:
        """Return what a call must carry; logs in where there is no valid token, and renews one that is due.

        Raises:
            LoginRefusedError: the server refused these credentials, now or before.
            LoginDelayedError: the account cannot log in now; no call is made before the next try is due. A pause that
                is shorter than `timeout_s`, after tokens that were rejected, is waited for.
            CredentialsError: there is no password to be read.
            UnavailableError: the server did not answer within `timeout_s`.
        """
        token = self._usable()
        if token is None:
            return self._fresh(timeout_s)
        if self._clock() >= token.renew_at_s:
            return self._renewed_in_passing(token, timeout_s)
        return token.metadata

    def reject(self, metadata: Metadata) -> None:
        """Never use the token again that the server did not accept.

        A right password stays right: the next call logs in anew. Only where fresh
        tokens are rejected one after another are logins made more and more slowly,
        for each leaves a connection behind that the server counts. Takes no lock: a
        caller must not wait here for another's login.
        """
        token = self._usable()
        if token is not None and token.metadata == metadata:
            self._rejection = _Rejection(token, self._clock(), metadata == self._of_use)

    def served(self, metadata: Metadata) -> None:
        """Take note that a download with this token brings something: its end says nothing against the next one.

        Other calls do not count: a server that lists, and rejects every download, would be asked for tokens on and on.
        """
        self._of_use = metadata

    @property
    def standing(self) -> Standing:
        """How the login is, as far as it was tried."""
        if self._usable() is not None:
            return Standing.OK
        match self._hold:
            case _Refused():
                return Standing.REFUSED
            case _Delayed():
                return Standing.DELAYED
            case None:
                return Standing.NONE

    @property
    def renewal_due_s(self) -> float:
        """How many seconds from now `renew` should be called; 0 when it is due."""
        token, hold = self._usable(), self._hold
        if token is not None:
            return max(0.0, token.renew_at_s - self._clock())
        return max(0.0, hold.until_s - self._clock()) if isinstance(hold, _Delayed) else _IDLE_S

    def renew(self, timeout_s: float) -> None:
        """Renew the token if that is due; logs in anew where there is none or its renewal is refused.

        Raises:
            AxxonfsError: as `metadata`; the old token is used as long as it lives.
        """
        with self._single_flight(timeout_s) as deadline_s:
            self._renew(deadline_s)

    def close(self, timeout_s: float = _CLOSE_TIMEOUT_S) -> None:
        """End the login at the server, which counts connections; nothing logs in afterwards."""
        self._closed.set()
        with contextlib.suppress(errors.AxxonfsError), self._single_flight(timeout_s) as deadline_s:
            token, self._token = self._token, None
            if token is not None:
                self._close_session(token.metadata, deadline_s)

    def _usable(self) -> _Token | None:
        """Return the token unless it is rejected or at its end."""
        token = self._token
        rejected = self._rejection.token.metadata if self._rejection else None
        if token is None or token.metadata == rejected or self._clock() >= token.ends_at_s:
            return None
        return token

    def _fresh(self, timeout_s: float) -> Metadata:
        with self._single_flight(timeout_s) as deadline_s:
            token = self._usable()  # of another thread, which had the lock before
            if token is None:
                token = self._token = self._log_in(deadline_s)
            return token.metadata

    def _renewed_in_passing(self, token: _Token, timeout_s: float) -> Metadata:
        """Renew unless somebody else does; the old token is good enough whatever comes of it."""
        if self._lock.acquire(blocking=False):
            try:
                with contextlib.suppress(errors.AxxonfsError):
                    self._renew(self._clock() + timeout_s)
                token = self._usable() or token
            finally:
                self._lock.release()
        return token.metadata

    @contextlib.contextmanager
    def _single_flight(self, timeout_s: float) -> Iterator[float]:
        """Hold the lock; yields the deadline for what is done under it."""
        deadline_s = self._clock() + timeout_s
        if not self._lock.acquire(timeout=timeout_s):
            raise errors.DeadlineError("cannot log in: another login is still waiting for the server")
        try:
            yield deadline_s
        finally:
            self._lock.release()

    def _renew(self, deadline_s: float) -> None:
        """Renew or replace the token, under the lock."""
        token, now = self._usable(), self._clock()
        if token is None:
            self._token = self._log_in(deadline_s)
        elif now >= token.renew_at_s:
            self._token = token.later(now)
            self._token = self._renewal(token, deadline_s) or self._log_in(deadline_s)

    def _renewal(self, token: _Token, deadline_s: float) -> _Token | None:
        """Ask for another token of the same login; None where the server refuses."""
        asked_at_s, wall_s = self._clock(), self._wall_clock()
        try:
            with translated("renew the login", _values(token.metadata)):
                answer = self._service().RenewSession2(
                    wire.RenewSessionRequest(), metadata=token.metadata, timeout=self._left_s(deadline_s)
                )
        except _REFUSALS as error:
            _log.info("login renewal=refused reason=%r", str(error))
            return None
        refusal = verdict(answer, _values(token.metadata))
        if refusal is not None:
            _log.info("login renewal=refused reason=%r", str(refusal))
            return None
        self._measure(answer, wall_s)
        return _Token.of(answer, asked_at_s)

    def _log_in(self, deadline_s: float) -> _Token:
        """Log in with the password as it is now, if that may be tried at all."""
        with self._refusals.turn(self._left_s(deadline_s)) if self._refusals else contextlib.nullcontext():
            return self._log_in_now(deadline_s)

    def _log_in_now(self, deadline_s: float) -> _Token:
        self._check_may_try()
        rejected_before = self._rejection.in_a_row if self._rejection else 0
        self._await_turn(rejected_before, deadline_s)
        password = self._credentials.source.read()
        asked_at_s, wall_s = self._clock(), self._wall_clock()
        answer = self._authenticate(password, deadline_s)
        refusal = verdict(answer, (password.value,))
        if refusal is not None:
            self._hold_back(refusal, password)
            self._drop_unusable(answer, deadline_s)
            raise refusal
        self._hold = self._rejection = None
        if self._refusals:
            self._refusals.accepted()
        self._measure(answer, wall_s)
        self.token_life_s = answer.expires_in
        _log.info("login user=%r expires_in_s=%d", self._credentials.user, answer.expires_in)
        return _Token.of(answer, asked_at_s, rejected_before)

    def _await_turn(self, rejected_before: int, deadline_s: float) -> None:
        """Wait until a login may be made after tokens that were rejected, if that is before the deadline."""
        if self._rejection is None:
            return
        due_s = self._rejection.at_s + rejection_pause_s(rejected_before, self._jitter())
        if due_s > deadline_s:
            raise errors.LoginDelayedError("the server does not accept the tokens that it gives")
        if self._closed.wait(max(0.0, due_s - self._clock())):
            raise errors.ServerAwayError(_CLOSED)

    def _measure(self, answer: wire.AuthenticateResponseEx, asked_at_s: float) -> None:
        """Compare the clocks; both times are on the clock on the wall."""
        self.clock_difference = clock_difference(
            answer.expires_at, answer.expires_in, asked_at_s=asked_at_s, answered_at_s=self._wall_clock()
        )

    def _authenticate(self, password: Password, deadline_s: float) -> wire.AuthenticateResponseEx:
        request = wire.AuthenticateRequest(user_name=self._credentials.user, password=password.value)
        try:
            with translated("log in", (password.value,)):
                return self._service().AuthenticateEx2(request, timeout=self._left_s(deadline_s))
        except errors.NotServedError as error:
            # Nobody has looked at the password: a server that starts, or a proxy before it, has no logins yet.
            raise errors.ServerAwayError(str(error)) from error
        except _REFUSALS as error:
            # This call is documented to answer in its error_code; a server that refuses
            # by status, as the older calls do, must not be asked again either.
            refusal = errors.LoginRefusedError(str(error))
            self._hold_back(refusal, password)
            raise refusal from error

    def _check_may_try(self) -> None:
        if self._closed.is_set():
            raise errors.ServerAwayError(_CLOSED)
        hold, version = self._hold, self._credentials.source.version()
        if isinstance(hold, _Refused) and hold.version == version:
            raise errors.LoginRefusedError(hold.words)
        before = self._refusals.words(version) if self._refusals else None
        if before:
            raise errors.LoginRefusedError(before)
        if isinstance(hold, _Delayed) and self._clock() < hold.until_s:
            raise errors.LoginDelayedError(hold.words)

    def _hold_back(self, refusal: errors.AccessError, password: Password) -> None:
        """Remember until when nothing is tried."""
        if isinstance(refusal, errors.LoginRefusedError):
            self._hold = _Refused(str(refusal), password.version)
            if self._refusals:
                self._refusals.add(password.version, str(refusal))
        else:
            failures = self._hold.failures + 1 if isinstance(self._hold, _Delayed) else 1
            until_s = self._clock() + retry_delay_s(failures, self._jitter())
            self._hold = _Delayed(str(refusal), until_s, failures)

    def _drop_unusable(self, answer: wire.AuthenticateResponseEx, deadline_s: float) -> None:
        """Close what the server opened for an account that must change its password first."""
        if answer.token_name and answer.token_value:
            with contextlib.suppress(errors.AxxonfsError):
                self._close_session(_Token.of(answer, self._clock()).metadata, deadline_s)

    def _close_session(self, metadata: Metadata, deadline_s: float) -> None:
        with translated("log out", _values(metadata)):
            self._service().CloseSession(
                wire.CloseSessionRequest(), metadata=metadata, timeout=self._left_s(deadline_s)
            )

    def _left_s(self, deadline_s: float) -> float:
        """Return what is left until the deadline; grpc takes 0 for a deadline that has passed."""
        return max(0.0, deadline_s - self._clock())


def _values(metadata: Metadata) -> tuple[str, ...]:
    return tuple(value for _, value in metadata)

"""Credentials and logins: against the simulator, and against a server that answers as a test tells it."""

import contextlib
import dataclasses
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest

from axxonfs.core import errors
from axxonfs.remote.credentials import Password
from axxonfs.remote.login import (
    Credentials,
    Login,
    PasswordFile,
    PasswordVariable,
    Standing,
    retry_delay_s,
    verdict,
)
from axxonfs.simulator.server import Simulator
from axxonfs.simulator.switches import Switches
from axxonfs.stubs.authentication_pb2_grpc import (
    AuthenticationServiceServicer,
    AuthenticationServiceStub,
    add_AuthenticationServiceServicer_to_server,
)
from axxonfs.wire import authentication_pb2 as wire
from tests.rpc.support import PASSWORD, TIMEOUT_S, USER, make_simulator, write_password

SECRET_TOKEN = "eyJhbGciOi.token-of-the-test.c2lnbmF0dXJl"
GOOD = wire.AuthenticateResponseEx(token_name="auth_token", token_value=SECRET_TOKEN, expires_in=300)


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@dataclasses.dataclass
class Server:
    """A simulator and a login there on a clock of its own; without jitter, delays are as long as they can be."""

    simulator: Simulator
    login: Login
    clock: Clock
    password_file: PasswordFile

    def count(self, method: str) -> int:
        return self.simulator.calls.count(method)


@contextlib.contextmanager
def stub_of(port: int) -> Iterator[Callable[[], AuthenticationServiceStub]]:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = AuthenticationServiceStub(channel)
        yield lambda: stub


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    clock, file = Clock(), write_password(tmp_path / "password")
    with make_simulator(tmp_path, plaintext=True) as simulator, stub_of(simulator.port) as stub:
        yield Server(simulator, Login(stub, Credentials(USER, file), clock=clock, jitter=lambda: 0.0), clock, file)


class Scripted(AuthenticationServiceServicer):
    """Answers as it is told, and keeps what it was asked with."""

    def __init__(self) -> None:
        self.answer = GOOD
        self.status: tuple[grpc.StatusCode, str] | None = None
        self.logins = 0
        self.closed_with: list[dict[str, str | bytes]] = []
        self.asked = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()

    def AuthenticateEx2(  # noqa: N802  the name is the wire's
        self, request: wire.AuthenticateRequest, context: grpc.ServicerContext
    ) -> wire.AuthenticateResponseEx:
        del request
        self.logins += 1
        self.asked.set()
        self.may_answer.wait(TIMEOUT_S)
        return self._say(context)

    def RenewSession2(  # noqa: N802  the name is the wire's
        self, request: wire.RenewSessionRequest, context: grpc.ServicerContext
    ) -> wire.AuthenticateResponseEx:
        del request
        return self._say(context)

    def CloseSession(  # noqa: N802  the name is the wire's
        self, request: wire.CloseSessionRequest, context: grpc.ServicerContext
    ) -> wire.CloseSessionResponse:
        del request
        self.closed_with.append(dict(context.invocation_metadata()))
        return wire.CloseSessionResponse()

    def _say(self, context: grpc.ServicerContext) -> wire.AuthenticateResponseEx:
        if self.status is not None:
            context.abort(*self.status)
        return self.answer


@dataclasses.dataclass
class Odd:
    """A scripted server and a login there."""

    script: Scripted
    login: Login
    clock: Clock


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[Odd]:
    script, clock = Scripted(), Clock()
    with futures.ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool)
        add_AuthenticationServiceServicer_to_server(script, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with stub_of(port) as stub:
            credentials = Credentials(USER, write_password(tmp_path / "password"))
            yield Odd(script, Login(stub, credentials, clock=clock, jitter=lambda: 0.0), clock)
        script.may_answer.set()
        server.stop(0).wait()


# --- where a password comes from


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o660])
def test_a_password_file_that_others_can_read_is_refused_with_the_cure(tmp_path: Path, mode: int) -> None:
    file = write_password(tmp_path / "password")
    file.path.chmod(mode)
    with pytest.raises(errors.CredentialsError, match="chmod 600"):
        file.read()


@pytest.mark.parametrize("content", [b"secret-1", b"secret-1\n", b"secret-1\r\n"])
def test_the_end_of_the_line_is_no_part_of_a_password(tmp_path: Path, content: bytes) -> None:
    file = write_password(tmp_path / "password")
    file.path.write_bytes(content)
    assert file.read().value == "secret-1"


def test_spaces_are_a_part_of_a_password(tmp_path: Path) -> None:
    assert write_password(tmp_path / "password", " sp ace ").read().value == " sp ace "


@pytest.mark.parametrize("content", [b"", b"\n", b"secret\nsecond", b"secret\xff", b"secret" * 1000])
def test_a_file_without_exactly_one_line_is_refused_without_showing_it(tmp_path: Path, content: bytes) -> None:
    file = write_password(tmp_path / "password")
    file.path.write_bytes(content)
    with pytest.raises(errors.CredentialsError) as caught:
        file.read()
    assert "secret" not in f"{caught.value!r} {caught.value.__context__!r}"


def test_a_missing_file_is_refused_with_its_name(tmp_path: Path) -> None:
    with pytest.raises(errors.CredentialsError, match="nowhere: No such file"):
        PasswordFile(tmp_path / "nowhere").read()
    assert PasswordFile(tmp_path / "nowhere").version() is None


def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(errors.CredentialsError, match="no regular file"):
        PasswordFile(tmp_path / "pipe").read()


def test_a_credential_of_systemd_may_show_as_readable_by_its_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    write_password(tmp_path / "axxon").path.chmod(0o440)
    assert PasswordFile.of_systemd("axxon").read().value == PASSWORD


def test_without_systemd_its_credentials_are_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(errors.CredentialsError, match="LoadCredential"):
        PasswordFile.of_systemd("axxon")


def test_a_password_can_come_from_an_environment_variable() -> None:
    source = PasswordVariable("AXXONFS_PASSWORD", "one")
    assert source.read() == Password("one", source.version())
    assert "one" not in repr(source)


def test_an_empty_variable_is_refused_by_its_name() -> None:
    source = PasswordVariable("AXXONFS_PASSWORD", "")
    assert source.version() is None
    with pytest.raises(errors.CredentialsError, match="AXXONFS_PASSWORD holds no password"):
        source.read()


def test_a_rewritten_file_has_another_version(tmp_path: Path) -> None:
    file = write_password(tmp_path / "password")
    first = file.read().version
    assert file.version() == first
    write_password(tmp_path / "other", "next").path.replace(file.path)
    assert file.version() != first


def test_no_repr_shows_a_password(tmp_path: Path) -> None:
    file = write_password(tmp_path / "password")
    assert PASSWORD not in f"{Credentials(USER, file)!r} {file.read()!r}"


# --- what an answer means


@pytest.mark.parametrize("code", wire.EAuthenticateCode.values())
def test_every_code_but_ok_is_a_refusal_or_a_delay_in_words(code: wire.EAuthenticateCode.ValueType) -> None:
    answer = wire.AuthenticateResponseEx(error_code=code, token_name="t", token_value="v")
    error = verdict(answer)
    assert (error is None) == (code == wire.AUTHENTICATE_CODE_OK)
    assert isinstance(error, (errors.LoginRefusedError, errors.LoginDelayedError, type(None)))


def code_of(name: str) -> wire.EAuthenticateCode.ValueType:
    return wire.EAuthenticateCode.Value(f"AUTHENTICATE_CODE_{name}")


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ({"error_code": code_of("WRONG_CREDENTIALS")}, errors.LoginRefusedError, "password is wrong"),
        ({"error_code": code_of("SECOND_FACTOR_AUTH_NEEDED")}, errors.LoginRefusedError, "second factor"),
        ({"error_code": code_of("USER_LOCKED")}, errors.LoginDelayedError, "locked"),
        ({"error_code": code_of("IP_BLOCKED")}, errors.LoginDelayedError, "blocks this machine"),
        ({"error_code": code_of("ALREADY_LOGGED")}, errors.LoginDelayedError, "logged in elsewhere"),
        ({"error_code": 99}, errors.LoginDelayedError, "code 99"),
        (
            {"error_code": 1, "error_description": {"description": "x\ny", "reached_connection_limit": True}},
            errors.LoginDelayedError,
            r"too many connections of this kind \(x y\)",
        ),
        (
            {"error_code": 1, "error_description": {"incorrect_client_type": True}},
            errors.LoginRefusedError,
            "kind of client",
        ),
        ({"credential_traits": {"password_must_be_changed": True}}, errors.LoginRefusedError, "password must be chang"),
        ({"credential_traits": {"username_must_be_changed": True}}, errors.LoginRefusedError, "name must be changed"),
        ({}, errors.LoginDelayedError, "no token"),
        ({"token_name": "grpc-x", "token_value": "v"}, errors.LoginDelayedError, "no token"),
        ({"token_name": "x-bin", "token_value": "v"}, errors.LoginDelayedError, "no token"),
        ({"token_name": "x y", "token_value": "v"}, errors.LoginDelayedError, "no token"),
        ({"token_name": "x", "token_value": "v\n"}, errors.LoginDelayedError, "no token"),
    ],
)
def test_an_answer_that_is_no_login_says_what_to_do(
    answer: dict[str, object], kind: type[errors.AccessError], words: str
) -> None:
    message = wire.AuthenticateResponseEx()
    _fill(message, answer)
    error = verdict(message)
    assert type(error) is kind
    with pytest.raises(kind, match=words):
        raise error


def _fill(message: wire.AuthenticateResponseEx, fields: dict[str, object]) -> None:
    for name, value in fields.items():
        if isinstance(value, dict):
            _fill(getattr(message, name), value)
        elif isinstance(value, bool) and hasattr(getattr(message, name), "value"):
            getattr(message, name).value = value
        else:
            setattr(message, name, value)


def test_the_delay_doubles_up_to_a_bound_and_jitter_takes_half_at_most() -> None:
    delays = [retry_delay_s(failures, 0.0) for failures in (1, 2, 3, 10, 10_000)]
    assert delays == [15.0, 30.0, 60.0, 300.0, 300.0]
    assert retry_delay_s(1, 1.0) == 7.5


# --- the life of a login


def test_many_threads_share_one_login(server: Server) -> None:
    together = threading.Barrier(8)

    def ask() -> object:
        together.wait(TIMEOUT_S)
        return server.login.metadata(TIMEOUT_S)

    with futures.ThreadPoolExecutor(8) as pool:
        tokens = {future.result(TIMEOUT_S) for future in [pool.submit(ask) for _ in range(8)]}
    assert len(tokens) == 1
    assert server.count("AuthenticateEx2") == 1


def test_a_token_is_renewed_at_half_its_life_and_not_before(server: Server) -> None:
    first = server.login.metadata(TIMEOUT_S)
    assert server.login.renewal_due_s == 150
    server.clock.now_s += 149
    assert server.login.metadata(TIMEOUT_S) == first
    server.clock.now_s += 1
    assert server.login.renewal_due_s == 0
    assert server.login.metadata(TIMEOUT_S) != first
    assert (server.count("RenewSession2"), server.count("AuthenticateEx2")) == (1, 1)


def test_a_login_and_each_renewal_compare_the_clocks(server: Server) -> None:
    server.login.metadata(TIMEOUT_S)
    first = server.login.clock_difference
    server.clock.now_s += 151
    server.login.renew(TIMEOUT_S)
    second = server.login.clock_difference
    assert first is not None
    assert second is not None
    assert second.measured_at_s > first.measured_at_s
    for difference in (first, second):  # it is the same clock
        assert abs(difference.ahead_s) <= difference.uncertainty_s


def test_renew_does_nothing_before_it_is_due(server: Server) -> None:
    server.login.renew(TIMEOUT_S)
    server.login.renew(TIMEOUT_S)
    assert (server.count("RenewSession2"), server.count("AuthenticateEx2")) == (0, 1)
    server.clock.now_s += 200
    server.login.renew(TIMEOUT_S)
    server.login.renew(TIMEOUT_S)
    assert (server.count("RenewSession2"), server.count("AuthenticateEx2")) == (1, 1)
    assert server.login.renewal_due_s == 150


def test_a_refused_renewal_is_followed_by_a_fresh_login(server: Server) -> None:
    first = server.login.metadata(TIMEOUT_S)
    server.simulator.logins.revoke_all()
    server.clock.now_s += 150
    assert server.login.metadata(TIMEOUT_S) != first
    assert [call.method for call in server.simulator.calls.entries()] == [
        "AuthenticateEx2",
        "RenewSession2",
        "AuthenticateEx2",
    ]


def test_a_renewal_that_is_refused_by_code_is_followed_by_a_fresh_login(odd: Odd) -> None:
    odd.login.metadata(TIMEOUT_S)
    odd.script.answer = wire.AuthenticateResponseEx(error_code=wire.AUTHENTICATE_CODE_GENERAL_ERROR)
    odd.clock.now_s += 150
    with pytest.raises(errors.LoginDelayedError):
        odd.login.renew(TIMEOUT_S)
    assert odd.script.logins == 2
    assert odd.login.metadata(TIMEOUT_S) == (("auth_token", SECRET_TOKEN),)


def test_while_the_server_is_away_the_old_token_lives_to_its_end_and_renewal_is_tried_now_and_then(
    server: Server,
) -> None:
    first = server.login.metadata(TIMEOUT_S)
    server.simulator.faults.add(method="RenewSession2", times=2)
    server.clock.now_s += 150
    assert server.login.metadata(TIMEOUT_S) == first
    assert server.login.renewal_due_s == 37.5
    assert server.login.metadata(TIMEOUT_S) == first
    assert server.count("RenewSession2") == 1
    server.clock.now_s += 37.5
    with pytest.raises(errors.ServerAwayError):
        server.login.renew(TIMEOUT_S)
    assert server.login.metadata(TIMEOUT_S) == first
    server.clock.now_s += 50
    assert server.login.metadata(TIMEOUT_S) != first
    assert (server.count("RenewSession2"), server.count("AuthenticateEx2")) == (3, 1)


def test_a_token_past_its_end_is_not_renewed_but_replaced(server: Server) -> None:
    first = server.login.metadata(TIMEOUT_S)
    server.clock.now_s += 300
    assert server.login.metadata(TIMEOUT_S) != first
    assert (server.count("RenewSession2"), server.count("AuthenticateEx2")) == (0, 2)


def test_a_rejected_token_is_replaced_once_whoever_reports_it(server: Server) -> None:
    first = server.login.metadata(TIMEOUT_S)
    server.login.reject(first)
    second = server.login.metadata(TIMEOUT_S)
    server.login.reject(first)
    assert server.login.metadata(TIMEOUT_S) == second != first
    assert server.count("AuthenticateEx2") == 2


def test_two_tokens_rejected_in_a_row_deny_nobody_who_has_a_right_password(server: Server) -> None:
    for _ in range(2):
        server.login.reject(server.login.metadata(TIMEOUT_S))
    server.login.metadata(TIMEOUT_S)
    assert server.login.standing is Standing.OK
    assert server.count("AuthenticateEx2") == 3


def test_a_server_that_rejects_its_own_fresh_tokens_is_asked_more_and_more_slowly(server: Server) -> None:
    server.login.reject(server.login.metadata(TIMEOUT_S))
    for pause_s in (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0):
        if pause_s:
            server.clock.now_s += pause_s - 0.25
            before = server.count("AuthenticateEx2")
            with pytest.raises(errors.LoginDelayedError, match="does not accept the tokens that it gives"):
                server.login.metadata(0.125)
            assert server.count("AuthenticateEx2") == before
            server.clock.now_s += 0.25
        token = server.login.metadata(TIMEOUT_S)
        server.login.reject(token)
        server.clock.now_s += 0.125
        server.login.reject(token)  # by another caller, who hears of it later
        server.clock.now_s -= 0.125


def test_tokens_that_were_of_use_before_they_were_rejected_make_no_row(server: Server) -> None:
    for _ in range(8):
        token = server.login.metadata(TIMEOUT_S)
        server.login.served(token)
        server.login.reject(token)
    # After a row of eight there would be a pause of 15 s.
    assert server.login.metadata(5.0) != token


def test_a_pause_after_rejected_tokens_is_waited_for_where_there_is_time(server: Server) -> None:
    for _ in range(2):
        server.login.reject(server.login.metadata(TIMEOUT_S))
    began_s = time.monotonic()
    server.login.metadata(TIMEOUT_S)
    assert time.monotonic() - began_s >= 0.5


def test_a_token_that_was_good_for_a_while_ends_the_row(server: Server) -> None:
    for _ in range(4):
        server.login.reject(server.login.metadata(TIMEOUT_S))
        server.clock.now_s += 10
        token = server.login.metadata(TIMEOUT_S)
        server.clock.now_s += 10
        server.login.reject(token)
        # After a row of eight there would be a pause of 15 s.
        server.login.metadata(5.0)


def test_closing_ends_a_pause_after_rejected_tokens(server: Server) -> None:
    for _ in range(6):
        server.login.reject(server.login.metadata(TIMEOUT_S))
        server.clock.now_s += 15
    server.login.reject(server.login.metadata(TIMEOUT_S))
    with futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(server.login.metadata, 60.0)
        began_s = time.monotonic()
        server.login.close()
        with pytest.raises(errors.ServerAwayError, match="closed"):
            waiting.result(TIMEOUT_S)
        assert time.monotonic() - began_s < TIMEOUT_S


def test_refused_credentials_are_not_tried_again_until_the_file_changes(server: Server) -> None:
    write_password(server.password_file.path, "wrong")
    for _ in range(5):
        with pytest.raises(errors.LoginRefusedError, match="password is wrong"):
            server.login.metadata(TIMEOUT_S)
        server.clock.now_s += 10_000
    assert server.count("AuthenticateEx2") == 1
    assert server.login.renewal_due_s > 0
    write_password(server.password_file.path)
    server.login.metadata(TIMEOUT_S)
    assert server.count("AuthenticateEx2") == 2


def test_a_locked_account_is_left_alone_for_longer_and_longer(server: Server) -> None:
    server.simulator.switches = Switches(login="locked")
    for wait_s in (15.0, 30.0, 60.0):
        with pytest.raises(errors.LoginDelayedError, match="locked"):
            server.login.metadata(TIMEOUT_S)
        assert server.login.renewal_due_s == wait_s
        server.clock.now_s += wait_s - 1
        before = server.count("AuthenticateEx2")
        with pytest.raises(errors.LoginDelayedError, match="locked"):
            server.login.metadata(TIMEOUT_S)
        assert server.count("AuthenticateEx2") == before
        server.clock.now_s += 1
    server.simulator.switches = Switches()
    server.login.metadata(TIMEOUT_S)
    assert server.count("AuthenticateEx2") == 4


@pytest.mark.parametrize("code", ["UNAUTHENTICATED", "PERMISSION_DENIED", "INVALID_ARGUMENT"])
def test_a_login_refused_by_status_is_not_tried_again_either(server: Server, code: str) -> None:
    server.simulator.faults.add(method="AuthenticateEx2", status=code)
    for _ in range(2):
        with pytest.raises(errors.LoginRefusedError, match="fault on demand"):
            server.login.metadata(TIMEOUT_S)
    assert server.count("AuthenticateEx2") == 1


@pytest.mark.parametrize(
    ("code", "words"), [("UNIMPLEMENTED", ""), ("INTERNAL", "Can't resolve reference to hosts/Server/Authenticator")]
)
def test_a_server_that_has_no_logins_yet_is_asked_again(server: Server, code: str, words: str) -> None:
    server.simulator.faults.add(method="AuthenticateEx2", status=code, details=words)
    with pytest.raises(errors.ServerAwayError, match=code):
        server.login.metadata(TIMEOUT_S)
    assert server.login.standing is Standing.NONE
    assert server.login.metadata(TIMEOUT_S)


def test_a_server_that_is_away_costs_no_pause(server: Server) -> None:
    server.simulator.faults.add(method="AuthenticateEx2")
    with pytest.raises(errors.ServerAwayError):
        server.login.metadata(TIMEOUT_S)
    server.login.metadata(TIMEOUT_S)


def test_a_login_that_waits_for_another_gives_up_at_its_own_deadline(odd: Odd) -> None:
    odd.script.may_answer.clear()
    with futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(odd.login.metadata, TIMEOUT_S)
        assert odd.script.asked.wait(TIMEOUT_S)
        with pytest.raises(errors.DeadlineError, match="another login"):
            odd.login.metadata(0.05)
        odd.script.may_answer.set()
        assert first.result(TIMEOUT_S)


def test_a_server_that_does_not_answer_the_login_is_given_up(odd: Odd) -> None:
    odd.script.may_answer.clear()
    with pytest.raises(errors.DeadlineError, match="cannot log in: no answer in time"):
        odd.login.metadata(0.05)


def test_the_tokens_name_is_the_servers(odd: Odd) -> None:
    odd.script.answer = wire.AuthenticateResponseEx(token_name="X-Other-Name", token_value="v 1", expires_in=10)
    assert odd.login.metadata(TIMEOUT_S) == (("x-other-name", "v 1"),)
    odd.login.close()
    assert odd.script.closed_with[0]["x-other-name"] == "v 1"


def test_a_token_without_a_life_is_taken_for_what_servers_usually_give(odd: Odd) -> None:
    odd.script.answer = wire.AuthenticateResponseEx(token_name="t", token_value="v")
    odd.login.metadata(TIMEOUT_S)
    assert odd.login.renewal_due_s == 150


def test_the_session_of_an_account_that_must_change_its_password_is_closed(odd: Odd) -> None:
    answer = wire.AuthenticateResponseEx()
    answer.CopyFrom(GOOD)
    answer.credential_traits.password_must_be_changed = True
    odd.script.answer = answer
    with pytest.raises(errors.LoginRefusedError, match="must be changed"):
        odd.login.metadata(TIMEOUT_S)
    assert [call["auth_token"] for call in odd.script.closed_with] == [SECRET_TOKEN]


def test_closing_ends_the_login_at_the_server_and_no_other_begins(server: Server) -> None:
    server.login.metadata(TIMEOUT_S)
    assert server.simulator.logins.open_logins() == 1
    server.login.close()
    server.login.close()
    assert server.simulator.logins.open_logins() == 0
    assert server.count("CloseSession") == 1
    with pytest.raises(errors.ServerAwayError, match="closed"):
        server.login.metadata(TIMEOUT_S)
    assert server.count("AuthenticateEx2") == 1


def test_closing_without_a_login_calls_nobody(server: Server) -> None:
    server.login.close()
    assert server.simulator.calls.entries() == []


def test_closing_while_the_server_is_away_is_quiet(server: Server) -> None:
    server.login.metadata(TIMEOUT_S)
    server.simulator.stop()
    server.login.close()


def test_neither_password_nor_token_is_shown_even_if_the_server_repeats_it(
    odd: Odd, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    odd.login.metadata(TIMEOUT_S)
    odd.clock.now_s += 150
    odd.script.status = (grpc.StatusCode.UNAVAILABLE, f"away: {SECRET_TOKEN} {PASSWORD}")
    with pytest.raises(errors.ServerAwayError) as renewal:
        odd.login.renew(TIMEOUT_S)
    odd.clock.now_s += 150
    with pytest.raises(errors.ServerAwayError) as login:
        odd.login.metadata(TIMEOUT_S)
    shown = f"{caplog.text} {renewal.value} {odd.login.__dict__!r}"
    assert SECRET_TOKEN not in shown
    assert PASSWORD not in f"{caplog.text} {login.value} {odd.login.__dict__!r}"

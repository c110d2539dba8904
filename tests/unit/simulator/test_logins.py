import base64
import json

import pytest

from axxonfs.simulator.logins import Logins
from axxonfs.simulator.refusal import Refusal
from axxonfs.simulator.switches import Switches
from axxonfs.wire.authentication_pb2 import EAuthenticateCode as Code


class World:
    """A clock to turn and switches to set."""

    def __init__(self, limit: int = 0) -> None:
        self.now_s = 1_800_000_000.5
        self.switches = Switches()
        self.logins = Logins(
            {"root": "secret"},
            node_name="Server",
            life_s=300,
            limit=limit,
            clock=lambda: self.now_s,
            switches=lambda: self.switches,
        )

    def token(self) -> str:
        return self.logins.log_in("root", "secret").token_value

    def is_valid(self, token: str) -> bool:
        try:
            self.logins.check(token)
        except Refusal:
            return False
        return True


def test_a_login_gives_a_token_of_five_minutes() -> None:
    world = World()
    answer = world.logins.log_in("root", "secret")
    assert (answer.token_name, answer.expires_in, answer.error_code) == ("auth_token", 300, Code.AUTHENTICATE_CODE_OK)
    assert answer.expires_at == "20270115T080500"
    world.now_s += 299.9
    assert world.is_valid(answer.token_value)
    world.now_s += 0.1
    assert not world.is_valid(answer.token_value)


def test_a_token_looks_like_the_real_ones() -> None:
    _header, claims, _signature = World().token().split(".")
    read = json.loads(base64.urlsafe_b64decode(claims + "=="))
    assert set(read) == {"aud", "exp", "iat", "iss", "lgn", "rls", "sid", "sub"}
    assert (read["lgn"], read["iss"], read["exp"] - read["iat"]) == ("root", "Server", 300)


@pytest.mark.parametrize(("user", "password"), [("root", "wrong"), ("nobody", "secret"), ("root", ""), ("", "")])
def test_wrong_credentials_are_an_answer_with_a_code(user: str, password: str) -> None:
    answer = World().logins.log_in(user, password)
    assert answer.error_code == Code.AUTHENTICATE_CODE_WRONG_CREDENTIALS
    assert answer.token_value == ""


@pytest.mark.parametrize(
    ("login", "code"),
    [
        ("general", Code.AUTHENTICATE_CODE_GENERAL_ERROR),
        ("locked", Code.AUTHENTICATE_CODE_USER_LOCKED),
        ("ip_blocked", Code.AUTHENTICATE_CODE_IP_BLOCKED),
        ("already_logged", Code.AUTHENTICATE_CODE_ALREADY_LOGGED),
        ("second_factor", Code.AUTHENTICATE_CODE_SECOND_FACTOR_AUTH_NEEDED),
        ("limit", Code.AUTHENTICATE_CODE_GENERAL_ERROR),
    ],
)
def test_a_switch_refuses_the_right_password(login: str, code: Code.ValueType) -> None:
    world = World()
    world.switches = Switches(login=login)  # type: ignore[arg-type]  # a table of literals
    answer = world.logins.log_in("root", "secret")
    assert (answer.error_code, answer.token_value) == (code, "")
    assert answer.error_description.reached_connection_limit.value is (login == "limit")


def test_a_renewed_token_lives_longer_and_the_old_one_to_its_own_end() -> None:
    world = World()
    old = world.token()
    world.now_s += 200
    new = world.logins.renew(old).token_value
    assert new != old
    world.now_s += 99
    assert world.is_valid(old)
    world.now_s += 2
    assert not world.is_valid(old)
    assert world.is_valid(new)


def test_an_expired_token_cannot_be_renewed() -> None:
    world = World()
    token = world.token()
    world.now_s += 300
    with pytest.raises(Refusal, match="expired"):
        world.logins.renew(token)


@pytest.mark.parametrize("token", [None, ""])
def test_a_missing_token_is_refused_in_the_words_of_the_real_server(token: str | None) -> None:
    with pytest.raises(Refusal, match="UNAUTHENTICATED: missing auth token"):
        World().logins.check(token)


def test_a_forged_token_is_refused() -> None:
    world = World()
    assert not world.is_valid(world.token() + "x")


def test_logging_out_ends_all_tokens_of_one_login_and_no_other() -> None:
    world = World()
    first, other = world.token(), world.token()
    renewed = world.logins.renew(first).token_value
    world.logins.log_out(first)
    assert [world.is_valid(token) for token in (first, renewed, other)] == [False, False, True]


def test_the_limit_counts_logins_and_not_tokens() -> None:
    world = World(limit=2)
    first, _second = world.token(), world.token()
    world.logins.renew(first)
    refused = world.logins.log_in("root", "secret")
    assert refused.error_description.reached_connection_limit.value
    world.logins.log_out(first)
    assert world.token()
    world.now_s += 300
    assert world.logins.open_logins() == 0


def test_a_changed_password_counts_at_the_next_login() -> None:
    world = World()
    token = world.token()
    world.logins.set_password("root", "other")
    assert world.is_valid(token)
    assert world.logins.log_in("root", "secret").error_code == Code.AUTHENTICATE_CODE_WRONG_CREDENTIALS
    assert world.logins.log_in("root", "other").error_code == Code.AUTHENTICATE_CODE_OK


def test_a_token_never_lives_less_than_the_wire_can_say() -> None:
    logins = Logins({"root": ""}, node_name="", life_s=0.1, limit=0, clock=lambda: 0.0, switches=Switches)
    assert logins.log_in("root", "").expires_in == 1

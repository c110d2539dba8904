import pytest

from axxonfs.simulator.paging import make_token, messages, read_number, read_token
from axxonfs.simulator.refusal import Refusal


def test_a_token_brings_back_its_key() -> None:
    assert read_token(make_token("hosts/Server/Склад:0")) == "hosts/Server/Склад:0"
    assert (read_number(make_token("17")), read_number("")) == (17, 0)


@pytest.mark.parametrize("token", ["x", "12", "aGVsbG8=", "ÿ", make_token("1")[:-2]])
def test_a_token_of_somebody_else_is_refused(token: str) -> None:
    with pytest.raises(Refusal, match="INVALID_ARGUMENT"):
        read_token(token)


@pytest.mark.parametrize("token", [make_token("hosts/Server"), make_token(""), make_token("-1")])
def test_a_token_of_another_listing_is_refused_where_a_number_is_wanted(token: str) -> None:
    with pytest.raises(Refusal, match="INVALID_ARGUMENT"):
        read_number(token)


def test_items_are_spread_over_messages_and_the_last_one_has_the_token() -> None:
    sent = [(len(part), token) for part, token in messages(range(100), "next", token_alone=False)]
    assert sent == [(40, ""), (40, ""), (20, "next")]


def test_a_token_may_come_in_a_message_of_its_own() -> None:
    sent = [(len(part), token) for part, token in messages(range(41), "next", token_alone=True)]
    assert sent == [(40, ""), (1, ""), (0, "next")]


def test_nothing_to_list_is_no_message() -> None:
    assert list(messages((), "", token_alone=True)) == []

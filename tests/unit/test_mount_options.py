"""The options of a mount: what each word takes, and what is said to whoever writes another."""

import zoneinfo
from pathlib import Path
from typing import Any

import pytest

from axxonfs.core import errors
from axxonfs.fs.options import parse_options, split_words

ONE, TWO = "sha256:" + 64 * "a", "sha256:" + 64 * "b"

TAKEN: list[tuple[str, Any, Any]] = [
    ("cache_size", "256M", 256 * 1024 * 1024),
    ("chunk_size", "64K", 64 * 1024),
    ("chunk_size", "4095K", 4095 * 1024),
    ("rate_limit", "0", 0),
    ("read_timeout", "1m30s", 90.0),
    ("retry", "5m", 300.0),
    ("keep", "24h", 86400.0),
    ("umask", "022", 0o022),
    ("umask", "27", 0o027),
    ("uid", "1000", 1000),
    ("max_streams", "4", 4),
    ("ro", True, True),
    ("allow_other", "false", False),
    ("destroy", "none", "none"),
    ("timezone", "Europe/Berlin", zoneinfo.ZoneInfo("Europe/Berlin")),
    ("state_dir", "/var/lib/x", Path("/var/lib/x")),
    ("time_factor", "60", 60.0),
]
REFUSED: list[tuple[str, str, str]] = [
    ("cache_size", "much", 'as in "64K", "256M" or "2G"'),
    ("cache_size", "1M", "takes 4194304 or more"),
    ("chunk_size", "100", "whole KiB from 1K to 4095K"),
    ("chunk_size", "4096K", "whole KiB from 1K to 4095K"),
    ("read_timeout", "30", 'as in "90s", "5m" or "1h30m"'),
    ("read_timeout", "0s", "takes 1.0 or more"),
    ("umask", "9", "octal digits, as in 022"),
    ("umask", "1777", "octal digits, as in 022"),
    ("uid", "root", "takes a whole number"),
    ("gid", "-1", "takes 0 or more"),
    ("max_streams", "0", "takes 1 or more"),
    ("ro", "maybe", "takes true or false"),
    ("destroy", "some", "'own', 'all' or 'none'"),
    ("timezone", "Europe/Berln", 'did you mean "Europe/Berlin"?'),
    ("timezone", "Europe", "is not an IANA time zone"),
    ("log_level", "loud", "'debug', 'info', 'warning' or 'error'"),
    ("time_factor", "inf", "takes a number"),
    ("time_factor", "0", "takes more than 0.0"),
    ("max_streams", "257", "takes 256 or less"),
]


@pytest.mark.parametrize(("word", "value", "meaning"), TAKEN)
def test_a_word_takes_its_value_in_the_units_that_people_write(word: str, value: object, meaning: object) -> None:
    assert getattr(parse_options({word: value}), word) == meaning


@pytest.mark.parametrize(("word", "value", "says"), REFUSED)
def test_a_wrong_value_is_refused_with_the_word_and_what_to_write(word: str, value: str, says: str) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        parse_options({word: value})
    assert str(caught.value).startswith(f"option {word}: ")
    assert says in str(caught.value)


@pytest.mark.parametrize("word", ["keep", "retry", "rate_limit", "max_streams", "uid", "umask", "state_dir", "destroy"])
def test_a_word_without_its_value_is_not_taken_for_the_number_one(word: str) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        parse_options(split_words(word))
    assert str(caught.value) == f"option {word}: needs a value"


def test_an_unknown_word_is_refused_and_its_value_not_shown() -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        parse_options({"password": "zebra", "ro": True})
    assert str(caught.value) == "option password is unknown: did you mean password_file?"


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(errors.ConfigurationError, match=r"option uid: .*; option colour is unknown"):
        parse_options({"uid": "me", "colour": "red"})


def test_words_are_split_at_commas_and_the_first_equals_sign() -> None:
    assert split_words("ro,uid=1000,,tls_pin=a=b,tls_name=") == {
        "ro": True,
        "uid": "1000",
        "tls_pin": "a=b",
        "tls_name": "",
    }


@pytest.mark.parametrize("between", [";", " ", "; ", ":", "\n"])
def test_pins_are_told_apart_whatever_stands_between_them(between: str) -> None:
    assert parse_options({"tls_pin": f"{ONE}{between}{TWO}"}).tls_pin == (ONE, TWO)


def test_one_pin_alone_is_one_pin() -> None:
    assert parse_options({"tls_pin": ONE}).tls_pin == (ONE,)

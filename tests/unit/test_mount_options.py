import pytest

from axxonfs.fs.options import parse_options

ONE, TWO = "sha256:" + 64 * "a", "sha256:" + 64 * "b"


@pytest.mark.parametrize("between", [";", " ", "; ", ":", "\n"])
def test_pins_are_told_apart_whatever_stands_between_them(between: str) -> None:
    assert parse_options({"tls_pin": f"{ONE}{between}{TWO}"}).tls_pin == (ONE, TWO)


def test_one_pin_alone_is_one_pin() -> None:
    assert parse_options({"tls_pin": ONE}).tls_pin == (ONE,)

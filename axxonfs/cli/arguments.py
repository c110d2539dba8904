"""What the parsers of several commands need: values that are checked, and refused in words."""

import argparse
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


def checked(parse: Callable[[str], _T]) -> Callable[[str], _T]:
    """Make argparse show the words of a ValueError, which it replaces by its own otherwise."""

    def parsed(text: str) -> _T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parsed

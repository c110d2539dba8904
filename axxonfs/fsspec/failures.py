"""What a failure is for whoever uses fsspec: the exceptions that its users know.

Decides nothing about errno: that is the one table of `core/errors.py`. What can be
mended only in the call is a ValueError, what did not come in time a TimeoutError,
all else an OSError of the class that Python has for its errno.
"""

import contextlib
from collections.abc import Iterator

from axxonfs.core import errors


def translated_error(error: errors.AxxonfsError) -> Exception:
    """Return the exception for a failure, with its text."""
    if isinstance(error, errors.InvalidError | errors.ConfigurationError | errors.TooLargeError):
        return ValueError(str(error))
    if isinstance(error, errors.DeadlineError):
        return TimeoutError(str(error))
    return OSError(errors.errno_of(error), str(error))


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn domain errors inside into the exceptions that users of fsspec know."""
    try:
        yield
    except errors.AxxonfsError as error:
        raise translated_error(error) from error

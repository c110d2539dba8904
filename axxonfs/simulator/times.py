"""Instants as the wire writes them, and as the simulator counts them.

Inside the simulator an instant of footage is an integer of milliseconds since
the epoch, UTC: frames lie on whole milliseconds, and nothing is lost in sums.
Pure; imports nothing of ours. Source: the wire contract, section 3.
"""

import datetime as dt
import re

_WIRE = re.compile(r"(\d{8}T\d{6})(?:\.(\d{1,9}))?", re.ASCII)


def parse_wire_time(text: str) -> int:
    """Return the milliseconds that YYYYMMDDTHHMMSS[.fraction] names; ValueError if it does not."""
    match = _WIRE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not of the form YYYYMMDDTHHMMSS.ffffff")
    # The offset in the text makes the result aware; fromisoformat would accept forms that the wire has not.
    whole = dt.datetime.strptime(match[1] + "+0000", "%Y%m%dT%H%M%S%z")
    return round(whole.timestamp()) * 1000 + int((match[2] or "0").ljust(9, "0")[:3])


def wire_time(instant_ms: int, digits: int = 6, *, drops_zero: bool = False) -> str:
    """Return the text for an instant, with `digits` digits of the second's fraction."""
    seconds, milliseconds = divmod(instant_ms, 1000)
    text = utc(seconds * 1000).strftime("%Y%m%dT%H%M%S")
    if digits == 0 or (drops_zero and milliseconds == 0):
        return text
    return f"{text}.{milliseconds:03}".ljust(len(text) + 1 + digits, "0")


def utc(instant_ms: int) -> dt.datetime:
    """Return the instant as an aware datetime."""
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=instant_ms)

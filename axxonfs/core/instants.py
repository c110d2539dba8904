"""Instants, durations and sizes: as the wire has them, and as people write them.

Decides what a text means, and refuses what could mean two things: evidence is
never guessed. Pure: `now` is handed in. Imports the words of
error texts; every refusal is a ValueError that says what to write instead.
Facts: section 3 of the wire contract, and docs/semantics.md, "Starting an export".
"""

import datetime as dt
import re
import zoneinfo

from axxonfs.core import words

_WIRE = re.compile(r"\d{8}T\d{6}(\.\d{1,9})?", re.ASCII)
_RFC_3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d(?:\.\d+)?)(Z|z|[+-]\d\d:\d\d)?", re.ASCII)
# What lacks its seconds; an offset may be there or not.
_MINUTES = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d)(Z|z|[+-]\d\d:\d\d)?", re.ASCII)
_DURATION = re.compile(r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,9}(?:\.\d{1,6})?)s)?", re.ASCII)
_SIZE = re.compile(r"(\d{1,15})([KMGT]?)", re.ASCII)
_OFFSET = re.compile(r"([+-])([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
_SIZE_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}
_DAY_S = 86_400


def parse_wire(text: str) -> dt.datetime | None:
    """Return the UTC instant of a server's string; None for an empty or unreadable one.

    Servers send 0, 3, 6 or 9 fraction digits; what is finer than a microsecond is cut off.
    """
    if not _WIRE.fullmatch(text):
        return None
    try:
        return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)
    except ValueError:
        return None


def format_wire(instant: dt.datetime) -> str:
    """Return the one form that a real server is known to accept: UTC with six fraction digits."""
    text = instant.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
    return text.replace("-", "").replace(":", "")


def format_rfc3339(instant: dt.datetime) -> str:
    """Return an aware instant in UTC, ending in `Z`; a fraction only where there is one."""
    return instant.astimezone(dt.UTC).replace(tzinfo=None).isoformat() + "Z"


def is_relative(text: str) -> bool:
    """Whether `text` counts from now, as `now` and `-5m` do."""
    return text == "now" or (text.startswith("-") and not text.startswith("--"))


def parse_instant(text: str, *, now: dt.datetime, timezone: zoneinfo.ZoneInfo | None) -> dt.datetime:
    """Return the UTC instant that a person wrote.

    Args:
        text: RFC 3339 with an offset, or `now`, or `-1h30m` before now.
        now: aware; what relative instants count from.
        timezone: where given, a local time without offset is one of this zone.

    Raises:
        ValueError: the text is not an instant, or could be two.
    """
    try:
        if is_relative(text):
            return (now - _before(text)).astimezone(dt.UTC)
        return _absolute(text, timezone).astimezone(dt.UTC)
    except OverflowError:
        raise ValueError(f"{words.quote(text)} is outside of the calendar") from None


def _before(text: str) -> dt.timedelta:
    return dt.timedelta() if text == "now" else parse_duration(text[1:])


def _absolute(text: str, timezone: zoneinfo.ZoneInfo | None) -> dt.datetime:
    match = _RFC_3339.fullmatch(text)
    if minutes := _MINUTES.fullmatch(text):
        date, clock, offset = minutes.groups()
        raise ValueError(f'{words.quote(text)} has no seconds: write "{date}T{clock}:00{offset or "+02:00"}"')
    if not match:
        raise ValueError(
            f'{words.quote(text)} is not an instant: write it as in "2026-11-22T10:15:00+02:00", "-5m" or "now"'
        )
    date, clock, offset = match.groups()
    try:
        instant = dt.datetime.fromisoformat(f"{date}T{clock}{offset or ''}".upper())
    except ValueError as error:
        raise ValueError(f"{words.quote(text)} is not an instant: {error}") from None
    if offset:
        return instant
    if timezone is None:
        raise ValueError(
            f'"{text}" has no offset from UTC: add it, as in "{date}T{clock}+02:00" (or "{date}T{clock}Z"'
            ' if it is UTC), or name the zone, as in "timezone": "Europe/Berlin"'
        )
    return _localized(instant, timezone)


def _localized(local: dt.datetime, timezone: zoneinfo.ZoneInfo) -> dt.datetime:
    """Return the one instant at which the clocks of `timezone` show `local`."""
    earlier, later = (local.replace(tzinfo=timezone, fold=fold) for fold in (0, 1))
    if earlier.utcoffset() == later.utcoffset():
        return earlier
    # Going through UTC shows what the clocks really said, which differs in a gap.
    first, second = sorted(instant.astimezone(dt.UTC) for instant in (earlier, later))
    shown = [instant.astimezone(timezone).isoformat() for instant in (first, second)]
    twice = first.astimezone(timezone).replace(tzinfo=None) == local
    problem = "exists twice" if twice else "does not exist"
    raise ValueError(f'{local.isoformat()} {problem} in {timezone.key}: write "{shown[0]}" or "{shown[1]}"')


def parse_zone(name: str) -> zoneinfo.ZoneInfo:
    """Return the IANA time zone of that name.

    Raises:
        ValueError: there is none; the text names the nearest.
    """
    try:
        return zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # OSError: the name of a directory of zones, or too long
        near = words.nearest(name, sorted(zoneinfo.available_timezones()))
        hint = f"did you mean {words.listing(near)}?" if near else 'write it as in "Europe/Berlin"'
        raise ValueError(f"{words.quote(name)} is not an IANA time zone: {hint}") from None


def parse_offset(text: str) -> int:
    """Return the minutes east of UTC that `+02:00` stands for.

    Raises:
        ValueError: the text is not an offset.
    """
    match = _OFFSET.fullmatch(text)
    if not match:
        raise ValueError(f'{words.quote(text)} is not an offset from UTC: write it as in "+02:00"')
    sign, hours, minutes = match.groups()
    return int(f"{sign}{int(hours) * 60 + int(minutes)}")


def format_offset(minutes: int) -> str:
    """Return an offset from UTC (minutes, positive in the east) as `+02:00`."""
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def parse_duration(text: str) -> dt.timedelta:
    """Return the time that `90s`, `5m` or `1h30m` stands for; units are d, h, m, s, in that order.

    Raises:
        ValueError: the text is not a duration.
    """
    match = _DURATION.fullmatch(text)
    if not match or not text:
        raise ValueError(f'{words.quote(text)} is not a duration: write it as in "90s", "5m" or "1h30m"')
    days, hours, minutes, seconds = (group or "0" for group in match.groups())
    whole, _, fraction = seconds.partition(".")
    return dt.timedelta(
        days=int(days),
        hours=int(hours),
        minutes=int(minutes),
        seconds=int(whole),
        microseconds=int(fraction.ljust(6, "0")),  # never through a float: it would round
    )


def format_duration(duration: dt.timedelta) -> str:
    """Return a duration (not negative) as `parse_duration` reads it, in as few units as are needed."""
    total_s = duration.days * _DAY_S + duration.seconds
    counts = {"d": total_s // _DAY_S, "h": total_s // 3600 % 24, "m": total_s // 60 % 60}
    fraction = f".{duration.microseconds:06}".rstrip("0") if duration.microseconds else ""
    seconds = f"{total_s % 60}{fraction}"
    text = "".join(f"{count}{unit}" for unit, count in counts.items() if count)
    return f"{text}{seconds}s" if seconds != "0" or not text else text


def parse_size(text: str | int) -> int:
    """Return the bytes that `64K`, `256M` or `2G` stands for; units are binary, a plain number is bytes.

    Raises:
        ValueError: the text is not a size.
    """
    match = _SIZE.fullmatch(str(text).upper())
    if not match and (whole := _SIZE.fullmatch(re.sub("I?B$", "", str(text).upper()))):
        raise ValueError(f'{words.quote(text)} is not a size: units are binary and have one letter, write "{whole[0]}"')
    if not match:
        raise ValueError(f'{words.quote(text)} is not a size: write it as in "64K", "256M" or "2G"')
    return int(match[1]) * _SIZE_UNITS[match[2]]

import datetime as dt
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axxonfs.core import instants

NOW = dt.datetime(2026, 11, 22, 10, 15, tzinfo=dt.UTC)
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")

utc_instants = st.datetimes(timezones=st.just(dt.UTC))


def utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0, *fine: int) -> dt.datetime:
    second, microsecond = (*fine, 0, 0)[:2]
    return dt.datetime(year, month, day, hour, minute, second, microsecond, dt.UTC)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("20260330T081832", utc(2026, 3, 30, 8, 18, 32)),
        ("20200225T125548.340", utc(2020, 2, 25, 12, 55, 48, 340_000)),
        ("20260511T080814.064000", utc(2026, 5, 11, 8, 8, 14, 64_000)),
        ("20260511T080814.064000999", utc(2026, 5, 11, 8, 8, 14, 64_000)),
        ("20260511T080814.1", utc(2026, 5, 11, 8, 8, 14, 100_000)),
    ],
)
def test_the_wire_forms_of_real_servers_are_read(text: str, instant: dt.datetime) -> None:
    assert instants.parse_wire(text) == instant


@pytest.mark.parametrize(
    "text",
    [
        "",
        "past",
        "20261322T101500",
        "20261122T101500Z",
        "2026-11-22T10:15:00",
        "20261122T101500.",
        "2026112\N{ARABIC-INDIC DIGIT TWO}T101500",
    ],
)
def test_an_unreadable_wire_string_is_no_instant(text: str) -> None:
    assert instants.parse_wire(text) is None


@given(utc_instants)
def test_what_is_written_for_the_wire_reads_back_and_has_six_digits(instant: dt.datetime) -> None:
    text = instants.format_wire(instant)
    assert len(text) == len("20260511T080814.064000")
    assert instants.parse_wire(text) == instant


@given(utc_instants)
def test_rfc_3339_text_reads_back(instant: dt.datetime) -> None:
    text = instants.format_rfc3339(instant)
    assert text.endswith("Z")
    assert instants.parse_instant(text, now=NOW, timezone=None) == instant


def test_local_instants_are_written_in_utc() -> None:
    local = dt.datetime(2026, 11, 22, 10, 15, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    assert instants.format_wire(local) == "20261122T081500.000000"
    assert instants.format_rfc3339(local) == "2026-11-22T08:15:00Z"


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-22T10:15:00+02:00", utc(2026, 11, 22, 8, 15)),
        ("2026-11-22T10:15:00.25-01:30", utc(2026, 11, 22, 11, 45, 0, 250_000)),
        ("2026-11-22t10:15:00z", utc(2026, 11, 22, 10, 15)),
        ("2026-11-22 10:15:00Z", utc(2026, 11, 22, 10, 15)),
        ("now", NOW),
        ("-5m", utc(2026, 11, 22, 10, 10)),
        ("-1h30m", utc(2026, 11, 22, 8, 45)),
        ("-2d", utc(2026, 11, 20, 10, 15)),
    ],
)
def test_instants_are_read_as_people_write_them(text: str, instant: dt.datetime) -> None:
    assert instants.parse_instant(text, now=NOW, timezone=None) == instant


def test_a_local_time_is_read_in_the_zone_that_was_named() -> None:
    read = instants.parse_instant("2026-07-01T12:00:00", now=NOW, timezone=BERLIN)
    assert read == utc(2026, 7, 1, 10, 0)


def test_an_offset_counts_more_than_the_zone() -> None:
    read = instants.parse_instant("2026-07-01T12:00:00Z", now=NOW, timezone=BERLIN)
    assert read == utc(2026, 7, 1, 12, 0)


@pytest.mark.parametrize(
    ("text", "zone", "says"),
    [
        ("2026-11-22T10:15:00", None, 'add it, as in "2026-11-22T10:15:00+02:00"'),
        ("22.11.2026 10:15", None, 'write it as in "2026-11-22T10:15:00+02:00"'),
        ("2026-11-22T10:15+02:00", None, 'has no seconds: write "2026-11-22T10:15:00+02:00"'),
        ("2026-02-30T10:15:00Z", None, "day is out of range"),
        ("2026-11-22T10:15:60Z", None, "second must be in"),
        ("20261122T101500", None, "is not an instant"),
        ("-5 minutes", None, "is not a duration"),
        ("-", None, "is not a duration"),
        ("-999999d", None, "outside of the calendar"),
        ("0001-01-01T00:00:00+14:00", None, "outside of the calendar"),
        (
            "2026-10-25T02:30:00",
            BERLIN,
            'exists twice in Europe/Berlin: write "2026-10-25T02:30:00+02:00" or "2026-10-25T02:30:00+01:00"',
        ),
        (
            "2026-03-29T02:30:00",
            BERLIN,
            'does not exist in Europe/Berlin: write "2026-03-29T01:30:00+01:00" or "2026-03-29T03:30:00+02:00"',
        ),
    ],
)
def test_what_is_no_instant_or_could_be_two_is_refused_with_words(
    text: str, zone: zoneinfo.ZoneInfo | None, says: str
) -> None:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 - the text is looked at below
        instants.parse_instant(text, now=NOW, timezone=zone)
    assert says in str(refusal.value)


@given(st.text(), st.sampled_from([None, BERLIN]))
def test_any_text_is_an_instant_or_refused(text: str, zone: zoneinfo.ZoneInfo | None) -> None:
    try:
        instant = instants.parse_instant(text, now=NOW, timezone=zone)
    except ValueError:
        return
    assert instant.tzinfo is dt.UTC


@given(st.datetimes(), st.sampled_from(sorted(zoneinfo.available_timezones())).map(zoneinfo.ZoneInfo))
def test_a_local_time_is_never_guessed(local: dt.datetime, zone: zoneinfo.ZoneInfo) -> None:
    try:
        instant = instants.parse_instant(local.isoformat(), now=NOW, timezone=zone)
    except ValueError:
        return
    assert instant.astimezone(zone).replace(tzinfo=None) == local
    # No other instant within a day shows the same time on the clocks of that zone.
    for fold in (0, 1):
        assert local.replace(tzinfo=zone, fold=fold).utcoffset() == instant.astimezone(zone).utcoffset()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Europe/Berln", 'did you mean "Europe/Berlin"?'),
        ("CEST5", "is not an IANA time zone"),
        ("Europe", "is not an IANA time zone"),
        ("../../etc/passwd", "is not an IANA time zone"),
        ("", "is not an IANA time zone"),
        ("a\0b", "is not an IANA time zone"),
        ("x" * 5000, "is not an IANA time zone"),
    ],
)
def test_an_unknown_zone_is_refused_with_the_nearest(name: str, says: str) -> None:
    with pytest.raises(ValueError) as refusal:  # noqa: PT011 - the text is looked at below
        instants.parse_zone(name)
    assert says in str(refusal.value)
    assert len(str(refusal.value)) < 200


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("5m", 300), ("1h30m", 5400), ("2d", 172_800), ("0s", 0), ("1d1h1m1.5s", 90_061.5)],
)
def test_durations_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert instants.parse_duration(text) == dt.timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "90", "5 m", "1m1h", "-5m", "five", "1.5h", "9999999d", "\N{ARABIC-INDIC DIGIT FIVE}m"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        instants.parse_duration(text)


@given(st.timedeltas(min_value=dt.timedelta(), max_value=dt.timedelta(days=999_999)))
def test_a_duration_reads_back(duration: dt.timedelta) -> None:
    assert instants.parse_duration(instants.format_duration(duration)) == duration


def test_a_duration_is_written_in_as_few_units_as_are_needed() -> None:
    texts = [instants.format_duration(dt.timedelta(seconds=seconds)) for seconds in (0, 90, 300, 5400, 86_401.25)]
    assert texts == ["0s", "1m30s", "5m", "1h30m", "1d1.25s"]


@pytest.mark.parametrize(
    ("text", "size"), [("64K", 65_536), ("256m", 268_435_456), ("2G", 2 * 1024**3), ("1T", 1024**4), (5, 5), ("7", 7)]
)
def test_sizes_are_binary(text: str | int, size: int) -> None:
    assert instants.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "K", "-1", "1.5G", "10MB", "1 G", "9" * 20, True])
def test_what_is_no_size_is_refused(text: str | int) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        instants.parse_size(text)


@given(st.integers(-1439, 1439))
def test_an_offset_reads_back(minutes: int) -> None:
    assert instants.parse_offset(instants.format_offset(minutes)) == minutes


@pytest.mark.parametrize("text", ["", "02:00", "+2:00", "+02:60", "+24:00", "Europe/Berlin", "120"])
def test_what_is_no_offset_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an offset"):
        instants.parse_offset(text)

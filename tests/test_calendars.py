"""Calendars: local times become intervals by one plain rule, whatever the clocks do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from makespan.calendars import Closed, Periods
from makespan.errors import UsageError

SECOND = 1_000_000_000
HOUR = 3600 * SECOND


def at(text: str) -> int:
    """A moment in UTC as wall nanoseconds."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


def shown(interval: tuple[int, int] | None) -> tuple[str, str] | None:
    if interval is None:
        return None
    start, end = (datetime.fromtimestamp(each // SECOND, UTC).strftime("%m-%d %H:%M") for each in interval)
    return start, end


@pytest.mark.parametrize(
    ("text", "now", "expected"),
    [
        ("Mon-Fri 02:00-04:00 Europe/Berlin", "2026-11-20T12:00", ("11-23 01:00", "11-23 03:00")),
        ("Mon-Fri 02:00-04:00 Europe/Berlin", "2026-11-23T02:00", ("11-23 01:00", "11-23 03:00")),
        ("22:00-06:00", "2026-11-23T05:00", ("11-22 22:00", "11-23 06:00")),
        ("Sat,Sun 00:00-24:00", "2026-11-20T00:00", ("11-21 00:00", "11-23 00:00")),
        ("2026-12-24T00:00/2026-12-27T00:00 Europe/Berlin", "2026-11-20T00:00", ("12-23 23:00", "12-26 23:00")),
        ("2026-12-24T00:00+02:00/2026-12-27T00:00Z", "2026-11-20T00:00", ("12-23 22:00", "12-27 00:00")),
        ("2026-12-24T00:00/2026-12-27T00:00", "2026-12-27T00:00", None),
    ],
)
def test_a_closing_is_the_next_interval_that_has_not_ended(
    text: str, now: str, expected: tuple[str, str] | None
) -> None:
    assert shown(Closed([text]).next(at(now))) == expected


def test_a_closing_that_begins_in_the_hour_that_is_left_out_begins_with_the_change() -> None:
    assert shown(Closed(["02:30-04:00 Europe/Berlin"]).next(at("2026-03-29T00:00"))) == ("03-29 01:00", "03-29 02:00")


def test_a_closing_in_the_hour_that_comes_twice_lasts_from_the_first_to_the_second() -> None:
    assert shown(Closed(["02:30-03:00 Europe/Berlin"]).next(at("2026-10-24T23:00"))) == ("10-25 00:30", "10-25 02:00")


def test_closings_that_touch_are_one() -> None:
    assert shown(Closed(["02:00-04:00", "04:00-05:00", "03:00-03:30"]).next(at("2026-11-20T00:00"))) == (
        "11-20 02:00",
        "11-20 05:00",
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Mon-Fri 02:00", "write 'Mon-Fri"),
        ("Foo 02:00-03:00", "'foo' is no day"),
        ("25:00-26:00", "from 00:00 to 24:00"),
        ("00:00-24:00", "would never be open"),
        ("02:00-03:00 Europe/Berln", "did you mean 'Europe/Berlin'"),
        ("2026-12-24T00:00/2026-12-23T00:00", "ends before it begins"),
        ("2026-13-24T00:00/2026-12-23T00:00", "month must be in 1..12"),
    ],
)
def test_what_is_no_closing_is_refused_saying_what_to_write(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said.replace(".", r"\.")):
        Closed([text])


@given(
    st.integers(at("2026-01-01T00:00") // SECOND, at("2028-01-01T00:00") // SECOND),
    st.integers(0, 23),
    st.integers(1, 24),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]),
)
def test_whenever_the_clock_shows_a_time_inside_it_is_closed(second: int, start: int, hours: int, zone: str) -> None:
    end = (start + hours) % 24
    if end == start:
        return
    local = datetime.fromtimestamp(second, ZoneInfo(zone))
    minute, last = local.hour * 60 + local.minute, end * 60 or 1440
    is_inside = start * 60 <= minute < last if start * 60 < last else minute >= start * 60 or minute < last

    found = Closed([f"{start:02}:00-{end:02}:00 {zone}"]).next(second * SECOND)

    assert found is not None
    assert found[1] > second * SECOND
    assert not is_inside or found[0] <= second * SECOND


@given(
    st.integers(at("2026-01-01T00:00") // SECOND, at("2028-01-01T00:00") // SECOND),
    st.sampled_from(["minute", "hour", "day", "week", "month"]),
    st.sampled_from(["Europe/Berlin", "America/New_York", ""]),
)
def test_periods_follow_each_other_without_a_gap(second: int, per: str, zone: str) -> None:
    periods = Periods(per, zone)

    found = periods.next(second * SECOND)
    assert found is not None
    start, end = found
    after = periods.next(end)
    assert after is not None

    assert start <= second * SECOND < end == after[0]
    assert after[1] - after[0] <= 32 * 24 * HOUR


def test_a_day_with_a_change_of_clocks_is_a_day() -> None:
    found = Periods("day", "Europe/Berlin").next(at("2026-10-25T12:00"))

    assert found is not None
    assert timedelta(seconds=(found[1] - found[0]) // SECOND) == timedelta(hours=25)


def test_a_period_nobody_knows_is_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'day'"):
        Periods("dayy")

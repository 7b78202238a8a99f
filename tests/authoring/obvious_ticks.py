"""The slow and obvious way to know when a schedule ticks: look at a clock on the wall every minute."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)


class Times(NamedTuple):
    """The times of day that an expression means, said twice: for the library, and plainly for the oracle."""

    expression: str
    hours: frozenset[int]
    minutes: frozenset[int]
    is_written_out: bool
    weekdays: frozenset[int] = frozenset(range(7))

    def shows(self, local: datetime) -> bool:
        return local.hour in self.hours and local.minute in self.minutes and local.weekday() in self.weekdays


NIGHTLY = Times("30 2 * * *", frozenset({2}), frozenset({30}), True)
MIDNIGHT = Times("0 0 * * *", frozenset({0}), frozenset({0}), True)
TWICE = Times("15,45 1,2 * * *", frozenset({1, 2}), frozenset({15, 45}), True)
WORKDAYS = Times("5 3 * * MON-FRI", frozenset({3}), frozenset({5}), True, frozenset(range(5)))
HALF_HOURS = Times("*/30 0-3 * * *", frozenset(range(4)), frozenset({0, 30}), False)
THIRD_HOUR = Times("*/20 3 * * *", frozenset({3}), frozenset({0, 20, 40}), False)
EACH = (NIGHTLY, MIDNIGHT, TWICE, WORKDAYS, HALF_HOURS, THIRD_HOUR)

ODD_ZONES = {
    "Europe/Berlin": 2026,
    "America/New_York": 2026,
    "Australia/Lord_Howe": 2026,  # moves by half an hour
    "Asia/Kathmandu": 2026,  # 5:45 ahead
    "Africa/Casablanca": 2026,  # back an hour for Ramadan
    "Africa/Cairo": 2026,  # moves at midnight
    "America/Sao_Paulo": 2017,  # moved at midnight, until 2019
    "Pacific/Apia": 2011,  # went without 30 December 2011
    "UTC": 2026,
}
"""Each with a year whose clocks, and those of the next, do something odd."""


def obvious_ticks(times: Times, zone: ZoneInfo, start: datetime, end: datetime) -> Iterator[datetime]:
    """The moments in (start, end] at which the schedule ticks, both in UTC and on whole minutes."""
    shown = start.astimezone(zone)
    moment = start
    while moment < end:
        moment += MINUTE
        before, shown = shown, moment.astimezone(zone)
        if not times.is_written_out:
            if times.shows(shown):
                yield moment
            continue
        left_out = before.replace(tzinfo=None) + MINUTE
        is_due = times.shows(shown) and shown.fold == 0
        while left_out < shown.replace(tzinfo=None):  # minutes that no clock showed
            is_due = is_due or times.shows(left_out)
            left_out += MINUTE
        if is_due:
            yield moment


def two_years(year: int) -> tuple[datetime, datetime]:
    return datetime(year, 1, 1, tzinfo=UTC), datetime(year + 2, 1, 1, tzinfo=UTC)

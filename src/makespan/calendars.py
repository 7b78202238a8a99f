"""Times of the clock as intervals of wall time: when a pool is closed, and the periods of a budget.

    "Mon-Fri 02:00-04:00 Europe/Berlin"      days (all, if left out), hours (over midnight too), zone (UTC)
    "2026-12-24T00:00/2026-12-27T00:00"      once; a zone behind it, or offsets in it

Rule for changes of clocks: an interval lasts from the first moment at which clocks show its start to the last at which
they show its end; a time that a change leaves out is the moment of the change. So everything at which the clock shows a
time inside is inside, and errs on being closed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo

from makespan.errors import UsageError, suggestion

SECOND_NS = 1_000_000_000
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
PERIODS = ("minute", "hour", "day", "week", "month")
LOOK_AHEAD_DAYS = 9
"""More than a week: a weekly closing comes again in it."""

_HOURS = re.compile(r"(\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})")
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2})?(Z|[+-]\d{2}:\d{2})?")
_EXAMPLES = "write 'Mon-Fri 02:00-04:00 Europe/Berlin' or '2026-12-24T00:00/2026-12-27T00:00 Europe/Berlin'"

Interval = tuple[int, int]


class Closed:
    """When something is closed: `machine.resources.Calendar` over texts.

    Raises:
        UsageError: a text that means nothing, a zone nobody knows, or it would never be open.
    Cost: `next` takes about 50 µs a text, and is asked once an interval.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = (texts,) if isinstance(texts, str) else tuple(texts)
        rules = [_rule(text) for text in self.texts]
        self._weekly = [rule for rule in rules if isinstance(rule, _Weekly)]
        self._once = [rule for rule in rules if not isinstance(rule, _Weekly)]
        if _covers_the_week(self._weekly):
            raise UsageError(f"closed = {list(self.texts)}: it would never be open")

    def next(self, at: int) -> Interval | None:
        """The first closed interval (start, end), wall nanoseconds, that ends after `at`; None when none is to come."""
        found = [each for rule in self._weekly for each in rule.around(at)] + self._once
        ahead = sorted(each for each in found if each[1] > at)
        if not ahead:
            return None
        start, end = ahead[0]
        for other_start, other_end in ahead[1:]:
            if other_start > end:
                break
            end = max(end, other_end)
        return start, end


class Periods:
    """Minutes, hours, days, weeks (from Monday) or months of a zone, one after the other.

    Raises:
        UsageError: no such period or zone.
    """

    def __init__(self, per: str, zone: str = "") -> None:
        if per not in PERIODS:
            raise UsageError(f"per = {per!r}: it is one of {', '.join(PERIODS)}{suggestion(per, PERIODS)}")
        self.per, self.zone = per, zone
        self._zone = _zone(zone)

    def next(self, at: int) -> Interval | None:
        """(start, end) of the period that `at` is in, wall nanoseconds."""
        if self.per in ("minute", "hour"):
            length = (60 if self.per == "minute" else 3600) * SECOND_NS
            start = at - at % length
            return start, start + length
        today = _local(at, self._zone).date()
        first = {
            "day": today,
            "week": today - timedelta(days=today.weekday()),
            "month": today.replace(day=1),
        }[self.per]
        after = (first + timedelta(days={"day": 1, "week": 7, "month": 32}[self.per])).replace(
            **({"day": 1} if self.per == "month" else {})
        )
        return _midnight(first, self._zone), _midnight(after, self._zone)


class _Weekly:
    """The same hours on some days of each week."""

    def __init__(self, days: frozenset[int], start: int, end: int, zone: tzinfo) -> None:
        self.days, self.start, self.end, self._zone = days, start, end, zone

    def around(self, at: int) -> Iterator[Interval]:
        """Its intervals from a day before to the next week, in order."""
        first = _local(at, self._zone).date() - timedelta(days=2)
        for ahead in range(LOOK_AHEAD_DAYS + 2):
            day = first + timedelta(days=ahead)
            if day.weekday() in self.days:
                yield (
                    _moment(_minute(day, self.start), self._zone, last=False),
                    _moment(_minute(day, self.end), self._zone, last=True),
                )


def _rule(text: str) -> _Weekly | Interval:
    if not isinstance(text, str):
        raise UsageError(f"closed = {text!r}: it is a text; {_EXAMPLES}")
    return _once(text) if "/" in text.split(" ")[0] or _MOMENT.match(text) else _weekly(text)


def _weekly(text: str) -> _Weekly:
    words = text.split()
    hours = next((place for place, word in enumerate(words) if _HOURS.fullmatch(word)), None)
    if hours is None or hours > 1 or len(words) > hours + 2:
        raise UsageError(f"closed = {text!r}: {_EXAMPLES}")
    found = _HOURS.fullmatch(words[hours])
    assert found is not None
    h1, m1, h2, m2 = map(int, found.groups())
    if h1 > 23 or m1 > 59 or m2 > 59 or h2 * 60 + m2 > 24 * 60:
        raise UsageError(f"closed = {text!r}: hours go from 00:00 to 24:00")
    start, end = h1 * 60 + m1, h2 * 60 + m2
    days = _days(words[0], text) if hours else frozenset(range(7))
    zone = _zone(words[hours + 1]) if len(words) > hours + 1 else UTC
    return _Weekly(days, start, end if end > start else end + 24 * 60, zone)


def _days(said: str, text: str) -> frozenset[int]:
    found: set[int] = set()
    for part in said.lower().split(","):
        first, _, last = part.partition("-")
        for name in (first, last or first):
            if name[:3] not in DAYS or len(name) < 3:
                raise UsageError(f"closed = {text!r}: {name!r} is no day; days are Mon, Tue, Wed, Thu, Fri, Sat, Sun")
        start, end = DAYS.index(first[:3]), DAYS.index((last or first)[:3])
        found.update((start + ahead) % 7 for ahead in range((end - start) % 7 + 1))
    return frozenset(found)


def _once(text: str) -> Interval:
    span, _, zone = text.strip().partition(" ")
    known = _zone(zone.strip()) if zone.strip() else UTC
    moments = span.split("/")
    if len(moments) != 2 or not all(_MOMENT.fullmatch(each) for each in moments):
        raise UsageError(f"closed = {text!r}: {_EXAMPLES}")
    try:
        start, end = (_read(each, known, last=bool(place)) for place, each in enumerate(moments))
    except ValueError as error:
        raise UsageError(f"closed = {text!r}: {error}; {_EXAMPLES}") from None
    if end <= start:
        raise UsageError(f"closed = {text!r}: it ends before it begins")
    return start, end


def _read(said: str, zone: tzinfo, *, last: bool) -> int:
    moment = datetime.fromisoformat(said)
    if moment.tzinfo is not None:
        return round(moment.timestamp()) * SECOND_NS
    return _moment(moment, zone, last=last)


def _minute(day: date, minute: int) -> datetime:
    return datetime(day.year, day.month, day.day) + timedelta(minutes=minute)  # noqa: DTZ001 - a clock's time, no moment


def _midnight(day: date, zone: tzinfo) -> int:
    return _moment(_minute(day, 0), zone, last=False)


def _moment(local: datetime, zone: tzinfo, *, last: bool) -> int:
    """The first (or last) moment at which clocks of the zone show this time; of one left out, that of the change."""
    early = round(local.replace(tzinfo=zone, fold=0).timestamp())
    late = round(local.replace(tzinfo=zone, fold=1).timestamp())
    if early <= late:
        return (late if last else early) * SECOND_NS
    before = _offset(late, zone)  # left out: the change is between the two readings of it
    low, high = late, early
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(middle, zone) == before:
            low = middle
        else:
            high = middle
    return high * SECOND_NS


def _offset(second: int, zone: tzinfo) -> timedelta | None:
    return datetime.fromtimestamp(second, zone).utcoffset()


def _local(at: int, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(at // SECOND_NS, zone)


def _covers_the_week(weekly: Iterable[_Weekly]) -> bool:
    minutes: set[int] = set()
    for rule in weekly:
        for day in rule.days:
            minutes.update((day * 1440 + minute) % 10080 for minute in range(rule.start, rule.end))
    return len(minutes) == 10080


def _zone(name: str) -> tzinfo:
    if not name or name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        known = available_timezones()
    if not known:
        raise UsageError(f"zone {name!r}: this machine has no time zones; install them with: pip install tzdata")
    raise UsageError(f"zone {name!r}: no time zone has this name{suggestion(name, known)}; write e.g. Europe/Berlin")

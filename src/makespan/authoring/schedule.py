"""`Cron`: when a workflow starts by itself. Ticks are moments in UTC, made from local times by two plain rules.

    fields ──cronsim──▶ local times without a zone ──zoneinfo──▶ moments

    minutes and hours written out ("30 2 * * *"): once for each local time, whatever the clocks do. A time that a
        change of clocks leaves out happens at the first moment after the gap, one that comes twice at its first.
    minutes or hours by `*` ("*/10 * * * *"): whenever the clock shows such a time. Times in a gap do not happen, the
        hour that comes twice has its ticks twice.

This is what Debian's cron does. The library reads the fields and walks the calendar, where it is well tested; the clock
changes are done here, because it loses ticks in zones whose clocks move by half an hour.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

from makespan.errors import GraphError, suggestion

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

SECOND_NS = 1_000_000_000
MIN_EVERY_S = 1.0
STRIDE_S = 2 * 86_400
"""Longer than clocks were ever moved at once (a day), with room to spare."""
FIRST_WINDOW_NS = 60 * SECOND_NS

ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
FIELDS = ("second", "minute", "hour", "day-of-month", "month", "day-of-week")
MISSED = ("once", "skip", "all")
OVERLAP = ("skip", "queue", "cancel", "allow")
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - local times stand without a zone until their moment is looked up


class Cron:
    """A schedule: `Cron("30 2 * * *", tz="Europe/Berlin")`, or `Cron(every_s=300)`.

    Args:
        expression: minute, hour, day of month, month, day of week (`L`, `LW`, `MON#2` and names too); six fields begin
            with seconds; or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
        every_s: instead, every so many seconds, counted from 1970 in UTC: the same moments on every machine.
        tz: zone of the expression and of `ms.context().scheduled_at`.
        missed: what happens after downtime to ticks that nobody was there for: `once` starts the latest, `skip` none,
            `all` each of them.
        overlap: what happens to a tick while an earlier run is on: `skip` drops it, `queue` starts it afterwards,
            `cancel` cancels the earlier run first, `allow` starts it beside. Default: `skip`; with `missed="all"`,
            `queue`.
    Raises:
        GraphError: what was given means nothing, names no zone, or never comes.
    """

    __slots__ = ("_calendar", "_is_written_out", "every_ns", "expression", "missed", "overlap", "tz", "zone")

    def __init__(
        self,
        expression: str = "",
        *,
        every_s: float | None = None,
        tz: str = "UTC",
        missed: Literal["once", "skip", "all"] = "once",
        overlap: Literal["skip", "queue", "cancel", "allow"] | None = None,
    ) -> None:
        if bool(expression) == (every_s is not None):
            raise GraphError('a Cron is Cron("30 2 * * *") or Cron(every_s=300): give one of the two')
        self.expression = expression
        self.tz = tz
        self.zone = _zone(tz)
        self.missed = _one_of("missed", missed, MISSED)
        self.overlap = _one_of("overlap", overlap or ("queue" if missed == "all" else "skip"), OVERLAP)
        self.every_ns = 0 if every_s is None else _every(every_s)
        self._calendar: Any = None
        self._is_written_out = False
        if every_s is None:
            fields = _fields(expression)
            self._calendar = _calendar(expression, fields)
            self._is_written_out = not any(field.startswith("*") for field in fields[1:3])

    @property
    def rule(self) -> str:
        """The schedule in one line."""
        return f"every {self.every_ns / SECOND_NS:g}s" if self.every_ns else f"{self.expression} {self.tz}"

    def __repr__(self) -> str:
        said = f"every_s={self.every_ns / SECOND_NS:g}" if self.every_ns else f"{self.expression!r}"
        return f"Cron({said}, tz={self.tz!r}, missed={self.missed!r}, overlap={self.overlap!r})"

    def local(self, tick_ns: int) -> datetime:
        """A moment in the schedule's zone."""
        return moment(tick_ns, self.zone)

    # ------------------------------------------------------------ ticks

    def ticks(self, after_ns: int) -> Iterator[int]:
        """Wall times in nanoseconds, UTC, all later than `after_ns`, in order. Cost: about 30 µs each."""
        if self.every_ns:
            tick = (after_ns // self.every_ns + 1) * self.every_ns
            while True:
                yield tick
                tick += self.every_ns
        walk = self._written_out if self._is_written_out else self._by_the_clock
        for second in walk(after_ns // SECOND_NS):
            yield second * SECOND_NS

    def latest(self, after_ns: int, until_ns: int, count: int) -> tuple[list[int], bool]:
        """The latest `count` ticks in (after, until], in order, and whether there were earlier ones.

        Cost: as `ticks`, for those there are, or a few times `count`, however far apart the two moments are.
        """
        first = list(takewhile(lambda tick: tick <= until_ns, islice(self.ticks(after_ns), count + 1)))
        if len(first) <= count:
            return first, False
        window = FIRST_WINDOW_NS
        while True:
            start = max(after_ns, until_ns - window)
            found = list(takewhile(lambda tick: tick <= until_ns, self.ticks(start)))
            if len(found) > count or start == after_ns:
                return found[-count:], len(found) > count
            window *= 2

    def _by_the_clock(self, after: int) -> Iterator[int]:
        """Seconds at which the clock shows a time of the expression: one stretch of constant offset after another."""
        at, offset = after, self._offset(after)
        while True:
            local = self._next_local(at + offset)
            if local is None:
                return
            tick = local - offset
            reach = min(tick, at + STRIDE_S)
            changed = self._first_change(at, reach, offset)
            if changed is not None:
                at, offset = changed - 1, self._offset(changed)
            elif reach == tick:
                yield tick
                at = tick
            else:  # too far away for any change of clocks in between to bring it nearer
                at = max(reach, tick - STRIDE_S)
                offset = self._offset(at)

    def _written_out(self, after: int) -> Iterator[int]:
        """Seconds that stand for each local time of the expression, in order, none twice."""
        offset = self._offset(after)
        is_calm = self._offset(after - STRIDE_S) == offset
        local: int | None = after + offset - (0 if is_calm else STRIDE_S)
        latest = after
        while local is not None:
            local = self._next_local(local)
            if local is not None:
                tick = self._moment_of(local)
                if tick > latest:
                    yield tick
                    latest = tick

    def _next_local(self, after: int) -> int | None:
        """The expression's next time on a clock that never changes; None where the calendar has no more."""
        calendar = copy(self._calendar)
        calendar.dt = _EPOCH + timedelta(seconds=after)
        found = next(calendar, None)
        return None if found is None else round((found - _EPOCH).total_seconds())

    def _moment_of(self, local: int) -> int:
        """The first moment at which clocks show this time, or the first after the gap that leaves it out."""
        shown = (_EPOCH + timedelta(seconds=local)).replace(tzinfo=self.zone)
        early = round(shown.timestamp())
        if early + self._offset(early) == local:
            return early
        before = round(shown.replace(fold=1).timestamp())
        gap_end = self._first_change(before, early, self._offset(before))
        return early if gap_end is None else gap_end

    def _offset(self, second: int) -> int:
        """What local clocks are ahead of UTC at this moment, in seconds."""
        ahead = datetime.fromtimestamp(second, self.zone).utcoffset()
        assert ahead is not None
        return round(ahead.total_seconds())

    def _first_change(self, after: int, until: int, offset: int) -> int | None:
        """The first second in (after, until] with another offset; None without one."""
        if self._offset(until) == offset:
            return None
        low, high = after, until
        while high - low > 1:
            middle = (low + high) // 2
            if self._offset(middle) == offset:
                low = middle
            else:
                high = middle
        return high


def moment(wall_ns: int, zone: ZoneInfo) -> datetime:
    """A wall time in nanoseconds as an aware datetime, to the microsecond."""
    return (_EPOCH.replace(tzinfo=UTC) + timedelta(microseconds=wall_ns // 1000)).astimezone(zone)


def scheduled_moment(wall_ns: int | None, zone: str, run_id: str) -> datetime:
    """What `ms.context().scheduled_at` is. Raises GraphError where no schedule started the run."""
    if wall_ns is None:
        raise GraphError(
            f"scheduled_at: run {run_id} was not started by a schedule. Start it for a moment of your own with "
            "ms.run(..., scheduled_at=datetime(..., tzinfo=...)), or take the day as a parameter with a default"
        )
    return moment(wall_ns, _zone(zone or "UTC"))


def wall_and_zone(at: Any, schedule: Cron | None) -> tuple[int | None, str]:
    """A moment given as a run's `scheduled_at` as wall nanoseconds and the name of a zone.

    Raises:
        GraphError: it has no zone.
    """
    if at is None:
        return None, ""
    if not isinstance(at, datetime) or at.utcoffset() is None:
        raise GraphError(f"scheduled_at={at!r}: it is a datetime with a zone, e.g. datetime(..., tzinfo=UTC)")
    wall_ns: int = (at - _EPOCH.replace(tzinfo=UTC)) // timedelta(microseconds=1) * 1000
    own: str | None = getattr(at.tzinfo, "key", None)
    return wall_ns, own or (schedule.tz if schedule is not None else "UTC")


def _zone(name: str) -> ZoneInfo:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        known = available_timezones()
    if not known:
        raise GraphError(f"tz={name!r}: this machine has no time zones; install them with: pip install tzdata")
    raise GraphError(f"tz={name!r}: no time zone has this name{suggestion(name, known)}; write e.g. Europe/Berlin")


def _one_of(option: str, given: Any, allowed: tuple[str, ...]) -> str:
    if given not in allowed:
        raise GraphError(f"{option}={given!r}: it is one of {', '.join(allowed)}{suggestion(str(given), allowed)}")
    return str(given)


def _every(every_s: Any) -> int:
    is_number = isinstance(every_s, int | float) and not isinstance(every_s, bool) and isfinite(every_s)
    if not is_number or every_s < MIN_EVERY_S:
        raise GraphError(f"every_s={every_s!r}: it is a number of seconds, at least {MIN_EVERY_S:g}")
    return round(float(every_s) * SECOND_NS)


def _fields(expression: Any) -> list[str]:
    """The six fields of an expression."""
    if not isinstance(expression, str):
        raise GraphError(f"Cron({expression!r}): the expression is a text, e.g. '30 2 * * *'")
    text = ALIASES.get(expression.strip().lower(), expression.strip())
    if text.startswith("@"):
        raise GraphError(
            f"Cron({expression!r}): no such name{suggestion(text, ALIASES)}; there are {', '.join(ALIASES)}"
        )
    parts = text.split()
    if len(parts) not in (5, 6):
        raise GraphError(
            f"Cron({expression!r}): {len(parts)} fields; write five (minute hour day-of-month month day-of-week) "
            "or six (seconds first), e.g. '30 2 * * *'"
        )
    return ["0", *parts] if len(parts) == 5 else parts


def _calendar(expression: str, fields: list[str]) -> Any:
    """What walks the calendar for these fields. It has a next time."""
    from cronsim import CronSim, CronSimError

    try:
        calendar = CronSim(" ".join(fields), _EPOCH)
    except CronSimError as error:
        raise GraphError(f"Cron({expression!r}): {_said(str(error), fields)}") from None
    if next(copy(calendar), None) is None:
        raise GraphError(f"Cron({expression!r}): no day in fifty years fits; it would never start")
    return calendar


def _said(problem: str, fields: list[str]) -> str:
    name = problem.removeprefix("Bad ")
    if name not in FIELDS:
        return problem
    return f"the field {name} cannot be {fields[FIELDS.index(name)]!r}"

"""`Cron`: when it ticks, compared with a clock that is looked at every minute, and what it refuses."""

from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from random import Random
from zoneinfo import ZoneInfo

import pytest

import makespan as ms
from tests.authoring.obvious_ticks import EACH, NIGHTLY, ODD_ZONES, Times, obvious_ticks, two_years

SECOND = 1_000_000_000


def nanos(at: datetime) -> int:
    return round(at.timestamp()) * SECOND


def ticks(cron: ms.Cron, start: datetime, end: datetime) -> list[int]:
    return list(takewhile(lambda tick: tick <= nanos(end), cron.ticks(nanos(start))))


def changes(zone: ZoneInfo, year: int) -> list[datetime]:
    """The days in two years on which the zone's clocks are moved."""
    start, end = two_years(year)
    days = [start + timedelta(days=n) for n in range((end - start).days)]
    return [
        day
        for day in days
        if day.astimezone(zone).utcoffset() != (day + timedelta(days=1)).astimezone(zone).utcoffset()
    ]


@pytest.mark.parametrize("zone", ODD_ZONES)
@pytest.mark.parametrize("times", EACH, ids=lambda times: times.expression)
def test_ticks_around_each_change_of_clocks_are_those_a_clock_on_the_wall_shows(zone: str, times: Times) -> None:
    place = ZoneInfo(zone)
    days = changes(place, ODD_ZONES[zone]) or [datetime(2026, 3, 29, tzinfo=UTC)]
    for day in days:
        start, end = day - timedelta(days=1), day + timedelta(days=2)

        found = ticks(ms.Cron(times.expression, tz=zone), start, end)

        assert found == [nanos(at) for at in obvious_ticks(times, place, start, end)]


@pytest.mark.prove
@pytest.mark.parametrize("zone", ODD_ZONES)
def test_ticks_of_two_years_are_those_a_clock_on_the_wall_shows(zone: str) -> None:
    start, end = two_years(ODD_ZONES[zone])
    for times in EACH:
        found = ticks(ms.Cron(times.expression, tz=zone), start, end)

        assert found == [nanos(at) for at in obvious_ticks(times, ZoneInfo(zone), start, end)], times.expression


@pytest.mark.parametrize("zone", ODD_ZONES)
def test_ticks_do_not_depend_on_the_moment_from_which_they_are_asked_for(zone: str) -> None:
    rng = Random(zone)
    for day in changes(ZoneInfo(zone), ODD_ZONES[zone])[:2]:
        start, end = day - timedelta(days=1), day + timedelta(days=2)
        for times in EACH:
            cron = ms.Cron(times.expression, tz=zone)
            whole = ticks(cron, start, end)
            for _ in range(5):
                after = rng.randrange(nanos(start), nanos(end))
                assert next(cron.ticks(after)) == next(
                    (tick for tick in whole if tick > after), next(cron.ticks(nanos(end)))
                )


def test_a_nightly_time_in_the_gap_happens_when_the_gap_ends_and_once_when_it_comes_twice() -> None:
    cron = ms.Cron("30 2 * * *", tz="Europe/Berlin")

    def around(day: datetime) -> list[str]:
        return [cron.local(tick).isoformat() for tick in islice(cron.ticks(nanos(day)), 2)]

    assert around(datetime(2026, 3, 28, 12, tzinfo=UTC)) == ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]
    assert around(datetime(2026, 10, 24, 12, tzinfo=UTC)) == ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]


def test_six_fields_begin_with_seconds_and_keep_to_the_same_rule_for_changes_of_clocks() -> None:
    five, six = ms.Cron("30 2 * * *", tz="Europe/Berlin"), ms.Cron("0 30 2 * * *", tz="Europe/Berlin")
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)

    assert ticks(five, start, end) == ticks(six, start, end)


def test_an_interval_ticks_at_the_same_moments_on_every_machine() -> None:
    cron = ms.Cron(every_s=90)
    first = list(islice(cron.ticks(10**18 + 5), 100))

    assert all(tick % (90 * SECOND) == 0 for tick in first)
    assert list(islice(cron.ticks(first[49]), 50)) == first[50:]


@pytest.mark.parametrize("expression", ["* * * * * *", "*/7 * * * *", "30 2 * * *", "0 0 29 2 *", "0 9 1 1 *"])
def test_the_latest_ticks_are_the_end_of_all_ticks_however_long_the_time(expression: str) -> None:
    cron = ms.Cron(expression, tz="Europe/Berlin")
    until = nanos(datetime(2026, 11, 1, tzinfo=UTC))
    for days in (0.001, 0.3, 40, 4000):
        after = until - round(days * 86_400) * SECOND
        window = max(after, until - 3600 * SECOND) if expression[0] == "*" else after
        all_of_them = list(takewhile(lambda tick: tick <= until, cron.ticks(window)))

        latest, has_earlier = cron.latest(after, until, 3)

        assert latest == all_of_them[-3:]
        assert has_earlier == (len(all_of_them) > 3)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("61 * * * *",), "the field minute cannot be '61'"),
        (("* 24 * * *",), "the field hour cannot be '24'"),
        (("* * *",), "3 fields; write five"),
        (("@dayly",), "did you mean '@daily'"),
        (("0 0 31 4 *",), "day-of-month cannot be '31'"),
        (("0 0 * * mon#6",), "day-of-week cannot be 'mon#6'"),
        (("",), "give one of the two"),
    ],
)
def test_an_expression_that_means_nothing_is_refused_with_the_field(given: tuple[str], said: str) -> None:
    with pytest.raises(ms.GraphError) as refused:
        ms.Cron(*given)

    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tz": "Europe/Berln"}, "did you mean 'Europe/Berlin'"),
        ({"tz": ""}, "no time zone has this name"),
        ({"missed": "twice"}, "it is one of once, skip, all"),
        ({"overlap": "ques"}, "did you mean 'queue'"),
        ({"every_s": 5}, "give one of the two"),
    ],
)
def test_an_option_that_means_nothing_is_refused(options: dict[str, str], said: str) -> None:
    with pytest.raises(ms.GraphError) as refused:
        ms.Cron(NIGHTLY.expression, **options)  # type: ignore[arg-type]  # on purpose

    assert said in str(refused.value)


@pytest.mark.parametrize("every_s", [0, -1, 0.5, float("nan"), float("inf"), True, "60"])
def test_an_interval_is_a_number_of_at_least_one_second(every_s: object) -> None:
    with pytest.raises(ms.GraphError, match="at least 1"):
        ms.Cron(every_s=every_s)  # type: ignore[arg-type]  # on purpose


def test_making_up_for_all_missed_ticks_puts_them_in_line_unless_told_otherwise() -> None:
    assert ms.Cron("@daily").overlap == "skip"
    assert ms.Cron("@daily", missed="all").overlap == "queue"
    assert ms.Cron("@daily", missed="all", overlap="allow").overlap == "allow"

"""The nightly job: the night it is for, an alert about each end, and 02:30 of a place through the year."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime

import makespan as ms
from examples import etl, nightly
from makespan.testing import running

NIGHT = datetime(2026, 1, 2, 1, 30, tzinfo=UTC)


def test_a_night_loads_the_day_of_its_schedule_wherever_it_is_killed() -> None:
    days: list[date] = []

    def note(day: date, rows: ms.File) -> int:
        days.append(day)
        return 7

    done = running.run(
        nightly.nightly(),
        fakes={etl.load_day: note},
        options={"scheduled_at": NIGHT},
        crash_at="each",
    )

    assert done.output == 7
    assert set(days) == {date(2026, 1, 2)}


def alerts(rows: int) -> list[str]:
    """What is told of a night with so many rows."""
    told: list[str] = []

    def note(ended: ms.Result[int]) -> None:
        told.append(f"{ended.status} {ended.output if ended else ended.error}")

    async def main() -> None:
        fakes = {etl.load_day: lambda day, rows_of: rows, nightly.alert: note}
        async with ms.Engine("memory", fakes=fakes) as engine:
            await engine.start(nightly.nightly(), scheduled_at=NIGHT)

    asyncio.run(main())
    return told


def test_the_alert_hears_of_a_good_night_once() -> None:
    assert alerts(12) == ["succeeded 12"]


def test_the_alert_hears_why_a_night_failed() -> None:
    (told,) = alerts(0)

    assert told.startswith("failed ")
    assert "no rows came in" in told


def next_night(after: datetime) -> datetime:
    schedule = nightly.nightly.schedule
    assert schedule is not None
    tick_ns = next(schedule.ticks(int(after.timestamp()) * 10**9))
    return datetime.fromtimestamp(tick_ns / 1e9, UTC)


def test_it_is_half_past_two_there_in_winter_and_in_summer() -> None:
    assert next_night(datetime(2026, 1, 1, 12, tzinfo=UTC)) == datetime(2026, 1, 2, 1, 30, tzinfo=UTC)
    assert next_night(datetime(2026, 7, 1, 12, tzinfo=UTC)) == datetime(2026, 7, 2, 0, 30, tzinfo=UTC)

"""A daily job over files, and its backfill: what is cached by its content is not done again for 30 days.

makespan run examples/etl.py:backfill -i first=2026-01-01 -i count=7          twice: the second does nothing
"""

import csv
from datetime import date, timedelta

import makespan as ms

MONTH_S = 30 * 86_400


@ms.task(effect="pure", cache_s=MONTH_S)
def source(day: date) -> ms.File:
    path = ms.context().workdir / f"{day}.csv"
    path.write_text("machine,hours\n" + "".join(f"m{n},{(day.day * n) % 30}\n" for n in range(20)))
    return ms.File(path)


@ms.task(effect="pure", cache_s=MONTH_S)
def clean(raw: ms.File) -> ms.File:
    path = ms.context().workdir / "clean.csv"
    with raw.open("r") as rows, path.open("w") as kept:
        kept.writelines(f"{row['machine']},{row['hours']}\n" for row in csv.DictReader(rows) if int(row["hours"]) <= 24)
    return ms.File(path)


@ms.task(effect="idempotent", cache_s=MONTH_S)
def load_day(day: date, rows: ms.File) -> int:
    return len(rows.read_text().splitlines())


@ms.task(effect="pure")
def days_from(first: date, count: int) -> list[date]:
    return [first + timedelta(days=number) for number in range(count)]


@ms.workflow
def etl(day: date) -> int:
    return load_day(day, clean(source(day)))


@ms.workflow
def backfill(first: date, count: int) -> list[ms.Outcome[int]]:
    return ms.map(etl, days_from(first, count), errors="keep", limit=4)

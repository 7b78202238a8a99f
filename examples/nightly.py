"""A job for every night, in the time of a place, and an alert about each end and each pause.

    makespan serve examples/nightly.py --schedules
    makespan run examples/nightly.py --scheduled-at 2026-01-02T02:30+01:00              one night by hand

A night that was missed while nothing served is made up for once; `scheduled_at` says which night a run is for.
"""

import makespan as ms
from examples.etl import etl

BY_NIGHT = ms.Cron("30 2 * * *", tz="Europe/Berlin", missed="once")


@ms.task(effect="idempotent")
async def alert(ended: ms.Result[int]) -> None:
    log = ms.context().log
    if ended:
        log.info("%s loaded %d rows", ended.run_id, ended.output)
    else:
        log.error("%s %s: %s; go on with: %s", ended.run_id, ended.status, ended.error, ended.resume_command)


@ms.workflow(schedule=BY_NIGHT, on_end=alert)
async def nightly() -> int:
    rows = await etl(ms.context().scheduled_at.date())
    if rows == 0:
        raise ms.Fatal("no rows came in")
    return rows

"""`makespan schedules`: the next ticks of scheduled workflows, and finding those workflows by target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from makespan.cli.options import json_option

if TYPE_CHECKING:
    from makespan.scheduler import Scheduled


@click.command("schedules", short_help="Show when scheduled workflows start next.")
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
@click.option("--count", "-n", type=click.IntRange(1, 1000), default=5, show_default=True, help="Ticks to show.")
@json_option
def command(targets: tuple[str, ...], count: int, as_json: bool) -> int:
    """Show the next ticks of the scheduled workflows of each TARGET, in the schedule's zone and in UTC."""
    return show_ticks(find_scheduled(targets), count, as_json=as_json)


def show_ticks(workflows: Sequence[Scheduled], count: int, *, as_json: bool) -> int:
    """Print the next ticks of each workflow."""
    import time

    import msgspec

    from makespan.cli.text import table

    now = time.time_ns()
    listed = [_described(each, now, count) for each in workflows]
    if as_json:
        click.echo(msgspec.json.encode({"schedules": listed}).decode())
        return 0
    for each in listed:
        rows = [[tick["local"], tick["utc"], tick["run_id"]] for tick in each["ticks"]]
        click.echo(f"{each['workflow']}: {each['rule']}, missed={each['missed']}, overlap={each['overlap']}")
        click.echo("\n".join(table([["  LOCAL", "UTC", "RUN"], *[[f"  {row[0]}", *row[1:]] for row in rows]])))
    return 0


def _described(each: Scheduled, now_ns: int, count: int) -> dict[str, Any]:
    from itertools import islice
    from zoneinfo import ZoneInfo

    from makespan.authoring.schedule import moment
    from makespan.scheduler import run_id_of

    utc = ZoneInfo("UTC")
    cron = each.cron
    return {
        "workflow": each.key,
        "target": each.target,
        "rule": cron.rule,
        "tz": cron.tz,
        "missed": cron.missed,
        "overlap": cron.overlap,
        "ticks": [
            {
                "local": cron.local(tick).isoformat(timespec="seconds"),
                "utc": moment(tick, utc).isoformat(timespec="seconds"),
                "run_id": run_id_of(each.key, tick),
            }
            for tick in islice(cron.ticks(now_ns), count)
        ],
    }


def find_scheduled(targets: Sequence[str]) -> list[Scheduled]:
    """The scheduled workflows of `file.py`, `module`, or `file.py:name`, each once.

    Raises:
        UsageError: a target that has none. GraphError: one that cannot be traced, or two with one key.
    """
    from makespan.scheduler import check_workflows

    found: dict[str, Scheduled] = {}
    for target in targets:
        for each in _scheduled_in(target):
            found.setdefault(each.target, each)
    check_workflows(list(found.values()))
    return list(found.values())


def _scheduled_in(target: str) -> list[Scheduled]:
    from makespan.cli.targets import find_workflow, workflows_in
    from makespan.errors import UsageError
    from makespan.scheduler import Scheduled

    if ":" in target:
        workflow, found_at = find_workflow(target)
        if getattr(workflow, "schedule", None) is None:
            raise UsageError(f"{target} has no schedule; write @ms.workflow(schedule=ms.Cron(...))")
        return [Scheduled(workflow, found_at)]
    workflows = workflows_in(target)
    scheduled = [Scheduled(workflow, found_at) for workflow, found_at in workflows if workflow.schedule is not None]
    if not scheduled:
        names = ", ".join(workflow.key for workflow, _ in workflows[:5])
        some = f"; its workflows {names} have none" if names else ""
        raise UsageError(f"{target} has no scheduled workflow{some}; write @ms.workflow(schedule=ms.Cron(...))")
    return scheduled

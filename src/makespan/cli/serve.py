"""`makespan serve`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from makespan.cli.options import json_option, quiet_option, store_option

if TYPE_CHECKING:
    from makespan.config import Config
    from makespan.scheduler import Happened, Scheduled


@click.command("serve", short_help="Start scheduled workflows at their times.")
@click.argument("targets", metavar="TARGET...", nargs=-1)
@click.option("--schedules", is_flag=True, help="Start each tick of the workflows' schedules as a run.")
@click.option("--dry-run", is_flag=True, help="Print the next ticks instead, and start nothing.")
@click.option("--count", type=click.IntRange(1, 1000), default=5, show_default=True, help="Ticks of --dry-run.")
@store_option
@json_option
@quiet_option
def command(
    targets: tuple[str, ...],
    schedules: bool,
    dry_run: bool,
    count: int,
    store: str | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Start the scheduled workflows of each TARGET at their times, until Ctrl-C or SIGTERM.

    TARGET is file.py or package.module (all its scheduled workflows), or one of them with :NAME. Several servers may
    share a store: each tick is started once, as the run WORKFLOW@TIME. Runs whose process died are gone on with.
    """
    from makespan.config import load_config
    from makespan.errors import UsageError

    if not schedules:
        raise UsageError("serve has one feature yet: write makespan serve --schedules TARGET")
    if not targets:
        raise UsageError("name what to serve: makespan serve --schedules file.py (or file.py:workflow, or a module)")
    from makespan.cli.schedules import find_scheduled, show_ticks

    found = find_scheduled(targets)
    if dry_run:
        return show_ticks(found, count, as_json=as_json)
    return _serve(load_config(store=store), found, as_json=as_json, quiet=quiet)


def _serve(config: Config, workflows: list[Scheduled], *, as_json: bool, quiet: bool) -> int:
    import asyncio
    import contextlib
    import sys

    from makespan.errors import UsageError

    if config.store == "memory":
        raise UsageError("schedules need a store that outlives the process; give --store, or unset MAKESPAN_STORE")
    out = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # what tasks print is no data of ours
        return asyncio.run(_until_stopped(config, workflows, _teller(out, as_json=as_json, quiet=quiet)))


async def _until_stopped(config: Config, workflows: list[Scheduled], tell: Any) -> int:
    from makespan.app import Engine
    from makespan.cli.failures import INTERRUPTED
    from makespan.cli.reachable import refuse_what_is_missing
    from makespan.cli.stopping import on_signals
    from makespan.config import engine_from
    from makespan.scheduler import Scheduler

    async with Engine(**engine_from(config)) as engine:
        for each in workflows:
            refuse_what_is_missing(engine, each.workflow)
        scheduler = Scheduler(engine, workflows, tell=tell)
        with on_signals(lambda _: scheduler.stop(), "stopped now; the next serve goes on with what was running\n"):
            await scheduler.run()
            await engine.close()
    return INTERRUPTED


def _teller(out: Any, *, as_json: bool, quiet: bool) -> Any:
    """Events as JSON lines on stdout, or as sentences on stderr."""
    import msgspec

    from makespan.cli.failures import say
    from makespan.cli.text import one_line

    def tell(happened: Happened) -> None:
        if as_json:
            click.echo(msgspec.json.encode(happened).decode(), file=out)
        elif not quiet:
            what = f"{happened.workflow} next at {happened.tick}" if happened.event == "scheduled" else happened.run_id
            more = " ".join(part for part in (happened.status, happened.detail) if part)
            say(one_line(f"{happened.event} {what}{f': {more}' if more else ''}", 300))

    return tell

"""`makespan retry RUN`: do again what failed, and what was made from it; the rest stays."""

from __future__ import annotations

from typing import Any

import click

from makespan.cli.options import MONEY, json_option, quiet_option, store_option


@click.command("retry", short_help="Do again what failed in a run, and nothing else.")
@click.argument("run_id", metavar="RUN")
@click.argument("tasks", nargs=-1, metavar="[TASK]...")
@click.option("--budget", "budget_usd", type=MONEY, metavar="USD", help="New budget of the whole run.")
@store_option
@json_option
@quiet_option
def command(
    run_id: str, tasks: tuple[str, ...], budget_usd: float | None, store: str | None, as_json: bool, quiet: bool
) -> int:
    """Do again what failed in RUN (failed items of a map, the failure the run ended with), and what was made from it.

    TASK names other tasks to do again instead: the beginning of an id, or a key that only one task has.
    """
    from makespan.app import Engine
    from makespan.cli.reachable import refuse_what_is_missing
    from makespan.cli.session import drive
    from makespan.cli.stored import find_run, must_open
    from makespan.cli.targets import find_workflow
    from makespan.config import load_config
    from makespan.errors import UsageError
    from makespan.handle import Run

    config = load_config(store=store)
    journal = must_open(config.store)
    try:
        row = find_run(journal, run_id)
    finally:
        journal.close()
    if not row.target:
        raise UsageError(f"run {row.run_id} was started by a program that has no file; retry it there: ms.resume(...)")
    workflow = find_workflow(row.target)[0]
    options: Any = {"retry": tasks or True}
    if budget_usd is not None:
        options["budget_usd"] = budget_usd

    def begin(engine: Engine) -> Run[Any]:
        refuse_what_is_missing(engine, workflow)
        return engine.resume(row.run_id, workflow, **options)

    return drive(config, begin, quiet=quiet, as_json=as_json)

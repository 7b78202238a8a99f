"""`makespan run TARGET`."""

from __future__ import annotations

from typing import Any

import click

from makespan.cli.options import DURATION, MOMENT, MONEY, input_option, json_option, quiet_option, store_option


@click.command("run", short_help="Run a workflow to its end.")
@click.argument("target")
@input_option
@click.option("--budget", "budget_usd", type=MONEY, metavar="USD", help="Most it may cost; then the run pauses.")
@click.option("--deadline", "deadline_s", type=DURATION, metavar="TIME", help="90s, 10m, 1h30m; then it pauses.")
@click.option("--id", metavar="RUN", help="The run's id. An id that exists gives that run instead.")
@click.option("--session", metavar="SESSION", help="Runs of one session work one at a time and share `ms.state`.")
@click.option(
    "--busy", type=click.Choice(["queue", "reject", "cancel"]), help="When the session has a run: wait, refuse, end it."
)
@click.option("--seed", type=int, help="Seed of everything random in the run.")
@click.option("--sync", type=click.Choice(["normal", "full"]), help="full: every commit survives a power cut.")
@click.option("--scheduled-at", type=MOMENT, metavar="MOMENT", help="Run it as if a schedule had at that moment.")
@store_option
@json_option
@quiet_option
def command(target: str, inputs: tuple[str, ...], store: str | None, as_json: bool, quiet: bool, **options: Any) -> int:
    """Run the workflow TARGET to its end, or to the first thing that stops it.

    TARGET is file.py:workflow, package.module:workflow or file.yaml; the name may be left out where there is only one.
    The output goes to stdout, progress to stderr.
    """
    from makespan.app import Engine
    from makespan.cli.inputs import read_inputs
    from makespan.cli.reachable import refuse_what_is_missing
    from makespan.cli.session import drive
    from makespan.cli.targets import find_workflow
    from makespan.config import load_config
    from makespan.handle import Run

    config = load_config(store=store)
    workflow, found_at = find_workflow(target)
    call = workflow(**read_inputs(workflow, inputs))
    chosen: Any = {name: value for name, value in options.items() if value is not None}

    def begin(engine: Engine) -> Run[Any]:
        refuse_what_is_missing(engine, workflow)
        return engine.start(call, target=found_at, **chosen)

    return drive(config, begin, quiet=quiet, as_json=as_json)

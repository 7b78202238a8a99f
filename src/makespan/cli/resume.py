"""`makespan resume RUN`."""

from __future__ import annotations

import time
from typing import Any

import click

from makespan.cli.options import DURATION, MONEY, json_option, profile_option, quiet_option, store_option


class Deadline(click.ParamType[tuple[bool, float]]):
    """A duration from the run's start, or `+10m` from now."""

    name = "deadline"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[bool, float]:
        text = str(value).strip()
        return text.startswith("+"), DURATION.convert(text.removeprefix("+"), param, ctx)


@click.command("resume", short_help="Go on with a run: nothing that finished runs again.")
@click.argument("run_id", metavar="RUN")
@click.option("--budget", "budget_usd", type=MONEY, metavar="USD", help="New budget of the whole run.")
@click.option("--deadline", type=Deadline(), metavar="TIME", help="+10m from now; 10m from the run's start.")
@click.option(
    "--on-change",
    type=click.Choice(["stop", "allow", "rerun"]),
    help="When the code has changed: stop before other paid work than before, allow it, or also rerun finished tasks "
    "whose code is another.",
)
@click.option("--retry", multiple=True, metavar="TASK", help="Do a task of unknown outcome again.")
@click.option("--skip", multiple=True, metavar="TASK", help="Give a task of unknown outcome up: it did not happen.")
@click.option(
    "--happened", multiple=True, metavar="TASK=JSON", help="It did happen, and this is what it returned (null without)."
)
@click.option("--cancel", is_flag=True, help="Cancel the run for good: only what is to be undone is done.")
@profile_option("what the run itself sees")
@store_option
@json_option
@quiet_option
def command(
    run_id: str,
    budget_usd: float | None,
    deadline: tuple[bool, float] | None,
    on_change: str | None,
    retry: tuple[str, ...],
    skip: tuple[str, ...],
    happened: tuple[str, ...],
    cancel: bool,
    profile: str | None,
    store: str | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Go on with RUN: what finished is kept, what was cut runs again.

    TASK is the beginning of a task's id, or its key where only one task of that key waits for a decision.
    """
    from makespan.app import Engine
    from makespan.cli.decisions import read_decisions
    from makespan.cli.reachable import refuse_what_is_missing
    from makespan.cli.session import drive
    from makespan.cli.stored import find_run, fold, must_open
    from makespan.cli.targets import find_workflow
    from makespan.config import load_config
    from makespan.errors import UsageError
    from makespan.handle import Run
    from makespan.store_port import FINAL

    config = load_config(store=store, profile=profile)
    journal = must_open(config.store)
    try:
        row = find_run(journal, run_id)
        state = fold(journal, row.run_id)
    finally:
        journal.close()
    is_final = state.status in FINAL
    options: Any = {"on_change": on_change, "budget_usd": budget_usd}
    options["decisions"] = read_decisions(state, {"retry": retry, "skip": skip, "happened": happened})
    options["cancel"] = cancel
    if deadline is not None:
        options["deadline_s"] = _from_start(deadline, row.started_wall_ns)
    chosen: Any = {name: value for name, value in options.items() if value}
    if not row.target and not is_final:
        raise UsageError(f"run {row.run_id} was started by a program that has no file; resume it there: ms.resume(...)")
    workflow = None if is_final else find_workflow(row.target)[0]

    def begin(engine: Engine) -> Run[Any]:
        if workflow is not None:
            refuse_what_is_missing(engine, workflow)
        return engine.resume(row.run_id, workflow, **chosen)

    return drive(config, begin, quiet=quiet, as_json=as_json)


def _from_start(deadline: tuple[bool, float], started_wall_ns: int) -> float:
    """Seconds from the run's start, as the engine counts deadlines. Refuses one that is over already."""
    from makespan.errors import UsageError

    is_from_now, given_s = deadline
    gone_s = (time.time_ns() - started_wall_ns) / 1e9
    if is_from_now:
        return gone_s + given_s
    if given_s <= gone_s:
        raise UsageError(
            f"--deadline {given_s:g}s counts from the run's start, {gone_s:.0f} s ago; write +{given_s:g}s for from now"
        )
    return given_s

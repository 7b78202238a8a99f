"""`makespan run TARGET`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from makespan.cli.options import (
    DURATION,
    MOMENT,
    MONEY,
    goal_options,
    input_option,
    json_option,
    profile_option,
    quiet_option,
    store_option,
)

if TYPE_CHECKING:
    from makespan.cli.goals import Errand


@click.command("run", short_help="Run a workflow, or reach a goal with tools.")
@click.argument("target")
@input_option
@click.option("--budget", "budget_usd", type=MONEY, metavar="USD", help="Most it may cost; then the run pauses.")
@click.option("--deadline", "deadline_s", type=DURATION, metavar="TIME", help="90s, 10m, 1h30m; then it pauses.")
@click.option("--account", metavar="NAME", help="Whose budgets in makespan.toml it counts against: [budgets.NAME].")
@click.option("--weight", type=float, help="Its part of shared pools and rates, against the 1.0 of other runs.")
@click.option("--id", metavar="RUN", help="The run's id. An id that exists gives that run instead.")
@click.option("--session", metavar="SESSION", help="Runs of one session work one at a time and share `ms.state`.")
@click.option(
    "--busy", type=click.Choice(["queue", "reject", "cancel"]), help="When the session has a run: wait, refuse, end it."
)
@click.option("--seed", type=int, help="Seed of everything random in the run.")
@click.option("--sync", type=click.Choice(["normal", "full"]), help="full: every commit survives a power cut.")
@click.option("--scheduled-at", type=MOMENT, metavar="MOMENT", help="Run it as if a schedule had at that moment.")
@click.option("--policy", metavar="NAME", help="Which ready task starts next: fifo, critical-path, deadline, fair, …")
@click.option(
    "--mode", "modes", multiple=True, metavar="TASK=MODE", help="Which of a task's models does it in this run."
)
@click.option("--planner", metavar="NAME", help="Who chooses models and samples: portfolio.")
@click.option("--config", "configurations", metavar="FILE", help="Choose the modes from what `makespan compile` found.")
@click.option("--prefer", type=click.Choice(["balanced", "cheap", "fast", "good"]), help="What of --config to choose.")
@click.option("--min-success", type=click.FloatRange(0, 1), help="Least predicted success of what --config chooses.")
@goal_options
@profile_option("what the run itself sees")
@store_option
@json_option
@quiet_option
def command(
    target: str,
    inputs: tuple[str, ...],
    modes: tuple[str, ...],
    configurations: str | None,
    prefer: str | None,
    min_success: float | None,
    profile: str | None,
    store: str | None,
    as_json: bool,
    quiet: bool,
    tools: tuple[str, ...],
    recipe: str | None,
    models: tuple[str, ...],
    plan_format: str | None,
    **options: Any,
) -> int:
    """Run the workflow TARGET to its end, or to the first thing that stops it.

    TARGET is file.py:workflow, package.module:workflow or file.yaml; the name may be left out where there is only one.
    With --tools it is a goal in words, or the plan.json that `makespan plan` kept. The output goes to stdout, progress
    to stderr.
    """
    from makespan.app import Engine
    from makespan.cli.configurations import chosen_modes
    from makespan.cli.inputs import read_inputs
    from makespan.cli.reachable import refuse_what_is_missing
    from makespan.cli.session import drive
    from makespan.cli.targets import find_workflow
    from makespan.config import load_config
    from makespan.handle import Run

    config = load_config(store=store, profile=profile)
    errand = goal_errand(target, inputs, tools, recipe, models, plan_format)
    if errand is not None:
        workflow, found_at, call = errand.workflow, errand.target, errand.call
    else:
        workflow, found_at = find_workflow(target)
        call = workflow(**read_inputs(workflow, inputs))
    chosen: Any = {name: value for name, value in options.items() if value is not None}
    limits = {name: options[name] for name in ("deadline_s", "budget_usd")}
    said_modes = _read_modes(modes)
    quiet_about = quiet or bool(said_modes)  # what was predicted is not what will run
    all_modes = {
        **chosen_modes(workflow, configurations, prefer, min_success, **limits, quiet=quiet_about),
        **said_modes,
    }
    if all_modes:
        chosen["modes"] = all_modes

    def begin(engine: Engine) -> Run[Any]:
        if errand is None:
            refuse_what_is_missing(engine, workflow)
        else:
            errand.refuse_what_is_missing(engine)
        return engine.start(call, target=found_at, **chosen)

    return drive(config, begin, quiet=quiet, as_json=as_json)


def goal_errand(target: str, inputs: tuple[str, ...], *said: Any) -> Errand | None:
    """What to start for a goal or a kept plan; None where the target is a workflow, which loads nothing of goals."""
    if not any(said) and not target.endswith(".json"):
        return None
    from makespan.cli.goals import errand, said_goal

    goal = said_goal(target, inputs, *said)
    return None if goal is None else errand(goal)


def _read_modes(said: tuple[str, ...]) -> dict[str, str]:
    from makespan.errors import UsageError

    modes: dict[str, str] = {}
    for each in said:
        key, equals, mode = each.partition("=")
        if not key or not equals or not mode:
            raise UsageError(f"--mode {each}: write TASK=MODE, a task's key and one of its models")
        modes[key] = mode
    return modes

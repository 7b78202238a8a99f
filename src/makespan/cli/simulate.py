"""`makespan simulate TARGET`."""

from __future__ import annotations

import contextlib
import io
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from makespan.cli.options import DURATION, MONEY, input_option, json_option, profile_option, store_option

if TYPE_CHECKING:
    from makespan.config import Config
    from makespan.forecast.report import Report
    from makespan.forecast.sampling import Forecaster, Sample, Setting
    from makespan.forecast.subject import Subject
    from makespan.ports import Planner
    from makespan.profiles.profile import Profile
    from makespan.traces.grid import Grid

RUNS = 1000
PORTFOLIO = "portfolio"
"""Named like a policy: a planner, which also chooses modes and numbers of samples."""
_RATE = re.compile(r"(?P<count>\d+)/(?P<window>.+)")


@click.command("simulate", short_help="Say how long a workflow takes and costs, and how likely; run nothing.")
@click.argument("target")
@input_option
@click.option(
    "--policy",
    "policies",
    metavar="NAME[,NAME]...",
    help="What is ready starts in this order; several are compared in the same simulated worlds. `portfolio`, alone or "
    "as RULE+portfolio, also chooses modes and samples. Default: makespan.toml, fifo",
)
@click.option("--planner", metavar="NAME", help="As in `makespan run`: --policy a,b --planner p is a+p,b+p.")
@click.option("--runs", type=click.IntRange(1, 1_000_000), default=RUNS, show_default=True, help="How many.")
@profile_option("fitted from the store")
@click.option("--budget", "budget_usd", type=MONEY, metavar="USD", help="As in `makespan run`.")
@click.option("--deadline", "deadline_s", type=DURATION, metavar="TIME", help="As in `makespan run`.")
@click.option("--running", type=click.IntRange(min=1), metavar="N", help="Attempts in flight at once.")
@click.option("--pool", "pools", multiple=True, metavar="NAME=N", help="Size of a pool; more by repeating.")
@click.option("--rate", "rates", multiple=True, metavar="NAME=N/TIME", help="A rate, as in calls=10/60s.")
@click.option("--mode", "modes", multiple=True, metavar="TASK=MODE", help="Do a task in this mode, as in grade=fast.")
@click.option(
    "--items", type=click.IntRange(min=0), metavar="N", help="Items of lists that nothing is known of. Default: 3"
)
@click.option(
    "--billed",
    type=click.Choice(["full", "elapsed"]),
    default="full",
    show_default=True,
    help="What a stopped attempt costs.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the first run; the others follow.")
@click.option("--grid", "grid_size", metavar="RxC", help="Probability of success over so many budgets and deadlines.")
@click.option(
    "-o", "--output", "chart", metavar="FILE", help="Draw it: FILE.svg or .png, and the run in the middle beside it."
)
@click.option("--save", is_flag=True, help="Keep the run in the middle in the store, for `makespan trace`.")
@store_option
@json_option
def command(target: str, inputs: tuple[str, ...], runs: int, chart: str | None, as_json: bool, **said: Any) -> int:
    """Simulate TARGET many times on a virtual clock: nothing runs, nothing is paid.

    TARGET is a workflow as in `makespan run`, or the id of a stored run, whose graph is simulated as it went.
    Everything that had to be assumed is listed behind the result.
    """
    import msgspec

    from makespan.cli.forecast_text import told
    from makespan.config import load_config
    from makespan.forecast.report import median_run, report
    from makespan.forecast.sampling import Forecaster
    from makespan.run_options import chosen_modes

    config = load_config(store=said["store"], profile=said["profile"])
    setting = _setting(config, said)
    names = _policies(said["policies"] or config.policy, said["planner"])
    _look_ahead(chart, said["grid_size"], config if said["save"] else None)
    with contextlib.redirect_stdout(io.StringIO()):  # what bodies print while they are simulated was said to nobody
        subject = _subject(target, inputs, config, setting)
        setting = msgspec.structs.replace(setting, modes=chosen_modes(subject.nodes, dict(setting.modes)))
        profile, where = chosen_profile(config)
        forecaster = Forecaster(subject, profile, setting, planners={PORTFOLIO: lambda: _portfolio(profile, setting)})
        by_policy = {name: forecaster.samples(name, runs) for name in names}
        grid = _grid(forecaster, said["grid_size"], names[0], runs)
        answer = report(forecaster, by_policy)
        middle = median_run(by_policy[names[0]])
        written = _draw(chart, forecaster, names[0], by_policy[names[0]], middle, grid) if chart else []
        saved = _save(forecaster, names[0], middle, config) if said["save"] else ""
    if as_json:
        click.echo(_as_json(answer, where, grid, saved))
    else:
        click.echo("\n".join(told(answer, where, grid)))
    for line in [*written, *([f"saved as {saved}: makespan trace {saved}"] if saved else [])]:
        click.echo(line, err=True)
    return 0


# ---------------------------------------------------------------- what was said


def _look_ahead(chart: str | None, grid_size: str | None, saved_in: Config | None) -> None:
    """Refuse at once what would fail after all the work."""
    from makespan.charts.style import writable
    from makespan.errors import UsageError
    from makespan.forecast.grid import read_size

    if chart is not None:
        writable(chart)
    if grid_size is not None:
        read_size(grid_size)
    if saved_in is not None and saved_in.store == "memory":
        raise UsageError("--save: a store in memory keeps nothing; give --store, or unset MAKESPAN_STORE")


def _policies(said: str, planner: str | None) -> list[str]:
    from makespan.errors import UsageError
    from makespan.run_policies import RunPolicies

    if planner not in (None, PORTFOLIO):
        raise UsageError(f"no planner is called {planner!r}; `makespan simulate` knows {PORTFOLIO}")
    behind = f"+{planner}" if planner else ""
    names = [name.strip() for name in said.split(",") if name.strip()]
    names = [name if name.endswith(PORTFOLIO) else f"{name}{behind}" for name in names]
    if not names:
        raise UsageError("--policy names no policy; write --policy fifo,critical-path")
    if len(set(names)) < len(names):
        raise UsageError(f"--policy {said}: one of them is named twice")
    for name in names:
        if name.startswith(f"{PORTFOLIO}+"):
            rule = name.removeprefix(f"{PORTFOLIO}+")
            raise UsageError(f"--policy {name}: the rule comes first: {rule}+{PORTFOLIO}")
        if name != PORTFOLIO:
            RunPolicies().chosen(name.removesuffix(f"+{PORTFOLIO}"))
    return names


def _portfolio(profile: Profile, setting: Setting) -> Planner:
    from makespan.policies.portfolio.planner import PortfolioPlanner

    return PortfolioPlanner(profile, billed=setting.billed)


def _modes(said: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    from makespan.errors import UsageError

    pairs = []
    for each in said:
        key, equals, mode = each.partition("=")
        if not (key and equals and mode):
            raise UsageError(f"--mode {each}: write TASK=MODE, such as grade=fast")
        pairs.append((key, mode))
    return tuple(pairs)


def _setting(config: Config, said: dict[str, Any]) -> Setting:
    import msgspec

    from makespan.capacity import pools_of, rates_of
    from makespan.forecast.sampling import Setting
    from makespan.machine.facts import Limits
    from makespan.values import nano_usd, nanos

    limits = Limits(**config.limits)
    if said["running"] is not None:
        limits = msgspec.structs.replace(limits, running=said["running"])
    setting = Setting(
        None if said["budget_usd"] is None else nano_usd(said["budget_usd"]),
        None if said["deadline_s"] is None else nanos(said["deadline_s"]),
        limits,
        pools_of({**config.pools, **_pools(said["pools"])}),
        rates_of({**config.rates, **_rates(said["rates"])}),
        seed=said["seed"],
        billed=said["billed"],
        modes=_modes(said["modes"]),
        started_wall_ns=time.time_ns(),
    )
    return setting if said["items"] is None else msgspec.structs.replace(setting, items=said["items"])


def _pools(said: tuple[str, ...]) -> dict[str, int]:
    from makespan.errors import UsageError

    pools = {}
    for each in said:
        name, equals, size = each.partition("=")
        if not (name and equals and size.isdecimal() and int(size)):
            raise UsageError(f"--pool {each}: write NAME=SLOTS, such as gpu=2")
        pools[name] = int(size)
    return pools


def _rates(said: tuple[str, ...]) -> dict[str, Any]:
    from makespan.capacity import RateConfig
    from makespan.errors import UsageError

    rates = {}
    for each in said:
        name, equals, size = each.partition("=")
        found = _RATE.fullmatch(size)
        if not (name and equals and found and int(found["count"])):
            raise UsageError(f"--rate {each}: write NAME=COUNT/TIME, such as calls=10/60s")
        rates[name] = RateConfig(int(found["count"]), DURATION.convert(found["window"], None, None))
    return rates


def _subject(target: str, inputs: tuple[str, ...], config: Config, setting: Setting) -> Subject:
    from makespan.cli.inputs import read_inputs
    from makespan.cli.reachable import reachable_tasks
    from makespan.cli.targets import find_workflow
    from makespan.errors import UsageError
    from makespan.forecast.subject import of_run, of_workflow

    if _is_run(target):
        if inputs:
            raise UsageError(f"{target} is a stored run, which has its inputs; -i is for a workflow")
        from makespan.cli.stored import find_run, fold, must_open

        journal = must_open(config.store)
        try:
            subject = of_run(fold(journal, find_run(journal, target).run_id))
        finally:
            journal.close()
        _refuse_missing_pools(dict(subject.needs), setting)
        return subject
    workflow, _ = find_workflow(target)
    subject = of_workflow(workflow, read_inputs(workflow, inputs, complete=False), items=setting.items)
    known = {task.key: task.declaration.options.needs for task in reachable_tasks(workflow)}
    _refuse_missing_pools({**known, **dict(subject.needs)}, setting)
    return subject


def _refuse_missing_pools(needs: Mapping[str, Any], setting: Setting) -> None:
    """Raise for the first task that needs what is not there."""
    from makespan.errors import UsageError
    from makespan.machine.broker import Broker

    broker = Broker(dict(setting.pools), dict(setting.rates))
    for key, wanted in needs.items():
        problem = broker.problem(wanted)
        if problem:
            name = wanted[0][0]
            said = problem.partition("; give its size")[0]
            raise UsageError(f"task {key}: {said}; give its size with --pool {name}=N, or in [pools] of makespan.toml")


def _is_run(target: str) -> bool:
    """Whether TARGET cannot be a workflow: it names neither a file nor something in a module."""
    from makespan.cli.targets import DOCUMENTS

    return ":" not in target and not target.endswith((".py", ".md", *DOCUMENTS)) and os.sep not in target


def chosen_profile(config: Config) -> tuple[Profile, str]:
    """The profile, and where it is from."""
    path = config.profile
    from makespan.cli.profile import fitted_from, past_runs
    from makespan.cli.stored import open_for_reading
    from makespan.cli.text import counted
    from makespan.errors import UsageError
    from makespan.profiles.form import read
    from makespan.profiles.profile import Profile as Empty

    if path:
        try:
            return read(Path(path).read_bytes(), path), f"profile {path}"
        except OSError as error:
            raise UsageError(f"--profile {path} cannot be read: {error.strerror}") from None
    journal = None if config.store == "memory" else open_for_reading(config.store)
    if journal is None:
        return Empty(), "no profile"
    try:
        fit = fitted_from(journal, past_runs(journal))
    finally:
        journal.close()
    runs = counted({"stored run" + ("s" if fit.runs != 1 else ""): fit.runs})
    return fit.profile, f"profile fitted from {runs}" if fit.runs else "no profile"


# ---------------------------------------------------------------- what is made of it


def _grid(forecaster: Forecaster, size: str | None, policy: str, runs: int) -> Grid | None:
    from makespan.forecast.grid import completion_grid, read_size

    return None if size is None else completion_grid(forecaster, policy, runs, *read_size(size))


def _draw(
    chart: str, forecaster: Forecaster, policy: str, samples: list[Sample], middle: Sample, grid: Grid | None
) -> list[str]:
    """Write the charts; a line for each."""
    from makespan.charts.gantt import draw_gantt
    from makespan.charts.grid import draw_grid
    from makespan.charts.spread import draw_spread
    from makespan.forecast.report import times_and_costs
    from makespan.machine.facts import decode_facts
    from makespan.machine.state import State
    from makespan.traces.rows import rows_of
    from makespan.traces.spans import spans_of

    setting, name = forecaster.setting, forecaster.subject.name
    deadline_s = None if setting.deadline_ns is None else setting.deadline_ns / 1e9
    budget_usd = None if setting.budget is None else setting.budget / 1e9
    times, costs = times_and_costs(samples)
    title = f"{name}: {len(samples):,} simulated runs, {policy}"
    draw_spread(chart, times, costs, deadline_s=deadline_s, budget_usd=budget_usd, title=title)
    outcome = forecaster.outcome(policy, middle.seed, keep_journal=True)
    blobs = {digest: body for turn in outcome.blobs for digest, body in turn}
    facts = [fact for body in outcome.journal for fact in decode_facts(body)]
    spans = spans_of(facts, State(blobs.__getitem__))
    beside = Path(chart)
    gantt = str(beside.with_name(f"{beside.stem}-gantt{beside.suffix}"))
    rows = rows_of(spans, outcome.makespan_ns / 1e9)
    draw_gantt(gantt, rows, title=f"{name}: the run in the middle (seed {middle.seed})", deadline_s=deadline_s)
    lines = [f"{chart}: how makespan and cost are spread", f"{gantt}: the run in the middle"]
    if grid is not None:
        path = str(beside.with_name(f"{beside.stem}-grid{beside.suffix}"))
        draw_grid(path, grid, title=f"{name}: probability of success, {policy}")
        lines.append(f"{path}: probability of success over budget and deadline")
    return lines


def _save(forecaster: Forecaster, policy: str, middle: Sample, config: Config) -> str:
    from makespan.forecast.saved import save
    from makespan.runtime.process_identity import this_process
    from makespan.stores import open_journal

    run_id = f"simulated-{os.urandom(4).hex()}"
    outcome = forecaster.outcome(policy, middle.seed, keep_journal=True, run_id=run_id)
    journal = open_journal(config.store)
    try:
        return save(journal, outcome, this_process(), forecaster.setting.started_wall_ns)
    finally:
        journal.close()


def _as_json(answer: Report, where: str, grid: Grid | None, saved: str) -> str:
    import msgspec

    data = {**msgspec.to_builtins(answer), "profile": where, "grid": msgspec.to_builtins(grid), "saved": saved or None}
    return msgspec.json.encode(data).decode()

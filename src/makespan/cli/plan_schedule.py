"""`makespan plan TARGET --schedule`: when each task would best start."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from makespan.authoring.task import Task
    from makespan.forecast.static_plan import StaticPlan
    from makespan.graph.graph import Graph

HOW = {
    "proved": "nothing is shorter",
    "feasible": "the solver's best in its time",
    "rules": "found by rules; --solve 10s looks for a shorter one, or a proof",
}


def show(
    workflow: Task[..., Any], graph: Graph, store: str | None, as_json: bool, *, profile: str | None, **said: Any
) -> int:
    """Find the schedule, print or draw it, keep it."""
    import msgspec

    from makespan.capacity import pools_of
    from makespan.cli.simulate import chosen_profile
    from makespan.config import engine_from, load_config
    from makespan.errors import UsageError
    from makespan.forecast.static_plan import static_plan

    if not getattr(workflow, "is_traced", False):
        raise UsageError(
            f"{workflow.key} is an async workflow: its graph grows as it goes, so there is nothing to schedule "
            "beforehand; `makespan simulate` runs its bodies on a virtual clock"
        )
    if said["output"]:
        _refuse_output(said["output"])
    config = load_config(store=store, profile=profile)
    engine = engine_from(msgspec.structs.replace(config, models={}))
    known, where = chosen_profile(config)
    found = static_plan(
        graph,
        known,
        running=said["running"] or engine["limits"].running,
        pools=pools_of(engine["pools"]),
        solve_s=said["solve_s"] or 0.0,
        starts_wall_ns=time.time_ns(),
    )
    if as_json:
        click.echo(msgspec.json.encode({**msgspec.to_builtins(found), "gap": found.gap, "profile": where}).decode())
    else:
        click.echo("\n".join(_lines(workflow.key, found, where)))
    if said["output"]:
        click.echo(_kept(said["output"], workflow.key, found), err=True)
    return 0


def _lines(name: str, found: StaticPlan, where: str) -> Iterator[str]:
    from makespan.cli.text import duration
    from makespan.traces.gantt import gantt
    from makespan.traces.text import percent

    longer = found.makespan_ns / found.bound_ns - 1 if found.bound_ns else 0.0
    gap = f", at most {percent(longer)} longer than the shortest can be" if longer else ""
    yield f"{name}: {duration(found.makespan_ns / 1e9)}{gap} ({HOW[found.how]}); {where}"
    for note in found.notes:
        yield f"note: {note}"
    yield ""
    width = shutil.get_terminal_size((100, 24)).columns
    yield from gantt([], width, 0.0, plan=found.times, names=found.names, critical=found.critical)


def _refuse_output(path: str) -> None:
    """Raise at once what would fail after all the work."""
    from makespan.errors import UsageError

    if path.endswith((".svg", ".png")):
        from makespan.charts.style import writable

        writable(path)
    elif not path.endswith(".json"):
        raise UsageError(f"-o {path}: write FILE.json for the plan, FILE.svg or FILE.png for its picture")
    elif not Path(path).absolute().parent.is_dir():
        raise UsageError(f"the folder {str(Path(path).parent)!r} does not exist; make it, or write the plan elsewhere")


def _kept(path: str, name: str, found: StaticPlan) -> str:
    """Write the plan, or its picture; what was written, for people."""
    import msgspec

    from makespan.errors import UsageError

    if path.endswith((".svg", ".png")):
        from makespan.charts.gantt import draw_gantt
        from makespan.traces.rows import rows_of

        rows = rows_of([], 0.0, plan=found.times, names=found.names, critical=found.critical)
        draw_gantt(path, rows, title=name)
        return f"drawn: {path}"
    try:
        Path(path).write_bytes(msgspec.json.encode(found.times))
    except OSError as error:
        raise UsageError(f"-o {path} cannot be written: {error.strerror}") from None
    return f"kept: {path}; follow it with `makespan run ... --policy planned:{path}`"

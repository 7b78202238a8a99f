"""`makespan compile TARGET`: the best configurations of a workflow, for `makespan run --config`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from makespan.cli.options import json_option, profile_option, store_option

if TYPE_CHECKING:
    from makespan.authoring.task import Task
    from makespan.passes.compiled import CompiledSet
    from makespan.passes.pareto import Point
    from makespan.passes.tree import Tree
    from makespan.profiles.profile import Profile

SHOWN_POINTS = 12
"""Rows of the table: the ends, and as many between them."""


@click.command("compile", short_help="Find a workflow's best configurations, for `run --config`.")
@click.argument("target")
@profile_option("fitted from the store")
@click.option("-o", "--output", metavar="FILE", help="Where the configurations are kept.")
@click.option("--chart", metavar="FILE", help="Draw the configurations: FILE.svg or .png.")
@click.option("--chance", multiple=True, metavar="TASK=P", help="How often a condition holds: grade.ok=0.8")
@click.option("--items", multiple=True, metavar="TASK=N", help="How many items a map has, by what it maps with.")
@click.option("--calls", multiple=True, metavar="TASK=N", help="How often a task is called in a row, on average.")
@click.option("--shape", metavar="FILE", help="JSON of an async workflow's composition: its graph grows as it goes.")
@click.option("--quantile", type=click.FloatRange(0, 1), default=0.0, help="Plan with this quantile of durations: 0.9")
@click.option(
    "--epsilon", type=click.FloatRange(0), default=0.0, help="Leave out what differs by less than this share."
)
@store_option
@json_option
def command(target: str, profile: str | None, store: str | None, output: str | None, as_json: bool, **said: Any) -> int:
    """Find the configurations of TARGET (a model for each task) that no other one beats in time, money and success.

    The profile says how long each task takes in each of its modes, what it costs and how often it succeeds.
    """
    from makespan.authoring.trace import template_of
    from makespan.cli.targets import find_workflow
    from makespan.passes.compiled import compiled, written
    from makespan.passes.structure import Assumptions

    workflow, _ = find_workflow(target)
    shape = _read_shape(said["shape"])
    _refuse_live(workflow, shape)
    assumptions = Assumptions(
        _numbers("--chance", said["chance"]), _numbers("--calls", said["calls"]), _numbers("--items", said["items"])
    )
    found = compiled(
        workflow.key,
        template_of(workflow).graph,
        _profile(profile, store),
        assumptions,
        shape=shape,
        epsilon=said["epsilon"],
        quantile=said["quantile"],
    )
    body = written(found)
    if output:
        _write(output, body)
    if said["chart"]:
        _draw(said["chart"], found)
    click.echo(body.decode() if as_json else "\n".join(_lines(found)), nl=not as_json)
    for line in _notes(found, output, target):
        click.echo(line, err=True)
    return 0


def _draw(path: str, found: CompiledSet) -> None:
    from makespan.charts.pareto import ParetoPoint, draw_pareto

    best_for = _best_for(found)
    draw_pareto(
        path,
        [
            ParetoPoint(
                best_for.get(id(point), ""),
                point.latency_ns / 1e9,
                point.cost / 1e9,
                point.success,
                id(point) in best_for,
            )
            for point in found.points
        ],
        title=found.workflow,
    )


def _refuse_live(workflow: Task[..., Any], shape: Tree | None) -> None:
    from makespan.errors import UsageError

    if shape is None and not getattr(workflow, "is_traced", False):
        raise UsageError(
            f"{workflow.key} is not a plain workflow: its graph grows as it goes, and cannot be read beforehand; "
            "give its composition with --shape FILE"
        )


def _read_shape(name: str | None) -> Tree | None:
    import msgspec

    from makespan.errors import UsageError
    from makespan.passes.tree import Tree

    if name is None:
        return None
    try:
        found: Tree = msgspec.json.decode(_read("--shape", name), type=Tree)
    except msgspec.DecodeError as error:
        example = '{"type": "series", "parts": [{"type": "leaf", "key": "grade"}, ...]}'
        raise UsageError(f"--shape {name}: {error}; write {example}") from None
    return found


def _profile(name: str | None, store: str | None) -> Profile:
    from makespan.cli.simulate import chosen_profile
    from makespan.config import load_config
    from makespan.errors import UsageError

    known, _ = chosen_profile(load_config(store=store, profile=name))
    if not known.tasks:
        raise UsageError("compiling needs figures of each task and mode: give --profile FILE, or run them first")
    return known


def _read(option: str, name: str) -> bytes:
    from makespan.errors import UsageError

    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise UsageError(f"{option} {name} cannot be read: {error.strerror}") from None


def _write(name: str, body: bytes) -> None:
    from makespan.errors import UsageError

    try:
        Path(name).write_bytes(body)
    except OSError as error:
        raise UsageError(f"-o {name} cannot be written: {error.strerror}") from None


def _numbers(option: str, said: Iterable[str]) -> dict[str, float]:
    from makespan.errors import UsageError

    found: dict[str, float] = {}
    for each in said:
        name, equals, number = each.partition("=")
        try:
            found[name.strip()] = float(number)
        except ValueError:
            equals = ""
        if not equals or not name.strip():
            raise UsageError(f"{option} {each}: write TASK=NUMBER")
    return found


def _lines(found: CompiledSet) -> list[str]:
    from makespan.cli.text import duration, money, table

    rows = [["time", "cost", "success", "best for", "modes"]]
    best_for = _best_for(found)
    for point in _some(found.points, best_for):
        modes = ", ".join(f"{key}={mode}" for key, mode in point.modes.items())
        success = f"{100 * point.success:.1f} %"
        rows.append(
            [duration(point.latency_ns / 1e9), money(point.cost / 1e9), success, best_for.get(id(point), ""), modes]
        )
    left = len(found.points) - len(rows) + 1
    return [*table(rows), *([f"… and {left} more"] if left else [])]


def _best_for(found: CompiledSet) -> dict[int, str]:
    from makespan.passes.compiled import PREFERENCES

    names: dict[int, list[str]] = {}
    for preference in PREFERENCES:
        names.setdefault(id(found.choose(preference)), []).append(preference)
    return {place: ", ".join(preferences) for place, preferences in names.items()}


def _some(points: tuple[Point, ...], best_for: dict[int, str]) -> list[Point]:
    """All of a few; else those that are best for something, and others at equal distances."""
    if len(points) <= SHOWN_POINTS:
        return list(points)
    others = [point for point in points if id(point) not in best_for]
    room = SHOWN_POINTS - len(best_for)
    spread = {id(others[place * (len(others) - 1) // max(room - 1, 1)]) for place in range(room)}
    return [point for point in points if id(point) in best_for or id(point) in spread]


def _notes(found: CompiledSet, output: str | None, target: str) -> Iterable[str]:
    for note in found.notes:
        yield f"note: {note}"
    if found.epsilon:
        yield f"note: configurations within {100 * found.epsilon:g} % of another are left out"
    if output:
        yield f"{len(found.points)} configurations in {output}; makespan run {target} --config {output} --prefer cheap"

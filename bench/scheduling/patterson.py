"""The J30 set of PSPLIB as Patterson files, read from outside the project: it is not ours to ship.

`MAKESPAN_DATA` names the folder of data sets, `../shared/data` without it; `rcpsp/` in it holds the `.rcp` files and
`reference_makespans.json` (name → makespan, proved_optimal).
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from bench.measure import PROJECT
from makespan.policies.problem import Edge, PlanTask, Problem, Renewable, TaskMode


def folder() -> Path:
    """Where the instances are, if they are anywhere."""
    data = os.environ.get("MAKESPAN_DATA")
    return (Path(data) if data else PROJECT.parent / "shared" / "data") / "rcpsp"


def references() -> dict[str, int]:
    """The best makespan known of each instance, by file name; empty where there is no data."""
    path = folder() / "reference_makespans.json"
    if not path.is_file():
        return {}
    return {name: known["makespan"] for name, known in sorted(json.loads(path.read_text()).items())}


def sample(count: int) -> dict[str, int]:
    """So many of the references, spread evenly over the set."""
    known = list(references().items())
    return dict(known[at * len(known) // count] for at in range(min(count, len(known))))


def read(name: str) -> Problem:
    """The problem in one file of the folder."""
    return parse((folder() / name).read_text())


def parse(text: str) -> Problem:
    """A problem from Patterson's format: tasks and renewables, capacities, then a line a task.

    A line holds the duration, a demand for each renewable, the number of successors, and they, counted from 1.

    Raises:
        ValueError: a figure is missing, too many, or no number.
    """
    figures = iter(map(int, text.split()))
    try:
        problem = _problem(figures)
    except StopIteration:
        raise ValueError("the Patterson file ends before its last task; fetch it again") from None
    if next(figures, None) is not None:
        raise ValueError("the Patterson file goes on after its last task; fetch it again")
    return problem


def _problem(figures: Iterator[int]) -> Problem:
    count, resources = next(figures), next(figures)
    renewables = tuple([Renewable(f"r{at}", next(figures)) for at in range(resources)])
    tasks, edges = [], []
    for number in range(count):
        duration = next(figures)
        demands = tuple([next(figures) for _ in range(resources)])
        tasks.append(PlanTask(f"t{number}", (TaskMode(duration, demands),)))
        edges += [Edge(number, next(figures) - 1) for _ in range(next(figures))]
    return Problem(tuple(tasks), renewables, edges=tuple(edges))

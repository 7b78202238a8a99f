"""Seeded random problems: for tests, benchmarks and teaching. The same seed gives the same problem everywhere.

    order strength   how many earlier tasks each task waits for
    resource factor  the part of the renewables that a task needs
    strength         capacity between the least that works (0) and what never binds (1)

Source: Kolisch, Sprecher and Drexl, "Characterization and generation of a general class of resource-constrained
project scheduling problems" (1995), whose three measures these are; the drawing is our own and simpler.
"""

from __future__ import annotations

import msgspec

from makespan.draws import Stream
from makespan.policies.problem import Consumable, Downtime, Edge, PlanTask, Problem, Renewable, TaskMode


class Shape(msgspec.Struct, frozen=True):
    """What kind of problem to draw; `Shape()` is one mode a task, scarce resources, nothing else."""

    tasks: int = 14
    renewables: int = 3
    most_predecessors: int = 2
    longest: int = 9
    greatest_demand: int = 6
    resource_factor: float = 0.7
    strength: float = 0.25
    modes: int = 1
    """Modes a task at most. Slower ones demand and cost less."""
    lags: float = 0.0
    """The part of the edges with a time lag."""
    windows: float = 0.0
    """The part of the tasks with a release time and a due date; neither makes the problem infeasible by itself."""
    downtime: float = 0.0
    """The part of the renewables with downtime."""
    exclusive: int = 0
    """Pairs of tasks that may not overlap."""
    budget: float | None = None
    """Where the total of one consumable lies between the least (0) and the most (1) that the tasks can use."""


def random_problem(seed: int, shape: Shape | None = None) -> Problem:
    """A problem of this shape. Without windows it is always feasible, with them nearly always."""
    shape = shape or Shape()
    draws = Stream(seed, "instance")
    edges = tuple(_edges(draws, shape))
    tasks = [_task(draws, shape, number) for number in range(shape.tasks)]
    renewables = tuple(_renewable(draws, shape, number, tasks) for number in range(shape.renewables))
    if shape.windows:
        tasks = _with_windows(draws, shape, tasks, edges)
    consumables = () if shape.budget is None else (_budget(shape.budget, tasks),)
    exclusive = tuple(_pairs(draws, shape))
    return Problem(tuple(tasks), renewables, consumables, edges, exclusive)


def _edges(draws: Stream, shape: Shape) -> list[Edge]:
    edges: list[Edge] = []
    for after in range(1, shape.tasks):
        earlier = list(range(max(0, after - 2 * shape.most_predecessors - 2), after))
        draws.shuffle(earlier)
        edges += [
            Edge(before, after, draws.between(1, 4) if draws.happens(shape.lags) else 0)
            for before in earlier[: draws.between(0, shape.most_predecessors)]
        ]
    return edges


def _task(draws: Stream, shape: Shape, number: int) -> PlanTask:
    duration = draws.between(1, shape.longest)
    demands = tuple(
        draws.between(1, shape.greatest_demand) if draws.happens(shape.resource_factor) else 0
        for _ in range(shape.renewables)
    )
    price = draws.between(4, 20)
    modes = []
    for slower in range(draws.between(1, shape.modes)):
        less = tuple(max(1, units - slower) if units else 0 for units in demands)
        consumption = () if shape.budget is None else (price // (1 + slower),)
        modes.append(TaskMode(duration * (1 + slower), less, consumption))
    return PlanTask(f"t{number}", tuple(modes))


def _renewable(draws: Stream, shape: Shape, number: int, tasks: list[PlanTask]) -> Renewable:
    demands = [task.modes[0].demands[number] for task in tasks]
    least, most = max(demands), max(max(demands), sum(demands) // 3)
    capacity = max(1, least + round(shape.strength * (most - least)))
    if not draws.happens(shape.downtime):
        return Renewable(f"r{number}", capacity)
    start = draws.between(0, 3 * shape.longest)
    later = start + draws.between(shape.longest, 4 * shape.longest)
    reduced = Downtime(later, later + draws.between(2, shape.longest), draws.between(0, capacity))
    return Renewable(f"r{number}", capacity, (Downtime(start, start + draws.between(1, 5)), reduced))


def _with_windows(draws: Stream, shape: Shape, tasks: list[PlanTask], edges: tuple[Edge, ...]) -> list[PlanTask]:
    """Releases around the critical path, due dates late enough for a schedule about twice as long as the work."""
    heads = [0] * len(tasks)
    for edge in edges:
        heads[edge.after] = max(heads[edge.after], heads[edge.before] + _longest(tasks[edge.before]) + edge.lag)
    work = sum(map(_longest, tasks))
    windowed = []
    for task, head in zip(tasks, heads, strict=True):
        if draws.happens(shape.windows):
            release = draws.between(0, max(1, head))
            task = msgspec.structs.replace(task, release=release, due=2 * head + 2 * work + draws.between(0, work))
        windowed.append(task)
    return windowed


def _longest(task: PlanTask) -> int:
    return max(mode.duration for mode in task.modes)


def _budget(share: float, tasks: list[PlanTask]) -> Consumable:
    least = sum(min(mode.consumption[0] for mode in task.modes) for task in tasks)
    most = sum(max(mode.consumption[0] for mode in task.modes) for task in tasks)
    return Consumable("money", least + round(share * (most - least)))


def _pairs(draws: Stream, shape: Shape) -> list[tuple[int, int]]:
    pairs: set[tuple[int, int]] = set()
    while len(pairs) < min(shape.exclusive, shape.tasks * (shape.tasks - 1) // 2):
        first, second = draws.below(shape.tasks), draws.below(shape.tasks)
        if first != second:
            pairs.add((min(first, second), max(first, second)))
    return sorted(pairs)

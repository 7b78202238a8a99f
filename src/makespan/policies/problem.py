"""What a static scheduling problem is: tasks with modes, resources with calendars, and what may not be.

    tasks ──edges (lag)──▶ tasks          a mode = one way to do a task: duration, demands, consumption
      │ start and mode of each = a Schedule
      └─ renewables (capacity over time) · consumables (a total) · windows · exclusive pairs · horizon

Tasks are numbered by their place in `Problem.tasks`, resources by theirs. Every figure is an integer and every task
runs without a break in [start, start + duration). A problem that exists is well formed: numbers in range, no cycle.
Whether it can be solved is another question; whether a schedule solves it is `verify`'s.
Source: Brucker, Drexl, Möhring, Neumann and Pesch, "Resource-constrained project scheduling: notation,
classification, models, and methods" (1999): MPS | temp | Cmax, with calendars.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from makespan.errors import GraphError


class Downtime(msgspec.Struct, frozen=True):
    """In [start, end) a renewable has only `capacity` units. Where intervals overlap the least capacity holds."""

    start: int
    end: int
    capacity: int = 0


class Renewable(msgspec.Struct, frozen=True):
    """A pool that tasks hold units of while they run: slots, devices, memory."""

    name: str
    capacity: int
    downtime: tuple[Downtime, ...] = ()


class Consumable(msgspec.Struct, frozen=True):
    """A total that tasks use up: money, tokens."""

    name: str
    total: int


class TaskMode(msgspec.Struct, frozen=True):
    """One way to do a task. Entries stand in the order of the problem's resources; those left out are 0."""

    duration: int
    demands: tuple[int, ...] = ()
    consumption: tuple[int, ...] = ()


class PlanTask(msgspec.Struct, frozen=True):
    """A task with the ways to do it. It starts at `release` or later and ends by `due`; both are hard."""

    name: str
    modes: tuple[TaskMode, ...]
    release: int = 0
    due: int | None = None


class Edge(msgspec.Struct, frozen=True):
    """`after` starts at the end of `before` plus `lag`, or later."""

    before: int
    after: int
    lag: int = 0


class Problem(msgspec.Struct, frozen=True):
    """What has to be scheduled.

    `exclusive` holds pairs of tasks that may not run at the same time; nothing may end after `horizon`.

    Raises:
        GraphError: a figure, a number or an edge is impossible; the message names the place.
    Cost: O(tasks x modes x resources + edges) to check.
    """

    tasks: tuple[PlanTask, ...]
    renewables: tuple[Renewable, ...] = ()
    consumables: tuple[Consumable, ...] = ()
    edges: tuple[Edge, ...] = ()
    exclusive: tuple[tuple[int, int], ...] = ()
    horizon: int | None = None

    def __post_init__(self) -> None:
        for complaint in _complaints(self):
            raise GraphError(f"scheduling problem: {complaint}")


class Schedule(msgspec.Struct, frozen=True):
    """A start and the number of a mode for each task, in the problem's order."""

    starts: tuple[int, ...]
    modes: tuple[int, ...]


def ends(problem: Problem, schedule: Schedule) -> list[int]:
    """When each task ends; of a schedule that gives every task a start and a mode it has."""
    placed = zip(problem.tasks, schedule.starts, schedule.modes, strict=True)
    return [start + task.modes[mode].duration for task, start, mode in placed]


def makespan(problem: Problem, schedule: Schedule) -> int:
    """When the last task ends."""
    return max(ends(problem, schedule), default=0)


def _complaints(problem: Problem) -> Iterator[str]:
    for task in problem.tasks:
        yield from _task_complaints(problem, task)
    for renewable in problem.renewables:
        yield from _renewable_complaints(renewable)
    for consumable in problem.consumables:
        if consumable.total < 0:
            yield f"consumable {consumable.name!r} has a total of {consumable.total}; it must be 0 or more"
    if problem.horizon is not None and problem.horizon < 0:
        yield f"the horizon is {problem.horizon}; it must be 0 or more, or None"
    yield from _pair_complaints(problem)
    order = topological_order(problem)
    if len(order) < len(problem.tasks):
        waiting = sorted(set(range(len(problem.tasks))) - set(order))
        names = ", ".join(repr(problem.tasks[number].name) for number in waiting[:5])
        yield f"edges form a cycle among or before {names}; remove one of them"


def _task_complaints(problem: Problem, task: PlanTask) -> Iterator[str]:
    if not task.modes:
        yield f"task {task.name!r} has no mode; give it at least one"
    if task.release < 0 or (task.due is not None and task.due < 0):
        yield f"task {task.name!r} has release {task.release} and due {task.due}; times are 0 or more"
    for number, mode in enumerate(task.modes):
        where = f"mode {number} of task {task.name!r}"
        if min(mode.duration, *mode.demands, *mode.consumption, 0) < 0:
            yield f"{where} has a figure below 0: {mode}"
        if len(mode.demands) > len(problem.renewables):
            yield f"{where} demands {len(mode.demands)} renewables; the problem has {len(problem.renewables)}"
        if len(mode.consumption) > len(problem.consumables):
            yield f"{where} consumes {len(mode.consumption)} consumables; the problem has {len(problem.consumables)}"


def _renewable_complaints(renewable: Renewable) -> Iterator[str]:
    if renewable.capacity < 0:
        yield f"renewable {renewable.name!r} has capacity {renewable.capacity}; it must be 0 or more"
    for down in renewable.downtime:
        if not (0 <= down.start < down.end and 0 <= down.capacity <= renewable.capacity):
            yield (
                f"renewable {renewable.name!r} has {down}; a downtime needs 0 <= start < end and a capacity "
                f"from 0 to {renewable.capacity}"
            )


def _pair_complaints(problem: Problem) -> Iterator[str]:
    count = len(problem.tasks)
    for edge in problem.edges:
        if not (0 <= edge.before < count and 0 <= edge.after < count):
            yield f"{edge} names a task that is not there; tasks are numbered 0 to {count - 1}"
        if edge.lag < 0:
            yield f"{edge} has a lag below 0; tasks that may overlap need no edge"
    for first, second in problem.exclusive:
        if not (0 <= first < count and 0 <= second < count) or first == second:
            yield f"the exclusive pair ({first}, {second}) is not two different tasks of 0 to {count - 1}"


def topological_order(problem: Problem) -> list[int]:
    """Tasks after those they wait for, lowest number first where free; shorter than the tasks if there is a cycle."""
    waits = [0] * len(problem.tasks)
    followers: list[list[int]] = [[] for _ in problem.tasks]
    for edge in problem.edges:
        if 0 <= edge.before < len(waits) and 0 <= edge.after < len(waits):
            waits[edge.after] += 1
            followers[edge.before].append(edge.after)
    order = [number for number, count in enumerate(waits) if not count]
    for number in order:
        for follower in followers[number]:
            waits[follower] -= 1
            if not waits[follower]:
                order.append(follower)
    return order

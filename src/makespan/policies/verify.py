"""The referee: which constraints a schedule breaks. Heuristics, solvers and other programs' schedules all pass here.

It shares no code with what makes schedules: no timetable, no packed figures, only the definition of each constraint.
A schedule is feasible exactly when `violations` is empty.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

import msgspec

from makespan.policies.problem import Problem, Renewable, Schedule, ends


class Broken(StrEnum):
    """Which constraint."""

    SHAPE = "shape"
    """A task has no start, or a mode it does not have."""
    RELEASE = "release"
    DUE = "due"
    HORIZON = "horizon"
    PRECEDENCE = "precedence"
    CAPACITY = "capacity"
    CONSUMABLE = "consumable"
    EXCLUSIVE = "exclusive"


class Violation(msgspec.Struct, frozen=True):
    """One broken constraint: `amount` is by how much (time units, units of capacity, of the consumable)."""

    kind: Broken
    tasks: tuple[int, ...]
    amount: int
    at: int | None = None
    """The first moment at which it is broken; None for a consumable and for a wrong shape."""
    resource: str = ""

    def __str__(self) -> str:
        at = "" if self.at is None else f" at {self.at}"
        resource = f" of {self.resource!r}" if self.resource else ""
        return f"{self.kind}{resource}{at}: tasks {', '.join(map(str, self.tasks))}, by {self.amount}"


def violations(problem: Problem, schedule: Schedule) -> list[Violation]:
    """Everything the schedule breaks; empty when it is feasible. A wrong shape is told alone.

    Cost: O(edges + pairs + resources x (tasks log tasks + moments x tasks running then)).
    """
    wrong = list(_shape(problem, schedule))
    if wrong:
        return wrong
    end = ends(problem, schedule)
    found = [*_windows(problem, schedule, end), *_precedence(problem, schedule, end)]
    for number, renewable in enumerate(problem.renewables):
        found += _capacity(problem, schedule, end, number, renewable)
    return [*found, *_consumption(problem, schedule), *_exclusive(problem, schedule, end)]


def _shape(problem: Problem, schedule: Schedule) -> Iterator[Violation]:
    count = len(problem.tasks)
    if len(schedule.starts) != count or len(schedule.modes) != count:
        short = min(len(schedule.starts), len(schedule.modes))
        off = max(abs(len(schedule.starts) - count), abs(len(schedule.modes) - count))
        yield Violation(Broken.SHAPE, tuple(range(short, count)), off)
        return
    for number, mode in enumerate(schedule.modes):
        if not 0 <= mode < len(problem.tasks[number].modes):
            yield Violation(Broken.SHAPE, (number,), mode)


def _windows(problem: Problem, schedule: Schedule, end: list[int]) -> Iterator[Violation]:
    for number, task in enumerate(problem.tasks):
        start = schedule.starts[number]
        if start < task.release:
            yield Violation(Broken.RELEASE, (number,), task.release - start, start)
        if task.due is not None and end[number] > task.due:
            yield Violation(Broken.DUE, (number,), end[number] - task.due, task.due)
        if problem.horizon is not None and end[number] > problem.horizon:
            yield Violation(Broken.HORIZON, (number,), end[number] - problem.horizon, problem.horizon)


def _precedence(problem: Problem, schedule: Schedule, end: list[int]) -> Iterator[Violation]:
    for edge in problem.edges:
        early = end[edge.before] + edge.lag - schedule.starts[edge.after]
        if early > 0:
            yield Violation(Broken.PRECEDENCE, (edge.before, edge.after), early, schedule.starts[edge.after])


def _capacity(
    problem: Problem, schedule: Schedule, end: list[int], resource: int, renewable: Renewable
) -> Iterator[Violation]:
    """Overloads of one renewable, one for each stretch between two moments at which anything changes."""
    users = [
        (start, end[number], demand, number)
        for number, start in enumerate(schedule.starts)
        if (demand := demand_of(problem, number, schedule.modes[number], resource)) and start < end[number]
    ]
    moments = {start for start, _, _, _ in users} | {down.start for down in renewable.downtime}
    moments |= {down.end for down in renewable.downtime}
    for moment in sorted(moments):
        running = [(demand, number) for start, stop, demand, number in users if start <= moment < stop]
        over = sum(demand for demand, _ in running) - capacity_at(renewable, moment)
        if running and over > 0:
            tasks = tuple(sorted(number for _, number in running))
            yield Violation(Broken.CAPACITY, tasks, over, moment, renewable.name)


def demand_of(problem: Problem, task: int, mode: int, resource: int) -> int:
    """Units of a renewable that a task holds in a mode."""
    demands = problem.tasks[task].modes[mode].demands
    return demands[resource] if resource < len(demands) else 0


def capacity_at(renewable: Renewable, moment: int) -> int:
    """Units that a renewable has at a moment."""
    reduced = [down.capacity for down in renewable.downtime if down.start <= moment < down.end]
    return min(reduced, default=renewable.capacity)


def _consumption(problem: Problem, schedule: Schedule) -> Iterator[Violation]:
    for number, consumable in enumerate(problem.consumables):
        used: dict[int, int] = {}
        for task, mode in enumerate(schedule.modes):
            consumption = problem.tasks[task].modes[mode].consumption
            if number < len(consumption) and consumption[number]:
                used[task] = consumption[number]
        over = sum(used.values()) - consumable.total
        if over > 0:
            yield Violation(Broken.CONSUMABLE, tuple(used), over, resource=consumable.name)


def _exclusive(problem: Problem, schedule: Schedule, end: list[int]) -> Iterator[Violation]:
    """Pairs that overlap. A task of duration 0 runs at no time and overlaps nothing."""
    for first, second in problem.exclusive:
        start = max(schedule.starts[first], schedule.starts[second])
        overlap = min(end[first], end[second]) - start
        if overlap > 0:
            yield Violation(Broken.EXCLUSIVE, (first, second), overlap, start)

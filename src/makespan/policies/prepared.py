"""A problem made ready to be scheduled many times: neighbours, packed demands, the empty timetable, time windows.

Heads and tails are the earliest starts and latest ends that edges, windows and downtime leave to a task that has its
resources to itself; no schedule can do better, so they are bounds as well as priorities.
"""

from __future__ import annotations

from collections.abc import Sequence

from makespan.policies.problem import Problem, topological_order
from makespan.policies.timetable import Packing, Timetable

NEVER = 1 << 62
"""Later than any moment of a problem: nanoseconds of 146 years."""


class Prepared:
    """What every schedule generation of one problem shares. Nothing in it changes."""

    __slots__ = (
        "calendar",
        "demands",
        "durations",
        "fastest",
        "is_plain",
        "limit",
        "order",
        "place",
        "predecessors",
        "problem",
        "successors",
    )

    def __init__(self, problem: Problem) -> None:
        packing = Packing(problem)
        self.problem = problem
        self.calendar = Timetable.empty(problem, packing)
        self.order = topological_order(problem)
        self.place = [0] * len(self.order)
        """Where each task stands in that order."""
        for place, task in enumerate(self.order):
            self.place[task] = place
        self.predecessors: list[list[tuple[int, int]]] = [[] for _ in problem.tasks]
        self.successors: list[list[tuple[int, int]]] = [[] for _ in problem.tasks]
        for edge in problem.edges:
            self.predecessors[edge.after].append((edge.before, edge.lag))
            self.successors[edge.before].append((edge.after, edge.lag))
        self.durations = [[mode.duration for mode in task.modes] for task in problem.tasks]
        self.demands = [
            [packing.demand(at, mode.demands) for mode in task.modes] for at, task in enumerate(problem.tasks)
        ]
        self.fastest = tuple(min(range(len(spans)), key=spans.__getitem__) for spans in self.durations)
        """The mode with the least duration of each task."""
        self.is_plain = not problem.consumables and all(len(spans) == 1 for spans in self.durations)
        """Whether there is nothing to choose or to afford: one mode a task, nothing consumed."""
        horizon = NEVER if problem.horizon is None else problem.horizon
        self.limit = [horizon if task.due is None else min(horizon, task.due) for task in problem.tasks]
        """When each task has to be over, by its own due date and the horizon."""

    def empty(self) -> Timetable:
        """A timetable with nothing placed."""
        return self.calendar.copy()

    def long_enough(self) -> int:
        """A moment by which some best schedule is over: after all releases and downtime, one task at a time."""
        problem = self.problem
        moments = [task.release for task in problem.tasks]
        moments += [down.end for renewable in problem.renewables for down in renewable.downtime]
        longest = sum(map(max, self.durations)) + sum(edge.lag for edge in problem.edges)
        over = max(moments, default=0) + longest
        return over if problem.horizon is None else min(over, problem.horizon)

    def earliest_starts(self) -> list[int] | None:
        """The heads: no schedule starts a task before its own. None if a task fits at no time at all."""
        starts: list[int] = [task.release for task in self.problem.tasks]
        for task in self.order:
            fitting = [
                (start, start + duration)
                for duration, demand in zip(self.durations[task], self.demands[task], strict=True)
                if (start := self.calendar.earliest(demand, duration, starts[task])) is not None
            ]
            if not fitting:
                return None
            starts[task] = min(start for start, _ in fitting)
            end = min(end for _, end in fitting)
            for successor, lag in self.successors[task]:
                starts[successor] = max(starts[successor], end + lag)
        return starts

    def latest_ends(self, end: int = NEVER) -> list[int] | None:
        """The moments by which tasks must be over if everything is to be over by `end`; None if one cannot be."""
        by = [min(limit, end) for limit in self.limit]
        for task in reversed(self.order):
            fitting = [
                (start, start + duration)
                for duration, demand in zip(self.durations[task], self.demands[task], strict=True)
                if (start := self.calendar.latest(demand, duration, by[task])) is not None
            ]
            if not fitting:
                return None
            by[task] = max(end for _, end in fitting)
            start = max(start for start, _ in fitting)
            for predecessor, lag in self.predecessors[task]:
                by[predecessor] = min(by[predecessor], start - lag)
        return by

    def bottom_levels(self, spans: Sequence[float]) -> list[float]:
        """The longest chain of spans and lags from the start of each task to the end of all."""
        levels = list(spans)
        for task in reversed(self.order):
            levels[task] += max((lag + levels[after] for after, lag in self.successors[task]), default=0)
        return levels


def lower_bound(problem: Problem) -> int | None:
    """No schedule ends earlier; None if it is clear that there is no schedule at all.

    The greatest of: the critical path through windows and downtime; for each renewable, the least time in which its
    calendar gives the work of its users, from the earliest head among them on, plus the shortest tail behind them.

    Cost: O(tasks x modes x stretches of downtime + renewables x (tasks x modes + downtime)).
    """
    return lower_bound_of(Prepared(problem))


def lower_bound_of(prepared: Prepared) -> int | None:
    """`lower_bound` of a problem that is already prepared."""
    heads = prepared.earliest_starts()
    if heads is None:
        return None
    spans = [min(durations) for durations in prepared.durations]
    ends = [head + span for head, span in zip(heads, spans, strict=True)]
    if any(end > limit for end, limit in zip(ends, prepared.limit, strict=True)):
        return None
    levels = prepared.bottom_levels(spans)
    tails = [int(level) - span for level, span in zip(levels, spans, strict=True)]
    works = (_work_bound(prepared.problem, number, heads, tails) for number in range(len(prepared.problem.renewables)))
    return max([0, *ends, *works])


def _work_bound(problem: Problem, resource: int, heads: Sequence[int], tails: Sequence[int]) -> int:
    """When the last user of a renewable can be over at best, and the shortest tail after it."""
    works = [
        min(mode.duration * (mode.demands[resource] if resource < len(mode.demands) else 0) for mode in task.modes)
        for task in problem.tasks
    ]
    users = [task for task, work in enumerate(works) if work]
    if not users:
        return 0
    start = min(heads[task] for task in users)
    done = _work_done(problem, resource, start, sum(works))
    return done + min(tails[task] for task in users)


def _work_done(problem: Problem, resource: int, start: int, work: int) -> int:
    """When a renewable that is never idle from `start` on has done so much work."""
    renewable = problem.renewables[resource]
    alone = Problem(tasks=(), renewables=(renewable,))
    at, left = start, work
    calendar = Timetable.empty(alone, Packing(alone))
    while True:
        capacity = min(
            (down.capacity for down in renewable.downtime if down.start <= at < down.end), default=renewable.capacity
        )
        until = calendar.next_change(at)
        if until is None or capacity * (until - at) >= left:
            return at if not capacity else at - (-left // capacity)
        at, left = until, left - capacity * (until - at)

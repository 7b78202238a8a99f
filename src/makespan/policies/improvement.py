"""Justification: push every task as late as it can go, then as early as it can go. Never longer, often shorter.

    ▇▇ ▇▇▇   ▇▇ ▇   ──late──▶     ▇▇▇▇▇▇ ▇▇   ──early──▶  ▇▇▇▇▇▇▇▇

Late first: by decreasing ends each task goes to the latest place before its successors; what stands there already
ended later, so a task never loses the place it has. Early is the mirror image, by increasing starts.
Sources: Tormos and Lova, "A competitive heuristic solution technique for resource-constrained project scheduling"
(2001); Valls, Ballestín and Quintanilla, "Justification and RCPSP: a technique that pays" (2005).
"""

from __future__ import annotations

from makespan.policies.prepared import Prepared
from makespan.policies.problem import Schedule, makespan

COST = 2
"""Schedules that one justification generates: the late one and the early one."""


def justified(prepared: Prepared, schedule: Schedule) -> Schedule:
    """A feasible schedule with the same modes that ends at the same time or earlier.

    Cost: two schedules, O(tasks x (log tasks + stretches)) each.
    """
    return early(prepared, late(prepared, schedule))


def late(prepared: Prepared, schedule: Schedule) -> Schedule:
    """The same makespan with every task as late as the later ones, its due date and the calendars let it be."""
    over = makespan(prepared.problem, schedule)
    durations = [prepared.durations[task][mode] for task, mode in enumerate(schedule.modes)]
    place = prepared.place
    order = sorted(range(len(durations)), key=lambda task: (-schedule.starts[task] - durations[task], -place[task]))
    by = [min(limit, over) for limit in prepared.limit]
    table, starts = prepared.empty(), list(schedule.starts)
    for task in order:
        demand = prepared.demands[task][schedule.modes[task]]
        start = table.latest(demand, durations[task], by[task])
        assert start is not None
        assert start >= schedule.starts[task]
        starts[task] = start
        table.take(demand, start, start + durations[task])
        for predecessor, lag in prepared.predecessors[task]:
            by[predecessor] = min(by[predecessor], start - lag)
    return Schedule(tuple(starts), schedule.modes)


def early(prepared: Prepared, schedule: Schedule) -> Schedule:
    """Every task as early as the earlier ones, its release and the calendars let it be."""
    place = prepared.place
    order = sorted(range(len(place)), key=lambda task: (schedule.starts[task], place[task]))
    ready_at = [task.release for task in prepared.problem.tasks]
    table, starts = prepared.empty(), list(schedule.starts)
    for task in order:
        mode = schedule.modes[task]
        demand, duration = prepared.demands[task][mode], prepared.durations[task][mode]
        start = table.earliest(demand, duration, ready_at[task])
        assert start is not None
        assert start <= schedule.starts[task]
        starts[task] = start
        table.take(demand, start, start + duration)
        for successor, lag in prepared.successors[task]:
            ready_at[successor] = max(ready_at[successor], start + duration + lag)
    return Schedule(tuple(starts), schedule.modes)

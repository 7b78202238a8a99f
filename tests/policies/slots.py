"""What is wrong with a schedule, found slot by slot: slow, obvious, and written without a line of `verify`.

Time is a row of unit slots; a task fills the slots from its start on, one for each unit of its duration.
"""

from collections import Counter

from makespan.policies.problem import Problem, Schedule


def broken_kinds(problem: Problem, schedule: Schedule) -> set[str]:
    """The names of the constraints that are broken; empty for a feasible schedule."""
    if [len(schedule.starts), len(schedule.modes)] != 2 * [len(problem.tasks)]:
        return {"shape"}
    if any(mode not in range(len(task.modes)) for task, mode in zip(problem.tasks, schedule.modes, strict=True)):
        return {"shape"}
    chosen = [task.modes[mode] for task, mode in zip(problem.tasks, schedule.modes, strict=True)]
    filled = [range(at, at + mode.duration) for at, mode in zip(schedule.starts, chosen, strict=True)]
    return {
        *window_kinds(problem, filled),
        *(["capacity"] if is_overloaded(problem, schedule, filled) else []),
        *(["consumable"] if is_overspent(problem, schedule) else []),
        *(["exclusive"] if any(set(filled[a]) & set(filled[b]) for a, b in problem.exclusive) else []),
    }


def window_kinds(problem: Problem, filled: list[range]) -> set[str]:
    """Broken releases, due dates, edges and the horizon, by the slots before and after which a task may not be."""
    kinds = set()
    for task, slots in zip(problem.tasks, filled, strict=True):
        if slots.start in range(min(slots.start, 0), task.release):
            kinds.add("release")
        if task.due is not None and slots.stop not in range(min(slots.stop, 0), task.due + 1):
            kinds.add("due")
        if problem.horizon is not None and not slots.stop <= problem.horizon:
            kinds.add("horizon")
    for edge in problem.edges:
        pause = range(filled[edge.before].stop, filled[edge.before].stop + edge.lag)
        if filled[edge.after].start < filled[edge.before].stop or filled[edge.after].start in pause:
            kinds.add("precedence")
    return kinds


def is_overloaded(problem: Problem, schedule: Schedule, filled: list[range]) -> bool:
    """Whether any slot of any renewable holds more than it has."""
    for at, renewable in enumerate(problem.renewables):
        used: Counter[int] = Counter()
        for task, mode, slots in zip(problem.tasks, schedule.modes, filled, strict=True):
            used.update(dict.fromkeys(slots, (*task.modes[mode].demands, *([0] * 9))[at]))
        for slot, units in used.items():
            has = renewable.capacity
            for down in renewable.downtime:
                if slot in range(down.start, down.end):
                    has = min(has, down.capacity)
            if units > has:
                return True
    return False


def is_overspent(problem: Problem, schedule: Schedule) -> bool:
    """Whether any consumable is used beyond its total."""
    left = [consumable.total for consumable in problem.consumables]
    for task, mode in zip(problem.tasks, schedule.modes, strict=True):
        for at, amount in enumerate(task.modes[mode].consumption):
            left[at] -= amount
    return min(left, default=0) < 0


def shortest_makespan(
    problem: Problem, orders: list[tuple[int, ...]], mode_choices: list[tuple[int, ...]]
) -> int | None:
    """The least makespan over all orders and modes, each task in the first slot that breaks nothing."""
    best: int | None = None
    for modes in mode_choices:
        for order in orders:
            length = packed(problem, order, modes)
            if length is not None and (best is None or length < best):
                best = length
    return best


def packed(problem: Problem, order: tuple[int, ...], modes: tuple[int, ...]) -> int | None:
    """The makespan of one order; None where it cannot be done or an edge points backwards in it."""
    if is_overspent(problem, Schedule((0,) * len(modes), modes)):
        return None
    spans = [task.modes[mode].duration for task, mode in zip(problem.tasks, modes, strict=True)]
    last = sum(spans) + 60 + sum(edge.lag for edge in problem.edges)
    starts: dict[int, int] = {}
    for task in order:
        before = [edge for edge in problem.edges if edge.after == task]
        if any(edge.before not in starts for edge in before):
            return None
        first = max([problem.tasks[task].release, *(starts[e.before] + spans[e.before] + e.lag for e in before)])
        for slot in range(first, last):
            if is_free(problem, {**starts, task: slot}, modes, spans, task):
                starts[task] = slot
                break
        else:
            return None
        end, due = starts[task] + spans[task], problem.tasks[task].due
        if (due is not None and end > due) or (problem.horizon is not None and end > problem.horizon):
            return None
    return max(starts[task] + spans[task] for task in starts)


def is_free(problem: Problem, starts: dict[int, int], modes: tuple[int, ...], spans: list[int], task: int) -> bool:
    """Whether the resources of the placed tasks and this one suffice in the slots of this one."""
    mine = range(starts[task], starts[task] + spans[task])
    for slot in mine:
        running = [other for other in starts if starts[other] <= slot < starts[other] + spans[other]]
        for at, renewable in enumerate(problem.renewables):
            has = min([renewable.capacity, *(d.capacity for d in renewable.downtime if d.start <= slot < d.end)])
            needs = problem.tasks[task].modes[modes[task]].demands[at]
            if needs and sum(problem.tasks[other].modes[modes[other]].demands[at] for other in running) > has:
                return False
        if any(task in pair and {*pair} <= {*running} for pair in problem.exclusive):
            return False
    return True

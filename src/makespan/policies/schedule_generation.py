"""Schedules made by placing one task after the other: in order of rank (serial) or of time (parallel).

    serial    take the task with the lowest rank whose predecessors are placed; put it at its earliest fitting time
    parallel  go through the moments; start what is ready and fits, lowest rank first

Serial makes active schedules, among which there is always a best one; parallel makes non-delay schedules, fewer and
better on average where resources are scarce, but a best one may be missing.
Source: Kolisch, "Serial and parallel resource-constrained project scheduling methods revisited" (1996).
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush

import msgspec

from makespan.policies.modes import Purse
from makespan.policies.prepared import Prepared
from makespan.policies.problem import Schedule
from makespan.policies.timetable import Timetable

Ranks = Sequence[float]
"""One a task; the lowest goes first, equal ones in the order of their numbers."""


class Stuck(msgspec.Struct, frozen=True):
    """There was no place for a task: it would end after it is due, or what it consumes is used up."""

    task: int


def serial(prepared: Prepared, ranks: Ranks, modes: Sequence[int] | None = None) -> Schedule | Stuck:
    """Place tasks in order of rank, each at the earliest time at which it fits.

    With `modes` None each task takes the mode in which it ends first, of those that leave the others their least
    consumption. (With several consumables that may still get stuck where another choice would not.) Given modes
    are taken as they are, whatever they consume.

    Cost: O(tasks x (log tasks + stretches of the timetable)); about 5 µs a task.
    """
    table, starts, chosen = prepared.empty(), [0] * len(prepared.order), [0] * len(prepared.order)
    ready_at = [task.release for task in prepared.problem.tasks]
    waits = [len(before) for before in prepared.predecessors]
    ready = [(ranks[task], task) for task, count in enumerate(waits) if not count]
    purse = None if modes is not None or prepared.is_plain else Purse(prepared)
    heapify(ready)
    while ready:
        _, task = heappop(ready)
        if purse is None:
            chosen[task] = mode = modes[task] if modes is not None else 0
            demand, duration = prepared.demands[task][mode], prepared.durations[task][mode]
            start = table.earliest(demand, duration, ready_at[task])
        else:
            start, chosen[task] = _first_end(prepared, table, task, ready_at[task], purse.affordable(task))
            demand, duration = prepared.demands[task][chosen[task]], prepared.durations[task][chosen[task]]
            purse.pay(task, chosen[task])
        if start is None or start + duration > prepared.limit[task]:
            return Stuck(task)
        starts[task], end = start, start + duration
        table.take(demand, start, end)
        for successor, lag in prepared.successors[task]:
            if end + lag > ready_at[successor]:
                ready_at[successor] = end + lag
            waits[successor] -= 1
            if not waits[successor]:
                heappush(ready, (ranks[successor], successor))
    return Schedule(tuple(starts), tuple(chosen))


def parallel(prepared: Prepared, ranks: Ranks, modes: Sequence[int] | None = None) -> Schedule | Stuck:
    """Go through time and start, at each moment, the ready tasks that fit, lowest rank first.

    With `modes` None each task takes its fastest mode; see `modes.fitting_modes` where something is consumed.

    Cost: O(moments x ready tasks x stretches a task is long).
    """
    chosen = prepared.fastest if modes is None else tuple(modes)
    table, starts = prepared.empty(), [0] * len(chosen)
    ready_at = [task.release for task in prepared.problem.tasks]
    waits = [len(before) for before in prepared.predecessors]
    coming = [(ready_at[task], task) for task, count in enumerate(waits) if not count]
    heapify(coming)
    ready: list[tuple[float, int]] = []
    moment: int | None = 0
    while ready or coming:
        if not ready:
            moment = max(moment or 0, coming[0][0])
        if moment is None:
            return Stuck(ready[0][1])
        while coming and coming[0][0] <= moment:
            task = heappop(coming)[1]
            ready.append((ranks[task], task))
        ready.sort()
        later = []
        for entry in ready:
            task = entry[1]
            demand, duration = prepared.demands[task][chosen[task]], prepared.durations[task][chosen[task]]
            end = moment + duration
            if end > prepared.limit[task]:
                return Stuck(task)
            if not table.fits(demand, moment, end):
                later.append(entry)
                continue
            starts[task] = moment
            table.take(demand, moment, end)
            for successor, lag in prepared.successors[task]:
                ready_at[successor] = max(ready_at[successor], end + lag)
                waits[successor] -= 1
                if not waits[successor]:
                    heappush(coming, (ready_at[successor], successor))
        ready = later
        moment = _next_moment(table.next_change(moment), coming[0][0] if coming else None, moment)
    return Schedule(tuple(starts), chosen)


def _next_moment(change: int | None, coming: int | None, moment: int) -> int | None:
    """The next moment at which a decision can differ: this one again where a task became ready at once."""
    if coming is None or (change is not None and change < coming):
        return change
    return max(coming, moment)


def _first_end(
    prepared: Prepared, table: Timetable, task: int, ready_at: int, affordable: Sequence[int]
) -> tuple[int | None, int]:
    """The start and mode with which a task ends first; ties go to the lower number."""
    best: tuple[int, int, int] | None = None
    for mode in affordable:
        duration = prepared.durations[task][mode]
        start = table.earliest(prepared.demands[task][mode], duration, ready_at)
        if start is not None and (best is None or start + duration < best[0]):
            best = (start + duration, start, mode)
    return (None, 0) if best is None else best[1:]

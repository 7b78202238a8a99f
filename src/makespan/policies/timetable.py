"""What is free when: one number per stretch of time, with every renewable packed into it.

    free │ ▆▆▆▆▂▂▂▂▂▂▆▆▆▆▆ ...        times = [0, 4, 10], free[i] holds in [times[i], times[i + 1]),
         └─────────────────▶ time      the last one for ever

A field of the number holds a renewable's free units below a guard bit that is always set. Take the packed demand away:
a guard that went out says that a field would have gone below 0, so one subtraction asks all renewables at once
(subword arithmetic: Lamport, "Multiple byte processing with full-word instructions", 1975). An exclusive pair
is a field with one unit that both tasks demand.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from makespan.policies.problem import Problem
from makespan.policies.verify import capacity_at


class Packing:
    """Where each renewable and exclusive pair has its field."""

    __slots__ = ("guards", "pairs", "shifts")

    def __init__(self, problem: Problem) -> None:
        most = [renewable.capacity for renewable in problem.renewables]
        for task in problem.tasks:
            for mode in task.modes:
                for number, demand in enumerate(mode.demands):
                    most[number] = max(most[number], demand)
        self.shifts: list[int] = []
        self.guards = at = 0
        for units in [*most, *(1 for _ in problem.exclusive)]:
            self.shifts.append(at)
            at += units.bit_length() + 1
            self.guards |= 1 << (at - 1)
        self.pairs: dict[int, list[int]] = {}
        for shift, pair in zip(self.shifts[len(most) :], problem.exclusive, strict=True):
            for member in pair:
                self.pairs.setdefault(member, []).append(shift)

    def demand(self, task: int, demands: Sequence[int]) -> int:
        """What a task takes while it runs, packed."""
        packed = sum(units << shift for units, shift in zip(demands, self.shifts, strict=False))
        return packed + sum(1 << shift for shift in self.pairs.get(task, ()))

    def free(self, problem: Problem, moment: int) -> int:
        """What is free at a moment while nothing runs, guards set."""
        count = len(problem.renewables)
        free = [capacity_at(renewable, moment) for renewable in problem.renewables]
        free += [1] * (len(self.shifts) - count)
        return self.guards + sum(units << shift for units, shift in zip(free, self.shifts, strict=True))


class Timetable:
    """Free units over time, from 0 on. Tasks are placed with `take` and taken out again with `give`."""

    __slots__ = ("_free", "_guards", "_times")

    def __init__(self, times: list[int], free: list[int], guards: int) -> None:
        self._times, self._free, self._guards = times, free, guards

    @classmethod
    def empty(cls, problem: Problem, packing: Packing) -> Timetable:
        """Nothing placed: capacities and their downtime."""
        moments = {0}
        for renewable in problem.renewables:
            moments |= {moment for down in renewable.downtime for moment in (down.start, down.end)}
        times = sorted(moments)
        return cls(times, [packing.free(problem, moment) for moment in times], packing.guards)

    def copy(self) -> Timetable:
        """The same, to be changed on its own."""
        return Timetable(self._times.copy(), self._free.copy(), self._guards)

    def earliest(self, demand: int, duration: int, start: int) -> int | None:
        """The first moment from `start` on at which a task fits; None if it never does.

        Cost: O(log stretches + stretches looked at).
        """
        if not duration:
            return start
        times, free, guards = self._times, self._free, self._guards
        at, last, end = bisect_right(times, start) - 1, len(times) - 1, start + duration
        while True:
            fits = (free[at] - demand) & guards == guards
            if at == last:
                return start if fits else None
            at += 1
            if not fits:
                start = times[at]
                end = start + duration
            elif times[at] >= end:
                return start

    def latest(self, demand: int, duration: int, end: int) -> int | None:
        """The last moment at which a task fits that must be over by `end`; None if there is none from 0 on."""
        if not duration:
            return end if end >= 0 else None
        times, free, guards = self._times, self._free, self._guards
        start = end - duration
        at = bisect_left(times, end) - 1
        while start >= 0:
            if (free[at] - demand) & guards != guards:
                start = times[at] - duration
            elif times[at] <= start:
                return start
            at -= 1
        return None

    def fits(self, demand: int, start: int, end: int) -> bool:
        """Whether a task fits in [start, end)."""
        return start == end or self.earliest(demand, end - start, start) == start

    def next_change(self, moment: int) -> int | None:
        """The first moment after this one at which anything becomes free or is taken; None if nothing does."""
        at = bisect_right(self._times, moment)
        return self._times[at] if at < len(self._times) else None

    def moments(self, start: int, end: int) -> list[int]:
        """The moments in [start, end] at which anything changes."""
        return self._times[bisect_left(self._times, start) : bisect_right(self._times, end)]

    def take(self, demand: int, start: int, end: int) -> None:
        """Place a task that fits in [start, end)."""
        if start < end:
            first, after = self._split(start), self._split(end)
            free = self._free
            for at in range(first, after):
                free[at] -= demand

    def give(self, demand: int, start: int, end: int) -> None:
        """Take a task out of [start, end), in which it was placed."""
        self.take(-demand, start, end)
        self._join(end)
        self._join(start)

    def _join(self, moment: int) -> None:
        """Make one stretch of two where nothing changes, or a long search would cut time into ever smaller ones."""
        at = bisect_left(self._times, moment)
        if 0 < at < len(self._times) and self._times[at] == moment and self._free[at] == self._free[at - 1]:
            del self._times[at], self._free[at]

    def _split(self, moment: int) -> int:
        """Where the stretch that begins at a moment stands; it is made if there is none."""
        at = bisect_left(self._times, moment)
        if at == len(self._times) or self._times[at] != moment:
            self._times.insert(at, moment)
            self._free.insert(at, self._free[at - 1])
        return at

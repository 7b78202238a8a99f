"""The rest of a run in many drawn worlds, prepared so that a plan costs a few additions.

    asked ──┐
    running ┼──▶ what follows ──▶ end        makespan = max over the front of (its own time + longest path behind it)
    resting ┘

Every path through what is left begins in the front: tasks that are asked about, in flight, or wait to be tried again.
What is behind it depends on the continuation only, and what an asked task takes on its action and the continuation; so
all joint actions of all continuations share a few arrays. Nothing here knows which plan is good.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from makespan.machine.observations import PlanTask, PlanView
from makespan.policies.portfolio.longest import tails
from makespan.policies.portfolio.tables import ROWS, Fates, Tables, wait_ns
from makespan.profiles.profile import Profile

if TYPE_CHECKING:
    from makespan.policies.portfolio.attempts import Flags, Floats, Ints

PATIENCE = 2
"""An attempt that has taken longer than any known is expected to take so many times what it has taken."""


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """One task that waits for a choice. The last axis counts the worlds."""

    number: int
    fates: Fates
    first_takes: Floats
    """[actions, worlds]"""
    first_cost: Floats
    first_work: Floats
    fails: Flags
    """[actions, worlds]: where the first try fails."""
    again_takes: Floats
    """[continuations, worlds]: what follows a failed try; `inf` where no try is left."""
    again_cost: Floats
    again_work: Floats
    tail: Floats
    """[continuations, worlds]: the longest path behind it."""

    def own(self, action: Any, continuation: Any, count: int) -> tuple[Floats, Floats, Floats]:
        """(path through it, cost, attempt-nanoseconds) in the first worlds; the first try and what follows a failure.

        Args:
            action, continuation: indexes of one shape.
        """
        again = self.fails[action, :count]
        return (
            self.first_takes[action, :count]
            + self.tail[continuation, :count]
            + self._if(again, self.again_takes[continuation, :count]),
            self.first_cost[action, :count] + self._if(again, self.again_cost[continuation, :count]),
            _of(self.first_work, action, count) + self._if(again, _of(self.again_work, continuation, count)),
        )

    @staticmethod
    def _if(fails: Flags, what: Floats) -> Floats:
        import numpy as np

        return np.where(fails, what, 0.0) if what.size else what


@dataclass(frozen=True, slots=True)
class Worlds:
    """All that plans are measured with; see the module."""

    asked: tuple[Asked, ...]
    takes: Floats
    """[continuations, worlds]: the longest path that begins in what is not asked about."""
    cost: Floats
    work: Floats
    """The same shape: of everything that is not asked about."""
    running: int

    def folded(self, free: Ints) -> Worlds:
        """The same where only these (by place) are asked about, and the others do as the continuation does."""
        asked = tuple([self.asked[place] for place in free])
        others = Worlds(tuple([each for each in self.asked if each not in asked]), *self._base(), self.running)
        every = _range(len(self.takes))
        takes, cost, work = others.sums(every[:, None].repeat(len(others.asked), axis=1), every, self.takes.shape[1])
        return Worlds(asked, takes, cost, work, self.running)

    def moved(self, actions: Ints, continuation: int, count: int) -> tuple[Floats, Floats]:
        """(makespan, cost) of one plan with the action of one task changed: [asked, actions, count].

        Cost: about 20 passes over the result, however many are asked about.
        """
        import numpy as np

        each = [task.own(slice(None), continuation, count) for task in self.asked]
        takes, cost, work = (np.stack([of_task[kind] for of_task in each]) for kind in range(3))
        mine = np.arange(len(each)), actions
        longest = np.maximum(_max_of_others(takes[mine]), self.takes[continuation, :count])
        longest = np.maximum(longest[:, None], takes)
        total = self.cost[continuation, :count] + cost[mine].sum(axis=0)
        paid = total - cost[mine][:, None] + cost
        if self.running:
            busy = self.work[continuation, :count] + work[mine].sum(axis=0)
            longest = np.maximum(longest, (busy - work[mine][:, None] + work) / self.running)
        return longest, paid

    def outcomes(self, actions: Ints, continuations: Ints, count: int) -> tuple[Floats, Floats]:
        """(makespan, cost) of plans in the first `count` worlds, both [plans, count].

        Args:
            actions: [plans, asked]. continuations: [plans].
        Cost: about 10 passes over the result a task that is asked about.
        """
        import numpy as np

        longest, cost, work = self.sums(actions, continuations, count)
        return (np.maximum(longest, work / self.running) if self.running else longest), cost

    def sums(self, actions: Ints, continuations: Ints, count: int) -> tuple[Floats, Floats, Floats]:
        """(longest path, cost, attempt-nanoseconds) of plans, all [plans, count]."""
        import numpy as np

        longest, cost, work = (_of(each, continuations, count) for each in self._base())
        for place, each in enumerate(self.asked):
            takes, paid, busy = each.own(actions[:, place], continuations, count)
            longest, cost = np.maximum(longest, takes), cost + paid
            work = work + busy
        return longest, cost, work

    def _base(self) -> tuple[Floats, Floats, Floats]:
        return self.takes, self.cost, self.work


@dataclass(frozen=True, slots=True)
class _Rest:
    """What comes of every task under every action: [tasks, actions, worlds]; `work` is empty where slots are plenty."""

    takes: Floats
    cost: Floats
    work: Floats


class Preparation:
    """Draws the worlds for one view.

    Args:
        most, cells, least: worlds to draw: `most`, fewer where tasks × actions × worlds exceeds `cells`, not below
            `least`.
    """

    def __init__(self, view: PlanView, tables: Tables, profile: Profile, most: int, cells: int, least: int) -> None:
        import numpy as np

        self._view, self._tables, self._profile = view, tables, profile
        self._order = in_order(view.tasks)
        self.places = max([1, *(len(each.modes) for each in self._order if is_planned(each, profile))])
        per_world = len(self._order) * self.places * len(tables.samples)
        self._count = max(min(most, cells // per_world), least)
        self._is_tight = len(self._order) * tables.samples[-1] > view.running
        """Whether slots may be what a plan waits for."""
        self._index = {each.number: place for place, each in enumerate(self._order)}
        self._sources = [tuple([self._index[n] for n in each.sources if n in self._index]) for each in self._order]
        key = [view.seed & (2**64 - 1), view.at & (2**64 - 1)]
        self._chance = np.random.Generator(np.random.Philox(key=np.array(key, np.uint64)))

    def asked(self) -> list[tuple[int, Fates]]:
        """The tasks that wait for a choice, in the order of `Worlds.asked`: number and fates."""
        return [(each.number, self._fates(each)) for each in self._order if self._is_front(each) and each.is_asked]

    def uniform(self, count: int) -> Floats:
        """Numbers in [0, 1) of this decision."""
        return self._chance.random(count)

    def worlds(self) -> Worlds:
        """Draw them. Cost: two gathers of [actions, worlds] a task, and as much for the paths."""
        import numpy as np

        fates = [self._fates(each) for each in self._order]
        rows = self._chance.integers(0, ROWS, (2, len(fates), self._count))
        rest = self._drawn(fates, rows[0])
        front = [place for place, each in enumerate(self._order) if self._is_front(each)]
        asked = [place for place in front if self._order[place].is_asked]
        begun = [place for place in front if not self._order[place].is_asked]
        for place in begun:
            self._go_on(place, rest.takes[place], rest.cost[place])
        behind = tails(rest.takes, self._sources)
        others = np.setdiff1d(np.arange(len(fates)), asked)
        nothing = np.zeros(rest.takes.shape[1:], np.float32)
        return Worlds(
            tuple([self._asked(place, fates[place], rows[1, place], rest, behind[place]) for place in asked]),
            (rest.takes[begun] + behind[begun]).max(axis=0) if begun else nothing,
            rest.cost[others].sum(axis=0),
            rest.work[others].sum(axis=0) if self._is_tight else np.zeros(0, np.float32),
            self._view.running if self._is_tight else 0,
        )

    def _drawn(self, fates: list[Fates], rows: Ints) -> _Rest:
        """Every task's whole fate under every action, as if it began when its sources have ended."""
        import numpy as np

        shape = (len(fates), len(fates[0].actions), self._count)
        takes, cost = np.empty(shape, np.float32), np.empty(shape, np.float32)
        work = np.empty(shape if self._is_tight else (len(fates), 0), np.float32)
        for place, each in enumerate(fates):
            np.take(each.whole_takes, rows[place], axis=1, out=takes[place])
            np.take(each.whole_cost, rows[place], axis=1, out=cost[place])
            if self._is_tight:
                np.take(each.whole_work, rows[place], axis=1, out=work[place])
        return _Rest(takes, cost, work)

    def _asked(self, place: int, fates: Fates, rows: Ints, rest: _Rest, tail: Floats) -> Asked:
        """A task that waits for a choice: its first try from rows of its own, what follows a failure as drawn."""
        import numpy as np

        task = self._order[place]
        takes, cost, work = rest.takes[place] + np.float32(wait_ns(task.failures)), rest.cost[place], rest.work[place]
        if task.tries_left <= 1:
            takes, cost, work = np.full_like(takes, np.inf), np.zeros_like(cost), np.zeros_like(work)
        first = fates.first_takes[:, rows], fates.first_cost[:, rows]
        busy = fates.first_work[:, rows] if self._is_tight else work
        return Asked(task.number, fates, *first, busy, ~fates.first_ok[:, rows], takes, cost, work, tail)

    def _fates(self, task: PlanTask) -> Fates:
        if not task.modes and not self._profile.modes(task.key):
            return self._tables.nothing(self.places)
        planned = is_planned(task, self._profile)
        modes = task.modes if planned else task.modes[:1] or ("",)
        failed = task.failures + (1 if task.is_asked or task.flights else 0)
        left = max(task.tries_left - (1 if task.is_asked or task.flights else 0), 1)
        return self._tables.of(task.key, modes, self.places, failed, left, is_alone=task.is_alone or not planned)

    def _is_front(self, task: PlanTask) -> bool:
        return not self._sources[self._index[task.number]]

    def _go_on(self, place: int, takes: Floats, cost: Floats) -> None:
        """Of a task of the front that has begun: what is left of it, in place. What it has cost is paid for."""
        import numpy as np

        task = self._order[place]
        if task.flights:
            lands, ok = self._landings(task)
            if task.tries_left > 1:
                takes[:] = np.where(ok, lands, lands + wait_ns(task.failures) + takes)
            else:
                takes[:] = np.where(ok, lands, np.inf)
            cost[:] = np.where(ok, 0.0, cost)
        elif task.not_before >= 0:
            takes += max(task.not_before - self._view.at, 0)

    def _landings(self, task: PlanTask) -> tuple[Floats, Flags]:
        """([worlds] when its try ends, [worlds] whether with a success), given how long its attempts have flown."""
        import numpy as np

        won = np.full(self._count, np.inf)
        last = np.zeros(self._count)
        for mode, began in task.flights:
            known = self._profile.of(task.key, mode)
            grid, _, oks = self._tables.grid(task.key, mode)
            elapsed = self._view.at - began
            beyond = int(np.searchsorted(grid, elapsed, side="right"))
            uniform = self._chance.random((2, self._count))
            if beyond < len(grid):
                row = beyond + (uniform[0] * (len(grid) - beyond)).astype(np.int64)
                left = grid[row] - float(elapsed)
                ok = uniform[1] < known.success if oks is None else oks[row]
            else:
                left = np.full(self._count, float(elapsed) * (PATIENCE - 1))
                ok = uniform[1] < known.success
            won = np.where(ok, np.minimum(won, left), won)
            last = np.maximum(last, left)
        is_won = np.isfinite(won)
        return np.where(is_won, won, last), is_won


def _of(values: Floats, index: Any, count: int) -> Floats:
    """Rows of an array, in the first worlds; of one that is not kept, the same nothing for all."""
    return values[index, :count] if values.size else values


def _range(count: int) -> Ints:
    import numpy as np

    return np.arange(count)


def _max_of_others(values: Floats) -> Floats:
    """For each row the greatest of the other rows, element by element; 0 where there are none."""
    import numpy as np

    before, after = np.zeros_like(values), np.zeros_like(values)
    np.maximum.accumulate(values[:-1], axis=0, out=before[1:])
    np.maximum.accumulate(values[:0:-1], axis=0, out=after[-2::-1])
    return np.maximum(before, after)


def is_planned(task: PlanTask, profile: Profile) -> bool:
    """Whether the planner has a say in how such a task is done: something is known of it, and there is a choice."""
    return bool(task.modes and profile.modes(task.key)) and (len(task.modes) > 1 or not task.is_alone)


def in_order(tasks: tuple[PlanTask, ...]) -> list[PlanTask]:
    """Sources before what needs them. Edits may have given a source a higher number than what it feeds."""
    known = {each.number: each for each in tasks}
    placed: dict[int, PlanTask] = {}
    for task in tasks:
        stack = [task]
        while stack:
            top = stack[-1]
            missing = [n for n in top.sources if n in known and n not in placed]
            if missing:
                stack += [known[n] for n in missing]
            else:
                placed.setdefault(stack.pop().number, top)
    return list(placed.values())

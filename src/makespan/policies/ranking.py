"""Rules for which ready task starts next, as policies of a run (`machine.policy.Policy`).

    critical-path    longest way to go first                             shortest makespan, nothing else known
    latest-finish    earliest latest finish time first                   the same, towards the deadlines of scopes
    least-slack      earliest latest start time first                    deadlines, and tasks of uneven length
    deadline         nearest deadline first, then longest way to go      deadlines of independent parts
    urgency          its share of the time left, less what it needs      like pipelines that come below full load
    shortest         shortest first                                      mean time to a result, not the last one
    fair             turns between sub-workflows, by time used           none of them may wait for all others
    random           in any order                                        a baseline; searching

A rank stands while a task waits. That is right for rules that look at the clock too, as long as all who wait lose the
same second at the same moment: slack is (latest start - now), urgency is (budget - waited - needs); between two tasks
the difference does not depend on now, so `now` is left out. What does change ranks is knowledge: a graph that grew, an
edit, another expectation. Then the epoch changes and everything ready is ranked again, but never more often than ranks
were asked for anyway, so a decision costs the same however many tasks are ready.
Sources: HEFT (Topcuoglu et al. 2002) for the critical path; Kelley (1963) for latest times; Liu and Layland (1973) for
earliest deadline first; Goyal, Vin and Cheng, "Start-time fair queuing" (1996); the per-call budget of
Hexgen-Text2SQL (2025) for urgency.
"""

from __future__ import annotations

from collections.abc import Mapping
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from makespan.draws import draws
from makespan.graph.node import Kind
from makespan.machine.records import Status
from makespan.policies.expected import Expected
from makespan.policies.levels import Levels

if TYPE_CHECKING:
    from makespan.machine.records import TaskState
    from makespan.machine.state import State

_READY, _WORKFLOW = Status.READY, Kind.WORKFLOW  # an enum's attributes cost 50 ns each

NEVER = 1 << 62
"""Due date of what has none: after all that have one, among themselves by what comes behind them."""
DUE_BITS = 64
"""A due date is moved up so far that what breaks its ties fits below."""
TURNS = 1 << 53
"""How finely a uniform draw is cut into ranks."""


def due(state: State, task: TaskState) -> int:
    """The nearest deadline of the scopes that a task is in, the run included; `NEVER` without one."""
    nearest, number = NEVER, task.spec.scope
    while True:
        scope = state.scopes[number]
        if scope.deadline_ns is not None:
            nearest = min(nearest, scope.opened_at + scope.deadline_ns)
        if not number:
            return nearest
        number = scope.parent


class Ranking:
    """What the rules share: one run's state, when to rank again, and who has been ranked. One object, one run."""

    def __init__(self, name: str, expected: Expected) -> None:
        self.name, self.expected = name, expected
        self._state: State | None = None
        self._epoch = self._credit = 0
        self._ranked = bytearray()
        """Task number → whether it has had a rank."""

    @property
    def epoch(self) -> int:
        """Changes when ranks no longer hold, at most so often that ranking again pays for itself."""
        if self._state is not None:
            self._credit += 1
            if self._credit >= 0 and self._has_changed(self._state):
                self._epoch += 1
        return self._epoch

    def rank(self, state: State, task: TaskState) -> int:
        """Place of a ready task; lower starts first. Cost: 1 to 2 µs."""
        if state is not self._state:
            self._open(state)
        ranked, number = self._ranked, task.number
        if number >= len(ranked):
            ranked.extend(bytes(len(state.tasks) - len(ranked)))
        self._credit += -1 if ranked[number] else 1
        ranked[number] = 1
        return self.place(state, task)

    def place(self, state: State, task: TaskState) -> int:
        """The rule itself."""
        raise NotImplementedError

    def _open(self, state: State) -> None:
        self._state, self._ranked = state, bytearray(len(state.tasks))
        self.expected.look(state)
        self._version = self.expected.version

    def _has_changed(self, state: State) -> bool:
        self.expected.look(state)
        changed, self._version = self.expected.version != self._version, self.expected.version
        return changed


class FirstCome(Ranking):
    """In the order in which tasks became ready. The engine does the same, faster, without a policy."""

    def place(self, state: State, task: TaskState) -> int:
        return 0

    def _has_changed(self, state: State) -> bool:
        return False


class Shortest(Ranking):
    """Shortest expected first."""

    def place(self, state: State, task: TaskState) -> int:
        return self.expected.of(task)


class AnyOrder(Ranking):
    """In an order drawn from the seed and the tasks' ids: the same on every machine and in every life."""

    def __init__(self, name: str, expected: Expected, seed: int) -> None:
        super().__init__(name, expected)
        self._seed = seed

    def place(self, state: State, task: TaskState) -> int:
        return int(draws(self._seed, task.spec.id, 0)[0] * TURNS)

    def _has_changed(self, state: State) -> bool:
        return False


class Planned(Ranking):
    """Follows a plan: by planned start; what the plan does not know starts as if planned for when it became ready.

    Args:
        starts: planned start by task id, nanoseconds from the run's start.
    """

    def __init__(self, starts: Mapping[bytes, int], name: str = "planned") -> None:
        super().__init__(name, Expected())
        self._starts = starts

    def place(self, state: State, task: TaskState) -> int:
        return self._starts.get(task.spec.id, state.at)

    def _has_changed(self, state: State) -> bool:
        return False


class Levelled(Ranking):
    """Rules that know what comes behind a task."""

    def _open(self, state: State) -> None:
        super()._open(state)
        self.levels = self._levels_of(state)
        self.levels.sync()
        self.levels.has_risen = False

    def rank(self, state: State, task: TaskState) -> int:
        """As `Ranking.rank`; a task that is new brings the graph up to date, for others `epoch` does."""
        if state is self._state and task.number >= self.levels.known:
            self.levels.sync()
        return super().rank(state, task)

    def _levels_of(self, state: State) -> Levels:
        return Levels(state, self.expected.of)

    def _has_changed(self, state: State) -> bool:
        if super()._has_changed(state):
            self.levels.rebuild()
        else:
            self.levels.sync()
        changed, self.levels.has_risen = self.levels.has_risen, False
        return changed


class CriticalPath(Levelled):
    """Longest expected way to the end of the run first."""

    def place(self, state: State, task: TaskState) -> int:
        return -self.levels.level(task.number)


class _Backwards(Levelled):
    """Rules that count back from due dates: minus a level is the latest start, minus a tail the latest finish."""

    def _levels_of(self, state: State) -> Levels:
        return Levels(state, self.expected.of, lambda task: -due(state, task))


class LatestFinish(_Backwards):
    """Whose end is due first, so that all behind it can still be in time. Without deadlines: longest tail first."""

    def place(self, state: State, task: TaskState) -> int:
        return -self.levels.tail(task.number)


class LeastSlack(_Backwards):
    """Who can wait least: by latest start, as `now` is the same for all."""

    def place(self, state: State, task: TaskState) -> int:
        return -self.levels.level(task.number)


class EarliestDeadline(Levelled):
    """Nearest deadline of the task, its scopes and the run first; among equals the longest way to go."""

    def place(self, state: State, task: TaskState) -> int:
        nearest = due(state, task)
        inside_ns = task.declaration.options.deadline_ns if task.kind == _WORKFLOW else None
        if inside_ns is not None:
            nearest = min(nearest, state.at + inside_ns)
        return (nearest << DUE_BITS) - self.levels.level(task.number)


class Urgency(Levelled):
    """Who has least left of its share: a task gets as much of the time to its deadline as it is of the way to go.

    budget = (due - ready) * needs / (needs + behind it); urgency = budget - (now - ready) - needs, least first. What
    has no deadline is measured against the longest way through the run that is known.
    """

    def _open(self, state: State) -> None:
        super()._open(state)
        self._ready_at: dict[int, tuple[int, int]] = {}
        self._longest = 0

    def place(self, state: State, task: TaskState) -> int:
        attempt, ready = self._ready_at.get(task.number, (-1, 0))
        if attempt != task.attempt:
            ready = state.at
            self._ready_at[task.number] = task.attempt, ready
        level = self.levels.level(task.number)
        self._longest = max(self._longest, ready + level)
        needs = level - self.levels.tail(task.number)
        nearest = due(state, task)
        left = (self._longest if nearest == NEVER else nearest) - ready
        return ready + (left * needs // level if level else left) - needs


class Fair(Ranking):
    """Equal shares of what is running between the run's parts: its scopes and sub-workflows of the outermost level.

    A task's tag is the time its part has used, but not less than where the others stand; lowest tag first. Tags do not
    change while newcomers' tags rise: that is the ageing, and nobody waits for more than one round of all parts.
    """

    def _open(self, state: State) -> None:
        super()._open(state)
        self._tags: dict[int, tuple[int, int]] = {}
        """Task → (attempts before, tag)."""
        self._next: dict[int, int] = {}
        """Part → tag of its next task."""
        self._waiting: list[tuple[int, int]] = []
        self._now = 0
        """The highest tag that has been served."""

    def place(self, state: State, task: TaskState) -> int:
        attempt, tag = self._tags.get(task.number, (-1, 0))
        if attempt != task.attempt:
            part = part_of(state, task)
            tag = max(self._next.get(part, 0), self._served(state))
            self._next[part] = tag + max(self.expected.of(task), 1)
            self._tags[task.number] = task.attempt, tag
            heappush(self._waiting, (tag, task.number))
        return tag

    def _served(self, state: State) -> int:
        while self._waiting:
            tag, number = self._waiting[0]
            task = state.tasks[number]
            attempt, given = self._tags[number]
            if given == tag and task.attempt == attempt and task.status == _READY:
                break
            heappop(self._waiting)
            if task.attempt > attempt:
                self._now = max(self._now, tag)
        return self._now

    def _has_changed(self, state: State) -> bool:
        self.expected.look(state)
        return False


def part_of(state: State, task: TaskState) -> int:
    """The outermost scope that a task is in, inside the run or the body that is the run; 0 for those beside all."""
    root = state.root
    trunk = 0 if root is None or root.kind != _WORKFLOW else state.scope_index.get(root.spec.id, 0)
    number = part = task.spec.scope
    while number and number != trunk:
        part, number = number, state.scopes[number].parent
    return 0 if part == trunk else part

"""How much work waits behind each task: the longest expected path from its start to where nothing follows.

          fetch 2 ─▶ grade 3 ─▶ report 1          levels: fetch 6, grade 4, report 1; log 1
               └───▶ log 1                         tail = level without the task itself

A run's graph grows while it runs, so levels do too. New tasks are taken in batches, last to first, which is one look
at each edge; older tasks hear of it only where a level grows, and only those that have not ended: nobody will ask for
the others. Growth costs at most `STEPS` edges for each new task or question; a graph that would need more (a long chain
that grows at its end, one task a turn) falls behind and is done anew when a whole pass has been saved up, so a run of n
tasks costs O(n), never O(n²). Edits, tasks done again and other expectations lead to a new pass.

A level is never too low, but for the time a graph is behind. It may be too high in branches that were decided
otherwise (a lost race, a skip): what ended early still counts with those above it until the next pass.
Source: b-levels; Kwok and Ahmad, "Static scheduling algorithms for allocating directed task graphs" (1999); upward rank
of Topcuoglu, Hariri and Wu, "Performance-effective and low-complexity task scheduling" (2002).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from heapq import heapify, heappop, heappush
from itertools import islice
from typing import TYPE_CHECKING

from makespan.graph.node import Kind
from makespan.machine.records import Status

if TYPE_CHECKING:
    from makespan.machine.records import TaskState
    from makespan.machine.state import State

_READY, _SUCCEEDED, _WORKFLOW = Status.READY, Status.SUCCEEDED, Kind.WORKFLOW  # an enum's attributes cost 50 ns each

STEPS = 16
"""Edges looked at for each new task and each question, on average."""
SAVED = 4_096
"""Steps that may be saved up: graphs of some hundred tasks are never behind, and no question takes longer than that."""


def nothing(task: TaskState) -> int:
    """What is left after a task behind which nothing comes."""
    return 0


class Levels:
    """Levels of one run's tasks, kept up as it grows. Ask `sync` first.

    Args:
        weight: expected duration of a task, in any unit, at least 0.
        base: what its tail is at least, in the same unit; minus a due date makes `-level` a latest start.
    """

    def __init__(
        self, state: State, weight: Callable[[TaskState], int], base: Callable[[TaskState], int] = nothing
    ) -> None:
        self._state, self._weigh, self._base = state, weight, base
        self._weight: list[int] = []
        self._tail: list[int] = []
        self._open: list[int] = []
        """Numbers of the tasks that had not ended at the last pass, and of all later ones."""
        self._maps = 0
        self._shape = (state.edits, 0)
        self._credit = SAVED
        self.is_behind = False
        """Whether growth has not been passed on everywhere yet."""
        self.has_risen = False
        """Whether a task that is ready has another level than before; for whoever asks to put back."""
        self.steps = 0
        """Edges looked at so far."""

    @property
    def known(self) -> int:
        """How many tasks there were at the last `sync`."""
        return len(self._weight)

    def level(self, number: int) -> int:
        """Longest expected path from the task's start to the end of everything behind it."""
        return self._weight[number] + self._tail[number]

    def tail(self, number: int) -> int:
        """The same from the task's end."""
        return self._tail[number]

    def sync(self) -> None:
        """Take over what has happened since. Cost: 0.3 µs when nothing has, else about 1 µs an edge."""
        state = self._state
        count, seen = len(state.tasks), len(self._weight)
        shape = (state.edits, len(state.finish_log) + state.open - count)  # moves when tasks are removed or reopened
        if shape != self._shape:
            self._shape = shape
            self.rebuild(range(count))
        elif count != seen or len(state.maps) != self._maps:
            self._extend(seen, count)
        elif self.is_behind:
            self._credit += STEPS
            if self._credit >= 0:
                self.rebuild()

    def rebuild(self, numbers: Iterable[int] | None = None) -> None:
        """A whole pass: over the tasks that have not ended, with weights and bases as they are now.

        Args:
            numbers: among which those are, when tasks may have been reopened.
        """
        tasks, seen = self._state.tasks, len(self._weight)
        among = [*self._open, *range(seen, len(tasks))] if numbers is None else numbers
        self._maps = len(self._state.maps)
        missing = len(tasks) - seen
        self._weight += [0] * missing
        self._tail += [0] * missing
        self._open = [number for number in among if tasks[number].status < _SUCCEEDED]
        for number in self._open:
            self._weight[number], self._tail[number] = self._weigh(tasks[number]), self._base(tasks[number])
        self.is_behind, self.has_risen = False, True
        # Enough for maps inside maps; not for ever, as where an edit let a workflow wait for what waits for it.
        self._settle(self._open, 0, STEPS * len(self._open) + SAVED)

    # ------------------------------------------------------------ inside

    def _extend(self, seen: int, count: int) -> None:
        state, tasks = self._state, self._state.tasks
        for number in range(seen, count):
            task = tasks[number]
            is_open = task.status < _SUCCEEDED
            self._weight.append(self._weigh(task) if is_open else 0)
            self._tail.append(self._base(task))
        expanded = list(islice(state.maps, self._maps, None))
        self._maps = len(state.maps)
        for number in expanded:
            self._weight[number] = 0  # its items count for themselves from now on
        self._open += range(seen, count)
        self._credit = min(self._credit, SAVED) + STEPS * (count - seen + 1)
        if self.is_behind and self._credit >= 0:
            self.rebuild()
        else:
            self._settle(range(seen, count), seen)
            self._rise([number for number in expanded if number < seen])

    def _settle(self, numbers: Iterable[int], seen: int, overdraft: int = 0) -> None:
        """One look at each edge above these tasks, highest number first; `seen` is how many are older than they."""
        tasks, tail, weight = self._state.tasks, self._tail, self._weight
        again: set[int] = set()
        for number in sorted(numbers, reverse=True):
            task = tasks[number]
            if seen:
                self._pull(task, seen)
            level = weight[number] + tail[number]
            sources = task.spec.sources
            self._credit -= len(sources)
            self.steps += len(sources)
            for source, _, _ in sources:
                if tail[source] < level:
                    tail[source] = level
                    if (source < seen or source > number) and self._is_open(source):
                        again.add(source)
            if task.kind == _WORKFLOW or number in self._state.maps:
                again.update(self._raise(self._inside(task)))
        self._rise(again, overdraft)

    def _pull(self, task: TaskState, seen: int) -> None:
        """What the task inherits from older ones that wait for it: the map it is an item of, the workflow it is in."""
        tail, number = self._tail, task.number
        for other in task.dependents or ():
            if other < seen and self._is_open(other):
                tail[number] = max(tail[number], self._weight[other] + tail[other])
        scopes = self._state.scopes
        owner = scopes[scopes[task.spec.scope].home].owner
        if 0 <= owner < seen:
            tail[number] = max(tail[number], tail[owner])

    def _rise(self, numbers: Iterable[int], overdraft: int = 0) -> None:
        """Pass on that these levels grew, highest number first, as far as the credit goes (and so much further)."""
        least = min(self._credit, 0) - overdraft if overdraft else 0
        heap = [-number for number in set(numbers)]
        heapify(heap)
        waiting = set(heap)
        while heap:
            if self._credit < least:
                self._fall_behind()
                return
            entry = heappop(heap)
            waiting.discard(entry)
            for higher in self._raise(self._above(-entry)):
                if -higher not in waiting:
                    waiting.add(-higher)
                    heappush(heap, -higher)

    def _raise(self, offers: Iterable[tuple[int, int]]) -> Iterator[int]:
        """Give tasks the tails they are offered; those that have grown, as far as they have not ended."""
        for number, offered in offers:
            self._credit -= 1
            self.steps += 1
            if self._tail[number] < offered and self._is_open(number):
                self._tail[number] = offered
                yield number

    def _above(self, number: int) -> Iterator[tuple[int, int]]:
        """(task, what its tail is at least) of all that come before this one."""
        task = self._state.tasks[number]
        if task.status == _READY:
            self.has_risen = True
        level = self._weight[number] + self._tail[number]
        for source, _, _ in task.spec.sources:
            yield source, level
        if task.kind == _WORKFLOW or number in self._state.maps:
            yield from self._inside(task)

    def _inside(self, task: TaskState) -> Iterator[tuple[int, int]]:
        """The items of a map, the tasks in a workflow: what comes after their owner comes after them."""
        state, tail = self._state, self._tail[task.number]
        expanded = state.maps.get(task.number)
        if expanded is not None:
            for number, _ in expanded.outputs:
                yield number, self._weight[task.number] + tail
            return
        inside = state.scope_index.get(task.spec.id)
        if inside is None or task.kind != _WORKFLOW or tail <= self._base(task):
            return
        waiting = [inside]
        while waiting:
            scope = state.scopes[waiting.pop()]
            waiting += [child for child in scope.children if state.scopes[child].home == inside]
            for number in scope.tasks:
                yield number, tail

    def _is_open(self, number: int) -> bool:
        return number < len(self._tail) and self._state.tasks[number].status < _SUCCEEDED

    def _fall_behind(self) -> None:
        if not self.is_behind:
            self.is_behind = True
            self._credit = min(self._credit, -len(self._open))

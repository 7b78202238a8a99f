"""A stored run as a graph that can be simulated: what template, maps and live bodies came to, with nothing to decide.

guards      went as they went: what they skipped is left out
loops       a task that a live body asked for starts after the end which the body had just received
maps, sub-workflows        ends that wait for what was inside them
first       still a race; candidates that were not accepted stay out of it
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush

import msgspec

from makespan.graph.node import Declaration, Errors, First, Kind, Mode, Node, Options, Scope, Source
from makespan.machine.items import is_bookkeeping
from makespan.machine.records import ScopeState, Status, TaskState
from makespan.machine.state import State
from makespan.values import NONE_VALUE, Nanos, NanoUsd, ScopeId, TaskId, untyped

Needs = dict[int, Mode]
"""Number of a task that must have ended → AFTER where it must have succeeded, OUTCOME where any end will do."""
_NO_ARGUMENTS = (b"\x80",)


def realised_graph(state: State) -> tuple[list[Node], list[Scope]]:
    """Nodes, each after those it reads, and scopes. Cost: about 10 µs a task."""
    maker = _Realised(state)
    needs = {task.number: maker.needs(task) for task in state.tasks if maker.is_kept(task)}
    done: set[int] = set()
    nodes = []
    for number in _in_order(needs):
        known = {source: mode for source, mode in needs[number].items() if source in done}
        nodes.append(maker.node(state.tasks[number], known))
        done.add(number)
    return nodes, [_scope(state, scope) for scope in state.scopes[1:] if not scope.shielded]


class _Realised:
    """One run being looked at."""

    def __init__(self, state: State) -> None:
        self._state = state

    def is_kept(self, task: TaskState) -> bool:
        """Neither removed, nor skipped by a guard, nor the undoing of something."""
        if task.status == Status.REMOVED or self._state.scopes[task.spec.scope].shielded:
            return False
        return not (task.status == Status.SKIPPED and task.cause < 0)

    def needs(self, task: TaskState) -> Needs:
        """What must have ended before a task starts; for what only waits, before it ends."""
        needs = dict(self._starts_after(task))
        if task.kind == Kind.MAP:
            over, expanded = task.spec.over, self._state.maps.get(task.number)
            fragile = over is not None and over.errors == Errors.RAISE
            for number, _ in () if expanded is None else expanded.outputs:
                needs[number] = Mode.AFTER if fragile else Mode.OUTCOME
        elif task.kind == Kind.WORKFLOW:
            for number in self._inside(task):
                if self._state.tasks[number].status != Status.CANCELLED:  # it lost a race that it may win this time
                    needs.setdefault(number, self._as_it_went(number))
        elif task.kind == Kind.FIRST:
            needs = dict.fromkeys(self._candidates(task), Mode.AFTER)
        return {number: mode for number, mode in needs.items() if self.is_kept(self._state.tasks[number])}

    def _starts_after(self, task: TaskState) -> Iterator[tuple[int, Mode]]:
        for number, _, mode in task.spec.sources:
            yield number, Mode.OUTCOME if mode == Mode.OUTCOME else Mode.AFTER
        if task.requested and task.trigger >= 0:
            received = self._trigger(task)
            if received is not None:
                yield received, self._as_it_went(received)
        else:
            owner = self._owner(task)
            if owner is not None:
                yield from self._starts_after(owner)

    def _trigger(self, task: TaskState) -> int | None:
        """The end that a live body had just received: not that of a loser, which the same decision brought about."""
        log, tasks = self._state.finish_log, self._state.tasks
        ended = (log[place] for place in range(task.trigger, -1, -1))
        return next((number for number in ended if tasks[number].status != Status.CANCELLED), None)

    def _owner(self, task: TaskState) -> TaskState | None:
        """The workflow or map that a task is directly inside of."""
        scope = self._state.scopes[task.spec.scope]
        while scope.owner < 0 and scope.number:
            scope = self._state.scopes[scope.parent]
        return self._state.tasks[scope.owner] if scope.owner >= 0 else None

    def _as_it_went(self, number: int) -> Mode:
        """Whether the run went on although this task did not succeed."""
        task = self._state.tasks[number]
        return Mode.AFTER if task.status == Status.SUCCEEDED or not task.is_final else Mode.OUTCOME

    def _inside(self, task: TaskState) -> Iterator[int]:
        first = self._state.scope_index.get(task.spec.id)
        waiting = [] if first is None else [first]
        while waiting:
            scope = self._state.scopes[waiting.pop()]
            yield from scope.tasks
            waiting += scope.children

    def _candidates(self, task: TaskState) -> list[int]:
        """The tasks that may win a race: without those which had ended well before it was decided, and did not win."""
        first = task.spec.first
        assert first is not None
        sources = [number for number, _, _ in task.spec.sources]
        if first.gated:
            sources = sources[: len(sources) // 2]
        if task.status != Status.SUCCEEDED or task.value is None:
            return sources
        which = untyped(self._state.bytes_of(task.value))[0]
        winners = set(which) if isinstance(which, list) else {which}
        return [
            number
            for place, number in enumerate(sources)
            if place in winners or not self._ended_well_before(self._state.tasks[number], task)
        ]

    def _ended_well_before(self, task: TaskState, other: TaskState) -> bool:
        return task.status == Status.SUCCEEDED and 0 <= task.finish < other.finish

    def node(self, task: TaskState, needs: Needs) -> Node:
        """A task as a node that reads no values."""
        sources = tuple(Source(TaskId(self._state.tasks[n].spec.id), (), mode) for n, mode in needs.items())
        scope = ScopeId(self._state.scopes[task.spec.scope].id)
        id, label = TaskId(task.spec.id), task.spec.label
        if task.kind == Kind.CALL:
            declaration = msgspec.structs.replace(task.declaration, undo=None)
            return Node(id, declaration, scope, _NO_ARGUMENTS, sources, label=label)
        if task.kind == Kind.SIGNAL and is_bookkeeping(task.declaration):
            item = Declaration("next item", Kind.TIMER)
            return Node(id, item, scope, (), sources, label=label, delay_ns=Nanos(_delay_ns(task)))
        if task.kind == Kind.SIGNAL:
            return Node(id, Declaration(task.declaration.key), scope, _NO_ARGUMENTS, sources, label=label)
        if task.kind == Kind.TIMER:
            declaration = Declaration(task.declaration.key, Kind.TIMER)
            return Node(id, declaration, scope, (), sources, label=label, delay_ns=Nanos(_delay_ns(task)))
        if task.kind == Kind.FIRST and sources:
            first = task.spec.first
            assert first is not None
            race = First(min(first.wanted, len(sources)), "", first.many, first.default)
            plain = tuple(Source(source.task) for source in sources)
            return Node(id, Declaration(task.declaration.key, Kind.FIRST), scope, (), plain, label=label, first=race)
        declaration = Declaration(task.declaration.key, Kind.VALUE, Options())
        return Node(id, declaration, scope, (NONE_VALUE,), sources, label=label)


def _delay_ns(task: TaskState) -> int:
    if task.status == Status.SUCCEEDED and task.started_at >= 0:
        return task.ended_at - task.started_at
    return task.spec.delay_ns


def _scope(state: State, scope: ScopeState) -> Scope:
    """A scope with its limits but for the deadline, which counted from when it was opened."""
    budget = None if scope.budget is None else NanoUsd(scope.budget)
    parent = ScopeId(state.scopes[scope.parent].id)
    return Scope(ScopeId(scope.id), parent, scope.name, budget, None, scope.limit)


def _in_order(needs: dict[int, Needs]) -> Iterator[int]:
    """Every task after what it needs, otherwise by number; last what waits for itself, as in a run that was retried."""
    waiting = {number: sum(source in needs for source in sources) for number, sources in needs.items()}
    dependents: dict[int, list[int]] = {}
    for number, sources in needs.items():
        for source in sources:
            dependents.setdefault(source, []).append(number)
    ready = [number for number, count in waiting.items() if not count]
    heapify(ready)
    while waiting:
        if not ready:
            ready.append(min(waiting))
        number = heappop(ready)
        del waiting[number]
        yield number
        for dependent in dependents.get(number, ()):
            if dependent in waiting:
                waiting[dependent] -= 1
                if not waiting[dependent]:
                    heappush(ready, dependent)

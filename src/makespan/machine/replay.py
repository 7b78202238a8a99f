"""Which ends go to the live bodies, and in which order: the same live and after a resume.

    finish log   f0 f1 f2 f3 …        ends of tasks, in the journal's order
    scope log        s0    s1 …       limits met and ends of `ms.scope` blocks, each behind the finish it came after
    claimed      the bodies of this life asked for the task, entered the scope, left the scope
    delivery     the earliest undelivered entry that is claimed, then drain, then the next

A resumed body asks for its tasks again and *claims* them by id. Entries nobody has claimed are passed over and
delivered at their claim, should it come.
"""

from __future__ import annotations

from heapq import heappop, heappush

from makespan.graph.node import Effect, Kind
from makespan.machine.records import ScopeEvent, ScopeState, Status, TaskState
from makespan.machine.state import State

_TASK = -1
"""Sorts the end of a task before the scope events that came after it."""


class Replay:
    """Claims and deliveries of one life of a run."""

    def __init__(self) -> None:
        self.claimed: set[int] = set()
        self.inherited = 0
        """So many tasks, the first, are of earlier lives."""
        self.unclaimed: set[int] = set()
        """Tasks of live bodies that have not ended and have not been asked for in this life: they do not start."""
        self._suspects: list[int] = []
        """New tasks held back because an unclaimed one of the same scope and key has been done before."""
        self._left: list[int] = []
        """Scopes that bodies left in order while tasks of an earlier life were unclaimed."""
        self._held: set[int] = set()
        self._items: dict[int, list[int]] = {}
        """MAP task → the tasks of its items that wait for its claim."""
        self._done_before: dict[tuple[int, str], set[int]] = {}
        self._entered: set[int] = set()
        self._closed: set[int] = set()
        self._pending: list[tuple[int, int, int]] = []
        self._seen = 0
        self._seen_events = 0

    def begin(self, state: State) -> None:
        """A new life: everything that live bodies had asked for waits to be claimed again."""
        self._seen, self._seen_events = len(state.finish_log), len(state.scope_log)
        self.inherited = len(state.tasks)
        for task in state.tasks:
            if not task.requested:
                self._hold_item(state, task)
            elif _is_live(state, state.scopes[task.spec.scope]):
                if not task.is_final:
                    self.unclaimed.add(task.number)
                self._note_done(task)

    def _hold_item(self, state: State, task: TaskState) -> None:
        """The items of a map that a body asked for run only if the body asks for the map again."""
        scope = state.scopes[task.spec.scope]
        if task.is_final or scope.number == scope.home or scope.owner < 0:
            return
        owner = _outermost_map(state, scope)
        if owner in self.unclaimed:
            self._items.setdefault(owner, []).append(task.number)
            self._held.add(task.number)

    def _note_done(self, task: TaskState) -> None:
        started = task.attempt and (task.is_final or task.declaration.options.effect == Effect.IRREVERSIBLE)
        if started and task.kind in (Kind.CALL, Kind.WORKFLOW):
            self._done_before.setdefault((task.spec.scope, task.declaration.key), set()).add(task.number)

    def holds(self, number: int) -> bool:
        """Whether the task must not start yet."""
        return number in self.unclaimed or number in self._held

    def waits_for_claim(self, number: int) -> bool:
        return number in self.unclaimed

    def release(self, number: int) -> bool:
        """Let a task go on although no body has asked for it again; True if that is all it waited for."""
        was_held = self.holds(number)
        self.unclaimed.discard(number)
        self._held.discard(number)
        return was_held

    def claim(self, state: State, task: TaskState) -> list[int]:
        """A body asked for the task; returns what was waiting for exactly that and may now go on."""
        number = task.number
        if number in self.claimed:
            return []
        self.claimed.add(number)
        if task.is_final and task.finish < self._seen:
            heappush(self._pending, (task.finish, _TASK, number))
        if self._done_before:
            self._done_before.get((task.spec.scope, task.declaration.key), set()).discard(number)
        if number not in self.unclaimed:
            return []
        self.unclaimed.discard(number)
        items = self._items.pop(number, [])
        self._held.difference_update(items)
        return [number, *items]

    # ------------------------------------------------------------ scopes

    def enter(self, state: State, scope: ScopeState) -> None:
        """A body opened the scope (again): the limit it met is delivered in its place."""
        self._entered.add(scope.number)
        if scope.events:
            self._push_known(state, scope, is_limit=True)

    def close(self, state: State, scope: ScopeState) -> bool:
        """A body left the scope; True when its end is known already and will be delivered in its place."""
        self._closed.add(scope.number)
        return not scope.open and self._push_known(state, scope, is_limit=False)

    def _push_known(self, state: State, scope: ScopeState, *, is_limit: bool) -> bool:
        """Queue the scope's latest such event of an earlier life."""
        for place in reversed(scope.events):
            event = state.scope_log[place]
            if event.is_limit == is_limit and place < self._seen_events:
                heappush(self._pending, (event.after, place, scope.number))
                return True
        return False

    # ------------------------------------------------------------ delivery

    def next_delivery(self, state: State) -> TaskState | ScopeEvent | None:
        """The next end of a task or event of a scope to hand to the bodies."""
        log, events = state.finish_log, state.scope_log
        if not self.claimed:
            self._seen = len(log)  # no body has asked for anything
        while self._seen < len(log):
            number = log[self._seen]
            if number in self.claimed:
                heappush(self._pending, (self._seen, _TASK, number))
            self._seen += 1
        while self._seen_events < len(events):
            event = events[self._seen_events]
            if event.scope in (self._entered if event.is_limit else self._closed):
                heappush(self._pending, (event.after, self._seen_events, event.scope))
            self._seen_events += 1
        if not self._pending:
            return None
        _, place, number = heappop(self._pending)
        return state.tasks[number] if place == _TASK else events[place]

    # ------------------------------------------------------------ when the bodies are quiet

    def suspect(self, task: TaskState) -> None:
        """Hold a new task back if something of its scope and key was done before and is not claimed (yet)."""
        if self._done_before.get((task.spec.scope, task.declaration.key)):
            self._suspects.append(task.number)
            self._held.add(task.number)

    def rivals(self, task: TaskState) -> list[int]:
        """Unclaimed tasks of the same scope and key that were done before."""
        return sorted(self._done_before.get((task.spec.scope, task.declaration.key), ()))

    def take_suspects(self) -> list[int]:
        """The tasks held back as suspects; they are not held any more."""
        if not self._suspects:
            return []
        suspects, self._suspects = self._suspects, []
        self._held.difference_update(suspects)
        return suspects

    def leave(self, scope: int) -> None:
        """A body left the scope in order: when all are quiet, what it has not asked for again is dropped."""
        if self.unclaimed:
            self._left.append(scope)

    def take_left(self) -> list[int]:
        """The scopes that were left since the last time."""
        if not self._left:
            return []
        left, self._left = self._left, []
        return left


def _is_live(state: State, scope: ScopeState) -> bool:
    """Whether a running body asks for this scope's tasks itself (not a traced graph, not a map)."""
    while scope.number != scope.home:
        if scope.owner >= 0:
            return False
        scope = state.scopes[scope.parent]
    return scope.owner >= 0 and state.tasks[scope.owner].status == Status.RUNNING


def _outermost_map(state: State, scope: ScopeState) -> int:
    """The MAP task around a scope of items; of nested maps the outermost."""
    owner = scope.owner
    while scope.number != scope.home and scope.owner >= 0:
        owner, scope = scope.owner, state.scopes[scope.parent]
    return owner

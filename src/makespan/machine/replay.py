"""Which ends go to the live bodies, and in which order: the same live and after a resume.

    finish log   f0 f1 f2 f3 …        (the journal's order)
    claimed      the bodies of this life asked for the task
    delivery     the earliest undelivered end that is claimed, then drain, then the next

A resumed body asks for its tasks again and *claims* them by id. Ends nobody has claimed are passed over and delivered at
their claim, should it come. Ends of `ms.scope` blocks and their limits stand in the same order, right after the task
whose end brought them about.
"""

from __future__ import annotations

from heapq import heappop, heappush

from makespan.graph.node import Effect, Kind
from makespan.machine.state import ScopeState, State, Status, TaskState

TASK, LIMIT, END = 0, 1, 2


class Replay:
    """Claims and deliveries of one life of a run."""

    def __init__(self) -> None:
        self.claimed: set[int] = set()
        self.unclaimed: set[int] = set()
        """Tasks of live bodies that have not ended and have not been asked for in this life: they do not start."""
        self.suspects: list[int] = []
        """New tasks held back because an unclaimed one of the same scope and key has been done before."""
        self._held: set[int] = set()
        self._done_before: dict[tuple[int, str], set[int]] = {}
        self._pending: list[tuple[int, int, int]] = []
        self._seen = 0

    def begin(self, state: State) -> None:
        """A new life: everything that live bodies had asked for waits to be claimed again."""
        self._seen = len(state.finish_log)
        for task in state.tasks:
            if not task.requested or not _is_live(state, state.scopes[task.spec.scope]):
                continue
            if not task.is_final:
                self.unclaimed.add(task.number)
            if task.attempt and (task.is_final or task.declaration.options.effect == Effect.IRREVERSIBLE):
                if task.kind in (Kind.CALL, Kind.WORKFLOW):
                    key = (task.spec.scope, task.declaration.key)
                    self._done_before.setdefault(key, set()).add(task.number)

    def holds(self, number: int) -> bool:
        """Whether the task must not start yet."""
        return number in self.unclaimed or number in self._held

    def waits_for_claim(self, number: int) -> bool:
        return number in self.unclaimed

    def claim(self, state: State, task: TaskState) -> bool:
        """A body asked for the task; True when it was waiting for exactly that."""
        number = task.number
        if number in self.claimed:
            return False
        self.claimed.add(number)
        if task.is_final:
            if task.finish < self._seen:
                heappush(self._pending, (task.finish, TASK, number))
        if self._done_before:
            self._done_before.get((task.spec.scope, task.declaration.key), set()).discard(number)
        if number in self.unclaimed:
            self.unclaimed.discard(number)
            return True
        return False

    def scope_event(self, position: int, rank: int, scope: int) -> None:
        """Queue the end of a scope (END) or its limit (LIMIT) behind the finish at `position`."""
        heappush(self._pending, (position, rank, scope))

    def next_delivery(self, state: State) -> tuple[int, int] | None:
        """(rank, number) of the next thing to deliver."""
        log = state.finish_log
        while self._seen < len(log):
            number = log[self._seen]
            if number in self.claimed:
                heappush(self._pending, (self._seen, TASK, number))
            self._seen += 1
        if not self._pending:
            return None
        _, rank, number = heappop(self._pending)
        return rank, number

    # ------------------------------------------------------------ divergence

    def suspect(self, task: TaskState) -> None:
        """Hold a new task back if something of its scope and key was done before and is not claimed (yet)."""
        if self._done_before.get((task.spec.scope, task.declaration.key)):
            self.suspects.append(task.number)
            self._held.add(task.number)

    def rivals(self, task: TaskState) -> list[int]:
        """Unclaimed tasks of the same scope and key that were done before."""
        return sorted(self._done_before.get((task.spec.scope, task.declaration.key), ()))

    def take_suspects(self) -> list[int]:
        suspects, self.suspects = self.suspects, []
        self._held.difference_update(suspects)
        return suspects


def _is_live(state: State, scope: ScopeState) -> bool:
    """Whether a running body asks for this scope's tasks itself (not a traced graph, not a map)."""
    while scope.number != scope.home:
        if scope.owner >= 0:
            return False
        scope = state.scopes[scope.parent]
    return scope.owner >= 0 and state.tasks[scope.owner].status == Status.RUNNING

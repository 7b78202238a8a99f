"""What has happened in one run: the fold of its facts.

`State.apply` is the only door. It decides nothing and cannot fail on facts the machine made; consequences it leaves on
the `agenda` (tasks whose inputs are complete, tasks made impossible, joins to look at), which the machine works off
with further facts, so a fold and a live run differ at most by an agenda not yet worked off.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from makespan.errors import ErrorRecord
from makespan.graph.node import Declaration, Kind, Mode
from makespan.machine.facts import (
    AttemptFailed,
    AttemptInterrupted,
    AttemptStarted,
    AttemptUnknown,
    CancelRequested,
    DecisionMade,
    DeclarationAdded,
    EditApplied,
    EditRefused,
    Fact,
    GraphAdded,
    LateResult,
    LimitReached,
    Limits,
    MapExpanded,
    RetryScheduled,
    RunEnded,
    RunPaused,
    RunResumed,
    RunStarted,
    ScopeAdded,
    ScopeClosed,
    ScopeEnded,
    TaskAdded,
    TaskCancelled,
    TaskDiverged,
    TaskFailed,
    TaskRemoved,
    TaskReopened,
    TaskRewired,
    TaskSkipped,
    TaskSucceeded,
    decode_graph,
)
from makespan.machine.records import Agenda, ScopeEvent, ScopeState, Status, TaskState, inner_scope, root_scope
from makespan.values import ROOT_SCOPE, Blob, Usage, Value

_WAITING, _READY, _RUNNING, _SUCCEEDED = Status.WAITING, Status.READY, Status.RUNNING, Status.SUCCEEDED
_OUTCOME, _FIRST = Mode.OUTCOME, Kind.FIRST  # an enum's attributes cost 50 ns each; these are looked at for every task


def _no_blobs(sha256: bytes) -> bytes:
    raise KeyError(sha256.hex())


class State:
    """Fold of one run's facts. Cost: about 1 µs a fact."""

    def __init__(self, load: Callable[[bytes], bytes] = _no_blobs) -> None:
        self.load = load
        self.fresh: dict[bytes, bytes] = {}
        """Blobs of the turn at hand: not in the store before it is committed."""
        self.tasks: list[TaskState] = []
        self.index: dict[bytes, int] = {}
        self.declarations: list[Declaration] = []
        self.scopes: list[ScopeState] = []
        self.scope_index: dict[bytes, int] = {}
        self.agenda = Agenda(deque(), deque(), deque(), deque())
        self.finish_log: list[int] = []
        self.scope_log: list[ScopeEvent] = []
        self.failed: list[int] = []
        self.maps: dict[int, MapExpanded] = {}
        self.started: RunStarted | None = None
        self.limits = Limits()
        self.open = 0
        self.status = "running"
        self.reason = ""
        self.detail = ""
        self.error: ErrorRecord | None = None
        self.on_change = "stop"
        self.cancel_asked = False
        self.edits = 0
        self.edit_tasks_left = 0
        self.usage = Usage()
        self.at = 0
        self.first_started_at = -1
        self.late_cost = 0
        self.lingering: dict[tuple[int, int], int] = {}
        """(task, attempt) → nano-USD still reserved for an attempt that ended for its task but may still run."""
        self.diverged: dict[int, int] = {}
        self.graph_at_hand: Sequence[Fact] = ()
        """What the next `GraphAdded` holds, if it was just encoded here."""

    # ------------------------------------------------------------ reading

    def bytes_of(self, value: Value) -> bytes:
        """The encoded bytes of a value, fetched when they are in a blob."""
        if not isinstance(value, Blob):
            return value
        found = self.fresh.get(value.sha256)
        return self.load(value.sha256) if found is None else found

    @property
    def cost(self) -> int:
        return self.scopes[0].committed if self.scopes else 0

    @property
    def run_id(self) -> str:
        return self.started.run_id if self.started else ""

    @property
    def root(self) -> TaskState | None:
        number = self.index.get(self.started.root) if self.started else None
        return None if number is None else self.tasks[number]

    # ------------------------------------------------------------ the one door

    def apply(self, fact: Fact) -> None:
        """Fold one fact in."""
        _APPLY[type(fact)](self, fact)

    # ------------------------------------------------------------ graph

    def _run_started(self, fact: RunStarted) -> None:
        self.started = fact
        self.limits = fact.limits
        self.scopes.append(root_scope(fact))
        self.scope_index[ROOT_SCOPE] = 0

    def _declaration_added(self, fact: DeclarationAdded) -> None:
        self.declarations.append(fact.declaration)

    def _scope_added(self, fact: ScopeAdded) -> None:
        number = len(self.scopes)
        parent = self.scopes[fact.parent]
        is_workflow = fact.owner >= 0 and self.tasks[fact.owner].kind == Kind.WORKFLOW
        self.scopes.append(inner_scope(number, fact, parent, is_workflow=is_workflow))
        self.scope_index[fact.id] = number
        parent.children.append(number)

    def _graph_added(self, fact: GraphAdded) -> None:
        parts = self.graph_at_hand or decode_graph(self.bytes_of(fact.body)).facts
        self.graph_at_hand = ()
        for part in parts:
            if type(part) is TaskAdded:
                self._task_added(part)
                self.tasks[-1].requested = False
            else:
                self.apply(part)

    def _task_added(self, fact: TaskAdded) -> None:
        number = len(self.tasks)
        declaration = self.declarations[fact.declaration]
        task = TaskState(number, fact, declaration, declaration.kind, trigger=len(self.finish_log) - 1)
        self.tasks.append(task)
        self.index[fact.id] = number
        self.open += 1
        scope = self.scopes[fact.scope]
        scope.tasks.append(number)
        for counted in scope.counted:
            self.scopes[counted].open += 1
        if self.edit_tasks_left:
            self.edit_tasks_left -= 1
            task.requested = False
        elif scope.owner >= 0 and scope.home != fact.scope:
            task.requested = False
        if fact.sources:
            self._wire(task, fact.sources)
        else:
            self.agenda.candidates.append(number)

    def _wire(self, task: TaskState, sources: tuple[tuple[int, tuple[str | int, ...], Mode], ...]) -> None:
        """Count what is still unmet; note at once what is already impossible."""
        number, is_first, unmet, tasks = task.number, task.kind == _FIRST, 0, self.tasks
        for source_number, _, mode in sources:
            source = tasks[source_number]
            if source.status < _SUCCEEDED:
                unmet += 1
                if source.dependents is None:
                    source.dependents = [number]
                else:
                    source.dependents.append(number)
                continue
            if source.status != _SUCCEEDED:
                source.dependents = [*(source.dependents or ()), number]
            if is_first:
                self.agenda.joins.append((number, source_number))
            elif source.status != _SUCCEEDED and mode != _OUTCOME:
                self.agenda.doomed.append((number, source_number))
        task.unmet = unmet
        if not unmet and not is_first:
            self.agenda.candidates.append(number)

    def _unwire(self, task: TaskState) -> None:
        for source_number, _, _ in task.spec.sources:
            dependents = self.tasks[source_number].dependents
            if dependents and task.number in dependents:
                dependents.remove(task.number)

    def _task_removed(self, fact: TaskRemoved) -> None:
        task = self.tasks[fact.task]
        self._unwire(task)
        self._close(task)
        task.status = Status.REMOVED
        del self.index[task.spec.id]

    def _task_rewired(self, fact: TaskRewired) -> None:
        task = self.tasks[fact.task]
        self._unwire(task)
        task.spec = msgspec.structs.replace(task.spec, args=fact.args, sources=fact.sources)
        task.status = _WAITING
        if fact.sources:
            self._wire(task, fact.sources)
        else:
            task.unmet = 0
            self.agenda.candidates.append(task.number)

    def _task_reopened(self, fact: TaskReopened) -> None:
        task = self.tasks[fact.task]
        self.open += 1
        for number in self.scopes[task.spec.scope].counted:
            self.scopes[number].open += 1
        if task.status == Status.FAILED:
            self.failed.remove(task.number)
        task.generation, task.status, task.value = fact.generation, _WAITING, None
        task.cause = task.finish = task.ended_at = -1
        task.failures = 0
        waiting = [self.tasks[number] for number in set(task.dependents or ())]
        for again in (task, *(other for other in waiting if not other.is_final)):
            self._unwire(again)
            if again.spec.sources:
                self._wire(again, again.spec.sources)
            else:
                self.agenda.candidates.append(again.number)

    def _map_expanded(self, fact: MapExpanded) -> None:
        task = self.tasks[fact.task]
        self.maps[fact.task] = fact
        unmet = 0
        for number, _ in fact.outputs:
            output = self.tasks[number]
            if output.is_final:
                self.agenda.joins.append((fact.task, number))
                continue
            unmet += 1
            if output.dependents is None:
                output.dependents = [fact.task]
            else:
                output.dependents.append(fact.task)
        task.unmet = unmet
        if not fact.outputs:
            self.agenda.joins.append((fact.task, -1))

    # ------------------------------------------------------------ attempts and ends

    def _attempt_started(self, fact: AttemptStarted) -> None:
        task = self.tasks[fact.task]
        task.status = _RUNNING
        task.attempt += 1
        task.started_at = fact.at
        self.at = fact.at
        if self.first_started_at < 0:
            self.first_started_at = fact.at
        if fact.reserved:
            task.reserved = fact.reserved
            for number in self.scopes[task.spec.scope].budgeted:
                self.scopes[number].reserved += fact.reserved

    def _charge(self, task: TaskState, cost: int, usage: Usage | None) -> None:
        """Give the reservation back and commit what the attempt really cost."""
        if task.reserved or cost:
            for number in self.scopes[task.spec.scope].budgeted:
                scope = self.scopes[number]
                scope.reserved -= task.reserved
                scope.committed += cost
            task.reserved = 0
            task.cost += cost
        if usage is not None:
            self.usage = self.usage + usage

    def _linger(self, task: TaskState) -> None:
        """Keep what the attempt reserved until it is seen to end."""
        if task.reserved:
            self.lingering[(task.number, task.attempt)] = task.reserved
            task.reserved = 0

    def _unlinger(self, task: TaskState, attempt: int) -> None:
        held = self.lingering.pop((task.number, attempt), 0)
        if held:
            for number in self.scopes[task.spec.scope].budgeted:
                self.scopes[number].reserved -= held

    def _succeeded(self, fact: TaskSucceeded) -> None:
        task = self.tasks[fact.task]
        task.value = fact.value
        if self.lingering:
            self._unlinger(task, task.attempt)
        if task.reserved or fact.cost or fact.usage is not None:
            self._charge(task, fact.cost, fact.usage)
        self._end(task, _SUCCEEDED, fact.at)

    def _attempt_failed(self, fact: AttemptFailed) -> None:
        task = self.tasks[fact.task]
        task.failures += 1
        task.errors = (*task.errors, fact.error)
        if fact.lingers:
            self._linger(task)
        elif self.lingering:
            self._unlinger(task, task.attempt)
        self._charge(task, fact.cost, fact.usage)
        task.status = _WAITING
        self.at = fact.at

    def _retry_scheduled(self, fact: RetryScheduled) -> None:
        task = self.tasks[fact.task]
        task.status = Status.BACKOFF
        task.not_before = fact.not_before

    def _failed(self, fact: TaskFailed) -> None:
        task = self.tasks[fact.task]
        if not task.errors or task.errors[-1] != fact.error:
            task.errors = (*task.errors, fact.error)
        self._charge(task, 0, None)
        self.failed.append(task.number)
        self._end(task, Status.FAILED, fact.at)

    def _skipped(self, fact: TaskSkipped) -> None:
        task = self.tasks[fact.task]
        task.cause = fact.cause
        self._end(task, Status.SKIPPED, fact.at)

    def _cancelled(self, fact: TaskCancelled) -> None:
        task = self.tasks[fact.task]
        if fact.lingers:
            self._linger(task)
        self._charge(task, 0, None)
        self._end(task, Status.CANCELLED, fact.at)

    def _interrupted(self, fact: AttemptInterrupted) -> None:
        task = self.tasks[fact.task]
        self._charge(task, 0, None)
        task.status = _WAITING
        self.at = fact.at
        self.agenda.candidates.append(task.number)

    def _unknown(self, fact: AttemptUnknown) -> None:
        task = self.tasks[fact.task]
        task.status = Status.UNKNOWN
        if fact.lingers:
            self._linger(task)
        self.at = fact.at

    def _late(self, fact: LateResult) -> None:
        task = self.tasks[fact.task]
        self._unlinger(task, fact.attempt)
        for number in self.scopes[task.spec.scope].budgeted if fact.cost else ():
            self.scopes[number].committed += fact.cost
        task.cost += fact.cost
        self.late_cost += fact.cost
        if fact.usage is not None:
            self.usage = self.usage + fact.usage

    def _close(self, task: TaskState) -> None:
        self.open -= 1
        for number in self.scopes[task.spec.scope].counted:
            scope = self.scopes[number]
            scope.open -= 1
            if not scope.open:
                self.agenda.emptied.append(number)

    def _end(self, task: TaskState, status: Status, at: int) -> None:
        """The task is over: tell whoever waits for it."""
        task.status = status
        task.ended_at = self.at = at
        task.finish = len(self.finish_log)
        self.finish_log.append(task.number)
        self._close(task)
        if task.dependents is not None:
            self._notify(task, task.dependents, status == _SUCCEEDED)

    def _notify(self, task: TaskState, dependents: list[int], succeeded: bool) -> None:
        agenda, tasks, maps = self.agenda, self.tasks, self.maps
        for number in dependents:
            dependent = tasks[number]
            dependent.unmet -= 1
            if dependent.kind == _FIRST or number in maps:
                agenda.joins.append((number, task.number))
                continue
            if not succeeded and any(s == task.number and m != _OUTCOME for s, _, m in dependent.spec.sources):
                agenda.doomed.append((number, task.number))
            if not dependent.unmet:
                agenda.candidates.append(number)

    # ------------------------------------------------------------ the run

    def _edit_applied(self, fact: EditApplied) -> None:
        self.edits += 1
        self.edit_tasks_left = fact.tasks

    def _edit_refused(self, fact: EditRefused) -> None:
        pass

    def _limit_reached(self, fact: LimitReached) -> None:
        scope = self.scopes[fact.scope]
        scope.met_limit, scope.limit_allowed, scope.limit_used = fact.limit, fact.allowed, fact.used
        self._kill(scope)
        self._note_scope(scope, fact.at, is_limit=True)

    def _kill(self, scope: ScopeState) -> None:
        scope.is_dead = True
        for number in scope.children:
            self._kill(self.scopes[number])

    def _note_scope(self, scope: ScopeState, at: int, *, is_limit: bool) -> None:
        scope.events.append(len(self.scope_log))
        self.scope_log.append(ScopeEvent(scope.number, is_limit, len(self.finish_log) - 1, at))

    def _paused(self, fact: RunPaused) -> None:
        self.status = "interrupted" if fact.reason == "interrupted" else "paused"
        self.reason, self.detail, self.at = fact.reason, fact.detail, fact.at

    def _resumed(self, fact: RunResumed) -> None:
        self.status, self.reason, self.detail, self.at = "running", "", "", fact.at
        self.on_change = fact.on_change
        for number, attempt in list(self.lingering):
            self._unlinger(self.tasks[number], attempt)
        root = self.scopes[0]
        if fact.budget is not None:
            root.budget = fact.budget
        if fact.deadline_ns is not None:
            root.deadline_ns = fact.deadline_ns

    def _ended(self, fact: RunEnded) -> None:
        self.status, self.error, self.at = fact.status, fact.error, fact.at

    def _diverged(self, fact: TaskDiverged) -> None:
        self.tasks[fact.task].status = Status.DIVERGED
        self.diverged[fact.task] = fact.other

    def _decided(self, fact: DecisionMade) -> None:
        task = self.tasks[fact.task]
        if fact.verdict in ("retry", "run"):
            self.diverged.pop(fact.task, None)
            self._charge(task, 0, None)
            task.status = _WAITING
            self.agenda.candidates.append(task.number)

    def _cancel_requested(self, fact: CancelRequested) -> None:
        self.cancel_asked = True

    def _scope_closed(self, fact: ScopeClosed) -> None:
        scope = self.scopes[fact.scope]
        scope.closed = True
        if fact.why:
            self._kill(scope)

    def _scope_ended(self, fact: ScopeEnded) -> None:
        self._note_scope(self.scopes[fact.scope], fact.at, is_limit=False)


_APPLY: dict[type, Callable[[State, Any], None]] = {
    RunStarted: State._run_started,
    DeclarationAdded: State._declaration_added,
    ScopeAdded: State._scope_added,
    TaskAdded: State._task_added,
    GraphAdded: State._graph_added,
    AttemptStarted: State._attempt_started,
    TaskSucceeded: State._succeeded,
    AttemptFailed: State._attempt_failed,
    RetryScheduled: State._retry_scheduled,
    TaskFailed: State._failed,
    TaskSkipped: State._skipped,
    TaskCancelled: State._cancelled,
    AttemptInterrupted: State._interrupted,
    AttemptUnknown: State._unknown,
    LateResult: State._late,
    MapExpanded: State._map_expanded,
    EditApplied: State._edit_applied,
    EditRefused: State._edit_refused,
    TaskRemoved: State._task_removed,
    TaskRewired: State._task_rewired,
    LimitReached: State._limit_reached,
    RunPaused: State._paused,
    RunResumed: State._resumed,
    RunEnded: State._ended,
    TaskDiverged: State._diverged,
    DecisionMade: State._decided,
    CancelRequested: State._cancel_requested,
    ScopeClosed: State._scope_closed,
    ScopeEnded: State._scope_ended,
    TaskReopened: State._task_reopened,
}

"""What happens next: the pure state machine of one run.

    observations ─▶ decide ─▶ facts ─▶ apply (state.py)
                       │                  │ agenda
                       ◀──────────────────┘        until nothing follows
                       └─▶ commands, for the runtime to obey once the facts are durable

One turn takes a batch of observations through to all their consequences, live bodies included, in memory. The machine
knows no clock (time is in the observations), no I/O and no chance. What must survive is in `State`; everything held
here (the ready queue, the deadline heap, who is running) is rebuilt by `resume`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from heapq import heappop, heappush

from makespan.errors import ErrorRecord
from makespan.graph.expression import parse
from makespan.graph.terms import GuardError
from makespan.graph.node import Declaration, Effect, Kind
from makespan.machine import budget, edits, joins, requests
from makespan.machine.facts import (
    AttemptFailed,
    AttemptInterrupted,
    AttemptStarted,
    AttemptUnknown,
    CancelRequested,
    DecisionMade,
    Fact,
    LateResult,
    LimitReached,
    RetryScheduled,
    RunEnded,
    RunPaused,
    RunResumed,
    ScopeAdded,
    TaskCancelled,
    TaskFailed,
    TaskSkipped,
    TaskSucceeded,
)
from makespan.machine.observations import (
    AttemptRaised,
    AttemptStopped,
    AttemptSucceeded,
    Bodies,
    CancelAsked,
    Command,
    Decided,
    EditAsked,
    EndRun,
    Gate,
    Granted,
    Interrupted,
    Observation,
    Pricing,
    StartAttempt,
    StopAttempt,
    Tick,
)
from makespan.machine.queue import ReadyQueue
from makespan.machine.replay import LIMIT, Replay
from makespan.machine.resolve import arguments, failure_of, guard_values
from makespan.machine.retry import delay_ns, may_retry
from makespan.machine.state import State, Status, TaskState
from makespan.values import NONE_VALUE, Blob, Value

BLOB_BYTES = 64 * 1024
"""Values above this are stored beside the facts, under their sha256."""

_WAITING, _READY, _RUNNING, _SUCCEEDED = Status.WAITING, Status.READY, Status.RUNNING, Status.SUCCEEDED


class Turn:
    """What one batch of observations came to."""

    __slots__ = ("blobs", "commands", "facts", "sync")

    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.commands: list[Command] = []
        self.blobs: list[tuple[bytes, bytes]] = []
        self.sync = False
        """Whether the facts must survive a power cut before any command is obeyed."""


class Machine:
    """Decisions of one run. One owner; doors: `begin`, `resume`, `turn`, `next_deadline`."""

    def __init__(
        self,
        state: State,
        *,
        bodies: Bodies | None = None,
        pricing: Pricing | None = None,
        gate: Gate | None = None,
    ) -> None:
        self.state = state
        self.bodies = bodies
        self.pricing = pricing
        self.gate = gate
        self.replay = Replay()
        self.ready = ReadyQueue()
        self.running: set[int] = set()
        self.lingering: dict[tuple[int, int], str] = {}
        """Attempts told to stop whose end has not been seen: they still hold their slot."""
        self.queued: set[int] = set()
        """Tasks in line at the broker."""
        self.starved: dict[int, list[int]] = {}
        """Scope → tasks that wait for a reservation in it to come back."""
        self.crowded: dict[int, list[int]] = {}
        """Scope → ready tasks that wait for its concurrency limit."""
        self.joined: dict[int, joins.JoinState] = {}
        self.returned: dict[int, tuple[bytes | None, ErrorRecord | None]] = {}
        self.heap: list[tuple[int, int, int, str]] = []
        """(due, task or scope, attempt, what)"""
        self.closing: set[int] = set()
        """Scopes whose block a body of this life has left, until their end is handed to it."""
        self.declared: dict[Declaration, int] = {d: i for i, d in enumerate(state.declarations)}
        self.declared_by_id: dict[int, int] = {}
        self.kept: list[Declaration] = []
        """Keeps declarations alive whose `id` is in `declared_by_id`."""
        self.stopping: tuple[str, str] | None = None
        self.broke: tuple[int, int] | None = None
        """(scope, nano-USD that would be needed) of the last task the budget had no room for."""
        self.now = state.at
        self.out = Turn()

    # ------------------------------------------------------------ doors

    def begin(self, facts: Sequence[Fact], graph: Sequence[Fact] = ()) -> Turn:
        """First turn of a run: its header and its graph (or its root task).

        Args:
            graph: what the `GraphAdded` among the facts holds, to save its decoding.
        """
        self.out = Turn()
        self.state.graph_at_hand = graph
        for fact in facts:
            self.emit(fact)
        self.watch_deadline(0)
        return self._finish_turn()

    def resume(self, at: int, *, budget: int | None, deadline_ns: int | None, on_change: str) -> Turn:
        """First turn of a new life: end what was in flight, restart live bodies, go on."""
        self.out = Turn()
        self.now = max(at, self.state.at)
        self.emit(RunResumed(self.now, budget, deadline_ns, on_change))
        self.replay.begin(self.state)
        self._end_lost_attempts()
        for scope in self.state.scopes:
            self.watch_deadline(scope.number)
        for task in self.state.tasks:
            if task.status == Status.BACKOFF:
                heappush(self.heap, (task.not_before, task.number, task.attempt, "backoff"))
            elif task.status == Status.DIVERGED and on_change != "stop":
                self._allow_diverged(task)
        return self._finish_turn()

    def turn(self, observations: Sequence[Observation]) -> Turn:
        """Take a batch of observations to all its consequences. Cost: about 5 µs a finished task."""
        self.out = Turn()
        if self.state.status == "running":
            for observation in observations:
                if observation.at > self.now:
                    self.now = observation.at
                _DECIDE[type(observation)](self, observation)
                self._settle()
        return self._finish_turn()

    @property
    def next_deadline(self) -> int | None:
        """When the next `Tick` is due, in nanoseconds since the run's start."""
        heap = self.heap
        while heap and self._is_stale(heap[0]):
            heappop(heap)
        return heap[0][0] if heap else None

    @property
    def in_flight(self) -> int:
        """Attempts that hold a slot."""
        return len(self.running) + len(self.lingering)

    # ------------------------------------------------------------ building blocks

    def emit(self, fact: Fact) -> None:
        """Decide a fact: into the turn and into the state."""
        self.out.facts.append(fact)
        self.state.apply(fact)

    def keep(self, value: bytes) -> Value:
        """A value as facts hold it: itself, or a blob when it is large."""
        if len(value) <= BLOB_BYTES:
            return value
        digest = sha256(value).digest()
        self.out.blobs.append((digest, value))
        return Blob(digest, len(value))

    def succeed(self, task: TaskState, value: bytes) -> None:
        """End a task that needs no attempt."""
        self.emit(TaskSucceeded(task.number, self.now, self.keep(value)))

    def fail(self, task: TaskState, kind: str, message: str) -> None:
        """End a task for a reason the engine found."""
        self.emit(TaskFailed(task.number, self.now, ErrorRecord(kind, message, (kind,), False)))

    # ------------------------------------------------------------ observations

    def _attempt_succeeded(self, seen: AttemptSucceeded) -> None:
        task = self.state.tasks[seen.task]
        if task.attempt != seen.attempt or (task.status != _RUNNING and task.status != Status.UNKNOWN):
            self._late(seen.task, seen.attempt, LateResult(seen.task, self.now, self.keep(seen.value), None, seen.cost, seen.usage))
            return
        self._free(task)
        value: Value = seen.value
        if len(value) > BLOB_BYTES:
            if len(value) > self.state.limits.output_bytes:
                self._raised(task, self._too_large(seen.value), seen.cost, seen.usage)
                return
            value = self.keep(seen.value)
        if seen.cost or task.declaration.options.effect == Effect.IRREVERSIBLE:
            self.out.sync = True
        self.emit(TaskSucceeded(seen.task, self.now, value, seen.cost, seen.usage))

    def _too_large(self, value: bytes) -> ErrorRecord:
        limit = "makespan.errors.LimitError"
        message = f"the result has {len(value)} bytes; the limit `output_bytes` is {self.state.limits.output_bytes}"
        return ErrorRecord(limit, message, (limit,), False)

    def _attempt_raised(self, seen: AttemptRaised) -> None:
        task = self.state.tasks[seen.task]
        if task.attempt != seen.attempt or task.status not in (_RUNNING, Status.UNKNOWN):
            self._late(seen.task, seen.attempt, LateResult(seen.task, self.now, None, seen.error, seen.cost, seen.usage))
            return
        self._free(task)
        self._raised(task, seen.error, seen.cost, seen.usage)

    def _raised(self, task: TaskState, error: ErrorRecord, cost: int, usage: object) -> None:
        self.emit(AttemptFailed(task.number, self.now, error, cost, usage))  # type: ignore[arg-type]
        options = task.declaration.options
        if options.effect == Effect.IRREVERSIBLE or cost:
            self.out.sync = True
        if self.stopping is None and may_retry(options, error, task.failures, self.state.limits):
            seed = self.state.started.seed if self.state.started else 0
            not_before = self.now + delay_ns(error, task.failures, seed, task.spec.id)
            self.emit(RetryScheduled(task.number, not_before))
            heappush(self.heap, (not_before, task.number, task.attempt, "backoff"))
        else:
            self.emit(TaskFailed(task.number, self.now, error))

    def _attempt_stopped(self, seen: AttemptStopped) -> None:
        task = self.state.tasks[seen.task]
        if self.lingering.pop((seen.task, seen.attempt), None) is not None:
            self._after_release(task, seen.attempt)
        elif task.attempt == seen.attempt and task.status == _RUNNING:
            self._free(task)
            self._end_without_outcome(task, seen.why)

    def _end_without_outcome(self, task: TaskState, why: str) -> None:
        """The attempt is gone and nobody knows what it did: repeat it if that is harmless, else ask."""
        if task.declaration.options.effect == Effect.IRREVERSIBLE and task.kind == Kind.CALL:
            self.emit(AttemptUnknown(task.number, self.now, why))
            self.out.sync = True
        else:
            self.emit(AttemptInterrupted(task.number, self.now, why))

    def _late(self, number: int, attempt: int, fact: LateResult) -> None:
        """A result nobody waits for any more: kept for the record, and the slot comes back."""
        if self.lingering.pop((number, attempt), None) is not None:
            self.emit(fact)
            self._after_release(self.state.tasks[number], attempt)

    def _tick(self, seen: Tick) -> None:
        heap = self.heap
        while heap and heap[0][0] <= seen.at:
            entry = heappop(heap)
            if not self._is_stale(entry):
                _DUE[entry[3]](self, entry[1])
                self._settle()

    def _granted(self, seen: Granted) -> None:
        if seen.task in self.queued:
            self.queued.discard(seen.task)
            task = self.state.tasks[seen.task]
            if task.status == _READY and self.stopping is None:
                self.ready.push_front(seen.task)
            elif self.gate is not None:
                self.gate.release(seen.task, task.attempt + 1)

    def _cancel_asked(self, seen: CancelAsked) -> None:
        self.emit(CancelRequested(self.now, seen.author))
        self.out.sync = True
        for task in list(self.state.tasks):
            self.cancel(task, "the run was cancelled")

    def _edit_asked(self, seen: EditAsked) -> None:
        edits.decide(self, seen)

    def _decided(self, seen: Decided) -> None:
        number = self.state.index.get(seen.task)
        task = None if number is None else self.state.tasks[number]
        if task is None or task.status not in (Status.UNKNOWN, Status.DIVERGED):
            return
        self.emit(DecisionMade(task.number, self.now, seen.verdict, seen.author))
        self.out.sync = True
        if seen.verdict == "happened":
            self.emit(TaskSucceeded(task.number, self.now, self.keep(seen.value or NONE_VALUE)))
        elif seen.verdict == "skip":
            self.emit(TaskCancelled(task.number, self.now, f"skipped by {seen.author or 'a person'}"))

    def _interrupt(self, seen: Interrupted) -> None:
        self._stop_run("interrupted", seen.why)

    def _stop_run(self, reason: str, detail: str) -> None:
        """Start nothing more and end what can be repeated; irreversible attempts are awaited, not cut."""
        if self.stopping is not None:
            return
        self.stopping = (reason, detail)
        for number in sorted(self.running):
            task = self.state.tasks[number]
            if task.declaration.options.effect != Effect.IRREVERSIBLE:
                self.out.commands.append(StopAttempt(number, task.attempt, reason))

    # ------------------------------------------------------------ time

    def _is_stale(self, entry: tuple[int, int, int, str]) -> bool:
        _, number, attempt, what = entry
        if what == "deadline":
            scope = self.state.scopes[number]
            return bool(scope.met_limit) or scope.deadline_ns is None or (number != 0 and not scope.open)
        task = self.state.tasks[number]
        wanted = Status.BACKOFF if what == "backoff" else _RUNNING
        return task.status != wanted or task.attempt != attempt

    def watch_deadline(self, number: int) -> None:
        scope = self.state.scopes[number]
        if scope.deadline_ns is not None and not scope.met_limit:
            heappush(self.heap, (scope.opened_at + scope.deadline_ns, number, 0, "deadline"))

    def _due_backoff(self, number: int) -> None:
        task = self.state.tasks[number]
        task.status = _READY
        self.ready.push(number, task.declaration.options.priority)

    def _due_timer(self, number: int) -> None:
        self.succeed(self.state.tasks[number], NONE_VALUE)

    def _due_timeout(self, number: int) -> None:
        task = self.state.tasks[number]
        allowed = (task.declaration.options.timeout_ns or 0) / 1e9
        self.running.discard(number)
        self._leave_scopes(task)
        self.lingering[(number, task.attempt)] = "timeout"
        self.out.commands.append(StopAttempt(number, task.attempt, "timeout"))
        if task.declaration.options.effect == Effect.IRREVERSIBLE:
            self._end_without_outcome(task, f"timed out after {allowed:g} s")
        else:
            error = ErrorRecord("TimeoutError", f"no result after {allowed:g} s", ("TimeoutError", "builtins.TimeoutError"))
            self._raised(task, error, 0, None)

    def _due_deadline(self, number: int) -> None:
        scope = self.state.scopes[number]
        allowed = scope.deadline_ns or 0
        if number == 0:
            self._stop_run("deadline", f"deadline_s of the run reached: {allowed / 1e9:g} s")
        else:
            self.reach_limit(number, "deadline_s", allowed, self.now - scope.opened_at)

    def reach_limit(self, number: int, limit: str, allowed: int, used: int) -> None:
        """A scope met a limit: its open tasks are cancelled and its body hears of it; the run's own scope fails the run."""
        scope = self.state.scopes[number]
        self.emit(LimitReached(number, self.now, limit, allowed, used))
        error = requests.limit_error(self, number)
        owner = self.state.root if number == 0 else self.state.tasks[scope.owner] if scope.owner >= 0 else None
        if owner is None:
            self.replay.scope_event(scope.limit_position, LIMIT, number)
        elif not owner.is_final:
            if owner.kind == Kind.WORKFLOW and self.bodies is not None:
                self.bodies.cancel(owner.number)
            self.emit(TaskFailed(owner.number, self.now, error))
        self.cancel_scope(number, error.message)

    # ------------------------------------------------------------ consequences

    def _settle(self) -> None:
        """Work the agenda off, one delivery to the bodies at a time."""
        agenda = self.state.agenda
        while True:
            if agenda.doomed:
                self._skip_doomed(*agenda.doomed.popleft())
            elif agenda.candidates:
                self._consider(agenda.candidates.popleft())
            elif agenda.joins:
                joins.look(self, *agenda.joins.popleft())
            elif self.bodies is not None and requests.deliver_next(self):
                pass
            elif agenda.emptied:
                requests.scope_emptied(self, agenda.emptied.popleft())
            else:
                return

    def _skip_doomed(self, number: int, source: int) -> None:
        task = self.state.tasks[number]
        if task.status > _READY:
            return
        cause = self.state.tasks[source]
        if cause.status == Status.SKIPPED:
            self.emit(TaskSkipped(number, self.now, cause.cause))
        else:
            self.emit(TaskSkipped(number, self.now, source))

    def _consider(self, number: int) -> None:
        """A task whose sources have all ended: guard it, then do it or queue it."""
        task = self.state.tasks[number]
        if task.status != _WAITING or task.unmet or self.replay.holds(number):
            return
        if task.spec.when and not self._guard_allows(task):
            return
        kind = task.kind
        if kind == Kind.CALL or kind == Kind.WORKFLOW or kind == Kind.TIMER:
            task.status = _READY
            self.ready.push(number, task.declaration.options.priority)
        elif kind == Kind.VALUE:
            self._compute(task)
        elif kind == Kind.MAP:
            joins.expand(self, task)

    def _guard_allows(self, task: TaskState) -> bool:
        try:
            guard = parse(task.spec.when)
            allowed = guard.holds(guard_values(self.state, task, guard.names))
        except (GuardError, LookupError) as error:
            self.fail(task, "makespan.graph.expression.GuardError", f"guard {task.spec.when!r}: {error}")
            return False
        if not allowed:
            self.emit(TaskSkipped(task.number, self.now))
        return allowed

    def _compute(self, task: TaskState) -> None:
        try:
            self.succeed(task, arguments(self.state, task))
        except LookupError as error:
            self.fail(task, "LookupError", f"{error} in the value this task reads")

    # ------------------------------------------------------------ starting

    def _start_ready(self) -> bool:
        """Start what is ready and has room; True when a live body started, whose requests may make more ready."""
        if self.stopping is not None:
            return False
        state, ready, body_started = self.state, self.ready, False
        most = state.limits.running
        while ready and len(self.running) + len(self.lingering) < most:
            task = state.tasks[ready.pop()]
            if task.status != _READY:
                continue
            if task.kind == Kind.CALL:
                self._start_call(task)
            elif task.kind == Kind.TIMER:
                self.emit(AttemptStarted(task.number, self.now))
                heappush(self.heap, (self.now + task.spec.delay_ns, task.number, task.attempt, "timer"))
            else:
                self._start_body(task)
                body_started = True
                break
        return body_started

    def _start_call(self, task: TaskState) -> None:
        number, options = task.number, task.declaration.options
        scope = self.state.scopes[task.spec.scope]
        if scope.limited and not self._enter_scopes(task, scope.limited):
            return
        try:
            args = arguments(self.state, task)
        except LookupError as error:
            self._leave_scopes(task)
            self.fail(task, "LookupError", f"{error} in the argument this task reads")
            return
        reserved = 0
        if options.priced or options.budget is not None:
            quote = budget.reserve(self, task, args)
            if quote is None:
                self._leave_scopes(task)
                return
            reserved = quote
        if options.needs and self.gate is not None and number not in self.queued:
            if not self.gate.ask(number, task.attempt + 1, options.needs, self.now):
                self.queued.add(number)
                self._leave_scopes(task)
                return
        self.running.add(number)
        self.emit(AttemptStarted(number, self.now, reserved))
        if reserved or options.effect == Effect.IRREVERSIBLE:
            self.out.sync = True
        if options.timeout_ns is not None:
            heappush(self.heap, (self.now + options.timeout_ns, number, task.attempt, "timeout"))
        spec = task.spec
        self.out.commands.append(
            StartAttempt(number, task.attempt, spec.id, task.declaration, args, spec.label, reserved, task.errors[-1].message if task.errors else "")  # type: ignore[arg-type]
        )

    def _start_body(self, task: TaskState) -> None:
        """Open the workflow's scope and start its body."""
        options, state = task.declaration.options, self.state
        parent = state.scopes[task.spec.scope]
        if parent.depth + 1 > state.limits.depth:
            self.fail(task, "makespan.errors.LimitError", f"scopes nest deeper than the limit `depth` ({state.limits.depth})")
            return
        self.emit(AttemptStarted(task.number, self.now))
        if task.spec.id not in state.scope_index:
            self.emit(
                ScopeAdded(task.spec.id, parent.number, task.declaration.key, self.now, options.budget, options.deadline_ns, 0, task.number)
            )
            self.watch_deadline(len(state.scopes) - 1)
        self.run_body(task)

    def run_body(self, task: TaskState) -> None:
        """(Re)start the live body of a workflow task that is running."""
        assert self.bodies is not None, "a workflow task needs bodies"
        try:
            args = arguments(self.state, task)
        except LookupError as error:
            self.fail(task, "LookupError", f"{error} in the argument this workflow reads")
            return
        self.bodies.start(task.number, task.spec.id, task.declaration, args, task.started_at)  # type: ignore[arg-type]
        requests.take(self, self.bodies.drain())

    def _enter_scopes(self, task: TaskState, limited: tuple[int, ...]) -> bool:
        scopes = self.state.scopes
        for number in limited:
            if scopes[number].running >= scopes[number].limit:
                self.crowded.setdefault(number, []).append(task.number)
                return False
        for number in limited:
            scopes[number].running += 1
        return True

    def _leave_scopes(self, task: TaskState) -> None:
        for number in self.state.scopes[task.spec.scope].limited:
            self.state.scopes[number].running -= 1
            waiting = self.crowded.pop(number, None)
            if waiting:
                for other in waiting:
                    self.ready.push(other, self.state.tasks[other].declaration.options.priority)

    def _free(self, task: TaskState) -> None:
        """The attempt is over: its slots come back."""
        self.running.discard(task.number)
        if self.lingering:
            self.lingering.pop((task.number, task.attempt), None)
        if self.state.scopes[task.spec.scope].limited:
            self._leave_scopes(task)
        if self.starved or task.declaration.options.needs:
            self._after_release(task, task.attempt)

    def _after_release(self, task: TaskState, attempt: int) -> None:
        if self.gate is not None and task.declaration.options.needs:
            self.gate.release(task.number, attempt)
        if self.starved:
            budget.wake(self, task)

    # ------------------------------------------------------------ cancelling

    def cancel(self, task: TaskState, why: str) -> None:
        """End a task that has not ended; what runs is told to stop and keeps its slot until it does."""
        if task.is_final:
            return
        number = task.number
        if task.status == _RUNNING and task.kind == Kind.CALL:
            self.running.discard(number)
            self._leave_scopes(task)
            self.lingering[(number, task.attempt)] = "cancel"
            self.out.commands.append(StopAttempt(number, task.attempt, why))
            if task.declaration.options.effect == Effect.IRREVERSIBLE:
                self.emit(AttemptUnknown(number, self.now, why))
        elif task.status == _RUNNING and task.kind == Kind.WORKFLOW and self.bodies is not None:
            self.bodies.cancel(number)
        elif number in self.queued and self.gate is not None:
            self.queued.discard(number)
            self.gate.release(number, task.attempt + 1)
        self.emit(TaskCancelled(number, self.now, why))
        inside = self.state.scope_index.get(task.spec.id)
        if inside is not None:
            self.cancel_scope(inside, why)

    def cancel_scope(self, number: int, why: str) -> None:
        """Cancel every open task of a scope and of the scopes inside it."""
        scope = self.state.scopes[number]
        for task in list(scope.tasks):
            self.cancel(self.state.tasks[task], why)
        for child in scope.children:
            self.cancel_scope(child, why)

    # ------------------------------------------------------------ a new life

    def _end_lost_attempts(self) -> None:
        for task in list(self.state.tasks):
            if task.status != _RUNNING:
                continue
            if task.kind == Kind.CALL:
                self._end_without_outcome(task, "the process ended")
            elif task.kind == Kind.TIMER:
                heappush(self.heap, (task.started_at + task.spec.delay_ns, task.number, task.attempt, "timer"))
            elif task.kind == Kind.WORKFLOW and not self.replay.waits_for_claim(task.number):
                self.run_body(task)

    def _allow_diverged(self, task: TaskState) -> None:
        if task.declaration.options.effect != Effect.IRREVERSIBLE:
            self.emit(DecisionMade(task.number, self.now, "run", f"on_change={self.state.on_change}"))

    # ------------------------------------------------------------ the end of a turn

    def _finish_turn(self) -> Turn:
        self._settle()
        while self._start_ready():
            self._settle()
        if self.state.agenda.candidates or self.state.agenda.emptied or self.state.agenda.doomed or self.state.agenda.joins:
            return self._finish_turn()
        self._look_for_the_end()
        if self.state.started is not None and self.state.started.sync:
            self.out.sync = True
        return self.out

    def _look_for_the_end(self) -> None:
        state = self.state
        if state.status != "running":
            return
        if not state.open:
            self._end_run()
        elif not self.running and not self.lingering:
            if self.stopping is not None:
                self._pause(*self.stopping)
            elif not self.ready and self.next_live_deadline() is None and not self.queued:
                self._pause_for_a_person()

    def next_live_deadline(self) -> int | None:
        """The next timer or backoff; deadlines of scopes alone keep no run alive."""
        return min((entry[0] for entry in self.heap if entry[3] != "deadline" and not self._is_stale(entry)), default=None)

    def _pause_for_a_person(self) -> None:
        """Nothing runs, nothing is ready, no timer is set: something outside must change."""
        state = self.state
        unknown = [t for t in state.tasks if t.status == Status.UNKNOWN]
        diverged = [t for t in state.tasks if t.status == Status.DIVERGED]
        if self.starved and self.broke is not None:
            scope = state.scopes[self.broke[0]]
            allowed, used = (scope.budget or 0) / 1e9, scope.committed / 1e9
            self._pause("budget", f"budget_usd of the run reached: {used:g} of {allowed:g} USD used and the next task needs up to {self.broke[1] / 1e9:g} USD")
        elif unknown:
            names = ", ".join(f"{t.declaration.key} ({t.spec.id.hex()[:12]})" for t in unknown)
            self._pause("decision", f"the outcome of {names} is unknown: it is irreversible and was cut before its result was recorded")
        elif diverged:
            self._pause("divergence", requests.describe_divergence(state, diverged))
        else:
            waiting = [t.declaration.key for t in state.tasks if not t.is_final][:5]
            raise AssertionError(f"the run can neither go on nor end; waiting: {waiting}")

    def _pause(self, reason: str, detail: str) -> None:
        self.emit(RunPaused(self.now, reason, detail))
        self.out.sync = True
        self.out.commands.append(EndRun(self.state.status))

    def _end_run(self) -> None:
        state = self.state
        root, error = state.root, None
        assert root is not None
        if state.cancel_asked:
            status = "cancelled"
        elif root.status == _SUCCEEDED:
            error = requests.unreceived_failure(self, 0) if root.kind != Kind.WORKFLOW else None
            status = "failed" if error else "succeeded"
        else:
            status, error = "failed", failure_of(state, root)
        if self.lingering:
            return
        self.emit(RunEnded(self.now, status, error))
        self.out.sync = True
        self.out.commands.append(EndRun(status))


_DECIDE: dict[type, Callable[[Machine, Observation], None]] = {
    AttemptSucceeded: Machine._attempt_succeeded,
    AttemptRaised: Machine._attempt_raised,
    AttemptStopped: Machine._attempt_stopped,
    Tick: Machine._tick,
    Granted: Machine._granted,
    CancelAsked: Machine._cancel_asked,
    EditAsked: Machine._edit_asked,
    Decided: Machine._decided,
    Interrupted: Machine._interrupt,
}  # type: ignore[dict-item]  # each handler takes its own kind of observation

_DUE: dict[str, Callable[[Machine, int], None]] = {
    "backoff": Machine._due_backoff,
    "timer": Machine._due_timer,
    "timeout": Machine._due_timeout,
    "deadline": Machine._due_deadline,
}


"""Runs of live bodies on a virtual clock, without process loop, threads or disk: machine, bodies, scripted world.

    Life(call, seed) ─▶ run() ─▶ turns: the facts of every commit
    Life.resumed(turns[:cut], code, seed) ─▶ run()          a crash after `cut` commits, then other durations

A turn is the unit of the journal: a crash loses whole turns. With one observation a turn (the default) the cuts between
turns are all the cuts that a store can show; `batches=True` also makes turns of several observations.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec

from makespan.authoring.bodies import LiveBodies
from makespan.authoring.place import Registry
from makespan.authoring.task import Task
from makespan.authoring.trace import template_of, trace
from makespan.errors import record_of
from makespan.graph.digest import digest
from makespan.machine.facts import (
    AttemptInterrupted,
    AttemptStarted,
    Fact,
    Limits,
    RunStarted,
    TaskFailed,
    TaskSucceeded,
)
from makespan.machine.machine import Machine, Turn
from makespan.machine.observations import (
    AddScope,
    AddTask,
    AttemptRaised,
    AttemptStopped,
    AttemptSucceeded,
    CancelTask,
    CloseScope,
    Observation,
    Request,
    StartAttempt,
    StopAttempt,
    Tick,
)
from makespan.machine.opening import graph_facts
from makespan.machine.realised import realised
from makespan.machine.records import Status
from makespan.machine.state import State
from makespan.values import untyped

MS = 1_000_000
DOWNTIME_NS = 250 * MS
MOST_TURNS = 5_000
STARTED_WALL_NS = 1_700_000_000_000_000_000


class LoggedBodies(LiveBodies):
    """Live bodies that remember everything they asked for."""

    def __init__(self, registry: Registry, run_id: str, seed: int, started_wall_ns: int) -> None:
        super().__init__(registry, run_id, seed, started_wall_ns)
        self.asked: list[Request] = []

    def drain(self) -> Sequence[Request]:
        asked = super().drain()
        self.asked.extend(asked)
        return asked


class Life:
    """One life of one run."""

    def __init__(self, state: State, registry: Registry, seed: int, *, batches: bool = False) -> None:
        self.state, self.registry = state, registry
        self.bodies = LoggedBodies(registry, "r-test", 7, STARTED_WALL_NS)
        self.machine = Machine(state, bodies=self.bodies)
        self.now = state.at
        self.before: Sequence[Sequence[Fact]] = ()
        """The turns of earlier lives."""
        self.turns: list[list[Fact]] = []
        self.asked_after: list[int] = []
        """How many requests the bodies had made after each turn."""
        self.started: list[StartAttempt] = []
        self.batches = batches
        self._rng = Random(seed)
        self._due: list[tuple[int, int, Observation]] = []
        self._sequence = 0

    @staticmethod
    def first(call: Any, seed: int, *, batches: bool = False, limits: Limits | None = None) -> Life:
        """A run that begins: its first turn is made."""
        traced = trace(call._unbound)
        header = RunStarted(
            "r-test", traced.workflow, traced.template.root, traced.inputs, STARTED_WALL_NS, 7, limits or Limits()
        )
        graph = traced.template
        life = Life(State(), graph.registry.copy(), seed, batches=batches)
        life._take(life.machine.begin([header, *graph_facts(graph.nodes, graph.scopes)]))
        return life

    @staticmethod
    def resumed(
        turns: Sequence[Sequence[Fact]],
        code: Task[..., Any],
        seed: int,
        *,
        on_change: str = "stop",
        batches: bool = False,
    ) -> Life:
        """The run after a crash that left these turns; `code` may have changed."""
        state = State()
        for facts in turns:
            for fact in facts:
                state.apply(fact)
        life = Life(state, template_of(code).registry.copy(), seed, batches=batches)
        life.before = turns
        life.now += DOWNTIME_NS
        life._take(life.machine.resume(life.now, budget=None, deadline_ns=None, on_change=on_change))
        return life

    # ------------------------------------------------------------ driving

    def run(self, turns: int = MOST_TURNS) -> Life:
        """Until the run ends or pauses, or for that many more turns."""
        for _ in range(turns):
            if self.state.status != "running" or not self.step():
                self.bodies.close()
                return self
        assert turns != MOST_TURNS, "the run does not come to its end"
        return self

    def step(self) -> bool:
        """One turn; False when nothing is due any more."""
        tick = self.machine.next_deadline
        if not self._due and tick is None:
            return False
        if tick is not None and (not self._due or tick <= self._due[0][0]):
            self.now = max(self.now, tick)
            self._take(self.machine.turn([Tick(self.now)]))
            return True
        observations = [self._next()]
        while self.batches and self._due and self._rng.random() < 0.5:
            observations.append(self._next())
        self._take(self.machine.turn(observations))
        return True

    def observe(self, *observations: Observation) -> None:
        self._take(self.machine.turn(observations))

    def _next(self) -> Observation:
        at, _, observation = heapq.heappop(self._due)
        self.now = max(self.now, at)
        return observation

    def _take(self, turn: Turn) -> None:
        self.turns.append(turn.facts)
        self.asked_after.append(len(self.bodies.asked))
        for command in turn.commands:
            if isinstance(command, StartAttempt):
                self.started.append(command)
                self._attempt(command)
            elif isinstance(command, StopAttempt) and self._rng.random() < 0.5:
                self._due = [entry for entry in self._due if not _is_of(entry[2], command)]
                heapq.heapify(self._due)
                self._later(3 * MS, AttemptStopped(self.now + 3 * MS, command.task, command.attempt, command.why))

    def _attempt(self, command: StartAttempt) -> None:
        """Run the task's code now and let its end be seen later."""
        code = self.registry.get(command.declaration.key)
        assert code is not None, f"no code for {command.declaration.key}"
        after = round(self._rng.lognormvariate(3, 1) * MS)
        at, number, attempt = self.now + after, command.task, command.attempt
        cost = min(command.reserved, 1_000_000)
        try:
            if command.declaration.key == "flaky" and attempt % 2:
                raise ConnectionError("try again")
            value = code.signature.result.encode(code.fn(**code.signature.decode(command.args)))
        except Exception as error:
            self._later(after, AttemptRaised(at, number, attempt, record_of(error), cost))
        else:
            self._later(after, AttemptSucceeded(at, number, attempt, value, cost))

    def _later(self, after: int, observation: Observation) -> None:
        self._sequence += 1
        heapq.heappush(self._due, (self.now + after, self._sequence, observation))

    # ------------------------------------------------------------ reading

    @property
    def output(self) -> Any:
        """The run's output, or how it ended instead."""
        root = self.state.root
        if root is not None and isinstance(root.value, bytes):
            return untyped(root.value)
        return self.state.status, self.state.error.message if self.state.error else self.state.detail

    @property
    def graph_digest(self) -> bytes:
        return digest(realised(self.state))

    @property
    def accepted_cost(self) -> int:
        """Of the tasks that succeeded, but for what attempts may have been billed that a crash has cut."""
        presumed = [0] * len(self.state.tasks)
        for facts in (*self.before, *self.turns):
            for fact in facts:
                if isinstance(fact, AttemptInterrupted):
                    presumed[fact.task] += fact.cost
        return sum(t.cost - presumed[t.number] for t in self.state.tasks if t.status == Status.SUCCEEDED)

    def starts(self) -> list[tuple[str, bytes]]:
        """Key and arguments of every attempt started in this life."""
        return [(start.declaration.key, start.args) for start in self.started]

    def asked_by_body(self, upto: int | None = None) -> dict[bytes, list[tuple[str, bytes]]]:
        """What every body asked for, in its order; bodies by the id of their scope."""
        by_body: dict[bytes, list[tuple[str, bytes]]] = {}
        for request in self.bodies.asked[:upto]:
            described = _described(request)
            if described is not None:
                by_body.setdefault(self._home(request), []).append(described)
        return by_body

    def _home(self, request: Request) -> bytes:
        state = self.state
        if isinstance(request, AddTask):
            scope = request.node.scope
        elif isinstance(request, AddScope):
            scope = request.scope.parent
        elif isinstance(request, CloseScope):
            scope = request.scope
        else:
            assert isinstance(request, CancelTask)
            scope = state.scopes[state.tasks[state.index[request.task]].spec.scope].id  # type: ignore[assignment]
        return state.scopes[state.scopes[state.scope_index[scope]].home].id


def _described(request: Request) -> tuple[str, bytes] | None:
    if isinstance(request, AddTask):
        return "task", request.node.id
    if isinstance(request, AddScope):
        return "open", request.scope.id
    if isinstance(request, CloseScope):
        return ("close failed" if request.failed else "close"), request.scope
    if isinstance(request, CancelTask):
        return "cancel", request.task
    return None


def _is_of(observation: Observation, command: StopAttempt) -> bool:
    if isinstance(observation, (AttemptSucceeded, AttemptRaised, AttemptStopped)):
        return observation.task == command.task and observation.attempt == command.attempt
    return False


# ---------------------------------------------------------------- comparing lives


def finished_attempts(turns: Sequence[Sequence[Fact]]) -> set[int]:
    """Tasks that had an attempt and have ended in these turns."""
    started: set[int] = set()
    ended: set[int] = set()
    for facts in turns:
        for fact in facts:
            if isinstance(fact, AttemptStarted):
                started.add(fact.task)
            elif isinstance(fact, (TaskSucceeded, TaskFailed)):
                ended.add(fact.task)
    return started & ended


def reruns(turns: Sequence[Sequence[Fact]], life: Life) -> list[StartAttempt]:
    """Attempts of a resumed life for tasks that were finished before."""
    done = finished_attempts(turns)
    return [start for start in life.started if start.task in done]


def snapshot(state: State) -> dict[str, Any]:
    """All that a state says; what is only a queue of this process counts as waiting."""
    tasks = []
    for task in state.tasks:
        said = msgspec.structs.asdict(task)
        if task.status in (Status.READY, Status.BACKOFF):
            said["status"] = Status.WAITING
        tasks.append(said)
    scopes = [{**msgspec.structs.asdict(scope), "running": 0} for scope in state.scopes]
    rest = {name: value for name, value in vars(state).items() if name not in ("tasks", "scopes", "agenda", "load")}
    return {**rest, "tasks": tasks, "scopes": scopes}

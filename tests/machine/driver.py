"""Lives of one run on a virtual clock: the pure machine, scripted attempts, no asyncio.

    life = Life(workflow(...), script)        traced graph or raw nodes
    life.run()                                until it ends, pauses, or `until` nanoseconds
    life.crash(); life.resume()               a new machine from the journal

A shadow state folds every fact through the journal's bytes; it is looked at after each one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush
from typing import Any

import msgspec

from makespan.authoring.bodies import LiveBodies
from makespan.authoring.place import Registry
from makespan.authoring.ref import Ref
from makespan.authoring.trace import trace
from makespan.codec import NotEncodable
from makespan.errors import ErrorRecord, record_of
from makespan.graph.check import check
from makespan.graph.node import Declaration, Kind, Node, Scope
from makespan.machine.broker import Broker
from makespan.machine.facts import (
    Fact,
    GraphAdded,
    GraphBody,
    Limits,
    RunStarted,
    decode_facts,
    encode_facts,
    encode_graph,
)
from makespan.machine.hedging import Estimates
from makespan.machine.machine import Machine, Turn
from makespan.machine.observations import (
    Allotted,
    AskPlanner,
    AttemptRaised,
    AttemptStopped,
    AttemptSucceeded,
    Decided,
    EndRun,
    Granted,
    Observation,
    Pricing,
    StartAttempt,
    Tick,
)
from makespan.machine.opening import graph_facts
from makespan.machine.records import Status, TaskState
from makespan.machine.state import State
from makespan.ports import Planner
from makespan.values import Nanos, TaskId, nano_usd, untyped

SECOND = 1_000_000_000
RUN = "r-test"


class Act(msgspec.Struct, frozen=True):
    """How one attempt goes: after `takes_ns`, `error` or the function's own result. `cost` in nano-USD."""

    takes_ns: int = SECOND
    error: ErrorRecord | None = None
    cost: int = 0
    value: bytes | None = None
    stubborn: bool = False
    """Whether it goes on although it was told to stop, as a thread does."""


Script = Callable[[StartAttempt], Act]


def always(**act: Any) -> Script:
    """Every attempt goes like this."""
    return lambda _: Act(**act)


def by_key(**acts: Act | Sequence[Act]) -> Script:
    """By the task's key; a sequence has one act an attempt, the last for all that follow."""

    def script(command: StartAttempt) -> Act:
        act = acts.get(command.declaration.key.rpartition(".")[2], Act())
        if isinstance(act, Act):
            return act
        return act[min(command.attempt, len(act)) - 1]

    return script


def error(kind: str = "ValueError", message: str = "no", **fields: Any) -> ErrorRecord:
    """A failure in the journal's form."""
    return ErrorRecord(kind, message, fields.pop("lineage", (kind, "Exception")), **fields)


class Prices:
    """A price list: what each key's attempt costs at worst."""

    def __init__(self, **usd: float) -> None:
        self._usd = usd

    def worst_case(self, declaration: Declaration, args: bytes, mode: str = "") -> int:
        return nano_usd(self._usd[declaration.key])


class Slots:
    """The broker as the machine sees it, with what it granted to others kept for the next turn."""

    def __init__(self, broker: Broker, run: str = RUN) -> None:
        self.broker, self.run = broker, run

    counts_all = False

    def wanted(
        self, declaration: Declaration, args: bytes, reserved: int, mode: str = ""
    ) -> tuple[tuple[str, int], ...]:
        return declaration.options.needs

    def problem(self, needs: tuple[tuple[str, int], ...]) -> str | None:
        return self.broker.problem(needs)

    def ask(
        self, task: int, attempt: int, needs: tuple[tuple[str, int], ...], at: int, rank: tuple[int, int] = (0, 0)
    ) -> bool:
        return self.broker.ask((self.run, task, attempt), needs, at, rank)

    def release(self, task: int, attempt: int) -> None:
        self.broker.release((self.run, task, attempt))


class Life:
    """One run, through as many lives as a test wants."""

    def __init__(
        self,
        call: Any = None,
        script: Script = always(),  # noqa: B008
        *,
        nodes: Sequence[Node] = (),
        scopes: Sequence[Scope] = (),
        limits: Limits = Limits(),  # noqa: B008
        registry: Registry | None = None,
        budget_usd: float | None = None,
        deadline_ns: int | None = None,
        seed: int = 1,
        pricing: Pricing | None = None,
        broker: Broker | None = None,
        look: Callable[[State, Fact], None] | None = None,
        planner: Planner | None = None,
        estimates: Estimates | None = None,
    ) -> None:
        self.planner, self.estimates = planner, estimates
        self.script, self.pricing, self.broker, self.look = script, pricing, broker, look
        self.registry = registry or Registry()
        root, inputs = (nodes[-1].id if nodes else TaskId(b"")), b"\x80"
        if call is not None:
            traced = trace(call._unbound)
            template = traced.template
            nodes, scopes, root, inputs = template.nodes, template.scopes, template.root, traced.inputs
            self.registry = template.registry
        self.seed, self.is_live = seed, any(each.declaration.kind == Kind.WORKFLOW for each in nodes)
        check(nodes, scopes)
        budget = None if budget_usd is None else nano_usd(budget_usd)
        header = RunStarted(RUN, "test", root, inputs, 0, seed, limits, budget, deadline_ns)
        graph = GraphAdded(encode_graph(GraphBody(graph_facts(nodes, scopes))))
        self.journal: list[bytes] = []
        self.blobs: dict[bytes, bytes] = {}
        self.starts: list[StartAttempt] = []
        self.shadow = State(self.blobs.__getitem__)
        self.now = 0
        self._new_machine(State(self.blobs.__getitem__))
        self._take(self.machine.begin([header, graph]))

    # ------------------------------------------------------------ doors

    def run(self, until: int | None = None, turns: int | None = None) -> Life:
        """Go on until nothing is to come, `until` (nanoseconds), or so many turns."""
        while turns is None or turns > 0:
            due = self.next_due()
            if self.status != "running" or due is None or (until is not None and due > until):
                break
            self.step(due)
            turns = None if turns is None else turns - 1
        if until is not None and self.status == "running":
            self.now = max(self.now, until)
        return self

    def next_due(self) -> int | None:
        """When something happens next."""
        dues = [entry[0] for entry in self.events[:1]]
        if self.machine.next_deadline is not None:
            dues.append(self.machine.next_deadline)
        return min(dues, default=None)

    def step(self, due: int) -> None:
        """One turn with all that happens at `due`."""
        self.now = max(self.now, due)
        seen: list[Observation] = []
        while self.events and self.events[0][0] <= self.now:
            seen.append(heappop(self.events)[2])
        if self.machine.next_deadline is not None and self.machine.next_deadline <= self.now:
            seen.append(Tick(self.now))
        self._take(self.machine.turn(seen))

    def observe(self, *observations: Observation) -> Life:
        """A turn with these observations, now."""
        self._take(self.machine.turn(observations))
        return self

    def crash(self) -> Life:
        """The process is gone: only the journal is left."""
        self._new_machine(self.folded())
        if self.broker is not None:
            self.broker.release_run(RUN)
        return self

    def resume(self, *observations: Decided, **options: Any) -> Life:
        """A new life from the journal."""
        if self.machine.state.started is None or self.starts or self.journal:
            self._new_machine(self.folded())
        wanted: dict[str, Any] = {"budget": None, "deadline_ns": None, "on_change": "stop", **options}
        if observations:
            wanted["decided"] = observations
        self._take(self.machine.resume(self.now, **wanted))
        return self

    # ------------------------------------------------------------ what came of it

    @property
    def state(self) -> State:
        return self.machine.state

    @property
    def status(self) -> str:
        return self.machine.state.status

    @property
    def facts(self) -> list[Fact]:
        return [fact for body in self.journal for fact in decode_facts(body)]

    def of(self, kind: type[Any]) -> list[Any]:
        """The facts of one kind, oldest first."""
        return [fact for fact in self.facts if type(fact) is kind]

    def tasks(self, key: str) -> list[TaskState]:
        """The tasks whose key ends so, oldest first; removed ones do not count."""
        there = [t for t in self.state.tasks if t.status != Status.REMOVED]
        return [t for t in there if t.declaration.key.rpartition(".")[2] == key]

    def task(self, key: str) -> TaskState:
        (found,) = self.tasks(key)
        return found

    def statuses(self, key: str) -> list[str]:
        return [t.status.name.lower() for t in self.tasks(key)]

    def status_of(self, key: str) -> str:
        return self.task(key).status.name.lower()

    @property
    def output(self) -> Any:
        """The run's value, plain."""
        root = self.state.root
        assert root is not None
        assert root.value is not None, f"{self.status}: {self.state.error}"
        return untyped(self.state.bytes_of(root.value))

    @property
    def started_keys(self) -> list[str]:
        """Keys of the started attempts, in order."""
        return [command.declaration.key.rpartition(".")[2] for command in self.starts]

    def folded(self) -> State:
        """State as the journal alone gives it."""
        state = State(self.blobs.__getitem__)
        for fact in self.facts:
            state.apply(fact)
        return state

    # ------------------------------------------------------------ inside

    def _new_machine(self, state: State) -> None:
        slots = None if self.broker is None else Slots(self.broker)
        bodies = LiveBodies(self.registry, RUN, self.seed, 0) if self.is_live else None
        plans = None if self.planner is None else self.planner.wants
        self.machine = Machine(
            state, bodies=bodies, pricing=self.pricing, slots=slots, plans=plans, estimates=self.estimates
        )
        self.events: list[tuple[int, int, Observation]] = []
        self._acts: dict[tuple[int, int], Act] = {}
        self._sequence = 0

    def _take(self, turn: Turn) -> None:
        self.blobs.update(turn.blobs)
        body = encode_facts(turn.facts)
        assert decode_facts(body) == turn.facts
        if turn.facts:
            self.journal.append(body)
        for fact in decode_facts(body):
            self.shadow.apply(fact)
            if self.look is not None:
                self.look(self.shadow, fact)
        for command in turn.commands:
            if isinstance(command, StartAttempt):
                self._start(command)
            elif isinstance(command, EndRun):
                self.events.clear()
            elif isinstance(command, AskPlanner):
                assert self.planner is not None
                self._post(self.now, Allotted(self.now, tuple(self.planner.choose(command.view))))
            else:
                self._stop(command.task, command.attempt, command.why)
        if self.broker is not None:
            for _, task, _ in self.broker.grants(self.now):
                self._post(self.now, Granted(self.now, task))
            due = self.broker.next_grant_at()
            if due is not None and due > self.now:
                self._post(due, Tick(due))

    def _post(self, at: int, observation: Observation) -> None:
        self._sequence += 1
        heappush(self.events, (at, self._sequence, observation))

    def _start(self, command: StartAttempt) -> None:
        self.starts.append(command)
        act = self.script(command)
        self._acts[(command.task, command.attempt)] = act
        at = self.now + act.takes_ns
        if act.error is not None:
            self._post(at, AttemptRaised(at, command.task, command.attempt, act.error, act.cost))
            return
        try:
            value = act.value if act.value is not None else self._value(command)
        except Exception as raised:
            record = record_of(raised)
            self._post(at, AttemptRaised(at, command.task, command.attempt, record, act.cost))
        else:
            self._post(at, AttemptSucceeded(at, command.task, command.attempt, value, act.cost))

    def _value(self, command: StartAttempt) -> bytes:
        """What the task's own function gives for these arguments; the arguments themselves without one."""
        task = self.registry.get(command.declaration.key)
        if task is None:
            return command.args
        try:
            return task.signature.result.encode(task.fn(**task.signature.decode(command.args)))
        except NotEncodable as problem:
            raise TypeError(str(problem)) from None

    def _stop(self, task: int, attempt: int, why: str) -> None:
        if self._acts[(task, attempt)].stubborn:
            return
        mine = [e for e in self.events if (getattr(e[2], "attempt", 0), getattr(e[2], "task", -1)) == (attempt, task)]
        if mine:
            self.events = sorted(e for e in self.events if e not in mine)
            self._post(self.now, AttemptStopped(self.now, task, attempt, why, self._acts[(task, attempt)].cost))


def run(call: Ref[Any] | Any, script: Script = always(), **options: Any) -> Life:  # noqa: B008
    """A run to its end."""
    return Life(call, script, **options).run()


def seconds(number: float) -> Nanos:
    return Nanos(round(number * SECOND))


def plain(state: State) -> dict[str, Any]:
    """All that a fold must give, comparable: ready counts as waiting, slots in use are the live machine's."""
    waiting = {Status.READY: Status.WAITING, Status.BACKOFF: Status.WAITING}
    tasks = []
    for task in state.tasks:
        fields = msgspec.structs.asdict(task)
        fields["status"] = waiting.get(task.status, task.status)
        fields["dependents"] = list(task.dependents or ())
        tasks.append(fields)
    scopes = [{**msgspec.structs.asdict(scope), "running": 0} for scope in state.scopes]
    skipped = {"load", "tasks", "scopes", "agenda", "graph_at_hand"}
    rest = {name: value for name, value in vars(state).items() if name not in skipped}
    return {"tasks": tasks, "scopes": scopes, **rest}


def assert_fold_is_live(life: Life) -> None:
    """The fold of the journal's bytes is the live state."""
    folded, live = plain(life.shadow), plain(life.state)
    for name in live:
        assert folded[name] == live[name], name


def assert_within_budget(state: State, fact: Fact) -> None:
    """Committed and reserved money stay within every budget, and never fall below nothing."""
    for scope in state.scopes:
        assert scope.reserved >= 0
        if scope.budget is not None:
            assert scope.committed + scope.reserved <= scope.budget, (scope.number, fact)


def keys(facts: Iterable[Any], life: Life) -> list[str]:
    """Keys of the tasks that facts are about."""
    return [life.state.tasks[fact.task].declaration.key.rpartition(".")[2] for fact in facts]

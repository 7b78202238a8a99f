"""Many parts with deadlines of their own in one run: what a service does that answers several questions at a time."""

import random
import statistics
from dataclasses import dataclass
from math import exp, nan

from makespan.graph.node import Declaration, Kind, Mode, Node, Scope, Source
from makespan.machine.facts import Limits
from makespan.machine.observations import StartAttempt
from makespan.machine.opening import opening
from makespan.machine.records import Status
from makespan.policies.named import policy
from makespan.profiles.distributions import Constant
from makespan.profiles.profile import Drawn, ModeProfile, Profile
from makespan.sim.simulation import Simulation, header
from makespan.values import ROOT_SCOPE, Nanos, ScopeId, TaskId

SECOND = 1_000_000_000
PARTS, SLOTS = 40, 8
SPREAD = 0.5
"""Sigma of the log-normal durations around 1 s."""
DUE = (0.3, 1.3)
"""Deadlines of parts that are there at once, over the time that all work takes on all slots."""
TIMES_CRITICAL = 2.5
"""Time to the deadline of a part that comes later, over its critical path."""


@dataclass(frozen=True)
class Parts:
    """One run: its nodes and scopes, how long tasks take by key, and the last task of each part."""

    nodes: tuple[Node, ...]
    scopes: tuple[Scope, ...]
    takes_ns: dict[str, int]
    ends: tuple[TaskId, ...]


class _Drawing:
    """Nodes of one run, as they are drawn."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.nodes: list[Node] = []
        self.takes_ns: dict[str, int] = {}

    def add(self, scope: ScopeId, needs: list[TaskId], mode: Mode = Mode.AFTER, wait_ns: int = -1) -> TaskId:
        """One more task, or a timer."""
        number, kind = len(self.nodes) + 1, Kind.CALL if wait_ns < 0 else Kind.TIMER
        task, args = TaskId(number.to_bytes(16, "big")), (b"\xc0",) if wait_ns < 0 else ()
        if kind == Kind.CALL:
            self.takes_ns[f"t{number}"] = round(self.chance.lognormvariate(0.0, SPREAD) * SECOND)
        sources = tuple(Source(each, (), mode) for each in needs)
        declaration = Declaration(f"t{number}", kind)
        self.nodes.append(Node(task, declaration, scope, args, sources, delay_ns=Nanos(max(wait_ns, 0))))
        return task


def random_parts(seed: int, load: float | None = None) -> Parts:
    """40 parts of 3 to 24 tasks in two or three steps.

    Args:
        load: they come while the run goes on, at this share of what 8 slots can do, each with 2.5 times its critical
            path to its deadline. Without it all are there at once, with deadlines between hard and easy.
    """
    drawing, chance = _Drawing(seed), random.Random(-1 - seed)
    shapes = [[chance.randrange(2, 12) for _ in range(chance.randrange(1, 3))] for _ in range(PARTS)]
    usual_s = exp(SPREAD**2 / 2)
    whole_s = sum(sum(shape) + 1 for shape in shapes) * usual_s / SLOTS
    scopes, ends = list[Scope](), list[TaskId]()
    for part, shape in enumerate(shapes):
        scope, layer, critical_s = scope_of(part), list[TaskId](), 0.0
        comes_s = chance.uniform(0, whole_s / load) if load else 0.0
        if load:
            layer = [drawing.add(scope, [], wait_ns=round(comes_s * SECOND))]
        for width in (*shape, 1):
            layer = [drawing.add(scope, layer) for _ in range(width)]
            critical_s += max(drawing.takes_ns[drawing.nodes[-1 - back].key] for back in range(width)) / SECOND
        ends += layer
        left_s = TIMES_CRITICAL * critical_s if load else max(critical_s, chance.uniform(*DUE) * whole_s)
        deadline_ns = Nanos(round((comes_s + left_s) * SECOND))
        scopes.append(Scope(scope, ROOT_SCOPE, f"part {part}", deadline_ns=deadline_ns))
    drawing.add(ROOT_SCOPE, ends, Mode.OUTCOME)
    return Parts(tuple(drawing.nodes), tuple(scopes), drawing.takes_ns, tuple(ends))


def scope_of(part: int) -> ScopeId:
    """Id of a part's scope."""
    return ScopeId((part + 1).to_bytes(16, "big"))


def attained(made: Parts, name: str, seed: int) -> tuple[float, float]:
    """(share of the parts that were in time, mean seconds until those were done), simulated."""
    known = Profile({key: {"": ModeProfile(Constant(each))} for key, each in made.takes_ns.items()})

    def attempt(command: StartAttempt) -> Drawn:
        return Drawn(made.takes_ns[command.declaration.key])

    first = header(made.nodes[-1].id, limits=Limits(running=SLOTS))
    chosen = policy(name, profile=known, seed=seed)
    state = Simulation(first, opening(made.nodes, made.scopes), attempt, policy=chosen).run().state
    last = [state.tasks[state.index[end]] for end in made.ends]
    done_s = [task.ended_at / SECOND for task in last if task.status == Status.SUCCEEDED]
    return len(done_s) / len(last), statistics.mean(done_s or [nan])

"""An instance played on the virtual clock, and for real with sleeping tasks, with the decisions in their order."""

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import makespan as ms
from bench.scheduling.instances import Instance
from makespan.authoring.trace import trace_call
from makespan.machine.facts import AttemptStarted, Fact, Limits, TaskSucceeded, decode_facts
from makespan.machine.observations import StartAttempt
from makespan.policies.named import policy
from makespan.profiles.profile import Drawn
from makespan.sim.simulation import Simulation, header


@dataclass(frozen=True)
class Played:
    """What one run of an instance came to."""

    makespan_ns: int
    order: tuple[str, ...]
    """Keys of the tasks in the order of the decisions to start them."""
    took_ns: dict[str, int]
    """Task key → from the turn that started it to the turn that heard of its end."""


def simulate(instance: Instance, name: str, slots: int, took_ns: dict[str, int] | None = None) -> Played:
    """On the virtual clock.

    Args:
        took_ns: how long tasks take, where that is not as the instance says; the policy expects what it says.
    """
    template = trace_call(instance.call()).template
    known = instance.profile
    takes = took_ns or {key: round(known.mean_ns(key)) for key in known.tasks}

    def attempt(command: StartAttempt) -> Drawn:
        return Drawn(takes[command.declaration.key])

    first = header(template.root, limits=Limits(running=slots))
    sim = Simulation(first, template.opening, attempt, policy=policy(name, profile=known))
    outcome = sim.run()
    assert outcome.succeeded, outcome.reason
    return Played(outcome.makespan_ns, tuple(start.declaration.key for start in sim.starts), takes)


def play(instance: Instance, name: str, slots: int) -> Played:
    """For real: the asyncio runtime, a store on disk, tasks that sleep as long as the instance says."""

    async def body(folder: str) -> Played:
        async with ms.Engine(folder, policy=name, profile=instance.profile) as engine:
            run: ms.Run[Any] = engine.start(instance.call(), limits=Limits(running=slots))
            result = await run
            assert result.status == "succeeded", result.error
            keys = [task.declaration.key for task in run.state.tasks]
            return played(keys, [decode_facts(turn) for turn in engine.journal.read(run.id)])

    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        return asyncio.run(body(folder))


def played(keys: Sequence[str], turns: Sequence[Sequence[Fact]]) -> Played:
    """What a journal says. What one turn started and heard of happened at one moment, as in a simulation."""
    began, took_ns, end = dict[str, int](), dict[str, int](), 0
    for turn in turns:
        moment = max((fact.at for fact in turn if isinstance(fact, AttemptStarted | TaskSucceeded)), default=0)
        for fact in turn:
            if isinstance(fact, TaskSucceeded) and keys[fact.task] in began:
                took_ns[keys[fact.task]] = moment - began[keys[fact.task]]
                end = moment
            elif isinstance(fact, AttemptStarted):
                began[keys[fact.task]] = moment
    return Played(end - min(began.values()), tuple(began), took_ns)

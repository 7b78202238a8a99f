"""A simulated run decides as the real runtime does: with the same durations the same starts at the same times."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import pytest

import makespan as ms
from makespan.forecast.sampling import Forecaster, Setting
from makespan.forecast.subject import of_call
from makespan.journal.memory import MemoryJournal
from makespan.machine.facts import AttemptStarted, Limits, decode_facts
from makespan.machine.observations import StartAttempt
from makespan.machine.state import State
from makespan.profiles.profile import Drawn, Profile
from makespan.sim.simulation import Simulation, header
from makespan.testing.world import SimulatedWorld
from makespan.values import untyped
from tests.machine.test_virtual_clock import TASKS, random_needs
from tests.prove import prove_count

Starts = list[tuple[str, int]]
"""(arguments of the task, milliseconds) of every attempt, in order."""


@ms.task
async def step(number: int, takes_ms: int, needs: list[int]) -> int:
    await asyncio.sleep(takes_ms / 1000)
    return number


@ms.task(needs={"gpu": 1})
async def on_gpu(number: int, takes_ms: int, needs: list[int]) -> int:
    await asyncio.sleep(takes_ms / 1000)
    return number


def durations(chance: random.Random) -> list[int]:
    """Different sums for different paths: what ends at one moment may be seen in any order by real loops."""
    return [(chance.randrange(1, 40) << 12) + (1 << place % 12) for place in range(TASKS)]


def workflow_of(needs: Sequence[Sequence[int]], takes_ms: Sequence[int], chance: random.Random) -> Any:
    kinds = [step if chance.random() < 0.6 else on_gpu for _ in needs]

    @ms.workflow(key="shape")
    def made() -> list[int]:
        refs: list[ms.Ref[int]] = []
        for number, needed in enumerate(needs):
            refs.append(kinds[number](number, takes_ms[number], [refs[each] for each in needed]))
        return ms.gather(*refs)

    return made


def live_workflow(takes_ms: Sequence[int], chance: random.Random) -> Any:
    """An async workflow whose graph depends on what ends first."""
    widths = [chance.randrange(1, 5) for _ in range(4)]

    @ms.workflow(key="live")
    async def made() -> int:
        total, place = 0, 0
        for width in widths:
            group = [step(place + n, takes_ms[(place + n) % TASKS], []) for n in range(width)]
            place += width
            total += await ms.first(*group) if total % 2 else sum(await ms.gather(*group))
        return total

    return made


def really(call: Any, running: int, pools: dict[str, int]) -> tuple[Starts, int]:
    """On the real runtime, on virtual time."""
    with SimulatedWorld(seed=1) as world:
        journal = MemoryJournal()

        async def main() -> ms.Result[Any]:
            limits = Limits(running=running)
            async with ms.Engine(world=world, journal=journal, pools=pools, limits=limits, look_s=3600.0) as engine:
                return await engine.start(call, id="r", seed=0)

        result = world.run_until(main())
        assert result.status == "succeeded", result.error
        state = State(journal.blob)
        facts = [fact for body in journal.read("r") for fact in decode_facts(body)]
        for fact in facts:
            state.apply(fact)
        journal.close()
        return starts_of(facts, state), round(state.at / 1e6)


def starts_of(facts: list[Any], state: State) -> Starts:
    started = [fact for fact in facts if type(fact) is AttemptStarted]
    return [(state.tasks[f.task].spec.id.hex(), round(f.at / 1e6)) for f in started]


def simulated(call: Any, running: int, pools: dict[str, int]) -> tuple[Starts, int]:
    subject = of_call(call)

    def attempt(command: StartAttempt) -> Drawn:
        said = untyped(command.args)
        return Drawn(said["takes_ms"] * 1_000_000, value=bytes([said["number"]]))

    from makespan.machine.broker import Broker

    bodies = subject.bodies("r", 0, 0)
    sim = Simulation(
        header(subject.root, limits=Limits(running=running), inputs=subject.inputs, run_id="r"),
        subject.opening,
        attempt,
        broker=Broker(pools),
        bodies=bodies,
        keep_journal=True,
    )
    outcome = sim.run()
    if bodies is not None:
        bodies.close()
    facts = [fact for body in outcome.journal for fact in decode_facts(body)]
    return starts_of(facts, outcome.state), round(outcome.makespan_ns / 1e6)


def check(seed: int) -> None:
    chance = random.Random(seed)
    takes_ms, running, pools = durations(chance), chance.choice([1, 2, 3, 256]), {"gpu": chance.randrange(1, 4)}
    is_live = seed % 5 == 4
    made = live_workflow(takes_ms, chance) if is_live else workflow_of(random_needs(chance), takes_ms, chance)

    assert simulated(made(), running, pools) == really(made(), running, pools), f"seed {seed}"


@pytest.mark.slow
def test_50_random_workflows_start_the_same_attempts_at_the_same_times() -> None:
    for seed in range(50):
        check(seed)


@pytest.mark.prove
def test_many_random_workflows_start_the_same_attempts_at_the_same_times() -> None:
    for seed in range(50, 50 + prove_count(500)):
        check(seed)


def test_a_realised_run_takes_as_long_as_it_did() -> None:
    """The graph of a stored run, with each task's own duration, ends when the run ended."""
    for seed in range(20):
        chance = random.Random(seed)
        takes_ms = durations(chance)
        made = live_workflow(takes_ms, chance) if seed % 2 else workflow_of(random_needs(chance), takes_ms, chance)
        subject = of_call(made())
        took: dict[bytes, int] = {}

        def attempt(command: StartAttempt, took: dict[bytes, int] = took) -> Drawn:
            said = untyped(command.args)
            took[command.id] = said["takes_ms"] * 1_000_000
            return Drawn(took[command.id], value=bytes([said["number"]]))

        bodies = subject.bodies("r", 0, 0)
        start = header(subject.root, inputs=subject.inputs, run_id="r")
        first = Simulation(start, subject.opening, attempt, bodies=bodies).run()

        from makespan.forecast.subject import of_run

        again = of_run(first.state)
        second = Simulation(
            header(again.root), again.opening, lambda command, took=took: Drawn(took.get(command.id, 0))
        ).run()

        assert second.succeeded
        assert second.makespan_ns == first.makespan_ns, f"seed {seed}"


def test_simulated_and_real_runs_share_their_ids() -> None:
    """So what is known of a task of one is known of the other."""
    call = workflow_of(random_needs(random.Random(1)), durations(random.Random(1)), random.Random(1))
    forecaster = Forecaster(of_call(call()), Profile(), Setting(pools={"gpu": 1}))
    outcome = forecaster.outcome("fifo", 0)
    starts, _ = really(call(), 256, {"gpu": 1})

    ids = {task.spec.id.hex() for task in outcome.state.tasks}
    assert {id for id, _ in starts} <= ids

"""Following a run whose tasks have several attempts in flight: all are heard, and what losers showed is taken back."""

from __future__ import annotations

import asyncio
from typing import Any

import makespan as ms
from makespan.graph.node import Declaration
from makespan.journal.memory import MemoryJournal
from makespan.machine.observations import Choice, PlanView
from makespan.profiles.distributions import Constant
from makespan.profiles.profile import ModeProfile, Profile
from makespan.testing.world import SimulatedWorld
from makespan.traces.updates import FLEETING, Update
from tests.test_following import all_of


@ms.task(hedge=0.9, key="slowly")
async def slowly(n: int) -> int:
    """The first attempt shows ten numbers and wins; a hedge starts when it has shown four."""
    attempt = ms.context().attempt
    for number in range(n):
        ms.emit(f"{attempt}: {number}")
        await asyncio.sleep(0.1)
    return attempt


@ms.workflow
async def overtaken(n: int) -> int:
    return await slowly(n)


@ms.task(key="sampled", retries=1)
async def sampled(n: int) -> int:
    """The first and the second attempt fail, one after the other."""
    attempt = ms.context().attempt
    ms.emit(attempt)
    await asyncio.sleep(attempt / 10)
    if attempt < 3:
        raise ValueError("no")
    return n


@ms.workflow
async def bet(n: int) -> int:
    return await sampled(n)


class Twice:
    """Wants two samples of `sampled`."""

    def wants(self, declaration: Declaration) -> bool:
        return declaration.key == "sampled"

    def choose(self, view: PlanView) -> list[Choice]:
        return [Choice(task.number, "", 2) for task in view.tasks if task.is_asked]


def simulated(call: ms.Ref[Any], **options: Any) -> tuple[list[Update], list[list[Update]]]:
    """All updates of a run whose tasks have several attempts in flight, and the rest after each durable one."""
    usual = Profile({"slowly": {"": ModeProfile(Constant(350_000_000))}})

    async def main(world: SimulatedWorld) -> tuple[list[Update], list[list[Update]]]:
        journal = MemoryJournal()
        async with ms.Engine(world=world, journal=journal, profile=usual, planners={"twice": Twice()}) as engine:
            run = engine.start(call, id="r", seed=1, **options)
            told = await all_of(run.updates())
            kept = [update for update in told if update.kind not in FLEETING]
            return told, [await all_of(run.updates(after=update.cursor)) for update in kept]

    with SimulatedWorld(1) as world:
        told, rests = world.run_until(main(world))
    return told, rests


def test_attempts_in_flight_at_once_are_all_heard_and_the_loser_is_discarded_before_the_result() -> None:
    told, rests = simulated(overtaken(10))

    shown = [update.value for update in told if (update.kind, update.attempt) == ("progress", 1)]
    assert shown == [f"1: {number}" for number in range(10)]
    assert any((update.kind, update.attempt) == ("progress", 2) for update in told)
    ends = [(update.kind, update.attempt) for update in told if update.key == "slowly"][-2:]
    assert ends == [("discard", 2), ("finished", 1)]
    kept = [update for update in told if update.kind not in FLEETING]
    assert rests == [kept[nth + 1 :] for nth in range(len(kept))]


def test_each_sample_that_failed_is_discarded_once_it_has() -> None:
    told, rests = simulated(bet(7), planner="twice")

    ended = [(update.kind, update.attempt) for update in told if update.key == "sampled" and update.kind != "progress"]
    assert ended[:5] == [("started", 1), ("started", 2), ("discard", 1), ("discard", 2), ("retry", 2)]
    kept = [update for update in told if update.kind not in FLEETING]
    assert rests == [kept[nth + 1 :] for nth in range(len(kept))]

"""Hedges on the real loop: a second attempt rescues what hangs, and the first is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

import makespan as ms
from makespan.errors import UsageError
from makespan.graph.node import Declaration
from makespan.journal.memory import MemoryJournal
from makespan.machine.facts import AttemptStarted, Fact, LateResult, TaskSucceeded, decode_facts
from makespan.machine.observations import Choice, PlanView
from makespan.ports import Planner
from makespan.profiles.distributions import Constant
from makespan.profiles.profile import ModeProfile, Profile
from makespan.testing.world import SimulatedWorld

QUICK = Profile({"fetch": {"": ModeProfile(Constant(5_000_000))}})
"""Five milliseconds: whatever takes longer is hedged."""

ended: list[str] = []


@ms.task(hedge=0.95, key="fetch")
async def fetch(name: str) -> str:
    attempt = ms.context().attempt
    try:
        if attempt == 1:
            await asyncio.Event().wait()
    finally:
        ended.append(f"{name} {attempt}")
    return f"{name} from attempt {attempt}"


@ms.workflow
def both() -> list[str]:
    return ms.gather(fetch("a"), fetch("b"))


def test_an_attempt_that_hangs_is_overtaken_and_cancelled() -> None:
    async def main() -> tuple[object, list[Fact]]:
        async with ms.Engine("memory", profile=QUICK) as engine:
            run = engine.start(both())
            result = await run
            return result.output, [fact for body in engine.journal.read(run.id, 0) for fact in decode_facts(body)]

    ended.clear()
    output, facts = asyncio.run(main())

    assert output == ["a from attempt 2", "b from attempt 2"]
    assert sorted(ended) == ["a 1", "a 2", "b 1", "b 2"]
    assert [fact.attempt for fact in facts if isinstance(fact, TaskSucceeded) and fact.attempt] == [2, 2]
    assert sum(isinstance(fact, AttemptStarted) and fact.beside for fact in facts) == 2
    assert sorted(fact.attempt for fact in facts if isinstance(fact, LateResult)) == [1, 1]


# ---------------------------------------------------------------- on virtual time


class Bets:
    """Wants two samples of `bet`, and what it is told to do instead."""

    def __init__(self, instead: Callable[[PlanView], Any] | None = None) -> None:
        self.instead = instead

    def wants(self, declaration: Declaration) -> bool:
        return declaration.key == "bet"

    def choose(self, view: PlanView) -> Sequence[Choice]:
        if self.instead is not None:
            return self.instead(view)  # type: ignore[no-any-return]
        return [Choice(task.number, "", 2) for task in view.tasks if task.is_asked]


@ms.task(key="bet", cache_s=1000, retries=3)
async def bet(number: int) -> int:
    """The first attempt fails, the others take a second."""
    ended.append(f"{number} {ms.context().attempt}")
    if ms.context().attempt == 1:
        raise ValueError("no luck")
    await asyncio.sleep(1)
    return number


@ms.workflow
async def betting(count: int) -> list[int]:
    return await ms.gather(*[bet(number) for number in range(count)])


@ms.task(key="look", hedge=0.9, cache_s=1000)
async def look(number: int) -> int:
    await asyncio.sleep(1)
    return number


@ms.task(key="steady", hedge=0.9)
async def steady(number: int) -> int:
    await asyncio.sleep(1)
    return number


@ms.workflow
async def looking(numbers: list[int]) -> list[int]:
    return await ms.gather(*[look(number) for number in numbers])


@ms.workflow
async def beside_waiting() -> list[int]:
    return list(await ms.gather(steady(1), bet(1), bet(2)))


def simulated(*calls: ms.Ref[Any], planner: Planner | None = None, **options: Any) -> list[tuple[Any, list[Fact]]]:
    """Runs of one engine on virtual time, one after the other: what each gave, and its facts."""

    async def main(world: SimulatedWorld) -> list[tuple[Any, list[Fact]]]:
        given, journal = {} if planner is None else {"mine": planner}, MemoryJournal()
        async with ms.Engine(world=world, journal=journal, planners=given, **options) as engine:
            found = []
            for call in calls:
                run = engine.start(call, planner="none" if planner is None else "mine")
                result = await run
                found.append((result.output, [f for body in journal.read(run.id, 0) for f in decode_facts(body)]))
            return found

    ended.clear()
    with SimulatedWorld(1) as world:
        return world.run_until(main(world))


def starts(facts: list[Fact]) -> list[AttemptStarted]:
    return [fact for fact in facts if isinstance(fact, AttemptStarted)]


def test_the_winner_among_samples_is_cached_though_another_sample_failed_before_it() -> None:
    (first, _), (again, facts) = simulated(betting(2), betting(2), planner=Bets())

    assert first == again == [0, 1]
    assert sorted(ended) == ["0 1", "0 2", "1 1", "1 2"]
    assert not any(fact.beside for fact in starts(facts))  # what is there already is not computed beside


def test_results_from_the_cache_say_nothing_about_how_long_an_attempt_takes() -> None:
    _, (_, facts) = simulated(looking(list(range(30))), looking([*range(100, 110), *range(30)]))

    assert not any(fact.beside for fact in starts(facts))


def boom(view: PlanView) -> Any:
    raise RuntimeError("no plan today")


@pytest.mark.parametrize(
    ("instead", "said"),
    [
        (boom, "RuntimeError: no plan today"),
        (lambda view: 7, "gave 7"),
        (lambda view: ["bet"], "gave 'bet'"),
        (lambda view: [Choice(task.number, "", "2") for task in view.tasks], "samples='2'"),  # type: ignore[arg-type]
    ],
)
def test_a_planner_that_fails_holds_nothing_up_and_is_named(
    instead: Callable[[PlanView], Any], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    ((output, facts),) = simulated(beside_waiting(), planner=Bets(instead))

    assert output == [1, 1, 2]
    assert said in caplog.text
    first = {fact.task: fact.at for fact in reversed(starts(facts))}
    assert max(first.values()) < 1_000_000_000  # not only when the steady one had ended


def test_choices_for_tasks_that_are_not_asked_about_are_dropped() -> None:
    ((output, _),) = simulated(betting(1), planner=Bets(lambda view: [Choice(10_000, "", 2), Choice(-1, "", 2)]))

    assert output == [0]


def test_a_planner_that_cannot_say_what_it_wants_is_blamed_by_name() -> None:
    class Broken(Bets):
        def wants(self, declaration: Declaration) -> bool:
            raise ZeroDivisionError("nothing to divide by")

    with pytest.raises(UsageError, match="planner 'mine' raised ZeroDivisionError in wants"):
        simulated(betting(1), planner=Broken())

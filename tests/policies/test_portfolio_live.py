"""The portfolio planner on the real runtime: it chooses modes and samples, survives a resume, and keeps its promise."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from math import sqrt

import pytest

import makespan as ms
from makespan.draws import draws
from makespan.errors import UsageError
from makespan.graph.node import Declaration
from makespan.journal.memory import MemoryJournal
from makespan.machine.facts import AttemptStarted, Fact, LateResult, decode_facts
from makespan.machine.observations import Choice, PlanView
from makespan.policies.portfolio.planner import PortfolioPlanner
from makespan.ports import Produced
from makespan.profiles.distributions import Constant
from makespan.profiles.profile import ModeProfile, Profile
from makespan.runtime.attempts import Call
from makespan.testing.world import SimulatedWorld
from makespan.values import NONE_VALUE, NanoUsd
from tests.policies.portfolio_worlds import SECOND, Setting, World, random_needs, trade_offs
from tests.prove import prove_count

CENT = 10_000_000
KNOWN = Profile(
    {
        "draft": {
            "small": ModeProfile(Constant(10 * SECOND), Constant(CENT), 0.6),
            "large": ModeProfile(Constant(4 * SECOND), Constant(5 * CENT), 0.95),
        }
    }
)


@ms.task(models=["small", "large"], retries=5, key="draft")
async def draft(number: int) -> str:
    return ms.context().mode


@ms.workflow
def both() -> list[str]:
    return ms.gather(draft(1), draft(2))


class Lost(Exception):
    """A drawn failure; `cost` is what the attempt is billed."""

    def __init__(self, cost: int) -> None:
        super().__init__("the drawn attempt failed")
        self.cost = cost


class Drawing:
    """An interceptor: attempts take as long, cost as much and end as the simulator's of the same seed."""

    def __init__(self, profile: Profile, seed: int) -> None:
        self.profile, self.seed = profile, seed

    async def __call__(self, call: Call, rest: object) -> Produced:
        info = call.info
        drawn = self.profile.of(info.key, info.models[0]).draw(*draws(self.seed, info.task_id, info.attempt))
        try:
            await asyncio.sleep(drawn.takes_ns / 1e9)
        except asyncio.CancelledError as cut:
            cut.cost = drawn.cost  # type: ignore[attr-defined]  # what the provider bills all the same
            raise
        if not drawn.ok:
            raise Lost(drawn.cost)
        return Produced(NONE_VALUE, NanoUsd(drawn.cost))


def facts_of(journal: MemoryJournal, run_id: str) -> list[Fact]:
    return [fact for body in journal.read(run_id, 0) for fact in decode_facts(body)]


def test_a_tight_deadline_buys_the_fast_model_and_a_wide_one_does_not() -> None:
    def modes(deadline_s: float) -> set[str]:
        with SimulatedWorld(1) as world:
            journal = MemoryJournal()

            async def main() -> list[Fact]:
                engine = ms.Engine(world=world, journal=journal, profile=KNOWN, interceptors=[Drawing(KNOWN, 1)])
                async with engine:
                    run = engine.start(both(), planner="portfolio", deadline_s=deadline_s, seed=1)
                    await run
                    return facts_of(journal, run.id)

            return {fact.mode for fact in world.run_until(main()) if isinstance(fact, AttemptStarted)} - {""}

    assert modes(600) == {"small"}
    assert "large" in modes(6)


class ThreeLarge:
    """Wants three samples of the large model."""

    def __init__(self) -> None:
        self.views: list[PlanView] = []

    def wants(self, declaration: Declaration) -> bool:
        return declaration.key == "draft"

    def choose(self, view: PlanView) -> Sequence[Choice]:
        self.views.append(view)
        return [Choice(each.number, "large", 3) for each in view.tasks if each.is_asked]


def test_a_planner_of_ones_own_is_followed_its_losers_are_cancelled_and_paid() -> None:
    planner = ThreeLarge()
    with SimulatedWorld(2) as world:
        journal = MemoryJournal()

        async def main() -> tuple[ms.Result[object], list[Fact]]:
            engine = ms.Engine(
                world=world,
                journal=journal,
                planners={"three": planner},
                interceptors=[Drawing(KNOWN, 2)],
            )
            async with engine:
                run = engine.start(both(), planner="three", seed=2)
                return await run, facts_of(journal, run.id)

        result, facts = world.run_until(main())

    started = [fact for fact in facts if isinstance(fact, AttemptStarted) and fact.mode]
    assert result.status == "succeeded"
    assert {fact.mode for fact in started} == {"large"}
    assert len(started) == 6
    assert result.cost_usd == pytest.approx(6 * 0.05), "the losers are billed too"
    assert (
        sum(isinstance(fact, LateResult) for fact in facts)
        + sum(f.__class__.__name__ == "AttemptFailed" for f in facts)
        == 4
    )
    assert planner.views[0].tasks[0].tries_left == 6


def test_a_resumed_run_keeps_its_planner_and_an_engine_without_it_says_so() -> None:
    with SimulatedWorld(3) as world:
        journal = MemoryJournal()

        def engine(**options: object) -> ms.Engine:
            return ms.Engine(world=world, journal=journal, interceptors=[Drawing(KNOWN, 3)], **options)  # type: ignore[arg-type]

        async def first() -> str:
            async with engine(planners={"three": ThreeLarge()}) as one:
                run = one.start(both(), planner="three", seed=3, deadline_s=1.0)
                assert (await run).status == "paused"
                return run.id

        async def again(run_id: str) -> list[str]:
            async with engine() as other:
                with pytest.raises(UsageError, match="no planner is called 'three'"):
                    other.resume(run_id, both)
            planner = ThreeLarge()
            async with engine(planners={"three": planner}) as other:
                result = await other.resume(run_id, both, deadline_s=1_000.0)
                return [result.status, str(bool(planner.views))]

        run_id = world.run_until(first())
        assert world.run_until(again(run_id)) == ["succeeded", "True"]


@pytest.mark.parametrize(
    ("options", "engine", "says"),
    [
        ({"planner": "portfolio"}, {}, "makespan profile"),
        ({"planner": "portfolo"}, {"profile": KNOWN}, "portfolio"),
        ({}, {"planners": {"portfolio": ThreeLarge()}}, "built in"),
        ({}, {"planners": {"mine": object()}}, "choose"),
    ],
)
def test_a_planner_that_cannot_plan_is_refused_before_anything_runs(
    options: dict[str, str], engine: dict[str, object], says: str
) -> None:
    async def main() -> None:
        async with ms.Engine("memory", **engine) as made:  # type: ignore[arg-type]
            made.start(both(), **options)  # type: ignore[arg-type]

    with pytest.raises(UsageError, match=says):
        asyncio.run(main())


def lived(setting: Setting, seed: int) -> tuple[bool, bool]:
    """(whether the real runtime completes the run in its limits, whether the simulator does)."""
    profile = setting.profile
    world = World(setting)
    planner = PortfolioPlanner(profile)
    simulated = world.run(seed, planner)
    call = setting.workflow()()
    budget, deadline_ns = setting.budget, setting.deadline_ns
    assert budget is not None
    assert deadline_ns is not None
    with SimulatedWorld(seed) as machine:

        async def main() -> bool:
            engine = ms.Engine(
                world=machine, journal=MemoryJournal(), profile=profile, interceptors=[Drawing(profile, seed)]
            )
            async with engine:
                result = await engine.start(
                    call, planner="portfolio", seed=seed, deadline_s=deadline_ns / 1e9, budget_usd=budget / 1e9
                )
                return result.status == "succeeded" and result.cost_usd * 1e9 <= budget + 1

        live = machine.run_until(main())
    return live, simulated.succeeded and simulated.cost <= budget


def agreement(count: int) -> tuple[float, float, float]:
    """(completion live, completion simulated, standard error of their difference)."""
    chance = random.Random(77)
    setting = Setting(
        random_needs(chance, 8),
        trade_offs(chance, 8, ("small", "large")),
        retries=47,
        priced=False,
        deadline_ns=110 * SECOND,
        budget=50_000_000,
    )
    ends = [lived(setting, seed) for seed in range(count)]
    gaps = [float(live) - float(simulated) for live, simulated in ends]
    mean = sum(gaps) / count
    error = sqrt(sum((gap - mean) ** 2 for gap in gaps) / (count - 1) / count)
    return sum(live for live, _ in ends) / count, sum(simulated for _, simulated in ends) / count, error


@pytest.mark.prove
def test_live_runs_complete_as_often_as_simulated_ones() -> None:
    live, simulated, error = agreement(prove_count(200))

    assert 0.1 < simulated < 0.95
    assert abs(live - simulated) <= 2 * max(error, 0.01)

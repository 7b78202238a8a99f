"""The portfolio planner chooses what a person would, keeps to its limits, and beats every static policy."""

from __future__ import annotations

import random
from dataclasses import replace
from math import log, sqrt

import msgspec
import pytest

from makespan.errors import UsageError
from makespan.graph.node import Declaration, Effect, Options
from makespan.machine.observations import Choice, PlanTask, PlanView
from makespan.policies.portfolio.planner import PortfolioPlanner
from makespan.profiles.distributions import Constant, LogNormal, empirical
from makespan.profiles.profile import ModeProfile, Profile, Seen
from tests.policies.portfolio_worlds import SECOND, Setting, World, random_needs, trade_offs
from tests.prove import prove_count

MODES = ("small", "large")


def mode(seconds: float, cost: int, success: float = 1.0) -> ModeProfile:
    return ModeProfile(Constant(round(seconds * SECOND)), Constant(cost), success)


def two(small: ModeProfile, large: ModeProfile, *keys: str) -> Profile:
    return Profile({key: {"small": small, "large": large} for key in keys or ("a", "b")})


def task(number: int, key: str = "a", sources: tuple[int, ...] = (), **fields: object) -> PlanTask:
    known = {"modes": MODES, "is_asked": not sources, "flights": (), "tries_left": 20, **fields}
    return PlanTask(number, key, sources=sources, **known)  # type: ignore[arg-type]


def view(*tasks: PlanTask, seconds: float | None = None, budget: int | None = None, **fields: object) -> PlanView:
    deadline = None if seconds is None else round(seconds * SECOND)
    return PlanView(0, 1, deadline, budget, tasks, **fields)  # type: ignore[arg-type]


def test_the_dear_model_is_used_only_where_the_deadline_needs_it() -> None:
    planner = PortfolioPlanner(two(mode(10, 1), mode(4, 5)))

    assert planner.choose(view(task(0), task(1, sources=(0,)), seconds=25)) == (Choice(0, "small", 1),)
    assert planner.choose(view(task(0), task(1, sources=(0,)), seconds=9)) == (Choice(0, "large", 1),)


def test_only_the_task_on_the_critical_path_gets_the_dear_model() -> None:
    planner = PortfolioPlanner(two(mode(10, 1), mode(4, 5)))
    long_and_short = (task(0), task(1), task(2, sources=(0,)), task(3, sources=(2,)))

    assert planner.choose(view(*long_and_short, seconds=24.5)) == (Choice(0, "large", 1), Choice(1, "small", 1))


def test_samples_are_bought_where_there_is_no_second_try() -> None:
    planner = PortfolioPlanner(two(mode(1, 1, success=0.5), mode(1, 3, success=0.5)))
    (last,) = planner.choose(view(task(0, tries_left=1), budget=8, seconds=10))
    (patient,) = planner.choose(view(task(0), budget=12))

    assert (last.mode, last.samples) == ("small", 8)
    assert patient.samples < 8


def test_without_limits_the_cheapest_way_is_taken() -> None:
    planner = PortfolioPlanner(two(mode(10, 3, success=0.9), mode(1, 4, success=0.9)))

    assert planner.choose(view(task(0), task(1, "b"))) == (Choice(0, "small", 1), Choice(1, "small", 1))


def test_what_is_likely_enough_is_not_bought_a_last_per_cent() -> None:
    profile = two(mode(1, 1, success=0.95), mode(1, 9, success=0.95))
    asked = view(task(0, tries_left=1), seconds=10)

    assert PortfolioPlanner(profile).choose(asked) == (Choice(0, "small", 2),)
    assert PortfolioPlanner(profile, enough=0.85).choose(asked) == (Choice(0, "small", 1),)
    assert PortfolioPlanner(profile, enough=1.0).choose(asked)[0].samples > 2


def test_a_goal_out_of_reach_is_given_up_and_money_is_saved() -> None:
    planner = PortfolioPlanner(two(mode(10, 3, success=0.5), mode(8, 4, success=0.9)))
    decision = planner.decide(view(task(0), task(1, sources=(0,)), seconds=5))

    assert decision.is_given_up
    assert decision.choices == (Choice(0, "large", 1),), "4 / 0.9 a success is less than 3 / 0.5"


def test_no_plan_reserves_more_than_is_left() -> None:
    planner = PortfolioPlanner(two(mode(1, 10, success=0.3), mode(1, 40, success=0.9)))
    for budget in (10, 35, 79, 200):
        choices = planner.choose(view(*[task(n, tries_left=2) for n in range(4)], seconds=10, budget=budget))
        spent = sum(choice.samples * {"small": 10, "large": 40}[choice.mode] for choice in choices)

        assert (
            spent <= budget
            or planner.decide(view(*[task(n, tries_left=2) for n in range(4)], seconds=10, budget=budget)).is_given_up
        )


def test_what_has_flown_long_already_is_expected_to_take_longer_still() -> None:
    slow = ModeProfile(empirical([1 * SECOND] * 9 + [100 * SECOND]), Constant(1))
    planner = PortfolioPlanner(Profile({"a": {"small": slow}, "b": {"small": mode(5, 1)}}))
    flying = task(0, is_asked=False, flights=(("small", 0),), modes=("small",))
    begun = view(flying, task(1, "b"), task(2, "b", sources=(0, 1)), seconds=50)
    late = msgspec.structs.replace(begun, at=2 * SECOND)

    assert planner.decide(begun).found.probability == pytest.approx(0.9, abs=0.04)
    assert planner.decide(late).found.probability == 0.0, "only the attempt of 100 s is left to believe in"


def test_a_single_sample_is_all_that_an_irreversible_task_gets() -> None:
    planner = PortfolioPlanner(two(mode(1, 1, success=0.3), mode(1, 2, success=0.3)))
    (choice,) = planner.choose(view(task(0, tries_left=1, is_alone=True), seconds=10))

    assert choice.samples == 1


def test_few_slots_make_samples_less_attractive() -> None:
    planner = PortfolioPlanner(two(mode(4, 1, success=0.5), mode(4, 1, success=0.5)))
    wide = tuple(task(n) for n in range(8))
    plenty = planner.decide(view(*wide, seconds=20)).found.probability
    scarce = planner.decide(view(*wide, seconds=20, running=2)).found.probability

    assert scarce < plenty


def test_seen_attempts_are_drawn_as_a_whole() -> None:
    rows = (Seen(1 * SECOND, 1, True), Seen(9 * SECOND, 9, False))
    profile = Profile({"a": {"small": ModeProfile(seen=rows), "large": ModeProfile(seen=rows[:1])}})
    decision = PortfolioPlanner(profile).decide(view(task(0, tries_left=1), seconds=10, budget=2))

    assert decision.choices == (Choice(0, "large", 1),)
    assert (decision.found and decision.found.probability) == 1.0


def test_a_rest_too_large_to_plan_is_done_in_the_modes_that_cost_least_a_success() -> None:
    planner = PortfolioPlanner(two(mode(10, 3, success=0.5), mode(8, 4, success=0.9)))
    huge = view(task(0), *[task(n, sources=(0,)) for n in range(1, 10_001)], seconds=30)
    decision = planner.decide(huge)

    assert decision.found is None
    assert decision.choices == (Choice(0, "large", 1),)


@pytest.mark.slow
def test_equal_views_give_equal_choices_and_another_seed_may_not() -> None:
    chance = random.Random(3)
    profile = trade_offs(chance, 8, MODES)
    needs = random_needs(chance, 8)
    tasks = tuple(task(n, f"part{n}", needed) for n, needed in enumerate(needs))
    asked = view(*tasks, seconds=60, budget=60_000_000)
    first, second = PortfolioPlanner(profile), PortfolioPlanner(profile)
    for other in range(5):
        first.choose(msgspec.structs.replace(asked, seed=other))

    assert first.decide(asked) == second.decide(asked)
    assert first.decide(asked).found != first.decide(msgspec.structs.replace(asked, seed=2)).found


def test_sources_with_higher_numbers_are_planned_before_what_they_feed() -> None:
    planner = PortfolioPlanner(two(mode(10, 1), mode(4, 5)))

    assert planner.choose(view(task(0, sources=(1,)), task(1), seconds=9)) == (Choice(1, "large", 1),)


def test_the_error_bound_is_hoeffdings_for_every_joint_plan_at_once() -> None:
    asked = view(task(0), task(1), seconds=60.0)
    found = PortfolioPlanner(two(mode(10, 1, 0.7), mode(4, 5, 0.7)), samples=(1, 2)).decide(asked).found
    plans = 4 * 4 * 4  # two actions, each a mode and a number of samples, and the continuation

    assert found.error == pytest.approx(sqrt(log(2 * plans / 0.05) / (2 * found.worlds)))


@pytest.mark.slow
def test_the_probability_it_states_is_how_often_such_runs_end_well() -> None:
    chance = random.Random(21)
    setting = Setting(
        random_needs(chance, 5),
        trade_offs(chance, 5, MODES),
        retries=40,
        deadline_ns=55 * SECOND,
        budget=30_000_000,
    )
    stated: list[float] = []

    class Noting(PortfolioPlanner):
        def choose(self, view: PlanView) -> tuple[Choice, ...]:
            decision = self.decide(view)
            if not view.at:
                stated.append(decision.found.probability)
            return decision.choices

    planner, world = Noting(setting.profile), World(setting)
    done = [world.run(seed, planner).succeeded for seed in range(50)]
    expected = sum(stated) / len(stated)
    noise = sqrt(expected * (1 - expected) / len(done))

    assert 0.1 < expected < 0.95
    assert sum(done) / len(done) >= expected - 3 * noise, "replanning does at least as well as the plan it begins with"


def test_it_wants_only_tasks_with_a_choice_that_the_profile_knows() -> None:
    planner = PortfolioPlanner(two(mode(1, 1), mode(1, 1), "known"))
    several, single = Options(models=MODES), Options(models=("small",))
    alone = msgspec.structs.replace(single, effect=Effect.IRREVERSIBLE)

    assert planner.wants(Declaration("known", options=several))
    assert planner.wants(Declaration("known", options=single)), "there are samples to choose"
    assert not planner.wants(Declaration("known", options=alone))
    assert not planner.wants(Declaration("unknown", options=several))


@pytest.mark.parametrize("samples", [(), (0, 1), (1, 1), (1, 65)])
def test_samples_that_make_no_sense_are_refused(samples: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="samples="):
        PortfolioPlanner(two(mode(1, 1), mode(1, 1)), samples=samples)


def test_a_profile_that_knows_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="makespan profile"):
        PortfolioPlanner(Profile())


@pytest.mark.slow
def test_a_run_with_a_planner_spends_what_the_budget_allows_and_no_more() -> None:
    chance = random.Random(8)
    setting = Setting(random_needs(chance, 8), trade_offs(chance, 8, MODES), retries=40)
    planner = PortfolioPlanner(setting.profile)
    for budget in (10_000_000, 30_000_000, 90_000_000):
        limited = World(replace(setting, budget=budget, deadline_ns=120 * SECOND))
        assert all(limited.run(seed, planner).cost <= budget for seed in range(5))


@pytest.mark.prove
def test_no_cell_is_worse_than_its_best_static_policy_and_more_of_a_limit_never_hurts() -> None:
    from bench.scheduling import mcpp

    seeds = range(prove_count(80))
    cells = [
        mcpp.Cell(graph, deadline, budget) for graph in (1, 2) for deadline in mcpp.DEADLINES for budget in mcpp.BUDGETS
    ]
    found = {cell: mcpp.play(cell, seeds) for cell in cells}
    compared = [found[cell] for cell in cells if mcpp.is_compared(cell)]

    assert len(compared) >= 4
    assert not mcpp.significantly_below(compared, -mcpp.LOSS)
    gains = [sum(each.gains) / len(seeds) for each in compared]
    assert sum(gains) / len(gains) >= mcpp.GAIN
    assert mcpp.drops(found)[1] == 0


def test_what_costs_nothing_and_never_fails_is_done_once() -> None:
    profile = Profile({"part": {"": ModeProfile(LogNormal(SECOND, 0.5))}})
    tasks = tuple(PlanTask(number, "part", ("",), (), True, ()) for number in range(3))
    view = PlanView(0, 1, 60 * SECOND, None, tasks)
    assert [choice.samples for choice in PortfolioPlanner(profile).choose(view)] == [1, 1, 1]

"""The arrays of the portfolio planner live the same lives as the machine on its virtual clock: to the nanosecond."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from makespan.policies.portfolio.attempts import NEVER, Draws, ends
from makespan.policies.portfolio.events import simulate
from makespan.policies.portfolio.longest import makespans, tails
from tests.policies.portfolio_worlds import ATTEMPTS, SECOND, Everywhere, Setting, World, random_needs, random_profile
from tests.prove import prove_count

End = tuple[bool, int, int]


def random_setting(chance: random.Random) -> tuple[Setting, int, int]:
    """A graph with limits of all kinds, the place of a mode and a number of samples."""
    tasks = chance.randint(2, 14)
    profile = random_profile(chance, tasks)
    samples, place = chance.choice([1, 2, 4, 8]), chance.choice([0, 1])
    once = sum(profile.of(f"part{n}", ("small", "large")[place]).cost.most for n in range(tasks)) * samples
    return (
        Setting(
            random_needs(chance, tasks),
            profile,
            retries=chance.choice([0, 1, 3, ATTEMPTS // samples - 1]),
            running=chance.choice([256, 256, 1, 2, 3, 5, 8]),
            budget=chance.choice([None, None, int(once * chance.uniform(0.5, 3))]),
            deadline_ns=chance.choice([None, None, int(chance.uniform(10, 300) * SECOND)]),
            billed=chance.choice(["full", "elapsed"]),
        ),
        place,
        samples,
    )


def lived_by_the_machine(setting: Setting, seeds: list[int], place: int, samples: int) -> list[End]:
    world, planner = World(setting), Everywhere(place, samples)
    outcomes = [world.run(seed, planner) for seed in seeds]
    return [(each.succeeded, each.makespan_ns, each.cost) if each.succeeded else (False, 0, 0) for each in outcomes]


def lived_by_the_arrays(setting: Setting, seeds: list[int], place: int, samples: int) -> list[End]:
    world = World(setting)
    ended = simulate(world.draws(seeds, place), world.rests(seeds), world.rules(place, samples))
    rows = zip(ended.is_done.tolist(), ended.makespan.tolist(), ended.cost.tolist(), strict=True)
    return [row if row[0] else (False, 0, 0) for row in rows]


def compare(graphs: range) -> int:
    """How many of the lives were completed."""
    completed = 0
    for graph in graphs:
        setting, place, samples = random_setting(random.Random(graph))
        seeds = [3 * graph, 3 * graph + 1, 3 * graph + 2]
        expected = lived_by_the_machine(setting, seeds, place, samples)
        assert lived_by_the_arrays(setting, seeds, place, samples) == expected, f"graph {graph}"
        completed += sum(done for done, _, _ in expected)
    return completed


@pytest.mark.slow
def test_completion_makespan_and_cost_are_the_simulators_with_slots_budgets_deadlines_and_samples() -> None:
    assert 40 < compare(range(30)) < 90


@pytest.mark.prove
def test_a_thousand_random_static_graphs_end_as_in_the_simulator() -> None:
    assert compare(range(prove_count(1_000))) > 0


@pytest.mark.slow
def test_while_slots_are_plenty_the_longest_path_of_presampled_times_is_the_whole_truth() -> None:
    for graph in range(20):
        chance = random.Random(graph)
        tasks, samples = chance.randint(2, 14), chance.choice([1, 2, 4])
        retries = ATTEMPTS // samples - 1
        setting = Setting(random_needs(chance, tasks), random_profile(chance, tasks), retries=retries, priced=False)
        world, seeds = World(setting), [graph]
        outcome = world.run(graph, Everywhere(0, samples))
        ended = ends(world.draws(seeds, 0), samples)
        waits = np.cumsum(np.pad(world.rests(seeds), ((0, 0), (0, 0), (1, 0))), axis=2)
        waited = np.take_along_axis(waits, np.maximum(ended.tries - 1, 0)[:, :, None], axis=2)[:, :, 0]
        whole = makespans((ended.takes + waited).T, setting.needs)

        assert outcome.succeeded == bool((ended.tries > 0).all())
        if outcome.succeeded:
            assert outcome.makespan_ns == whole[0]
            assert outcome.cost == ended.cost.sum()


def test_what_follows_a_task_and_what_precedes_it_meet_in_the_longest_path() -> None:
    chance = random.Random(5)
    needs = random_needs(chance, 20)
    takes = np.random.default_rng(5).random((20, 7))
    behind, whole = tails(takes, needs), makespans(takes, needs)
    begins = [task for task, needed in enumerate(needs) if not needed]

    assert np.allclose((takes + behind)[begins].max(axis=0), whole)


def test_a_try_ends_with_its_first_success_or_its_last_failure() -> None:
    draws = Draws(
        np.array([[5, 3, 9, 4], [5, 3, 9, 4]]),
        np.array([[50, 30, 90, 40], [50, 30, 90, 40]]),
        np.array([[False, False, True, True], [False, False, False, False]]),
    )
    full, elapsed = ends(draws, 2), ends(draws, 2, billed="elapsed")

    assert full.takes.tolist() == [5 + 4, NEVER]
    assert full.tries.tolist() == [2, 0]
    assert full.cost.tolist() == [210, 210]
    assert elapsed.cost.tolist() == [50 + 30 + 40 + 40, 210]
    assert full.work.tolist() == [5 + 3 + 4 + 4, 5 + 3 + 9 + 4]


@pytest.mark.slow
def test_more_money_and_more_time_never_hurt_a_static_policy_that_reserves_what_it_pays() -> None:
    setting = replace(random_setting(random.Random(11))[0], budget=None, deadline_ns=None, retries=11, running=256)
    free = lived_by_the_arrays(setting, list(range(200)), 0, 4)
    costs = sorted(cost for _, _, cost in free)
    done = [
        sum(end for end, _, _ in lived_by_the_arrays(replace(setting, budget=budget), list(range(200)), 0, 4))
        for budget in (costs[40], costs[100], costs[180])
    ]

    assert done == sorted(done)
    assert done[0] < done[-1]

"""More schedules are never worse, the same seed finds the same, and the count is honest."""

import pytest

from bench.scheduling.random_problems import Shape, random_problem
from makespan.errors import UsageError
from makespan.policies.prepared import Prepared, lower_bound
from makespan.policies.priorities import latest_finish
from makespan.policies.problem import PlanTask, Problem, Renewable, Schedule, TaskMode, makespan
from makespan.policies.sampling import best_within
from makespan.policies.schedule_generation import serial
from makespan.policies.verify import violations

HARD = Shape(tasks=20, strength=0.1, modes=2, budget=0.3, downtime=0.4, exclusive=3)


def test_sampling_finds_feasible_schedules_within_the_count() -> None:
    for seed in range(15):
        problem = random_problem(seed, HARD)
        found = best_within(Prepared(problem), 40, seed)

        assert found.schedule is not None
        assert violations(problem, found.schedule) == []
        assert found.makespan == makespan(problem, found.schedule)
        assert found.generated <= 40


def test_more_schedules_are_never_worse_and_shorter_than_one_on_average() -> None:
    one, few, many = 0, 0, 0
    for seed in range(10):
        prepared = Prepared(random_problem(seed, HARD))
        first = serial(prepared, latest_finish(prepared))
        lengths = [best_within(prepared, count).makespan or 0 for count in (20, 80)]
        assert lengths[1] <= lengths[0]
        assert isinstance(first, Schedule)
        one, few, many = one + makespan(prepared.problem, first), few + lengths[0], many + lengths[1]

    assert many < few < one


def test_the_same_seed_finds_the_same_schedule_and_another_may_not() -> None:
    prepared = Prepared(random_problem(3, HARD))

    assert best_within(prepared, 60, 7) == best_within(prepared, 60, 7)
    assert len({best_within(prepared, 60, seed).schedule for seed in range(5)}) > 1


def test_the_search_ends_when_the_bound_is_met() -> None:
    problem = Problem(tuple(PlanTask(f"t{at}", (TaskMode(2, (1,)),)) for at in range(6)), (Renewable("slots", 3),))

    found = best_within(Prepared(problem))

    assert (found.makespan, found.generated) == (lower_bound(problem), 1)


def test_nothing_is_found_where_nothing_fits() -> None:
    found = best_within(Prepared(Problem((PlanTask("big", (TaskMode(1, (2,)),)),), (Renewable("slots", 1),))))

    assert (found.schedule, found.makespan) == (None, None)


def test_a_search_of_no_schedules_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one schedule, not 0"):
        best_within(Prepared(Problem(())), 0)

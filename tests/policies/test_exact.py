"""The solver against brute force, the heuristics against the solver, and what it says when it cannot prove."""

import sys
from itertools import permutations, product

import msgspec
import pytest

from bench.scheduling.random_problems import Shape, random_problem
from makespan.errors import UsageError
from makespan.policies.exact import Solved, Status, solve, time_unit
from makespan.policies.prepared import Prepared, lower_bound
from makespan.policies.problem import Downtime, Edge, PlanTask, Problem, Renewable, Schedule, TaskMode, makespan
from makespan.policies.sampling import best_within
from makespan.policies.verify import violations
from tests.policies.mutants import tight_problem
from tests.policies.slots import shortest_makespan

OWN = (
    Shape(tasks=13),
    Shape(tasks=16, strength=0.1),
    Shape(tasks=12, lags=0.3, downtime=0.6, exclusive=4),
    Shape(tasks=12, modes=2, budget=0.3, downtime=0.3),
)
TINY = Shape(tasks=5, renewables=2, longest=4, lags=0.4, downtime=0.6, windows=0.4, exclusive=2)


@pytest.mark.slow
def test_on_40_problems_of_ours_the_solver_proves_and_sampling_comes_close() -> None:
    over = []
    for seed in range(40):
        problem = random_problem(seed, OWN[seed % len(OWN)])
        found = best_within(Prepared(problem), 100)
        solved = solve(problem, warm_start=found.schedule, time_limit_s=30)
        assert solved.status is Status.PROVED
        assert solved.schedule is not None
        assert found.schedule is not None
        assert solved.makespan is not None
        assert found.makespan is not None
        assert violations(problem, solved.schedule) == violations(problem, found.schedule) == []
        assert solved.makespan == makespan(problem, solved.schedule) == solved.lower_bound
        assert solved.makespan >= (lower_bound(problem) or 0)
        over.append(found.makespan / solved.makespan - 1)

    assert min(over) >= 0
    assert sum(over) / len(over) < 0.02


@pytest.mark.parametrize("seed", range(10))
def test_the_solver_alone_equals_brute_force_over_orders_and_modes(seed: int) -> None:
    few = msgspec.structs.replace(TINY, tasks=4, modes=2, budget=0.4)
    problems = [random_problem(seed, TINY), random_problem(seed, few), tight_problem(seed, TINY)[0]]
    for problem in [*problems, tight_problem(seed, few)[0]]:
        orders = list(permutations(range(len(problem.tasks))))
        modes = list(product(*(range(len(task.modes)) for task in problem.tasks)))

        solved = solve(problem, alone=True)

        assert solved.status is Status.PROVED
        assert solved.makespan == shortest_makespan(problem, orders, modes)


def test_the_solver_keeps_every_kind_of_constraint() -> None:
    for seed in range(10):
        problem, known = tight_problem(seed)
        solved = solve(problem, alone=True)

        assert solved.schedule is not None
        assert violations(problem, solved.schedule) == []
        assert makespan(problem, solved.schedule) <= makespan(problem, known)


SLOT = (Renewable("slots", 1),)


def task(name: str, duration: int, due: int | None = None) -> PlanTask:
    """A task that needs the slot."""
    return PlanTask(name, (TaskMode(duration, (1,)),), due=due)


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("first_only", [True, False])
def test_that_there_is_no_schedule_is_proved(alone: bool, first_only: bool) -> None:
    problem = Problem((task("a", 3, due=4), task("b", 3, due=5)), SLOT)

    solved = solve(problem, alone=alone, first_only=first_only)

    assert (solved.status, solved.schedule, solved.gap) == (Status.INFEASIBLE, None, None)


def test_a_budget_that_nothing_meets_is_infeasible() -> None:
    problem = random_problem(1, Shape(tasks=6, modes=2, budget=-0.2))

    assert solve(problem).status is Status.INFEASIBLE


def test_a_schedule_that_meets_the_bound_is_proved_without_the_solver() -> None:
    solved = solve(Problem((task("a", 3), task("b", 4)), SLOT))

    assert (solved.status, solved.makespan, solved.gap, solved.solver_s) == (Status.PROVED, 7, 0.0, 0.0)


def test_any_schedule_will_do_where_only_the_first_is_wanted() -> None:
    problem = random_problem(5, OWN[1])
    solved = solve(problem, alone=True, first_only=True)

    assert solved.status is Status.FEASIBLE
    assert solved.schedule is not None
    assert violations(problem, solved.schedule) == []


def test_without_time_for_a_proof_the_best_known_comes_with_its_gap() -> None:
    problem = random_problem(4, Shape(tasks=90, renewables=4, strength=0.05))
    solved = solve(problem, time_limit_s=0.001)

    assert solved.status is Status.FEASIBLE
    assert solved.schedule is not None
    assert violations(problem, solved.schedule) == []
    assert solved.gap is not None
    assert 0 < solved.gap < 0.5


def test_nanoseconds_are_solved_in_the_coarsest_step_that_divides_them() -> None:
    second = 1_000_000_000
    problem = Problem(
        (task("a", 3 * second), task("b", 4 * second), task("c", 2 * second, due=2 * second + 7)),
        (Renewable("slots", 1, (Downtime(4 * second, 6 * second),)),),
        edges=(Edge(0, 1, second),),
        horizon=20 * second + 123,
    )

    solved = solve(problem, alone=True)

    assert time_unit(problem) == second
    assert solved.status is Status.PROVED
    assert solved.schedule == Schedule((6 * second, 10 * second, 0), (0, 0, 0))


def test_times_too_fine_to_count_are_refused() -> None:
    problem = Problem((task("a", 1), task("b", 1 << 60)), SLOT)

    with pytest.raises(UsageError, match="too fine for the solver; round"):
        solve(problem, alone=True)


def test_a_warm_start_that_breaks_a_constraint_is_refused_by_name() -> None:
    problem = Problem((task("a", 3), task("b", 4)), SLOT)

    with pytest.raises(UsageError, match="breaks 1 constraints, first capacity of 'slots' at 1"):
        solve(problem, warm_start=Schedule((0, 1), (0, 0)))


def test_limits_that_cannot_work_are_refused() -> None:
    with pytest.raises(UsageError, match="time_limit_s > 0 and workers >= 1, not 0 and 1"):
        solve(Problem(()), time_limit_s=0)


def test_nothing_to_do_is_done_at_0() -> None:
    assert solve(Problem(()), alone=True) == Solved(Status.PROVED, Schedule((), ()), 0, 0, 0.0)


def test_without_or_tools_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ortools.sat.python", None)

    with pytest.raises(UsageError, match=r"pip install 'makespan\[solve\]'"):
        solve(Problem((task("a", 3),), SLOT))

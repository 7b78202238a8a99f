"""Problems with a hidden solution: rules alone seldom find one, rules and repair nearly always."""

import msgspec
import pytest

from bench.scheduling.constraint_ramp import LEVELS, Kinds, ramp_problem
from bench.scheduling.random_problems import Shape, random_problem
from makespan.errors import UsageError
from makespan.policies.exact import solve
from makespan.policies.prepared import Prepared
from makespan.policies.problem import PlanTask, Problem, Renewable, TaskMode
from makespan.policies.repair import first_feasible
from makespan.policies.verify import violations
from tests.prove import prove_count


@pytest.mark.parametrize("kinds", [Kinds.NONE, Kinds.DOWNTIME, Kinds.WINDOWS, Kinds.EXCLUSIVE, Kinds.ALL])
def test_the_witness_solves_its_problem_which_has_what_was_asked_for(kinds: Kinds) -> None:
    for seed in range(4):
        problem, witness = msgspec.structs.astuple(ramp_problem(seed, 30, kinds, tasks=40))

        assert violations(problem, witness) == []
        assert len(problem.edges) == 30
        assert any(renewable.downtime for renewable in problem.renewables) == bool(kinds & Kinds.DOWNTIME)
        assert any(task.due is not None for task in problem.tasks) == bool(kinds & Kinds.WINDOWS)
        assert bool(problem.exclusive) == bool(kinds & Kinds.EXCLUSIVE)


def test_no_edge_of_a_level_follows_from_the_others() -> None:
    edges = {(edge.before, edge.after) for edge in ramp_problem(1, LEVELS[-1]).problem.edges}

    def reaches(start: int, goal: int, without: tuple[int, int]) -> bool:
        return any(
            after == goal or reaches(after, goal, without) for before, after in edges - {without} if before == start
        )

    assert len(edges) == LEVELS[-1]
    assert not any(reaches(before, after, (before, after)) for before, after in edges)


@pytest.mark.slow
def test_repair_solves_what_rules_do_not() -> None:
    solved: dict[str, int] = {}
    for seed in range(12):
        problem = ramp_problem(seed, LEVELS[-1]).problem
        found = first_feasible(Prepared(problem))
        solved[found.by] = solved.get(found.by, 0) + 1
        if found.schedule is not None:
            assert violations(problem, found.schedule) == []

    assert solved["repair"] >= 4
    assert solved["repair"] + solved["rule"] >= 11


@pytest.mark.prove
@pytest.mark.parametrize("level", LEVELS)
def test_nineteen_of_twenty_are_solved_at_every_level_and_all_by_the_solver(level: int) -> None:
    count = max(prove_count(80), 20)
    repaired = proved = 0
    for seed in range(count):
        problem = ramp_problem(seed, level).problem
        schedules = first_feasible(Prepared(problem)).schedule, solve(problem, alone=True, first_only=True).schedule
        assert not any(violations(problem, schedule) for schedule in schedules if schedule is not None)
        repaired += schedules[0] is not None
        proved += schedules[1] is not None

    print(f"level {level}: rules and repair {repaired}, CP-SAT {proved} of {count}")
    assert repaired >= 0.95 * count
    assert proved == count


def test_repair_keeps_to_the_budget_and_the_modes() -> None:
    shape = Shape(tasks=18, modes=3, budget=0.1, windows=0.6, exclusive=4, downtime=0.5, lags=0.3)
    for seed in range(10):
        problem = random_problem(seed, shape)
        found = first_feasible(Prepared(problem))

        assert found.schedule is not None
        assert violations(problem, found.schedule) == []


def test_repair_says_when_it_is_plain_that_there_is_nothing() -> None:
    late = PlanTask("late", (TaskMode(3, (1,)),), release=5, due=7)

    found = first_feasible(Prepared(Problem((late,), (Renewable("slots", 1),))))

    assert (found.schedule, found.by) == (None, "bounds")


def test_repair_gives_up_on_what_cannot_be_solved() -> None:
    tasks = tuple(PlanTask(f"t{at}", (TaskMode(2, (1,)),), due=5) for at in range(3))

    found = first_feasible(Prepared(Problem(tasks, (Renewable("slots", 1),))), rounds=2)

    assert (found.schedule, found.by, found.steps) == (None, "", 240)


def test_a_level_that_does_not_fit_the_tasks_is_refused() -> None:
    with pytest.raises(UsageError, match=r"5 tasks have room for .* not 60; use more tasks"):
        ramp_problem(0, 60, tasks=5)

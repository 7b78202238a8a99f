"""Both generations give feasible schedules, whatever the rule; serial ones are active, parallel ones never idle."""

import msgspec
import pytest

from bench.scheduling.random_problems import Shape, random_problem
from makespan.draws import Stream
from makespan.policies.improvement import early, justified, late
from makespan.policies.modes import fitting_modes
from makespan.policies.prepared import Prepared, lower_bound
from makespan.policies.priorities import RULES
from makespan.policies.problem import (
    Consumable,
    Downtime,
    Edge,
    PlanTask,
    Problem,
    Renewable,
    Schedule,
    TaskMode,
    makespan,
)
from makespan.policies.schedule_generation import Stuck, parallel, serial
from makespan.policies.verify import violations

SHAPES = (
    Shape(),
    Shape(lags=0.4, downtime=0.6),
    Shape(windows=0.5, exclusive=5, downtime=0.3),
    Shape(modes=3, budget=0.2, lags=0.2),
    Shape(tasks=25, modes=2, budget=0.4, downtime=0.5, exclusive=6, strength=0.0),
)


def problems(seeds: int) -> list[Problem]:
    """Problems of every shape."""
    return [random_problem(seed, shape) for shape in SHAPES for seed in range(seeds)]


def schedules_of(prepared: Prepared, rule: str) -> list[Schedule]:
    """What both generations make of a rule, where they do not get stuck."""
    ranks = RULES[rule](prepared)
    made = [serial(prepared, ranks)]
    modes = fitting_modes(prepared)
    if modes is not None:
        made += [serial(prepared, ranks, modes), parallel(prepared, ranks, modes)]
    return [schedule for schedule in made if isinstance(schedule, Schedule)]


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_gives_feasible_schedules_no_shorter_than_the_bound(rule: str) -> None:
    made = 0
    for problem in problems(6):
        bound = lower_bound(problem)
        for schedule in schedules_of(Prepared(problem), rule):
            made += 1
            assert violations(problem, schedule) == []
            assert bound is not None
            assert makespan(problem, schedule) >= bound

    assert made > 60


def test_justification_never_lengthens_and_breaks_nothing() -> None:
    shorter = 0
    for problem in problems(12):
        prepared = Prepared(problem)
        for schedule in schedules_of(prepared, "as-given"):
            pushed, better = late(prepared, schedule), justified(prepared, schedule)
            assert violations(problem, pushed) == violations(problem, better) == []
            assert all(after >= before for before, after in zip(schedule.starts, pushed.starts, strict=True))
            assert makespan(problem, better) <= makespan(problem, pushed) <= makespan(problem, schedule)
            shorter += makespan(problem, better) < makespan(problem, schedule)

    assert shorter > 10


def test_a_serial_schedule_is_active_no_task_can_start_earlier_alone() -> None:
    for problem in problems(2)[:8]:
        prepared = Prepared(problem)
        schedule = serial(prepared, RULES["latest-finish"](prepared))
        if isinstance(schedule, Stuck):
            continue
        for task, start in enumerate(schedule.starts):
            for sooner in range(start):
                moved = (*schedule.starts[:task], sooner, *schedule.starts[task + 1 :])
                assert violations(problem, Schedule(moved, schedule.modes))
        assert early(prepared, schedule) == schedule


def test_random_orders_are_feasible_too() -> None:
    for seed in range(40):
        problem = random_problem(seed, SHAPES[4])
        draws = Stream(seed, "order")
        schedule = serial(Prepared(problem), [draws.unit() for _ in problem.tasks])

        assert isinstance(schedule, Schedule)
        assert violations(problem, schedule) == []


UNIT = Renewable("slots", 1)


def task(name: str, duration: int, demand: int = 1, release: int = 0, due: int | None = None) -> PlanTask:
    """A task with one mode on one renewable."""
    return PlanTask(name, (TaskMode(duration, (demand,)),), release, due)


def test_serial_waits_for_the_first_in_rank_and_parallel_does_not() -> None:
    problem = Problem((task("late", 2, release=3), task("long", 4)), (UNIT,))
    prepared = Prepared(problem)

    assert serial(prepared, [0, 1]) == Schedule((3, 5), (0, 0))
    assert parallel(prepared, [0, 1]) == Schedule((4, 0), (0, 0))


def test_no_task_runs_into_downtime_unless_it_needs_nothing_there() -> None:
    problem = Problem((task("on", 3), task("off", 3, demand=0)), (Renewable("slots", 1, (Downtime(2, 6),)),))

    assert serial(Prepared(problem), [0, 1]) == Schedule((6, 0), (0, 0))


def test_reduced_capacity_lets_small_tasks_through() -> None:
    slots = Renewable("slots", 2, (Downtime(0, 5, 1), Downtime(1, 3, 0)))
    problem = Problem((task("small", 1), task("small too", 2), task("large", 1, demand=2)), (slots,))

    assert serial(Prepared(problem), [0, 1, 2]) == Schedule((0, 3, 5), (0, 0, 0))


def test_a_task_that_cannot_end_when_it_is_due_is_named() -> None:
    problem = Problem((task("first", 4), task("second", 2, due=5)), (UNIT,))
    prepared = Prepared(problem)

    assert serial(prepared, [0, 1]) == parallel(prepared, [0, 1]) == Stuck(1)
    assert serial(prepared, RULES["latest-finish"](prepared)) == Schedule((2, 0), (0, 0))


def test_tasks_without_duration_go_through_at_once() -> None:
    problem = Problem((task("start", 0), task("work", 2), task("end", 0)), (UNIT,), edges=(Edge(0, 1), Edge(1, 2)))
    prepared = Prepared(problem)

    assert serial(prepared, [2, 1, 0]) == parallel(prepared, [2, 1, 0]) == Schedule((0, 0, 2), (0, 0, 0))


def test_the_fast_mode_is_taken_only_while_the_money_lasts() -> None:
    modes = (TaskMode(1, (), (5,)), TaskMode(4, (), (1,)))
    problem = Problem((PlanTask("a", modes), PlanTask("b", modes)), consumables=(Consumable("money", 6),))
    prepared = Prepared(problem)

    assert serial(prepared, [0, 1]) == Schedule((0, 0), (0, 1))
    assert fitting_modes(prepared) in {(0, 1), (1, 0)}
    assert serial(Prepared(msgspec.structs.replace(problem, consumables=(Consumable("money", 1),))), [0, 1]) == Stuck(0)


@pytest.mark.parametrize(
    ("problem", "bound"),
    [
        (Problem((task("a", 3), task("b", 4)), (UNIT,)), 7),
        (Problem((task("a", 3), task("b", 4)), (Renewable("slots", 2),)), 4),
        (Problem((task("a", 3), task("b", 4)), (Renewable("slots", 2),), edges=(Edge(0, 1, 2),)), 9),
        (Problem((task("a", 1), task("b", 1)), (Renewable("slots", 1, (Downtime(1, 9),)),)), 10),
        (Problem((task("a", 1, release=6), task("b", 1, release=5)), (UNIT,)), 7),
        (Problem((task("a", 1, demand=2),), (UNIT,)), None),
        (Problem(()), 0),
    ],
)
def test_the_bound_is_the_longer_of_path_and_work(problem: Problem, bound: int | None) -> None:
    assert lower_bound(problem) == bound

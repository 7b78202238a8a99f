"""The referee agrees with the slot-by-slot oracle on schedules around the border of every constraint."""

from collections import Counter

import pytest

from makespan.draws import Stream
from makespan.policies.problem import Consumable, Downtime, Edge, PlanTask, Problem, Renewable, Schedule, TaskMode
from makespan.policies.verify import Broken, Violation, violations
from tests.policies.mutants import mutant, tight_problem
from tests.policies.slots import broken_kinds
from tests.prove import prove_count

MUTANTS_A_PROBLEM = 20


def disagreements(mutants: int) -> tuple[list[Schedule], Counter[str]]:
    """Schedules on which referee and oracle differ, and how often the oracle saw what."""
    seen: Counter[str] = Counter()
    differ = []
    for seed in range(mutants // MUTANTS_A_PROBLEM):
        problem, schedule = tight_problem(seed)
        draws = Stream(seed, "mutants")
        for _ in range(MUTANTS_A_PROBLEM):
            changed = mutant(draws, problem, schedule)
            expected = broken_kinds(problem, changed)
            seen.update(expected or {"nothing"})
            if {found.kind.value for found in violations(problem, changed)} != expected:
                differ.append(changed)
    return differ, seen


def test_the_referee_and_the_slots_agree_on_500_mutants() -> None:
    differ, seen = disagreements(500)

    assert differ == []
    assert seen["nothing"] > 50


@pytest.mark.prove
def test_no_false_accept_and_no_false_reject_on_10000_mutants_of_every_kind() -> None:
    differ, seen = disagreements(max(prove_count(10_000), 1_000))

    assert differ == []
    assert set(seen) == {*(kind.value for kind in Broken), "nothing"}
    print(f"mutants, by what is broken: {dict(seen)}")


BUSY = TaskMode(4, (2,), (5,))
PAIR = Problem(
    tasks=(PlanTask("a", (BUSY,), release=1), PlanTask("b", (BUSY,), due=9)),
    renewables=(Renewable("slots", 3, (Downtime(9, 12, 1),)),),
    consumables=(Consumable("money", 10),),
    horizon=20,
)


@pytest.mark.parametrize(
    ("starts", "expected"),
    [
        ((1, 5), []),
        ((0, 5), [Violation(Broken.RELEASE, (0,), 1, 0)]),
        ((1, 6), [Violation(Broken.DUE, (1,), 1, 9), Violation(Broken.CAPACITY, (1,), 1, 9, "slots")]),
        ((1, 3), [Violation(Broken.CAPACITY, (0, 1), 1, 3, "slots")]),
        ((17, 5), [Violation(Broken.HORIZON, (0,), 1, 20)]),
    ],
)
def test_a_violation_names_the_tasks_the_resource_and_the_moment(
    starts: tuple[int, int], expected: list[Violation]
) -> None:
    found = violations(PAIR, Schedule(starts, (0, 0)))

    assert found == expected


def test_a_gap_shorter_than_the_lag_breaks_the_edge_by_what_is_missing() -> None:
    problem = Problem(
        (PlanTask("a", (BUSY,)), PlanTask("b", (BUSY,))), (Renewable("s", 9),), (Consumable("m", 9),), (Edge(0, 1, 3),)
    )

    found = violations(problem, Schedule((0, 5), (0, 0)))

    assert [str(violation) for violation in found] == [
        "precedence at 5: tasks 0, 1, by 2",
        "consumable of 'm': tasks 0, 1, by 1",
    ]


def test_a_schedule_of_the_wrong_size_is_told_what_is_missing() -> None:
    found = violations(PAIR, Schedule((1,), (0,)))

    assert found == [Violation(Broken.SHAPE, (1,), 1)]


def test_a_task_without_duration_overlaps_nothing() -> None:
    instant = PlanTask("now", (TaskMode(0, (3,)),))
    problem = Problem(
        (instant, PlanTask("b", (BUSY,))), (Renewable("slots", 3),), (Consumable("m", 5),), exclusive=((0, 1),)
    )

    assert violations(problem, Schedule((2, 0), (0, 0))) == []

"""The best way through a union of workflows is the one that trying all of them finds."""

from __future__ import annotations

from random import Random

import pytest

import makespan as ms
from makespan.errors import GraphError, UsageError
from makespan.passes.alternatives import (
    Alternatives,
    Limits,
    Objective,
    Variant,
    best,
    by_person,
    figures,
    of_graph,
    united,
)
from makespan.passes.tree import Figures
from tests.passes.unions import cheapest_of_each, random_union, tried
from tests.prove import prove_count

PROVED, QUICK = 500, 40
SECOND, USD = 1_000_000_000, 1_000_000_000
PRICED = Objective(hour_usd=0.5, failure_usd=2.0)


def assert_additive_optimum(seed: int) -> None:
    problem = random_union(Random(seed))

    found = best(problem, PRICED)

    assert found.is_optimal
    assert found.price == min(each[0] for each in tried(problem, PRICED)), f"seed {seed}"


def assert_deadline_optimum(seed: int) -> bool:
    """Whether the cheapest variant of each task would have done as well."""
    rng = Random(seed)
    problem = random_union(rng)
    all_of_them = tried(problem, Objective())
    times = sorted(each[1] for each in all_of_them)
    deadline = times[round(rng.uniform(0.02, 0.5) * (len(times) - 1))]

    found = best(problem, limits=Limits(deadline_ns=deadline))

    least = min(each[0] for each in all_of_them if each[1] <= deadline)
    assert (found.price, found.is_optimal) == (least, True), f"seed {seed}"
    assert found.latency_ns <= deadline
    naive = cheapest_of_each(problem)
    return naive.latency_ns <= deadline and naive.cost == least


@pytest.mark.parametrize("seed", range(QUICK))
def test_the_least_sum_of_prices_is_found(seed: int) -> None:
    assert_additive_optimum(seed)


@pytest.mark.parametrize("seed", range(QUICK))
def test_the_least_cost_under_a_deadline_is_found(seed: int) -> None:
    assert_deadline_optimum(seed)


@pytest.mark.prove
def test_both_are_found_in_500_unions_and_the_cheapest_variants_miss_many() -> None:
    count = prove_count(PROVED)
    for seed in range(count):
        assert_additive_optimum(10_000 + seed)
    enough = sum(assert_deadline_optimum(10_000 + seed) for seed in range(count))

    assert enough < count / 2, f"the cheapest variants did in {enough} of {count}"


@pytest.mark.parametrize("seed", range(QUICK))
def test_a_budget_and_a_least_success_are_kept(seed: int) -> None:
    rng = Random(seed)
    problem = random_union(rng, tasks=6)
    all_of_them = tried(problem, PRICED)
    some = rng.choice(all_of_them)
    limits = Limits(budget=some[2], min_success=some[3], deadline_ns=some[1])

    found = best(problem, PRICED, limits)

    fitting = [each for each in all_of_them if each[1] <= some[1] and each[2] <= some[2] and each[3] >= some[3]]
    assert found.price == min(each[0] for each in fitting)


CODING = Alternatives(
    {
        "extract": (Variant("llm", 4 * SECOND, USD // 100, 0.97),),
        "guidelines": (Variant("search", 2 * SECOND, USD // 200),),
        "code": (
            Variant("rules", SECOND, 0, 0.6, ("extract",)),
            Variant("llm", 6 * SECOND, USD // 20, 0.9, ("extract", "guidelines")),
            by_person("coder", latency_ns=3600 * SECOND, work_ns=300 * SECOND, hour_usd=40, success=0.99),
        ),
    },
    ("code",),
)


def test_a_person_is_a_variant_with_a_wage() -> None:
    sure = best(CODING, limits=Limits(min_success=0.98))
    usual = best(CODING, limits=Limits(min_success=0.85))

    assert sure.variants == {"code": "coder"}
    assert sure.cost == round(40 / 12 * USD)
    assert usual.variants == {"code": "llm", "extract": "llm", "guidelines": "search"}
    assert usual.latency_ns == 10 * SECOND
    assert best(CODING, Objective(failure_usd=100)).variants == {"code": "coder"}


def test_candidate_workflows_are_mixed() -> None:
    one = Alternatives({"a": (Variant("x", 1, 5),), "b": (Variant("x", 1, 9, needs=("a",)),)}, ("b",))
    two = Alternatives({"a": (Variant("y", 1, 8),), "b": (Variant("y", 1, 2, needs=("a",)),)}, ("b",))

    assert best(united([one, two])).variants == {"a": "x", "b": "y"}
    with pytest.raises(GraphError, match="two variants called 'x'; rename one"):
        united([one, Alternatives({"a": (Variant("x", 2, 5),)}, ("a",))])


def test_what_nothing_can_keep_says_what_is_possible() -> None:
    with pytest.raises(
        UsageError, match=r"keeps 1 s \(the fastest takes 5 s\) and \$0.001 \(the cheapest costs \$0.01\)"
    ):
        best(CODING, limits=Limits(deadline_ns=SECOND, budget=USD // 1000))


@pytest.mark.parametrize(
    ("tasks", "goals", "message"),
    [
        ({"a": ()}, ("a",), "the task 'a' has no variant"),
        (
            {"a": (Variant("x", 1, 1, needs=("bb",)),), "b": (Variant("x", 1, 1),)},
            ("a",),
            "needs 'bb', which is no task",
        ),
        ({"a": (Variant("x", 1, 1),)}, ("c",), "the goal 'c' is no task"),
        ({"a": (Variant("x", 1, 1), Variant("x", 2, 2))}, ("a",), "two variants of the task 'a' have one name"),
        ({"a": (Variant("x", -1, 1),)}, ("a",), "time and cost are at least 0"),
        (
            {"a": (Variant("x", 1, 1, needs=("b",)),), "b": (Variant("x", 1, 1, needs=("a",)),)},
            ("a",),
            "these tasks may need each other: a -> b -> a",
        ),
    ],
)
def test_a_problem_that_makes_no_sense_is_refused(
    tasks: dict[str, tuple[Variant, ...]], goals: tuple[str, ...], message: str
) -> None:
    with pytest.raises(GraphError, match=message):
        best(Alternatives(tasks, goals))


def test_what_is_too_large_is_answered_with_its_gap() -> None:
    rng = Random(2)
    tasks: dict[str, tuple[Variant, ...]] = {}
    for place in range(40):
        needs = tuple(f"t{each}" for each in sorted({rng.randrange(place) for _ in range(3)}) if place) if place else ()
        tasks[f"t{place}"] = tuple(
            Variant(f"v{n}", rng.randint(1, 99) * SECOND, rng.randint(1, 99) * USD, needs=needs) for n in range(3)
        )
    problem = Alternatives(tasks, ("t39",))
    fastest = figures(problem, {task: min(vs, key=lambda v: v.latency_ns).name for task, vs in tasks.items()})
    limits = Limits(deadline_ns=round(fastest.latency_ns * 1.2))

    found = best(problem, limits=limits, most_labels=300)

    exact = best(problem, limits=limits)
    assert found.latency_ns <= round(fastest.latency_ns * 1.2)
    assert found.bound <= exact.price <= found.price
    assert 0 < found.gap < 1
    assert exact.is_optimal


def test_a_graph_with_its_modes_is_such_a_problem() -> None:
    @ms.task(key="one")
    def one(x: int) -> int:
        return x

    @ms.workflow
    def twice(x: int) -> int:
        return one(one(x))

    @ms.workflow
    def guarded(x: int) -> int | None:
        return ms.when(one(x), lambda: one(x))

    table = {"one": {"fast": Figures(1, 9, 1.0), "cheap": Figures(5, 1, 1.0)}}

    found = best(of_graph(ms.plan(twice(1)), table), limits=Limits(deadline_ns=6))

    assert found.cost == 10
    assert sorted(mode for mode in found.variants.values() if mode) == ["cheap", "fast"]
    with pytest.raises(GraphError, match=r"only sometimes, .* compile the workflow instead"):
        of_graph(ms.plan(guarded(1)), table)

"""What is compiled is exactly what trying every configuration finds."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from makespan.errors import GraphError
from makespan.passes.pareto import pareto, pruned, unbeaten
from makespan.passes.tree import (
    Choice,
    Figures,
    Leaf,
    Loop,
    Network,
    Parallel,
    Race,
    Series,
    Tree,
    evaluate,
    simplified,
)
from tests.passes.workflows import (
    UNIT,
    best_of,
    configurations,
    exact,
    random_network,
    random_table,
    random_tree,
    random_workflow,
)
from tests.prove import prove_count

PROVED, QUICK = 200, 25


def assert_equals_every_configuration_tried(seed: int, *, modes: int, tasks: int) -> None:
    tree, table = random_workflow(Random(seed), modes=modes, tasks=tasks)

    points = pareto(tree, table)

    expected = best_of({exact(tree, table, each) for each in configurations(tree, table)})
    assert {(point.latency_ns, point.cost, point.success) for point in points} == expected, f"seed {seed}: {tree}"
    assert len(points) == len(expected)
    for point in points:
        assert exact(tree, table, point.modes) == (point.latency_ns, point.cost, point.success)


@pytest.mark.parametrize("seed", range(QUICK))
def test_the_compiled_set_is_the_front_of_all_configurations(seed: int) -> None:
    assert_equals_every_configuration_tried(seed, modes=3, tasks=4)


@pytest.mark.prove
def test_the_compiled_set_is_the_front_of_all_configurations_of_six_tasks_with_five_modes() -> None:
    for seed in range(prove_count(PROVED)):
        assert_equals_every_configuration_tried(1000 + seed, modes=5, tasks=6)


def test_one_key_has_one_mode_wherever_it_stands() -> None:
    table = {"a": {"fast": Figures(1, 9, 1.0), "cheap": Figures(9, 1, 1.0)}, "b": {"": Figures(5, 0, 1.0)}}
    tree = Series((Leaf("a"), Parallel((Leaf("a"), Leaf("b")))))

    points = pareto(tree, table)

    assert [(point.latency_ns, point.cost) for point in points] == [(6, 18), (18, 2)]


def test_a_shape_that_is_neither_series_nor_parallel_is_exact() -> None:
    table = {name: {"slow": Figures(8, 1, 1.0), "fast": Figures(2, 4, 1.0)} for name in "abcd"}
    tree = Network(tuple(Leaf(name) for name in "abcd"), ((), (), (0,), (0, 1)))

    points = pareto(tree, table)

    tried = {
        (evaluate(tree, table, each).latency_ns, evaluate(tree, table, each).cost)
        for each in configurations(tree, table)
    }
    best = {one for one in tried if not any(o != one and o[0] <= one[0] and o[1] <= one[1] for o in tried)}
    assert {(point.latency_ns, point.cost) for point in points} == best


def test_equal_parts_are_counted_not_repeated() -> None:
    tree = Series((Leaf("a"), Series((Leaf("b"), Leaf("a"))), Parallel((Leaf("c"), Leaf("c")))))

    shorter = simplified(tree)

    assert isinstance(shorter, Series)
    assert shorter.parts[0] == Loop(Leaf("a"), 2)
    assert sum(1 for _ in configurations(shorter, {name: {"x": Figures(1, 1, 1.0)} for name in "abc"})) == 1


@pytest.mark.parametrize("seed", range(40))
def test_a_shorter_tree_means_the_same(seed: int) -> None:
    rng = Random(seed)
    tree, table = random_workflow(rng)
    modes = {key: rng.choice(list(table[key])) for key in table}

    assert evaluate(simplified(tree), table, modes) == evaluate(tree, table, modes)


@pytest.mark.parametrize("seed", range(40))
def test_the_rules_hold_in_floats_as_in_fractions(seed: int) -> None:
    rng = Random(seed)
    tree, table = random_workflow(rng)
    modes = {key: rng.choice(list(table[key])) for key in table}

    found = evaluate(tree, table, modes)

    assert (found.latency_ns, found.cost, found.success) == exact(tree, table, modes)


@pytest.mark.parametrize("make", [random_tree, random_network])
@pytest.mark.parametrize("epsilon", [0.01, 0.1, 0.5])
def test_a_coarse_set_is_within_epsilon_of_every_configuration(
    epsilon: float, make: Callable[[Random, list[str]], Tree]
) -> None:
    rng = Random(7)
    names = [f"t{index}" for index in range(6)]
    tree, table = make(rng, names), random_table(rng, names, 5)

    coarse, fine = pareto(tree, table, epsilon=epsilon), pareto(tree, table)

    assert len(coarse) <= len(fine)
    near = 1 + epsilon + 1e-9
    for point in fine:
        assert any(
            each.latency_ns <= near * point.latency_ns
            and each.cost <= near * point.cost
            and each.success * near >= point.success
            for each in coarse
        )


def test_a_front_that_grows_too_large_says_what_to_do() -> None:
    rng = Random(1)
    names = [f"t{index}" for index in range(8)]

    with pytest.raises(GraphError, match=r"at most 20 are kept; compile with `epsilon`"):
        pareto(Series(tuple(map(Leaf, names))), random_table(rng, names, 5), most_points=20)


def test_a_task_without_figures_is_named() -> None:
    with pytest.raises(GraphError, match="nothing is known of b: add figures"):
        pareto(Series((Leaf("a"), Leaf("b"))), {"a": {"": Figures(1, 1, 1.0)}})


def test_modes_that_are_worse_in_everything_are_not_looked_at() -> None:
    modes = {
        "good": Figures(1, 1, 0.9),
        "bad": Figures(2, 2, 0.8),
        "same": Figures(1, 1, 0.9),
        "right": Figures(2, 2, 0.9),
    }

    assert list(unbeaten(modes)) == ["good"]
    assert list(unbeaten({**modes, "right": Figures(2, 2, 0.9, quality=1.0)})) == ["good"]


def test_pruning_keeps_one_of_equals_and_nothing_beaten() -> None:
    rng = Random(3)
    entries = [(rng.randint(0, 9), rng.randint(0, 9), rng.randint(0, 4) / 4, (("k", str(n)),)) for n in range(400)]

    front = pruned(entries)

    beaten = {
        e[:3]
        for e in entries
        if any(o[:3] != e[:3] and o[0] <= e[0] and o[1] <= e[1] and o[2] >= e[2] for o in entries)
    }
    assert {entry[:3] for entry in front} == {entry[:3] for entry in entries} - beaten
    assert len({entry[:3] for entry in front}) == len(front)


def test_a_race_takes_the_mean_time_of_its_first_success() -> None:
    table = {"sure": {"": Figures(10 * UNIT, 4, 1.0)}, "quick": {"": Figures(2 * UNIT, 1, 0.5)}}

    found = evaluate(Race((Leaf("sure"), Leaf("quick"))), table, {"sure": "", "quick": ""})

    assert (found.latency_ns, found.cost, found.success) == (6 * UNIT, 5, 1.0)


def test_a_task_that_is_tried_again_takes_longer_and_succeeds_more_often() -> None:
    table = {"a": {"": Figures(100, 10, 0.5, quality=0.5)}}

    found = evaluate(Leaf("a", tries=2), table, {"a": ""})

    assert (found.latency_ns, found.cost, found.success) == (150, 15, 0.375)


def test_a_branch_that_never_runs_costs_nothing() -> None:
    table = {"a": {"": Figures(5, 5, 0.5)}, "b": {"": Figures(7, 7, 0.5)}}

    found = evaluate(Choice(((1.0, Leaf("a")), (0.0, Leaf("b")))), table, {"a": "", "b": ""})

    assert (found.latency_ns, found.cost, found.success) == (5, 5, 0.5)


@pytest.mark.parametrize("seed", range(QUICK))
def test_a_softened_maximum_is_compiled_as_exactly(seed: int) -> None:
    tree, table = random_workflow(Random(seed), modes=4, tasks=4)
    shorter = simplified(tree)

    points = pareto(tree, table, sharpness=3.0)

    tried = [evaluate(shorter, table, modes, sharpness=3.0) for modes in configurations(tree, table)]
    front = pruned([(each.latency_ns, each.cost, each.success, ()) for each in tried])
    assert [(point.latency_ns, point.cost, point.success) for point in points] == [entry[:3] for entry in front]


def test_a_softened_maximum_is_that_of_equals_and_of_one_alone() -> None:
    table = {"a": {"": Figures(1000, 0, 1.0)}, "b": {"": Figures(1000, 0, 1.0)}, "c": {"": Figures(1, 0, 1.0)}}
    modes = dict.fromkeys(table, "")

    equal = evaluate(Parallel((Leaf("a"), Leaf("b"))), table, modes, sharpness=2.0)
    uneven = evaluate(Parallel((Leaf("a"), Leaf("c"))), table, modes, sharpness=2.0)

    assert (equal.latency_ns, uneven.latency_ns) == (1414, 1000)
    assert evaluate(Parallel((Leaf("a"), Leaf("b"))), table, modes).latency_ns == 1000

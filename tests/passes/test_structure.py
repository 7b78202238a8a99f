"""A graph is read as the composition that it is; what cannot be read exactly is bounded, and said."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from random import Random
from typing import Any

import pytest

import makespan as ms
from makespan.authoring.trace import template_of
from makespan.errors import GraphError
from makespan.machine.facts import Limits
from makespan.machine.observations import StartAttempt
from makespan.passes.structure import Assumptions, Structure, structure
from makespan.passes.tree import (
    Choice,
    Fallback,
    Figures,
    Leaf,
    Loop,
    Network,
    Parallel,
    Race,
    Series,
    Spread,
    Wait,
    evaluate,
    keys,
    simplified,
)
from makespan.profiles.profile import Drawn
from makespan.sim.simulation import Simulation, header
from makespan.values import NONE_VALUE
from tests.machine.test_virtual_clock import longest_path

TRUE, FALSE = b"\xc3", b"\xc2"


@ms.task
def a(x: int) -> int:
    return x


@ms.task
def b(x: int) -> int:
    return x


@ms.task
def c(x: int, y: int = 0) -> int:
    return x


@ms.task(retries=2)
def d(x: int) -> int:
    return x


@ms.workflow
def diamond(x: int) -> int:
    start = a(x)
    return c(b(start), d(start))


@ms.workflow
def crossed(x: int) -> int:
    one, two = a(x), b(x)
    return c(c(one, two), d(two))


@ms.workflow
def either(x: int) -> int:
    asked = a(x)
    return d(ms.when(asked, lambda: c(b(asked), asked), lambda: d(asked)))


@ms.workflow
def only_then(x: int) -> int | None:
    asked = a(x)
    return ms.when(asked, lambda: c(b(asked), asked))


@ms.workflow
def same_condition_twice(x: int) -> int:
    asked = a(x)
    one = ms.when(asked, lambda: b(asked), lambda: d(asked))
    return ms.when(asked, lambda: c(one, asked), lambda: d(one))


@ms.workflow
def nested(x: int) -> int:
    asked = a(x)
    return ms.when(asked, lambda: ms.when(b(asked), lambda: c(asked), lambda: d(asked)), lambda: d(asked))


@ms.workflow
def in_turn(x: int) -> int:
    return a(ms.fallback(b, c, d)(a(x)))


@ms.workflow
def raced(x: int) -> int:
    start = a(x)
    return c(ms.first(b(start), d(d(start))))


@ms.workflow
def mapped(xs: list[int]) -> list[int]:
    return ms.map(lambda x: a(b(x)), xs, errors="drop", limit=4)


@ms.workflow
def half_closed(x: int) -> int:
    asked, other = a(x), b(x)
    return ms.when(asked, lambda: c(other, asked), lambda: d(asked))


@ms.workflow
def used_elsewhere(x: int) -> int:
    one, two = a(x), b(x)
    return c(ms.first(one, two), one)


@ms.workflow
def later(x: int) -> int:
    ms.sleep(5)
    return a(x)


@ms.workflow
async def live(x: int) -> int:
    return await a(x)


def read(workflow: Any, assumptions: Assumptions = Assumptions()) -> Structure:  # noqa: B008
    return structure(template_of(workflow).graph, assumptions)


A, B, C, D = Leaf("a"), Leaf("b"), Leaf("c"), Leaf("d", 3)


@pytest.mark.parametrize(
    ("workflow", "expected"),
    [
        (diamond, Series((A, Parallel((D, B)), C))),
        (either, Series((A, Choice(((0.5, Series((B, C))), (0.5, D))), D))),
        (only_then, Series((A, Choice(((0.5, Series((B, C))), (0.5, Series(()))))))),
        (same_condition_twice, Series((A, Choice(((0.5, Series((B, C))), (0.5, Loop(D, 2))))))),
        (nested, Series((A, Choice(((0.5, Series((B, Choice(((0.5, C), (0.5, D)))))), (0.5, D)))))),
        (in_turn, Series((Loop(A, 2), Fallback((B, C, D))))),
        (raced, Series((A, Race((B, Loop(D, 2))), C))),
        (mapped, Spread(Series((B, A)), 1.0, 4, True)),
        (later, Parallel((A, Wait(5_000_000_000)))),
        (live, Leaf("live")),
    ],
)
def test_the_ways_in_which_tasks_are_put_together_are_known_again(workflow: Any, expected: Any) -> None:
    found = simplified(read(workflow).tree)

    assert same(found, expected), found


def same(one: Any, other: Any) -> bool:
    """Equal, but for the order of what is side by side."""
    if isinstance(one, Parallel) and isinstance(other, Parallel):
        return sorted(map(repr, one.parts)) == sorted(map(repr, other.parts))
    if isinstance(one, Series) and isinstance(other, Series) and len(one.parts) == len(other.parts):
        return all(map(same, one.parts, other.parts))
    return bool(one == other)


def test_a_crossed_shape_stays_a_network() -> None:
    found = simplified(read(crossed).tree)

    assert isinstance(found, Network)
    assert keys(found) == {"a": 1, "b": 1, "c": 2, "d": 1}


def random_shape(rng: Random, tasks: int) -> tuple[ms.Workflow[[], list[int]], list[list[int]]]:
    """A workflow over tasks `s0`, `s1`, ... with random edges to earlier ones."""
    needs = [sorted(rng.sample(range(n), min(n, rng.choice([0, 1, 1, 2, 3])))) for n in range(tasks)]

    def step(before: list[int]) -> int:
        return 0

    steps = [ms.task(key=f"s{n}")(step) for n in range(tasks)]

    @ms.workflow(key="shape")
    def made() -> list[int]:
        refs: list[Any] = []
        for number, needed in enumerate(needs):
            refs.append(steps[number]([refs[each] for each in needed]))
        return ms.gather(*refs)

    return made, needs


@pytest.mark.parametrize("seed", range(60))
def test_any_dag_takes_its_longest_path(seed: int) -> None:
    rng = Random(seed)
    workflow, needs = random_shape(rng, rng.randint(2, 16))
    times = [rng.randint(1, 100) for _ in needs]

    found = read(workflow)

    table = {f"s{n}": {"": Figures(time, 1, 1.0)} for n, time in enumerate(times)}
    total = evaluate(found.tree, table, dict.fromkeys(table, ""))
    assert (total.latency_ns, total.cost) == (longest_path(needs, times), len(needs))
    assert found.notes == ()


TIMES = {"a": 4, "b": 16, "c": 8, "d": 32}
COSTS = {"a": 64, "b": 4, "c": 16, "d": 8}


def simulated(workflow: Any, ends: Callable[[StartAttempt], bytes | None]) -> tuple[int, int]:
    """Makespan and cost when every task ends as told: with a value, or not well."""

    def attempt(command: StartAttempt) -> Drawn:
        key, value = command.declaration.key, ends(command)
        return Drawn(TIMES[key] * 1024, COSTS[key] * 1024, value is not None, value)

    template = template_of(workflow)
    values = {"inputs": b"\x82\xa1x\x01\xa2xs\x94\x01\x02\x03\x04"}
    outcome = Simulation(header(template.root, limits=Limits(), **values), template.opening, attempt).run()
    assert outcome.succeeded
    return outcome.makespan_ns, outcome.cost


@pytest.mark.parametrize("workflow", [diamond, crossed, either, only_then, same_condition_twice, nested])
def test_guarded_time_and_cost_are_the_means_of_simulated_runs(workflow: Any) -> None:
    chances: Mapping[str, float] = {"a": 0.75, "b": 0.25}
    found = read(workflow, Assumptions({key: chances[key] for key in asked(workflow)}))
    table = {key: {"": Figures(TIMES[key] * 1024, COSTS[key] * 1024, 1.0)} for key in TIMES}

    total = evaluate(found.tree, table, dict.fromkeys(table, ""))

    time = cost = 0.0
    for holds in product([True, False], repeat=2):
        truth = dict(zip(chances, holds, strict=True))
        share = 1.0
        for key, chance in chances.items():
            share *= chance if truth[key] else 1 - chance
        took, paid = simulated(workflow, lambda start, told=truth: TRUE if told.get(start.declaration.key) else FALSE)
        time, cost = time + share * took, cost + share * paid
    assert found.notes == ()
    assert (total.latency_ns, total.cost) == (time, cost)


def asked(workflow: Any) -> list[str]:
    """Conditions of a workflow: what it takes for true half of the time."""
    return [note.split()[0] for note in read(workflow).notes if "half of the time" in note]


def test_a_fallback_takes_the_mean_of_simulated_runs() -> None:
    found = read(in_turn)
    chances = {"a": 1.0, "b": 0.5, "c": 0.25, "d": 1.0}
    table = {key: {"": Figures(TIMES[key] * 1024, COSTS[key] * 1024, chances[key])} for key in TIMES}

    total = evaluate(found.tree, table, dict.fromkeys(table, ""))

    time = cost = 0.0
    for good in product([True, False], repeat=2):
        fails = {key for key, ok in zip("bc", good, strict=True) if not ok}
        share = (0.5) * (0.25 if good[1] else 0.75)
        took, paid = simulated(in_turn, lambda start, bad=fails: None if start.declaration.key in bad else NONE_VALUE)
        time, cost = time + share * took, cost + share * paid
    assert (total.latency_ns, total.cost, total.success) == (time, cost, 1.0)


def test_what_is_not_closed_is_bounded_from_above_and_said() -> None:
    table = {key: {"": Figures(TIMES[key] * 1024, COSTS[key] * 1024, 1.0)} for key in TIMES}
    found = read(half_closed)

    total = evaluate(found.tree, table, dict.fromkeys(table, ""))

    times = [simulated(half_closed, lambda start, told=value: told)[0] for value in (TRUE, FALSE)]
    assert total.latency_ns >= sum(times) / 2
    assert any("an upper bound" in note for note in found.notes)
    assert any("is used elsewhere too" in note for note in read(used_elsewhere).notes)


def test_a_map_takes_as_many_items_as_assumed_and_a_task_as_many_calls() -> None:
    found = read(mapped, Assumptions(items={"map": 10}, iterations={"a": 3}))

    assert simplified(found.tree) == Spread(Series((B, Loop(A, 3))), 10, 4, True)
    assert found.notes == ()


@pytest.mark.parametrize(
    ("assumptions", "message"),
    [
        (
            Assumptions(chances={"grade": 0.5}),
            "an assumption is about 'grade', but the tasks are a, b, c, d; conditions: a",
        ),
        (Assumptions(chances={"a": 1.5}), "the chance of 'a' is 1.5; it is at least 0 and at most 1"),
        (Assumptions(iterations={"a": -1}), "the count of 'a' is -1; it is at least 0"),
    ],
)
def test_wrong_assumptions_are_told_what_is_there(assumptions: Assumptions, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        read(either, assumptions)


def test_a_map_takes_as_many_items_as_lists_of_that_task_had() -> None:
    @ms.task(key="listing")
    def listing(x: int) -> list[int]:
        return [x]

    @ms.workflow
    def over(x: int) -> list[int]:
        return ms.map(lambda each: a(each), listing(x))

    found = structure(template_of(over).graph, widths={"listing": 7.0})

    assert simplified(found.tree) == Series((Leaf("listing"), Spread(A, 7.0)))
    assert found.notes == ()

"""The artefact answers every preference as well as a look at all configurations would, and knows its graph."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import msgspec
import pytest

import makespan as ms
from makespan.authoring.trace import template_of
from makespan.errors import GraphError, UsageError
from makespan.machine.facts import Limits
from makespan.passes.compiled import (
    Balance,
    CompiledSet,
    Worth,
    compiled,
    read_compiled,
    sharpness_of,
    table_of,
    written,
)
from makespan.passes.pareto import Point
from makespan.passes.structure import Assumptions, structure
from makespan.passes.tree import Figures, Leaf, Loop, Series, Spread, evaluate
from makespan.profiles.distributions import Constant, LogNormal
from makespan.profiles.profile import ModeProfile, Profile, Seen
from makespan.sim.simulation import Simulation, drawn_from, header
from tests.passes.workflows import configurations
from tests.prove import prove_count

SECOND, USD = 1_000_000_000, 1_000_000_000
YES, NO = b"\xc3", b"\xc2"
INPUTS = b"\x81\xa1x\xa0"
MODELS = ("small", "middle", "large")


@ms.prompt(models=list(MODELS))
def draft(x: str) -> str:
    """Draft {x}."""


@ms.prompt(models=list(MODELS))
def judge(x: str) -> bool:
    """Is {x} good?"""


@ms.prompt(models=list(MODELS))
def polish(x: str) -> str:
    """Polish {x}."""


@ms.prompt(models=list(MODELS))
def facts(x: str) -> str:
    """Facts about {x}."""


@ms.task
def merge(x: str, y: str) -> str:
    return x + y


@ms.workflow
def article(x: str) -> str:
    text, known = draft(x), facts(x)
    both = merge(text, known)
    return ms.when(judge(both), lambda: merge(both, ""), lambda: polish(both))


KEYS = ("draft", "judge", "polish", "facts")


def profile_of(rng: Random, *, sigma: float = 0.0) -> Profile:
    """Larger models are slower, dearer and better, more or less."""
    tasks = {"merge": {"": ModeProfile(Constant(SECOND // 100))}}
    for key in KEYS:
        tasks[key] = {}
        for size, model in enumerate(MODELS, 1):
            took = round(size * rng.uniform(0.4, 3) * SECOND)
            tasks[key][model] = ModeProfile(
                LogNormal(took, sigma) if sigma else Constant(took),
                Constant(round(size**2 * rng.uniform(0.001, 0.004) * USD)),
                round(1 - 0.3 * rng.random() / size, 3),
            )
    return Profile(tasks)


GRAPH = template_of(article).graph
ASSUMED = Assumptions(chances={"judge": 0.75})


def made(seed: int = 0) -> CompiledSet:
    return compiled("article", GRAPH, profile_of(Random(seed)), ASSUMED)


def every_point(profile: Profile) -> list[Point]:
    """All 81 configurations, by the rules of the tree."""
    tree = structure(GRAPH, ASSUMED).tree
    table = table_of(profile, (*KEYS, "merge"))
    found = []
    for modes in configurations(tree, table):
        each = evaluate(tree, table, modes)
        found.append(Point(each.latency_ns, each.cost, each.success, modes))
    return found


def no_regret(answer: Point, everything: list[Point], loss: Callable[[Point], float]) -> bool:
    least = min(map(loss, everything))
    return abs(loss(answer) - least) <= 1e-9 * max(abs(least), 1)


@pytest.mark.parametrize("seed", range(5))
def test_preferences_lose_nothing_against_a_look_at_every_configuration(seed: int) -> None:
    rng, compiled_set = Random(seed), made(seed)
    everything = every_point(profile_of(Random(seed)))

    for _ in range(20):
        worth = Worth(rng.expovariate(1 / 20), rng.expovariate(1))
        assert no_regret(compiled_set.choose(worth), everything, worth.of)
    assert no_regret(compiled_set.choose("balanced"), everything, Balance.of(compiled_set.points))
    assert no_regret(compiled_set.choose("cheap"), everything, lambda p: p.cost / p.success)
    assert no_regret(compiled_set.choose("fast"), everything, lambda p: p.latency_ns / p.success)
    assert no_regret(compiled_set.choose("good"), everything, lambda p: -p.success)


@pytest.mark.parametrize("seed", range(5))
def test_limits_lose_nothing_either(seed: int) -> None:
    rng, compiled_set = Random(seed), made(seed)
    everything = every_point(profile_of(Random(seed)))

    for _ in range(20):
        some = rng.choice(everything)
        fitting = [p for p in everything if p.latency_ns <= some.latency_ns and p.cost <= some.cost]
        worth = Worth(0, 1)
        answer = compiled_set.choose(worth, deadline_ns=some.latency_ns, budget=some.cost)
        assert answer.latency_ns <= some.latency_ns
        assert answer.cost <= some.cost
        assert no_regret(answer, fitting, worth.of)


def test_every_point_has_a_mode_for_each_task_that_has_a_choice() -> None:
    for point in made().points:
        assert set(point.modes) == set(KEYS)


def test_where_nothing_fits_the_nearest_is_named() -> None:
    compiled_set = made()

    with pytest.raises(UsageError, match=r"no configuration of article fits a deadline of 0.001 s; the nearest takes "):
        compiled_set.choose(deadline_ns=SECOND // 1000)
    with pytest.raises(UsageError, match=r"a budget of \$1e-06 and a success of at least 0.99"):
        compiled_set.choose("cheap", budget=1000, min_success=0.99)


def test_an_unknown_preference_is_told_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"'cheep'.*did you mean 'cheap'.*balanced, cheap, fast, good"):
        made().choose("cheep")


def test_a_set_is_read_as_it_was_written() -> None:
    compiled_set = made()

    assert read_compiled(written(compiled_set)) == compiled_set
    assert written(read_compiled(written(compiled_set))) == written(compiled_set)


def test_a_set_of_another_graph_is_refused() -> None:
    @ms.workflow
    def other(x: str) -> str:
        return polish(draft(x))

    made().check(GRAPH)
    with pytest.raises(UsageError, match="compiled for article as it was: its graph is another one now; compile"):
        made().check(template_of(other).graph)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"[]", "no set of configurations"),
        (b'{"schema": 2}', "have the schema 2, this version of makespan reads up to 1"),
        (b'{"workflow": "x", "graph": "", "profile": "", "points": []}', "has no configurations"),
    ],
)
def test_what_is_no_set_is_refused(body: bytes, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_compiled(body)


def test_a_quantile_plans_for_slow_tasks() -> None:
    profile = profile_of(Random(1), sigma=0.8)

    usual = compiled("article", GRAPH, profile, ASSUMED)
    careful = compiled("article", GRAPH, profile, ASSUMED, quantile=0.95)

    assert careful.choose("fast").latency_ns > usual.choose("fast").latency_ns


def test_modes_that_a_task_does_not_declare_are_left_out() -> None:
    profile = Profile(
        {"a": {"x": ModeProfile(Constant(1)), "y": ModeProfile(Constant(2))}, "b": {"z": ModeProfile(Constant(3))}}
    )

    assert set(table_of(profile, ["a"], {"a": ("x",)})["a"]) == {"x"}
    assert table_of(profile, ["b"], {"b": ()})["b"] == {"": Figures(3, 0, 1.0)}
    assert set(table_of(profile, ["a"])["a"]) == {"x", "y"}
    with pytest.raises(GraphError, match="knows no mode of a that it declares: the profile has 'x', 'y', the task w"):
        table_of(profile, ["a"], {"a": ("w",)})


def test_an_async_workflow_is_compiled_from_its_shape() -> None:
    @ms.workflow
    async def rounds(x: str) -> str:
        return await draft(x)

    shape = Series((Loop(Series((Leaf("draft"), Leaf("judge"))), 2.5), Spread(Leaf("facts"), 8, 4)))

    found = compiled("rounds", template_of(rounds).graph, profile_of(Random(0)), shape=shape)

    assert found.points
    assert set(found.points[0].modes) == {"draft", "judge", "facts"}
    assert msgspec.json.decode(msgspec.json.encode(shape), type=type(shape)) == shape


def test_the_maximum_is_the_softer_the_more_durations_vary() -> None:
    steady, usual, wild = (sharpness_of([LogNormal(SECOND, sigma)]) for sigma in (0.0, 0.3, 0.9))

    assert steady == 0.0
    assert usual > wild > 1
    assert made().sharpness == 0.0


def test_a_task_without_alternatives_is_said_to_have_no_choice() -> None:
    profile = profile_of(Random(0))
    both = {"": ModeProfile(Constant(SECOND)), "other": ModeProfile(Constant(2 * SECOND))}

    found = compiled("article", GRAPH, Profile({**profile.tasks, "merge": both}), ASSUMED)

    assert found.notes == (
        "merge has no choice: it declares no `models`, so the first of its modes in the profile is taken",
    )


# ---------------------------------------------------------------- the proxy beside the simulator


def kendall_tau(one: list[float], other: list[float]) -> float:
    """Concordant minus discordant pairs, as a share of those without ties."""
    pairs = [(i, j) for i in range(len(one)) for j in range(i)]
    signs = [(one[i] - one[j]) * (other[i] - other[j]) for i, j in pairs]
    return sum((s > 0) - (s < 0) for s in signs) / sum(s != 0 for s in signs)


def always_right(profile: Profile) -> Profile:
    """The same durations; nothing fails, and three of four answers are yes."""

    def seen(mode: ModeProfile) -> tuple[Seen, ...]:
        takes = [mode.duration.quantile((n + 0.5) / 40) for n in range(40)]
        return tuple(Seen(ns, 0, True, NO if n % 4 == 1 else YES) for n, ns in enumerate(takes))

    return Profile(
        {
            key: {
                name: msgspec.structs.replace(mode, success=1.0, seen=seen(mode) if key == "judge" else ())
                for name, mode in modes.items()
            }
            for key, modes in profile.tasks.items()
        }
    )


@pytest.mark.prove
def test_predicted_latency_orders_configurations_as_simulated_runs_do() -> None:
    profile = always_right(profile_of(Random(11), sigma=0.5))
    tree, table = structure(GRAPH, ASSUMED).tree, table_of(profile, (*KEYS, "merge"))
    template, rng = template_of(article), Random(5)
    sharpness = sharpness_of(mode.duration for modes in profile.tasks.values() for mode in modes.values())
    predicted, simulated = [], []
    for _ in range(max(prove_count(200), 50)):
        modes = {key: rng.choice(MODELS) for key in KEYS}
        predicted.append(float(evaluate(tree, table, {**modes, "merge": ""}, sharpness=sharpness).latency_ns))
        runs = [
            Simulation(
                header(template.root, seed=seed, modes=tuple(modes.items()), inputs=INPUTS, limits=Limits()),
                template.opening,
                drawn_from(profile, seed),
            ).run()
            for seed in range(60)
        ]
        assert all(run.succeeded for run in runs)
        simulated.append(sum(run.makespan_ns for run in runs) / len(runs))

    tau = kendall_tau(predicted, simulated)

    assert tau >= 0.9, f"tau {tau:.3f}"

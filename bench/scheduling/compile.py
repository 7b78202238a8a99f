"""Compiling a workflow's configurations, asking the result, and choosing among alternative sub-graphs.

Counts and ratios are held to targets; times are CPU times of this machine.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from functools import partial
from random import Random
from typing import Any, TypeVar

import msgspec

import makespan as ms
from bench.measure import Figures
from bench.table_row import Row
from makespan.authoring.trace import Template, template_of
from makespan.machine.facts import Limits as RunLimits
from makespan.passes.alternatives import Limits, Objective, best
from makespan.passes.compiled import CompiledSet, Worth, compiled, sharpness_of, table_of
from makespan.passes.pareto import pareto
from makespan.passes.structure import structure
from makespan.passes.tree import Figures as Mode
from makespan.passes.tree import Leaf, Parallel, Series, evaluate
from makespan.profiles.distributions import Constant, LogNormal
from makespan.profiles.profile import ModeProfile, Profile
from makespan.sim.simulation import Simulation, drawn_from, header
from tests.passes.unions import cheapest_of_each, random_union, tried
from tests.passes.workflows import best_of, configurations, exact, random_workflow

T = TypeVar("T")
SECOND = 1_000_000_000
MODES = 5


def cpu(work: Callable[[], T]) -> tuple[T, float]:
    """The result, and CPU seconds."""
    start = time.process_time()
    found = work()
    return found, time.process_time() - start


def fronts(quick: bool) -> Figures:
    """Compiled sets beside a look at every configuration: random workflows of at most 6 tasks x 5 modes."""
    seeds = range(20 if quick else 200)
    equal, spent, sizes, looked_at = 0, list[float](), list[int](), 0
    for seed in seeds:
        tree, table = random_workflow(Random(seed), modes=MODES)
        points, seconds = cpu(partial(pareto, tree, table))
        triples = [exact(tree, table, modes) for modes in configurations(tree, table)]
        front = {(Fraction(p.latency_ns), Fraction(p.cost), Fraction(p.success)) for p in points}
        equal += front == best_of(set(triples))
        spent.append(seconds)
        sizes.append(len(points))
        looked_at = max(looked_at, len(triples))
    return {
        "workflows": len(seeds),
        "equal": equal,
        "compile_ms": statistics.median(spent) * 1000,
        "compile_worst_ms": max(spent) * 1000,
        "points_most": max(sizes),
        "configurations_most": looked_at,
    }


def growth(quick: bool) -> Figures:
    """Larger workflows, pairs of tasks in a row, where a dearer mode is faster and better: 20 tasks are 10**14
    configurations."""
    rng, found = Random(4), dict[str, float]()
    for tasks in (10, 20):
        names = [f"t{n}" for n in range(tasks)]
        tree = Series(tuple(Parallel(tuple(map(Leaf, names[at : at + 2]))) for at in range(0, tasks, 2)))
        table = {name: traded(rng) for name in names}
        exact_set, found[f"s_{tasks}"] = cpu(partial(pareto, tree, table))
        coarse, found[f"coarse_s_{tasks}"] = cpu(partial(pareto, tree, table, epsilon=0.05))
        found[f"points_{tasks}"], found[f"coarse_points_{tasks}"] = len(exact_set), len(coarse)
    return found


def traded(rng: Random) -> dict[str, Mode]:
    """Modes from slow and cheap to fast and dear, success rising with the price."""
    return {
        f"m{n}": Mode(
            round(rng.uniform(1, 1.5) * SECOND * MODES / (n + 1)),
            round(rng.uniform(1, 1.5) * (n + 1) ** 2 * 10**6),
            1 - 0.3 * rng.random() / (n + 1),
        )
        for n in range(MODES)
    }


# ---------------------------------------------------------------- the proxy beside the simulator


def sampled_workflow(rng: Random, tasks: int) -> tuple[Template, list[str]]:
    """A random DAG of distinct tasks."""
    needs = [sorted(rng.sample(range(n), min(n, rng.choice([0, 1, 1, 2])))) for n in range(tasks)]

    def work(before: list[int]) -> int:
        return 0

    steps = [ms.task(key=f"s{n}", models=[f"m{m}" for m in range(MODES)])(work) for n in range(tasks)]

    @ms.workflow(key="sampled")
    def made() -> list[int]:
        refs: list[Any] = []
        for number, needed in enumerate(needs):
            refs.append(steps[number]([refs[each] for each in needed]))
        return ms.gather(*refs)

    return template_of(made), [f"s{n}" for n in range(tasks)]


def sampled_profile(rng: Random, names: list[str], sigma: float) -> Profile:
    """Log-normal durations over one order of magnitude."""
    tasks = {}
    for name in names:
        tasks[name] = {
            f"m{n}": ModeProfile(
                LogNormal(round(rng.uniform(0.3, 3) * SECOND), sigma),
                Constant(rng.randint(1, 10**7)),
                rng.uniform(0.6, 1),
            )
            for n in range(MODES)
        }
    return Profile(tasks)


def agreement(quick: bool) -> Figures:
    """Kendall's tau of predicted latency and simulated mean latency: 200 configurations of each of 5 random DAGs."""
    taus, plain_taus, biases = [], [], []
    for seed in range(1 if quick else 5):
        rng = Random(seed)
        template, names = sampled_workflow(rng, 8)
        profile = sampled_profile(rng, names, 0.5)
        sure = Profile(
            {k: {m: msgspec.structs.replace(p, success=1.0) for m, p in v.items()} for k, v in profile.tasks.items()}
        )
        tree, table = structure(template.graph).tree, table_of(profile, names)
        predicted, plain, simulated = [], [], []
        sharpness = sharpness_of(mode.duration for modes in profile.tasks.values() for mode in modes.values())
        for _ in range(50 if quick else 200):
            modes = {name: f"m{rng.randrange(MODES)}" for name in names}
            predicted.append(evaluate(tree, table, modes, sharpness=sharpness).latency_ns)
            plain.append(evaluate(tree, table, modes).latency_ns)
            simulated.append(mean_makespan(template, sure, modes, 60))
        taus.append(kendall(predicted, simulated))
        plain_taus.append(kendall(plain, simulated))
        biases.append(statistics.mean(a / b for a, b in zip(predicted, simulated, strict=True)))
    return {
        "tau_least": min(taus),
        "tau_mean": statistics.mean(taus),
        "tau_plain_least": min(plain_taus),
        "ratio_least": min(biases),
        "ratio_most": max(biases),
    }


def mean_makespan(template: Template, profile: Profile, modes: Mapping[str, str], runs: int) -> float:
    """Over `runs` worlds, the same for every configuration."""
    chosen = tuple(sorted(modes.items()))
    total = 0
    for seed in range(runs):
        head = header(template.root, seed=seed, modes=chosen, limits=RunLimits())
        total += Simulation(head, template.opening, drawn_from(profile, seed)).run().makespan_ns
    return total / runs


def kendall(one: list[int], other: list[float]) -> float:
    """Concordant minus discordant pairs, as a share of those without ties."""
    signs = [(one[i] - one[j]) * (other[i] - other[j]) for i in range(len(one)) for j in range(i)]
    return sum((s > 0) - (s < 0) for s in signs) / sum(s != 0 for s in signs)


def answers(quick: bool) -> Figures:
    """20 random preferences, half of them under limits, asked of a set of 6 tasks x 5 modes; regret against all."""
    rng = Random(8)
    template, names = sampled_workflow(rng, 6)
    profile = sampled_profile(rng, names, 0.5)
    compiled_set: CompiledSet
    compiled_set, compile_s = cpu(lambda: compiled("sampled", template.graph, profile))
    tree, table = structure(template.graph).tree, table_of(profile, names)
    sharpness = compiled_set.sharpness
    everything = [evaluate(tree, table, modes, sharpness=sharpness) for modes in configurations(tree, table)]
    regrets, spent = [], []
    for number in range(20):
        worth, some = Worth(rng.expovariate(1 / 10), rng.expovariate(10)), rng.choice(everything)
        limits = {"deadline_ns": some.latency_ns, "budget": some.cost} if number % 2 else {}
        answer, seconds = cpu(partial(compiled_set.choose, worth, **limits))
        fitting = [e for e in everything if not limits or (e.latency_ns <= some.latency_ns and e.cost <= some.cost)]
        least = min(worth.of(e) for e in fitting)  # type: ignore[arg-type]
        regrets.append(worth.of(answer) - least)
        spent.append(seconds)
    return {
        "points": len(compiled_set.points),
        "configurations": len(everything),
        "compile_ms": compile_s * 1000,
        "regret": max(regrets),
        "answer_ms": statistics.median(spent) * 1000,
        "answer_worst_ms": max(spent) * 1000,
    }


def unions(quick: bool) -> Figures:
    """Random unions of <= 9 tasks x 3 variants beside a look at every choice; and what the cheapest variants miss."""
    count = 50 if quick else 500
    additive = timed = missed = late = 0
    priced = Objective(0.5, 2.0)
    spent = []
    for seed in range(count):
        rng = Random(seed)
        problem = random_union(rng)
        found, seconds = cpu(partial(best, problem, priced))
        additive += found.price == min(each[0] for each in tried(problem, priced))
        choices = tried(problem, Objective())
        times = sorted(each[1] for each in choices)
        deadline = times[round(rng.uniform(0.02, 0.5) * (len(times) - 1))]
        chosen, more = cpu(partial(best, problem, limits=Limits(deadline_ns=deadline)))
        least = min(each[0] for each in choices if each[1] <= deadline)
        timed += chosen.price == least
        naive = cheapest_of_each(problem)
        late += naive.latency_ns > deadline
        missed += naive.latency_ns > deadline or naive.cost > least
        spent += [seconds, more]
    return {
        "unions": count,
        "additive_equal": additive,
        "deadline_equal": timed,
        "cheapest_misses": missed,
        "cheapest_is_late": late,
        "solve_ms": statistics.median(spent) * 1000,
        "solve_worst_ms": max(spent) * 1000,
    }


CASES: dict[str, Callable[[bool], Figures]] = {
    "compile-fronts": fronts,
    "compile-growth": growth,
    "compile-agreement": agreement,
    "compile-answers": answers,
    "compile-unions": unions,
}


def rows(results: Mapping[str, Figures]) -> Iterator[Row]:
    """The table of what was measured."""
    if f := results.get("compile-fronts"):
        yield Row(
            "compiled set = front of all configurations, random workflows of <= 6 tasks x 5 modes",
            "all equal",
            f"{f['configurations_most']:.0f} configurations at most",
            f"{f['equal']:.0f} of {f['workflows']:.0f}; {f['compile_ms']:.1f} ms, worst {f['compile_worst_ms']:.0f} ms",
            passed=f["equal"] == f["workflows"],
        )
    if f := results.get("compile-growth"):
        for tasks in (10, 20):
            ours = f"{f[f'points_{tasks}']:.0f} points in {f[f's_{tasks}']:.2f} s"
            coarse = f"epsilon 0.05: {f[f'coarse_points_{tasks}']:.0f} points in {f[f'coarse_s_{tasks}']:.2f} s"
            yield Row(f"exact front of {tasks} tasks x 5 modes in pairs", ours=ours, ratio=coarse)
    if f := results.get("compile-agreement"):
        ours = f"least {f['tau_least']:.3f}, mean {f['tau_mean']:.3f}"
        floor = f"plain maximum: least {f['tau_plain_least']:.3f}"
        ratio = f"predicted / simulated {f['ratio_least']:.2f} to {f['ratio_most']:.2f}"
        yield Row("Kendall tau, predicted and simulated latency", ">= 0.9", floor, ours, ratio, f["tau_least"] >= 0.9)
    if f := results.get("compile-answers"):
        ours = f"regret {f['regret']:.2g}; {f['answer_ms']:.3f} ms, worst {f['answer_worst_ms']:.3f} ms"
        passed = f["regret"] <= 1e-12 and f["answer_worst_ms"] < 1
        floor = f"{f['configurations']:.0f} configurations, {f['points']:.0f} points"
        yield Row("20 preferences asked of a compiled set", "regret 0, < 1 ms", floor, ours, passed=passed)
    if f := results.get("compile-unions"):
        ours = f"{f['additive_equal']:.0f} and {f['deadline_equal']:.0f} of {f['unions']:.0f}"
        times = f"{f['solve_ms']:.2f} ms, worst {f['solve_worst_ms']:.1f} ms"
        passed = f["additive_equal"] == f["deadline_equal"] == f["unions"]
        yield Row("alternatives: additive, under a deadline", "all optimal, < 2 s", "", ours, times, passed)
        missed = f"misses {f['cheapest_misses']:.0f} ({f['cheapest_is_late']:.0f} too late)"
        yield Row("alternatives: cheapest variant of each task under a deadline", "", "", missed)

"""Random unions of alternative sub-graphs, and a slow, obvious answer to which choice is best."""

from __future__ import annotations

from itertools import product
from math import log
from random import Random

from makespan.passes.alternatives import Alternatives, Objective, Selection, Variant, figures

SECOND, USD = 1_000_000_000, 1_000_000_000


def random_union(rng: Random, *, tasks: int = 9) -> Alternatives:
    """Up to nine tasks of up to three variants; some variants need other tasks than their neighbours."""
    count = rng.randint(3, tasks)
    found: dict[str, tuple[Variant, ...]] = {}
    for place in range(count):
        earlier = [f"t{each}" for each in range(place)]
        usual = rng.sample(earlier, min(len(earlier), rng.choice([0, 1, 1, 2])))
        variants = []
        for number in range(rng.choice([1, 2, 3, 3, 3])):
            needs = usual if rng.random() < 0.6 else rng.sample(earlier, min(len(earlier), rng.choice([0, 1, 2, 3])))
            speed = rng.uniform(0.3, 3)
            variants.append(
                Variant(
                    f"v{number}",
                    round(speed * rng.uniform(1, 60) * SECOND),
                    round(rng.uniform(0.01, 2) / speed * USD),
                    rng.choice([0.5, 0.75, 1.0]),
                    tuple(needs),
                )
            )
        found[f"t{place}"] = tuple(variants)
    last = [f"t{place}" for place in range(count)][-rng.choice([1, 1, 2]) :]
    return Alternatives(found, tuple(last))


def needed(problem: Alternatives, chosen: dict[str, Variant]) -> set[str]:
    """What the goals come to with these variants."""
    found: set[str] = set()
    left = list(problem.goals)
    while left:
        task = left.pop()
        if task not in found:
            found.add(task)
            left.extend(chosen[task].needs)
    return found


def tried(problem: Alternatives, objective: Objective) -> list[tuple[int, int, int, float]]:
    """Price, makespan, cost and success of every choice, each worked out by itself."""
    results = []
    for picked in product(*problem.tasks.values()):
        chosen = dict(zip(problem.tasks, picked, strict=True))
        used = needed(problem, chosen)

        ends: dict[str, int] = {}
        for task in problem.tasks:  # in an order in which needs come first
            before = [ends[each] for each in chosen[task].needs if task in used]
            ends[task] = chosen[task].latency_ns + max(before, default=0)
        success = 1.0
        price = 0
        for task in used:
            variant = chosen[task]
            success *= variant.success
            risk = -log(variant.success) * objective.failure_usd * 1e9 if objective.failure_usd else 0
            price += variant.cost + round(objective.hour_usd * 1e9 * variant.latency_ns / 3.6e12 + risk)
        cost = sum(chosen[task].cost for task in used)
        results.append((price, max(ends[goal] for goal in problem.goals), cost, success))
    return results


def cheapest_of_each(problem: Alternatives) -> Selection:
    return figures(problem, {task: min(vs, key=lambda v: v.cost).name for task, vs in problem.tasks.items()})

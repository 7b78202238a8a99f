"""Random compositions of at most six tasks of at most five modes, and a slow, obvious answer to what is best.

All chances are quarters and all amounts multiples of 2**20, so that floats and fractions agree to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import product
from random import Random

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
    Tree,
    keys,
)

UNIT = 2**20
Exact = tuple[Fraction, Fraction, Fraction]


def random_table(rng: Random, names: list[str], modes: int) -> dict[str, dict[str, Figures]]:
    """Some modes a task, with the usual trade: what is dearer is mostly faster or better."""
    return {
        name: {
            f"m{index}": Figures(rng.randint(1, 60) * UNIT, rng.randint(0, 40) * UNIT, rng.randint(1, 4) / 4)
            for index in range(rng.randint(2, modes))
        }
        for name in names
    }


def random_tree(rng: Random, names: list[str], *, repeats: bool = True) -> Tree:
    """A composition with one leaf a name; equal names give shared keys."""
    if len(names) == 1:
        leaf = Leaf(names[0])
        single = rng.randrange(6)
        if single == 0 and repeats:
            return Loop(leaf, rng.choice([2, 3]))
        return Spread(leaf, rng.choice([2, 3]), rng.choice([0, 1, 2]), rng.random() < 0.5) if single == 1 else leaf
    kind = rng.choice(["series", "parallel", "choice", "network", "flat", "loop"])
    if kind == "flat" and len(names) <= 3:
        flat = tuple(Leaf(name) for name in names)
        return Fallback(flat) if rng.random() < 0.5 else Race(flat, rng.randint(1, len(flat) - 1))
    if kind == "network" and len(names) >= 4:
        return random_network(rng, names)
    if kind == "loop" and repeats:
        return Loop(random_tree(rng, names, repeats=False), 2)
    cut = rng.randint(1, len(names) - 1)
    parts = tuple(random_tree(rng, half, repeats=repeats) for half in (names[:cut], names[cut:]))
    if kind == "choice":
        share = rng.randint(1, 3) / 4
        return Choice(((share, parts[0]), (1 - share, parts[1])))
    return Series(parts) if kind in ("series", "flat") else Parallel(parts)


def random_network(rng: Random, names: list[str]) -> Network:
    """A random order of leaves."""
    needs = [tuple(each for each in range(place) if rng.random() < 0.45) for place in range(len(names))]
    return Network(tuple(Leaf(name) for name in names), tuple(needs))


def random_workflow(rng: Random, *, modes: int = 5, tasks: int = 6) -> tuple[Tree, dict[str, dict[str, Figures]]]:
    """A composition and its figures; in every third one some tasks stand in several places."""
    distinct = [f"t{index}" for index in range(rng.randint(2, tasks))]
    places = [*distinct, *(rng.choices(distinct, k=2) if rng.random() < 0.34 else [])]
    rng.shuffle(places)
    return random_tree(rng, places), random_table(rng, distinct, modes)


def exact(tree: Tree, table: Mapping[str, Mapping[str, Figures]], modes: Mapping[str, str]) -> Exact:
    """What the rules of `tree` say, in fractions, part by part: (latency, cost, success)."""

    def of(part: Tree) -> Exact:
        return exact(part, table, modes)

    match tree:
        case Leaf():
            mode = table[tree.key][modes[tree.key]]
            return Fraction(mode.latency_ns), Fraction(mode.cost), Fraction(mode.success)
        case Loop():
            time, cost, success = of(tree.body)
            return time * int(tree.times), cost * int(tree.times), success ** int(tree.times)
        case Spread():
            time, cost, success = of(tree.body)
            count, waves = int(tree.items), -(-int(tree.items) // tree.limit) if tree.limit else 1
            return time * waves, cost * count, Fraction(1) if tree.keeps else success**count
        case Choice():
            shares = [(Fraction(p), of(part)) for p, part in tree.branches]
            return (
                sum((p * part[0] for p, part in shares), Fraction(0)),
                sum((p * part[1] for p, part in shares), Fraction(0)),
                sum((p * part[2] for p, part in shares), Fraction(0)),
            )
        case Race() | Fallback():
            return expected(tree, [of(part) for part in tree.parts])
        case Network():
            return chains(tree, [of(part) for part in tree.parts])
        case Series() | Parallel():
            parts = [of(part) for part in tree.parts]
            times = [part[0] for part in parts]
            time = sum(times, Fraction(0)) if isinstance(tree, Series) else max(times, default=Fraction(0))
            return together(time, parts)
    raise AssertionError(tree)


def together(time: Fraction, parts: list[Exact]) -> Exact:
    """All of the parts: costs add, chances multiply."""
    success = Fraction(1)
    for part in parts:
        success *= part[2]
    return time, sum((part[1] for part in parts), Fraction(0)), success


def chains(tree: Network, parts: list[Exact]) -> Exact:
    """The longest of all chains, each walked by itself."""

    def longest(place: int) -> Fraction:
        return parts[place][0] + max(map(longest, tree.needs[place]), default=Fraction(0))

    return together(max(map(longest, range(len(parts)))), parts)


def expected(tree: Race | Fallback, parts: list[Exact]) -> Exact:
    """The mean over every way in which parts succeed or fail."""
    time = cost = success = Fraction(0)
    for ends in product([True, False], repeat=len(parts)):
        chance = Fraction(1)
        for ok, part in zip(ends, parts, strict=True):
            chance *= part[2] if ok else 1 - part[2]
        if isinstance(tree, Fallback):
            tried = ends.index(True) + 1 if True in ends else len(parts)
            time += chance * sum(part[0] for part in parts[:tried])
            cost += chance * sum(part[1] for part in parts[:tried])
            success += chance * any(ends)
            continue
        won = sorted(part[0] for ok, part in zip(ends, parts, strict=True) if ok)
        enough = len(won) >= tree.wanted
        time += chance * (won[tree.wanted - 1] if enough else max(part[0] for part in parts))
        cost += chance * sum(part[1] for part in parts)
        success += chance * enough
    return time, cost, success


def configurations(tree: Tree, table: Mapping[str, Mapping[str, Figures]]) -> Iterator[dict[str, str]]:
    """Every configuration."""
    names = list(keys(tree))
    for picked in product(*(table[name] for name in names)):
        yield dict(zip(names, picked, strict=True))


def best_of(triples: set[Exact]) -> set[Exact]:
    """Those that no other one beats: each is compared with all that could."""
    front: list[Exact] = []
    for one in sorted(triples, key=lambda each: (each[0], each[1], -each[2])):
        if not any(other[1] <= one[1] and other[2] >= one[2] for other in front):
            front.append(one)
    return set(front)

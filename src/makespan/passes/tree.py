"""What a workflow is made of, as far as time, money and success go: a tree of compositions over task keys.

    Series(a, Choice(0.7: b, 0.3: c), Parallel(d, e))

             latency              cost      success
    Series   adds                 adds      multiplies
    Parallel the longest          adds      multiplies
    Network  longest chain        adds      multiplies       a partial order that is neither
    Choice   weighted             weighted  weighted
    Loop     times                times     to the power
    Spread   times waves          times     to the power, or 1 where failed items are kept
    Fallback a part as often as all before it failed         1 - all fail
    Race     expected time of the k-th success      adds     at least k succeed

Latency and success are those of tasks that know nothing of each other and take their mean time. The maximum of means is
less than the mean of a maximum, so `longest` is softened where durations vary: a p-norm, p being the *sharpness* (0 is
the plain maximum). It is exact for Fréchet variables of that shape, and near enough for log-normal ones. Races pay all
their parts in full: an upper bound, as losers are cancelled. Every operation is monotone in each part, which is what
makes pruning exact.
Source: after FlowCompile (arXiv 2605.13647), whose composition rules are not published in full; max-stability: Fisher,
Tippett, "Limiting forms of the frequency distribution of the largest or smallest member of a sample" (1928).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from math import ceil

import msgspec


class Figures(msgspec.Struct, frozen=True, gc=False):
    """One mode of a task, or a whole configuration: nanoseconds, nano-USD, and the chance of a right result."""

    latency_ns: int
    cost: int
    success: float
    quality: float = 1.0
    """Share of a mode's results that are right; `success` is then the chance that an attempt gives any. In composed
    figures it is part of `success`."""


Table = Mapping[str, Mapping[str, Figures]]
"""Task key → mode → figures of one attempt."""
Triple = tuple[float, float, float]
"""Latency, cost, success: what compositions compute with. Rounded to whole units at each task and at the very end."""


class Leaf(msgspec.Struct, frozen=True, tag="leaf"):
    """One call of a task, in the mode its key has; tried up to `tries` times."""

    key: str
    tries: int = 1


class Wait(msgspec.Struct, frozen=True, tag="wait"):
    """Time that passes without a choice: a timer."""

    latency_ns: int


class Series(msgspec.Struct, frozen=True, tag="series"):
    """One after the other; without parts, nothing at all."""

    parts: tuple[Tree, ...]


class Parallel(msgspec.Struct, frozen=True, tag="parallel"):
    """All at once."""

    parts: tuple[Tree, ...]


class Network(msgspec.Struct, frozen=True, tag="network"):
    """Parts in run order, each after those that `needs` lists for it."""

    parts: tuple[Tree, ...]
    needs: tuple[tuple[int, ...], ...]


class Choice(msgspec.Struct, frozen=True, tag="choice"):
    """One of the branches, each with its probability."""

    branches: tuple[tuple[float, Tree], ...]


class Loop(msgspec.Struct, frozen=True, tag="loop"):
    """`times` in a row; a mean, so it may be a fraction."""

    body: Tree
    times: float


class Spread(msgspec.Struct, frozen=True, tag="spread"):
    """`items` at once, at most `limit` of them (0: all)."""

    body: Tree
    items: float
    limit: int = 0
    keeps: bool = False
    """Whether it succeeds although items failed."""

    @property
    def waves(self) -> int:
        """How often the body's time passes."""
        return 1 if not self.limit else max(ceil(self.items / self.limit), 1)


class Fallback(msgspec.Struct, frozen=True, tag="fallback"):
    """The next part is tried when the one before has failed."""

    parts: tuple[Tree, ...]


class Race(msgspec.Struct, frozen=True, tag="race"):
    """All start; done with the `wanted`-th success, or failed when all have ended."""

    parts: tuple[Tree, ...]
    wanted: int = 1


Tree = Leaf | Wait | Series | Parallel | Network | Choice | Loop | Spread | Fallback | Race
EMPTY = Series(())
NOTHING: Triple = (0, 0, 1.0)
Combine = Callable[[Triple, Triple], Triple]


def children(tree: Tree) -> tuple[Tree, ...]:
    """The parts right below."""
    match tree:
        case Series() | Parallel() | Network() | Fallback() | Race():
            return tree.parts
        case Choice():
            return tuple(branch for _, branch in tree.branches)
        case Loop() | Spread():
            return (tree.body,)
    return ()


def keys(tree: Tree) -> dict[str, int]:
    """Task keys and how many leaves each has, in the order of the first."""
    counts: dict[str, int] = {}
    for leaf in leaves(tree):
        counts[leaf.key] = counts.get(leaf.key, 0) + 1
    return counts


def leaves(tree: Tree) -> Iterator[Leaf]:
    """Every leaf, from left to right."""
    if isinstance(tree, Leaf):
        yield tree
    for part in children(tree):
        yield from leaves(part)


def evaluate(tree: Tree, table: Table, modes: Mapping[str, str], *, sharpness: float = 0.0) -> Figures:
    """What one configuration (task key → mode) takes, costs and achieves: the proxy that compiling optimises.

    Args:
        sharpness: of the maximum of times; 0 is the plain one.
    Raises:
        KeyError: a key or mode that the table does not know.
    Cost: O(size of the tree), about 2 µs a leaf.
    """
    return whole(_evaluated(tree, table, modes, sharpness))


def whole(triple: Triple) -> Figures:
    """Figures in whole nanoseconds and nano-USD."""
    return Figures(round(triple[0]), round(triple[1]), triple[2])


def _evaluated(tree: Tree, table: Table, modes: Mapping[str, str], sharpness: float) -> Triple:
    if isinstance(tree, Leaf):
        return attempted(table[tree.key][modes[tree.key]], tree.tries)
    if isinstance(tree, Wait):
        return tree.latency_ns, 0, 1.0
    parts = [_evaluated(part, table, modes, sharpness) for part in children(tree)]
    match tree:
        case Network():
            return network(parts, tree.needs, sharpness)
        case Race():
            return race(parts, tree.wanted)
        case Loop() | Spread():
            return repeated(tree, parts[0], sharpness)
        case Fallback():
            return _folded_back(parts)
        case Choice():
            parts = [weighted(p, part) for (p, _), part in zip(tree.branches, parts, strict=True)]
            return _folded(parts, mixed, (0, 0, 0.0))
        case Parallel():
            return _folded(parts, partial(beside, sharpness=sharpness), NOTHING)
    return _folded(parts, then, NOTHING)


# ---------------------------------------------------------------- operations on triples


def attempted(mode: Figures, tries: int) -> Triple:
    """One task that is tried again after a failure: attempts are counted by their mean number."""
    if tries == 1 or mode.success >= 1:
        return mode.latency_ns, mode.cost, mode.success * mode.quality
    ends = 1 - (1 - mode.success) ** tries
    attempts = ends / mode.success if mode.success > 0 else tries
    return round(mode.latency_ns * attempts), round(mode.cost * attempts), ends * mode.quality


def then(first: Triple, second: Triple) -> Triple:
    """One after the other."""
    return first[0] + second[0], first[1] + second[1], first[2] * second[2]


def longest(one: float, other: float, sharpness: float) -> float:
    """The mean time until both have ended."""
    low, high = (one, other) if one < other else (other, one)
    return high * (1 + (low / high) ** sharpness) ** (1 / sharpness) if sharpness and low else high


def beside(one: Triple, other: Triple, sharpness: float = 0.0) -> Triple:
    """Both at once."""
    return longest(one[0], other[0], sharpness), one[1] + other[1], one[2] * other[2]


def weighted(share: float, part: Triple) -> Triple:
    """A branch as it counts in the mean."""
    return share * part[0], share * part[1], share * part[2]


def mixed(one: Triple, other: Triple) -> Triple:
    """Two weighted branches."""
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


def instead(part: Triple, later: Triple) -> Triple:
    """A part, and what is tried when it failed."""
    fails = 1 - part[2]
    return part[0] + fails * later[0], part[1] + fails * later[1], part[2] + fails * later[2]


def repeated(tree: Loop | Spread, body: Triple, sharpness: float = 0.0) -> Triple:
    """A loop or a map, of its body."""
    if isinstance(tree, Loop):
        return tree.times * body[0], tree.times * body[1], body[2] ** tree.times
    at_once = min(tree.items, tree.limit or tree.items)
    wave = body[0] * at_once ** (1 / sharpness) if sharpness and at_once > 1 else body[0]
    return tree.waves * wave, tree.items * body[1], 1.0 if tree.keeps else body[2] ** tree.items


def network(parts: Sequence[Triple], needs: Sequence[Sequence[int]], sharpness: float = 0.0) -> Triple:
    """Longest chain, sum, product."""
    ends: list[float] = []
    cost, success = NOTHING[1:]
    for part, needed in zip(parts, needs, strict=True):
        ends.append(part[0] + all_ended((ends[each] for each in needed), sharpness))
        cost, success = cost + part[1], success * part[2]
    goes_on = {each for needed in needs for each in needed}
    last = all_ended((end for place, end in enumerate(ends) if place not in goes_on), sharpness)
    return last, cost, success


def all_ended(ends: Iterable[float], sharpness: float) -> float:
    """`longest` of many."""
    found = 0.0
    for end in ends:
        found = longest(found, end, sharpness)
    return found


def race(parts: Sequence[Triple], wanted: int) -> Triple:
    """The mean time by which `wanted` parts have succeeded, or all have ended. Cost: O(n (log n + wanted))."""
    by_time = sorted(parts, key=lambda part: part[0])
    last = by_time[-1][0] if by_time else 0
    open_by_count = [1.0] + [0.0] * (wanted - 1)  # chance that exactly so many have succeeded and it is not decided
    latency = decided = 0.0
    for time, _, success in by_time:
        won = open_by_count[-1] * success
        latency, decided = latency + won * time, decided + won
        before = [0.0, *open_by_count[:-1]]
        open_by_count = [
            stays * (1 - success) + comes * success for stays, comes in zip(open_by_count, before, strict=True)
        ]
    return latency + sum(open_by_count) * last, sum(part[1] for part in parts), decided


def _folded(parts: Sequence[Triple], combine: Combine, start: Triple) -> Triple:
    found = start
    for part in parts:
        found = combine(found, part)
    return found


def _folded_back(parts: Sequence[Triple]) -> Triple:
    found = parts[-1]
    for part in reversed(parts[:-1]):
        found = instead(part, found)
    return found


# ---------------------------------------------------------------- the same, shorter


def simplified(tree: Tree) -> Tree:
    """The same figures from fewer leaves: nests are flattened, equal parts counted instead of repeated.

    A key that stands in several places must have one mode in all of them, which costs a compiler dear; equal parts of
    a series are a loop, equal parts side by side a spread, and then it stands in one.
    """
    match tree:
        case Series() | Parallel():
            kind = type(tree)
            flat = [each for part in tree.parts for each in _flattened(simplified(part), kind)]
            counts: dict[Tree, int] = {}
            for part in flat:
                counts[part] = counts.get(part, 0) + 1
            parts = tuple(part if n == 1 else _times(part, n, kind) for part, n in counts.items())
            return parts[0] if len(parts) == 1 else kind(parts) if parts else EMPTY
        case Network():
            return Network(tuple(map(simplified, tree.parts)), tree.needs)
        case Choice():
            return Choice(tuple((p, simplified(branch)) for p, branch in tree.branches))
        case Loop():
            return Loop(simplified(tree.body), tree.times)
        case Spread():
            return Spread(simplified(tree.body), tree.items, tree.limit, tree.keeps)
        case Fallback():
            return Fallback(tuple(map(simplified, tree.parts)))
        case Race():
            return Race(tuple(map(simplified, tree.parts)), tree.wanted)
    return tree


def _flattened(part: Tree, kind: type[Series] | type[Parallel]) -> tuple[Tree, ...]:
    return part.parts if isinstance(part, kind) or part == EMPTY else (part,)


def _times(part: Tree, times: int, kind: type[Series] | type[Parallel]) -> Tree:
    return Loop(part, times) if kind is Series else Spread(part, times)


def assignments(choices: Mapping[str, Sequence[str]]) -> Iterator[dict[str, str]]:
    """Every way to give each key one of its modes."""
    for picked in product(*choices.values()):
        yield dict(zip(choices, picked, strict=True))

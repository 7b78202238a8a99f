"""The best configurations of a workflow: every trade between time, money and success that no other one beats.

    tree + table ──▶ [Point, ...]        one mode a task key; sorted by latency

Fronts of parts are multiplied and pruned on the way up the tree, which is exact because every operation is monotone:
what is beaten inside a part is beaten in the whole. A key that stands in several places has one mode in all: its
modes are tried one by one at the lowest node that has all its places below it, and the fronts are united.
A network's parts are taken in order; a label keeps when those parts end that others still wait for, and dies when
another label is no later anywhere, no dearer and no less likely to succeed.
Source: FlowCompile (arXiv 2605.13647) for the idea; Minkowski sums of Pareto sets; label setting as in Martins, "On a
multicriteria shortest path problem" (1984).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from math import floor, log, log1p
from typing import Any

import msgspec

from makespan.errors import GraphError
from makespan.passes.tree import (
    NOTHING,
    Choice,
    Fallback,
    Figures,
    Leaf,
    Loop,
    Network,
    Parallel,
    Race,
    Spread,
    Table,
    Tree,
    Triple,
    Wait,
    all_ended,
    assignments,
    attempted,
    beside,
    children,
    instead,
    keys,
    longest,
    mixed,
    race,
    repeated,
    simplified,
    then,
    weighted,
)

MOST_POINTS = 20_000
"""Points that a front, also one on the way, may have."""
MOST_PAIRS = 4_000_000
"""Combinations that one step may look at."""
MOST_ASSIGNMENTS = 200_000
"""Ways to give modes to the keys that stand in several places below one node."""
COMPARED = 400
"""Labels of a network that a new one is compared with; more would only prune a little more."""

NEVER = -(10**9)
"""The cell of 0, which is no multiple of anything."""

Choices = tuple[Any, ...]
"""Which modes: `(key, mode)`, a pair of choices, or nothing."""
Entry = tuple[float, float, float, Choices]
"""Latency, cost, success, and how."""


class Point(msgspec.Struct, frozen=True):
    """One configuration and what it is expected to take, cost and achieve: nanoseconds, nano-USD, a probability."""

    latency_ns: int
    cost: int
    success: float
    modes: dict[str, str]


def pareto(
    tree: Tree, table: Table, *, epsilon: float = 0.0, sharpness: float = 0.0, most_points: int = MOST_POINTS
) -> list[Point]:
    """All configurations that no other one beats, sorted by latency, then cost; one where several are equal.

    Args:
        epsilon: 0 is exact. Otherwise every configuration is matched by a point that takes and costs at most
            1 + epsilon times as much, and succeeds at least 1 / (1 + epsilon) times as often.
        sharpness: as in `evaluate`.
    Raises:
        GraphError: a key without figures, or more points than `most_points`; the message says what to do.
    Cost: 6 tasks of 5 modes: 10 to 50 ms; grows with the size of the fronts, not with the number of configurations.
    """
    missing = [key for key in keys(tree) if not table.get(key)]
    if missing:
        raise GraphError(f"nothing is known of {', '.join(missing)}: add figures for their modes to the profile")
    shorter = simplified(tree)
    inner, last = _deltas(shorter, epsilon)
    entries = _Composer(shorter, table, sharpness, most_points).front(shorter, {}, inner)
    entries = coarsened(entries, last) if last else entries
    whole = pruned([(round(e[0]), round(e[1]), e[2], e[3]) for e in entries])
    return [Point(int(e[0]), int(e[1]), e[2], dict(sorted(chosen(e[3]).items()))) for e in whole]


def pruned(entries: Iterable[Entry]) -> list[Entry]:
    """Those that no other one beats or equals. Cost: O(n log n)."""
    costs: list[float] = []
    successes: list[float] = []  # both rise: the best success for at most that cost, among what is no slower
    kept: list[Entry] = []
    for entry in sorted(entries, key=_by_time):
        place = bisect_right(costs, entry[1])
        if place and successes[place - 1] >= entry[2]:
            continue
        kept.append(entry)
        end = place
        while end < len(costs) and successes[end] <= entry[2]:
            end += 1
        start = place - 1 if place and costs[place - 1] == entry[1] else place
        costs[start:end], successes[start:end] = [entry[1]], [entry[2]]
    return kept


def _by_time(entry: Entry) -> tuple[float, float, float]:
    return entry[0], entry[1], -entry[2]


def chosen(choices: Choices) -> dict[str, str]:
    """The modes in nested choices."""
    found: dict[str, str] = {}
    left = [choices]
    while left:
        each = left.pop()
        if each and isinstance(each[0], str):
            found[each[0]] = each[1]
        else:
            left.extend(each)
    return found


class _Composer:
    """Fronts of the parts of one tree, each computed once for the modes that are given from above."""

    def __init__(self, tree: Tree, table: Table, sharpness: float, most_points: int) -> None:
        self.table = {key: unbeaten(table[key]) for key in keys(tree)}
        self.total, self.sharpness, self.most_points = keys(tree), sharpness, most_points
        self.counts: dict[int, dict[str, int]] = {}
        self.known: dict[tuple[int, tuple[str, ...], float], list[Entry]] = {}

    def count(self, tree: Tree) -> dict[str, int]:
        """`keys`, remembered."""
        found = self.counts.get(id(tree))
        if found is None:
            found = self.counts[id(tree)] = keys(tree)
        return found

    def front(self, tree: Tree, given: Mapping[str, str], delta: float) -> list[Entry]:
        """The front of a part; `delta` is how coarse each step may be."""
        own = self.count(tree)
        name = (id(tree), tuple(given[key] for key in own if key in given), delta)
        if name not in self.known:
            self.known[name] = self.worked_out(tree, {key: given[key] for key in own if key in given}, delta)
        return self.known[name]

    def worked_out(self, tree: Tree, given: Mapping[str, str], delta: float) -> list[Entry]:
        shared = self.tied_here(tree, given)
        if not shared:
            return self.composed(tree, given, delta)
        ways = 1
        for modes in shared.values():
            ways *= len(modes)
        if ways > MOST_ASSIGNMENTS:
            names = ", ".join(shared)
            raise GraphError(
                f"{names} stand in several places that no composition separates: {ways} ways to give them modes, "
                f"at most {MOST_ASSIGNMENTS} are tried; leave modes out of the profile"
            )
        found: list[Entry] = []
        for way in assignments(shared):
            found = self.kept([*found, *self.composed(tree, {**given, **way}, delta)], 0.0)
        return self.kept(found, delta)

    def tied_here(self, tree: Tree, given: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        """Keys with several places, all of them below this node and not all below one of its parts; and their modes."""
        own, below = self.count(tree), [self.count(part) for part in children(tree)]
        return {
            key: tuple(self.table[key])
            for key, places in own.items()
            if key not in given and places == self.total[key] > 1 and not any(part.get(key) == places for part in below)
        }

    def composed(self, tree: Tree, given: Mapping[str, str], delta: float) -> list[Entry]:
        """The front of a node from those of its parts."""
        if isinstance(tree, Leaf):
            names = [given[tree.key]] if tree.key in given else list(self.table[tree.key])
            modes = [(attempted(self.table[tree.key][name], tree.tries), name) for name in names]
            return pruned([(*triple, (tree.key, name)) for triple, name in modes])
        if isinstance(tree, Wait):
            return [(tree.latency_ns, 0, 1.0, ())]
        inner = 0.0 if isinstance(tree, Fallback | Race) else delta
        parts = [self.front(part, given, inner) for part in children(tree)]
        match tree:
            case Network():
                return self.network(parts, tree.needs, delta)
            case Race():
                return self.kept(self.every_race(parts, tree.wanted), 0.0)
            case Loop() | Spread():
                return self.kept([(*repeated(tree, e[:3], self.sharpness), e[3]) for e in parts[0]], delta)
            case Fallback():
                return self.folded(parts[::-1], lambda later, part: instead(part, later), parts[-1], 0.0, start=1)
            case Choice():
                shares = [p for p, _ in tree.branches]
                scaled = [[(*weighted(p, e[:3]), e[3]) for e in part] for p, part in zip(shares, parts, strict=True)]
                return self.folded(scaled, mixed, [(0, 0, 0.0, ())], delta)
            case Parallel():
                return self.folded(parts, partial(beside, sharpness=self.sharpness), [(*NOTHING, ())], delta)
        return self.folded(parts, then, [(*NOTHING, ())], delta)

    def folded(
        self,
        parts: Sequence[list[Entry]],
        combine: Callable[[Triple, Triple], Triple],
        found: list[Entry],
        delta: float,
        *,
        start: int = 0,
    ) -> list[Entry]:
        """Part after part: every pair, then pruned."""
        for part in parts[start:]:
            self.check_pairs(len(found) * len(part))
            pairs = [(*combine(a[:3], b[:3]), (a[3], b[3])) for a in found for b in part]
            found = self.kept(pairs, delta)
        return found

    def every_race(self, parts: Sequence[list[Entry]], wanted: int) -> list[Entry]:
        """Races have no partial results that could be pruned: every combination of the parts' fronts."""
        combinations: list[tuple[Entry, ...]] = [()]
        for part in parts:
            self.check_pairs(len(combinations) * len(part))
            combinations = [(*before, entry) for before in combinations for entry in part]
        return [(*race([e[:3] for e in way], wanted), tuple(e[3] for e in way)) for way in combinations]

    def network(self, parts: Sequence[list[Entry]], needs: Sequence[Sequence[int]], delta: float) -> list[Entry]:
        """Labels of ends that still matter, over the parts in run order."""
        last_use = {part: user for user, needed in enumerate(needs) for part in needed}
        live: list[int] = []
        labels: list[_Label] = [((), 0.0, 0.0, 1.0, ())]
        for place, part in enumerate(parts):
            self.check_pairs(len(labels) * len(part))
            before = [live.index(each) for each in needs[place]]
            stay = [spot for spot, each in enumerate(live) if last_use[each] > place]
            goes_on = place in last_use
            grown: list[_Label] = []
            for ends, done, cost, success, how in labels:
                begin = all_ended((ends[spot] for spot in before), self.sharpness)
                kept = tuple(ends[spot] for spot in stay)
                for entry in part:
                    end = begin + entry[0]
                    after = (*kept, end) if goes_on else kept
                    latest = done if goes_on else longest(done, end, self.sharpness)
                    grown.append((after, latest, cost + entry[1], success * entry[2], (how, entry[3])))
            live = [live[spot] for spot in stay] + ([place] if goes_on else [])
            labels = _undominated(grown)
            labels = _coarse(labels, delta) if delta > 0 else labels
            self.check_points(len(labels))
        return self.kept([(done, cost, success, how) for _, done, cost, success, how in labels], delta)

    def kept(self, entries: list[Entry], delta: float) -> list[Entry]:
        """Pruned, and coarsened where that is allowed."""
        front = pruned(entries)
        if delta > 0:
            front = coarsened(front, delta)
        self.check_points(len(front))
        return front

    def check_points(self, count: int) -> None:
        if count > self.most_points:
            raise GraphError(
                f"{count} configurations are not beaten by another, at most {self.most_points} are kept; "
                f"compile with `epsilon` (0.01 leaves out what differs by less than 1 %) or with fewer modes"
            )

    def check_pairs(self, count: int) -> None:
        if count > MOST_PAIRS:
            raise GraphError(
                f"{count} combinations in one step, at most {MOST_PAIRS} are looked at; "
                f"compile with `epsilon` (0.01 leaves out what differs by less than 1 %) or with fewer modes"
            )


_Label = tuple[tuple[float, ...], float, float, float, Choices]
"""Ends of parts that others wait for, end of all others, cost, success, how."""


def _undominated(labels: list[_Label]) -> list[_Label]:
    """Without those that another one beats in everything; not all are found where there are very many."""
    kept: list[_Label] = []
    seen: set[tuple[tuple[float, ...], float, float, float]] = set()
    for label in sorted(labels, key=lambda each: (sum(each[0]) + each[1], each[2], -each[3])):
        if label[:4] in seen or any(_beats(other, label) for other in kept[:COMPARED]):
            continue
        seen.add(label[:4])
        kept.append(label)
    return kept


def _coarse(labels: list[_Label], delta: float) -> list[_Label]:
    """`coarsened` for labels: the ends that others wait for count too."""
    cells: dict[tuple[int, ...], _Label] = {}
    for label in labels:
        cells.setdefault(_cell((*label[0], *label[1:4]), delta), label)
    return list(cells.values())


def _beats(one: _Label, other: _Label) -> bool:
    return (
        one[2] <= other[2]
        and one[3] >= other[3]
        and one[1] <= other[1]
        and all(a <= b for a, b in zip(one[0], other[0], strict=True))
    )


def unbeaten(modes: Mapping[str, Figures]) -> dict[str, Figures]:
    """Modes that no other one equals or beats in everything; the first of equal ones."""
    found: dict[str, Figures] = {}
    for name, mode in modes.items():
        if any(_is_as_good(other, mode) for other in found.values()):
            continue
        found = {each: other for each, other in found.items() if not _is_as_good(mode, other)}
        found[name] = mode
    return found


def _is_as_good(one: Figures, other: Figures) -> bool:
    is_dearer = one.latency_ns > other.latency_ns or one.cost > other.cost
    return not is_dearer and one.success >= other.success and one.quality >= other.quality


# ---------------------------------------------------------------- coarsening


def coarsened(front: Iterable[Entry], delta: float) -> list[Entry]:
    """One entry of all that differ by a factor of at most 1 + delta in everything."""
    cells: dict[tuple[int, ...], Entry] = {}
    for entry in front:
        cells.setdefault(_cell(entry[:3], delta), entry)
    return list(cells.values())


def _cell(amounts: Iterable[float], delta: float) -> tuple[int, ...]:
    """Amounts that share it differ by a factor of at most 1 + delta each."""
    step = log1p(delta)
    return tuple(NEVER if amount <= 0 else floor(log(amount) / step) for amount in amounts)


def _deltas(tree: Tree, epsilon: float) -> tuple[float, float]:
    """How coarse each step on the way, and the last one, may be for all of them together to stay within epsilon: half
    for the last, as that is what makes the set small, half for the others, which make it fast."""
    if epsilon < 0:
        raise GraphError(f"epsilon is at least 0, not {epsilon:g}")
    if not epsilon:
        return 0.0, 0.0
    return (1 + epsilon) ** (0.5 / max(_steps(tree), 1)) - 1, (1 + epsilon) ** 0.5 - 1


def _steps(tree: Tree) -> float:
    """Coarsenings whose errors multiply, at most."""
    if isinstance(tree, Fallback | Race | Leaf | Wait):
        return 0
    times = tree.times if isinstance(tree, Loop) else tree.items if isinstance(tree, Spread) else 1
    parts = children(tree)
    return (sum(map(_steps, parts))) * max(times, 1) + len(parts) + 1

"""A partial order as a composition: series and parallel as far as they go, a network for what is neither.

Two rules are applied until nothing changes, each to the transitive reduction; an order is series-parallel exactly if
they leave one part:

    series     u has v as its only successor, v has u as its only predecessor      u ─▶ v
    parallel   u and v have the same predecessors and the same successors          a ─▶ u,v ─▶ b

What is left is kept as it is: nothing is approximated.
Source: Valdes, Tarjan, Lawler, "The recognition of series parallel digraphs" (1982).
"""

from __future__ import annotations

from collections.abc import Mapping

from makespan.passes.tree import EMPTY, Network, Parallel, Series, Tree


def composed(parts: Mapping[int, Tree], before: Mapping[int, set[int]]) -> Tree:
    """The composition of parts, each after those that `before` has for it; others than the given parts are ignored.

    Cost: O(N E / 64) for the reduction, then O(N + E) a nesting level.
    """
    order = in_order(before)
    needs = {place: {each for each in before[place] if each in parts} for place in order}
    trees = {place: parts[place] for place in order}
    _bridge_empty(trees, needs)
    needs = _reduced(trees, needs)
    after = _reversed(needs)
    while _join_twins(trees, needs, after) or _join_chains(trees, needs, after):
        pass
    if len(trees) == 1:
        return next(iter(trees.values()))
    places = {place: index for index, place in enumerate(trees)}
    listed = tuple(tuple(sorted(places[each] for each in needs[place])) for place in trees)
    return _sorted_network(tuple(trees.values()), listed) if trees else EMPTY


def in_order(before: Mapping[int, set[int]]) -> list[int]:
    """The places, each after those before it; equals by their number."""
    left = {place: {each for each in needed if each in before} for place, needed in before.items()}
    after = _reversed(left)
    waiting = {place: len(needed) for place, needed in left.items()}
    ready = sorted((place for place, count in waiting.items() if not count), reverse=True)
    order: list[int] = []
    while ready:
        place = ready.pop()
        order.append(place)
        for each in sorted(after[place], reverse=True):
            waiting[each] -= 1
            if not waiting[each]:
                ready.append(each)
    assert len(order) == len(before), "the order has a cycle"
    return order


def _reversed(needs: Mapping[int, set[int]]) -> dict[int, set[int]]:
    after: dict[int, set[int]] = {place: set() for place in needs}
    for place, needed in needs.items():
        for each in needed:
            after[each].add(place)
    return after


def _bridge_empty(trees: dict[int, Tree], needs: dict[int, set[int]]) -> None:
    """Take parts of nothing out where that makes no more edges; as hubs between many they keep the order simple."""
    after = _reversed(needs)
    for place in [each for each, tree in trees.items() if tree == EMPTY]:
        ins, outs = needs[place], after[place]
        if len(ins) * len(outs) > len(ins) + len(outs):
            continue
        for each in outs:
            needs[each] = (needs[each] - {place}) | ins
        for each in ins:
            after[each] = (after[each] - {place}) | outs
        del trees[place], needs[place], after[place]


def _reduced(trees: Mapping[int, Tree], needs: Mapping[int, set[int]]) -> dict[int, set[int]]:
    """Without edges that a longer way implies."""
    above: dict[int, int] = {}
    found: dict[int, set[int]] = {}
    bit = {place: 1 << index for index, place in enumerate(trees)}
    for place in trees:
        implied = 0
        for each in needs[place]:
            implied |= above[each]
        found[place] = {each for each in needs[place] if not implied & bit[each]}
        above[place] = implied
        for each in needs[place]:
            above[place] |= bit[each]
    return found


def _join_twins(trees: dict[int, Tree], needs: dict[int, set[int]], after: dict[int, set[int]]) -> bool:
    groups: dict[tuple[frozenset[int], frozenset[int]], list[int]] = {}
    for place in trees:
        groups.setdefault((frozenset(needs[place]), frozenset(after[place])), []).append(place)
    twins = [group for group in groups.values() if len(group) > 1]
    for first, *others in twins:
        trees[first] = Parallel((trees[first], *(trees[each] for each in others)))
        for each in others:
            for one in needs[each]:
                after[one].discard(each)
            for one in after[each]:
                needs[one].discard(each)
            del trees[each], needs[each], after[each]
    return bool(twins)


def _join_chains(trees: dict[int, Tree], needs: dict[int, set[int]], after: dict[int, set[int]]) -> bool:
    """Every chain becomes its first part, in one pass."""
    joined = False
    for head in list(trees):
        if head not in trees or _only_link(head, needs, after, forward=False) is not None:
            continue
        chain = [head]
        while (following := _only_link(chain[-1], needs, after, forward=True)) is not None:
            chain.append(following)
        if len(chain) == 1:
            continue
        joined = True
        trees[head] = Series(tuple(trees[each] for each in chain))
        after[head] = after[chain[-1]]
        for each in after[head]:
            needs[each] = (needs[each] - {chain[-1]}) | {head}
        for each in chain[1:]:
            del trees[each], needs[each], after[each]
    return joined


def _only_link(
    place: int, needs: Mapping[int, set[int]], after: Mapping[int, set[int]], *, forward: bool
) -> int | None:
    """The neighbour with which a part makes a chain."""
    ways, back = (after, needs) if forward else (needs, after)
    if len(ways[place]) != 1:
        return None
    (other,) = ways[place]
    return other if len(back[other]) == 1 else None


def _sorted_network(parts: tuple[Tree, ...], needs: tuple[tuple[int, ...], ...]) -> Network:
    """The parts in an order that keeps few of them open at a time: last started, first finished."""
    order = _narrow_order(needs)
    index = {old: new for new, old in enumerate(order)}
    return Network(
        tuple(parts[old] for old in order), tuple(tuple(sorted(index[each] for each in needs[old])) for old in order)
    )


def _narrow_order(needs: tuple[tuple[int, ...], ...]) -> list[int]:
    """Greedy: the part next whose start lets the most others end their wait."""
    users = [sum(place in needed for needed in needs) for place in range(len(needs))]
    order: list[int] = []
    left = set(range(len(needs)))
    while left:
        ready = [each for each in left if left.isdisjoint(needs[each])]

        def widened(each: int) -> tuple[int, int]:
            return (users[each] > 0) - sum(users[one] == 1 for one in needs[each]), each

        chosen = min(ready, key=widened)
        left.discard(chosen)
        order.append(chosen)
        for one in needs[chosen]:
            users[one] -= 1
    return order

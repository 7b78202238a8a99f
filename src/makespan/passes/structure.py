"""A graph as a composition of its tasks: what runs in a row, side by side, or only sometimes.

    inputs ─▶ grade ─┬─ holds ─▶ publish ─┐
                     └─ else ──▶ rewrite ─┴▶ join          Series(grade, Choice(0.8: publish, 0.2: rewrite))

From the inside out: the tasks under a guard and their join become one part with a Choice, the alternatives of a
fallback or of `first` become one part, and what is left is an order (`order.composed`), exactly. Where a part is not
closed (a branch waits for something that the other does not, a candidate is used elsewhere) its time is bounded from
above, and a note says so: nothing is wrong silently.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from itertools import pairwise, takewhile

import msgspec

from makespan.errors import GraphError
from makespan.graph.edges import needs
from makespan.graph.graph import Graph, name_of
from makespan.graph.node import Errors, Kind, Mode, Node
from makespan.graph.query import topological_order
from makespan.passes.guards import Guard, Test, asked, guards_of
from makespan.passes.order import composed, in_order
from makespan.passes.tree import EMPTY, Choice, Fallback, Leaf, Loop, Race, Spread, Tree, Wait
from makespan.values import TaskId

EVEN = 0.5
"""Chance of a condition that nothing is said of."""


class Assumptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a graph does not say. Names are task keys."""

    chances: dict[str, float] = {}
    """How often a condition holds: `grade`, or `grade.ok` for its field."""
    iterations: dict[str, float] = {}
    """How often a task is called in a row; 1 unless said."""
    items: dict[str, float] = {}
    """How many items a map has, by the key of the task or workflow it maps."""


class Structure(msgspec.Struct, frozen=True):
    """The composition, and what was assumed or bounded on the way."""

    tree: Tree
    notes: tuple[str, ...] = ()


def structure(
    graph: Graph,
    assumptions: Assumptions = Assumptions(),  # noqa: B008
    widths: Mapping[str, float] = {},
) -> Structure:
    """The composition of a graph.

    Args:
        widths: task key → mean number of items of its result, for maps that nothing is assumed of.
    Raises:
        GraphError: a chance that is none, a negative count, or an assumption about a task that is not in the graph.
    Cost: O(N + E) and the reduction of `order.composed`.
    """
    reader = _Reader(assumptions, widths)
    tree = reader.build(reader.parts([graph.nodes[task] for task in topological_order(graph)]))
    unknown = sorted(reader.names - reader.asked)
    if unknown:
        raise GraphError(f"an assumption is about {unknown[0]!r}, but {reader.known()}")
    return Structure(tree, tuple(dict.fromkeys(reader.notes)))


class _Part(msgspec.Struct):
    """A task, or several that have become one."""

    tree: Tree
    before: set[int]
    guards: tuple[Guard, ...] = ()
    join: Node | None = None
    """The FIRST node that it is."""
    choices: tuple[int, ...] = ()
    """Places of a join's candidates."""
    gates: tuple[int, ...] = ()
    holds: frozenset[int] = frozenset()
    """Places of the tasks that have become it."""


_Parts = dict[int, _Part]


class _Reader:
    """Reads one graph; places are numbers, so that parts that were made have some too."""

    def __init__(self, assumptions: Assumptions, widths: Mapping[str, float]) -> None:
        self.assumptions, self.widths = assumptions, widths
        for name, chance in assumptions.chances.items():
            if not 0 <= chance <= 1:
                raise GraphError(f"the chance of {name!r} is {chance:g}; it is at least 0 and at most 1")
        for name, count in [*assumptions.iterations.items(), *assumptions.items.items()]:
            if not count >= 0:
                raise GraphError(f"the count of {name!r} is {count:g}; it is at least 0")
        self.names = {*assumptions.chances, *assumptions.iterations, *assumptions.items}
        self.asked: set[str] = set()
        self.places: dict[TaskId, int] = {}
        self.known_nodes: dict[TaskId, Node] = {}
        self.conditions: dict[str, None] = {}
        self.made = 0
        self.notes: list[str] = []

    def known(self) -> str:
        """What assumptions may be about, for a message."""
        tasks = [
            node.key for node in self.known_nodes.values() if node.declaration.kind not in (Kind.VALUE, Kind.FIRST)
        ]
        listed = ", ".join(sorted(set(tasks))[:8])
        conditions = f"; conditions: {', '.join(self.conditions)}" if self.conditions else ""
        return f"the tasks are {listed or 'none'}{conditions}"

    def said(self, about: Mapping[str, float], *names: str) -> float | None:
        """What is assumed under the first of these names that something is said of."""
        self.asked.update(names)
        return next((about[name] for name in names if name in about), None)

    # ------------------------------------------------------------ parts

    def place(self) -> int:
        self.made += 1
        return self.made

    def parts(self, nodes: Iterable[Node]) -> _Parts:
        """A part for each node, in order."""
        found: _Parts = {}
        for node in nodes:
            place = self.places[node.id] = self.place()
            self.known_nodes[node.id] = node
            part = found[place] = _Part(self.leaf(node), {self.places[t] for t in needs(node) if t in self.places})
            sources = [self.places[source.task] for source in node.sources if source.task in self.places]
            part.guards = self.guards(node, found, sources)
            if node.first is not None:
                half = len(sources) // 2 if node.first.gated else len(sources)
                part.join, part.choices, part.gates = node, tuple(sources[:half]), tuple(sources[half:])
        return found

    def guards(self, node: Node, parts: _Parts, sources: list[int]) -> tuple[Guard, ...]:
        """Those of the node and of what it takes values from, as their skip becomes its own; a join ends some."""
        inherited = [parts[each].guards for each in sources if each in parts]
        if node.first is not None:
            common = _common(inherited)
            alone = node.first.default and len(inherited) == 1
            return common[:-1] if alone else common
        found = list(guards_of(node, self.known_nodes))
        if any(source.mode == Mode.OUTCOME for source in node.sources):
            return tuple(found)
        for guards in inherited:
            found = [*guards, *found] if not _starts(found, guards) else found
        return tuple(dict.fromkeys(found))

    def leaf(self, node: Node) -> Tree:
        """The composition of one task."""
        kind = node.declaration.kind
        if kind in (Kind.VALUE, Kind.FIRST, Kind.EDIT):
            return EMPTY
        tree: Tree
        if kind == Kind.TIMER:
            tree = Wait(node.delay_ns)
            if not node.delay_ns:
                self.notes.append(f"how long {name_of(node)} takes is known only when it starts: counted as no time")
        elif kind == Kind.SIGNAL:
            tree = Wait(0)
            self.notes.append(f"{name_of(node)} waits for somebody: counted as no time")
        elif kind == Kind.MAP:
            tree = self.spread(node)
        else:
            tree = Leaf(node.key, node.declaration.options.retries + 1)
        times = self.said(self.assumptions.iterations, node.key)
        return tree if times is None else Loop(tree, times)

    def spread(self, node: Node) -> Tree:
        """A map: its template for as many items as assumed."""
        over = node.over
        assert over is not None
        items = self.said(self.assumptions.items, node.key, node.key.removeprefix("map "))
        if items is None:
            listed = next(source.task for source in node.sources if source.mode == Mode.VALUE)
            maker = asked(listed, self.known_nodes)
            items = self.widths.get(maker, self.widths.get(maker.rpartition(".")[2]))
        if items is None:
            self.notes.append(f"{node.key}: one item, as nothing is said of their number")
            items = 1.0
        body = self.build(self.parts(over.nodes))
        return Spread(body, items, over.limit, over.errors != Errors.RAISE)

    def find(self, parts: _Parts, task: TaskId) -> int:
        """Where a task is among these parts, itself or as a part of one; 0 where it is not."""
        place = self.places.get(task, 0)
        return place if place in parts else next((p for p, part in parts.items() if place in part.holds), 0)

    # ------------------------------------------------------------ compositions

    def build(self, parts: _Parts) -> Tree:
        """The composition of some parts: fallbacks and guards first, then races, then the order."""
        parts = {place: msgspec.structs.replace(part, before=set(part.before)) for place, part in parts.items()}
        for place in list(parts):
            if place in parts and parts[place].join is not None:
                self.contract_fallback(parts, place)
        while (test := next((part.guards[0].test for part in parts.values() if part.guards), None)) is not None:
            self.contract_choice(parts, test)
        for place in list(parts):
            if place in parts and parts[place].join is not None:
                self.contract_race(parts, place)
        return composed({p: part.tree for p, part in parts.items()}, {p: part.before for p, part in parts.items()})

    def contract_fallback(self, parts: _Parts, join: int) -> None:
        """Alternatives that are tried in turn, with their join."""
        node, choices = parts[join].join, parts[join].choices
        assert node is not None
        assert node.first is not None
        if (
            node.first.default
            or node.first.wanted > 1
            or len(choices) < 2
            or any(each not in parts for each in choices)
        ):
            return
        level = len(parts[join].guards)
        regions = [_exclusive(parts, {choices[0]}, join, but=choices[1:])]
        for before, choice in pairwise(choices):
            guard = next(iter(parts[choice].guards[level:]), None)
            if guard is None or not guard.test.on_failure or self.find(parts, guard.test.condition) != before:
                return
            regions.append({place for place, part in parts.items() if part.guards[level : level + 1] == (guard,)})
        inside = set().union(*regions)
        if _between(parts, inside) - {join}:
            return
        self.check_later_alternatives(parts, regions)
        first = {place: parts[place] for place in regions[0]}
        trees = [self.build(_without_guards(first, level))]
        trees += [self.build(_without_guards({p: parts[p] for p in region}, level + 1)) for region in regions[1:]]
        self.replace(parts, inside | {join}, Fallback(tuple(trees)), parts[join].guards)

    def check_later_alternatives(self, parts: _Parts, regions: list[set[int]]) -> None:
        """Note where a later alternative needs what the first does not: as one part they all wait for it."""
        known = _ancestors(parts, regions[0]) | set().union(*regions)
        if any(set(_starts_after(parts, region)) - known for region in regions[1:]):
            self.notes.append("the first of a fallback's tasks waits for what only later ones need: an upper bound")

    def contract_choice(self, parts: _Parts, test: Test) -> None:
        """Everything under one test, with the joins of its branches and what stands between."""
        branches = {
            holds: {p for p, part in parts.items() if part.guards[:1] == (Guard(test, holds),)}
            for holds in (True, False)
        }
        inside = branches[True] | branches[False]
        joins = {
            p for p in parts if (made := parts[p]).join is not None and set(made.choices) <= inside and p not in inside
        }
        inside |= joins
        between = _between(parts, inside)
        inside |= between
        after = {p for p, part in parts.items() if p not in inside and part.before & inside}
        self.conditions[test.name] = None
        chance = self.said(self.assumptions.chances, test.name, test.key)
        if chance is None:
            chance = EVEN
            self.notes.append(f"{test.name} is taken to hold half of the time")
        trees = []
        for holds in (True, False):
            chosen = {p: parts[p] for p in sorted(branches[holds] | joins | between)}
            under = {p: part for p, part in chosen.items() if p in branches[holds]}
            trees.append(self.build({**chosen, **_without_guards(under, 1)}))
        self.check_closed(parts, inside, test, [branches[True], branches[False]], after)
        self.replace(parts, inside, Choice(((chance, trees[0]), (1 - chance, trees[1]))), ())

    def check_closed(
        self, parts: _Parts, inside: Set[int], test: Test, branches: list[set[int]], after: Set[int]
    ) -> None:
        """Note where a choice as one part starts later, or ends later, than some task of it really would."""
        condition = self.find(parts, test.condition)
        certain = _ancestors(parts, {condition}) | {condition}
        waited = {each for p in inside for each in parts[p].before if each in parts} - inside - certain
        if waited and all(branches):
            starts = [p for p in inside if not parts[p].before & inside]
            both = set(waited)
            for place in starts:
                both = both & _ancestors(parts, {place})
            waited -= both
        if waited:
            self.notes.append(
                f"what depends on {test.name} waits for all that any of its branches waits for: an upper bound"
            )
        ends = {p for p in inside if not any(p in parts[other].before for other in inside)}
        if any(not ends <= _ancestors(parts, {p}) for p in after):
            self.notes.append(f"what uses a part of what depends on {test.name} waits for all of it: an upper bound")

    def contract_race(self, parts: _Parts, join: int) -> None:
        """The candidates of a join, each with what only it needs."""
        made = parts[join]
        node = made.join
        assert node is not None
        assert node.first is not None
        choices = [each for each in made.choices if each in parts]
        if len(choices) < 2 or len(choices) != len(made.choices) or node.first.wanted == len(choices):
            return
        gates = [{each} & set(parts) for each in made.gates] or [set[int]() for _ in choices]
        own = [{choice, *gate} for choice, gate in zip(choices, gates, strict=True)]
        regions = [
            _exclusive(parts, ends, join, but=[p for other in own if other is not ends for p in other]) for ends in own
        ]
        inside = set().union(*regions)
        is_used = any(part.before & inside for p, part in parts.items() if p not in inside and p != join)
        if is_used or len(inside) < sum(map(len, regions)) or _between(parts, inside):
            self.notes.append(f"a candidate of {name_of(node)} is used elsewhere too: it waits for all, an upper bound")
            return
        if len({frozenset(_starts_after(parts, region)) for region in regions}) > 1:
            self.notes.append(
                f"the candidates of {name_of(node)} start together, after all of them could: an upper bound"
            )
        trees = tuple(self.build({p: parts[p] for p in sorted(region)}) for region in regions)
        self.replace(parts, inside | {join}, Race(trees, node.first.wanted), ())

    def replace(self, parts: _Parts, inside: Set[int], tree: Tree, guards: tuple[Guard, ...]) -> None:
        """One part in the place of several."""
        place = self.place()
        before = set().union(*(parts[each].before for each in inside)) - inside
        holds = frozenset(inside).union(*(parts[each].holds for each in inside))
        for each in inside:
            del parts[each]
        for part in parts.values():
            if part.before & inside:
                part.before = (part.before - inside) | {place}
            if not inside.isdisjoint(part.choices):
                part.choices = tuple(place if each in inside else each for each in part.choices)
            if not inside.isdisjoint(part.gates):
                part.gates = tuple(place if each in inside else each for each in part.gates)
        parts[place] = _Part(tree, before, guards, holds=holds)
        order = in_order({p: part.before for p, part in parts.items()})
        for each in order:
            parts[each] = parts.pop(each)


# ---------------------------------------------------------------- sets of parts


def _common(guards: list[tuple[Guard, ...]]) -> tuple[Guard, ...]:
    """The longest common beginning."""
    if not guards:
        return ()
    same = takewhile(lambda column: len(set(column)) == 1, zip(*guards, strict=False))
    return tuple(column[0] for column in same)


def _starts(found: list[Guard], guards: tuple[Guard, ...]) -> bool:
    return tuple(found[: len(guards)]) == guards


def _without_guards(parts: Mapping[int, _Part], count: int) -> _Parts:
    return {p: msgspec.structs.replace(part, guards=part.guards[count:]) for p, part in parts.items()}


def _ancestors(parts: _Parts, of: Iterable[int]) -> set[int]:
    found: set[int] = set()
    left = [each for each in of if each in parts]
    while left:
        for each in parts[left.pop()].before:
            if each in parts and each not in found:
                found.add(each)
                left.append(each)
    return found


def _between(parts: _Parts, inside: Set[int]) -> set[int]:
    """What comes after one of these and before another."""
    above = _ancestors(parts, inside)
    below: set[int] = set()
    for place in in_order({p: part.before for p, part in parts.items()}):
        if parts[place].before & (inside | below):
            below.add(place)
    return (above & below) - inside


def _exclusive(parts: _Parts, ends: Set[int], join: int, but: Iterable[int]) -> set[int]:
    """The ends, and all that leads to nothing but them."""
    found, never = set(ends), {*but, join}
    users: dict[int, set[int]] = {}
    for place, part in parts.items():
        for each in part.before:
            users.setdefault(each, set()).add(place)
    for place in reversed(in_order({p: part.before for p, part in parts.items()})):
        if place not in never and place in users and users[place] <= found:
            found.add(place)
    return found


def _starts_after(parts: _Parts, region: Set[int]) -> Iterator[int]:
    """What a region waits for."""
    for place in region:
        yield from (each for each in parts[place].before if each not in region and each in parts)

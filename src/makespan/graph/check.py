"""Whether nodes make sense as one graph: every problem found, each naming its task and what to do.

    problems(nodes) ──▶ [Problem, ...]          check(nodes) ──▶ None, or one GraphError that lists them

It sees shapes, not types of values: `types.py` compares those where the annotations are known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set

import msgspec

from makespan.errors import GraphError
from makespan.graph.edges import find_cycle, needs, outside
from makespan.graph.expression import parse
from makespan.graph.graph import Graph, name_of
from makespan.graph.node import Kind, MapOver, Mode, Node, Scope, is_placeholder, item_placeholder
from makespan.graph.query import levels
from makespan.values import ROOT_SCOPE, ScopeId, TaskId

MAX_LISTED = 8


class Limits(msgspec.Struct, frozen=True):
    """Largest graph allowed; 0 is no limit. `depth` and `width` as in `query`."""

    tasks: int = 0
    depth: int = 0
    width: int = 0


class Problem(msgspec.Struct, frozen=True):
    """One thing wrong. `task` is the node it is about, None for the graph as a whole."""

    message: str
    task: TaskId | None = None


def check(nodes: Iterable[Node], scopes: Iterable[Scope] = (), limits: Limits = Limits()) -> None:  # noqa: B008
    """Raise one GraphError that says all that is wrong. Cost: O(N + E), about 2 us a task."""
    found = problems(nodes, scopes, limits)
    if len(found) == 1:
        raise GraphError(found[0].message)
    if found:
        lines = [f"  - {problem.message}" for problem in found[:MAX_LISTED]]
        more = [f"  and {len(found) - MAX_LISTED} more"] if len(found) > MAX_LISTED else []
        raise GraphError("\n".join([f"{len(found)} things are wrong with this graph:", *lines, *more]))


def problems(
    nodes: Iterable[Node],
    scopes: Iterable[Scope] = (),
    limits: Limits = Limits(),  # noqa: B008
) -> list[Problem]:
    """All that is wrong with nodes and scopes as one graph, in their order; nothing where all is well."""
    listed, named = list(nodes), {scope.id: scope for scope in scopes}
    by_id = {node.id: node for node in listed}
    found = [*repeated(listed), *misplaced_scopes(named)]
    in_order = True
    seen: set[TaskId] = set()
    for node in listed:
        for task in needs(node):
            if task not in seen:
                in_order = False
                if task not in by_id:
                    found.append(dangling(node, task))
        if node.scope != ROOT_SCOPE and node.scope not in named:
            found.append(Problem(f"task {name_of(node)} is in a scope that is not in the graph", node.id))
        found.extend(misshapen(node, 0))
        seen.add(node.id)
    if not in_order:
        found.extend(cyclic(by_id))
    return found or list(too_large(by_id, limits))


def repeated(nodes: list[Node]) -> Iterator[Problem]:
    """Ids used twice, and ids that are placeholders."""
    seen: set[TaskId] = set()
    for node in nodes:
        if node.id in seen:
            yield Problem(f"two tasks have the id of {name_of(node)}; give one its own scope or key", node.id)
        if is_placeholder(node.id):
            yield Problem(f"task {name_of(node)} has the id of a map's item", node.id)
        seen.add(node.id)


def misplaced_scopes(scopes: Mapping[ScopeId, Scope]) -> Iterator[Problem]:
    """Scopes whose parents are unknown or lead in a circle."""
    for scope in scopes.values():
        parent, steps = scope.parent, 0
        while parent != ROOT_SCOPE and parent in scopes and steps <= len(scopes):
            parent, steps = scopes[parent].parent, steps + 1
        if steps > len(scopes):
            yield Problem(f"scope {scope.name!r} is inside itself")
        elif scope.parent != ROOT_SCOPE and scope.parent not in scopes:
            yield Problem(f"scope {scope.name!r} is in a scope that is not in the graph")


def dangling(node: Node, task: TaskId) -> Problem:
    """An edge that leads nowhere."""
    if is_placeholder(task):
        return Problem(f"task {name_of(node)} takes a map's item but is not inside that map", node.id)
    return Problem(f"task {name_of(node)} needs {task.hex()[:8]}, which is not in the graph", node.id)


def cyclic(nodes: Mapping[TaskId, Node]) -> Iterator[Problem]:
    """The first cycle, as the path it takes."""
    cycle = find_cycle(nodes, lambda task: needs(nodes[task]) if task in nodes else [])
    if cycle is not None:
        names = " -> ".join(nodes[task].key for task in (*cycle, cycle[0]))
        yield Problem(f"these tasks need each other: {names}; take one of these edges away", cycle[0])


def too_large(nodes: Mapping[TaskId, Node], limits: Limits) -> Iterator[Problem]:
    """Limits met. Levels are counted only where one of them is asked for."""
    sizes = {"tasks": len(nodes)}
    if limits.depth or limits.width:
        by_level = levels(Graph.of(nodes.values()))
        sizes |= {"depth": len(by_level), "width": max(map(len, by_level), default=0)}
    for name, size in sizes.items():
        allowed = getattr(limits, name)
        if allowed and size > allowed:
            yield Problem(f"the graph's {name} is {size}, at most {allowed} is allowed; raise the limit `{name}`")


def misshapen(node: Node, depth: int) -> Iterator[Problem]:
    """What is wrong with one node by itself. `depth` counts the maps around it."""
    for piece in node.args:
        if isinstance(piece, int) and not 0 <= piece < len(node.sources):
            yield Problem(f"hole {piece} of task {name_of(node)} has no source; it has {len(node.sources)}", node.id)
        elif isinstance(piece, int) and node.sources[piece].mode == Mode.AFTER:
            yield Problem(f"hole {piece} of task {name_of(node)} has a source that gives no value", node.id)
    if node.when:
        names = [f"s{index}" for index in range(len(node.sources))]
        yield from unparsable("when", node.when, names, node)
    if node.declaration.kind != Kind.CALL or node.first or node.over or node.delay_ns:
        yield from misshapen_kind(node, depth)


def unparsable(what: str, text: str, names: Iterable[str], node: Node) -> Iterator[Problem]:
    """An expression that is not one, or reads what is not there."""
    try:
        parse(text, list(names))
    except GraphError as error:
        yield Problem(f"`{what}` of task {name_of(node)}, {error}", node.id)


def misshapen_kind(node: Node, depth: int) -> Iterator[Problem]:
    """What a kind wants and forbids."""
    kind, name = node.declaration.kind, name_of(node)
    if (kind == Kind.FIRST) != (node.first is not None):
        yield Problem(f"task {name}: `first` belongs to the kind FIRST, and to no other", node.id)
    elif node.first is not None:
        yield from misshapen_first(node)
    if (kind == Kind.MAP) != (node.over is not None):
        yield Problem(f"task {name}: `over` belongs to the kind MAP, and to no other", node.id)
    elif node.over is not None:
        yield from misshapen_map(node, node.over, depth)
    if node.delay_ns < 0 or (node.delay_ns and kind not in (Kind.TIMER, Kind.SIGNAL)):
        yield Problem(f"task {name}: a delay is at least 0, and only the kinds TIMER and SIGNAL have one", node.id)
    if (kind == Kind.SIGNAL) != (node.declaration.wait is not None):
        yield Problem(f"task {name}: what it waits for belongs to the kind SIGNAL, and to no other", node.id)


def misshapen_first(node: Node) -> Iterator[Problem]:
    """A FIRST node chooses among values: as many as it wants at least, and one where it gives one."""
    first = node.first
    assert first is not None
    choices = len(node.sources) // 2 if first.gated else len(node.sources)
    if first.gated and len(node.sources) % 2:
        yield Problem(f"task {name_of(node)} is gated, so it needs one gate a choice", node.id)
    if not 1 <= first.wanted <= choices:
        problem = f"wants {first.wanted} of its {choices} choices; want at least 1 and at most all"
        yield Problem(f"task {name_of(node)} {problem}", node.id)
    if first.wanted > 1 and not first.many:
        yield Problem(f"task {name_of(node)} wants {first.wanted} values but gives one; set `many`", node.id)
    if first.accept:
        yield from unparsable("accept", first.accept, ["value"], node)


def misshapen_map(node: Node, over: MapOver, depth: int) -> Iterator[Problem]:
    """A MAP node takes one list; its template is a graph of its own that may also name what is around it."""
    lists = sum(source.mode == Mode.VALUE for source in node.sources)
    if lists != 1:
        yield Problem(f"task {name_of(node)} maps over one list, not {lists}", node.id)
    if over.limit < 0:
        yield Problem(f"task {name_of(node)}: `limit` of a map is at least 0", node.id)
    depth += len(over.items)
    inner: set[TaskId] = set()
    later = {each.id for each in over.nodes}
    for each in over.nodes:
        later.discard(each.id)
        yield from misplaced_in_template(each, inner, later, depth)
        yield from misshapen(each, depth + 1)
        inner.add(each.id)
    if is_placeholder(over.output.task) and not is_item_above(over.output.task, depth):
        yield Problem(f"task {name_of(node)} gives the item of a map that it is not inside", node.id)


def misplaced_in_template(node: Node, before: Set[TaskId], later: Set[TaskId], depth: int) -> Iterator[Problem]:
    """A template is in run order, without repeats, and names only the items of the maps it is inside."""
    if node.id in before or is_placeholder(node.id):
        yield Problem(f"task {name_of(node)} has an id that is taken in its map's template", node.id)
    tasks = [source.task for source in node.sources]
    if node.over is not None:
        tasks.extend(outside(node.over))
    for task in tasks:
        if task in later or task == node.id:
            yield Problem(f"task {name_of(node)} needs one that stands after it in its map's template", node.id)
        elif is_placeholder(task) and not is_item_above(task, depth):
            yield Problem(f"task {name_of(node)} takes the item of a map that it is not inside", node.id)


def is_item_above(task: TaskId, depth: int) -> bool:
    """Whether a placeholder stands for the item of one of the maps around, the one at `depth` included."""
    return task >= item_placeholder(depth)

"""What depends on what: the edges of a node, the same edges led elsewhere, and the search for a cycle.

A template's edges to tasks outside it are edges of its MAP node: the copies will have them.

    search ──▶ MAP ──▶ report          needs(MAP) = (search, style): `style` is used by a task of the template
                ▲
    style ──────┘
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from makespan.graph.node import MapOver, Node, Source, copied, is_placeholder
from makespan.values import TaskId


def needs(node: Node) -> list[TaskId]:
    """The tasks a node waits for or takes from, and those its template names outside it; may repeat."""
    found = [source.task for source in node.sources]
    if node.over is not None:
        found.extend(outside(node.over))
    return found


def outside(template: MapOver) -> Iterator[TaskId]:
    """The tasks outside a template that it names, nested templates included."""
    inner = {node.id for node in template.nodes}
    for node in template.nodes:
        yield from (task for task in needs(node) if task not in inner and not is_placeholder(task))
    for source in (template.output, *template.items):
        if source.task not in inner and not is_placeholder(source.task):
            yield source.task


def redirected(node: Node, targets: Mapping[TaskId, Source]) -> Node:
    """The node with its edges to some tasks led elsewhere, in its template too.

    `targets` says where: an edge keeps its mode, and its path is taken inside the target's.
    """
    changes: dict[str, object] = {}
    if any(source.task in targets for source in node.sources):
        changes["sources"] = tuple(led(source, targets) for source in node.sources)
    if node.over is not None:
        changes["over"] = redirected_template(node.over, targets)
    return copied(node, **changes) if changes else node


def redirected_template(template: MapOver, targets: Mapping[TaskId, Source]) -> MapOver:
    """`redirected` for a template; its own tasks hide targets of the same id."""
    inner = {node.id for node in template.nodes}
    visible = {task: target for task, target in targets.items() if task not in inner}
    return MapOver(
        tuple(redirected(node, visible) for node in template.nodes),
        led(template.output, visible),
        template.errors,
        template.limit,
        tuple(led(item, visible) for item in template.items),
    )


def led(source: Source, targets: Mapping[TaskId, Source]) -> Source:
    """One edge, led elsewhere where the targets say so."""
    target = targets.get(source.task)
    return source if target is None else Source(target.task, target.path + source.path, source.mode)


def find_cycle(starts: Iterable[TaskId], needed: Callable[[TaskId], Collection[TaskId]]) -> list[TaskId] | None:
    """A cycle that can be reached from the starts: each of its tasks needs the next, and the last the first.

    Depth first, without recursion. `needed` gives nothing for a task it does not know.
    Cost: O(N + E) of what can be reached.
    """
    finished: set[TaskId] = set()
    for start in starts:
        path: dict[TaskId, Iterator[TaskId]] = {} if start in finished else {start: iter(needed(start))}
        while path:
            task, left = next(reversed(path.items()))
            following = next((each for each in left if each not in finished), None)
            if following is None:
                finished.add(task)
                del path[task]
            elif following in path:
                on_path = list(path)
                return on_path[on_path.index(following) :]
            else:
                path[following] = iter(needed(following))
    return None

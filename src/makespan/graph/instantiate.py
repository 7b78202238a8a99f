"""One copy of a map's template for one item: placeholders become real tasks.

    template   search(ITEM.name) ──▶ grade(search, ITEM)          ids: placeholders
    item 7     search(docs[7].name) ──▶ grade(search', docs[7])   ids: content in the scope of the item

An id is made of the item's scope, the key, the arguments and the sources as the template has them, so `ITEM`
stands for the item in it: the place of the item in its list is in the sources and never in an id, and equal
items get equal ids wherever they stand. A map inside a map keeps the outer item as a placeholder too
(`item_placeholder(depth)`) and learns in `MapOver.items` where it is; otherwise the outer item's place would
be in the inner ids.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from makespan.graph.digest import ENCODER, occurrence, task_id
from makespan.graph.edges import led, redirected_template
from makespan.graph.node import MapOver, Node, Source, copied, item_placeholder
from makespan.values import ScopeId, TaskId


class Instance(msgspec.Struct, frozen=True):
    """The tasks of one item, in the template's order, and where its result is."""

    nodes: tuple[Node, ...]
    output: Source


def instantiate(template: MapOver, item: Source, scope: ScopeId) -> Instance:
    """The template's tasks for one item.

    Args:
        template: in run order, as `check` wants it; `items` say where the items of the maps around it are.
        item: where this item is: the list's task, and the path to the item in it.
        scope: the item's own; follows from what the item is, not from where it stands.
    Returns:
        Nodes with real ids. Equal nodes get the ids of first, second, ... occurrence, in the template's
        order.
    Cost: about 5 us a node.
    """
    items = (*template.items, item)
    places: dict[TaskId, Source] = {item_placeholder(depth): each for depth, each in enumerate(items)}
    real: dict[TaskId, Source] = {}
    seen: dict[TaskId, int] = {}
    nodes: list[Node] = []
    for node in template.nodes:
        first = content(node, scope, real)
        task = occurrence(first, seen.get(first, 0))
        seen[first] = seen.get(first, 0) + 1
        nodes.append(placed(node, task, scope, real, places, items))
        real[node.id] = Source(task)
    return Instance(tuple(nodes), led(led(template.output, real), places))


def content(node: Node, scope: ScopeId, real: Mapping[TaskId, Source]) -> TaskId:
    """The id of the first node with this content, where tasks are real already and items still stand-ins."""
    said = ENCODER.encode((node.args, [led(source, real) for source in node.sources], node.delay_ns))
    return task_id(scope, node.key.encode(), said)


def placed(
    node: Node,
    task: TaskId,
    scope: ScopeId,
    real: Mapping[TaskId, Source],
    places: Mapping[TaskId, Source],
    items: tuple[Source, ...],
) -> Node:
    """A template's node as a real one."""
    over = node.over
    if over is not None:
        over = msgspec.structs.replace(redirected_template(over, real), items=items)
    sources = tuple(led(led(source, real), places) for source in node.sources)
    return copied(node, id=task, scope=scope, sources=sources, over=over)

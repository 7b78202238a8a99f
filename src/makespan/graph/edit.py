"""The only door through which a graph changes: edits as data, judged by the graph they lead to.

    apply(graph, edit) ──▶ new graph, or EditRefused(reason) and the old one as it was
    inverse(graph, edit) ──▶ the edit that leads back

An edit is atomic: a batch may pass through states that make no sense and is judged at its end. Tasks that
started are never altered, and neither are the edges into them. `draft.py` does the work; an edit that adds
one task goes past it.
"""

from __future__ import annotations

from collections.abc import Container

import msgspec

from makespan.graph.draft import Draft, Fits
from makespan.graph.edges import needs
from makespan.graph.graph import EditRefused, Graph, Refusal, name_of
from makespan.graph.node import Node, Scope, Source, is_placeholder
from makespan.values import ROOT_SCOPE, ScopeId, TaskId


class AddTasks(msgspec.Struct, frozen=True, tag=True):
    """New tasks, in any order, and the new scopes they are in."""

    nodes: tuple[Node, ...] = ()
    scopes: tuple[Scope, ...] = ()


class RemoveTask(msgspec.Struct, frozen=True, tag=True):
    """One task away. What depends on it must go or be rewired in the same edit."""

    id: TaskId


class RemoveScopes(msgspec.Struct, frozen=True, tag=True):
    """Scopes away that nothing is in."""

    ids: tuple[ScopeId, ...]


class Rewire(msgspec.Struct, frozen=True, tag=True):
    """Other inputs for one task; its id stays what it was."""

    id: TaskId
    sources: tuple[Source, ...]
    args: tuple[bytes | int, ...]


class ReplaceTask(msgspec.Struct, frozen=True, tag=True):
    """Another task in the place of one; what depended on the old id now depends on the new."""

    id: TaskId
    node: Node


class ExpandTask(msgspec.Struct, frozen=True, tag=True):
    """A sub-graph in the place of one task; what depended on that now depends on `output`."""

    id: TaskId
    nodes: tuple[Node, ...]
    output: TaskId
    scopes: tuple[Scope, ...] = ()


class Batch(msgspec.Struct, frozen=True, tag=True):
    """Several edits as one: all or nothing."""

    edits: tuple[Edit, ...]


Edit = AddTasks | RemoveTask | RemoveScopes | Rewire | ReplaceTask | ExpandTask | Batch


def apply(
    graph: Graph,
    edit: Edit,
    frozen: Container[TaskId] = (),
    *,
    max_tasks: int = 0,
    fits: Fits | None = None,
) -> Graph:
    """The graph after an edit.

    Args:
        frozen: tasks that started; they and the edges into them stay as they are.
        max_tasks: most tasks the graph may have afterwards; 0 is no limit.
        fits: whether one declaration's result can stand where another's stood; None accepts all.
    Raises:
        EditRefused: with a typed `reason`; also where the new graph would not make sense.
    Cost: 1.5 to 2 us to add one task; otherwise O(edit), plus O(N + E) once where tasks are removed or
    replaced.
    """
    if type(edit) is AddTasks and len(edit.nodes) == 1 and not edit.scopes:
        return with_one(graph, edit.nodes[0], max_tasks)
    draft = Draft(graph, frozen, fits)
    perform(draft, edit)
    return draft.finished(max_tasks)


def inverse(graph: Graph, edit: Edit) -> Edit:
    """The edit that leads back to `graph` from `apply(graph, edit)`, which must be possible.

    Cost: that of the edit.
    """
    draft = Draft(graph)
    perform(draft, edit)
    return reverting(draft)


def with_one(graph: Graph, node: Node, max_tasks: int) -> Graph:
    """`apply` for one new task: nothing depends on it yet, so it can close no cycle but with itself."""
    if node.id in graph.tasks or is_placeholder(node.id):
        raise EditRefused(Refusal.DUPLICATE, f"task {name_of(node)} is already in the graph")
    needs_itself = False
    for task in needs(node):
        if task == node.id:
            needs_itself = True
        elif task not in graph.tasks:
            raise EditRefused(Refusal.DANGLING, f"task {name_of(node)} needs {task.hex()[:8]}, which is not there")
    if node.scope != ROOT_SCOPE and graph.scope(node.scope) is None:
        raise EditRefused(Refusal.DANGLING, f"task {name_of(node)} is in a scope that is not there")
    if needs_itself:
        raise EditRefused(Refusal.CYCLE, f"task {name_of(node)} would need itself")
    if max_tasks and len(graph) >= max_tasks:
        raise EditRefused(Refusal.LIMIT, f"the graph may have at most {max_tasks} tasks")
    return graph.add(node)


def perform(draft: Draft, edit: Edit) -> None:
    """Carry out an edit on a draft."""
    match edit:
        case AddTasks(nodes, scopes):
            draft.add(nodes, scopes)
        case RemoveTask(task):
            draft.remove(task)
        case RemoveScopes(scopes):
            draft.remove_scopes(scopes)
        case Rewire(task, sources, args):
            draft.alter(msgspec.structs.replace(draft.known(task), sources=sources, args=args))
        case ReplaceTask(task, node):
            if task == node.id:
                draft.retype(draft.known(task), node)
                draft.alter(node)
            else:
                draft.exchange(task, (node,), node.id)
        case ExpandTask(task, nodes, output, scopes):
            draft.exchange(task, nodes, output, scopes)
        case Batch(edits):
            for each in edits:
                perform(draft, each)


def reverting(draft: Draft) -> Edit:
    """The edit that undoes what a draft holds: bring back, change back, take away."""
    before = {task: draft.graph.get(task) for task in draft.nodes}
    gone = [node for task, node in before.items() if node is not None and draft.nodes[task] is None]
    scopes = {scope: draft.graph.scope(scope) for scope in draft.scopes}
    gone_scopes = [scope for scope in scopes.values() if scope is not None]
    edits: list[Edit] = [AddTasks(tuple(gone), tuple(gone_scopes))] if gone or gone_scopes else []
    for task, after in draft.nodes.items():
        node = before[task]
        if node is not None and after is not None and node != after:
            edits.append(ReplaceTask(task, node))
        elif node is None and after is not None:
            edits.append(RemoveTask(task))
    new_scopes = tuple(scope for scope, after in draft.scopes.items() if after and scopes[scope] is None)
    if new_scopes:
        edits.append(RemoveScopes(new_scopes))
    return edits[0] if len(edits) == 1 else Batch(tuple(edits))

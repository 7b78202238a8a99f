"""Edits while the run goes on: checked against what has started, applied whole, or refused with a reason.

The edit is tried on a `Graph` of the run as it stands now; the difference between the two graphs becomes facts. What
has started is frozen: it can be read by new tasks, never altered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from makespan.graph.edit import Edit, apply
from makespan.graph.graph import EditRefused as Refused
from makespan.graph.graph import Graph
from makespan.graph.node import Node, Scope, Source
from makespan.machine.facts import EditApplied, EditRefused, ScopeAdded, TaskRemoved, TaskRewired
from makespan.machine.observations import EditAsked
from makespan.machine.requests import add_node
from makespan.machine.state import State, Status
from makespan.values import ROOT_SCOPE, Nanos, NanoUsd, ScopeId, TaskId

if TYPE_CHECKING:
    from makespan.machine.machine import Machine


def realised(state: State) -> Graph:
    """The run's graph after all edits, maps and live calls. Cost: about 3 µs a task."""
    nodes = [node_of(state, task.number) for task in state.tasks if task.status != Status.REMOVED]
    scopes = [
        Scope(
            ScopeId(scope.id),
            ScopeId(state.scopes[scope.parent].id),
            scope.name,
            None if scope.budget is None else NanoUsd(scope.budget),
            None if scope.deadline_ns is None else Nanos(scope.deadline_ns),
            scope.limit,
        )
        for scope in state.scopes[1:]
    ]
    return Graph.of(nodes, scopes)


def node_of(state: State, number: int) -> Node:
    """A task of the run as a node of a graph."""
    task = state.tasks[number]
    spec = task.spec
    sources = tuple(Source(TaskId(state.tasks[n].spec.id), path, mode) for n, path, mode in spec.sources)
    scope = ScopeId(state.scopes[spec.scope].id)
    return Node(
        TaskId(spec.id),
        task.declaration,
        scope,
        spec.args,
        sources,
        spec.when,
        spec.label,
        spec.first,
        spec.over,
        Nanos(spec.delay_ns),
    )


def decide(machine: Machine, asked: EditAsked) -> None:
    """Apply an edit as facts, or refuse it with a typed reason. A refused edit leaves nothing behind."""
    state, kind = machine.state, type(asked.edit).__name__
    if state.edits >= state.limits.edits:
        machine.emit(
            EditRefused(
                machine.now, asked.author, kind, "limit", f"the limit `edits` is {state.limits.edits}"
            )
        )
        return
    before = realised(state)
    started = frozenset(TaskId(t.spec.id) for t in state.tasks if t.status > Status.READY or t.attempt)
    try:
        after = apply(before, asked.edit, started, max_tasks=state.limits.tasks)
    except Refused as refusal:
        machine.emit(EditRefused(machine.now, asked.author, kind, str(refusal.reason), str(refusal)))
        return
    _emit_difference(machine, before, after, asked.author, kind)


def _emit_difference(machine: Machine, before: Graph, after: Graph, author: str, kind: str) -> None:
    added = [node for node in after if node.id not in before]
    machine.emit(EditApplied(machine.now, author, kind, len(added)))
    for scope in after.scopes.values():
        if scope.id not in before.scopes:
            parent = machine.state.scope_index[scope.parent]
            machine.emit(
                ScopeAdded(
                    scope.id, parent, scope.name, machine.now, scope.budget, scope.deadline_ns, scope.limit
                )
            )
    for node in _in_run_order(machine.state, added):
        add_node(
            machine, node, machine.state.scope_index.get(node.scope, machine.state.scope_index[ROOT_SCOPE])
        )
    index = machine.state.index
    for node in after:
        old = before.get(node.id)
        if old is not None and (old.sources != node.sources or old.args != node.args):
            edges = tuple((index[s.task], s.path, s.mode) for s in node.sources)
            machine.emit(TaskRewired(index[node.id], node.args, edges))
    for node in before:
        if node.id not in after:
            machine.emit(TaskRemoved(index[node.id], machine.now))


def _in_run_order(state: State, nodes: list[Node]) -> list[Node]:
    """New nodes so that each comes after those it reads."""
    waiting, ordered, placed = {node.id: node for node in nodes}, list[Node](), set(state.index)
    while waiting:
        ready = [node for node in waiting.values() if all(source.task in placed for source in node.sources)]
        assert ready, "an applied edit is acyclic"
        for node in ready:
            ordered.append(node)
            placed.add(node.id)
            del waiting[node.id]
    return ordered


__all__ = ["Edit", "decide", "node_of", "realised"]

"""The realised graph of a run: what its template became after all edits, maps and live calls."""

from __future__ import annotations

from makespan.graph.graph import Graph
from makespan.graph.node import Node, Scope, Source
from makespan.machine.records import Status, TaskState
from makespan.machine.state import State
from makespan.values import Nanos, NanoUsd, ScopeId, TaskId


def realised_graph(state: State) -> Graph:
    """Every task that was not removed, with its latest wiring. Cost: O(tasks + edges)."""
    nodes = [_node(state, task) for task in state.tasks if task.status != Status.REMOVED]
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


def _node(state: State, task: TaskState) -> Node:
    spec = task.spec
    sources = tuple(Source(TaskId(state.tasks[n].spec.id), path, mode) for n, path, mode in spec.sources)
    return Node(
        TaskId(spec.id),
        task.declaration,
        ScopeId(state.scopes[spec.scope].id),
        spec.args,
        sources,
        spec.when,
        spec.label,
        spec.first,
        spec.over,
        Nanos(spec.delay_ns),
    )

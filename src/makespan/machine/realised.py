"""The realised graph of a run: what its template became after all edits, maps and live calls."""

from __future__ import annotations

from makespan.graph.graph import Graph
from makespan.graph.node import Node, Scope, Source
from makespan.machine.records import Status
from makespan.machine.state import State
from makespan.values import Nanos, NanoUsd, ScopeId, TaskId


def realised(state: State) -> Graph:
    """The run's graph after all edits, maps and live calls. Cost: about 3 µs a task."""
    nodes = [node_of(state, task.number) for task in state.tasks if task.status != Status.REMOVED]
    return Graph.of(nodes, [scope_of(state, number) for number in range(1, len(state.scopes))])


def scope_of(state: State, number: int) -> Scope:
    """A scope of the run as one of a graph."""
    scope = state.scopes[number]
    return Scope(
        ScopeId(scope.id),
        ScopeId(state.scopes[scope.parent].id),
        scope.name,
        None if scope.budget is None else NanoUsd(scope.budget),
        None if scope.deadline_ns is None else Nanos(scope.deadline_ns),
        scope.limit,
        scope.undo,
    )


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

"""The facts of a run's first turn: its header, and its root task or its traced graph."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import msgspec

from makespan.graph.node import Declaration, Node, Scope
from makespan.machine.facts import (
    DeclarationAdded,
    Edge,
    Fact,
    GraphAdded,
    GraphBody,
    ScopeAdded,
    TaskAdded,
    encode_graph,
)
from makespan.values import ROOT_SCOPE, Blob

INLINE_BYTES = 1024
"""A larger graph is stored once, under its digest, for all runs that use it."""


class Opening(msgspec.Struct, frozen=True):
    """What follows the header in a run's first turn: its facts, the blobs they name, and what a `GraphAdded` among them
    holds. The same for every run of one graph."""

    facts: list[Fact]
    blobs: list[tuple[bytes, bytes]]
    graph: Sequence[Fact]


def opening(nodes: Sequence[Node], scopes: Sequence[Scope]) -> Opening:
    """The facts that bring a graph into a run.

    Args:
        nodes: in an order in which every node comes after those it reads.
    Cost: about 1 µs a task.
    """
    facts = graph_facts(nodes, scopes)
    if len(nodes) == 1:
        return Opening(list(facts), [], ())
    body = encode_graph(GraphBody(facts))
    if len(body) <= INLINE_BYTES:
        return Opening([GraphAdded(body)], [], facts)
    digest = sha256(body).digest()
    return Opening([GraphAdded(Blob(digest, len(body)))], [(digest, body)], facts)


def graph_facts(nodes: Sequence[Node], scopes: Sequence[Scope]) -> list[DeclarationAdded | ScopeAdded | TaskAdded]:
    """A graph as facts, numbered from zero, so that equal graphs give equal bytes."""
    facts: list[DeclarationAdded | ScopeAdded | TaskAdded] = []
    declared: dict[int, int] = {}
    equal: dict[Declaration, int] = {}
    numbers = {node.id: number for number, node in enumerate(nodes)}
    inside = {ROOT_SCOPE: 0}
    for scope in scopes:
        facts.append(
            ScopeAdded(
                scope.id,
                inside[scope.parent],
                scope.name,
                0,
                scope.budget,
                scope.deadline_ns,
                scope.limit,
                undo=scope.undo,
                tolerant=scope.tolerant,
            )
        )
        inside[scope.id] = len(inside)
    for node in nodes:
        declaration = node.declaration
        number = declared.get(id(declaration))
        if number is None:
            number = equal.get(declaration)
            if number is None:
                number = equal[declaration] = len(equal)
                facts.append(DeclarationAdded(declaration))
            declared[id(declaration)] = number
        sources = tuple([(numbers[s.task], s.path, s.mode) for s in node.sources])
        facts.append(task_added(node, number, inside[node.scope], sources))
    return facts


def task_added(node: Node, declaration: int, scope: int, sources: tuple[Edge, ...]) -> TaskAdded:
    """A node in the run's numbers."""
    return TaskAdded(
        declaration,
        scope,
        node.id,
        node.args,
        sources,
        node.when,
        node.label,
        node.first,
        node.over,
        node.delay_ns,
    )

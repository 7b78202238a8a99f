"""The facts of a run's first turn: its header, and its root task or its traced graph."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from makespan.graph.node import Declaration, Node, Scope
from makespan.machine.facts import (
    DeclarationAdded,
    Fact,
    GraphAdded,
    GraphBody,
    RunStarted,
    ScopeAdded,
    TaskAdded,
    encode_graph,
)
from makespan.values import ROOT_SCOPE, Blob

INLINE_BYTES = 1024
"""A larger graph is stored once, under its digest, for all runs that use it."""


def opening(header: RunStarted, nodes: Sequence[Node], scopes: Sequence[Scope]) -> tuple[list[Fact], list[tuple[bytes, bytes]]]:
    """Facts of the first turn, and the blobs they name.

    Args:
        nodes: in an order in which every node comes after those it reads.
    """
    facts = graph_facts(nodes, scopes)
    if len(nodes) == 1:
        return [header, *facts], []
    body = encode_graph(GraphBody(facts))
    if len(body) <= INLINE_BYTES:
        return [header, GraphAdded(body)], []
    digest = sha256(body).digest()
    return [header, GraphAdded(Blob(digest, len(body)))], [(digest, body)]


def graph_facts(nodes: Sequence[Node], scopes: Sequence[Scope]) -> list[DeclarationAdded | ScopeAdded | TaskAdded]:
    """A graph as facts, numbered from zero, so that equal graphs give equal bytes."""
    facts: list[DeclarationAdded | ScopeAdded | TaskAdded] = []
    declared: dict[int, int] = {}
    equal: dict[Declaration, int] = {}
    numbers = {node.id: number for number, node in enumerate(nodes)}
    inside = {ROOT_SCOPE: 0}
    for scope in scopes:
        facts.append(ScopeAdded(scope.id, inside[scope.parent], scope.name, 0, scope.budget, scope.deadline_ns, scope.limit))
        inside[scope.id] = len(inside)
    for node in nodes:
        declaration = node.declaration
        number = declared.get(id(declaration))
        if number is None:
            number = equal.setdefault(declaration, len(equal))
            if number == len(equal) - 1 and number not in declared.values():
                facts.append(DeclarationAdded(declaration))
            declared[id(declaration)] = number
        sources = tuple([(numbers[s.task], s.path, s.mode) for s in node.sources])
        facts.append(
            TaskAdded(
                number, inside[node.scope], node.id, node.args, sources, node.when, node.label, node.first, node.over, node.delay_ns
            )
        )
    return facts

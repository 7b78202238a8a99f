"""The graph: a frozen set of nodes and scopes, of which every change makes a new version that shares almost
all.

It keeps ids unique and nothing else: `check.py` says whether a graph makes sense, `edit.py` changes one
safely. The machine never asks it per event; it keeps arrays of its own, fed by edits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

import msgspec

from makespan.errors import GraphError
from makespan.graph.edges import needs
from makespan.graph.layered import Layered
from makespan.graph.node import Node, Scope
from makespan.values import ScopeId, TaskId


class Refusal(StrEnum):
    """Why a graph cannot be changed as asked."""

    CYCLE = "cycle"
    UNKNOWN_TASK = "unknown_task"
    ALREADY_STARTED = "already_started"
    DUPLICATE = "duplicate"
    DANGLING = "dangling"
    TYPE_MISMATCH = "type_mismatch"
    LIMIT = "limit"
    INVALID = "invalid"
    """A task that makes no sense by itself: a guard that cannot be read, a map without a list."""


class EditRefused(GraphError):
    """A change of a graph was refused; the graph is as it was. `reason` says why, the message says where."""

    def __init__(self, reason: Refusal, problem: str) -> None:
        super().__init__(f"edit refused ({reason}): {problem}")
        self.reason, self.problem = reason, problem


class Graph(msgspec.Struct, frozen=True, eq=False):
    """Nodes by id, scopes by id. Equal when both are, in whatever order they came. No hash: use `digest`.

    `flat` and `reverse` are caches, filled when first asked for.
    """

    tasks: Layered[TaskId, Node] = Layered()
    named: Layered[ScopeId, Scope] = Layered()
    flat: dict[TaskId, Node] | None = None
    reverse: dict[TaskId, tuple[TaskId, ...]] | None = None

    @staticmethod
    def of(nodes: Iterable[Node] = (), scopes: Iterable[Scope] = ()) -> Graph:
        """A graph of these nodes and scopes. Raises EditRefused (duplicate) where two share an id."""
        return Graph().add_all(nodes, scopes)

    def add(self, node: Node) -> Graph:
        """With one more node. Raises EditRefused (duplicate). Cost: 0.7 to 0.9 us, amortised, at any size."""
        tasks = self.tasks.added(node.id, node)
        if tasks is None:
            raise EditRefused(Refusal.DUPLICATE, f"task {name_of(node)} is already in the graph")
        return Graph(tasks, self.named)

    def add_all(self, nodes: Iterable[Node], scopes: Iterable[Scope] = ()) -> Graph:
        """With more nodes and scopes. A scope that is there already, in the same words, is fine."""
        tasks = self.tasks
        changes: dict[TaskId, Node | None] = {}
        for node in nodes:
            if node.id in changes or node.id in tasks:
                raise EditRefused(Refusal.DUPLICATE, f"task {name_of(node)} is already in the graph")
            changes[node.id] = node
        return self.changed(changes, self.new_scopes(scopes))

    def new_scopes(self, scopes: Iterable[Scope]) -> dict[ScopeId, Scope | None]:
        """The scopes that are not here yet. Raises EditRefused where one is here with other limits."""
        changes: dict[ScopeId, Scope | None] = {}
        for scope in scopes:
            known = changes.get(scope.id) or self.named.get(scope.id)
            if known is None:
                changes[scope.id] = scope
            elif known != scope:
                raise EditRefused(Refusal.DUPLICATE, f"scope {scope.name!r} is there already, with other limits")
        return changes

    def changed(
        self, nodes: Mapping[TaskId, Node | None], scopes: Mapping[ScopeId, Scope | None] | None = None
    ) -> Graph:
        """With nodes and scopes set, or removed where they are None. Checks nothing."""
        return Graph(
            self.tasks.changed(nodes) if nodes else self.tasks,
            self.named.changed(scopes) if scopes else self.named,
        )

    def remove(self, task: TaskId) -> Graph:
        """Without one node. Raises EditRefused (unknown_task). Looks at no edge: `apply` an edit for that."""
        self.known(task)
        return self.changed({task: None})

    def replace(self, node: Node) -> Graph:
        """With another node under the same id. Raises EditRefused (unknown_task)."""
        self.known(node.id)
        return self.changed({node.id: node})

    def get(self, task: TaskId) -> Node | None:
        """The node with this id, or None."""
        return self.tasks.get(task)

    def known(self, task: TaskId) -> Node:
        """The node with this id. Raises EditRefused (unknown_task)."""
        node = self.tasks.get(task)
        if node is None:
            raise EditRefused(Refusal.UNKNOWN_TASK, f"there is no task {task.hex()[:12]} in the graph")
        return node

    @property
    def nodes(self) -> Mapping[TaskId, Node]:
        """All nodes by id, oldest first. Cost: O(N) once a version; do not change it."""
        if self.flat is None:
            msgspec.structs.force_setattr(self, "flat", self.tasks.flat())
        assert self.flat is not None
        return self.flat

    @property
    def scopes(self) -> Mapping[ScopeId, Scope]:
        """All scopes by id. The root scope is never among them. Cost: O(scopes)."""
        return self.named.flat()

    def scope(self, scope: ScopeId) -> Scope | None:
        """The scope with this id, or None."""
        return self.named.get(scope)

    def dependents(self, task: TaskId) -> tuple[TaskId, ...]:
        """The tasks that need a task, each once. Cost: O(N + E) once a version, then O(1)."""
        if self.reverse is None:
            msgspec.structs.force_setattr(self, "reverse", reversed_edges(self.nodes))
        assert self.reverse is not None
        return self.reverse.get(task, ())

    def __contains__(self, task: TaskId) -> bool:
        return self.tasks.get(task) is not None

    def __len__(self) -> int:
        return self.tasks.size

    def __iter__(self) -> Iterator[Node]:
        """Nodes, oldest first: in the order written for a graph that was only added to."""
        return iter(self.nodes.values())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Graph):
            return NotImplemented
        return self.nodes == other.nodes and self.scopes == other.scopes

    __hash__ = None  # type: ignore[assignment]


def reversed_edges(nodes: Mapping[TaskId, Node]) -> dict[TaskId, tuple[TaskId, ...]]:
    """For every task that something depends on: its dependents, each once, oldest first."""
    found: dict[TaskId, dict[TaskId, None]] = {}
    for task, node in nodes.items():
        for needed in needs(node):
            found.setdefault(needed, {})[task] = None
    return {task: tuple(dependents) for task, dependents in found.items()}


def name_of(node: Node) -> str:
    """What a message calls a task: its label or key, and the start of its id."""
    return f"{node.label or node.declaration.key} ({node.id.hex()[:8]})"

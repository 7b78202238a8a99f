"""Changes of one edit on their way into a graph: collected first, judged together at the end.

Knows what an edit may do to tasks, not what edits look like. Has one owner, the `apply` that made it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable

from makespan.graph.edges import find_cycle, needs, redirected
from makespan.graph.graph import EditRefused, Graph, Refusal, name_of
from makespan.graph.node import Declaration, Node, Scope, Source, is_placeholder
from makespan.values import ROOT_SCOPE, ScopeId, TaskId

Fits = Callable[[Declaration, Declaration], bool]
"""Whether the result of the second declaration can stand where that of the first stood."""


class Draft:
    """What an edit changes: `nodes` and `scopes` hold the new state, None for what goes."""

    def __init__(self, graph: Graph, frozen: Container[TaskId] = (), fits: Fits | None = None) -> None:
        self.graph, self.frozen, self.fits = graph, frozen, fits
        self.nodes: dict[TaskId, Node | None] = {}
        self.scopes: dict[ScopeId, Scope | None] = {}
        self.is_extension = True
        """Whether every new edge leads from a new task to an older one: then no cycle can close."""

    def get(self, task: TaskId) -> Node | None:
        """A node as the draft has it."""
        return self.nodes[task] if task in self.nodes else self.graph.get(task)

    def known(self, task: TaskId) -> Node:
        """`get`, refusing an unknown task."""
        node = self.get(task)
        if node is None:
            raise EditRefused(Refusal.UNKNOWN_TASK, f"there is no task {task.hex()[:8]} in the graph")
        return node

    def scope(self, scope: ScopeId) -> Scope | None:
        """A scope as the draft has it."""
        return self.scopes[scope] if scope in self.scopes else self.graph.scope(scope)

    def add(self, nodes: Iterable[Node], scopes: Iterable[Scope] = ()) -> None:
        """New tasks and scopes. A scope that is there already, in the same words, is fine."""
        for scope in scopes:
            present = self.scope(scope.id)
            if present is not None and present != scope:
                raise EditRefused(Refusal.DUPLICATE, f"scope {scope.name!r} is there already, with other limits")
            if present is None:
                self.scopes[scope.id] = scope
        for node in nodes:
            if self.get(node.id) is not None or is_placeholder(node.id):
                raise EditRefused(Refusal.DUPLICATE, f"task {name_of(node)} is already in the graph")
            if self.is_extension:
                self.is_extension = all(self.get(task) is not None for task in needs(node))
            self.nodes[node.id] = node

    def remove(self, task: TaskId) -> None:
        """One task away."""
        self.refuse_frozen(self.known(task))
        self.nodes[task] = None

    def remove_scopes(self, scopes: Iterable[ScopeId]) -> None:
        """Scopes away."""
        for scope in scopes:
            if self.scope(scope) is None:
                raise EditRefused(Refusal.DANGLING, f"there is no scope {scope.hex()[:8]} in the graph")
            self.scopes[scope] = None

    def alter(self, node: Node) -> None:
        """Another node under the id of a known one."""
        self.refuse_frozen(self.known(node.id))
        self.nodes[node.id] = node
        self.is_extension = False

    def exchange(self, task: TaskId, nodes: Collection[Node], output: TaskId, scopes: Iterable[Scope] = ()) -> None:
        """New tasks in the place of one; what depended on it depends on the output."""
        old = self.known(task)
        dependents = self.dependents(task)
        self.remove(task)
        self.add(nodes, scopes)
        if dependents:
            self.retype(old, self.known(output))
        for dependent in dependents if output != task else ():
            self.alter(redirected(self.known(dependent), {task: Source(output)}))

    def dependents(self, task: TaskId) -> list[TaskId]:
        """What depends on a task as the draft has it."""
        present = [each for each in self.graph.dependents(task) if each not in self.nodes]
        return present + [each for each, node in self.nodes.items() if node and task in needs(node)]

    def retype(self, old: Node, new: Node) -> None:
        """Refuse a result that does not fit where another stood."""
        if self.fits is not None and not self.fits(old.declaration, new.declaration):
            raise EditRefused(
                Refusal.TYPE_MISMATCH,
                f"{name_of(new)} gives {new.declaration.returns or 'another type'}, but what depends on "
                f"{name_of(old)} takes {old.declaration.returns or 'its type'}; put a pure task in between",
            )

    def refuse_frozen(self, node: Node) -> None:
        if node.id in self.frozen:
            raise EditRefused(Refusal.ALREADY_STARTED, f"task {name_of(node)} has started and stays as it is")

    def finished(self, max_tasks: int = 0) -> Graph:
        """The graph with the changes. Raises EditRefused where it would not make sense."""
        self.refuse_dangling()
        if any(scope is None for scope in self.scopes.values()):
            self.refuse_scopes_in_use()
        if not self.is_extension:
            self.refuse_cycle()
        graph = self.graph.changed(self.nodes, self.scopes)
        if max_tasks and len(graph) > max(max_tasks, len(self.graph)):
            raise EditRefused(Refusal.LIMIT, f"{len(graph)} tasks, but the graph may have at most {max_tasks}")
        return graph

    def refuse_dangling(self) -> None:
        """Every edge and scope of a changed node leads somewhere, and nothing that stays needs what goes."""
        for task, node in self.nodes.items():
            if node is None:
                left = [each for each in self.graph.dependents(task) if each not in self.nodes]
                if left:
                    dependent = name_of(self.known(left[0]))
                    raise EditRefused(Refusal.DANGLING, f"task {dependent} needs {task.hex()[:8]}, which would be gone")
            else:
                self.refuse_loose(node)
        for scope in self.scopes.values():
            if scope is not None and scope.parent != ROOT_SCOPE and self.scope(scope.parent) is None:
                raise EditRefused(Refusal.DANGLING, f"scope {scope.name!r} is in a scope that is not there")

    def refuse_loose(self, node: Node) -> None:
        """Refuse a node whose sources or scope are not there."""
        for task in needs(node):
            if self.get(task) is None:
                raise EditRefused(Refusal.DANGLING, f"task {name_of(node)} needs {task.hex()[:8]}, which is not there")
        if node.scope != ROOT_SCOPE and self.scope(node.scope) is None:
            raise EditRefused(Refusal.DANGLING, f"task {name_of(node)} is in a scope that is not there")

    def refuse_scopes_in_use(self) -> None:
        """Refuse to take a scope away that something is in. Cost: O(N)."""
        gone = {scope for scope, after in self.scopes.items() if after is None}
        nodes: dict[TaskId, Node | None] = {**self.graph.nodes, **self.nodes}
        for node in nodes.values():
            if node is not None and node.scope in gone:
                raise EditRefused(Refusal.DANGLING, f"task {name_of(node)} is in a scope that would be gone")
        scopes: dict[ScopeId, Scope | None] = {**self.graph.scopes, **self.scopes}
        for scope in scopes.values():
            if scope is not None and scope.parent in gone:
                raise EditRefused(Refusal.DANGLING, f"scope {scope.name!r} is in a scope that would be gone")

    def refuse_cycle(self) -> None:
        """Refuse tasks that need each other. A new cycle passes through a changed node."""

        def needed(task: TaskId) -> list[TaskId]:
            node = self.get(task)
            return needs(node) if node is not None else []

        cycle = find_cycle(self.nodes, needed)
        if cycle is not None:
            names = [self.known(task).key for task in (*cycle, cycle[0])]
            raise EditRefused(Refusal.CYCLE, f"these tasks would need each other: {' -> '.join(names)}")

"""Which tasks of a graph stand in which branch: guards and joins back to the `when` and `fallback` they came from.

    node guarded by g1, g2  ──▶  inside the branch with these guards that ends next after it

Works on the nodes of one place (a workflow, or one map's template) in the order of their calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

from makespan.authoring.combine import FAILED
from makespan.errors import GraphError
from makespan.graph.graph import name_of
from makespan.graph.node import First, Kind, Node, Scope
from makespan.graph.tokens import tokens
from makespan.values import ROOT_SCOPE, ScopeId, TaskId


class Held(msgspec.Struct, frozen=True):
    """One guard of a node: an expression over `value`, the value of a task's part."""

    task: TaskId
    path: tuple[str | int, ...]
    test: str
    wanted: bool


class Region(msgspec.Struct, eq=False):
    """A branch: `join` is the FIRST node it belongs to, `end` the place of its last node."""

    guards: tuple[Held, ...]
    end: int
    join: Node
    number: int


Path = tuple[object, ...]
"""Regions and scopes around a node, outermost first."""


class Places:
    """Where each node of one place stands."""

    def __init__(self, nodes: Sequence[Node], scopes: Sequence[Scope]) -> None:
        self.nodes = nodes
        self.at = {node.id: place for place, node in enumerate(nodes)}
        self.guards = {node.id: guards_of(node) for node in nodes}
        self.scopes = {scope.id: scope for scope in scopes}
        self.regions = [region for node in nodes for region in self._regions_of(node)]
        self.paths: dict[TaskId, Path] = {}
        for node in nodes:
            self.paths[node.id] = self._path(node)

    def is_when(self, node: Node) -> bool:
        """Whether a node joins the branches of a `when`."""
        first = node.first
        return first is not None and first.default and all(self._is_branch(source.task) for source in node.sources)

    def is_fallback(self, node: Node) -> bool:
        """Whether a node joins the alternatives of a fallback."""
        sources = node.sources
        if node.first != First() or len(sources) < 2:
            return False
        for before, source in pairwise(sources):
            guards = self.guards.get(source.task, ())
            if not guards or guards[-1] != Held(before.task, (), FAILED, True):
                return False
        return True

    def _is_branch(self, task: TaskId) -> bool:
        node = self.nodes[self.at[task]] if task in self.at else None
        return node is not None and node.key == "branch" and node.declaration.kind == Kind.VALUE and bool(node.when)

    def _regions_of(self, node: Node) -> list[Region]:
        if self.is_when(node):
            sources = list(enumerate(node.sources))
        elif self.is_fallback(node):
            sources = list(enumerate(node.sources))[1:]
        else:
            return []
        return [Region(self.guards[source.task], self.at[source.task], node, n) for n, source in sources]

    def _path(self, node: Node) -> Path:
        guards, place = self._around(node), self.at[node.id]
        regions = [self._region(node, guards[: depth + 1], place) for depth in range(len(guards))]
        scopes = self.scopes_around(node.scope)
        path: list[object] = []
        for region in regions:
            outer = self.scopes_around(region.join.scope)
            path += [scope for scope in outer if scope not in path]
            path.append(region)
        return (*path, *(scope for scope in scopes if scope not in path))

    def _around(self, node: Node) -> tuple[Held, ...]:
        """The guards that a node stands under; a join has none of its own, what it joins has."""
        if node.first is None:
            return self.guards[node.id]
        if self.is_when(node):
            return self.guards[node.sources[0].task][:-1]
        if self.is_fallback(node):
            return self.guards[node.sources[1].task][:-1]
        inner = [self.paths[source.task] for source in node.sources if source.task in self.paths]
        deepest = max(([each for each in path if isinstance(each, Region)] for path in inner), key=len, default=[])
        return deepest[-1].guards if deepest else ()

    def _region(self, node: Node, guards: tuple[Held, ...], place: int) -> Region:
        fitting = [region for region in self.regions if region.guards == guards and region.end >= place]
        if not fitting:
            raise GraphError(f"the task {name_of(node)} has a guard that is of no `when` and no `fallback`")
        return min(fitting, key=lambda region: region.end)

    def scopes_around(self, scope: ScopeId) -> list[ScopeId]:
        """A scope and those around it, outermost first."""
        found: list[ScopeId] = []
        while scope != ROOT_SCOPE and scope in self.scopes:
            found.insert(0, scope)
            scope = self.scopes[scope].parent
        return found


def guards_of(node: Node) -> tuple[Held, ...]:
    """The guards in a node's `when`, outermost first; their sources stand last."""
    if not node.when:
        return ()
    tests = _top_level(node.when)
    own = len(node.sources) - len(tests)
    found = []
    for number, test in enumerate(tests, own):
        source = node.sources[number]
        is_wanted = not (test.startswith("not (") and test.endswith(")"))
        said = _renamed(test if is_wanted else test[5:-1], f"s{number}")
        found.append(Held(source.task, source.path, said, is_wanted))
    return tuple(found)


def own_sources(node: Node) -> int:
    """How many of a node's sources are its own, not its guards'."""
    return len(node.sources) - len(guards_of(node))


def _top_level(text: str) -> list[str]:
    """`(a) and (b)` as a, b."""
    found, depth, start = [], 0, 0
    for token in tokens(text):
        if token.kind == "sign" and token.text == "(":
            if depth == 0:
                start = token.column
            depth += 1
        elif token.kind == "sign" and token.text == ")":
            depth -= 1
            if depth == 0:
                found.append(text[start : token.column - 1])
    return found


def _renamed(text: str, name: str) -> str:
    """An expression over `name` as one over `value`."""
    out, at, previous = [], 0, ""
    for token in tokens(text):
        if token.kind == "word" and token.text == name and previous != ".":
            out.append(text[at : token.column - 1] + "value")
            at = token.column - 1 + len(name)
        previous = token.text
    return "".join(out) + text[at:]

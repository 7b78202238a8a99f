"""Steps as nodes of a graph, before anything is asked of the run: calls are made on a builder that only collects.

A call that the plan has already is the same node: its result is used, nothing is computed twice. One that failed before
is another call of the same kind.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterable
from typing import Any

from makespan.authoring.bodies import LiveBodies
from makespan.authoring.place import Place, current
from makespan.authoring.ref import Ref
from makespan.errors import GraphError
from makespan.graph.node import Node, Scope
from makespan.planners.steps import Problem, Step
from makespan.planners.tools import Results, Tools, Unfit
from makespan.values import ScopeId, TaskId


class Collector:
    """A builder that keeps nodes for an edit; waiting is the body's."""

    def __init__(self, bodies: LiveBodies) -> None:
        self.registry = bodies.registry
        self.nodes: dict[TaskId, Node] = {}
        """Of the step at hand: the nodes it stands on, the call itself last."""
        self._bodies = bodies

    def add(self, node: Node) -> None:
        self.nodes.pop(node.id, None)
        self.nodes[node.id] = node

    def open_scope(self, scope: Scope) -> None:
        raise GraphError("a step of a plan opens no scope")

    def wait(self, ref: Ref[Any]) -> Generator[Any, None, Any]:
        return self._bodies.wait(ref)

    def iterate(self, ref: Ref[Any]) -> AsyncIterator[Any]:
        return self._bodies.iterate(ref)


class PlanPlace(Place):
    """A place where the same call twice is one node, until it has failed; or, with `repeats`, always another one."""

    __slots__ = ("_latest", "failed", "repeats")

    def __init__(self, collector: Collector, real: ScopeId, inside: ScopeId, *, repeats: bool = False) -> None:
        super().__init__(collector, real, inside)
        self.repeats = repeats
        self._latest: dict[TaskId, TaskId] = {}
        """Content → the latest call with it, where that is not the first."""
        self.failed: set[TaskId] = set()

    def _numbered(self, content: TaskId) -> TaskId:
        latest = self._latest.get(content, content)
        if content in self._seen and latest not in self.failed and not self.repeats:
            return latest
        self._latest[content] = latest = super()._numbered(content)
        return latest


class Draft:
    """A step as nodes, before they are in the graph."""

    def __init__(self, step: Step, ref: Ref[Any], uses: tuple[Node, ...], repairs: list[Problem]) -> None:
        self.step, self.ref, self.repairs = step, ref, repairs
        self.uses = uses
        """What it stands on: texts that are made up for it, and the call itself last. Other steps may share them."""


class Drafting:
    """Makes nodes of the steps of one plan."""

    def __init__(self, tools: Tools, bodies: LiveBodies, place: Place, name: str, *, repeats: bool = False) -> None:
        self._tools = tools
        self._collector = Collector(bodies)
        self._place = PlanPlace(self._collector, place.real, place.scope_id(name), repeats=repeats)
        self._users: dict[TaskId, int] = {}
        """Node → how many steps stand on it."""
        self._there: set[TaskId] = set()
        """Nodes that are in the graph."""

    def draft(self, step: Step, results: Results) -> Draft:
        """The nodes of a step. Raises Unfit; then nothing is left of it."""
        collector = self._collector
        collector.nodes = {}
        token = current.set(self._place)
        try:
            task, values, repairs = self._tools.bind(step, results)
            after = [_waited(name, results) for name in step.after]
            options: dict[str, Any] = ({"after": after} if after else {}) | _needs(step)
            ref = (task.options(**options) if options else task)(**values)
        except GraphError as error:
            raise Unfit(str(error)) from None
        finally:
            current.reset(token)
        return Draft(step, ref, tuple(collector.nodes.values()), repairs)

    def is_there(self, node: Node) -> bool:
        """Whether the graph has a node already."""
        return node.id in self._there

    def users(self, node: Node) -> int:
        """How many steps of the plan stand on a node."""
        return self._users.get(node.id, 0)

    def enter(self, draft_uses: Iterable[Node]) -> None:
        """A step is in the graph now, with all that it stands on."""
        for node in draft_uses:
            self._there.add(node.id)
            self._users[node.id] = self.users(node) + 1

    def leave(self, uses: Iterable[Node]) -> None:
        """A step is gone from the plan."""
        for node in uses:
            self._users[node.id] -= 1

    def removed(self, tasks: Iterable[TaskId]) -> None:
        """Nodes are gone from the graph: the same calls are new again."""
        self._there.difference_update(tasks)

    def failed(self, ref: Ref[Any]) -> None:
        """The call of a step failed: asked for again it is another one."""
        self._place.failed.add(ref._task)


def _needs(step: Step) -> dict[str, Any]:
    """The units of pools that a step takes, as an option of its call."""
    return {"needs": dict(step.needs)} if step.needs else {}


def _waited(name: str, results: Results) -> Ref[Any]:
    ref = results.get(name)
    if ref is None:
        raise Unfit(f"it comes after step {name}, which is not in the plan")
    return ref

"""Steps as nodes of a graph, before anything is asked of the run: calls are made on a builder that only collects.

A call that the plan has already is the same node: its result is used, nothing is computed twice. One that failed before
is another call of the same kind.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Mapping
from typing import Any

from makespan.authoring.bodies import LiveBodies
from makespan.authoring.place import Place, current
from makespan.authoring.ref import Ref
from makespan.errors import GraphError
from makespan.graph.node import Node, Scope
from makespan.planners.steps import Problem, Step
from makespan.planners.tools import Tools, Unfit
from makespan.values import ScopeId, TaskId


class Collector:
    """A builder that keeps nodes for an edit; waiting is the body's."""

    def __init__(self, bodies: LiveBodies) -> None:
        self.registry = bodies.registry
        self.nodes: list[Node] = []
        self.known: set[TaskId] = set()
        self._bodies = bodies

    def add(self, node: Node) -> None:
        if node.id not in self.known:
            self.known.add(node.id)
            self.nodes.append(node)

    def open_scope(self, scope: Scope) -> None:
        raise GraphError("a step of a plan opens no scope")

    def wait(self, ref: Ref[Any]) -> Generator[Any, None, Any]:
        return self._bodies.wait(ref)

    def iterate(self, ref: Ref[Any]) -> AsyncIterator[Any]:
        return self._bodies.iterate(ref)


class PlanPlace(Place):
    """A place where the same call twice is one node."""

    __slots__ = ("again",)

    def __init__(self, collector: Collector, real: ScopeId, inside: ScopeId) -> None:
        super().__init__(collector, real, inside)
        self.again: set[TaskId] = set()
        """Calls that failed: asked for again they are new ones."""

    def _numbered(self, content: TaskId) -> TaskId:
        if content in self._seen and content in self.again:
            return super()._numbered(content)
        self._seen.setdefault(content, 0)
        return content


class Draft:
    """A step as nodes that are not in the graph yet."""

    def __init__(self, step: Step, ref: Ref[Any], nodes: tuple[Node, ...], repairs: list[Problem]) -> None:
        self.step, self.ref, self.nodes, self.repairs = step, ref, nodes, repairs
        """`nodes`: those that are new, the call itself last; none where the plan has the same call."""


class Drafting:
    """Makes nodes of the steps of one plan."""

    def __init__(self, tools: Tools, bodies: LiveBodies, place: Place, name: str) -> None:
        self._tools = tools
        self._collector = Collector(bodies)
        self._place = PlanPlace(self._collector, place.real, place.scope_id(name))

    def draft(self, step: Step, results: Mapping[str, Ref[Any]]) -> Draft:
        """The nodes of a step. Raises Unfit; then nothing is left of it."""
        collector = self._collector
        collector.nodes = []
        token = current.set(self._place)
        try:
            task, values, repairs = self._tools.bind(step, results)
            after = [_waited(step, name, results) for name in step.after]
            counts = {pool: units for pool, units in step.needs.items() if isinstance(units, int)}
            options: dict[str, Any] = ({"after": after} if after else {}) | ({"needs": counts} if counts else {})
            ref = (task.options(**options) if options else task)(**values)
        except GraphError as error:
            self.forget(collector.nodes)
            raise Unfit(str(error)) from None
        except Unfit:
            self.forget(collector.nodes)
            raise
        finally:
            current.reset(token)
        return Draft(step, ref, tuple(collector.nodes), repairs)

    def forget(self, nodes: list[Node] | tuple[Node, ...]) -> None:
        """These nodes came to nothing: the same calls are new again."""
        for node in nodes:
            self._collector.known.discard(node.id)
            self._place._seen.pop(node.id, None)

    def failed(self, ref: Ref[Any]) -> None:
        """The call of a step failed: asked for again it is another one."""
        self._place.again.add(ref._task)


def _waited(step: Step, name: str, results: Mapping[str, Ref[Any]]) -> Ref[Any]:
    ref = results.get(name)
    if ref is None:
        raise Unfit(f"it comes after step {name}, which is not in the plan")
    return ref

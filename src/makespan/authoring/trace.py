"""Plain workflows: the function runs once with Refs for its parameters, and the calls it makes are the graph.

Nothing of a task runs. The template and its digest do not depend on the inputs: those stand in one `inputs` node, whose
value each run brings along.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator
from typing import Any, NoReturn

import msgspec

from makespan.authoring.place import Place, Registry, current
from makespan.authoring.ref import Ref, Unbound, refuse
from makespan.authoring.signature import MISSING, Pieces
from makespan.authoring.task import HOOKS, Task
from makespan.errors import GraphError
from makespan.graph.digest import Identity
from makespan.graph.graph import Graph
from makespan.graph.node import Declaration, Kind, Mode, Node, Scope
from makespan.graph.types import assignable, explain
from makespan.values import ROOT_SCOPE, TaskId

INPUTS = Declaration("inputs", Kind.VALUE)


class Traced(msgspec.Struct, frozen=True):
    """What a call outside of a workflow comes to: a graph (or one root task), its inputs, and the code behind it."""

    workflow: str
    target: str
    root: TaskId
    inputs: bytes
    nodes: list[Node]
    scopes: list[Scope]
    registry: Registry
    returns: Any
    """The declared type of the run's output."""

    @property
    def graph(self) -> Graph:
        return Graph.of(self.nodes, self.scopes)


class TraceBuilder:
    """Collects the nodes of a plain workflow."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.nodes: list[Node] = []
        self.scopes: list[Scope] = []
        self.add = self.nodes.append
        self.open_scope = self.scopes.append

    def wait(self, ref: Ref[Any]) -> Generator[Any, None, Any]:
        refuse(ref, "await in a plain workflow (make it `async def`)")
        yield  # a generator by signature

    def iterate(self, ref: Ref[Any]) -> AsyncIterator[Any]:
        refuse(ref, "async for in a plain workflow (make it `async def`)")


def trace(call: Unbound) -> Traced:
    """The graph a call stands for.

    Raises:
        GraphError: the workflow does something only a task may do, or types do not fit; the message names both ends.
    Cost: about 4 µs a task.
    """
    task = call.task
    builder = TraceBuilder()
    place = Place(builder, ROOT_SCOPE)
    if isinstance(task, Task) and not getattr(task, "is_traced", False):
        ref = place.call(task, call.args, call.kwargs)
        inputs = b"\x80"
    elif isinstance(task, Task):
        inputs, stand_ins = _root_inputs(task, call, builder)
        ref = to_node(traced_body(place, task.fn, stand_ins, task), place, task)
    else:
        token = current.set(place)
        try:
            ref = to_node(task(*call.args, **call.kwargs), place, task)
        finally:
            current.reset(token)
        inputs = b"\x80"
    return Traced(task.key, task.target, ref._task, inputs, builder.nodes, builder.scopes, builder.registry, task.returns)


def _root_inputs(task: Task[..., Any], call: Unbound, builder: TraceBuilder) -> tuple[bytes, dict[str, Any]]:
    """The encoded inputs (defaults included) and one Ref a parameter that reads them."""
    signature = task.signature
    pieces, sources = signature.encode(call.args, call.kwargs)
    if sources:
        raise GraphError(f"{task.key}: arguments of a run are values, not Refs")
    given = signature.decode(pieces[0])  # type: ignore[arg-type]  # no holes: one piece of bytes
    values: dict[str, msgspec.Raw] = {}
    for parameter in signature.parameters:
        encoded = parameter.codec.encode(given[parameter.name]) if parameter.name in given else parameter.default
        values[parameter.name] = msgspec.Raw(encoded)
    node = Node(Identity(ROOT_SCOPE, b"inputs").of(task.key.encode()), INPUTS, ROOT_SCOPE)
    if values:
        builder.add(node)
    stand_ins = {
        p.name: Ref(builder, node.id, p.annotation, f"{task.key}({p.name})", (p.name,)) for p in signature.parameters
    }
    return msgspec.msgpack.encode(values), stand_ins


def registry_of(task: Task[..., Any]) -> Registry:
    """The code that a workflow's graph needs, found by tracing it again (live bodies add theirs as they call)."""
    builder = TraceBuilder()
    if not getattr(task, "is_traced", False):
        builder.registry.add(task)
        return builder.registry
    place = Place(builder, ROOT_SCOPE)
    node = TaskId(bytes(16))
    stand_ins = {p.name: Ref(builder, node, p.annotation, p.name, (p.name,)) for p in task.signature.parameters}
    traced_body(place, task.fn, stand_ins, task)
    return builder.registry


def inline(place: Place, workflow: Task[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Ref[Any]:
    """Trace a plain workflow called inside another: its tasks join the caller's graph in a scope of their own."""
    signature = workflow.signature
    pieces, sources = signature.encode(args, kwargs)
    said = msgspec.msgpack.encode((pieces, sources))
    inside = place._numbered(Identity(place.inside, workflow.identity).of(said))
    child = Place(place.builder, place.real, inside, place.guards, place.depth)  # type: ignore[arg-type]
    values = signature._bind(args, kwargs)
    stand_ins = {}
    for parameter, value in zip(signature.parameters, values, strict=True):
        if isinstance(value, Ref) and value._several is None:
            stand_ins[parameter.name] = value
            continue
        holder = Pieces()
        if value is MISSING:
            holder.add(parameter.default)
        else:
            holder.put(value, parameter.annotation, f"argument {parameter.name!r} of {workflow.key}", HOOKS)
        stand_ins[parameter.name] = child.value(
            holder.done(), tuple(holder.sources), parameter.annotation, f"{workflow.key}({parameter.name})"
        )
    return traced_body(child, workflow.fn, stand_ins, workflow)


def traced_body(place: Place, fn: Callable[..., Any], stand_ins: dict[str, Any], workflow: Task[..., Any]) -> Ref[Any]:
    """Run a plain workflow's function with Refs and check what it returns."""
    token = current.set(place)
    try:
        output = fn(**stand_ins)
    finally:
        current.reset(token)
    if isinstance(output, Ref):
        if output._several is None and output._mode == Mode.VALUE and not assignable(output._type, workflow.returns):
            raise GraphError(f"the workflow {workflow.key} returns {output!r}: {explain(output._type, workflow.returns)}")
        if output._several is None:
            return output
    holder = Pieces()
    holder.put(output, workflow.returns, f"the result of {workflow.key}", HOOKS)
    return place.value(holder.done(), tuple(holder.sources), workflow.returns, f"{workflow.key}()")


def to_node(ref: Any, place: Place, task: Any) -> Ref[Any]:
    """A Ref whose value is a whole node's value: itself, or a VALUE node that reads it."""
    if not isinstance(ref, Ref):
        _not_a_ref(ref, task)
    if ref._several is None and not ref._path and ref._mode == Mode.VALUE:
        return ref
    holder = Pieces()
    holder.put(ref, ref._type, f"the result of {task.key}", HOOKS)
    return place.value(holder.done(), tuple(holder.sources), ref._type, f"{task.key}()")


def _not_a_ref(value: Any, task: Any) -> NoReturn:
    raise GraphError(f"{task.key} gave {type(value).__name__} instead of a Ref")

"""Plain workflows: the function runs once with Refs for its parameters, and the calls it makes are the graph.

Nothing of a task runs. The template and its digest do not depend on the inputs: those stand in one `inputs` node, whose
value each run brings along.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from makespan.authoring.place import Place, Registry, current, models_here
from makespan.authoring.ref import Ref, Unbound, refuse
from makespan.authoring.signature import MISSING, Pieces
from makespan.authoring.task import HOOKS, Task
from makespan.authoring.undoing import refuse_on_plain
from makespan.errors import GraphError, UsageError
from makespan.files import MET
from makespan.graph.digest import Identity
from makespan.graph.graph import Graph
from makespan.graph.node import Declaration, Kind, Mode, Node, Scope, Source
from makespan.graph.types import assignable, explain
from makespan.machine.opening import Opening, opening
from makespan.redaction import KNOWN
from makespan.values import ROOT_SCOPE, ScopeId, TaskId

INPUTS = Declaration("inputs", Kind.VALUE)
StandsIn = Callable[[Task[..., Any]], Task[..., Any]]
tracing: ContextVar[tuple[Task[..., Any], ...]] = ContextVar("makespan_tracing", default=())
"""The plain workflows being traced, outermost first."""


class Template:
    """A traced graph without its inputs: what all runs of one plain workflow share."""

    def __init__(self, root: TaskId, builder: TraceBuilder) -> None:
        self.root = root
        self.nodes, self.scopes, self.registry = builder.nodes, builder.scopes, builder.registry

    @cached_property
    def opening(self) -> Opening:
        """The facts that bring the graph into a run."""
        return opening(self.nodes, self.scopes)

    @property
    def graph(self) -> Graph:
        return Graph.of(self.nodes, self.scopes)


class Traced(msgspec.Struct, frozen=True):
    """What a call outside of a workflow comes to: a template (or one root task), and the inputs of this run."""

    workflow: str
    target: str
    template: Template
    inputs: bytes
    returns: Any
    """The declared type of the run's output."""
    task: Any = None
    """The workflow or task that was called."""


class Inlined(msgspec.Struct, frozen=True):
    """A plain workflow that another one called: its tasks are in the graph, this says where they came from."""

    workflow: Any
    args: tuple[bytes | int, ...]
    sources: tuple[Source, ...]
    made: tuple[TaskId, ...]
    """Ids of its tasks, in order."""
    result: TaskId
    path: tuple[str | int, ...]
    scope: ScopeId
    guards: int
    """How many guards the call stands under."""


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

    def iterate(self, ref: Ref[Any]) -> AsyncIterator[Any]:
        refuse(ref, "async for in a plain workflow (make it `async def`)")


@contextmanager
def collector_resting() -> Iterator[None]:
    """No passes of the garbage collector meanwhile: making a graph only makes objects that stay, and looking at them
    again and again costs a quarter more (100,000 tasks). For short synchronous work only."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def trace(call: Unbound, stand_in: StandsIn | None = None) -> Traced:
    """The graph a call stands for.

    Args:
        stand_in: gives what is called in place of a sub-workflow; nothing that was traced with it is kept.

    Raises:
        GraphError: the workflow does something only a task may do, or types do not fit; the message names both ends.
    Cost: about 4 µs a task.
    """
    with collector_resting():
        return _traced(call, stand_in)


def trace_call(call: Any, stand_in: StandsIn | None = None) -> Traced:
    """What a call outside of a workflow stands for. Raises UsageError when it is not one."""
    if not isinstance(call, Ref) or call._unbound is None:
        got = repr(call) if isinstance(call, (Ref, Task)) else type(call).__name__
        raise UsageError(f"give the call itself, e.g. ms.run(incident('payments')); got {got}")
    return trace(call._unbound, stand_in)


def _traced(call: Unbound, stand_in: StandsIn | None) -> Traced:
    task = call.task if stand_in is None or not isinstance(call.task, Task) else stand_in(call.task)
    if isinstance(task, Task) and getattr(task, "is_traced", False):
        return Traced(task.key, task.target, template_of(task, stand_in), _inputs(task, call), task.returns, task)
    builder = TraceBuilder()
    builder.registry.stand_in = stand_in
    place = Place(builder, ROOT_SCOPE)
    if isinstance(task, Task):
        ref = place.call(task, call.args, call.kwargs)
    else:
        token = current.set(place)
        try:
            ref = to_node(task(*call.args, **call.kwargs), place, task)
        finally:
            current.reset(token)
    return Traced(task.key, task.target, Template(ref._task, builder), b"\x80", task.returns, task)


def _inputs(task: Task[..., Any], call: Unbound) -> bytes:
    """The encoded inputs of a run, defaults included."""
    signature = task.signature
    pieces, sources = signature.encode(call.args, call.kwargs)
    if sources:
        raise GraphError(f"{task.key}: arguments of a run are values, not Refs")
    given = signature.decode(pieces[0])  # type: ignore[arg-type]  # no holes: one piece of bytes
    values: dict[str, msgspec.Raw] = {}
    for parameter in signature.parameters:
        encoded = parameter.codec.encode(given[parameter.name]) if parameter.name in given else parameter.default
        values[parameter.name] = msgspec.Raw(encoded)
    encoded = msgspec.msgpack.encode(values)
    if KNOWN.has_any:
        signature._refuse_secrets((encoded,))
    return encoded


def _template(task: Task[..., Any], stand_in: StandsIn | None = None) -> Template:
    """Trace a plain workflow: one node stands for its inputs, one Ref a parameter reads it."""
    builder = TraceBuilder()
    builder.registry.stand_in = stand_in
    place = Place(builder, ROOT_SCOPE)
    node = Node(Identity(ROOT_SCOPE, b"inputs").of(task.key.encode()), INPUTS, ROOT_SCOPE)
    parameters = task.signature.parameters
    if parameters:
        builder.add(node)
    stand_ins: dict[str, Any] = {
        p.name: Ref(builder, node.id, p.annotation, f"{task.key}({p.name})", (p.name,)) for p in parameters
    }
    outside = models_here.set(())  # a template is kept: it depends on the workflow alone
    try:
        root = to_node(traced_body(place, task.fn, stand_ins, task), place, task)
    finally:
        models_here.reset(outside)
    return Template(root._task, builder)


def template_of(task: Task[..., Any], stand_in: StandsIn | None = None) -> Template:
    """The graph of a workflow without inputs, for looking at it: `plan` and `check` run nothing.

    Raises:
        GraphError: as `trace` does.
    """
    if getattr(task, "is_traced", False):
        if stand_in is not None:
            return _template(task, stand_in)
        if task.template is None:
            met: list[Path] = []
            token = MET.set(met)
            try:
                with collector_resting():
                    traced = _template(task)
            finally:
                MET.reset(token)
            if met:  # files named in the workflow itself: read again for each run, and kept in its store
                return traced
            task.template = traced
        template: Template = task.template
        return template
    builder = TraceBuilder()
    builder.registry.stand_in = stand_in
    root = TaskId(Identity(ROOT_SCOPE, task.identity).of(b""))
    builder.registry.add(task)
    builder.add(Node(root, task.declaration, ROOT_SCOPE))
    return Template(root, builder)


def inline(place: Place, workflow: Task[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Ref[Any]:
    """Trace a plain workflow called inside another: its tasks join the caller's graph in a scope of their own."""
    signature = workflow.signature
    pieces, sources = signature.encode(args, kwargs)
    said = msgspec.msgpack.encode((pieces, sources))
    inside = place._numbered(Identity(place.inside, workflow.identity).of(said))
    child = Place(place.builder, place.real, inside, place.guards, place.depth)  # type: ignore[arg-type]
    start = len(place.builder.nodes) if isinstance(place.builder, TraceBuilder) else 0
    values = signature._bind(args, kwargs)
    stand_ins: dict[str, Any] = {}
    for parameter, value in zip(signature.parameters, values, strict=True):
        if isinstance(value, Ref) and value._several is None:
            stand_ins[parameter.name] = value
            continue
        holder = Pieces()
        if value is MISSING:
            holder.pending.append(parameter.default)
        else:
            holder.put(value, parameter.annotation, f"argument {parameter.name!r} of {workflow.key}", HOOKS)
        stand_ins[parameter.name] = child.value(
            holder.done(), tuple(holder.sources), parameter.annotation, f"{workflow.key}({parameter.name})"
        )
    result = traced_body(child, workflow.fn, stand_ins, workflow)
    if not isinstance(place.builder, TraceBuilder):
        return result
    made = tuple(node.id for node in place.builder.nodes[start:])
    place.builder.registry.inlined.append(
        Inlined(workflow, pieces, tuple(sources), made, result._task, result._path, place.real, len(place.guards))
    )
    return result


def traced_body(place: Place, fn: Callable[..., Any], stand_ins: dict[str, Any], workflow: Task[..., Any]) -> Ref[Any]:
    """Run a plain workflow's function with Refs and check what it returns."""
    refuse_on_plain(workflow)
    around = tracing.get()
    if any(each.fn is fn for each in around):
        circle = " -> ".join(each.key for each in (*around, workflow))
        raise GraphError(f"these workflows call each other: {circle}; a plain workflow cannot, make one `async def`")
    token, outer = current.set(place), tracing.set((*around, workflow))
    models = models_here.set(workflow.chosen_models or models_here.get())
    try:
        output = fn(**stand_ins)
    finally:
        models_here.reset(models)
        current.reset(token)
        tracing.reset(outer)
    if isinstance(output, Ref):
        if output._several is None and output._mode == Mode.VALUE and not assignable(output._type, workflow.returns):
            raise GraphError(
                f"the workflow {workflow.key} returns {output!r}: {explain(output._type, workflow.returns)}"
            )
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

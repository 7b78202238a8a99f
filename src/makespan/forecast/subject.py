"""What is simulated: a workflow that is called, or the graph that a stored run came to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from makespan.authoring.bodies import LiveBodies
from makespan.authoring.place import Registry
from makespan.authoring.ref import Ref
from makespan.authoring.task import Task
from makespan.authoring.trace import trace_call
from makespan.files import Room, using
from makespan.forecast.values import typed_stand_in
from makespan.graph.check import check
from makespan.graph.node import Kind, Node
from makespan.machine.opening import Opening, opening
from makespan.machine.state import State
from makespan.redaction import KNOWN
from makespan.sim.realised import realised_graph
from makespan.sim.simulation import SIMULATED
from makespan.values import TaskId


class Subject(msgspec.Struct, frozen=True):
    """The same for every simulated run of it."""

    name: str
    """Of the workflow."""
    root: TaskId
    opening: Opening
    inputs: bytes
    registry: Registry
    is_live: bool
    """Whether there are bodies to run."""
    keys: tuple[str, ...]
    """Of the tasks that are known before it runs."""
    needs: tuple[tuple[str, tuple[tuple[str, int], ...]], ...] = ()
    """(task key, units by pool or rate) of tasks that need any, as far as they are known before it runs."""
    notes: tuple[str, ...] = ()
    """What had to be assumed to get here."""
    nodes: tuple[Node, ...] = ()
    """What is known of the graph before it runs."""
    room: Room | None = None
    zone: str | None = None
    """Time zone of its schedule; None without one. It is simulated as if it were due when it starts."""
    reads_values: bool = True
    """Whether results matter: those of a realised graph are read by nobody."""

    def bodies(self, run_id: str, seed: int, started_wall_ns: int) -> LiveBodies | None:
        """The live bodies of one simulated run, on a registry of their own."""
        if not self.is_live:
            return None
        bodies = LiveBodies(self.registry.copy(), run_id, seed, started_wall_ns)
        bodies.room = self.room or ""
        if self.zone is not None:
            bodies.scheduled = (started_wall_ns, self.zone)
        return bodies


def of_call(call: Ref[Any], *, room: Room | None = None, notes: tuple[str, ...] = ()) -> Subject:
    """A call of a workflow or task, as `ms.run` takes it.

    Args:
        room: where files among the inputs are kept meanwhile.
    Raises:
        GraphError: the workflow cannot be traced. UsageError: not a call.
    """
    KNOWN.look()
    with using(room or Room.temporary()):
        traced = trace_call(call)
    template = traced.template
    check(template.nodes, template.scopes)
    schedule = getattr(traced.task, "schedule", None)
    return Subject(
        traced.workflow,
        template.root,
        template.opening,
        traced.inputs,
        template.registry,
        any(node.declaration.kind == Kind.WORKFLOW or node.over is not None for node in template.nodes),
        tuple(node.key for node in template.nodes if node.declaration.kind == Kind.CALL),
        _needs(template.nodes),
        notes,
        tuple(template.nodes),
        room,
        None if schedule is None else schedule.tz,
    )


def of_workflow(workflow: Task[..., Any], inputs: dict[str, Any], *, items: int) -> Subject:
    """A workflow with some of its inputs: the others stand in by their type.

    Args:
        items: how many items lists have that stand in.
    """
    values, notes = dict(inputs), []
    for parameter in workflow.signature.parameters:
        if parameter.name not in values and not isinstance(parameter.default, bytes):
            value = typed_stand_in(parameter.annotation, items)
            values[parameter.name] = parameter.codec.decode(value)
            notes.append(f"input {parameter.name}: {shown(value)} stands in; give it with -i {parameter.name}=…")
    return of_call(workflow(**values), room=Room.temporary(), notes=tuple(notes))


def of_run(state: State) -> Subject:
    """The realised graph of a stored run. The state is only read."""
    assert state.started is not None
    nodes, scopes = realised_graph(state)
    note = f"the graph is that of run {state.run_id} as it went: its guards, loops and maps decide nothing again"
    return Subject(
        state.started.workflow.removeprefix(SIMULATED),
        TaskId(state.started.root),
        opening(nodes, scopes),
        state.bytes_of(state.started.inputs),
        Registry(),
        False,
        tuple(node.key for node in nodes if node.declaration.kind == Kind.CALL),
        _needs(nodes),
        (note,),
        tuple(nodes),
        reads_values=False,
    )


def _needs(nodes: Iterable[Node]) -> tuple[tuple[str, tuple[tuple[str, int], ...]], ...]:
    found = {node.key: node.declaration.options.needs for node in nodes if node.declaration.options.needs}
    return tuple(found.items())


def shown(encoded: bytes) -> str:
    """An encoded value in a few characters."""
    text = msgspec.json.encode(msgspec.msgpack.decode(encoded)).decode()
    return text if len(text) <= 60 else f"{text[:59]}…"

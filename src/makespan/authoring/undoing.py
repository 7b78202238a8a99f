"""`undo=`: the task that takes back what another one did, checked before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from makespan.authoring.signature import MISSING, Parameter
from makespan.errors import GraphError
from makespan.graph.node import Effect, Kind, Options, Undo
from makespan.graph.types import assignable, explain

if TYPE_CHECKING:
    from makespan.authoring.task import Task


def undo_of(task: Task[..., object], options: Options) -> Undo | None:
    """How a task's result is undone, as its declaration says it.

    Raises:
        GraphError: the undo cannot take the result, needs more than that, or there is nothing it could undo.
    """
    undo = task.undo
    if undo is None:
        return None
    if undo.kind != Kind.CALL or getattr(undo, "is_traced", False):
        raise GraphError(f"{undo.key} undoes {task.key}: it must be a task, not a workflow; call the steps in one task")
    refuse_on_plain(task)
    if options.effect == Effect.PURE:
        raise GraphError(f"{task.key} is pure, so there is nothing that {undo.key} could undo; leave effect= or undo=")
    if options.cache_ns is not None:
        raise GraphError(
            f"{task.key} has cache_s= and undo=: a cached result was made by another run, which may still need it"
        )
    parameter = _taking_the_result(task, undo)
    return Undo(undo.declared_alone(), parameter.name, undo.target, task.target)


def refuse_on_plain(workflow: Task[..., object]) -> None:
    """Raise GraphError for a plain workflow with `undo=`: it is no task of its own that could be undone."""
    if workflow.undo is not None and getattr(workflow, "is_traced", False):
        raise GraphError(
            f"undo={workflow.undo.key} on the plain workflow {workflow.key}: its tasks join the caller's graph; "
            "give undo= to those"
        )


def _taking_the_result(task: Task[..., object], undo: Task[..., object]) -> Parameter:
    """The first parameter of the undo; the others must have defaults."""
    parameters = undo.signature.parameters
    if not parameters:
        raise GraphError(
            f"{undo.key} undoes {task.key} and takes no parameter; its first one takes the result of {task.key}"
        )
    first, *others = parameters
    if not assignable(task.returns, first.annotation):
        raise GraphError(
            f"{undo.key} undoes {task.key}, but its parameter {first.name!r} cannot take the result of {task.key}: "
            f"{explain(task.returns, first.annotation).partition('; put a pure task')[0]}"
        )
    missing = [parameter.name for parameter in others if parameter.default is MISSING]
    if missing:
        raise GraphError(
            f"{undo.key} undoes {task.key} and gets its result only: give its parameter {missing[0]!r} a default, "
            f"or let {task.key} return what {undo.key} needs"
        )
    return first

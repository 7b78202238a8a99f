"""One word for where a task stands, for people and for JSON: the same in every view."""

from __future__ import annotations

from makespan.graph.node import Kind
from makespan.machine.compensation import is_undone
from makespan.machine.items import is_bookkeeping
from makespan.machine.records import Status, TaskState
from makespan.machine.state import State

WORDS = {
    Status.WAITING: "pending",
    Status.READY: "pending",
    Status.RUNNING: "running",
    Status.BACKOFF: "retrying",
    Status.UNKNOWN: "unknown",
    Status.DIVERGED: "diverged",
    Status.ASKED: "asked",
    Status.SUCCEEDED: "succeeded",
    Status.FAILED: "failed",
    Status.SKIPPED: "skipped",
    Status.CANCELLED: "cancelled",
    Status.REMOVED: "removed",
}
SHOWN_KINDS = (Kind.CALL, Kind.WORKFLOW, Kind.TIMER, Kind.SIGNAL)
"""Kinds that people think of as tasks; joins, values and edits are the machine's own bookkeeping."""


def is_shown(task: TaskState) -> bool:
    """Whether people think of it as a task: a wait for the next item of another task is bookkeeping too."""
    return task.kind in SHOWN_KINDS and not (task.kind == Kind.SIGNAL and is_bookkeeping(task.declaration))


def word_of(task: TaskState, state: State | None = None) -> str:
    """Where a task stands; `cached` where an earlier result stood in for the attempt, `undone` where it was undone."""
    if state is not None and is_undone(state, task):
        return "undone"
    return "cached" if task.cached and task.status == Status.SUCCEEDED else WORDS[task.status]


def name_of(task: TaskState) -> str:
    """What a view calls a task: its label, else its key."""
    return task.spec.label or task.declaration.key


def short_id(task: TaskState) -> str:
    """Enough of the id to type."""
    return task.spec.id.hex()[:12]


def scope_path(state: State, number: int) -> str:
    """Names of a scope and those around it, outermost first; empty for the run's own."""
    names: list[str] = []
    while number:
        scope = state.scopes[number]
        names.append(scope.name)
        number = scope.parent
    return "/".join(reversed(names))

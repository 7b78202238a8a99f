"""Doing finished work again: the next generation of a task, and of everything that was made from its result.

Only what a traced graph, a map of one or an edit brought can be reopened: a live body has already acted on the results
it was given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from makespan.graph.graph import Refusal
from makespan.graph.node import Effect, Kind
from makespan.machine import compensation
from makespan.machine.facts import EditApplied, EditRefused, TaskReopened
from makespan.machine.observations import ReopenAsked
from makespan.machine.records import Status, TaskState
from makespan.machine.state import State

if TYPE_CHECKING:
    from makespan.machine.machine import Machine

REOPEN = "Reopen"
"""What the header of the edit calls it."""


def decide(machine: Machine, asked: ReopenAsked) -> None:
    """Reopen a finished task and what came of it, or refuse with a typed reason and leave nothing behind."""
    state = machine.state
    number = state.index.get(asked.task)
    problem = _unknown(asked) if number is None else None
    again = [] if number is None else affected(state, number)
    for task in again:
        problem = problem or _problem(state, task, is_asked=task.number == number)
    if problem is not None:
        machine.emit(EditRefused(machine.now, asked.author, REOPEN, *problem))
        return
    machine.emit(EditApplied(machine.now, asked.author, REOPEN))
    for task in again:
        machine.joined.pop(task.number, None)
        if task.is_final:
            machine.emit(TaskReopened(task.number, task.generation + 1, machine.now))
    machine.out.sync = True


def affected(state: State, number: int) -> list[TaskState]:
    """The task and everything that needs it, directly or not, in run order. Cost: O(tasks + edges)."""
    found = {number}
    for task in state.tasks[number + 1 :]:
        if task.status != Status.REMOVED and any(source in found for source, _, _ in task.spec.sources):
            found.add(task.number)
    return [state.tasks[each] for each in sorted(found)]


def _unknown(asked: ReopenAsked) -> tuple[str, str]:
    return str(Refusal.UNKNOWN_TASK), f"the run has no task {asked.task.hex()[:12]}"


def _problem(state: State, task: TaskState, *, is_asked: bool) -> tuple[str, str] | None:
    """Why this task cannot be done again now: (reason, detail)."""
    name = task.declaration.key
    if state.scopes[task.spec.scope].shielded:
        return str(Refusal.INVALID), f"{name} undoes another task's result; doing that again cannot bring it back"
    if compensation.undo_of(state, task) is not None:
        return str(Refusal.INVALID), f"{name} was undone with its scope; retry the run to do all of that again"
    if compensation.stands(state, task):
        return str(Refusal.INVALID), f"{name} has been done and would be undone with its scope; it cannot be done twice"
    if is_asked and not task.is_final:
        return str(Refusal.INVALID), f"{name} has not ended; there is nothing to do again"
    if task.requested or task.kind in (Kind.MAP, Kind.WORKFLOW):
        return str(Refusal.INVALID), f"{name} belongs to a live body or a map, which has acted on its results"
    if not task.is_final and task.status != Status.WAITING:
        return str(Refusal.ALREADY_STARTED), f"{name} needs it and is at work; ask again when it has ended"
    if not is_asked and task.attempt and task.declaration.options.effect == Effect.IRREVERSIBLE:
        return str(Refusal.ALREADY_STARTED), f"{name} needs it, is irreversible and has been done"
    return None

"""A person's verdict on what the engine may not decide: tasks whose fate is unknown, and tasks that diverged.

happened   it was done, and this is its value        retry   (unknown) try it once more
skip       it shall not be done                      run     (diverged) do it after all
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from makespan.graph.node import Effect
from makespan.machine import budget
from makespan.machine.facts import DecisionMade, TaskCancelled, TaskSucceeded
from makespan.machine.observations import Decided
from makespan.machine.records import Status, TaskState
from makespan.values import NONE_VALUE

if TYPE_CHECKING:
    from makespan.machine.machine import Machine

VERDICTS = frozenset({"happened", "retry", "run", "skip"})


def decided(machine: Machine, seen: Decided) -> None:
    """Take a verdict; one on a task that waits for none, or that is no verdict, comes to nothing."""
    number = machine.state.index.get(seen.task)
    task = None if number is None else machine.state.tasks[number]
    if task is None or task.status not in (Status.UNKNOWN, Status.DIVERGED) or seen.verdict not in VERDICTS:
        return
    held = task.reserved
    machine.emit(DecisionMade(task.number, machine.now, seen.verdict, seen.author))
    machine.out.sync = True
    if seen.verdict == "happened":
        machine.emit(TaskSucceeded(task.number, machine.now, machine.keep(seen.value or NONE_VALUE), held))
        return
    if seen.verdict == "skip":
        machine.emit(TaskCancelled(task.number, machine.now, f"skipped by {seen.author or 'a person'}"))
    budget.presume(machine, task, task.attempt, held)


def allow_diverged(machine: Machine, task: TaskState) -> None:
    """Whoever resumed the run has said that changed calls may be made; irreversible ones always ask."""
    if task.declaration.options.effect != Effect.IRREVERSIBLE:
        machine.emit(DecisionMade(task.number, machine.now, "run", f"on_change={machine.state.on_change}"))

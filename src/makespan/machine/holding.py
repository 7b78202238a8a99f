"""Holding tasks back while their body thinks about changing them; what has started goes on, unrelated tasks too.

Holds are no facts: a body that is resumed asks for the same ones again before anything starts, and without a body
nobody thinks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from makespan.machine.observations import HoldTasks, LetGo
from makespan.machine.records import Status, TaskState
from makespan.values import TaskId

if TYPE_CHECKING:
    from makespan.machine.machine import Machine


def hold(machine: Machine, request: HoldTasks) -> None:
    """Keep tasks from starting: those that are ready step back and give up their places in lines."""
    for id in request.tasks:
        task = _not_started(machine, id)
        if task is None:
            continue
        machine.held[task.number] = machine.state.index.get(request.body, -1)
        if task.status == Status.READY:
            machine.step_back(task)
            machine.choices.undecided.pop(task.number, None)
            machine.choices.allotted.pop(task.number, None)
            machine.denied.pop(task.number, None)
            task.status = Status.WAITING


def let_go(machine: Machine, request: LetGo) -> None:
    """Held tasks start when they can."""
    for id in request.tasks:
        number = machine.state.index.get(id, -1)
        if machine.held.pop(number, None) is not None:
            machine.state.agenda.candidates.append(number)


def let_go_all(machine: Machine, body: int) -> None:
    """What a body holds may start when it is over."""
    for number in [number for number, holder in machine.held.items() if holder == body]:
        del machine.held[number]
        machine.state.agenda.candidates.append(number)


def fail_stuck(machine: Machine) -> None:
    """Nothing goes on but what is held back, and nothing can come that would wake a body: whoever holds is at fault."""
    holders = sorted({holder for holder in machine.held.values() if holder >= 0})
    held = sorted(machine.held)
    machine.held.clear()
    machine.state.agenda.candidates.extend(held)
    for number in holders:
        task = machine.state.tasks[number]
        if task.is_final:
            continue
        if machine.bodies is not None:
            machine.bodies.cancel(number)
        names = ", ".join(machine.state.tasks[each].declaration.key for each in held[:5])
        machine.fail(
            task,
            "makespan.errors.GraphError",
            f"the body of {task.declaration.key!r} waits, and all that could go on is held back by it ({names}): "
            f"let it go before you wait for it",
        )
        machine.cancel_scope(machine.state.scope_index[task.spec.id], "the workflow failed")


def _not_started(machine: Machine, id: TaskId) -> TaskState | None:
    number = machine.state.index.get(id)
    task = None if number is None else machine.state.tasks[number]
    if task is None or task.attempt:
        return None
    return task if task.status <= Status.READY or task.status == Status.ASKED else None

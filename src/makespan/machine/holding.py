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


def _not_started(machine: Machine, id: TaskId) -> TaskState | None:
    number = machine.state.index.get(id)
    task = None if number is None else machine.state.tasks[number]
    return task if task is not None and task.status <= Status.READY and not task.attempt else None

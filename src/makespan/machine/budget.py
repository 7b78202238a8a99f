"""Pay before you go: the worst case of an attempt is reserved in every scope that has a budget before it starts.

committed + reserved <= budget holds after every fact, in every scope. A task that does not fit waits while reservations
are out that may come back; when none are, the scope's limit is reached: the run pauses, an inner scope fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from makespan.errors import EngineError, record_of
from makespan.machine import compensation
from makespan.machine.records import TaskState

if TYPE_CHECKING:
    from makespan.machine.machine import Machine


def reserve(machine: Machine, task: TaskState, args: bytes, mode: str = "") -> int | None:
    """Nano-USD to reserve for the next attempt, or None when it cannot start now (it waits, or it failed)."""
    quote = _quote(machine, task, args, mode)
    if quote is None:
        return None
    cap = task.declaration.options.budget
    if cap is not None and quote > cap:
        machine.fail(
            task,
            "makespan.errors.LimitError",
            f"one attempt of {task.declaration.key!r} may cost {quote / 1e9:g} USD, "
            f"more than its budget_usd of {cap / 1e9:g}",
        )
        return None
    scopes = machine.state.scopes
    for number in scopes[task.spec.scope].budgeted:
        scope = scopes[number]
        if scope.budget is None or scope.committed + scope.reserved + quote <= scope.budget:
            continue
        if scope.reserved or number == 0:
            machine.starved.setdefault(number, []).append(task.number)
            machine.broke = (number, quote)
        elif scope.is_dead:
            compensation.ask_instead(machine, task, "its scope has no budget left to do it again")
        else:
            machine.reach_limit(number, "budget_usd", scope.budget, scope.committed + quote)
        return None
    return quote


def room_for(machine: Machine, task: TaskState, args: bytes, mode: str) -> int | None:
    """Nano-USD to reserve for one more attempt of a running task, or None where the budgets have no room to spare."""
    try:
        quote = _worst_case(machine, task, args, mode)
    except EngineError:
        return None
    scopes = machine.state.scopes
    for number in scopes[task.spec.scope].budgeted:
        scope = scopes[number]
        if scope.budget is not None and scope.committed + scope.reserved + quote > scope.budget:
            return None
    return quote


def _quote(machine: Machine, task: TaskState, args: bytes, mode: str) -> int | None:
    try:
        return _worst_case(machine, task, args, mode)
    except EngineError as error:
        compensation.fail(machine, task, record_of(error))
        return None


def _worst_case(machine: Machine, task: TaskState, args: bytes, mode: str) -> int:
    options = task.declaration.options
    if not options.priced or machine.pricing is None:
        return options.budget or 0
    return machine.pricing.worst_case(task.declaration, args, mode)


def wake(machine: Machine, task: TaskState) -> None:
    """A reservation came back: let those that waited for it try again."""
    for number in machine.state.scopes[task.spec.scope].budgeted:
        for waiting in machine.starved.pop(number, ()):
            machine.ready.push(waiting, machine.state.tasks[waiting].declaration.options.priority)

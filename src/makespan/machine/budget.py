"""Pay before you go: the worst case of an attempt is reserved in every scope that has a budget before it starts.

committed + reserved <= budget holds after every fact, in every scope. A task that does not fit waits while reservations
are out that may come back; when none are, the scope's limit is reached: the run pauses, an inner scope fails.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from makespan.errors import EngineError, ErrorRecord, record_of
from makespan.machine import compensation
from makespan.machine.facts import AttemptInterrupted, LateResult
from makespan.machine.observations import Denied
from makespan.machine.records import ScopeState, Status, TaskState

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
            rank = machine.ready.rank(task.number, task.declaration.options.priority)
            machine.starved.push(number, task.number, quote, rank)
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


def feed(machine: Machine) -> None:
    """Reservations came back: let those that there is room for try again, in their rank. When none is out any more, the
    first tries in any case: it is the one that meets the limit of an inner scope."""
    tasks, starved = machine.state.tasks, machine.starved
    for number in sorted(starved.freed):
        line, scope = starved.lines.get(number), machine.state.scopes[number]
        if line is None:
            continue
        room, is_helped = _room(scope), False
        while (found := line.pop(room if is_helped or scope.reserved or number == 0 else _ANY)) is not None:
            waiting, quote = found
            if tasks[waiting].status == Status.READY:
                room, is_helped = room - quote, True
                machine.ready.push(waiting, tasks[waiting].declaration.options.priority)
    starved.freed.clear()


def wake_all_that_fit(machine: Machine) -> bool:
    """Nothing runs any more: who waits for money and has room in every budget tries again. Whether there was one."""
    state, found = machine.state, False

    def fits(number: int, quote: int) -> bool:
        task = state.tasks[number]
        around = state.scopes[task.spec.scope].budgeted
        return task.status == Status.READY and all(_room(state.scopes[scope]) >= quote for scope in around)

    for line in machine.starved.lines.values():
        for number in line.all_that_fit(fits):
            machine.ready.push(number, state.tasks[number].declaration.options.priority)
            found = True
    return found


_ANY = 2**63


def _room(scope: ScopeState) -> int:
    return _ANY if scope.budget is None else scope.budget - scope.committed - scope.reserved


def is_starved(machine: Machine) -> bool:
    """Whether a task waits for money of the run's own budgets."""
    tasks = machine.state.tasks
    return any(tasks[number].status == Status.READY for number in machine.starved)


def used_up(machine: Machine, number: int, quote: int) -> str:
    """Why a run pauses for its own budget."""
    scope = machine.state.scopes[number]
    over = scope.committed - (scope.budget or 0)
    more = f" ({over / 1e9:g} USD over it: a provider billed more than its worst case)" if over > 0 else ""
    return (
        f"budget_usd of the run reached: {scope.committed / 1e9:g} of {(scope.budget or 0) / 1e9:g} USD used{more} "
        f"and the next task needs up to {quote / 1e9:g} USD"
    )


def presume(machine: Machine, task: TaskState, attempt: int, held: int) -> None:
    """An attempt ended without a word, and its reservation came back: it may have been billed in full, so it counts."""
    if held:
        machine.emit(LateResult(task.number, machine.now, cost=held, attempt=attempt))
        machine.out.sync = True


def denied(machine: Machine, seen: Denied) -> None:
    """What a budget that runs share has left is too little, and none of it comes back: the run will pause for it."""
    if seen.task in machine.queued:
        machine.queued.discard(seen.task)
        machine.denied[seen.task] = seen
    elif seen.task in machine.hedges.in_line:
        machine.hedges.forget(seen.task)  # the first attempt goes on alone


def first_denied(machine: Machine) -> Denied | None:
    """Why a task that could go on does not."""
    tasks = machine.state.tasks
    return next((seen for number, seen in machine.denied.items() if tasks[number].status == Status.READY), None)


REFUSALS = ("quota", "auth")
"""Kinds of a provider's refusals that no later attempt changes before a person does something."""


def refusal(error: ErrorRecord) -> str:
    """Of a failure: which refusal it is, if the whole run must wait for a person; else nothing."""
    kind = (error.details or {}).get("kind", "")
    return str(kind) if kind in REFUSALS else ""


def refused(machine: Machine, task: TaskState, error: ErrorRecord, cost: int, attempt: int) -> None:
    """A model's account or key is refused: no blame for the task, which is done again when the run goes on. What is in
    flight ends; nothing more starts."""
    machine.emit(AttemptInterrupted(task.number, machine.now, error.message, attempt, cost))
    machine.out.sync = machine.out.sync or cost > 0
    if machine.stopping is None:
        detail = f"{error.message}; {ADVICE[refusal(error)]}, then resume the run"
        machine.stopping, machine.draining = (refusal(error), detail), True


ADVICE = {
    "quota": "top up the account, or name another model",
    "auth": "set a key that has the right",
}

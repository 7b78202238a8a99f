"""Starting what is ready: concurrency limits, budget and broker first, then the fact, then the command."""

from __future__ import annotations

from heapq import heappush
from typing import TYPE_CHECKING

from makespan.graph.node import Effect, Kind
from makespan.machine import beside, budget, hedging, planning, requests, signals
from makespan.machine.facts import AttemptStarted, ScopeAdded
from makespan.machine.observations import Found, Granted, StartAttempt
from makespan.machine.policy import Rank
from makespan.machine.queue import ReadyQueue
from makespan.machine.records import Status, TaskState
from makespan.machine.resolve import arguments
from makespan.values import TaskId

if TYPE_CHECKING:
    from makespan.machine.machine import Machine

BEFORE_ALL_NEW: Rank = (-(2**62), 0)
"""Where hedges stand in line: the run waits for stragglers."""

_READY, _CALL, _IRREVERSIBLE = Status.READY, Kind.CALL, Effect.IRREVERSIBLE


def start_ready(machine: Machine) -> bool:
    """Start what is ready and has room; True when a live body started, whose requests may make more ready."""
    if machine.stopping is not None:
        return False
    if machine.starved.freed:
        budget.feed(machine)
    state, ready, body_started = machine.state, machine.ready, False
    most = state.limits.running
    if machine.hedges.overdue:
        hedge_overdue(machine)
    running, lingering = machine.running, machine.lingering
    while ready and len(running) + len(lingering) + state.company < most:  # `in_flight`, without a call a task
        task = state.tasks[ready.pop()]
        if task.status != _READY:
            if machine.crowded:
                wake_crowd(machine, task)  # it was woken for a room that it no longer takes
            continue
        if task.kind == _CALL:
            start_call(machine, task)
        elif task.kind == Kind.TIMER:
            machine.emit(AttemptStarted(task.number, machine.now))
            signals.watch_timer(machine, task)
        else:
            start_body(machine, task)
            body_started = True
            break
    return body_started


def start_call(machine: Machine, task: TaskState) -> None:
    number, options = task.number, task.declaration.options
    scope = machine.state.scopes[task.spec.scope]
    if scope.limited and not enter_scopes(machine, task, scope.limited):
        return
    try:
        args = arguments(machine.state, task)
    except LookupError as error:
        leave_scopes(machine, task)
        hold_nothing(machine, task)
        machine.fail(task, "LookupError", f"{error} in the argument this task reads")
        return
    cache, is_hit = machine.cache if options.cache_ns is not None else None, False
    if cache is not None:
        found = cache.look(number, task.declaration, args, task.generation)
        if found is Found.WAIT:
            wait_for_result(machine, task)
            return
        is_hit = found is Found.HIT
    choices, reserved, mode = machine.choices, 0, ""
    if choices.allotted or choices.modes:
        mode = planning.mode_of(machine, task)
    if (options.priced or options.budget is not None) and not is_hit:
        quote = budget.reserve(machine, task, args, mode)
        if quote is None:
            leave_scopes(machine, task)
            hold_nothing(machine, task)
            return
        reserved = quote
    slots = machine.slots
    if slots is not None and (options.needs or slots.counts_all) and number not in machine.queued and not is_hit:
        needs = slots.wanted(task.declaration, args, reserved, mode)
        problem = slots.problem(needs)
        if problem is not None:
            leave_scopes(machine, task)
            machine.fail(task, "makespan.errors.UsageError", f"{task.declaration.key}: {problem}")
            return
        if needs and not slots.ask(number, task.attempt + 1, needs, machine.now, rank_of(machine, task)):
            machine.queued.add(number)
            leave_scopes(machine, task)
            return
    if cache is not None and not is_hit and not cache.take_off(number, task.declaration):
        wait_for_result(machine, task)
        return
    machine.running.add(number)
    machine.emit(AttemptStarted(number, machine.now, reserved, (), mode))
    if reserved or options.effect == _IRREVERSIBLE:
        machine.out.sync = True
    order(machine, task, args, reserved, mode)
    if choices.allotted:
        start_samples(machine, task, args, mode, is_hit=is_hit)
    if options.hedge is not None and not is_hit:
        hedging.watch(machine, task, mode)


def order(machine: Machine, task: TaskState, args: bytes, reserved: int, mode: str) -> None:
    """Command the attempt that was just started, and watch its time."""
    options, spec = task.declaration.options, task.spec
    if options.timeout_ns is not None:
        heappush(machine.heap, (machine.now + options.timeout_ns, task.number, task.attempt, "timeout"))
    machine.out.commands.append(
        StartAttempt(
            task.number,
            task.attempt,
            TaskId(spec.id),
            task.declaration,
            args,
            spec.label,
            reserved,
            task.errors[-1].message if task.errors else "",
            task.generation,
            mode,
        )
    )


def start_beside(machine: Machine, task: TaskState, args: bytes, mode: str, *, waits: bool = False) -> bool:
    """One more attempt of a running task, where slots and budgets have room for it now; whether they had.

    Args:
        waits: whether it stays in line for its slots.
    """
    if machine.stopping is not None or machine.in_flight >= machine.state.limits.running:
        return False
    quote = budget.room_for(machine, task, args, mode)
    if quote is None:
        return False
    slots, next_attempt = machine.slots, task.attempt + 1
    if slots is not None and (task.declaration.options.needs or slots.counts_all):
        needs = slots.wanted(task.declaration, args, quote, mode)
        rank = BEFORE_ALL_NEW if waits else rank_of(machine, task)
        if needs and not slots.ask(task.number, next_attempt, needs, machine.now, rank):
            if waits:
                machine.hedges.in_line[task.number] = False
            else:
                slots.release(task.number, next_attempt)
            return False
    machine.emit(AttemptStarted(task.number, machine.now, quote, (), mode, True))
    if quote:
        machine.out.sync = True
    order(machine, task, args, quote, mode)
    return True


def hedge_overdue(machine: Machine) -> None:
    """Start a second attempt beside what has taken too long, before anything new: the run waits for stragglers."""
    hedges, slots = machine.hedges, machine.slots
    if not hedges.in_line and machine.in_flight >= machine.state.limits.running:
        return
    for number, attempt in list(hedges.overdue.items()):
        task = machine.state.tasks[number]
        is_alone = task.status == Status.RUNNING and task.attempt == attempt and number not in machine.state.beside
        if is_alone and hedges.in_line.get(number) is False:
            continue
        had_a_place = hedges.in_line.pop(number, None) is not None
        is_started = is_alone and _hedge(machine, task)
        if is_started or not is_alone:
            hedges.forget(number)
        if had_a_place and not is_started and number not in hedges.in_line and slots is not None:
            slots.release(number, attempt + 1)


def _hedge(machine: Machine, task: TaskState) -> bool:
    """Start the second attempt of a task; False where there is no room for it yet."""
    if machine.in_flight >= machine.state.limits.running:
        return False
    try:
        args = arguments(machine.state, task)
    except LookupError:
        return True
    return start_beside(machine, task, args, machine.state.modes.get(task.number, ""), waits=True)


def start_samples(machine: Machine, task: TaskState, args: bytes, mode: str, *, is_hit: bool = False) -> None:
    """The further attempts that the planner wants, as far as there is room; none where the result is there already."""
    _, samples = machine.choices.allotted.pop(task.number, ("", 1))
    if not is_hit and beside.may_have_company(task):
        while samples > 1 and start_beside(machine, task, args, mode):
            samples -= 1


def hold_nothing(machine: Machine, task: TaskState) -> None:
    """A task that does not start gives back what the broker has granted it, or leaves the line: those behind it may
    be all that could still go on."""
    slots, is_queued = machine.slots, task.number in machine.queued
    machine.queued.discard(task.number)
    if slots is not None and (is_queued or task.declaration.options.needs or slots.counts_all):
        slots.release(task.number, task.attempt + 1)


def wait_for_result(machine: Machine, task: TaskState) -> None:
    """Another task computes the same: hold nothing until `Granted` says that it has ended."""
    if machine.slots is not None:
        machine.slots.release(task.number, task.attempt + 1)
    machine.queued.add(task.number)
    leave_scopes(machine, task)


def granted(machine: Machine, seen: Granted) -> None:
    """A task need not wait any more: the broker holds its slots for it, or the result it waited for is there."""
    if seen.task in machine.hedges.in_line:
        machine.hedges.in_line[seen.task] = True
    if seen.task not in machine.queued:
        return
    machine.queued.discard(seen.task)
    task = machine.state.tasks[seen.task]
    if task.status == _READY and machine.stopping is None:
        machine.ready.push_first(seen.task)
    elif machine.slots is not None:
        machine.slots.release(seen.task, task.attempt + 1)


def start_body(machine: Machine, task: TaskState) -> None:
    """Open the workflow's scope and start its body."""
    options, state = task.declaration.options, machine.state
    parent = state.scopes[task.spec.scope]
    if parent.depth + 1 > state.limits.depth:
        machine.fail(
            task,
            "makespan.errors.LimitError",
            f"scopes nest deeper than the limit `depth` ({state.limits.depth})",
        )
        return
    machine.emit(AttemptStarted(task.number, machine.now))
    if task.spec.id not in state.scope_index:
        machine.emit(
            ScopeAdded(
                task.spec.id,
                parent.number,
                task.declaration.key,
                machine.now,
                options.budget,
                options.deadline_ns,
                0,
                task.number,
            )
        )
        machine.watch_deadline(len(state.scopes) - 1)
    run_body(machine, task)


def run_body(machine: Machine, task: TaskState) -> None:
    """(Re)start the live body of a workflow task that is running."""
    assert machine.bodies is not None, "a workflow task needs bodies"
    try:
        args = arguments(machine.state, task)
    except LookupError as error:
        machine.fail(task, "LookupError", f"{error} in the argument this workflow reads")
        return
    machine.is_live = True
    machine.bodies.start(task.number, task.spec.id, task.declaration, args, task.started_at)  # type: ignore[arg-type]
    requests.take(machine, machine.bodies.drain())
    machine.state.agenda.emptied.append(machine.state.scope_index[task.spec.id])


def rank_of(machine: Machine, task: TaskState) -> Rank:
    """Where a task stands in other lines than the ready queue."""
    return machine.ready.rank(task.number, task.declaration.options.priority)


def enter_scopes(machine: Machine, task: TaskState, limited: tuple[int, ...]) -> bool:
    scopes = machine.state.scopes
    for number in limited:
        if scopes[number].running >= scopes[number].limit:
            line = machine.crowded.get(number)
            if line is None:
                line = machine.crowded[number] = ReadyQueue(machine.state, machine.policy)
            line.push(task.number, task.declaration.options.priority)
            wake_crowd(machine, task)
            return False
    for number in limited:
        scopes[number].running += 1
    return True


def leave_scopes(machine: Machine, task: TaskState) -> None:
    for number in machine.state.scopes[task.spec.scope].limited:
        machine.state.scopes[number].running -= 1
    if machine.crowded:
        wake_crowd(machine, task)


def wake_crowd(machine: Machine, task: TaskState) -> None:
    """Let one more try for each of the task's scopes that has room: whoever does not take it wakes the next."""
    tasks, scopes = machine.state.tasks, machine.state.scopes
    for number in scopes[task.spec.scope].limited:
        line = machine.crowded.get(number)
        if line is None or scopes[number].running >= scopes[number].limit:
            continue
        while line:
            other = line.pop()
            if tasks[other].status == _READY:
                machine.ready.push(other, tasks[other].declaration.options.priority)
                break
        if not line:
            machine.crowded.pop(number, None)

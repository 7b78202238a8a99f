"""Waiting for the world: messages, questions, approvals, and timers that are told when.

    send ──▶ MessageReceived ──▶ mailbox of its name ──▶ MessageTaken by the receiver that has waited longest
                                                    └──▶ MessageRefused: it does not fit the declared type

Each message is taken once, in order of arrival; one nobody waits for stays in its mailbox. A question is a SIGNAL whose
mailbox is its own id, so that only its answer fits. An approval is no task: it holds the task it allows.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime
from heapq import heappush
from typing import TYPE_CHECKING, Any

import msgspec

from makespan.errors import ErrorRecord
from makespan.graph.node import Kind
from makespan.machine import compensation, expecting, items
from makespan.machine.facts import (
    ApprovalAsked,
    AttemptStarted,
    DecisionMade,
    MessageReceived,
    MessageRefused,
    MessageTaken,
    TaskFailed,
)
from makespan.machine.observations import Answered, Sent
from makespan.machine.records import Status, TaskState
from makespan.machine.resolve import arguments, at_path
from makespan.machine.state import State
from makespan.values import nanos

if TYPE_CHECKING:
    from makespan.machine.machine import Machine

REFUSED = "makespan.Refused"
"""Type of the failure of a task whose approval was refused."""
NO_ANSWER = "makespan.NoAnswer"
"""Type of the failure of a question that nobody answered in time."""


class When(msgspec.Struct, frozen=True):
    """Arguments of a TIMER that is told when to end: so many seconds after it is ready, or at a moment."""

    seconds: float | None = None
    until: datetime | None = None


_when = msgspec.msgpack.Decoder(When)
_truth = msgspec.msgpack.Decoder(bool)


def mailbox_of(task: TaskState) -> str:
    """The name under which the message of a SIGNAL arrives."""
    wait = task.declaration.wait
    return wait.name if wait is not None and wait.name else f"answer:{task.spec.id.hex()}"


def is_question(task: TaskState) -> bool:
    """Whether a person is asked: by `ms.ask`, or for an approval."""
    wait = task.declaration.wait
    return task.status == Status.ASKED or (task.kind == Kind.SIGNAL and wait is not None and not wait.name)


def waits_for_the_world(machine: Machine) -> bool:
    """Whether a message or a person may make the run go on; what no body has asked for again waits for nobody."""
    tasks, holds = machine.state.tasks, machine.replay.holds
    if any(tasks[number].status == Status.ASKED and not holds(number) for number in machine.asked):
        return True
    return any(
        tasks[number].status == Status.RUNNING and not holds(number)
        for name, line in machine.listening.items()
        if not name.startswith(items.ITEMS)  # said by a task of the run, which is none of the world's
        for number in line
    )


# ---------------------------------------------------------------- receivers


def listen(machine: Machine, task: TaskState) -> None:
    """A SIGNAL is ready: from now on it takes messages."""
    machine.emit(AttemptStarted(task.number, machine.now))
    listen_again(machine, task)
    machine.mail.append(mailbox_of(task))


def listen_again(machine: Machine, task: TaskState) -> None:
    """Put a listening SIGNAL in line, and its deadline on the heap."""
    line = machine.listening.setdefault(mailbox_of(task), deque())
    if task.number not in line:
        line.append(task.number)
    if task.spec.delay_ns:
        heappush(machine.heap, (task.started_at + task.spec.delay_ns, task.number, task.attempt, "answer"))


def hand_out(machine: Machine) -> bool:
    """Hand out one message; True if there was one. One at a time, so that whoever lost a race takes none."""
    while machine.mail:
        if _give(machine, machine.mail[0]):
            return True
        machine.mail.popleft()
    return False


def _give(machine: Machine, name: str) -> bool:
    """Hand the oldest message of a mailbox to whoever has waited longest; False when one of them is missing."""
    state, line = machine.state, machine.listening.get(name)
    while line and state.tasks[line[0]].status != Status.RUNNING:
        line.popleft()
    if not line or machine.replay.holds(line[0]):
        return False
    untaken = state.mailboxes.get(name)
    number = untaken[0] if untaken else items.next_unread(machine, name)
    if number is None:
        return False
    task = state.tasks[line[0]]
    value = state.bytes_of(state.messages[number].value)
    fitting = value if machine.bodies is None else machine.bodies.fit(task.declaration, value)
    if isinstance(fitting, str):
        machine.emit(MessageRefused(number, machine.now, fitting))
    else:
        line.popleft()
        machine.emit(MessageTaken(task.number, machine.now, number, machine.keep(fitting)))
    return True


def sent(machine: Machine, seen: Sent) -> None:
    """A message arrives, once however often it is sent."""
    state = machine.state
    if seen.message_id in state.message_ids:
        return
    if seen.by_task:
        items.note(machine, seen)
        return
    untaken = sum(map(len, state.mailboxes.values()))
    number = _received(machine, seen.name, seen.value, seen.message_id, seen.author)
    if untaken >= state.limits.messages:
        limit = f"{untaken} messages wait to be taken; the limit `messages` is {state.limits.messages}"
        machine.emit(MessageRefused(number, machine.now, limit))
    elif seen.name in machine.expected:
        expecting.arrived(machine, seen.name)
    machine.mail.append(seen.name)


def _received(machine: Machine, name: str, value: bytes, message_id: str, author: str) -> int:
    machine.emit(MessageReceived(machine.now, name, machine.keep(value), message_id, author))
    machine.out.sync = True
    return len(machine.state.messages) - 1


def due_answer(machine: Machine, number: int, _: int = 0) -> None:
    """Nobody answered in time: the default, or a failure."""
    task = machine.state.tasks[number]
    wait = task.declaration.wait
    assert wait is not None
    if wait.has_default:
        machine.succeed(task, at_path(arguments(machine.state, task), ("default",)))
    else:
        message = f"no answer within {task.spec.delay_ns / 1e9:g} s"
        machine.emit(TaskFailed(number, machine.now, ErrorRecord(NO_ANSWER, message, (NO_ANSWER,), False)))


# ---------------------------------------------------------------- people


def answered(machine: Machine, seen: Answered) -> None:
    """A person's answer to a question or an approval; one that comes too late or does not fit is kept, refused."""
    state = machine.state
    if seen.message_id in state.message_ids:
        return
    number = state.index.get(seen.task)
    task = None if number is None else state.tasks[number]
    if task is not None and task.status == Status.ASKED:
        _judged(machine, task, seen)
        return
    name = f"answer:{seen.task.hex()}"
    message = _received(machine, name, seen.value, seen.message_id, seen.author)
    if task is None or task.kind != Kind.SIGNAL or task.is_final:
        why = "there is no such question" if task is None else f"{task.declaration.key} does not wait for an answer"
        machine.emit(MessageRefused(message, machine.now, why))
    else:
        machine.mail.append(name)


def ask_approval(machine: Machine, task: TaskState) -> None:
    """The task could start, if a person allows it."""
    machine.emit(ApprovalAsked(task.number, machine.now))
    machine.asked.append(task.number)


def _judged(machine: Machine, task: TaskState, seen: Answered) -> None:
    try:
        is_allowed = _truth.decode(seen.value)
    except msgspec.ValidationError:
        message = _received(machine, f"answer:{seen.task.hex()}", seen.value, seen.message_id, seen.author)
        machine.emit(MessageRefused(message, machine.now, "an approval is true or false"))
        return
    machine.emit(DecisionMade(task.number, machine.now, "approve" if is_allowed else "refuse", seen.author))
    machine.out.sync = True
    if not is_allowed:
        why = f": {seen.why}" if seen.why else ""
        text = f"{task.declaration.key} was refused by {seen.author or 'a person'}{why}"
        compensation.fail(machine, task, ErrorRecord(REFUSED, text, (REFUSED,), False))


# ---------------------------------------------------------------- timers


def watch_timer(machine: Machine, task: TaskState) -> None:
    """Put the end of a timer that has started on the heap."""
    try:
        due = timer_due(machine.state, task)
    except LookupError as error:
        machine.fail(task, "makespan.errors.GraphError", str(error))
    else:
        heappush(machine.heap, (due, task.number, task.attempt, "timer"))


def timer_due(state: State, task: TaskState) -> int:
    """When a TIMER that has started ends. Raises LookupError when its arguments do not say."""
    if not task.spec.args:
        return task.started_at + task.spec.delay_ns
    try:
        when: Any = _when.decode(arguments(state, task))
    except msgspec.ValidationError as error:
        raise LookupError(f"a timer takes seconds, or a time with a zone: {error}") from None
    if when.until is None:
        return task.started_at + nanos(max(when.seconds or 0.0, 0.0))
    if when.until.tzinfo is None:
        raise LookupError(f"{when.until} has no time zone")
    started = state.started.started_wall_ns if state.started is not None else 0
    return max(nanos(when.until.timestamp()) - started, task.started_at)


def resume(machine: Machine) -> None:
    """A new life: who listened listens again, in the order in which they began to."""
    waiting = [t for t in machine.state.tasks if t.kind == Kind.SIGNAL and t.status == Status.RUNNING]
    for task in sorted(waiting, key=lambda t: (t.started_at, t.number)):
        listen_again(machine, task)
    machine.asked.extend(t.number for t in machine.state.tasks if t.status == Status.ASKED)

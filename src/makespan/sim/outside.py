"""The world around a simulated run: messages, answers and approvals that come after a time drawn like a task's.

What is waited for has a key like a task: `receive paid` and `ask` as declared, `approval of KEY` for approvals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec

from makespan.graph.node import Declaration, Kind
from makespan.machine.facts import ApprovalAsked, AttemptStarted, Fact
from makespan.machine.items import is_bookkeeping
from makespan.machine.observations import Answered, Sent, StartAttempt
from makespan.machine.records import Status, TaskState
from makespan.machine.signals import is_question
from makespan.machine.state import State
from makespan.profiles.fitting import APPROVAL
from makespan.profiles.profile import Drawn
from makespan.sim.guessing import Values
from makespan.values import NONE_VALUE, TaskId

AUTHOR = "the simulation"
_encode = msgspec.msgpack.encode


class Outside:
    """Sends what a run waits for."""

    def __init__(self, state: State, attempts: Callable[[StartAttempt], Drawn], values: Values | None) -> None:
        self._state, self._attempts, self._values = state, attempts, values
        self._for: dict[str, int] = {}
        """Message id → the task it is meant for."""

    def replies(self, facts: Sequence[Fact]) -> Iterator[tuple[int, Sent | Answered]]:
        """What comes, and when, because of what the run has begun to wait for."""
        for fact in facts:
            if type(fact) is AttemptStarted and self._state.tasks[fact.task].kind == Kind.SIGNAL:
                task = self._state.tasks[fact.task]
                if not is_bookkeeping(task.declaration):  # what another task yields comes with its result here
                    yield from self._message(task, fact.at)
            elif type(fact) is ApprovalAsked:
                yield self._approval(self._state.tasks[fact.task], fact.at)

    def is_awaited(self, reply: Sent | Answered) -> bool:
        """Whether the task that a reply is meant for still waits."""
        number = self._for.get(reply.message_id)
        return number is not None and self._state.tasks[number].status in (Status.RUNNING, Status.ASKED)

    def _message(self, task: TaskState, at: int) -> Iterator[tuple[int, Sent | Answered]]:
        command = _asked(task, task.declaration)
        drawn = self._attempts(command)
        if not drawn.ok:
            return  # nobody sends it
        value = drawn.value
        if value is None:
            value = NONE_VALUE if self._values is None else self._values.stand_in(command, self._state)
        due, message_id = at + drawn.takes_ns, self._id(task)
        wait = task.declaration.wait
        if is_question(task) or wait is None:
            yield due, Answered(due, TaskId(task.spec.id), value, message_id, AUTHOR)
        else:
            yield due, Sent(due, wait.name, value, message_id, AUTHOR)

    def _approval(self, task: TaskState, at: int) -> tuple[int, Answered]:
        drawn = self._attempts(_asked(task, Declaration(f"{APPROVAL}{task.declaration.key}", Kind.SIGNAL)))
        due = at + drawn.takes_ns
        return due, Answered(due, TaskId(task.spec.id), _encode(drawn.ok), self._id(task), AUTHOR)

    def _id(self, task: TaskState) -> str:
        message_id = f"simulated {task.number} {task.attempt}"
        self._for[message_id] = task.number
        return message_id


def _asked(task: TaskState, declaration: Declaration) -> StartAttempt:
    """A wait in the form in which attempts are drawn."""
    return StartAttempt(task.number, max(task.attempt, 1), TaskId(task.spec.id), declaration, b"\x80", task.spec.label)

"""Going on where values are missing: results that stand in, and guards that cannot be evaluated on them."""

from __future__ import annotations

from typing import Protocol

from makespan.graph.expression import parse
from makespan.graph.node import Declaration
from makespan.graph.terms import GuardError
from makespan.machine.facts import TaskSkipped
from makespan.machine.machine import Machine
from makespan.machine.observations import StartAttempt
from makespan.machine.records import TaskState
from makespan.machine.resolve import guard_values
from makespan.machine.state import State


class Values(Protocol):
    """Results for attempts of which only time and cost are known. Pure and synchronous."""

    def fits(self, declaration: Declaration, value: bytes) -> bool:
        """Whether a recorded result is still one of this task."""
        ...

    def stand_in(self, command: StartAttempt, state: State) -> bytes:
        """An encoded result."""
        ...


class GuessingMachine(Machine):
    """The live machine, but for guards that stumble over a value which stands in: those count as true.

    Of the two branches of an `otherwise=` one guard is the negation of the other, and it counts as false.
    """

    is_guessing = False
    """Whether some value of this run stands in."""
    guessed: list[str]
    """Guards that counted as true or false without being evaluated."""

    def __init__(self, state: State, **parts: object) -> None:
        super().__init__(state, **parts)  # type: ignore[arg-type]  # whatever a Machine takes
        self.guessed = []

    def _guard_allows(self, task: TaskState) -> bool:
        if not self.is_guessing:
            return super()._guard_allows(task)
        try:
            guard = parse(task.spec.when)
            guard.holds(guard_values(self.state, task, guard.names))
        except (GuardError, LookupError):
            self.guessed.append(task.spec.when)
            if not _is_negated(task.spec.when):
                return True
            self.emit(TaskSkipped(task.number, self.now))
            return False
        return super()._guard_allows(task)


def _is_negated(when: str) -> bool:
    """Whether some test in it belongs to an `otherwise=`."""
    return when.startswith("not (") or "(not (" in when

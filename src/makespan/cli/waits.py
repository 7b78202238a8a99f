"""What a run waits for, told once: on a terminal nobody else says what to type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from makespan.graph.node import Kind
from makespan.machine import facts as f
from makespan.machine.records import Status
from makespan.machine.state import State
from makespan.traces.lines import Line, lines_of


class Waits:
    """Tells once of each task that it waits for a person or a message, and what to type for it."""

    def __init__(self) -> None:
        self._told: set[tuple[int, int]] = set()

    def already(self, state: State) -> Iterator[Line]:
        """What waits by now."""
        for task in state.tasks:
            if task.status == Status.ASKED:
                yield from self._line(f.ApprovalAsked(task.number, task.asked_at), state)
            elif task.kind == Kind.SIGNAL and task.status == Status.RUNNING:
                yield from self._line(f.AttemptStarted(task.number, task.started_at), state)

    def begun(self, facts: Sequence[f.Fact], state: State) -> Iterator[Line]:
        """What waits since these facts."""
        for fact in facts:
            if not isinstance(fact, f.ApprovalAsked | f.AttemptStarted):
                continue
            if isinstance(fact, f.ApprovalAsked) or state.tasks[fact.task].kind == Kind.SIGNAL:
                yield from self._line(fact, state)

    def _line(self, fact: f.ApprovalAsked | f.AttemptStarted, state: State) -> Iterator[Line]:
        which = (fact.task, state.tasks[fact.task].generation)
        if which not in self._told:
            self._told.add(which)
            yield from lines_of(fact, state)

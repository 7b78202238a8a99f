"""Several attempts of one task in flight together: the first success wins, the others are stopped and accounted.

    samples   k attempts start at once, because a planner bets on one of them
    hedge     a second attempt starts when the first takes longer than nearly all before it

Each holds its own slots and its own reservation. Only tasks that may be repeated have company: what is irreversible, or
is undone with its scope, never does. The group is one try: it fails when its last attempt has failed.
Source of hedged requests: Dean and Barroso, "The Tail at Scale" (2013).
"""

from __future__ import annotations

from makespan.graph.node import Effect
from makespan.machine.records import TaskState
from makespan.machine.state import State


def in_flight(state: State, task: TaskState) -> tuple[int, ...]:
    """Numbers of the attempts of a running task."""
    flights = state.beside.get(task.number) if state.beside else None
    return (task.attempt,) if flights is None else tuple(flights)


def flies_on(state: State, task: TaskState, attempt: int) -> bool:
    """Whether others of its attempts are in flight."""
    flights = state.beside.get(task.number)
    return flights is not None and any(number != attempt for number in flights)


def may_have_company(task: TaskState) -> bool:
    """Whether a second attempt at the same time does no harm."""
    return task.declaration.options.effect != Effect.IRREVERSIBLE and task.declaration.undo is None

"""A second attempt for what takes too long: when the first passes a quantile of its duration, and the budget allows.

The duration model is the profile's where there is one, else what the run itself has seen of the same key and mode. The
loser's time counts as seen too, as far as it got: leaving it out would lower the quantile with every hedge.
"""

from __future__ import annotations

from bisect import insort
from heapq import heappush
from typing import TYPE_CHECKING, Protocol

from makespan.machine import beside
from makespan.machine.records import TaskState

if TYPE_CHECKING:
    from makespan.machine.machine import Machine

SEEN_BEFORE_HEDGING = 20
"""Attempts of one key and mode that a run has seen before it trusts their quantile."""
SEEN_LIMIT = 10_000
"""Durations of one key and mode that are remembered."""


class Estimates(Protocol):
    """What is known of durations before the run."""

    def quantile_ns(self, key: str, mode: str, q: float) -> int | None:
        """The duration that a share `q` of attempts does not exceed; None where nothing is known."""
        ...


def watch(machine: Machine, task: TaskState, mode: str) -> None:
    """An attempt has started: note when it will have taken too long."""
    if not beside.may_have_company(task) or task.number in machine.state.beside:
        return
    key = task.declaration.key
    limit_ns = _limit_ns(machine, key, mode, task.declaration.options.hedge or 1.0)
    if limit_ns is None:
        machine.unwatched.setdefault((key, mode), []).append((task.number, task.attempt))
    else:
        heappush(machine.heap, (machine.now + limit_ns, task.number, task.attempt, "hedge"))


def _limit_ns(machine: Machine, key: str, mode: str, q: float) -> int | None:
    if machine.estimates is not None:
        known = machine.estimates.quantile_ns(key, mode, q)
        if known is not None:
            return known
    seen = machine.durations.get((key, mode), ())
    if len(seen) < SEEN_BEFORE_HEDGING:
        return None
    return seen[min(int(q * len(seen)), len(seen) - 1)]


def learn(machine: Machine, task: TaskState, took_ns: int) -> None:
    """An attempt is over, or was not needed any more; those that waited to be watched may be now."""
    which = task.declaration.key, machine.state.modes.get(task.number, "")
    seen = machine.durations.setdefault(which, [])
    if len(seen) < SEEN_LIMIT:
        insort(seen, took_ns)
    if len(seen) == SEEN_BEFORE_HEDGING:
        tasks = machine.state.tasks
        for number, attempt in machine.unwatched.pop(which, ()):
            limit_ns = _limit_ns(machine, *which, tasks[number].declaration.options.hedge or 1.0)
            due = tasks[number].started_at + (limit_ns or 0)
            heappush(machine.heap, (max(due, machine.now), number, attempt, "hedge"))

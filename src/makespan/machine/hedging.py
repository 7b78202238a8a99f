"""A second attempt for what takes too long: when the first passes a quantile of its duration, and the budget allows.

The duration model is the profile's where there is one, else what the run itself has seen of the same key and mode. Of
attempts in flight, and of losers, only that they take longer than so far is known: they are censored, and count so.
Leaving them out would take the quickest for the usual, and lower the quantile with every hedge.
Source of the estimator: Kaplan and Meier, "Nonparametric Estimation from Incomplete Observations" (1958).
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
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
GROWTH = 1.1
"""The quantile is looked at again when so many times as many attempts were seen."""


class Estimates(Protocol):
    """What is known of durations before the run."""

    def quantile_ns(self, key: str, mode: str, q: float) -> int | None:
        """The duration that a share `q` of attempts does not exceed; None where nothing is known."""
        ...


class Durations:
    """How long attempts of one key and mode took in this run."""

    def __init__(self) -> None:
        self.ended: list[int] = []
        self.dropped: list[int] = []
        """How far losers got."""
        self.unwatched: list[tuple[int, int]] = []
        """(task, attempt) that started before enough was known."""
        self.limit_ns: int | None = None
        self._next_look = SEEN_BEFORE_HEDGING

    def see(self, took_ns: int, *, is_winner: bool) -> None:
        """An attempt is over, or was not needed any more."""
        if len(self.ended) + len(self.dropped) < SEEN_LIMIT:
            insort(self.ended if is_winner else self.dropped, took_ns)

    @property
    def is_due(self) -> bool:
        """Whether so much more was seen that the limit may be another."""
        return len(self.ended) >= self._next_look

    def look(self, q: float, in_flight: Iterable[int]) -> None:
        """Estimate the limit again, from ends and from how long others are in flight. Cost: O(n log n)."""
        self._next_look = max(int(len(self.ended) * GROWTH), len(self.ended) + 1)
        self.limit_ns = quantile(self.ended, sorted([*self.dropped, *in_flight]), q)


class Hedges:
    """What a life knows of attempts that take too long."""

    def __init__(self, estimates: Estimates | None) -> None:
        self.estimates = estimates
        self.durations: dict[tuple[str, str], Durations] = {}
        """(key, mode) → how long attempts took; of tasks that may be hedged, and of which no profile tells."""
        self.overdue: dict[int, int] = {}
        """Task → its attempt that has taken too long and shall have company."""
        self.in_line: dict[int, bool] = {}
        """Of these, the tasks whose second attempt stands in line at the broker → whether its turn has come."""

    def forget(self, number: int) -> None:
        """The task needs no second attempt any more."""
        self.overdue.pop(number, None)
        self.in_line.pop(number, None)


def quantile(ended: list[int], censored: list[int], q: float) -> int | None:
    """The duration that a share `q` does not exceed, None where too few have come so far. Both lists are sorted."""
    at_risk, still, passed = len(ended) + len(censored), 1.0, 0
    for took in ended:
        while passed < len(censored) and censored[passed] < took:
            passed, at_risk = passed + 1, at_risk - 1
        still *= 1 - 1 / at_risk
        at_risk -= 1
        if still <= 1 - q + 1e-12:
            return took
    return None


def watch(machine: Machine, task: TaskState, mode: str) -> None:
    """An attempt has started: note when it will have taken too long."""
    if not beside.may_have_company(task) or task.number in machine.state.beside:
        return
    key, hedges = task.declaration.key, machine.hedges
    limit_ns: int | None = None
    if hedges.estimates is not None:
        limit_ns = hedges.estimates.quantile_ns(key, mode, task.declaration.options.hedge or 1.0)
    if limit_ns is None:
        seen = hedges.durations.get((key, mode))
        if seen is None:
            seen = hedges.durations[(key, mode)] = Durations()
        limit_ns = seen.limit_ns
        if limit_ns is None:
            seen.unwatched.append((task.number, task.attempt))
            return
    heappush(machine.heap, (machine.now + limit_ns, task.number, task.attempt, "hedge"))


def learn(machine: Machine, task: TaskState, took_ns: int, *, is_winner: bool = True) -> None:
    """An attempt is over, or was not needed any more; those that waited to be watched may be now."""
    which = task.declaration.key, machine.state.modes.get(task.number, "")
    seen = machine.hedges.durations.get(which)
    if seen is None:
        return  # the profile knows
    seen.see(took_ns, is_winner=is_winner)
    if not seen.is_due:
        return
    tasks, now = machine.state.tasks, machine.now
    alike = [tasks[n] for n in machine.running if n != task.number and tasks[n].declaration.key == which[0]]
    seen.look(task.declaration.options.hedge or 1.0, [now - each.started_at for each in alike])
    if seen.limit_ns is not None:
        for number, attempt in seen.unwatched:
            due = max(tasks[number].started_at + seen.limit_ns, now)
            heappush(machine.heap, (due, number, attempt, "hedge"))
        seen.unwatched.clear()

"""The broker as the machine of a simulated run sees it; what it grants later comes with the next turn."""

from __future__ import annotations

from makespan.graph.node import Declaration
from makespan.machine.broker import Broker
from makespan.machine.policy import NO_RANK, Rank

Needs = tuple[tuple[str, int], ...]


class SimulatedSlots:
    """`observations.Slots` over a broker that nobody else uses.

    Args:
        started_wall_ns: wall clock at the start of the run: calendars of pools and rates go by it.
    """

    def __init__(self, broker: Broker, run_id: str, started_wall_ns: int = 0) -> None:
        self._broker, self._run_id, self._start = broker, run_id, started_wall_ns
        self._over: list[tuple[str, int, int]] = []

    @property
    def counts_all(self) -> bool:
        """Whether attempts may hold what they do not declare: budgets that runs share are not simulated."""
        return False

    def wanted(self, declaration: Declaration, args: bytes, reserved: int, mode: str = "") -> Needs:
        """What an attempt declares that it needs."""
        return declaration.options.needs

    def problem(self, needs: Needs) -> str | None:
        """Why these needs can never be met, or None."""
        return self._broker.problem(needs)

    def ask(self, task: int, attempt: int, needs: Needs, at: int, rank: Rank = NO_RANK) -> bool:
        """Take the units, or wait in line."""
        return self._broker.ask((self._run_id, task, attempt), needs, self._start + at, rank)

    def release(self, task: int, attempt: int) -> None:
        """Give back what the attempt held, or leave the line, when this turn is over: in a store what came back with a
        turn is free when that is committed."""
        self._over.append((self._run_id, task, attempt))

    def granted(self, at: int) -> list[int]:
        """Tasks whose turn has come, now that a turn is over."""
        for holder in self._over:
            self._broker.release(holder)
        self._over.clear()
        return [task for _, task, _ in self._broker.grants(self._start + at)]

    def next_grant_at(self) -> int | None:
        """When time alone makes room for somebody in line; None when only a release can."""
        due = self._broker.next_grant_at()
        return None if due is None else due - self._start

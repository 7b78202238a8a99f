"""The broker as one run sees it: granted here first, then claimed in the store, where all processes count."""

from __future__ import annotations

from collections.abc import Callable

from makespan.machine.broker import Broker, Needs
from makespan.machine.policy import NO_RANK, Rank
from makespan.ports import World
from makespan.store_port import Claim, Journal, Lease, LedgerChange


class RunSlots:
    """`observations.Slots` over the engine's broker and the store's ledger."""

    def __init__(self, broker: Broker, journal: Journal, world: World, lease: Lease, wake: Callable[[], None]) -> None:
        self._broker, self._journal, self._world, self._lease, self._wake = broker, journal, world, lease, wake
        self._changes: list[LedgerChange] = []
        self._held: dict[tuple[int, int], Needs] = {}

    def problem(self, needs: Needs) -> str | None:
        """Why these needs can never be met, or None."""
        return self._broker.problem(needs)

    def ask(self, task: int, attempt: int, needs: Needs, at: int, rank: Rank = NO_RANK) -> bool:
        """Take the units, or wait in line: `Granted` follows."""
        if (task, attempt) in self._held:
            return True
        if not self._broker.ask((self._lease.run_id, task, attempt), needs, self._world.wall_ns()):
            self._world.call_soon(self._wake)
            return False
        return self.claim(task, attempt, needs)

    def claim(self, task: int, attempt: int, needs: Needs) -> bool:
        """Write into the store's ledger what the broker granted; False when other processes left no room."""
        now = self._world.wall_ns()
        if not self._journal.claim([self._claim(task, attempt, name, units, now) for name, units in needs], now):
            self._broker.put_back((self._lease.run_id, task, attempt))
            return False
        self._held[(task, attempt)] = needs
        return True

    def _claim(self, task: int, attempt: int, name: str, units: int, now: int) -> Claim:
        rate = self._broker.rates.get(name)
        change = LedgerChange(name, self._lease.run_id, task, attempt, units, self._lease.epoch, now if rate else 0)
        return Claim(change, rate.count, rate.window_ns) if rate else Claim(change, self._broker.pools[name])

    def release(self, task: int, attempt: int) -> None:
        """Give back what the attempt held, or leave the line. Units of a rate stay spent."""
        for name, _ in self._held.pop((task, attempt), ()):
            if name in self._broker.pools:
                self._changes.append(LedgerChange(name, self._lease.run_id, task, attempt, 0, self._lease.epoch, 0))
        self._broker.release((self._lease.run_id, task, attempt))
        self._world.call_soon(self._wake)

    def units(self, task: int, attempt: int) -> dict[str, tuple[int, ...]]:
        """Numbers of the units of pools that the attempt holds."""
        return self._journal.units(self._lease.run_id, task, attempt)

    def take_changes(self) -> list[LedgerChange]:
        """The ledger's rows that the next turn removes."""
        changes, self._changes = self._changes, []
        return changes

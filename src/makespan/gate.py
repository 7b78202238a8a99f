"""The broker as one run sees it."""

from __future__ import annotations

from collections.abc import Callable

from makespan.machine.broker import Broker
from makespan.ports import Lease, LedgerChange, World


class RunGate:
    """The broker as one run sees it; collects the ledger's changes for the turn that makes them."""

    def __init__(self, broker: Broker, world: World, lease: Lease, wake: Callable[[], None]) -> None:
        self._broker, self._world, self._lease, self._wake = broker, world, lease, wake
        self._run_id = lease.run_id
        self._changes: list[LedgerChange] = []
        self._held: dict[tuple[int, int], tuple[tuple[str, int], ...]] = {}

    def problem(self, needs: tuple[tuple[str, int], ...]) -> str | None:
        return self._broker.problem(needs)

    def ask(self, task: int, attempt: int, needs: tuple[tuple[str, int], ...], at: int) -> bool:
        now = self._world.wall_ns()
        if not self._broker.ask((self._run_id, task, attempt), needs, now):
            self._wake()
            return False
        self._held[(task, attempt)] = needs
        self._note(task, attempt, needs, now, taken=True)
        return True

    def release(self, task: int, attempt: int) -> None:
        needs = self._held.pop((task, attempt), ())
        self._broker.release((self._run_id, task, attempt))
        self._note(task, attempt, needs, 0, taken=False)
        self._world.call_soon(self._wake)

    def take_changes(self) -> list[LedgerChange]:
        changes, self._changes = self._changes, []
        return changes

    def _note(self, task: int, attempt: int, needs: tuple[tuple[str, int], ...], at: int, *, taken: bool) -> None:
        for name, units in needs:
            self._changes.append(LedgerChange(name, self._run_id, task, attempt, units if taken else 0, self._lease.epoch, at))

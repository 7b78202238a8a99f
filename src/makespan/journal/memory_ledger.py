"""The ledger of a store in memory: the rules of `SqliteLedger`, for one process."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import msgspec

from makespan.store_port import NUMBERED_UNITS, Account, Claim, LedgerChange

Slot = tuple[str, str, int, int]


def slot_of(change: LedgerChange) -> Slot:
    return change.resource, change.run_id, change.task, change.attempt


class MemoryLedger:
    """Rows by (resource, run, task, attempt), what they come to by resource, and what was spent of budgets."""

    def __init__(self) -> None:
        self._rows: dict[Slot, LedgerChange] = {}
        self._claimed: dict[Slot, tuple[str, ...]] = {}
        """Numbers, or names, of the units of pools that claims gave out."""
        self._sums: dict[str, int] = {}
        self._numbers: dict[str, set[str]] = {}
        self.spent: dict[str, int] = {}

    def rows(self) -> list[LedgerChange]:
        return [self._rows[slot] for slot in sorted(self._rows)]

    def claim(self, claims: Sequence[Claim]) -> bool:
        """All or nothing. Rates have been counted by the broker: there is no other process."""
        counted = [claim for claim in claims if not claim.window_ns]
        for claim in counted:
            resource = claim.change.resource
            if self._sums.get(resource, 0) + self.spent.get(resource, 0) + claim.change.units > claim.capacity:
                return False
            named = claim.change.numbers
            if named and not self._numbers.get(resource, set()).isdisjoint(named.split(",")):
                return False
        for claim in counted:
            numbers = tuple(claim.change.numbers.split(",")) if claim.change.numbers else ()
            if not claim.is_budget and claim.capacity <= NUMBERED_UNITS:
                held = self._numbers.setdefault(claim.change.resource, set())
                free = (number for number in map(str, range(claim.capacity)) if number not in held)
                numbers = numbers or tuple(islice(free, claim.change.units))
                held.update(numbers)
            written = msgspec.structs.replace(claim.change, numbers=",".join(numbers))
            self.write(written)
            self._claimed[slot_of(written)] = numbers
        return True

    def write(self, change: LedgerChange) -> None:
        """Write or remove a row; add what was spent."""
        slot = slot_of(change)
        before = self._rows.get(slot)
        if before is not None and (change.units or before.epoch == change.epoch):
            del self._rows[slot]
            self._sums[change.resource] -= before.units
            self._numbers.get(change.resource, set()).difference_update(self._claimed.pop(slot, ()))
            if not self._numbers.get(change.resource, True):
                del self._numbers[change.resource]
            if not self._sums[change.resource]:
                del self._sums[change.resource]
        if change.units:
            self._rows[slot] = change
            self._sums[change.resource] = self._sums.get(change.resource, 0) + change.units
        if change.spent:
            self.spent[change.resource] = self.spent.get(change.resource, 0) + change.spent

    def let_go(self, run_id: str) -> None:
        """A life of the run is over: pools come back, what it has reserved of budgets is spent in full."""
        for slot in [slot for slot in self._claimed if slot[1] == run_id]:
            row = self._rows[slot]
            spent = row.units if row.resource.startswith("budget:") else 0
            self.write(msgspec.structs.replace(row, units=0, spent=spent))

    def account(self, resource: str) -> Account:
        return Account(self.spent.get(resource, 0), self._sums.get(resource, 0), 0)

    def units(self, run_id: str, task: int, attempt: int) -> dict[str, tuple[str, ...]]:
        return {slot[0]: held for slot, held in self._claimed.items() if held and slot[1:] == (run_id, task, attempt)}

"""What runs share: pools of slots and rates. The machine's sibling, one per store; pure like it.

    ask ─▶ granted at once, or in line          release / rates passing ─▶ grants to those in line

First come, first served per resource: nobody overtakes an earlier asker of the same resource, so nothing starves, while
askers of other resources pass. The ledger (who holds what) is written with the turn that starts the attempt.
Source: sliding-window counters as in any rate limiter; the window is exact, not bucketed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import msgspec

from makespan.errors import suggestion

Needs = tuple[tuple[str, int], ...]
Holder = tuple[str, int, int]
"""(run id, task number, attempt)."""


class Rate(msgspec.Struct, frozen=True):
    """At most `count` units in any window of `window_ns`."""

    count: int
    window_ns: int


class Held(msgspec.Struct, frozen=True):
    """One row of the ledger: who holds how many units of what since when."""

    resource: str
    holder: Holder
    units: int
    at_ns: int


class Broker:
    """Pools (`name` → slots) and rates (`name` → Rate). Times are wall-clock nanoseconds."""

    def __init__(self, pools: dict[str, int] | None = None, rates: dict[str, Rate] | None = None) -> None:
        self.pools = dict(pools or {})
        self.rates = dict(rates or {})
        self._mine: dict[Holder, Needs] = {}
        self._used: dict[str, int] = dict.fromkeys(self.pools, 0)
        self._foreign: dict[str, int] = {}
        self._granted_at: dict[str, deque[tuple[int, int]]] = {name: deque() for name in self.rates}
        self._line: deque[tuple[Holder, Needs]] = deque()

    def problem(self, needs: Needs) -> str | None:
        """Why these needs can never be met, or None."""
        for name, units in needs:
            most = (
                self.pools.get(name) if name in self.pools else self.rates[name].count if name in self.rates else None
            )
            if most is None:
                known = [*self.pools, *self.rates]
                size = f"Engine(pools={{{name!r}: 1}})"
                return f"no pool or rate is called {name!r}{suggestion(name, known)}; give its size: {size}"
            if units > most:
                return f"needs {units} of {name!r}, which has only {most}"
        return None

    def ask(self, holder: Holder, needs: Needs, at: int) -> bool:
        """Take the units now, or join the line. Asking again for what is held is granted."""
        if holder in self._mine:
            return True
        ahead = {name for _, others in self._line for name, _ in others}
        if not any(name in ahead for name, _ in needs) and self._fits(needs, at):
            self._take(holder, needs, at)
            return True
        self._line.append((holder, needs))
        return False

    def put_back(self, holder: Holder) -> None:
        """The store has no room after all (another process was quicker): to the head of the line."""
        needs = self._mine.pop(holder, None)
        if needs is None:
            return
        for name, units in needs:
            if name in self._used:
                self._used[name] -= units
            elif self._granted_at[name]:
                self._granted_at[name].pop()
        self._line.appendleft((holder, needs))

    def release(self, holder: Holder) -> None:
        """Give back what the holder has, or leave the line. Units of a rate stay spent until their window passes."""
        needs = self._mine.pop(holder, None)
        if needs is None:
            self._line = deque(entry for entry in self._line if entry[0] != holder)
            return
        for name, units in needs:
            if name in self._used:
                self._used[name] -= units

    def release_run(self, run_id: str) -> None:
        """A run ended or is no longer ours: everything it holds comes back."""
        for holder in [h for h in self._mine if h[0] == run_id]:
            self.release(holder)
        self._line = deque(entry for entry in self._line if entry[0][0] != run_id)

    def observe(self, ledger: Iterable[Held]) -> None:
        """Take over what other processes hold, as the store's ledger says."""
        self._foreign = {}
        for row in ledger:
            if row.holder in self._mine:
                continue
            if row.resource in self.pools:
                self._foreign[row.resource] = self._foreign.get(row.resource, 0) + row.units

    def grants(self, at: int) -> list[Holder]:
        """Those in line who can have their units now; they hold them from here on."""
        for name in self.rates:
            self._spent(name, at)
        granted, blocked, rest = [], set[str](), deque[tuple[Holder, Needs]]()
        for holder, needs in self._line:
            if not blocked.intersection(name for name, _ in needs) and self._fits(needs, at):
                self._take(holder, needs, at)
                granted.append(holder)
            else:
                blocked.update(name for name, _ in needs)
                rest.append((holder, needs))
        self._line = rest
        return granted

    def next_grant_at(self) -> int | None:
        """When, after the last look, a rate's window frees the units that someone in line lacks; None when only a
        release can help."""
        due = [self._room_at(name, units) for _, needs in self._line for name, units in needs if name in self.rates]
        return min((at for at in due if at is not None), default=None)

    def _room_at(self, name: str, units: int) -> int | None:
        """When a rate has room for so many units; None when it has it now."""
        rate = self.rates[name]
        lacking = sum(spent for _, spent in self._granted_at[name]) + units - rate.count
        for at, spent in self._granted_at[name]:
            if lacking <= 0:
                return None
            lacking -= spent
            if lacking <= 0:
                return at + rate.window_ns
        return None

    @property
    def waiting(self) -> int:
        """How many are in line."""
        return len(self._line)

    def held(self) -> dict[Holder, Needs]:
        """What this process's runs hold."""
        return dict(self._mine)

    def _fits(self, needs: Needs, at: int) -> bool:
        for name, units in needs:
            if name in self.pools:
                if self._used[name] + self._foreign.get(name, 0) + units > self.pools[name]:
                    return False
            elif self._spent(name, at) + units > self.rates[name].count:
                return False
        return True

    def _spent(self, name: str, at: int) -> int:
        grants, window = self._granted_at[name], self.rates[name].window_ns
        while grants and grants[0][0] + window <= at:
            grants.popleft()
        return sum(units for _, units in grants)

    def _take(self, holder: Holder, needs: Needs, at: int) -> None:
        self._mine[holder] = needs
        for name, units in needs:
            if name in self.pools:
                self._used[name] += units
            else:
                self._granted_at[name].append((at, units))

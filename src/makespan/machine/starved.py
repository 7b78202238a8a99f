"""Tasks that wait for money, by what they need: a release wakes those that it helps, and looks at no others.

They stand in one heap a power of two of their worst case, so a look is at most 64 heads. Of two in one heap the later
one may fit where the head does not; `all_that_fit` finds those, before a run gives up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heappop, heappush

from makespan.machine.policy import Rank


class Line:
    """Who waits for a reservation in one scope to come back."""

    def __init__(self) -> None:
        self._heaps: dict[int, list[tuple[Rank, int, int, int]]] = {}
        self._sequence = 0

    def __iter__(self) -> Iterator[int]:
        return (entry[3] for heap in self._heaps.values() for entry in heap)

    def push(self, number: int, quote: int, rank: Rank) -> None:
        """A task whose next attempt may cost `quote`."""
        self._sequence += 1
        heappush(self._heaps.setdefault(quote.bit_length(), []), (rank, self._sequence, quote, number))

    def pop(self, room: int) -> tuple[int, int] | None:
        """(number, quote) of the first in rank whose head fits; None without one."""
        best = None
        for bits, heap in self._heaps.items():
            if heap[0][2] <= room and (best is None or heap[0] < self._heaps[best][0]):
                best = bits
        if best is None:
            return None
        _, _, quote, number = heappop(self._heaps[best])
        if not self._heaps[best]:
            del self._heaps[best]
        return number, quote

    def all_that_fit(self, fits: Callable[[int, int], bool]) -> list[int]:
        """Take out every one for which `fits(number, quote)`, in rank. Cost: a look at all."""
        entries = sorted(entry for heap in self._heaps.values() for entry in heap)
        self._heaps = {}
        found = []
        for rank, _, quote, number in entries:
            if fits(number, quote):
                found.append(number)
            else:
                self.push(number, quote, rank)
        return found


class Starved:
    """The lines of all scopes, and in which of them money came back since the last look."""

    def __init__(self) -> None:
        self.lines: dict[int, Line] = {}
        self.freed: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self.lines)

    def push(self, scope: int, number: int, quote: int, rank: Rank) -> None:
        """A task whose next attempt may cost `quote` waits for the budget of a scope."""
        line = self.lines.get(scope)
        if line is None:
            line = self.lines[scope] = Line()
        line.push(number, quote, rank)

    def __iter__(self) -> Iterator[int]:
        return (number for line in self.lines.values() for number in line)

"""Which ready task starts next: first come, first served within a priority."""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush


class ReadyQueue:
    """Numbers of ready tasks. O(1) for priority 0, O(log n) for the rest; higher priorities come first."""

    def __init__(self) -> None:
        self._first: deque[int] = deque()
        self._plain: deque[int] = deque()
        self._ranked: list[tuple[int, int, int]] = []
        self._sequence = 0

    def __bool__(self) -> bool:
        return bool(self._plain or self._ranked or self._first)

    def __len__(self) -> int:
        return len(self._first) + len(self._plain) + len(self._ranked)

    def push(self, number: int, priority: int = 0) -> None:
        if priority:
            self._sequence += 1
            heappush(self._ranked, (-priority, self._sequence, number))
        else:
            self._plain.append(number)

    def push_first(self, number: int) -> None:
        """Before all that came otherwise: it has waited elsewhere."""
        self._first.append(number)

    def pop(self) -> int:
        """The next number. Raises IndexError when empty."""
        if self._first:
            return self._first.popleft()
        if self._ranked and (self._ranked[0][0] < 0 or not self._plain):
            return heappop(self._ranked)[2]
        return self._plain.popleft()

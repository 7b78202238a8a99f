"""Which ready task starts next: by priority, then as the policy says; without one, first come, first served."""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING

from makespan.machine.policy import Policy, Rank

if TYPE_CHECKING:
    from makespan.machine.state import State


class ReadyQueue:
    """Numbers of ready tasks. O(1) for priority 0 without a policy, O(log n) for the rest."""

    def __init__(self, state: State | None = None, policy: Policy | None = None) -> None:
        self._first: deque[int] = deque()
        self._plain: deque[int] = deque()
        self._ranked: list[tuple[int, int, int, int]] = []
        self._sequence = 0
        self._state, self._policy = state, policy
        self._epoch = policy.epoch if policy is not None else 0

    def __bool__(self) -> bool:
        return bool(self._plain or self._ranked or self._first)

    def __len__(self) -> int:
        return len(self._first) + len(self._plain) + len(self._ranked)

    def push(self, number: int, priority: int = 0) -> None:
        if priority or self._policy is not None:
            self._sequence += 1
            heappush(self._ranked, (-priority, self._rank(number), self._sequence, number))
        else:
            self._plain.append(number)

    def push_first(self, number: int) -> None:
        """Before all that came otherwise: it has waited elsewhere."""
        self._first.append(number)

    def pop(self) -> int:
        """The next number. Raises IndexError when empty."""
        if self._first:
            return self._first.popleft()
        if self._policy is not None and self._policy.epoch != self._epoch:
            self._rank_again(self._policy)
        if self._ranked and (self._ranked[0][0] < 0 or not self._plain):
            return heappop(self._ranked)[3]
        return self._plain.popleft()

    def rank(self, number: int, priority: int) -> Rank:
        """Where a task would stand, for other lines that it may have to wait in."""
        return -priority, self._rank(number)

    def _rank(self, number: int) -> int:
        if self._policy is None or self._state is None:
            return 0
        return self._policy.rank(self._state, self._state.tasks[number])

    def _rank_again(self, policy: Policy) -> None:
        self._epoch = policy.epoch
        self._ranked = [(minus, self._rank(n), sequence, n) for minus, _, sequence, n in self._ranked]
        heapify(self._ranked)

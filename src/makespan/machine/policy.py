"""Which ready task starts next: the question a run asks its policy.

A policy gives every task that becomes ready a rank; lower ranks start first, equal ones in the order they became ready.
The rank stands until the task starts, or until the policy's `epoch` changes: so a decision is a push and a pop of a
heap, however many tasks are ready. Rules that look at the clock (ageing, slack, urgency) fit as well, as long as all
ready tasks gain at the same pace: then their order does not change while they wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from makespan.machine.records import TaskState
    from makespan.machine.state import State

Rank = tuple[int, int]
"""(minus the task's own priority, what the policy says)."""
NO_RANK: Rank = (0, 0)


class Policy(Protocol):
    """Pure and synchronous, at most 50 µs a call; whoever needs longer is a planner off the loop."""

    @property
    def name(self) -> str:
        """As the journal records it, so that a resumed run goes on with the same one."""
        ...

    @property
    def epoch(self) -> int:
        """Another number means that ranks given before no longer hold: everything ready is ranked again."""
        ...

    def rank(self, state: State, task: TaskState) -> int:
        """Place of a task that is ready now; `state.at` is the time. Lower starts first."""
        ...

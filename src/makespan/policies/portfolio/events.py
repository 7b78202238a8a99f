"""Many worlds of one static graph, event by event: slots, budgets and back-offs as the machine has them.

    ready queue ──slot, reservation──▶ k attempts ──first success──▶ ended, its losers stopped
         ▲                                 └──last failure──▶ waits ──┘

A step takes every world to its own next moment, so worlds drift apart in time and only the number of their events
matters. What happens at one moment is two turns, as it is in the machine: results free the winners' slots and what
stood in line starts; then the losers are seen to stop, and what has become ready joins the line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from makespan.policies.portfolio.attempts import NEVER, Billed, Draws, share_of
from makespan.policies.portfolio.longest import Sources

if TYPE_CHECKING:
    from makespan.policies.portfolio.attempts import Flags, Ints

WAITING, READY, RUNNING, RESTING, STARVED, ENDED, FAILED = range(7)


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds in all worlds. Per task: how many samples a try has, and what one attempt reserves (nano-USD)."""

    sources: Sources
    samples: Sequence[int]
    worst: Sequence[int]
    tries: Sequence[int]
    """Tries that a task has before it fails, and its world with it."""
    running: int = 256
    """Most attempts in flight."""
    budget: int | None = None
    deadline_ns: int | None = None
    billed: Billed = "full"


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of each world."""

    is_done: Flags
    """Whether all tasks succeeded, by the deadline and within the budget."""
    makespan: Ints
    """When the last one did; up to where it got in a world that is not done."""
    cost: Ints


def simulate(draws: Draws, rests: Ints, rules: Rules) -> Ended:
    """Run all worlds to their ends.

    Args:
        draws: [worlds, tasks, attempts]; a task whose attempts run out has failed.
        rests: [worlds, tasks, failures]: how long a task waits after its n-th failed try, the last column for more.
    Cost: about 10 numpy calls on [worlds, tasks] an event of the busiest world.
    """
    worlds = _Worlds(draws, rests, rules)
    worlds.start()
    while worlds.step():
        pass
    return Ended((worlds.status == ENDED).all(axis=1) & ~worlds.is_over, worlds.now, worlds.committed)


class _Worlds:
    """State of all worlds; the first axis of every array counts them."""

    def __init__(self, draws: Draws, rests: Ints, rules: Rules) -> None:
        import numpy as np

        count, tasks, attempts = draws.takes.shape
        most = max(rules.samples)
        self.draws, self.rests, self.rules = draws, rests, rules
        self.attempts = attempts
        self.now = np.zeros(count, np.int64)
        self.committed = np.zeros(count, np.int64)
        self.reserved = np.zeros(count, np.int64)
        self.flying = np.zeros(count, np.int64)
        self.sequence = np.zeros(count, np.int64)
        self.is_over = np.zeros(count, bool)
        """Out of time, or with a task that failed for good."""
        self.status = np.full((count, tasks), WAITING, np.int8)
        self.unmet = np.tile(np.array([len(needed) for needed in rules.sources], np.int64), (count, 1))
        self.place = np.zeros((count, tasks), np.int64)
        self.used = np.zeros((count, tasks), np.int64)
        self.failures = np.zeros((count, tasks), np.int64)
        self.due = np.full((count, tasks), NEVER, np.int64)
        """When a resting task is ready again."""
        self.ends = np.full((count, tasks, most), NEVER, np.int64)
        self.began = np.zeros((count, tasks), np.int64)
        self.first = np.zeros((count, tasks), np.int64)
        """Which of its attempts is the first of the try at hand."""
        self.samples = np.array(rules.samples, np.int64)
        self.worst = np.array(rules.worst, np.int64)
        self.tries = np.array(rules.tries, np.int64)
        self.follows = np.zeros((tasks, tasks), np.int64)
        for task, needed in enumerate(rules.sources):
            for source in needed:
                self.follows[source, task] = 1

    def start(self) -> None:
        self._join_line(self.unmet == 0)
        self._start_ready()

    def step(self) -> bool:
        """Take every world to its next moment; False when none has one."""
        import numpy as np

        due = np.minimum(self.ends.min(axis=(1, 2)), self.due.min(axis=1))
        due[self.is_over] = NEVER
        if self.rules.deadline_ns is not None:
            late = (due > self.rules.deadline_ns) & (self.status != ENDED).any(axis=1)
            self.is_over |= late
            due[late] = NEVER
        moves = due < NEVER
        if not moves.any():
            return False
        self.now = np.where(moves, due, self.now)
        lost = self._land(moves)
        self._start_ready()
        self._see_stopped(lost)
        rested = moves[:, None] & (self.due <= self.now[:, None])
        self.due[rested] = NEVER
        self._join_line(rested | ((self.status == WAITING) & (self.unmet == 0) & moves[:, None]))
        self._start_ready()
        return True

    # ------------------------------------------------------------ ends

    def _land(self, moves: Flags) -> Ints:
        """Results of this moment. Returns how many losers of each task are now told to stop."""
        import numpy as np

        ending = (self.ends <= self.now[:, None, None]) & moves[:, None, None]
        if not ending.any():
            return np.zeros_like(self.used)
        ok, cost, _ = self._of_flights()
        won: Flags = np.asarray((ending & ok).any(axis=2))
        landed = ending.sum(axis=2)
        self.committed += (cost * ending).sum(axis=(1, 2))
        self.ends[ending] = NEVER
        others = (self.ends < NEVER).sum(axis=2)
        self._release(landed)
        failed = (landed > 0) & ~won & (others == 0)
        lost = np.where(won, others, 0)
        self._end(won)
        self._rest(failed)
        return lost

    def _of_flights(self) -> tuple[Flags, Ints, Ints]:
        """(ok, cost, takes) of the attempts of every task's try at hand: [worlds, tasks, samples]."""
        import numpy as np

        index = np.minimum(self.first[:, :, None] + np.arange(self.ends.shape[2]), self.attempts - 1)
        draws = self.draws
        return (
            np.take_along_axis(draws.ok, index, axis=2),
            np.take_along_axis(draws.cost, index, axis=2),
            np.take_along_axis(draws.takes, index, axis=2),
        )

    def _end(self, won: Flags) -> None:
        self.status[won] = ENDED
        self.unmet -= won.astype(self.unmet.dtype) @ self.follows

    def _rest(self, failed: Flags) -> None:
        import numpy as np

        if not failed.any():
            return
        self.failures += failed
        column = np.clip(self.failures - 1, 0, self.rests.shape[2] - 1)
        waits = np.take_along_axis(self.rests, column[:, :, None], axis=2)[:, :, 0]
        self.due = np.where(failed, self.now[:, None] + waits, self.due)
        self.status[failed] = RESTING
        gone = failed & ((self.failures >= self.tries) | (self.used >= self.attempts))
        self.status[gone] = FAILED
        self.is_over |= gone.any(axis=1)

    def _see_stopped(self, lost: Ints) -> None:
        """The losers have stopped: what they cost is known, and what they held is free."""
        import numpy as np

        if not lost.any():
            return
        stopped = (lost > 0)[:, :, None] & (self.ends < NEVER)
        _, cost, takes = self._of_flights()
        if self.rules.billed == "elapsed":
            ran = np.broadcast_to((self.now[:, None] - self.began)[:, :, None], takes.shape)
            cost = share_of(cost, np.minimum(ran, takes), takes)
        self.committed += (cost * stopped).sum(axis=(1, 2))
        self.ends[stopped] = NEVER
        self._release(lost)

    def _release(self, count: Ints) -> None:
        """So many attempts of each task hold nothing any more; who waited for a reservation tries again."""
        self.flying -= count.sum(axis=1)
        self.reserved -= (count * self.worst).sum(axis=1)
        woken = (self.status == STARVED) & (count.max(axis=1) > 0)[:, None]
        if woken.any():
            self._queue(woken, self.place)

    # ------------------------------------------------------------ starts

    def _join_line(self, joins: Flags) -> None:
        """These have become ready, in the order of their numbers."""
        import numpy as np

        if joins.any():
            self._queue(joins, np.broadcast_to(np.arange(joins.shape[1]), joins.shape))

    def _queue(self, joins: Flags, order: Ints) -> None:
        import numpy as np

        ranked = np.where(joins, order, NEVER).argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
        self.place = np.where(joins, self.sequence[:, None] + ranked, self.place)
        self.sequence += joins.sum(axis=1)
        self.status[joins] = READY

    def _start_ready(self) -> None:
        """Start what is ready, first come first served, until no world has room or need."""
        import numpy as np

        rules = self.rules
        while True:
            line = np.where(self.status == READY, self.place, NEVER)
            task = line.argmin(axis=1)
            at = np.nonzero((line.min(axis=1) < NEVER) & (self.flying < rules.running) & ~self.is_over)[0]
            if not len(at):
                return
            self._start(at, task[at])

    def _start(self, at: Ints, task: Ints) -> None:
        """One more task in some of the worlds."""
        import numpy as np

        rules, worst = self.rules, self.worst[task]
        count = np.minimum(self.samples[task], rules.running - self.flying[at])
        if rules.budget is not None:
            left = rules.budget - self.committed[at] - self.reserved[at]
            affordable = np.where(worst > 0, left // np.maximum(worst, 1), count)
            count = np.minimum(count, affordable)
            starved = count < 1
            self.status[at[starved], task[starved]] = STARVED
            self.place[at[starved], task[starved]] = self.sequence[at[starved]]
            self.sequence[at[starved]] += 1
            keep = ~starved
            at, task, count, worst = at[keep], task[keep], count[keep], worst[keep]
        used = self.used[at, task]
        count = np.minimum(count, self.attempts - used)
        self.status[at, task] = RUNNING
        self.first[at, task] = used
        self.began[at, task] = self.now[at]
        self.used[at, task] = used + count
        self.flying[at] += count
        self.reserved[at] += count * worst
        for sample in range(self.ends.shape[2]):
            some = sample < count
            row, column = at[some], task[some]
            takes = self.draws.takes[row, column, used[some] + sample]
            self.ends[row, column, sample] = self.now[row] + takes

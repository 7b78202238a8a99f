"""Which plan meets deadline and budget most often: candidates × continuations, measured on ever more worlds.

    pairs ── 64 worlds ──▶ the best eighth ── 256 ──▶ the best eighth ── all ──▶ one, or the best uniform plan

A plan is a joint first action of the asked tasks and a continuation, which does all that follows in one way. All plans
are measured in the same worlds. Uniform plans begin and go on with the same action, so each is a static policy; they
reach the last round unfiltered, and only a plan that beats the best of them beyond the noise replaces it. That is the
argument why replanning is not worse than the best static policy.
Sources: the candidates and continuations are those of "On Time, Within Budget" (Monte Carlo portfolio planning, MCPP),
changed: first success wins, moves of single tasks are searched too, and rollouts are spent by halving as in Karnin,
Koren and Somekh, "Almost Optimal Exploration in Multi-Armed Bandits" (2013), on nested sets of worlds.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import inf, log, sqrt
from typing import TYPE_CHECKING, Any

from makespan.policies.portfolio.worlds import Worlds

if TYPE_CHECKING:
    from makespan.policies.portfolio.attempts import Flags, Floats, Ints

FIRST_WORLDS = 64
"""Worlds of the first round."""
GROWTH = 4
KEPT = 8
"""Each round looks at GROWTH times as many worlds and keeps one plan in KEPT."""
SWEEPS = 2
"""Rounds of changing the action of one task at a time."""
MOVED = 2
"""Plans that such changes begin with."""
ROUNDING = 1 + 1e-6
"""Worlds are kept in single precision: what fits exactly must not fail by its last digit."""
BEYOND_NOISE = 1.0
"""Standard errors by which a plan must beat the best uniform one."""


@dataclass(frozen=True, slots=True)
class Plans:
    """First actions [plans, asked] and continuations [plans]."""

    actions: Ints
    continuations: Ints

    def __len__(self) -> int:
        return len(self.continuations)

    def __getitem__(self, which: Any) -> Plans:
        return Plans(self.actions[which], self.continuations[which])


@dataclass(frozen=True, slots=True)
class Found:
    """The plan that was found."""

    actions: tuple[int, ...]
    """One per asked task."""
    continuation: int
    probability: float
    """Share of worlds in which it meets both limits."""
    cost: float
    makespan: float
    """Means, nano-USD and nanoseconds, of what is still to come; the makespan's where there is an end."""
    error: float
    """Hoeffding bound that holds for the probabilities of all plans there are at once, given the fates drawn from."""
    worlds: int
    uniform: float
    """Probability of the best uniform plan."""


class Search:
    """One decision.

    Args:
        time_ns, budget: what is left; None is without limit.
        n_free: asked tasks whose actions are enumerated freely. most_pairs: plans of the first round, about.
        delta: chance that the error bound does not hold. enough: probability beyond which only cost counts.
        pick: numbers in [0, 1), one per asked task, that choose which tasks are free.
    """

    def __init__(
        self,
        worlds: Worlds,
        time_ns: float | None,
        budget: float | None,
        *,
        n_free: int,
        most_pairs: int,
        delta: float,
        enough: float,
        pick: Floats,
    ) -> None:
        self._worlds, self._time, self._budget = worlds, time_ns, budget
        self._n_free, self._most_pairs, self._delta, self._enough, self._pick = n_free, most_pairs, delta, enough, pick
        self._count = worlds.takes.shape[1]
        self._size = worlds.takes.shape[0]
        """Number of actions, and of continuations."""

    def best(self) -> Found:
        """The plan to follow."""
        uniform = self._uniform()
        incumbent = uniform[self._ranked(uniform, self._count)[:1]]
        plans = self._joined(incumbent, self._narrowed(self._promising()))
        met = self._meets(plans, self._count)
        chosen = int(self._ranked(plans, self._count)[0])
        gain = met[chosen].astype(float) - met[0]
        if gain.mean() <= BEYOND_NOISE * gain.std() / sqrt(self._count) and not self._is_tie(plans, chosen):
            chosen = 0
        return self._described(plans[[chosen]], float(met[chosen].mean()), float(met[0].mean()))

    def _narrowed(self, plans: Plans) -> Plans:
        """Round by round fewer plans, with their better neighbours, in more worlds."""
        count = min(FIRST_WORLDS, self._count)
        while count < self._count:
            count = min(count * GROWTH, self._count)
            plans = plans[self._ranked(plans, count)[: max(len(plans) // KEPT, KEPT)]]
            for _ in range(SWEEPS):
                better = [self._moves(plans[place], count) for place in range(min(MOVED, len(plans)))]
                plans = self._joined(plans, *better)
                plans = plans[self._ranked(plans, count)[:KEPT]]
        return plans

    def _described(self, plan: Plans, probability: float, uniform: float) -> Found:
        import numpy as np

        longest, cost = self._worlds.outcomes(plan.actions, plan.continuations, self._count)
        ends = longest[np.isfinite(longest)]
        log_plans = (len(self._worlds.asked) + 1) * log(self._size)
        return Found(
            tuple(int(each) for each in plan.actions[0]),
            int(plan.continuations[0]),
            probability,
            float(cost.mean()),
            float(ends.mean()) if len(ends) else inf,
            sqrt((log(2 / self._delta) + log_plans) / (2 * self._count)),
            self._count,
            uniform,
        )

    def _is_tie(self, plans: Plans, chosen: int) -> bool:
        """Whether a plan ends well as often as the incumbent, or both often enough: then the cheaper is right."""
        met = self._up_to_enough(self._meets(plans[[0, chosen]], self._count))
        return bool(met[0] == met[1])

    def _up_to_enough(self, met: Flags) -> Floats:
        """In how many worlds each plan meets the limits, as far as it matters."""
        import numpy as np

        often: Floats = np.minimum(met.sum(axis=1), self._enough * met.shape[1])
        return often

    # ------------------------------------------------------------ candidates

    def _uniform(self) -> Plans:
        import numpy as np

        each = np.arange(self._size)
        return Plans(np.tile(each[:, None], (1, len(self._worlds.asked))), each)

    def _promising(self) -> Plans:
        """The best eighth, in a few worlds, of uniform actions × continuations, and of those with some tasks free."""
        import numpy as np

        count, size, asked = min(FIRST_WORLDS, self._count), self._size, len(self._worlds.asked)
        pairs = np.array(list(product(range(size), repeat=2)))
        uniform = Plans(np.tile(pairs[:, :1], (1, asked)), pairs[:, 1])
        free = min(self._n_free, asked)
        while free and size ** (free + 1) > self._most_pairs:
            free -= 1
        kept = uniform[self._ranked(uniform, count)[: max(len(uniform) // KEPT, KEPT)]]
        if not free:
            return kept
        chosen = np.argsort(self._pick)[:free]
        joint = np.array(list(product(range(size), repeat=free + 1)))
        plans = Plans(joint[:, :free], joint[:, -1])
        some = Search(
            self._worlds.folded(chosen),
            self._time,
            self._budget,
            n_free=0,
            most_pairs=0,
            delta=1.0,
            enough=self._enough,
            pick=self._pick,
        )
        best = some._ranked(plans, count)[: max(len(plans) // KEPT // KEPT, KEPT)]
        actions = np.tile(joint[best, -1:], (1, asked))
        actions[:, chosen] = joint[best, :free]
        return self._joined(kept, Plans(actions, joint[best, -1]))

    def _moves(self, plan: Plans, count: int) -> Plans:
        """The best of the plans that differ from this one in the action of one task, or in the continuation."""
        import numpy as np

        asked, size = len(self._worlds.asked), self._size
        actions, continuation = plan.actions, int(plan.continuations)
        place, value = np.divmod(np.arange(asked * size), size)
        changed = np.tile(actions, (asked * size, 1))
        changed[np.arange(asked * size), place] = value
        moved = Plans(changed, np.full(asked * size, continuation))
        longest, cost = self._worlds.moved(actions, continuation, count)
        order = self._order(moved, longest.reshape(len(moved), -1), cost.reshape(len(moved), -1))
        other = Plans(np.tile(actions, (size, 1)), np.arange(size))
        return self._joined(moved[order[:MOVED]], other[self._ranked(other, count)[:1]])

    def _joined(self, *some: Plans) -> Plans:
        """All of them, each plan once; the first of equal ones keeps its place."""
        import numpy as np

        rows = np.concatenate([np.column_stack([each.actions, each.continuations]) for each in some], axis=0)
        digits = np.zeros(len(rows), np.uint64)
        for column in rows.T:  # a hash, so that wide plans need no wide keys
            digits = digits * np.uint64(0x9E3779B97F4A7C15) + column.astype(np.uint64) + np.uint64(1)
        _, first = np.unique(digits, return_index=True)
        rows = rows[np.sort(first)]
        return Plans(rows[:, :-1], rows[:, -1])

    # ------------------------------------------------------------ measuring

    def _meets(self, plans: Plans, count: int) -> Flags:
        """[plans, count]: whether both limits are met."""
        longest, cost = self._worlds.outcomes(plans.actions, plans.continuations, count)
        return self._within(plans, longest, cost)

    def _within(self, plans: Plans, longest: Floats, cost: Floats) -> Flags:
        import numpy as np

        met: Flags = np.isfinite(longest) if self._time is None else longest <= self._time * ROUNDING
        if self._budget is not None:
            met = met & (cost <= self._budget * ROUNDING)
            reserved = np.zeros(len(plans))
            for place, each in enumerate(self._worlds.asked):
                reserved += each.fates.worst[plans.actions[:, place]]
            met = met & (reserved <= self._budget)[:, None]
        return met

    def _ranked(self, plans: Plans, count: int) -> Ints:
        """Indexes, best first: by how often they meet the limits, then by cost, attempts and time."""
        return self._order(plans, *self._worlds.outcomes(plans.actions, plans.continuations, count))

    def _order(self, plans: Plans, longest: Floats, cost: Floats) -> Ints:
        import numpy as np

        met = self._up_to_enough(self._within(plans, longest, cost))
        paid, took = cost.mean(axis=1), np.where(np.isfinite(longest), longest, 0.0).mean(axis=1)
        order: Ints = np.lexsort((took, self._attempts(plans), paid, -met))
        return order

    def _attempts(self, plans: Plans) -> Ints:
        """How many attempts each plan starts at once: where all cost nothing, fewer are better than many."""
        import numpy as np

        count = np.zeros(len(plans), np.int64)
        for place, each in enumerate(self._worlds.asked):
            samples = np.array([samples for _, samples in each.fates.actions])
            count += samples[plans.actions[:, place]] + samples[plans.continuations]
        return count

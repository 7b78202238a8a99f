"""The best of a number of schedules: good rules first, then noise around the rules and around the best so far.

    rules, both generations ─▶ improve ─▶ best ◀─ improve ◀─ half: a rule plus noise, serial and parallel in turn
                                            └──── half: the order of the best plus noise, serial

Every schedule generated counts, those of justification (two a time) and those that got stuck too. The search ends
early only when the makespan meets the lower bound.
Sources: Kolisch and Hartmann, "Experimental investigation of heuristics for resource-constrained project scheduling:
an update" (2006); Hartmann and Kolisch (2000) for counting generated schedules.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from makespan.draws import Stream
from makespan.errors import UsageError
from makespan.policies.improvement import COST, justified
from makespan.policies.modes import consumption_of, fitting_modes
from makespan.policies.prepared import Prepared, lower_bound_of
from makespan.policies.priorities import latest_finish, latest_start
from makespan.policies.problem import Schedule, makespan
from makespan.policies.schedule_generation import Ranks, Stuck, parallel, serial

DEFAULT_SCHEDULES = 100
RULE_NOISE = 0.5
"""Greatest noise on a rule, as a part of the span of its ranks."""
ORDER_NOISE = 0.35
"""Greatest noise on the starts of the best schedule, as a part of its makespan."""
BOUND_SHARE = 0.5
"""How often the noise goes around the best schedule instead of a rule."""


class Found(msgspec.Struct, frozen=True):
    """What a search found: None where every schedule got stuck (which proves nothing)."""

    schedule: Schedule | None
    makespan: int | None
    generated: int
    """Schedules generated to find it, at most as many as were allowed."""


def best_within(prepared: Prepared, schedules: int = DEFAULT_SCHEDULES, seed: int = 0) -> Found:
    """The shortest of at most so many schedules; the same for the same seed.

    Raises:
        UsageError: `schedules` is below 1.
    Cost: `schedules` times about 3 to 10 µs a task.
    """
    if schedules < 1:
        raise UsageError(f"best_within needs at least one schedule, not {schedules}")
    search = _Search(prepared, schedules)
    for trial in _trials(prepared, search, Stream(seed, "sampling")):
        if isinstance(trial, Schedule):
            search.offer(trial)
        search.generated += 1
        if search.is_over(1):
            break
        if isinstance(trial, Schedule) and not search.is_over(COST):
            search.offer(justified(prepared, trial))
            search.generated += COST
        if search.is_over(1):
            break
    return Found(search.best, search.makespan if search.best else None, search.generated)


class _Search:
    """The best schedule so far, and how much was spent on it."""

    def __init__(self, prepared: Prepared, schedules: int) -> None:
        self._problem, self._allowed = prepared.problem, schedules
        self._bound = lower_bound_of(prepared)
        self.best: Schedule | None = None
        self.makespan, self.generated = 0, 0

    def offer(self, schedule: Schedule) -> None:
        """Keep it if it is shorter."""
        length = makespan(self._problem, schedule)
        if self.best is None or length < self.makespan:
            self.best, self.makespan = schedule, length

    def is_over(self, wanted: int) -> bool:
        """Whether nothing can be better, or `wanted` more schedules would be too many."""
        is_proved = self._bound is None or (self.best is not None and self.makespan == self._bound)
        return is_proved or self.generated + wanted > self._allowed


def _trials(prepared: Prepared, search: _Search, draws: Stream) -> Iterator[Schedule | Stuck]:
    """Schedules without end: the rules as they are, then with noise."""
    modes = prepared.fastest if prepared.is_plain else fitting_modes(prepared)
    rules = [latest_finish(prepared), latest_start(prepared)]
    for ranks in rules:
        yield serial(prepared, ranks) if modes is None else parallel(prepared, ranks, modes)
    turn = 0
    while True:
        best = search.best
        if best is not None and draws.happens(BOUND_SHARE):
            chosen = None if prepared.is_plain or draws.happens(0.5) else _changed_modes(prepared, best, draws)
            yield serial(prepared, _noisy(best.starts, ORDER_NOISE * search.makespan, draws), chosen)
            continue
        ranks = rules[turn % 2]
        noisy = _noisy(ranks, RULE_NOISE * (max(ranks) - min(ranks) or 1), draws)
        yield parallel(prepared, noisy, modes) if turn % 2 and modes is not None else serial(prepared, noisy)
        turn += 1


def _noisy(ranks: Ranks, most: float, draws: Stream) -> list[float]:
    return [rank + most * draws.unit() for rank in ranks]


def _changed_modes(prepared: Prepared, best: Schedule, draws: Stream) -> Sequence[int]:
    """The modes of the best schedule with one task's changed, if the totals allow it."""
    task = draws.below(len(best.modes))
    modes = list(best.modes)
    modes[task] = draws.below(len(prepared.durations[task]))
    consumption = consumption_of(prepared)
    totals = [consumable.total for consumable in prepared.problem.consumables]
    used = [sum(column) for column in zip(*(consumption[at][mode] for at, mode in enumerate(modes)), strict=True)]
    return modes if all(spent <= total for spent, total in zip(used, totals, strict=False)) else best.modes

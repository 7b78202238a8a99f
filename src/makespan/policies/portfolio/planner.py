"""Monte Carlo portfolio planning: which mode each ready task is done in and with how many samples, so that the run most
likely ends by its deadline and within its budget.

    PlanView ──worlds.py──▶ the rest of the run in many drawn worlds ──search.py──▶ the first action of the best plan

Only the first action is followed; at the next event the machine asks again, with what has happened since. When no plan
reaches the goal in any world, the goal is given up and money is saved: see `_thrifty`.
Source: "On Time, Within Budget" (MCPP); error bar by Hoeffding, "Probability Inequalities for Sums of Bounded Random
Variables" (1963).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from makespan.errors import UsageError
from makespan.graph.node import Declaration, Effect, Kind
from makespan.machine.observations import Choice, PlanView
from makespan.policies.portfolio.attempts import Billed, need_numpy
from makespan.policies.portfolio.search import Found, Search
from makespan.policies.portfolio.tables import Fates, Tables
from makespan.policies.portfolio.worlds import Preparation
from makespan.profiles.profile import Profile

SAMPLES = (1, 2, 4, 8)
MOST_SAMPLES = 64
MOST_WORLDS, LEAST_WORLDS = 1024, 64
CELLS = 200_000
"""Tasks × actions × worlds of one decision, about: larger graphs are planned on fewer worlds, but not on fewer than
LEAST_WORLDS."""
MOST_TASKS = 10_000
"""Open tasks beyond which nothing is planned: each asked task is done in the mode that costs least per success."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What was chosen, and why."""

    choices: tuple[Choice, ...]
    found: Found | None
    """None where the rest of the run is too large to plan."""
    is_given_up: bool = False
    """Whether no plan met the limits in any world, so that the cheapest is done."""


class PortfolioPlanner:
    """A planner for one engine; it remembers nothing of a run but tables made from the profile.

    Args:
        profile: what is known of the tasks. Tasks that it does not know are left as they are.
        samples: how many attempts may be started beside each other.
        worlds: drawn per decision at most. n_free: ready tasks whose joint actions are enumerated.
        enough: the probability of meeting both limits beyond which a plan is not better, but the cheaper one is.
        billed: what a stopped sample is expected to cost: all (`full`), or its share of the time it ran (`elapsed`).
    Raises:
        UsageError: numpy is missing, or an option makes no sense.
    Cost: a decision takes about 5 ms CPU at 8 tasks and 15 ms at 50; the first about 5 ms more per task key and mode.
    """

    def __init__(
        self,
        profile: Profile,
        *,
        samples: tuple[int, ...] = SAMPLES,
        worlds: int = MOST_WORLDS,
        n_free: int = 3,
        most_pairs: int = 1024,
        delta: float = 0.05,
        enough: float = 0.99,
        billed: Billed = "full",
    ) -> None:
        need_numpy()
        if not samples or min(samples) < 1 or max(samples) > MOST_SAMPLES or len(set(samples)) < len(samples):
            raise UsageError(f"samples={samples}: give different numbers from 1 to {MOST_SAMPLES}, such as {SAMPLES}")
        if not 0 < enough <= 1:
            raise UsageError(f"enough={enough}: it is a probability above 0 and at most 1, such as 0.99")
        if not profile.tasks:
            raise UsageError("the portfolio planner needs a profile that knows some tasks: see `makespan profile`")
        self.profile, self._worlds = profile, max(worlds, LEAST_WORLDS)
        self._tables = Tables(profile, tuple(sorted(samples)), billed)
        self._n_free, self._most_pairs, self._delta, self._enough = n_free, most_pairs, delta, enough

    def wants(self, declaration: Declaration) -> bool:
        """Whether there is a choice: several modes, or samples, of a task that the profile knows."""
        if declaration.kind != Kind.CALL or not self.profile.modes(declaration.key):
            return False
        return len(declaration.options.models) > 1 or _may_repeat(declaration)

    def choose(self, view: PlanView) -> tuple[Choice, ...]:
        """A mode and a number of samples for every task that is asked about. Equal views give equal choices."""
        if not any(each.is_asked for each in view.tasks):
            return ()
        return self.decide(view).choices

    def decide(self, view: PlanView) -> Decision:
        """The same, with the reasons. The view asks about one task at least."""
        prepared = Preparation(view, self._tables, self.profile, self._worlds, CELLS, LEAST_WORLDS)
        asked = prepared.asked()
        if len(view.tasks) > MOST_TASKS:
            return Decision(_thrifty(asked), None)
        left = None if view.deadline_ns is None else float(view.deadline_ns - view.at)
        found = Search(
            prepared.worlds(),
            left,
            None if view.budget_left is None else float(view.budget_left),
            n_free=self._n_free,
            most_pairs=self._most_pairs,
            delta=self._delta,
            enough=self._enough,
            pick=prepared.uniform(len(asked)),
        ).best()
        if not found.probability:
            return Decision(_thrifty(asked), found, is_given_up=True)
        return Decision(_choices(asked, found.actions), found)

    def fates(self, tasks: Sequence[tuple[str, tuple[str, ...]]]) -> list[Fates]:
        """What may come of tasks, given as (key, modes), that have not begun: the rows that decisions draw from."""
        places = max(len(modes) for _, modes in tasks)
        return [self._tables.of(key, modes, places, 0, 1_000, is_alone=False) for key, modes in tasks]


def _may_repeat(declaration: Declaration) -> bool:
    """Whether samples do no harm: see `makespan.machine.beside`."""
    return declaration.options.effect != Effect.IRREVERSIBLE and declaration.undo is None


def _choices(asked: Sequence[tuple[int, Fates]], actions: Sequence[int]) -> tuple[Choice, ...]:
    return tuple(
        [Choice(number, *fates.actions[action]) for (number, fates), action in zip(asked, actions, strict=True)]
    )


def _thrifty(asked: Sequence[tuple[int, Fates]]) -> tuple[Choice, ...]:
    """One sample each, in the mode that costs least per success: what is done now is not lost when the run is resumed
    with a later deadline or more money, and nothing is paid for speed that no longer helps."""
    return _choices(asked, [_cheapest(fates) for _, fates in asked])


def _cheapest(fates: Fates) -> int:
    alone = [place for place, (_, samples) in enumerate(fates.actions) if samples == 1]

    def price(place: int) -> tuple[float, float]:
        success = float(fates.first_ok[place].mean())
        cost, takes = float(fates.first_cost[place].mean()), float(fates.first_takes[place].mean())
        return (cost / success, takes / success) if success else (float("inf"), takes)

    return min(alone, key=price)

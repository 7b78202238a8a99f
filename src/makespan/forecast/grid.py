"""The probability of being done over budget x deadline, from simulations.

A deadline changes nothing before it, so every column of a row comes from the same runs, cut at that moment; unless the
policy looks at the deadline: then each cell is simulated. A budget changes what may start, so each row is simulated.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import msgspec

from makespan.errors import UsageError
from makespan.forecast.sampling import Forecaster, Sample, Setting
from makespan.traces.grid import Grid

DEADLINE_RULES = frozenset({"deadline", "least-slack", "urgency"})
"""Policies whose order depends on the deadline."""
SIZE_LIMIT = 50
"""Rows or columns at most."""
SLACK = 1.15
"""The last deadline is so much above the most that a run without limits took, the first ones so much below the least.
The last budget has room for the dearest attempt above the most that such a run cost: that is reserved before."""
_SIZE = re.compile(r"(\d+)x(\d+)")


def read_size(text: str) -> tuple[int, int]:
    """`6x4`: so many budgets and deadlines. Raises UsageError."""
    found = _SIZE.fullmatch(text.strip().lower())
    rows, columns = (int(found[1]), int(found[2])) if found else (0, 0)
    if not (1 <= rows <= SIZE_LIMIT and 1 <= columns <= SIZE_LIMIT):
        raise UsageError(f"--grid {text}: write BUDGETSxDEADLINES, such as 6x6, each from 1 to {SIZE_LIMIT}")
    return rows, columns


def completion_grid(forecaster: Forecaster, policy: str, runs: int, rows: int, columns: int) -> Grid:
    """The grid up to the given budget and deadline, or a little beyond what runs without them need.

    Raises:
        UsageError: nothing of the subject costs money or takes time, or no run succeeds even without limits.
    Cost: `rows` times `runs` simulated runs, more where the policy looks at the deadline.
    """
    free = _with(forecaster, budget=None, deadline_ns=None)
    ended = [sample for sample in free.samples(policy, runs) if sample.succeeded]
    if not ended:
        raise UsageError("no run succeeds even without budget and deadline, so there is no grid to draw")
    setting = forecaster.setting
    times, costs = [sample.makespan_ns for sample in ended], [sample.cost for sample in ended]
    if not max(costs) or not max(times):
        what = "costs money" if not max(costs) else "takes time"
        raise UsageError(f"nothing that is simulated {what}; a grid needs a profile that says otherwise (--profile)")
    most = setting.budget or max(costs) + free.dearest
    budgets = _axis(min(costs), most, rows, is_given=setting.budget is not None)
    deadlines = _axis(
        min(times), setting.deadline_ns or round(max(times) * SLACK), columns, is_given=setting.deadline_ns is not None
    )
    shares = [_row(forecaster, policy, runs, budget, deadlines) for budget in budgets]
    return Grid(
        tuple(budget / 1e9 for budget in budgets),
        tuple(deadline / 1e9 for deadline in deadlines),
        tuple(shares),
        tuple(tuple(math.sqrt(share * (1 - share) / runs) for share in row) for row in shares),
    )


def _axis(least: int, most: int, count: int, *, is_given: bool) -> list[int]:
    """So many values, the last of them `most`; where that was given, from an even part of it on."""
    low = most // count if is_given else round(least / SLACK)
    if count == 1:
        return [most]
    return [round(low + (most - low) * place / (count - 1)) for place in range(count)]


def _row(forecaster: Forecaster, policy: str, runs: int, budget: int, deadlines: Sequence[int]) -> tuple[float, ...]:
    if DEADLINE_RULES.union(forecaster.planners).isdisjoint(policy.replace("+", ":").split(":")):
        samples = _with(forecaster, budget=budget, deadline_ns=None).samples(policy, runs)
        return tuple(_share(samples, budget, deadline) for deadline in deadlines)
    shares = []
    for deadline in deadlines:
        samples = _with(forecaster, budget=budget, deadline_ns=deadline).samples(policy, runs)
        shares.append(_share(samples, budget, deadline))
    return tuple(shares)


def _share(samples: Sequence[Sample], budget: int, deadline_ns: int) -> float:
    made = sum(s.succeeded and s.makespan_ns <= deadline_ns and s.cost <= budget for s in samples)
    return made / len(samples)


def _with(forecaster: Forecaster, *, budget: int | None, deadline_ns: int | None) -> Forecaster:
    setting: Setting = msgspec.structs.replace(forecaster.setting, budget=budget, deadline_ns=deadline_ns)
    other = Forecaster(forecaster.subject, forecaster.profile, setting, planners=forecaster.planners)
    other.assumed = forecaster.assumed
    return other

"""What many simulated runs say: spreads, chances with intervals, and policies compared on the same seeds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from math import fsum, sqrt

import msgspec

from makespan.errors import suggestion
from makespan.estimates import CONFIDENCE, t_quantile
from makespan.forecast.sampling import Forecaster, Sample, path_shares
from makespan.forecast.subject import shown
from makespan.sim.simulation import FAILED
from makespan.traces.spread import Odds, Spread, spread_of

RESULTS_HINT = "record a run, or give a task of the profile `results = [...]`, so that bodies decide on real results"
LISTED = 8
"""Keys, tasks or errors of one kind that are named; the others are counted."""


class Quantiles(msgspec.Struct, frozen=True):
    """A sample in its unit; None where not enough runs ended to say."""

    mean: float | None
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None


class Chance(msgspec.Struct, frozen=True):
    """A share of runs with its 95 % interval (Wilson)."""

    share: float
    low: float
    high: float


class Difference(msgspec.Struct, frozen=True):
    """One policy minus another, over the seeds of which both say something; mean with its 95 % interval."""

    mean: float
    low: float
    high: float
    better: float
    """Share of the seeds in which it was lower."""
    worse: float
    seeds: int


class Comparison(msgspec.Struct, frozen=True):
    """A policy against the first one, in the same simulated worlds."""

    policy: str
    against: str
    makespan_s: Difference | None
    """Over seeds in which both succeeded; None where there are none."""
    cost_usd: Difference | None
    success: Difference
    """Of 1 for a success and 0 otherwise; here `better` is the share of seeds in which only it succeeded."""


class PolicyReport(msgspec.Struct, frozen=True):
    """What the runs under one policy came to."""

    policy: str
    runs: int
    makespan_s: Quantiles
    """A run that does not succeed takes for ever; the mean is that of those that did."""
    cost_usd: Quantiles
    """Of all runs, waste included."""
    succeeded: Chance
    within_deadline: Chance | None
    """Succeeded by the deadline; None without one. The others alike."""
    within_budget: Chance | None
    within_both: Chance | None
    waste_usd: float
    """Mean of what attempts cost that nobody needed any more."""
    waste_share: float
    """Of all money."""
    ends: dict[str, int]
    """How the runs ended: succeeded, failed, paused (deadline), ..."""
    errors: dict[str, int]
    critical: list[tuple[str, float]]
    """Tasks by the share of successful runs in which they are on the critical path."""


class Report(msgspec.Struct, frozen=True):
    """The answer of a simulation."""

    subject: str
    runs: int
    seed: int
    deadline_s: float | None
    budget_usd: float | None
    policies: list[PolicyReport]
    comparisons: list[Comparison]
    assumed: list[str]


def report(forecaster: Forecaster, by_policy: dict[str, list[Sample]]) -> Report:
    """Sum up samples made with the same seeds.

    Args:
        by_policy: at least one, each with at least one run; the first is what the others are compared with.
    """
    setting = forecaster.setting
    first = next(iter(by_policy))
    return Report(
        forecaster.subject.name,
        len(by_policy[first]),
        setting.seed,
        None if setting.deadline_ns is None else setting.deadline_ns / 1e9,
        None if setting.budget is None else setting.budget / 1e9,
        [_of_policy(name, samples, setting.deadline_ns, setting.budget) for name, samples in by_policy.items()],
        [_compared(name, samples, first, by_policy[first]) for name, samples in by_policy.items() if name != first],
        assumptions(forecaster, has_failures=any(_is_surprise(s) for samples in by_policy.values() for s in samples)),
    )


def times_and_costs(samples: Sequence[Sample]) -> tuple[list[float], list[float]]:
    """Makespans in seconds and costs in USD; infinite for a run that did not succeed."""
    return (
        [sample.makespan_ns / 1e9 if sample.succeeded else math.inf for sample in samples],
        [sample.cost / 1e9 if sample.succeeded else math.inf for sample in samples],
    )


def median_run(samples: Sequence[Sample]) -> Sample:
    """The run in the middle by makespan, of those that succeeded if any did."""
    some = [sample for sample in samples if sample.succeeded] or list(samples)
    return sorted(some, key=lambda sample: (sample.makespan_ns, sample.seed))[(len(some) - 1) // 2]


def _of_policy(name: str, samples: list[Sample], deadline_ns: int | None, budget: int | None) -> PolicyReport:
    def is_in_time(sample: Sample) -> bool:
        return sample.succeeded and (deadline_ns is None or sample.makespan_ns <= deadline_ns)

    def is_affordable(sample: Sample) -> bool:
        return sample.succeeded and (budget is None or sample.cost <= budget)

    has_both = deadline_ns is not None and budget is not None
    times, _ = times_and_costs(samples)
    spent, wasted = sum(sample.cost for sample in samples), sum(sample.waste for sample in samples)
    return PolicyReport(
        name,
        len(samples),
        _quantiles(spread_of(times)),
        _quantiles(spread_of([sample.cost / 1e9 for sample in samples])),
        _chance(samples, lambda sample: sample.succeeded),
        None if deadline_ns is None else _chance(samples, is_in_time),
        None if budget is None else _chance(samples, is_affordable),
        _chance(samples, lambda sample: is_in_time(sample) and is_affordable(sample)) if has_both else None,
        wasted / len(samples) / 1e9,
        wasted / spent if spent else 0.0,
        dict(Counter(_end(sample) for sample in samples).most_common()),
        dict(Counter(sample.error for sample in samples if sample.error).most_common(LISTED)),
        path_shares(samples),
    )


def _is_surprise(sample: Sample) -> bool:
    """Whether it failed for another reason than an attempt that was drawn to fail."""
    return bool(sample.error) and FAILED.type not in sample.error


def _end(sample: Sample) -> str:
    return f"{sample.status} ({sample.reason})" if sample.status == "paused" else sample.status


def _quantiles(spread: Spread) -> Quantiles:
    values = [spread.mean, *(spread.quantile(share) for share in (0.5, 0.9, 0.95, 0.99))]
    return Quantiles(*[value if math.isfinite(value) else None for value in values])


def _chance(samples: Sequence[Sample], holds: Callable[[Sample], bool]) -> Chance:
    odds = Odds(sum(map(holds, samples)), len(samples))
    return Chance(odds.share, *odds.interval)


def _compared(name: str, samples: list[Sample], against: str, others: list[Sample]) -> Comparison:
    pairs = list(zip(samples, others, strict=True))
    assert all(mine.seed == other.seed for mine, other in pairs), "policies are compared on the same seeds"
    both = [(mine, other) for mine, other in pairs if mine.succeeded and other.succeeded]
    return Comparison(
        name,
        against,
        _difference([(mine.makespan_ns - other.makespan_ns) / 1e9 for mine, other in both]) if both else None,
        _difference([(mine.cost - other.cost) / 1e9 for mine, other in both]) if both else None,
        _of_success([int(mine.succeeded) - int(other.succeeded) for mine, other in pairs]),
    )


def _difference(differences: Sequence[float]) -> Difference:
    """The mean with the interval of Student's t; lower is better."""
    count = len(differences)
    mean = fsum(differences) / count
    reach = 0.0 if count < 2 else math.inf
    if count > 1:
        deviation = sqrt(fsum((each - mean) ** 2 for each in differences) / (count - 1))
        reach = t_quantile((1 + CONFIDENCE) / 2, count - 1) * deviation / sqrt(count)
    lower, higher = sum(each < 0 for each in differences), sum(each > 0 for each in differences)
    return Difference(mean, mean - reach, mean + reach, lower / count, higher / count, count)


def _of_success(differences: Sequence[int]) -> Difference:
    lost = _difference([-each for each in differences])
    return Difference(-lost.mean, -lost.high, -lost.low, lost.better, lost.worse, lost.seeds)


# ---------------------------------------------------------------- what was assumed


def assumptions(forecaster: Forecaster, *, has_failures: bool = False) -> list[str]:
    """Everything that the figures rest on besides the profile, a sentence each."""
    assumed, profile, setting = forecaster.assumed, forecaster.profile, forecaster.setting
    lines = list(forecaster.subject.notes)
    if assumed.unknown:
        default = profile.default
        price = f"{default.cost.mean / 1e9:g} USD" if default.cost.most else "no cost"
        usual = f"{default.duration.mean / 1e9:g} s, {price}, {default.success:.0%} success"
        lines.append(f"{_listed(assumed.unknown)}: the profile knows nothing of it, so {usual}")
        hints = ((key, suggestion(key, set(profile.tasks) - set(forecaster.subject.keys))) for key in assumed.unknown)
        lines += [f"the profile has no {key!r}{hint}" for key, hint in hints if hint]
    for key, value in list(assumed.stood_in.items())[:LISTED]:
        lines.append(f"{key}: no recorded result, {shown(value)} stands in")
    if len(assumed.stood_in) > LISTED:
        lines.append(f"… and {len(assumed.stood_in) - LISTED} more tasks whose results stand in")
    if assumed.widths:
        lines.append(f"{_listed(assumed.widths)}: lists that stand in have {setting.items} items; say --items N")
    if assumed.guards:
        lines.append(f"{_listed(assumed.guards)}: could not be evaluated on what stands in and counts as true")
    if assumed.cached:
        lines.append(f"{_listed(assumed.cached)}: simulated without the cache")
    if has_failures and assumed.stood_in and forecaster.subject.is_live:
        lines.append(f"runs failed, maybe for what stands in: {RESULTS_HINT}")
    return lines


def _listed(names: dict[str, None]) -> str:
    some = list(names)[:LISTED]
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(some) + more

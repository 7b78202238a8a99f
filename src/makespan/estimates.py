"""Numbers about repeated evaluations: means with intervals that know which measurements belong together, and pass^k.

Repeats of one case resemble each other, so they count as one: the interval is made from the means of the cases.
Treating every repeat as independent gives intervals that are two to three times too narrow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import comb, fsum, pi, sqrt, tan
from statistics import NormalDist, fmean, stdev

import msgspec

CONFIDENCE = 0.95


class Estimate(msgspec.Struct, frozen=True):
    """A mean and its 95 % interval; without an interval where one case is all there is."""

    mean: float
    low: float | None
    high: float | None
    cases: int


def clustered_mean(by_case: Mapping[str, Sequence[float]]) -> Estimate:
    """Mean of the cases' means, with the interval of Student's t over cases.

    Args:
        by_case: at least one case, each with at least one score.
    Source: Miller, "Adding Error Bars to Evals" (2024), standard errors clustered by question, for equal cluster sizes.
    """
    means = [fmean(scores) for scores in by_case.values()]
    mean = fmean(means)
    if len(means) < 2:
        return Estimate(mean, None, None, len(means))
    reach = t_quantile((1 + CONFIDENCE) / 2, len(means) - 1) * stdev(means) / sqrt(len(means))
    return Estimate(mean, mean - reach, mean + reach, len(means))


def pass_hat(passed_by_case: Mapping[str, Sequence[bool]]) -> list[float]:
    """pass^k for k = 1, 2, …: the chance that k repeats of a case, drawn from those made, all pass; mean over cases.

    Source: Yao et al., "tau-bench" (2024). Of n repeats with c passes: C(c, k) / C(n, k).
    """
    most = min(len(passed) for passed in passed_by_case.values())
    return [
        fmean(comb(sum(passed), k) / comb(len(passed), k) for passed in passed_by_case.values())
        for k in range(1, most + 1)
    ]


def t_quantile(p: float, degrees: int) -> float:
    """Student's t: exact for one and two degrees of freedom, above to 1 % (three) and better.

    Source: Abramowitz and Stegun, "Handbook of Mathematical Functions" (1964), 26.7.5.
    """
    if degrees == 1:
        return tan(pi * (p - 0.5))
    if degrees == 2:
        return (2 * p - 1) * sqrt(2 / (4 * p * (1 - p)))
    z = NormalDist().inv_cdf(p)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92_160,
    )
    return fsum(term / float(degrees) ** power for power, term in enumerate(terms))

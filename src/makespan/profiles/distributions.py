"""Distributions of durations and costs: what is needed of them is the mean, a quantile, and a draw.

A draw is the quantile of a uniform number that the caller makes, so that nothing here is random: two policies that are
given the same numbers live in the same world (common random numbers). All amounts are integers: nanoseconds, nano-USD.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from math import exp, fsum, log, sqrt
from statistics import NormalDist

import msgspec

LOWEST, HIGHEST = 0.001, 0.999
"""Quantiles at which a log-normal distribution is cut: beyond them it says nothing about the world."""
_STANDARD = NormalDist()


class Constant(msgspec.Struct, frozen=True, tag="constant"):
    """Always the same."""

    value: int

    @property
    def mean(self) -> float:
        return float(self.value)

    @property
    def most(self) -> int:
        return self.value

    def quantile(self, q: float) -> int:
        """The value itself."""
        return self.value

    def reached(self, value: float) -> float:
        """Share of draws that are at most `value`."""
        return 1.0 if value >= self.value else 0.0


class Empirical(msgspec.Struct, frozen=True, tag="empirical"):
    """What was seen: sorted, at least one."""

    values: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.values or any(a > b for a, b in zip(self.values, self.values[1:], strict=False)):
            raise ValueError("an empirical distribution has at least one value, sorted")

    @property
    def mean(self) -> float:
        return fsum(self.values) / len(self.values)

    @property
    def most(self) -> int:
        return self.values[-1]

    def quantile(self, q: float) -> int:
        """The smallest value that at least a share `q` of what was seen does not exceed."""
        return self.values[min(int(q * len(self.values)), len(self.values) - 1)]

    def reached(self, value: float) -> float:
        """Share of draws that are at most `value`."""
        return bisect_left(self.values, value + 1) / len(self.values)


class LogNormal(msgspec.Struct, frozen=True, tag="lognormal"):
    """exp of a normal distribution, cut at `LOWEST` and `HIGHEST`: the usual shape of what people and models take."""

    median: int
    sigma: float
    """Standard deviation of the logarithm."""

    @property
    def mean(self) -> float:
        low, high = (_STANDARD.inv_cdf(q) for q in (LOWEST, HIGHEST))
        inside = _STANDARD.cdf(high - self.sigma) - _STANDARD.cdf(low - self.sigma)
        tails = LOWEST * exp(self.sigma * low) + (1 - HIGHEST) * exp(self.sigma * high)
        return self.median * (exp(self.sigma**2 / 2) * inside + tails)

    @property
    def most(self) -> int:
        return self.quantile(1.0)

    def quantile(self, q: float) -> int:
        """Inverse of the distribution function."""
        return round(self.median * exp(self.sigma * _STANDARD.inv_cdf(min(max(q, LOWEST), HIGHEST))))

    def reached(self, value: float) -> float:
        """Share of draws that are at most `value`."""
        if value >= self.most:
            return 1.0
        if self.sigma <= 0 or value <= 0:
            return float(value >= self.median)
        share = _STANDARD.cdf(log(value / self.median) / self.sigma)
        return share if share >= LOWEST else 0.0


Distribution = Constant | Empirical | LogNormal
"""All have `mean`, `most`, `quantile(q)` and `reached(value)`."""


def empirical(values: Iterable[int]) -> Empirical:
    """What was seen, in any order."""
    return Empirical(tuple(sorted(values)))


def fitted_log_normal(values: Iterable[int]) -> LogNormal:
    """By the moments of the logarithms; values below 1 count as 1."""
    logs = [log(max(value, 1)) for value in values]
    mean = fsum(logs) / len(logs)
    return LogNormal(round(exp(mean)), sqrt(fsum((x - mean) ** 2 for x in logs) / len(logs)))

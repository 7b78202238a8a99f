"""How simulated makespans and costs are spread: quantiles, a histogram, and the odds of staying within a limit.

makespan   1,000 runs, mean 12.3 s ± 0.1 s
   9.0 s  ▇▇▇▇▇▇▇▇▇▇            310
  11.0 s  ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇       480
  13.0 s  ░░░░░░                190 ┊ over the limit
p50 11.9 s   p90 13.8 s   p95 14.4 s   p99 15.7 s   within 13.0 s: 81.0 % (78.4 % to 83.3 %)
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import msgspec

from makespan.errors import UsageError
from makespan.traces.text import percent

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
SHOWN_QUANTILES = (0.5, 0.9, 0.95, 0.99)
BINS = 20
TAIL_FROM, TAIL = 0.98, 1.1
"""What is further from the least value than `TAIL` times this quantile is the tail: counted, not drawn."""
WITHIN, OVER = "▇", "░"
Z_95 = 1.959963984540054
"""Of a standard normal distribution: 95 % lie within."""


class Odds(msgspec.Struct, frozen=True):
    """The share of runs for which something holds, with its 95 % interval."""

    count: int
    total: int

    @property
    def share(self) -> float:
        return self.count / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson, "Probable inference, the law of succession, and statistical inference" (1927)."""
        n, p, z = self.total, self.share, Z_95
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        reach = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return middle - reach if self.count else 0.0, middle + reach if self.count < n else 1.0

    def __str__(self) -> str:
        low, high = self.interval
        return f"{percent(self.share)} ({percent(low)} to {percent(high)})"


class Spread(msgspec.Struct, frozen=True):
    """A sample in a few figures, in the sample's unit."""

    count: int
    ended: int
    """How many are finite."""
    mean: float
    """Of those that ended, as `error`, its standard error."""
    error: float
    quantiles: tuple[tuple[float, float], ...]
    """(share, least value that so large a share of *all* runs is within); `math.inf` where too few ended."""
    edges: tuple[float, ...]
    """Of the bins; one more than there are bins, empty when none ended."""
    counts: tuple[int, ...]
    beyond: int = 0
    """Ended beyond the last edge: a long tail does not squeeze all others into one bin."""
    limit: float | None = None
    odds: Odds | None = None
    """Of being within the limit, `<=`; None without one."""

    def quantile(self, share: float) -> float:
        """One of `quantiles`. Raises KeyError for another share."""
        return dict(self.quantiles)[share]


def spread_of(values: Sequence[float], limit: float | None = None, bins: int = BINS) -> Spread:
    """The figures of a sample.

    Args:
        values: makespans or costs of runs, at least one; `math.inf` for a run that did not end well.
        limit: a deadline or a budget in the same unit.
    Raises:
        UsageError: the sample is empty, or holds what is not a number.
    Cost: O(n log n).
    """
    if not values or any(math.isnan(value) for value in values):
        raise UsageError("a distribution needs at least one run, and a number for each")
    ranked = sorted(values)
    ended = ranked[: bisect_left(ranked, math.inf)]
    mean = math.fsum(ended) / len(ended) if ended else math.inf
    error = math.inf
    if len(ended) > 1:
        error = math.sqrt(math.fsum((value - mean) ** 2 for value in ended) / (len(ended) - 1) / len(ended))
    quantiles = tuple((share, ranked[max(0, math.ceil(share * len(ranked)) - 1)]) for share in QUANTILES)
    edges, counts, beyond = _bins(ended, bins)
    odds = None if limit is None else Odds(bisect_right(ranked, limit), len(ranked))
    return Spread(len(ranked), len(ended), mean, error, quantiles, edges, counts, beyond, limit, odds)


def both_within(makespans_s: Sequence[float], costs_usd: Sequence[float], deadline_s: float, budget_usd: float) -> Odds:
    """The odds of meeting deadline and budget in the same run."""
    runs = zip(makespans_s, costs_usd, strict=True)
    return Odds(sum(took <= deadline_s and cost <= budget_usd for took, cost in runs), len(makespans_s))


def spread_lines(what: str, spread: Spread, width: int, text: Callable[[float], str]) -> list[str]:
    """A histogram with quantiles and odds.

    Args:
        what: the title, `makespan`. text: how a value is written, `traces.text.duration` or `money`.
    """
    return [*_histogram(what, spread, width, text), *_figures(spread, text)]


def _bins(ended: Sequence[float], bins: int) -> tuple[tuple[float, ...], tuple[int, ...], int]:
    """Bins of one width from the least to the largest, or to where the tail begins; how many lie beyond."""
    if not ended:
        return (), (), 0
    least, largest = ended[0], ended[-1]
    tail = least + TAIL * (ended[math.ceil(TAIL_FROM * len(ended)) - 1] - least)
    last = tail if least < tail < largest else largest
    if last <= least:
        return (least, least), (len(ended),), 0
    edges = [least + (last - least) * i / bins for i in range(bins)] + [last]
    end = bisect_right(ended, last)
    cuts = [0, *(bisect_left(ended, edge) for edge in edges[1:-1]), end]
    counts = tuple(after - before for before, after in pairwise(cuts))
    return tuple(edges), counts, len(ended) - end


def _histogram(what: str, spread: Spread, width: int, text: Callable[[float], str]) -> Iterator[str]:
    lost = f", {spread.count - spread.ended:,} without an end" if spread.ended < spread.count else ""
    mean = f", mean {text(spread.mean)}" if spread.ended else ""
    error = f" ± {text(spread.error)}" if math.isfinite(spread.error) else ""
    yield f"{what}   {spread.count:,} runs{mean}{error}{lost}"
    if not spread.counts:
        return
    labels = [text(float(f"{edge:.3g}")) for edge in spread.edges]
    if (
        len(set(labels)) < len(labels) and spread.edges[-1] > spread.edges[0]
    ):  # the sample is narrower than the text is fine
        places = max(0, math.ceil(-math.log10(spread.edges[1] - spread.edges[0])))
        labels = [f"{edge:.{places}f}" for edge in spread.edges]
    first = max(map(len, labels))
    room, most = max(10, width - first - 26), max(spread.counts)
    for name, low, count in zip(labels, spread.edges, spread.counts, strict=False):
        is_over = spread.limit is not None and low > spread.limit
        bar = (OVER if is_over else WITHIN) * (max(1, round(count * room / most)) if count else 0)
        yield f"{name:>{first + 2}}  {bar:<{room}} {count:>7,}{'  over' if is_over else ''}".rstrip()
    if spread.beyond:
        yield f"{'> ' + labels[-1]:>{first + 2}}  {'':<{room}} {spread.beyond:>7,}".rstrip()


def _figures(spread: Spread, text: Callable[[float], str]) -> Iterator[str]:
    yield "   ".join(f"p{share * 100:.0f} {text(spread.quantile(share))}" for share in SHOWN_QUANTILES)
    if spread.odds is not None and spread.limit is not None:
        yield f"within {text(spread.limit)}: {spread.odds}"

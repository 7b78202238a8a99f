"""When did a signal rise for good? One best split of a series in two, then the first sign of the rise.

                               ┌──────  after (median)
                          ┌────┘
    before (median) ──────┘    ▲ best split
                          ▲ first sign: the walk back from the split ends at `before + margin`

Medians make short bursts harmless. Pure; knows nothing of services or SQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from statistics import median

from examples.incident.evidence import Shift

BASELINE_POINTS = 360
LEAST_POINTS = 8
SMOOTHING = 3
LONGEST_DIP = 4


def find_rise(times_s: Sequence[float], levels: Sequence[float], *, least_rise: float) -> Shift | None:
    """The lasting rise of a series, or None if it rose by less than `least_rise` or within its scatter.

    Args:
        times_s: N ascending times.
        levels: N levels, one per time.
        least_rise: smallest difference of medians that matters, in the unit of `levels`.
    Cost: O(N log N).
    Source: least-squares split of a mean, Sen and Srivastava, "On tests for detecting change in mean" (1975).
    """
    if len(levels) < 2 * LEAST_POINTS:
        return None
    split = _best_split(levels)
    baseline = levels[max(0, split - BASELINE_POINTS) : split]
    before, after = median(baseline), median(levels[split:])
    scatter = _scatter(baseline, before)
    if after - before < max(least_rise, 4 * scatter):
        return None
    margin = max(3.5 * scatter, 0.1 * (after - before))
    first = _first_sign(levels, split, before + margin)
    return Shift(times_s[first], before, after, (after - before) / max(scatter, 0.01 * least_rise))


def _scatter(levels: Sequence[float], centre: float) -> float:
    """Standard deviation a normal series would have with the same 80 % of distances from its centre.

    The median distance would be 0 for counts that rarely leave one value; a higher share would see bursts.
    """
    distances = sorted(abs(level - centre) for level in levels)
    return distances[int(0.8 * (len(distances) - 1))] / 1.2816 + 1e-9


def _best_split(levels: Sequence[float]) -> int:
    """Index that parts the series into two halves whose means explain most of its variance."""
    total, count = sum(levels), len(levels)
    sums = list(accumulate(levels))

    def explained(split: int) -> float:
        left, right = sums[split - 1] / split, (total - sums[split - 1]) / (count - split)
        return split * (count - split) * (right - left) ** 2

    return max(range(LEAST_POINTS, count - LEAST_POINTS), key=explained)


def _first_sign(levels: Sequence[float], split: int, threshold: float) -> int:
    """Start of the run of smoothed levels above `threshold` that leads into the split, short dips allowed."""
    smooth = [median(levels[max(0, i - SMOOTHING + 1) : i + 1]) for i in range(split)]
    first = split
    while first > 0 and max(smooth[max(0, first - LONGEST_DIP) : first]) > threshold:
        first -= 1
    while first > 0 and levels[first - 1] > threshold:
        first -= 1
    while first < len(levels) - 1 and levels[first] <= threshold:
        first += 1
    return first

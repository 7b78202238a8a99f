"""Simulated makespans and costs as a file: two histograms with quantiles, limits and odds."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from makespan.charts.style import BLUE, DARK, FAR_OFF, PALE, drawing, label, limit_line, money_axis, time_axis
from makespan.traces.spread import Odds, both_within, spread_of
from makespan.traces.text import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS = 40
MARKED = (0.5, 0.95)


def draw_spread(
    path: str | os.PathLike[str],
    makespans_s: Sequence[float],
    costs_usd: Sequence[float],
    *,
    deadline_s: float | None = None,
    budget_usd: float | None = None,
    title: str = "",
) -> None:
    """Write the chart.

    Args:
        path: .svg or .png. makespans_s, costs_usd: of the same runs; `math.inf` for one that did not end well.
    Raises:
        UsageError: a sample is empty, or see `charts.style.drawing`.
    Cost: 0.4 s for 10,000 runs.
    """
    with drawing(path, height_in=3.9, columns=2) as (figure, (left, right)):
        longest = max((value for value in makespans_s if math.isfinite(value)), default=0.0)
        scale = time_axis(left.xaxis, longest, "makespan")
        _histogram(left, makespans_s, deadline_s, "deadline", scale)
        money_axis(right.xaxis)
        _histogram(right, costs_usd, budget_usd, "budget", lambda usd: usd)
        left.set_ylabel(f"runs of {len(makespans_s):,}")
        said = label(title)
        if deadline_s is not None and budget_usd is not None:
            odds = both_within(makespans_s, costs_usd, deadline_s, budget_usd)
            said = f"{said}{': ' if said else ''}within both {_odds(odds)}"
        figure.suptitle(said, x=0.01, ha="left", fontsize=11)


def _histogram(
    axes: Axes, values: Sequence[float], limit: float | None, what: str, scale: Callable[[float], float]
) -> None:
    """Dark bars begin within the limit, light ones over it; lines at the middle and at what 19 of 20 stay within."""
    spread = spread_of(values, limit, BINS)
    axes.grid(visible=False, axis="x")
    if spread.counts:
        edges = [scale(edge) for edge in spread.edges]
        widths = [right - left for left, right in pairwise(edges)]
        if not widths[0]:
            edges, widths = _alone(axes, edges[0])
        over = [limit is not None and low > limit for low in spread.edges[: len(spread.counts)]]
        look: dict[str, Any] = {"align": "edge", "edgecolor": "white", "linewidth": 0.4}
        colors = [PALE if is_over else BLUE for is_over in over]
        bars = axes.bar(edges[: len(widths)], spread.counts, widths, color=colors, **look)
        for bar, is_over in zip(bars, over, strict=True):
            bar.set_edgecolor(BLUE if is_over else "white")
    marks: dict[float, list[str]] = {}
    for share in MARKED:
        marks.setdefault(spread.quantile(share), []).append(f"p{share * 100:.0f}")
    for at, names in marks.items():
        if math.isfinite(at):
            axes.axvline(scale(at), color=DARK, linewidth=1, linestyle="-" if "p50" in names else ":")
            axes.annotate(
                ", ".join(names),
                (scale(at), 1),
                xycoords=("data", "axes fraction"),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                fontsize=8,
            )
    if spread.beyond:
        text = f"{spread.beyond:,} beyond →"
        axes.annotate(text, (1, 0.5), xycoords="axes fraction", ha="right", va="bottom", fontsize=8, color=DARK)
    if limit is not None and math.isfinite(limit):
        odds = spread.odds
        text = f"{what}: met in {_odds(odds)}" if odds else what
        limit_line(axes, scale(limit), text, scale(spread.edges[-1] * FAR_OFF) if spread.edges else math.inf)
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.04), borderaxespad=0)
    axes.set_ylim(bottom=0)


def _alone(axes: Axes, at: float) -> tuple[list[float], list[float]]:
    """Left edge and width of the one bar of a sample in which all are alike: around its value, the only tick."""
    reach = abs(at) or 1.0
    axes.set_xlim(at - reach, at + FAR_OFF * reach)
    axes.set_xticks([at])
    return [at - reach / 20], [reach / 10]


def _odds(odds: Odds) -> str:
    low, high = odds.interval
    return f"{percent(odds.share)} ({low * 100:.1f} to {high * 100:.1f})"

"""The Pareto front as a file: latency against cost, colour by success, the front ringed, the choice a star."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from makespan.charts.style import DARK, GREY, ORANGE, drawing, label, legend_below, money_axis, plain_numbers, time_axis
from makespan.passes.pareto import pruned

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_LABELS = 12
"""Points of the front with their names beside them; more would lie upon each other."""
FAR = 30
"""Where the largest cost or latency is so many times the smallest, the axis is logarithmic."""


class ParetoPoint(msgspec.Struct, frozen=True):
    """One configuration, or one setting, with what it comes to. Less latency and cost and more success are better."""

    label: str
    latency_s: float
    cost_usd: float
    success: float = 1.0
    """Probability, 0 to 1."""
    chosen: bool = False


def draw_pareto(path: str | os.PathLike[str], choices: Sequence[ParetoPoint], *, title: str = "") -> None:
    """Write the chart.

    Args:
        path: .svg or .png. choices: those with an infinite or unknown figure are left out.
    Raises:
        UsageError: see `charts.style.drawing`.
    """
    known = [one for one in choices if math.isfinite(one.latency_s) and math.isfinite(one.cost_usd)]
    with drawing(path, height_in=4.6) as (figure, axes):
        axes.set_title(label(title))
        if not known:
            axes.text(0.5, 0.5, "there is nothing to choose from", transform=axes.transAxes, ha="center")
            return
        scale = time_axis(axes.xaxis, max(one.latency_s for one in known), "latency")
        money_axis(axes.yaxis)
        best = _front(known)
        stairs = _cheapest_by_latency(best)
        x, y = [scale(one.latency_s) for one in known], [one.cost_usd for one in known]
        success = [one.success for one in known]
        least = math.floor(min(success) * 10 - 1e-9) / 10
        look: dict[str, Any] = {"cmap": "cividis", "vmin": max(0.0, least), "vmax": 1, "s": 22, "linewidths": 0}
        drawn = axes.scatter(x, y, c=success, zorder=2, **look)
        drawn.set_gid("choices")
        x, y = [scale(one.latency_s) for one in best], [one.cost_usd for one in best]
        axes.scatter(x, y, s=64, facecolors="none", edgecolors=DARK, linewidths=1.1, zorder=3, label="on the front")
        steps = [scale(one.latency_s) for one in stairs], [one.cost_usd for one in stairs]
        axes.step(*steps, where="post", color=GREY, linewidth=1, zorder=1, label="least cost within a latency")
        _name(axes, best, scale)
        chosen = [one for one in known if one.chosen]
        if chosen:
            x, y = [scale(one.latency_s) for one in chosen], [one.cost_usd for one in chosen]
            star: dict[str, Any] = {"marker": "*", "s": 240, "color": ORANGE, "edgecolors": DARK, "zorder": 5}
            axes.scatter(x, y, label="chosen", **star)
        if _is_far([one.cost_usd for one in known]):
            axes.set_yscale("log")
            plain_numbers(axes.yaxis)
        if _is_far([one.latency_s for one in known]):
            axes.set_xscale("log")
            plain_numbers(axes.xaxis)
        axes.margins(0.08)
        figure.colorbar(drawn, ax=axes, label="probability of success", pad=0.02)
        legend_below(figure, axes)


def _front(known: Sequence[ParetoPoint]) -> list[ParetoPoint]:
    """Those that nobody beats, by latency; of equal ones the first."""
    entries = [(one.latency_s, one.cost_usd, one.success, (place,)) for place, one in enumerate(known)]
    return [known[place] for *_, (place,) in pruned(entries)]


def _cheapest_by_latency(best: Sequence[ParetoPoint]) -> list[ParetoPoint]:
    """The front in two dimensions: each cheaper than all that are faster."""
    kept: list[ParetoPoint] = []
    for one in best:
        if not kept or one.cost_usd < kept[-1].cost_usd:
            kept.append(one)
    return kept


def _name(axes: Axes, best: Sequence[ParetoPoint], scale: Callable[[float], float]) -> None:
    """Names beside the points of a small front, and beside what was chosen in any."""
    for one in best:
        if one.chosen or len(best) <= MOST_LABELS:
            where = (scale(one.latency_s), one.cost_usd)
            axes.annotate(label(one.label, 28), where, xytext=(8, 7), textcoords="offset points", fontsize=8, zorder=6)


def _is_far(figures: Sequence[float]) -> bool:
    return min(figures) > 0 and max(figures) / min(figures) > FAR

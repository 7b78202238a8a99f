"""The completion-probability grid as a file: a cell for each budget and deadline, with its standard error."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from makespan.charts.style import DARK, drawing, label
from makespan.traces.grid import Grid, spread_places, whole_percent
from makespan.traces.text import duration, money

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

MOST_CELLS = 16
"""Rows or columns beyond which the cells are too small for numbers, and not every one has its label."""
DARK_BELOW = 0.55
"""Of the colours: text on them must be white."""


def draw_grid(path: str | os.PathLike[str], grid: Grid, *, title: str = "") -> None:
    """Write the chart.

    Args:
        path: .svg or .png.
    Raises:
        UsageError: see `charts.style.drawing`.
    """
    rows, columns = len(grid.budgets_usd), len(grid.deadlines_s)
    with drawing(path, height_in=min(9.0, max(2.8, 0.42 * rows + 1.8))) as (figure, axes):
        axes.set_title(label(title))
        axes.grid(visible=False)
        if not rows or not columns:
            axes.text(0.5, 0.5, "the grid is empty", transform=axes.transAxes, ha="center")
            return
        drawn = axes.pcolormesh(
            grid.probability, cmap="cividis", vmin=0, vmax=1, edgecolors="white", linewidth=0 if rows > 60 else 0.8
        )
        drawn.set_gid("cells")
        _label(axes.xaxis, [duration(deadline) for deadline in grid.deadlines_s], "deadline")
        _label(axes.yaxis, [money(budget) for budget in grid.budgets_usd], "budget")
        axes.tick_params(length=0)
        if rows <= MOST_CELLS and columns <= MOST_CELLS:
            _numbers(axes, grid)
        figure.colorbar(drawn, ax=axes, label="probability within both", pad=0.02)


def _label(axis: Axis, names: Sequence[str], what: str) -> None:
    """The limits' names under the middles of their cells."""
    places = spread_places(len(names), MOST_CELLS)
    axis.set_ticks([place + 0.5 for place in places], [names[place] for place in places])
    axis.set_label_text(what)


def _numbers(axes: Axes, grid: Grid) -> None:
    small = len(grid.deadlines_s) > MOST_CELLS // 2
    for row, shares in enumerate(grid.probability):
        for column, share in enumerate(shares):
            error = f" ±{grid.error[row][column] * 100:.1f}" if grid.error and not small else ""
            color = "white" if share < DARK_BELOW else DARK
            text = f"{whole_percent(share)}{error}"
            axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", color=color, fontsize=8.5)

"""Probability of being done within a budget *and* by a deadline, over both.

         by 10 s    20 s    30 s
$0.10      ·   2   ░  31   ▒  47       rows: budgets, columns: deadlines; per cent, and ± one standard error
$0.20      ·   2   ▓  78   █  96       never less to the right and further down, but for chance
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence

import msgspec

from makespan.errors import UsageError
from makespan.traces.text import duration, money

SHADES = "·░▒▓█"
CELL = 9
MOST_ROWS = 40


class Grid(msgspec.Struct, frozen=True):
    """What a simulation says about each pair of budget and deadline.

    Raises:
        UsageError: the matrices do not have a row a budget and a column a deadline, or hold no probabilities.
    """

    budgets_usd: tuple[float, ...]
    deadlines_s: tuple[float, ...]
    probability: tuple[tuple[float, ...], ...]
    """[budget][deadline], 0 to 1."""
    error: tuple[tuple[float, ...], ...] = ()
    """Standard errors in the same shape; empty where nobody knows them."""

    def __post_init__(self) -> None:
        for name, matrix in (("probability", self.probability), ("error", self.error)):
            if name == "error" and not matrix:
                continue
            if len(matrix) != len(self.budgets_usd) or any(len(row) != len(self.deadlines_s) for row in matrix):
                shape = f"{len(self.budgets_usd)} budgets x {len(self.deadlines_s)} deadlines"
                raise UsageError(f"the grid's {name} must have a row a budget and a column a deadline ({shape})")
        if not all(0 <= share <= 1 for row in self.probability for share in row):
            raise UsageError("the grid's probabilities must lie between 0 and 1")


def grid_of(
    makespans_s: Sequence[float],
    costs_usd: Sequence[float],
    budgets_usd: Sequence[float],
    deadlines_s: Sequence[float],
) -> Grid:
    """The share of runs within each pair, all from one sample of runs that no limit cut short.

    Args:
        makespans_s, costs_usd: of run i at place i; `math.inf` for a run that did not succeed.
        budgets_usd, deadlines_s: rising.
    Returns:
        Shares with their binomial standard errors; they belong to one sample, so cells are not independent.
    Cost: O(n log n + budgets x deadlines).
    """
    if len(makespans_s) != len(costs_usd) or not makespans_s:
        raise UsageError(f"one makespan and one cost a run are needed; got {len(makespans_s)} and {len(costs_usd)}")
    budgets, deadlines = tuple(sorted(budgets_usd)), tuple(sorted(deadlines_s))
    counts = [[0] * len(deadlines) for _ in budgets]
    for makespan_s, cost_usd in zip(makespans_s, costs_usd, strict=True):
        row, column = bisect_left(budgets, cost_usd), bisect_left(deadlines, makespan_s)
        if row < len(budgets) and column < len(deadlines):
            counts[row][column] += 1
    for row in range(len(budgets)):
        for column in range(len(deadlines)):
            above = counts[row - 1][column] if row else 0
            left = counts[row][column - 1] if column else 0
            both = counts[row - 1][column - 1] if row and column else 0
            counts[row][column] += above + left - both
    total = len(makespans_s)
    shares = tuple(tuple(count / total for count in row) for row in counts)
    errors = tuple(tuple(math.sqrt(share * (1 - share) / total) for share in row) for row in shares)
    return Grid(budgets, deadlines, shares, errors)


def grid_lines(grid: Grid, width: int) -> list[str]:
    """The grid as numbers with shades; without colour. Where `width` is short of columns, some deadlines are left out.

    `±` stands for one standard error, in per cent.
    """
    if not grid.budgets_usd or not grid.deadlines_s:
        return ["the grid is empty"]
    names = [money(budget) for budget in grid.budgets_usd]
    first = max(len(name) for name in [*names, "budget"])
    cell = CELL + (5 if grid.error else 0)
    columns = spread_places(len(grid.deadlines_s), max(1, (width - first) // cell))
    rows = spread_places(len(names), MOST_ROWS)
    return [*_lines(grid, names, first, cell, rows, columns), *_left_out(grid, rows, columns)]


def _lines(
    grid: Grid, names: Sequence[str], first: int, cell: int, rows: Sequence[int], columns: Sequence[int]
) -> Iterator[str]:
    heads = "".join(f"{duration(grid.deadlines_s[column]):>{cell}}" for column in columns)
    yield f"{'budget':<{first}}{heads}"
    for row in rows:
        cells = []
        for column in columns:
            share = grid.probability[row][column]
            error = f" ±{grid.error[row][column] * 100:<3.1f}" if grid.error else ""
            cells.append(f"{f'{shade(share) * 2} {whole_percent(share):>3}{error}':>{cell}}")
        yield f"{names[row]:<{first}}{''.join(cells)}".rstrip()
    yield f"% of runs within budget and deadline   {SHADES[0]} 0 … {SHADES[-1]} 100"


def shade(share: float) -> str:
    """Five steps from empty to full."""
    return SHADES[min(len(SHADES) - 1, int(share * len(SHADES)))]


def whole_percent(share: float) -> str:
    """Per cent without decimals; 0 and 100 are kept for what is exactly that in the sample."""
    if 0 < share < 0.01:
        return "<1"
    return ">99" if 0.99 < share < 1 else f"{share * 100:.0f}"


def spread_places(count: int, most: int) -> list[int]:
    """So many of `count` places at even distances, first and last included."""
    if count <= most:
        return list(range(count))
    return sorted({round(i * (count - 1) / max(1, most - 1)) for i in range(most)})


def _left_out(grid: Grid, rows: Sequence[int], columns: Sequence[int]) -> Iterator[str]:
    missing = []
    if len(rows) < len(grid.budgets_usd):
        missing.append(_counted(len(grid.budgets_usd) - len(rows), "budget"))
    if len(columns) < len(grid.deadlines_s):
        missing.append(_counted(len(grid.deadlines_s) - len(columns), "deadline"))
    if missing:
        yield f"… not shown: {' and '.join(missing)}; a wider terminal or -o has all"


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'s' if count != 1 else ''}"

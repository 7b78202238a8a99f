"""The grid of odds over budgets and deadlines."""

from __future__ import annotations

import math
import random

import pytest

from makespan.errors import UsageError
from makespan.traces.grid import Grid, grid_lines, grid_of


@pytest.mark.parametrize("seed", range(10))
def test_each_cell_is_the_share_of_runs_within_both(seed: int) -> None:
    chance = random.Random(seed)
    took = [chance.choice([math.inf, chance.randint(1, 10)]) for _ in range(200)]
    cost = [float(chance.randint(1, 10)) for _ in range(200)]
    budgets, deadlines = [2.0, 5.0, 7.0, 10.0], [1.0, 4.0, 10.0]

    grid = grid_of(took, cost, budgets, deadlines)

    for row, budget in enumerate(budgets):
        for column, deadline in enumerate(deadlines):
            share = sum(t <= deadline and c <= budget for t, c in zip(took, cost, strict=True)) / 200
            assert grid.probability[row][column] == pytest.approx(share)
            assert grid.error[row][column] == pytest.approx(math.sqrt(share * (1 - share) / 200))


def test_the_map_has_numbers_and_shades_and_no_colour() -> None:
    lines = grid_lines(Grid((0.1, 2.0), (10.0, 90.0), ((0.0, 0.005), (0.5, 1.0)), ((0.0, 0.001), (0.02, 0.0))), 80)

    assert lines[0].split() == ["budget", "10.0", "s", "1", "m", "30", "s"]
    assert lines[1].split() == ["$0.10", "··", "0", "±0.0", "··", "<1", "±0.1"]
    assert lines[2].split() == ["$2.00", "▒▒", "50", "±2.0", "██", "100", "±0.0"]
    assert not any("\x1b" in line for line in lines)


def test_a_narrow_terminal_leaves_deadlines_out_and_says_so() -> None:
    row = tuple(i / 20 for i in range(20))
    lines = grid_lines(Grid((1.0,), tuple(map(float, range(1, 21))), (row,)), 60)

    assert all(len(line) <= 60 for line in lines)
    assert lines[0].split()[1] == "1.0"
    assert lines[0].split()[-2] == "20.0"
    assert lines[-1] == "… not shown: 14 deadlines; a wider terminal or -o has all"


@pytest.mark.parametrize(
    ("probability", "error", "said"),
    [
        (((0.5,),), (), "row a budget"),
        (((0.5, 0.5), (0.5,)), (), "row a budget"),
        (((0.5, 0.5), (0.5, 0.5)), ((0.1, 0.1),), "error must have"),
        (((0.5, 1.5), (0.5, 0.5)), (), "between 0 and 1"),
        (((0.5, math.nan), (0.5, 0.5)), (), "between 0 and 1"),
    ],
)
def test_a_matrix_that_does_not_fit_is_refused(
    probability: tuple[tuple[float, ...], ...], error: tuple[tuple[float, ...], ...], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        Grid((1.0, 2.0), (1.0, 2.0), probability, error)


def test_a_sample_needs_a_makespan_and_a_cost_a_run() -> None:
    with pytest.raises(UsageError, match="got 2 and 1"):
        grid_of([1.0, 2.0], [1.0], [1.0], [1.0])

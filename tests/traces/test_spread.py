"""Distributions of makespans and costs: quantiles, histograms, odds."""

from __future__ import annotations

import math
import random
import statistics

import pytest

from makespan.errors import UsageError
from makespan.traces.spread import Odds, both_within, spread_lines, spread_of
from makespan.traces.text import duration


def sample(seed: int, count: int) -> list[float]:
    chance = random.Random(seed)
    return [chance.lognormvariate(2, 1.5) if chance.random() < 0.95 else math.inf for _ in range(count)]


@pytest.mark.parametrize("seed", range(10))
def test_figures_of_a_sample_agree_with_their_definitions(seed: int) -> None:
    values = sample(seed, 500)
    ended = [value for value in values if math.isfinite(value)]

    spread = spread_of(values, limit=8.0)

    assert (spread.count, spread.ended) == (500, len(ended))
    assert spread.mean == pytest.approx(statistics.fmean(ended))
    assert spread.error == pytest.approx(statistics.stdev(ended) / math.sqrt(len(ended)))
    for share, value in spread.quantiles:
        assert sum(each <= value for each in values) >= share * 500
        assert sum(each < value for each in values) < share * 500
    assert spread.odds == Odds(sum(value <= 8 for value in values), 500)


@pytest.mark.parametrize("seed", range(10))
def test_bins_hold_every_run_that_ended_but_the_tail(seed: int) -> None:
    values = sample(seed, 500)

    spread = spread_of(values)

    assert sum(spread.counts) + spread.beyond == spread.ended
    assert spread.beyond <= 0.02 * spread.ended
    assert len(spread.edges) == len(spread.counts) + 1
    for low, high, count in zip(spread.edges, spread.edges[1:-1], spread.counts, strict=False):
        assert count == sum(low <= value < high for value in values)


def test_the_interval_of_odds_holds_the_truth_in_95_of_100_samples() -> None:
    chance = random.Random(1)
    held = 0
    for _ in range(2000):
        low, high = Odds(sum(chance.random() < 0.9 for _ in range(100)), 100).interval
        held += low <= 0.9 <= high

    assert 0.93 <= held / 2000 <= 0.97


def test_odds_of_never_and_always_have_an_interval_too() -> None:
    assert Odds(0, 100).interval[0] == 0
    assert 0.02 < Odds(0, 100).interval[1] < 0.05
    assert str(Odds(100, 100)) == "100.0 % (96.3 % to 100.0 %)"


def test_lines_are_as_wide_as_asked_and_tell_the_odds() -> None:
    values = [float(value) for value in range(1, 101)]

    lines = spread_lines("makespan", spread_of(values, 50.0), 80, duration)

    assert lines[0] == "makespan   100 runs, mean 50.5 s ± 2.9 s"
    assert all(len(line) <= 80 for line in lines)
    assert sum("▇" in line for line in lines) == sum("░" in line for line in lines) == 10
    assert "p50 50.0 s   p90 1 m 30 s   p95 1 m 35 s   p99 1 m 39 s" in lines
    assert lines[-1].startswith("within 50.0 s: 50.0 % (40.4 % to 59.6 %)")


def test_both_limits_must_hold_in_the_same_run() -> None:
    assert both_within([1.0, 3.0], [3.0, 1.0], 2.0, 2.0) == Odds(0, 2)


def test_bins_narrower_than_their_text_are_told_apart() -> None:
    values = [3600 + i / 1000 for i in range(100)]

    labels = [line.split()[0] for line in spread_lines("makespan", spread_of(values), 80, duration)[1:-1]]

    assert len(set(labels)) == len(labels) == 20


@pytest.mark.parametrize("values", [[5.0], [5.0, 5.0], [0.0]])
def test_a_sample_of_one_value_has_one_bin(values: list[float]) -> None:
    spread = spread_of(values, 5.0)

    assert spread.counts == (len(values),)
    assert spread.odds is not None
    assert spread.odds.share == 1
    assert spread_lines("cost", spread, 80, duration)


def test_runs_of_which_none_ended_have_no_histogram() -> None:
    lines = spread_lines("makespan", spread_of([math.inf, math.inf], 1.0), 80, duration)

    assert lines[0] == "makespan   2 runs, 2 without an end"
    assert lines[1].startswith("p50 never")


@pytest.mark.parametrize("values", [[], [math.nan]])
def test_a_sample_without_numbers_is_refused(values: list[float]) -> None:
    with pytest.raises(UsageError, match="at least one run"):
        spread_of(values)

"""The portfolio planner against the best static policy in hindsight, on common random numbers.

A cell is a random graph of eight tasks with a deadline and a budget. A static policy is one mode and one number of
samples for every task; the best of them is chosen knowing the very episodes of the cell. Episodes of the planner are
lived by the simulator, which is the live machine; those of static policies by the kernel, which gives the same to the
nanosecond and nano-USD (`tests/policies/test_portfolio_kernel.py`).
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import pairwise, product
from math import erf, sqrt
from multiprocessing import get_context
from typing import TYPE_CHECKING

from bench.measure import Figures
from bench.table_row import Row
from makespan.policies.portfolio.attempts import Draws
from makespan.policies.portfolio.events import Ended, simulate
from makespan.policies.portfolio.longest import makespans
from makespan.policies.portfolio.planner import PortfolioPlanner
from tests.policies.portfolio_worlds import Setting, Timed, World, random_needs, trade_offs

if TYPE_CHECKING:
    from makespan.policies.portfolio.attempts import Ints

GRAPHS, TASKS = 6, 8
EPISODES, QUICK_EPISODES = 200, 40
CALIBRATION = range(-200, 0)
"""Seeds, others than those that count, on which cells are checked to be neither hopeless nor safe."""
DEADLINES = (0.75, 1.0, 1.4)
"""In medians of the time that two samples of the first model for every task take."""
BUDGETS = (0.6, 0.9, 1.3)
"""In medians of what that costs."""
SAMPLES = (1, 2, 4, 8)
LEAST, MOST = 0.2, 0.95
"""Between these lies the best static policy's completion, or the cell is not compared."""
MONOTONE_GRAPHS = 2
"""Graphs of which the whole grid is played."""
WORKERS = 2
GAIN, LOSS = 0.02, 0.03
"""Wanted on average, and allowed in a cell."""
ROLLOUTS, ROLLOUT_TASKS = 10_000, 50
LIMITS_S = {"mcpp-grid": 3_600.0}


@dataclass(frozen=True)
class Cell:
    """One graph with its limits, relative to what the middle static policy needs."""

    graph: int
    deadline: float
    budget: float


@dataclass(frozen=True)
class Played:
    """Episodes of a cell: who completed, by seed."""

    cell: Cell
    planned: tuple[bool, ...]
    static: tuple[bool, ...]
    """The best static policy in hindsight."""
    name: str
    decision_s: float
    """Mean CPU time of a decision."""

    @property
    def gains(self) -> list[float]:
        return [float(mine) - float(theirs) for mine, theirs in zip(self.planned, self.static, strict=True)]


@dataclass(frozen=True)
class Statics:
    """A graph, and what its attempts draw in some episodes: the same for every limit."""

    world: World
    draws: tuple[Draws, ...]
    rests: Ints

    def ended(self, setting: Setting, place: int, samples: int) -> Ended:
        return simulate(self.draws[place], self.rests, World.rules_of(setting, place, samples))

    def done(self, setting: Setting) -> dict[str, tuple[bool, ...]]:
        """Who completed, by static policy."""
        return {
            f"{setting.models[place]} × {samples}": tuple(self.ended(setting, place, samples).is_done.tolist())
            for place, samples in product(range(len(setting.models)), SAMPLES)
        }


@cache
def graph_of(number: int) -> Setting:
    """A random graph with two or three models, without limits."""
    chance = random.Random(1_000 + number)
    models = ("small", "medium", "large")[: 2 + number % 2]
    return Setting(random_needs(chance, TASKS), trade_offs(chance, TASKS, models), retries=47, models=models)


@cache
def statics_of(number: int, seeds: range) -> Statics:
    world = World(graph_of(number))
    places = range(len(world.setting.models))
    return Statics(world, tuple(world.draws(seeds, place) for place in places), world.rests(seeds))


@cache
def scale_of(number: int) -> tuple[float, float]:
    """(nanoseconds, nano-USD): medians of two samples of the first model for every task."""
    ended = statics_of(number, CALIBRATION).ended(graph_of(number), 0, 2)
    return statistics.median(ended.makespan.tolist()), statistics.median(ended.cost.tolist())


def setting_of(cell: Cell) -> Setting:
    takes, cost = scale_of(cell.graph)
    return replace(graph_of(cell.graph), deadline_ns=round(cell.deadline * takes), budget=round(cell.budget * cost))


def is_compared(cell: Cell) -> bool:
    """Whether the cell is neither hopeless nor safe for the best static policy."""
    done = statics_of(cell.graph, CALIBRATION).done(setting_of(cell))
    return LEAST <= max(statistics.mean(each) for each in done.values()) <= MOST


def play(cell: Cell, seeds: range) -> Played:
    """All episodes of one cell."""
    setting = setting_of(cell)
    planner = Timed(PortfolioPlanner(setting.profile, samples=SAMPLES))
    world = World(setting)
    planned = tuple(world.run(seed, planner).succeeded for seed in seeds)
    done = statics_of(cell.graph, seeds).done(setting)
    name = max(done, key=lambda each: sum(done[each]))
    return Played(cell, planned, done[name], name, statistics.mean(planner.took_s))


def played(cells: Sequence[Cell], seeds: range) -> list[Played]:
    """The cells on some processes."""
    with ProcessPoolExecutor(WORKERS, get_context("spawn")) as workers:
        return list(workers.map(partial(play, seeds=seeds), cells))


# ---------------------------------------------------------------- figures


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """The mean and its standard error."""
    return statistics.mean(values), statistics.stdev(values) / sqrt(len(values))


def significantly_below(cells: Sequence[Played], bound: float, level: float = 0.05) -> list[Cell]:
    """Cells whose mean gain is below the bound: one-sided, by Holm's step-down over all of them."""
    chances = []
    for each in cells:
        mean, error = mean_and_error(each.gains)
        z = (mean - bound) / error if error else 10.0 if mean >= bound else -10.0
        chances.append(((1 + erf(z / sqrt(2))) / 2, each.cell))
    chances.sort(key=lambda chance: chance[0])
    found = []
    for place, (chance, cell) in enumerate(chances):
        if chance > level / (len(chances) - place):
            break
        found.append(cell)
    return found


def drops(cells: Mapping[Cell, Played]) -> tuple[int, int]:
    """(pairs of neighbours, how many of them complete less often with the greater limit, by more than 2 s.e.)."""
    pairs = [
        (lower, upper)
        for lower, upper in product(cells, cells)
        if lower.graph == upper.graph and (is_next(lower, upper, "deadline") or is_next(lower, upper, "budget"))
    ]
    fell = 0
    for lower, upper in pairs:
        both = zip(cells[upper].planned, cells[lower].planned, strict=True)
        mean, error = mean_and_error([float(more) - float(less) for more, less in both])
        fell += mean < -2 * error
    return len(pairs), fell


def is_next(lower: Cell, upper: Cell, what: str) -> bool:
    """Whether the second has the next greater limit of this kind, and the same of the other."""
    steps = {"deadline": DEADLINES, "budget": BUDGETS}[what]
    follow = dict(pairwise(steps))
    if follow.get(getattr(lower, what)) != getattr(upper, what):
        return False
    return all(getattr(lower, name) == getattr(upper, name) for name in ("graph", "deadline", "budget") if name != what)


def grid(quick: bool) -> Figures:
    """Completion of the planner against the best static policy in hindsight, cell by cell."""
    seeds = range(QUICK_EPISODES if quick else EPISODES)
    every = [Cell(*limits) for limits in product(range(GRAPHS), DEADLINES, BUDGETS)]
    compared = [cell for cell in every if is_compared(cell)]
    whole = [cell for cell in every if cell.graph < (1 if quick else MONOTONE_GRAPHS)]
    if quick:
        compared = compared[::4]
    found = {each.cell: each for each in played(list(dict.fromkeys(compared + whole)), seeds)}
    cells = [found[cell] for cell in compared]
    by_seed = [statistics.mean(each) for each in zip(*(cell.gains for cell in cells), strict=True)]
    mean, error = mean_and_error(by_seed)
    gains = [statistics.mean(cell.gains) for cell in cells]
    pairs, fell = drops({cell: found[cell] for cell in whole})
    return {
        "cells": len(cells),
        "episodes": len(seeds),
        "planned": statistics.mean(statistics.mean(each.planned) for each in cells),
        "static": statistics.mean(statistics.mean(each.static) for each in cells),
        "gain": mean,
        "error": error,
        "least": min(gains),
        "most": max(gains),
        "below": len(significantly_below(cells, -LOSS)),
        "pairs": pairs,
        "fell": fell,
        "decision_ms": 1e3 * statistics.mean(each.decision_s for each in cells),
    }


def speed(quick: bool) -> Figures:
    """CPU time of 10,000 rollouts of 50 tasks, and of a decision with 50 open tasks."""
    chance = random.Random(7)
    setting = Setting(
        random_needs(chance, ROLLOUT_TASKS), trade_offs(chance, ROLLOUT_TASKS, ("small", "large")), retries=47
    )
    world, planner = World(setting), PortfolioPlanner(setting.profile, samples=SAMPLES)
    rollouts_s = [rollouts(planner, setting, seed) for seed in range(5 if quick else 15)]
    free = world.run(0, planner)
    limits = replace(setting, deadline_ns=round(1.2 * free.makespan_ns), budget=round(1.5 * free.cost))
    timed = Timed(planner)
    for seed in range(2 if quick else 6):
        World(limits).run(seed, timed)
    decisions = [took for took, open_tasks in zip(timed.took_s, timed.open_tasks, strict=True) if open_tasks >= 40]
    return {
        "rollouts_s": statistics.median(rollouts_s),
        "decision_ms": 1e3 * statistics.median(decisions),
        "decision_p95_ms": 1e3 * sorted(decisions)[int(0.95 * len(decisions))],
        "decisions": len(decisions),
    }


def rollouts(planner: PortfolioPlanner, setting: Setting, seed: int) -> float:
    """CPU seconds of drawing every task's fate with two samples of the first model, and of testing both limits."""
    import numpy as np

    fates = planner.fates([(key, setting.models) for key in setting.keys])
    began = time.process_time()
    chance = np.random.Generator(np.random.Philox(key=seed))
    which = chance.integers(0, fates[0].whole_takes.shape[1], (len(fates), ROLLOUTS))
    takes = np.stack([each.whole_takes[1][row] for each, row in zip(fates, which, strict=True)])
    cost = sum(each.whole_cost[1][row] for each, row in zip(fates, which, strict=True))
    met = (makespans(takes, setting.needs) <= 3e11) & (cost <= 1e9)
    assert met.shape == (ROLLOUTS,)
    return time.process_time() - began


CASES: dict[str, Callable[[bool], Figures]] = {"mcpp-grid": grid, "mcpp-speed": speed}


def rows(results: Mapping[str, Figures]) -> Iterator[Row]:
    """The table."""
    if "mcpp-grid" in results:
        f = results["mcpp-grid"]
        shape = f"{f['cells']:.0f} cells × {f['episodes']:.0f} episodes"
        yield Row(
            f"MCPP, {shape}: completion over the best static policy in hindsight, mean over cells",
            f"gain >= {GAIN:+.2f}",
            f"{f['static']:.3f}",
            f"{f['planned']:.3f}",
            f"{f['gain']:+.3f} (95 % {f['gain'] - 1.96 * f['error']:+.3f} to {f['gain'] + 1.96 * f['error']:+.3f})",
            f["gain"] >= GAIN,
        )
        yield Row(
            f"MCPP, cells significantly below -{LOSS} (Holm); gains of the cells",
            "0",
            "",
            f"{f['below']:.0f}",
            f"{f['least']:+.3f} to {f['most']:+.3f}",
            f["below"] == 0,
        )
        yield Row(
            f"MCPP, neighbours in the grid ({f['pairs']:.0f}) that fall by more than 2 s.e. as a limit grows",
            "0",
            "",
            f"{f['fell']:.0f}",
            "",
            f["fell"] == 0,
        )
    if "mcpp-speed" in results:
        f = results["mcpp-speed"]
        yield Row(
            f"MCPP, {ROLLOUTS:,} rollouts × {ROLLOUT_TASKS} tasks, CPU",
            "<= 0.2 s",
            "",
            f"{f['rollouts_s']:.3f} s",
            "",
            f["rollouts_s"] <= 0.2,
        )
        yield Row(
            f"MCPP, decision with 40 to 50 open tasks, CPU, median of {f['decisions']:.0f} (p95 beside)",
            "<= 20 ms",
            "",
            f"{f['decision_ms']:.1f} ms",
            f"{f['decision_p95_ms']:.1f} ms",
            f["decision_ms"] <= 20,
        )

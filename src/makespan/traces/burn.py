"""Money over a run's time: what is spent, what is reserved on top of it, and the budget over both, at every change.

    budget    ──────────────┐________     a resume may raise it
    reserved        ╱▔▔╲╱▔▔╲              worst cases of the attempts in flight
    committed  ______╱▔▔▔▔▔╱▔▔            bills; waste is the part that nobody needed any more

The invariant is the machine's: committed + reserved <= budget at every point, where providers keep to their prices.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from makespan.machine.facts import Fact, LateResult
from makespan.machine.state import State
from makespan.traces.text import duration, money, percent

BLOCKS = "▁▂▃▄▅▆▇█"
TABLE_ROWS = 8
MIN_WIDTH = 24


class BurnPoint(msgspec.Struct, frozen=True):
    """How the money of a scope stands from `at` on: nanoseconds since the run's start, nano-USD."""

    at: int
    committed: int
    reserved: int
    budget: int | None = None
    waste: int = 0
    """Of what is committed: billed to attempts that nobody needed any more."""

    @property
    def used(self) -> int:
        """What no other attempt can have: spent, or promised."""
        return self.committed + self.reserved


def burn_of(facts: Iterable[Fact], state: State, scope: int = 0) -> list[BurnPoint]:
    """A point for every fact that changed a figure, in order; facts of one moment make one point.

    Args:
        facts: all of a run. state: empty before, the run's state after.
        scope: its number. One without a budget of its own has no figures of its own: its money is its parent's.
    Cost: O(1) a fact.
    """
    points: list[BurnPoint] = []
    waste = 0
    for fact in facts:
        state.apply(fact)
        if len(state.scopes) <= scope:
            continue
        if type(fact) is LateResult and scope in state.scopes[state.tasks[fact.task].spec.scope].budgeted:
            waste += fact.cost
        one = state.scopes[scope]
        last = points[-1] if points else None
        if last is None or (last.committed, last.reserved, last.budget) != (one.committed, one.reserved, one.budget):
            at = max(getattr(fact, "at", state.at), last.at if last else one.opened_at)
            if last is not None and last.at == at:
                points.pop()
            points.append(BurnPoint(at, one.committed, one.reserved, one.budget, waste))
    return points


def projected(points: Sequence[BurnPoint], until_ns: int, now_ns: int) -> int:
    """What will be spent at a moment if the run goes on at its average pace so far: nano-USD."""
    if not points:
        return 0
    first, last = points[0].at, points[-1].committed
    passed = now_ns - first
    if passed <= 0 or until_ns <= now_ns:
        return last
    return last + round(last * (until_ns - now_ns) / passed)


def runs_out_at(points: Sequence[BurnPoint], now_ns: int) -> int | None:
    """When the budget is gone at the average pace so far, nanoseconds; None without a budget or without spending."""
    if not points or points[-1].budget is None or not points[-1].committed:
        return None
    first, last = points[0].at, points[-1]
    left = (points[-1].budget or 0) - last.committed
    return now_ns + round(left * (now_ns - first) / last.committed)


def burn_lines(
    points: Sequence[BurnPoint], width: int, now_ns: int, *, deadline_ns: int | None = None, is_final: bool = True
) -> list[str]:
    """A sparkline of each figure, a table of moments, and where the pace leads while the run is not final.

    Args:
        width: columns. now_ns: the run's end, or how far it is. deadline_ns: since the run's start.
    """
    if not points:
        return ["no money was counted"]
    if not any(point.used or point.budget is not None for point in points):
        return ["spent nothing, reserved nothing (no budget)"]
    return [
        *_sparks(points, width, now_ns),
        "",
        *_table(points, now_ns),
        "",
        *_totals(points),
        *([] if is_final else _outlook(points, now_ns, deadline_ns)),
    ]


def at_moment(points: Sequence[BurnPoint], at: int) -> BurnPoint:
    """The figures as they stood at a moment; before the first change, the first."""
    return points[max(0, bisect_right(points, at, key=lambda point: point.at) - 1)]


def _sparks(points: Sequence[BurnPoint], width: int, now_ns: int) -> Iterator[str]:
    chart = max(MIN_WIDTH, width - 26)
    start = points[0].at
    span = max(now_ns - start, 1)
    shown = [_most(points, start + span * i // chart, start + span * (i + 1) // chart) for i in range(chart)]
    top = max(max(point.budget or 0 for point in points), max(point.used for point in points), 1)
    last = points[-1]
    yield f"{'spent':<10} {_spark([point.committed for point in shown], top)} {money(last.committed / 1e9):>12}"
    yield f"{'+ reserved':<10} {_spark([point.used for point in shown], top)} {money(last.used / 1e9):>12}"
    left, right = duration(start / 1e9), duration(now_ns / 1e9)
    yield f"{'':<10} {left}{right:>{chart - len(left)}} {'full: ' + money(top / 1e9):>12}"


def _most(points: Sequence[BurnPoint], start: int, end: int) -> BurnPoint:
    """Where the most was used in [start, end): a peak must not fall between two columns."""
    first = max(0, bisect_right(points, start, key=lambda point: point.at) - 1)
    last = max(first + 1, bisect_right(points, end - 1, key=lambda point: point.at))
    return max(points[first:last], key=lambda point: point.used)


def _spark(figures: Sequence[int], top: int) -> str:
    return "".join(" " if not figure else BLOCKS[min(7, figure * 8 // top)] for figure in figures)


def _table(points: Sequence[BurnPoint], now_ns: int) -> Iterator[str]:
    yield f"{'at':>10} {'spent':>12} {'reserved':>12} {'left':>12} {'waste':>12}"
    start = points[0].at
    moments = [start + (now_ns - start) * i // TABLE_ROWS for i in range(TABLE_ROWS + 1)]
    for moment in dict.fromkeys(moments):
        point = at_moment(points, moment)
        left = "-" if point.budget is None else money((point.budget - point.used) / 1e9)
        figures = [money(figure / 1e9) for figure in (point.committed, point.reserved)]
        yield (
            f"{duration(moment / 1e9):>10} {figures[0]:>12} {figures[1]:>12} {left:>12} {money(point.waste / 1e9):>12}"
        )


def _totals(points: Sequence[BurnPoint]) -> Iterator[str]:
    last, peak = points[-1], max(points, key=lambda point: point.used)
    of = "no budget" if not last.budget else f"{percent(last.committed / last.budget)} of {money(last.budget / 1e9)}"
    waste = f", of it waste {money(last.waste / 1e9)}" if last.waste else ""
    yield f"spent {money(last.committed / 1e9)} ({of}){waste}"
    yield f"spent and reserved at most {money(peak.used / 1e9)}, at {duration(peak.at / 1e9)}"


def _outlook(points: Sequence[BurnPoint], now_ns: int, deadline_ns: int | None) -> Iterator[str]:
    out = runs_out_at(points, now_ns)
    if out is not None:
        yield f"at this pace the budget lasts until {duration(out / 1e9)}"
    if deadline_ns is not None and deadline_ns > now_ns:
        then = money(projected(points, deadline_ns, now_ns) / 1e9)
        yield f"at this pace {then} will be spent at the deadline ({duration(deadline_ns / 1e9)})"

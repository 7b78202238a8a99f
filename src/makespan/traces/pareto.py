"""Ways to do the same, by latency, cost and success: the front is those that nobody beats in all three.

cost │ ○ ·  ·            ● on the front, ★ chosen
     │  ●    ·  ·        · something is as good in everything and better in one
     │    ★──●     ·
     └──────────── latency
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

import msgspec

from makespan.traces.text import duration, fitted, money, one_line, percent

MOST_ROWS = 40
LABEL_WIDTH = 44


class ParetoPoint(msgspec.Struct, frozen=True):
    """One configuration, or one setting, with what it comes to. Less latency and cost and more success are better."""

    label: str
    latency_s: float
    cost_usd: float
    success: float = 1.0
    """Probability, 0 to 1."""
    chosen: bool = False


def front(choices: Sequence[ParetoPoint]) -> list[int]:
    """Places of the choices that nobody beats, by latency; of equal ones the first. Cost: O(n log n + n x front).

    In order of latency one is beaten exactly when somebody before it costs no more and succeeds no less: a staircase
    of costs with rising success says so by one look.
    Source: Kung, Luccio and Preparata, "On finding the maxima of a set of vectors" (1975).
    """
    order = sorted(range(len(choices)), key=lambda i: _goodness(choices[i]))
    costs: list[float] = []
    successes: list[float] = []
    kept: list[int] = []
    for place in order:
        one = choices[place]
        below = bisect_right(costs, one.cost_usd)
        if below and successes[below - 1] >= one.success:
            continue
        kept.append(place)
        start = bisect_left(costs, one.cost_usd)
        end = bisect_right(successes, one.success, lo=start)
        costs[start:end], successes[start:end] = [one.cost_usd], [one.success]
    return kept


def _goodness(choice: ParetoPoint) -> tuple[float, float, float]:
    return choice.latency_s, choice.cost_usd, -choice.success


def pareto_lines(choices: Sequence[ParetoPoint], *, rows: int = MOST_ROWS) -> list[str]:
    """A table of the front by latency, with what was chosen; those that are beaten are counted."""
    if not choices:
        return ["there is nothing to choose from"]
    best = front(choices)
    on_front = set(best)
    chosen = [place for place, choice in enumerate(choices) if choice.chosen]
    wanted = sorted({*best, *chosen}, key=lambda place: (*_goodness(choices[place]), place))
    shown = _spread_out(wanted, rows, set(chosen))
    width = max(len("label"), *(min(LABEL_WIDTH, len(one_line(choices[place].label, 200))) for place in shown))
    lines = [f"  {'label':<{width}} {'latency':>10} {'cost':>12} {'success':>9}"]
    for place in shown:
        one = choices[place]
        sign = "★" if one.chosen else "●"
        name = fitted(one_line(one.label, 200), width)
        beaten = "" if place in on_front else "  not on the front"
        figures = f"{duration(one.latency_s):>10} {money(one.cost_usd):>12} {percent(one.success):>9}"
        lines.append(f"{sign} {name:<{width}} {figures}{beaten}")
    if len(shown) < len(wanted):
        lines.append(f"… {len(wanted) - len(shown)} more on the front are not shown")
    legend = f"{len(best)} of {len(choices)} on the front (●)"
    lines.append(f"{legend}, ★ chosen" if chosen else legend)
    return lines


def _spread_out(places: Sequence[int], rows: int, always: set[int]) -> list[int]:
    """So many of them at even distances, the ends and those in `always` included."""
    if len(places) <= rows:
        return list(places)
    picked = {places[round(i * (len(places) - 1) / max(1, rows - 1))] for i in range(rows)} | always
    return [place for place in places if place in picked]

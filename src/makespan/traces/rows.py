"""What a Gantt chart shows: one row a task, with its attempts as bars in lanes and what was planned for it.

    ask        lane 0  ▇▇▇▇▇▇▇▇▇▇        attempts in flight at once lie beside each other, retries on one lane
               lane 1     ╱╱╱╱╱╱╱        lost: another attempt of the task won
    planned    ╌╌╌╌╌╌╌╌╌╌                from a simulation, a schedule or an earlier run

Rows of many tasks fold into one row a name, its bars packed into as few lanes as they need.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from heapq import heappop, heappush

import msgspec

from makespan.traces.spans import Span

ID_CHARS = 12
"""Of a task's id in hexadecimal: what a span calls its task."""
OTHERS = "other tasks"
MOST_ROWS = 60

Plan = Mapping[str, tuple[int, int]]
"""Task id (hexadecimal, whole or its first 12 characters) → planned start and end, ns since the run's start."""


class Bar(msgspec.Struct, frozen=True):
    """One attempt on its row. Times in seconds since the run's start."""

    start_s: float
    end_s: float
    status: str = "succeeded"
    attempt: int = 1
    mode: str = ""
    critical: bool = False
    lane: int = 0

    @property
    def is_lost(self) -> bool:
        """Whether another attempt of its task won: it is paid for, and waste."""
        return self.status == "lost"

    @property
    def is_bad(self) -> bool:
        """Whether it gave no result, and no other attempt had given it before."""
        return self.status not in ("succeeded", "cached", "running", "lost")


class Row(msgspec.Struct, frozen=True):
    """One task, or several of one name."""

    task: str
    title: str
    bars: tuple[Bar, ...] = ()
    lanes: int = 1
    planned: tuple[float, float] | None = None
    """Start and end in seconds; of several tasks the first start and the last end."""
    critical: bool = False
    kind: str = "call"
    tasks: int = 1

    @property
    def start_s(self) -> float:
        """Of what there is: the first attempt, else the plan."""
        return min((bar.start_s for bar in self.bars), default=self.planned[0] if self.planned else 0.0)

    @property
    def end_s(self) -> float:
        """Of the last attempt, else of the plan."""
        return max((bar.end_s for bar in self.bars), default=self.planned[1] if self.planned else 0.0)

    @property
    def late_s(self) -> float | None:
        """How much later than planned it ended; None for what was not planned or has not begun."""
        return self.end_s - self.planned[1] if self.planned and self.bars else None


def plan_of(spans: Iterable[Span]) -> dict[str, tuple[int, int]]:
    """The tasks of a run, real or simulated, as the plan of another: from the first attempt's start to the last end."""
    plan: dict[str, tuple[int, int]] = {}
    for span in spans:
        if span.end_s is None or span.status == "lost":
            continue
        start, end = round(span.start_s * 1e9), round(span.end_s * 1e9)
        before = plan.get(span.task)
        plan[span.task] = (start, end) if before is None else (min(start, before[0]), max(end, before[1]))
    return plan


def rows_of(
    spans: Sequence[Span],
    now_s: float,
    *,
    plan: Plan | None = None,
    names: Mapping[str, str] | None = None,
    critical: Collection[str] = (),
) -> list[Row]:
    """One row a task in order of start: those that began, and those that are only planned.

    Args:
        now_s: where the bars of running attempts end for now.
        plan: may name tasks without spans, and without any span it is shown alone (a static schedule).
        names: id → title for planned tasks that have no span; the id stands in where there is none.
        critical: ids of tasks to mark as critical, besides those whose spans are.
    Cost: O(n log n).
    """
    planned = {task[:ID_CHARS]: (start / 1e9, end / 1e9) for task, (start, end) in (plan or {}).items()}
    titles = {task[:ID_CHARS]: name for task, name in (names or {}).items()}
    marked = {task[:ID_CHARS] for task in critical}
    by_task: dict[str, list[Span]] = {}
    for span in spans:
        by_task.setdefault(span.task, []).append(span)
    rows = [_row(task, mine, now_s, planned.pop(task, None), task in marked) for task, mine in by_task.items()]
    for task, times in planned.items():
        rows.append(Row(task, titles.get(task, task), planned=times, critical=task in marked))
    return sorted(rows, key=lambda row: (row.start_s, row.end_s))


def collapse(rows: Sequence[Row], most: int = MOST_ROWS) -> list[Row]:
    """At most so many rows: the critical and the longest stay, the rest fold into one row a name.

    Where there are too many names as well, the names with the least work fold into `other tasks`. No bar is left out.
    """
    if len(rows) <= most:
        return list(rows)
    ranked = sorted(rows, key=lambda row: (not row.critical, row.start_s - row.end_s))
    stay = _how_many_stay(ranked, most)
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in ranked[stay:]:
        groups.setdefault((row.kind, row.title), []).append(row)
    folded = sorted(groups.values(), key=lambda group: -sum(row.end_s - row.start_s for row in group))
    room = most - stay
    if len(folded) > room:
        folded = [*folded[: room - 1], [row for group in folded[room - 1 :] for row in group]]
    kept = [*ranked[:stay], *map(_together, folded)]
    return sorted(kept, key=lambda row: (row.start_s, row.end_s))


def _how_many_stay(ranked: Sequence[Row], most: int) -> int:
    """As many as leave room for a row for each name of the others; half the rows for the critical in any case."""
    names: set[tuple[str, str]] = set()
    rest = [0] * (len(ranked) + 1)
    for place in range(len(ranked) - 1, -1, -1):
        names.add((ranked[place].kind, ranked[place].title))
        rest[place] = len(names)
    fits = max((count for count in range(most) if count + rest[count] <= most), default=0)
    return max(fits, min(most // 2, sum(row.critical for row in ranked)))


def _together(group: Sequence[Row]) -> Row:
    if len(group) == 1:
        return group[0]
    bars, lanes = packed(bar for row in group for bar in row.bars)
    planned = [row.planned for row in group if row.planned]
    title = group[0].title if len({row.title for row in group}) == 1 else OTHERS
    return Row(
        "",
        title,
        bars,
        lanes,
        (min(start for start, _ in planned), max(end for _, end in planned)) if planned else None,
        any(row.critical for row in group),
        group[0].kind if len({row.kind for row in group}) == 1 else "call",
        sum(row.tasks for row in group),
    )


def packed(bars: Iterable[Bar]) -> tuple[tuple[Bar, ...], int]:
    """The bars in as few lanes as they need, and how many those are. Cost: O(n log n).

    By start, each on the first lane that is free: there are as many lanes as bars at one moment at most.
    """
    placed: list[Bar] = []
    busy: list[tuple[float, int]] = []
    free: list[int] = []
    lanes = 0
    for bar in sorted(bars, key=lambda bar: (bar.start_s, bar.end_s)):
        while busy and busy[0][0] <= bar.start_s:
            heappush(free, heappop(busy)[1])
        if not free:
            heappush(free, lanes)
            lanes += 1
        lane = heappop(free)
        heappush(busy, (bar.end_s, lane))
        placed.append(msgspec.structs.replace(bar, lane=lane))
    return tuple(placed), max(1, lanes)


def _row(task: str, spans: Sequence[Span], now_s: float, planned: tuple[float, float] | None, marked: bool) -> Row:
    """Attempts one after the other share a lane; those at the same time have one each."""
    critical = marked or any(span.critical for span in spans)
    bars, lanes = packed(
        Bar(
            span.start_s,
            max(now_s, span.start_s) if span.end_s is None else span.end_s,
            span.status,
            span.attempt,
            span.mode,
            span.critical or (marked and span is spans[-1]),
        )
        for span in spans
    )
    first = spans[0]
    title = f"{first.scope}/{first.name}" if first.scope else first.name
    return Row(task, title, bars, lanes, planned, critical, first.kind)

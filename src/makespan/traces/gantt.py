"""A Gantt chart of text, in a given width: what ran when, beside what was planned.

study     ──────────────────┊         1.800 s          a workflow around its tasks
plan      ▇▇▇▇              ┊         0.400 s*  +0.100  * and ▇: on the critical path; it ended 0.1 s late
          ╌╌╌                         0.300 s          as it was planned
search ×2     ░▒▓▓▒░        ┊         1.010 s          many tasks of a name: the darker, the more at once
ask             ▇▇▇▇▇▇▇     ┊         0.700 s*         ┊ the deadline
 ∥ #2 · small    ╱╱╱╱╱╱     ┊         0.600 s          an attempt beside the first, in mode small: it lost, waste
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from makespan.traces.rows import MOST_ROWS, Bar, Plan, Row, collapse, rows_of
from makespan.traces.spans import Span
from makespan.traces.text import fitted, one_line

CRITICAL, OTHER, AROUND, BAD, LOST, PLANNED, DEADLINE = "▇", "░", "─", "✗", "╱", "╌", "┊"
SHADES = "░▒▓"
NAME_WIDTH = 28
MIN_CHART = 10
FIGURES = 14
"""Columns on the right of the bars: the length and its mark."""
LATE = 10
"""Columns for how late a task ended, where there is a plan."""
MOST_LANES = 6
"""More attempts of one task at once are shown as shades, like many tasks."""


def gantt(
    spans: Sequence[Span],
    width: int,
    now_s: float,
    rows: int = MOST_ROWS,
    *,
    plan: Plan | None = None,
    names: Mapping[str, str] | None = None,
    critical: Collection[str] = (),
    deadline_s: float | None = None,
) -> list[str]:
    """Lines of at most `width` columns, in order of start; see `rows_of` for `plan`, `names` and `critical`.

    Args:
        rows: beyond so many tasks, those that are short and not critical fold into one row a name.
        deadline_s: since the run's start.
    """
    return lines_of(rows_of(spans, now_s, plan=plan, names=names, critical=critical), width, rows, deadline_s)


def lines_of(rows: Sequence[Row], width: int, most: int = MOST_ROWS, deadline_s: float | None = None) -> list[str]:
    """The chart of rows that are at hand."""
    if not rows:
        return ["no attempt was started"]
    shown = collapse(rows, most)
    has_plan = any(row.planned for row in rows)
    return [*_Chart(shown, width, has_plan, deadline_s).lines()]


class _Chart:
    """Rows on one scale of columns."""

    def __init__(self, rows: Sequence[Row], width: int, has_plan: bool, deadline_s: float | None) -> None:
        self.rows, self.has_plan, self.deadline_s = rows, has_plan, deadline_s
        self.start_s = min(min(row.start_s, row.planned[0] if row.planned else row.start_s) for row in rows)
        self.end_s = max(max(row.end_s, row.planned[1] if row.planned else row.end_s) for row in rows)
        self.names = min(NAME_WIDTH, max(len(title) for row in rows for title in _titles(row)))
        self.columns = max(MIN_CHART, width - self.names - FIGURES - (LATE if has_plan else 0))
        self.scale = self.columns / max(self.end_s - self.start_s, 1e-9)

    def lines(self) -> Iterator[str]:
        for row in self.rows:
            yield from self._many(row) if row.tasks > 1 or row.lanes > MOST_LANES else self._one(row)
            if row.planned and row.bars:
                yield self._line("", self._planned(row), row.planned[1] - row.planned[0])
        yield f"{self._legend():<{self.names + self.columns + 1}} {self.end_s - self.start_s:9.3f} s"
        late = self._deadline()
        if late:
            yield late

    def _one(self, row: Row) -> Iterator[str]:
        if not row.bars and row.planned:
            yield self._line(_titles(row)[0], self._planned(row), row.planned[1] - row.planned[0], row.critical)
            return
        for lane in range(row.lanes):
            bars = [bar for bar in row.bars if bar.lane == lane]
            drawn = [" "] * self.columns
            for bar in bars:
                self._draw(drawn, bar, row.kind)
            length_s = sum(bar.end_s - bar.start_s for bar in bars)
            critical = any(bar.critical for bar in bars)
            late_s = row.late_s if lane == 0 else None
            yield self._line(_titles(row)[lane], drawn, length_s, critical, late_s)

    def _many(self, row: Row) -> Iterator[str]:
        """As many lanes as there are would fill the screen: shades say how many run at once."""
        if not row.bars and row.planned:
            yield self._line(_titles(row)[0], self._planned(row), row.planned[1] - row.planned[0], row.critical)
            return
        load, drawn = [0] * self.columns, [" "] * self.columns
        for bar in row.bars:
            left, size = self._place(bar.start_s, bar.end_s)
            for column in range(left, left + size):
                load[column] += 1
        most = max(load)
        for column, count in enumerate(load):
            drawn[column] = SHADES[(count * len(SHADES) - 1) // most] if count else " "
        for bar in row.bars:
            if bar.critical:
                self._draw(drawn, bar, row.kind)
        yield self._line(_titles(row)[0], drawn, row.end_s - row.start_s, row.critical, row.late_s)

    def _draw(self, drawn: list[str], bar: Bar, kind: str) -> None:
        left, size = self._place(bar.start_s, bar.end_s)
        sign = LOST if bar.is_lost else AROUND if kind == "workflow" else CRITICAL if bar.critical else OTHER
        drawn[left : left + size] = sign * size
        if bar.is_bad:
            drawn[left + size - 1] = BAD

    def _planned(self, row: Row) -> list[str]:
        assert row.planned is not None
        drawn = [" "] * self.columns
        left, size = self._place(*row.planned)
        drawn[left : left + size] = PLANNED * size
        return drawn

    def _place(self, start_s: float, end_s: float) -> tuple[int, int]:
        """First column and number of columns; at least one, within the chart."""
        left = min(self.columns - 1, int((start_s - self.start_s) * self.scale))
        return left, max(1, min(self.columns - left, round((end_s - start_s) * self.scale)))

    def _line(
        self, title: str, drawn: Sequence[str], length_s: float, critical: bool = False, late_s: float | None = None
    ) -> str:
        drawn = list(drawn)
        if self.deadline_s is not None and self.start_s <= self.deadline_s < self.end_s:
            column = min(self.columns - 1, int((self.deadline_s - self.start_s) * self.scale))
            drawn[column] = DEADLINE if drawn[column] == " " else drawn[column]
        late = "" if late_s is None else f" {late_s:+9.3f}"
        mark = "*" if critical else " "
        return f"{fitted(title, self.names):<{self.names}} {''.join(drawn)} {length_s:9.3f} s{mark}{late}".rstrip()

    def _legend(self) -> str:
        parts = ["* critical path"]
        if any(bar.is_lost for row in self.rows for bar in row.bars):
            parts.append(f"{LOST} lost to another attempt")
        if self.has_plan:
            has_run = any(row.bars for row in self.rows)
            parts.append(f"{PLANNED} planned, last column: s late" if has_run else f"{PLANNED} planned")
        text, room = "   ".join(parts), self.names + self.columns
        return text if len(text) <= room else text[: room - 1] + "…"

    def _deadline(self) -> str:
        if self.deadline_s is None:
            return ""
        ended_s = max((row.end_s for row in self.rows if row.bars), default=self.end_s)
        spare = self.deadline_s - ended_s
        verdict = f"{spare:.3f} s to spare" if spare >= 0 else f"passed by {-spare:.3f} s"
        return f"{DEADLINE} deadline {self.deadline_s:.3f} s, {verdict}"


def _titles(row: Row) -> list[str]:
    """A title a line: the task's, then those of the attempts beside its first."""
    title = one_line(row.title, 80)
    if row.tasks > 1:
        return [f"{title} ×{row.tasks}"]
    if row.lanes > MOST_LANES:
        return [f"{title} ∥{row.lanes}"]
    titles = []
    for lane in range(row.lanes):
        bars = [bar for bar in row.bars if bar.lane == lane]
        mode = f" · {one_line(bars[-1].mode, 40)}" if bars and bars[-1].mode else ""
        tries = f" #{bars[-1].attempt}" if bars and bars[-1].attempt > 1 else ""
        titles.append(f"{' ∥' if lane else title}{tries}{mode}")
    return titles

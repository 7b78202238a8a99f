"""Rows of attempts and plans, and the chart of text that they make."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from makespan.machine.state import State
from makespan.traces.gantt import gantt
from makespan.traces.rows import Bar, Row, collapse, packed, plan_of, rows_of
from makespan.traces.spans import Span, spans_of
from tests.traces.histories import crashed, diamond, hedged, retried

SECOND = 1_000_000_000


def span(task: str, name: str, start_s: float, end_s: float, *, critical: bool = False) -> Span:
    return Span(task, name, name, "", "call", 1, start_s, end_s, "succeeded", critical=critical)


def many(count: int, names: int) -> list[Span]:
    return [span(f"t{i}", f"n{i % names}", float(i), i + (5.0 if i == 7 else 0.1)) for i in range(count)]


def test_the_chart_is_to_scale_and_marks_the_critical_path() -> None:
    lines = gantt(spans_of(diamond(), State()), 80, 6.0)

    bars = [line.count("▇") + line.count("░") for line in lines[:4]]
    assert bars[0] == bars[1] * 2 == bars[3] * 2
    assert abs(bars[2] - bars[1] * 3) <= 1
    assert [line.endswith("*") for line in lines[:4]] == [True, False, True, True]
    assert all(len(line) <= 80 for line in lines)


def test_attempts_one_after_the_other_are_on_one_line_with_the_failed_one_marked() -> None:
    lines = gantt(spans_of(retried(), State()), 80, 4.0)

    assert lines[0].startswith("search #2 ")
    assert "░✗ " in lines[0]
    assert "▇▇" in lines[0]
    assert lines[0].endswith("3.000 s*")


def test_attempts_beside_each_other_have_a_line_each_and_the_loser_is_hatched() -> None:
    first, second, legend = gantt(spans_of(hedged(), State()), 80, 5.0)

    assert first.startswith("search · large")
    assert "╱╱╱" in first
    assert not first.endswith("*")
    assert second.startswith(" ∥ #2 · small")
    assert "▇▇▇" in second
    assert second.endswith("3.000 s*")
    assert "╱ lost to another attempt" in legend


def test_the_plan_lies_below_the_bar_with_how_late_the_task_ended() -> None:
    spans = spans_of(diamond(), State())
    plan = {task: (start, end - SECOND // 2) for task, (start, end) in plan_of(spans).items()}

    lines = gantt(spans, 100, 6.0, plan=plan)

    assert len(lines) == 2 * 4 + 1
    assert [line.split()[-1] for line in lines[0:8:2]] == ["+0.500"] * 4
    for actual, planned in zip(lines[0:8:2], lines[1:8:2], strict=True):
        assert 0 < planned.count("╌") < actual.count("▇") + actual.count("░")


def test_a_plan_without_a_run_is_a_chart_too() -> None:
    plan = {"ab" * 16: (0, 2 * SECOND), "cd" * 16: (2 * SECOND, 3 * SECOND)}

    first, second, _ = gantt([], 80, 0.0, plan=plan, names={"ab" * 16: "fetch"}, critical=["cd" * 16])

    assert first.startswith("fetch")
    assert second.startswith("cd" * 6)
    assert second.endswith("1.000 s*")
    assert first.count("╌") == pytest.approx(2 * second.count("╌"), abs=1)


@pytest.mark.parametrize(("deadline_s", "verdict"), [(7.5, "1.500 s to spare"), (4.0, "passed by 2.000 s")])
def test_the_deadline_is_a_line_across_the_chart_with_what_was_left(deadline_s: float, verdict: str) -> None:
    lines = gantt(spans_of(diamond(), State()), 80, 6.0, deadline_s=deadline_s)

    assert lines[-1] == f"┊ deadline {deadline_s:.3f} s, {verdict}"
    assert any("┊" in line for line in lines[:4]) == (deadline_s < 6)


def test_many_tasks_fold_into_one_row_a_name_while_the_critical_and_the_longest_stay() -> None:
    spans = many(200, 5)
    spans[100].critical = True

    lines = gantt(spans, 80, 200.0, rows=20)

    assert len(lines) == 21
    assert sum("×" in line for line in lines) == 5
    assert sum("▇" in line for line in lines) == 1
    assert any(line.startswith("n2 ") and "5.000 s" in line for line in lines)


def test_too_many_names_fold_into_other_tasks() -> None:
    lines = gantt(many(200, 200), 80, 200.0, rows=20)

    assert len(lines) == 21
    assert sum(line.startswith("other tasks ×181") for line in lines) == 1


@pytest.mark.parametrize("seed", range(20))
def test_folding_rows_leaves_no_bar_out_and_lays_none_over_another(seed: int) -> None:
    chance = random.Random(seed)
    spans = [
        span(f"t{chance.randrange(150)}", f"n{chance.randrange(30)}", at := chance.random() * 50, at + chance.random())
        for _ in range(300)
    ]
    for one in spans:
        one.critical = chance.random() < 0.1
    rows = rows_of(spans, 60.0)

    folded = collapse(rows, 40)

    assert len(folded) <= 40
    assert sum(row.tasks for row in folded) == len(rows)
    assert times(folded) == times(rows) == sorted((one.start_s, one.end_s) for one in spans)
    for row in folded:
        assert {bar.lane for bar in row.bars} == set(range(row.lanes))
        for lane in range(row.lanes):
            bars = [bar for bar in row.bars if bar.lane == lane]
            assert all(one.end_s <= after.start_s for one, after in pairwise(bars))


def times(rows: list[Row]) -> list[tuple[float, float]]:
    return sorted((bar.start_s, bar.end_s) for row in rows for bar in row.bars)


@pytest.mark.parametrize("seed", range(20))
def test_there_are_as_many_lanes_as_bars_at_one_moment(seed: int) -> None:
    chance = random.Random(seed)
    bars = [Bar(at := chance.randrange(40), at + chance.randint(1, 9)) for _ in range(60)]

    _, lanes = packed(bars)

    assert lanes == max(sum(bar.start_s <= at < bar.end_s for bar in bars) for at in range(50))


def test_the_plan_of_a_run_spans_all_attempts_of_a_task_but_those_that_lost() -> None:
    assert list(plan_of(spans_of(retried(), State())).values()) == [(0, 4 * SECOND)]
    assert list(plan_of(spans_of(hedged(), State())).values()) == [(2 * SECOND, 5 * SECOND)]
    assert plan_of(spans_of(crashed(), State()))["01" * 6] == (0, 102 * SECOND)


def test_names_cannot_write_on_the_terminal() -> None:
    lines = gantt([span("t", "\x1b[31mred\nline", 0.0, 1.0)], 80, 1.0)

    assert lines[0].startswith("red line ")
    assert len(lines) == 2


def test_hundreds_of_attempts_of_one_task_are_shades_not_lines() -> None:
    spans = [span("t", "ask", 0.0, 1.0 + i / 100) for i in range(64)]

    lines = gantt(spans, 80, 2.0)

    assert len(lines) == 2
    assert lines[0].startswith("ask ∥64")
    assert "▓" in lines[0]


def test_a_run_without_attempts_has_an_empty_chart() -> None:
    assert gantt([], 80, 0.0) == ["no attempt was started"]

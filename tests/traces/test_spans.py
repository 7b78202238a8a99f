"""One span an attempt; the critical path; charts of both."""

from __future__ import annotations

from makespan.machine.state import State
from makespan.traces.gantt import gantt
from makespan.traces.spans import Span, spans_of
from tests.traces.histories import crashed, diamond, nested, retried


def test_every_attempt_is_a_span_with_its_end_and_cost() -> None:
    spans = spans_of(retried(), State())

    assert [(s.attempt, s.start_s, s.end_s, s.status, s.cost_usd, s.error) for s in spans] == [
        (1, 0.0, 1.0, "failed", 0.002, "ValueError: no"),
        (2, 2.0, 4.0, "succeeded", 0.003, ""),
    ]


def test_the_critical_path_is_the_longest_chain_of_waits() -> None:
    spans = spans_of(diamond(), State())

    assert [(s.key, s.start_s, s.critical) for s in spans] == [
        ("plan", 0.0, True),
        ("search", 2.0, False),
        ("search", 2.0, True),
        ("plan", 5.0, True),
    ]


def test_an_attempt_cut_by_a_crash_ends_where_its_process_was_last_heard_of() -> None:
    spans = spans_of(crashed(), State())

    assert [(s.start_s, s.end_s, s.status) for s in spans] == [
        (0.0, 1.0, "interrupted"),
        (0.0, 1.0, "succeeded"),
        (100.0, 102.0, "failed"),
    ]


def test_spans_name_their_scope_and_what_still_runs_has_no_end() -> None:
    spans = spans_of(nested(2), State())

    assert [(s.scope, s.name, s.status) for s in spans] == [
        ("", "inner", "running"),
        ("inner", "search", "failed"),
        ("inner", "search", "running"),
    ]
    assert spans[2].end_s is None


def test_the_chart_is_to_scale_and_marks_the_critical_path() -> None:
    lines = gantt(spans_of(diamond(), State()), 80, 6.0)

    bars = [line.count("▇") + line.count("░") for line in lines[:4]]
    assert bars[0] == bars[1] * 2 == bars[3] * 2
    assert abs(bars[2] - bars[1] * 3) <= 1
    assert [line.endswith("*") for line in lines[:4]] == [True, False, True, True]
    assert all(len(line) <= 80 for line in lines)


def test_a_chart_of_many_attempts_keeps_the_critical_and_the_longest() -> None:
    spans = [Span("t", "k", f"n{i}", "", "call", 1, float(i), i + (5.0 if i == 7 else 0.1)) for i in range(200)]
    spans[100].critical = True

    lines = gantt(spans, 80, 200.0, rows=20)

    assert len(lines) == 22
    assert any("n7 " in line for line in lines)
    assert any("n100 " in line for line in lines)
    assert lines[-2] == "… 180 shorter attempts are not shown"


def test_a_run_without_attempts_has_an_empty_chart() -> None:
    assert gantt([], 80, 0.0) == ["no attempt was started"]

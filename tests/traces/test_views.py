"""Outlines, log lines, estimates and the realised graph of a run."""

from __future__ import annotations

import pytest

from makespan.machine.realised import realised
from makespan.machine.state import State
from makespan.traces.estimate import for_graph, from_totals, typical_tasks
from makespan.traces.lines import lines_of
from makespan.traces.outline import outline
from makespan.traces.summary import summarise
from tests.traces.histories import crashed, diamond, folded, nested, retried


def test_a_wide_group_is_one_line_with_its_failures_below() -> None:
    entries = list(outline(folded(nested(50)), widest=10))

    assert [(e.depth, e.name, e.count) for e in entries] == [(0, "inner", 1), (1, "search", 50), (2, "search", 1)]
    assert entries[1].counts == {"failed": 1, "running": 49}
    assert entries[2].error == "ValueError: no"


def test_a_narrow_group_has_a_line_a_task() -> None:
    entries = list(outline(folded(diamond())))

    assert [(e.name, e.status, e.duration_s) for e in entries] == [
        ("plan", "succeeded", 2.0),
        ("plan", "succeeded", 1.0),
        ("search", "succeeded", 1.0),
        ("search", "succeeded", 3.0),
    ]


@pytest.mark.parametrize("history", [diamond, retried, crashed])
def test_every_fact_but_declarations_is_one_line_in_order(history: object) -> None:
    facts = history()  # type: ignore[operator]
    state, lines = State(), []
    for fact in facts:
        state.apply(fact)
        lines += list(lines_of(fact, state))

    assert len(lines) == len(facts) - 3
    assert lines[0].text == "run r-1 started: study (seed 1)"
    assert [line.at_s for line in lines] == sorted(line.at_s for line in lines)


def test_estimates_are_medians_and_unknown_without_history() -> None:
    state = folded(diamond())

    assert from_totals([]).makespan_s is None
    assert from_totals([summarise(state)]).makespan_s == 6.0
    assert typical_tasks([state])["plan"].duration_s == 1.5


def test_a_whole_graph_is_estimated_by_its_critical_path() -> None:
    state = folded(diamond())
    typical = typical_tasks([state])

    estimate = for_graph(realised(state), typical, from_totals([summarise(state)]))

    assert estimate.makespan_s == 1.5 + 2.0 + 1.5
    assert estimate.cost_usd == pytest.approx(2 * typical["plan"].cost_usd)


def test_a_graph_with_an_unknown_task_is_estimated_by_earlier_totals() -> None:
    state = folded(diamond())
    totals = from_totals([summarise(state)])

    assert for_graph(realised(state), {}, totals) == totals


def test_the_realised_graph_has_the_tasks_edges_and_scopes_of_the_run() -> None:
    graph = realised(folded(nested(3)))

    assert [node.key for node in graph].count("search") == 3
    assert [scope.name for scope in graph.scopes.values()] == ["inner"]
    assert len({node.scope for node in graph if node.key == "search"}) == 1

"""One span an attempt; the critical path."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from makespan.machine.beside import in_flight
from makespan.machine.facts import AttemptFailed, AttemptStarted, AttemptUnknown, LateResult, TaskSucceeded
from makespan.machine.records import Status
from makespan.machine.state import State
from makespan.traces.spans import spans_of
from tests.machine.driver import Life
from tests.traces.histories import ERROR, S, crashed, diamond, hedged, nested, retried
from tests.traces.lives import LIVES, beside


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


def test_of_attempts_beside_each_other_the_first_success_wins_and_the_others_are_waste() -> None:
    spans = spans_of(hedged(), State())

    assert [(s.attempt, s.mode, s.start_s, s.end_s, s.status, s.critical) for s in spans] == [
        (1, "large", 0.0, 5.0, "lost", False),
        (2, "small", 2.0, 5.0, "succeeded", True),
    ]
    assert [(s.cost_usd, s.waste_usd) for s in spans] == [(0.004, 0.004), (0.001, 0.0)]


def test_one_of_the_attempts_in_flight_may_fail_while_the_others_go_on() -> None:
    facts = [*hedged()[:-2], AttemptFailed(0, 3 * S, ERROR, 7_000_000, attempt=2)]

    spans = spans_of(facts, State())

    assert [(s.status, s.end_s, s.cost_usd) for s in spans] == [("running", None, 0.0), ("failed", 3.0, 0.007)]


def test_what_a_late_result_costs_is_waste_of_the_attempt_that_it_is_from() -> None:
    facts = [*retried(), LateResult(0, 9 * S, cost=6_000_000, attempt=1)]

    spans = spans_of(facts, State())

    assert [(s.cost_usd, s.waste_usd) for s in spans] == [(0.008, 0.006), (0.003, 0.0)]


def test_an_attempt_whose_outcome_was_unknown_is_paid_for_when_it_turns_up() -> None:
    facts = [*crashed()[:5], *crashed()[6:7], AttemptUnknown(0, 2 * S), TaskSucceeded(0, 3 * S, b"\x01", 1_000_000)]

    (span,) = spans_of(facts, State())

    assert (span.status, span.end_s, span.cost_usd) == ("succeeded", 3.0, 0.001)


@pytest.mark.parametrize("life_of", LIVES)
@pytest.mark.parametrize("seed", range(8))
def test_spans_of_random_runs_add_up_to_the_state_they_are_folds_of(life_of: Callable[[int], Life], seed: int) -> None:
    life = life_of(seed)
    state = State(life.blobs.__getitem__)

    spans = spans_of(life.facts, state)

    assert sum(round(s.cost_usd * 1e9) for s in spans) == state.cost
    assert sum(round(s.waste_usd * 1e9) for s in spans) == state.late_cost
    assert len(spans) == sum(task.attempt for task in state.tasks) == len(life.of(AttemptStarted))
    assert all(s.end_s is None or s.end_s >= s.start_s for s in spans)
    flying = {
        (task.spec.id.hex()[:12], attempt)
        for task in state.tasks
        if task.status == Status.RUNNING
        for attempt in in_flight(state, task)
    }
    assert {(s.task, s.attempt) for s in spans if s.end_s is None} == flying


def test_losers_of_random_runs_are_those_in_flight_when_another_attempt_won() -> None:
    lost = won = 0
    for seed in range(8):
        spans = spans_of((life := beside(seed)).facts, State(life.blobs.__getitem__))
        winners = {s.task: s.end_s for s in spans if s.status == "succeeded"}
        for span in spans:
            if span.status == "lost":
                assert span.end_s == winners[span.task]
                lost += 1
        won += len(winners)
    assert lost > 20
    assert won > 60

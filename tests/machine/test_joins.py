"""Joins: all, any, k of n, first that passes, ordered alternatives."""

from __future__ import annotations

from typing import Any

import pytest

import makespan as ms
from makespan.machine.facts import LateResult, TaskCancelled
from tests.machine.driver import SECOND, Act, Life, by_key, error, keys, run


@ms.task
def slow(x: int) -> int:
    return x


@ms.task
def fast(x: int) -> int:
    return x * 10


@ms.task
def middle(x: int) -> int:
    return x * 100


@ms.task
def is_large(value: int) -> bool:
    return value >= 100


@ms.task
def show(value: int) -> str:
    return f"got {value}"


@ms.task
def total(values: list[int]) -> int:
    return sum(values)


SPEEDS: dict[str, Any] = {"fast": Act(SECOND), "middle": Act(2 * SECOND), "slow": Act(3 * SECOND)}


@ms.workflow
def everything(x: int) -> int:
    return total([slow(x), fast(x), middle(x)])


@ms.workflow
def race(x: int) -> str:
    return show(ms.first(slow(x), fast(x), middle(x)))


@ms.workflow
def two_of_three(x: int) -> int:
    return total(ms.first(slow(x), fast(x), middle(x), n=2))


@ms.workflow
def passing(x: int) -> int:
    return ms.first(slow(x), fast(x), middle(x), accept="value >= 100")


@ms.workflow
def truthy(x: int) -> int:
    return ms.first(slow(x), fast(x), accept=bool)


@ms.workflow
def gated(x: int) -> int:
    return ms.first(slow(x), fast(x), middle(x), accept=is_large)


@ms.workflow
def in_order(x: int) -> int:
    return ms.fallback(slow, fast, middle)(x)


def test_all_waits_for_the_slowest() -> None:
    life = run(everything(1), by_key(**SPEEDS))

    assert life.output == 111
    assert life.task("total").started_at == 3 * SECOND


def test_the_first_success_wins_and_goes_on_at_once() -> None:
    life = run(race(1), by_key(**SPEEDS))

    assert life.output == "got 10"
    assert life.task("show").started_at == SECOND


def test_the_losers_are_cancelled_and_told_to_stop() -> None:
    life = run(race(1), by_key(**SPEEDS))

    assert life.status_of("slow") == life.status_of("middle") == "cancelled"
    assert life.state.at == 2 * SECOND


def test_a_failed_candidate_leaves_the_race_to_the_others() -> None:
    life = run(race(1), by_key(**{**SPEEDS, "fast": Act(SECOND, error())}))

    assert life.output == "got 100"
    assert life.status == "succeeded"


def test_a_race_that_all_lost_fails_with_the_last_failure() -> None:
    lost = {name: Act(act.takes_ns, error(message=name)) for name, act in SPEEDS.items()}

    life = run(race(1), by_key(**lost))

    assert life.status == "failed"
    assert life.state.error is not None
    assert life.state.error.type == "ValueError"
    assert life.status_of("show") == "skipped"


def test_k_of_n_gives_the_first_k_in_the_order_of_the_candidates() -> None:
    life = run(two_of_three(1), by_key(**SPEEDS))

    assert life.output == 110
    assert life.state.tasks[4].value == b"\x92\x92\x01\x02\x92\x0a\x64"
    assert life.status_of("slow") == "cancelled"


def test_k_of_n_fails_when_too_few_are_left() -> None:
    life = run(two_of_three(1), by_key(**{**SPEEDS, "fast": Act(error=error()), "middle": Act(error=error())}))

    assert life.status == "failed"


def test_a_candidate_passes_by_an_expression_over_its_value() -> None:
    life = run(passing(1), by_key(**SPEEDS))

    assert life.output == 100
    assert life.state.at == 2 * SECOND


def test_a_candidate_passes_by_its_truth() -> None:
    life = run(truthy(0), by_key(**SPEEDS))

    assert life.status == "failed"
    assert life.state.error is not None
    assert "none of 2 alternatives was accepted (2 gave a result)" in life.state.error.message


def test_a_candidate_passes_by_a_task_that_judges_it() -> None:
    life = run(gated(1), by_key(**{**SPEEDS, "slow": Act(9 * SECOND)}))

    assert life.output == 100
    assert life.status_of("slow") == "cancelled"
    assert sorted(life.statuses("is_large")) == ["cancelled", "succeeded", "succeeded"]


def test_a_gate_that_fails_counts_as_no() -> None:
    life = run(gated(1), by_key(**SPEEDS, is_large=Act(error=error())))

    assert life.status == "failed"


@pytest.mark.parametrize(
    ("broken", "winner", "tried"),
    [((), 1, 1), (("slow",), 10, 2), (("slow", "fast"), 100, 3)],
)
def test_alternatives_are_tried_in_order_and_only_after_a_failure(
    broken: tuple[str, ...], winner: int, tried: int
) -> None:
    life = run(in_order(1), by_key(**{name: Act(error=error()) for name in broken}))

    assert life.output == winner
    assert len(life.starts) == tried
    assert life.status == "succeeded"


def test_alternatives_that_all_fail_fail_with_the_last_ones_error() -> None:
    life = run(in_order(1), lambda command: Act(error=error(message=command.declaration.key)))

    assert life.status == "failed"
    assert life.state.error is not None
    assert life.state.error.message == "middle"


@ms.workflow
def race_of_alternatives(x: int) -> int:
    return ms.first(ms.fallback(slow, middle, fast)(x), show_number(x))


@ms.task
def show_number(x: int) -> int:
    return x


@ms.workflow
def race_of_groups(x: int) -> list[int]:
    return ms.first(ms.gather(slow(x), middle(x)), ms.gather(fast(x)))


def test_losing_alternatives_end_with_everything_they_were_made_of() -> None:
    life = run(race_of_alternatives(1), by_key(**SPEEDS))

    assert life.output == 1
    assert life.status_of("slow") == "cancelled"
    assert life.started_keys == ["slow", "show_number"]
    assert life.state.at == SECOND


def test_a_losing_group_ends_with_all_its_members() -> None:
    life = run(race_of_groups(1), by_key(**SPEEDS))

    assert life.output == [10]
    assert life.status_of("slow") == life.status_of("middle") == "cancelled"
    assert life.state.at == SECOND


@ms.workflow
def race_of_chains(x: int) -> str:
    return ms.first(show(slow(x)), show(fast(x)))


def test_what_led_only_to_a_loser_ends_with_it_in_a_plain_workflow() -> None:
    life = run(race_of_chains(1), by_key(**SPEEDS))

    assert life.output == "got 10"
    assert life.status_of("slow") == "cancelled"
    assert life.state.at == 2 * SECOND


def test_what_led_to_a_loser_goes_on_where_stopping_it_would_leave_a_question() -> None:
    @ms.task(effect="irreversible")
    def send(x: int) -> int:
        return x

    @ms.workflow
    def race_with_sending(x: int) -> str:
        return ms.first(show(send(x)), show(fast(x)))

    life = run(race_with_sending(1), by_key(**SPEEDS, send=Act(3 * SECOND)))

    assert life.output == "got 10"
    assert life.status_of("send") == "succeeded"


@ms.workflow
def loser_with_a_reader(x: int) -> str:
    taken = slow(x)
    quick = ms.first(taken, fast(x))
    return both(show(taken), show(quick))


@ms.task
def both(a: str, b: str) -> str:
    return f"{a} and {b}"


def test_a_loser_that_another_task_reads_goes_on() -> None:
    life = run(loser_with_a_reader(1), by_key(**SPEEDS))

    assert life.output == "got 1 and got 10"
    assert life.status_of("slow") == "succeeded"


def test_a_loser_that_does_not_stop_keeps_its_slot_and_its_result_is_recorded() -> None:
    stubborn = Act(5 * SECOND, stubborn=True, cost=7)

    life = Life(race(1), by_key(**{**SPEEDS, "slow": stubborn})).run(until=2 * SECOND)

    assert sorted(keys(life.of(TaskCancelled), life)) == ["middle", "slow"]
    assert life.machine.in_flight == 1

    life.run()
    (late,) = life.of(LateResult)
    assert late.task == life.task("slow").number
    assert (life.state.late_cost, life.state.cost) == (7, 7)
    assert life.status == "succeeded"
    assert life.state.at == 5 * SECOND


def test_two_candidates_that_end_together_are_judged_in_the_order_they_ended() -> None:
    same = {name: Act(SECOND) for name in SPEEDS}

    life = run(race(1), by_key(**same))

    assert life.output == "got 1"


def test_a_race_decided_before_a_cut_has_the_same_winner_after_it() -> None:
    life = Life(race(1), by_key(**SPEEDS)).run(until=SECOND)

    life.crash().resume()
    life.run()

    assert life.output == "got 10"
    assert life.status_of("middle") == "cancelled"


@ms.task
def tell(outcome: ms.Outcome[int]) -> str:
    return f"{outcome.status} {outcome.result}"


@ms.workflow
def outcome_of_a_race(x: int) -> str:
    return tell(ms.outcome(ms.first(slow(x), fast(x))))


@ms.workflow
def outcome_of_alternatives(x: int) -> str:
    return tell(ms.outcome(in_order_of_two(x)))


in_order_of_two = ms.fallback(slow, fast)


@pytest.mark.parametrize("workflow", [outcome_of_a_race, outcome_of_alternatives])
def test_the_outcome_of_a_join_is_that_of_its_winner_or_of_its_failure(workflow: ms.Workflow[[int], str]) -> None:
    broken = by_key(slow=Act(error=error()), fast=Act(error=error(message="both failed")))

    assert run(workflow(1), by_key(slow=Act(error=error()))).output == "succeeded 10"
    assert run(workflow(1), broken).output == "failed None"
    assert run(workflow(1), broken).status == "succeeded"

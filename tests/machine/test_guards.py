"""`when`: one branch runs, the other is skipped, and the skip ripples on without taking a diamond with it."""

from __future__ import annotations

import pytest

import makespan as ms
from makespan.machine.facts import TaskSkipped
from tests.machine.driver import Act, by_key, error, run


@ms.task
def look(x: int) -> int:
    return x


@ms.task
def bump(x: int) -> int:
    return x + 1


@ms.task
def yes(x: int) -> str:
    return f"yes {x}"


@ms.task
def no(x: int) -> str:
    return f"no {x}"


@ms.task
def more(text: str) -> str:
    return text + "!"


@ms.task
def pair(a: str | None, b: str) -> str:
    return f"{a}/{b}"


@ms.workflow
def either(x: int) -> str:
    seen = look(x)
    return more(ms.when(seen, lambda: yes(x), lambda: no(x), test="value > 3"))


@ms.workflow
def maybe(x: int) -> str:
    seen = look(x)
    return pair(ms.when(seen, lambda: more(yes(x)), test="value > 3"), no(x))


@ms.workflow
def nested(x: int) -> str:
    seen = look(x)

    def inside() -> ms.Ref[str]:
        return ms.when(bump(x), lambda: yes(x), lambda: no(x), test="value > 5")

    return ms.when(seen, inside, lambda: more(no(x)), test="value > 3")


@ms.workflow
def leaking(x: int) -> str:
    """A guarded task read from outside of its branch: a diamond with a skipped side."""
    kept: list[ms.Ref[str]] = []

    def inside() -> ms.Ref[str]:
        kept.append(yes(x))
        return kept[0]

    branch = ms.when(look(x), inside, lambda: no(x), test="value > 3")
    more(kept[0])
    return branch


@pytest.mark.parametrize(("x", "said"), [(5, "yes 5!"), (1, "no 1!")])
def test_one_branch_runs_and_the_other_does_not(x: int, said: str) -> None:
    life = run(either(x))

    assert life.output == said
    assert len(life.tasks("yes")) == len(life.tasks("no")) == 1
    assert sorted([life.status_of("yes"), life.status_of("no")]) == ["skipped", "succeeded"]


def test_a_branch_not_taken_gives_none_to_who_reads_it() -> None:
    assert run(maybe(1)).output == "None/no 1"
    assert run(maybe(5)).output == "yes 5!/no 5"


def test_a_skip_ripples_through_the_branch_only() -> None:
    life = run(maybe(1))

    assert life.status_of("yes") == life.status_of("more") == "skipped"
    assert life.status_of("no") == life.status_of("pair") == "succeeded"
    assert life.status == "succeeded"


@pytest.mark.parametrize(("x", "said"), [(6, "yes 6"), (4, "no 4"), (1, "no 1!")])
def test_branches_nest(x: int, said: str) -> None:
    assert run(nested(x)).output == said


def test_a_task_outside_that_reads_a_skipped_one_is_skipped_too() -> None:
    life = run(leaking(1))

    assert life.output == "no 1"
    assert life.status_of("more") == "skipped"
    assert all(fact.cause == -1 for fact in life.of(TaskSkipped))


def test_a_condition_that_failed_fails_the_whole_choice_with_its_error() -> None:
    life = run(either(1), by_key(look=Act(error=error(message="no look"))))

    assert life.status == "failed"
    assert life.state.error is not None
    assert life.state.error.message == "no look"
    assert life.started_keys == ["look"]


def test_a_guard_that_cannot_be_evaluated_fails_its_task_with_the_expression() -> None:
    @ms.workflow
    def broken(x: int) -> str | None:
        return ms.when(look(x), lambda: yes(x), test="value.size > 3")

    life = run(broken(1))

    assert life.status == "failed"
    assert life.state.error is not None
    assert ".size > 3" in life.state.error.message


def test_a_branch_that_fails_fails_the_choice() -> None:
    life = run(either(5), by_key(yes=Act(error=error(message="bad branch"))))

    assert life.status == "failed"
    assert life.status_of("no") == "skipped"

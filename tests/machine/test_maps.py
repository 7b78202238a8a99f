"""Maps over lists that are known at run time only."""

from __future__ import annotations

from typing import Literal

import pytest

import makespan as ms
from makespan.machine.facts import Limits
from makespan.machine.observations import StartAttempt
from tests.machine.driver import SECOND, Act, Life, Script, by_key, error, run


@ms.task
def listed(items: list[int]) -> list[int]:
    return items


@ms.task
def rows(items: list[list[int]]) -> list[list[int]]:
    return items


@ms.task
def double(x: int) -> int:
    return 2 * x


@ms.task
def add(a: int, b: int) -> int:
    return a + b


@ms.task
def size(values: list[int]) -> int:
    return len(values)


@ms.task
def count_outcomes(values: list[ms.Outcome[int]]) -> list[str]:
    return [value.status for value in values]


@ms.workflow
def mapped(items: list[int]) -> list[int]:
    return ms.map(double, listed(items))


@ms.workflow
def two_steps(items: list[int], more: int) -> list[int]:
    extra = double(more)
    return ms.map(lambda x: add(double(x), extra), listed(items))


@ms.workflow
def inside_out(items: list[list[int]]) -> list[list[int]]:
    return ms.map(lambda row: ms.map(double, row), rows(items))


@ms.workflow
def dropping(items: list[int]) -> int:
    return size(ms.map(double, listed(items), errors="drop"))


@ms.workflow
def keeping(items: list[int]) -> list[str]:
    return count_outcomes(ms.map(double, listed(items), errors="keep"))


@ms.workflow
def narrow(items: list[int]) -> list[int]:
    return ms.map(double, listed(items), limit=2)


@ms.workflow
def identity(items: list[int]) -> list[int]:
    return ms.map(lambda x: x, listed(items))


def failing_at(*places: int) -> Script:
    """The n-th items' attempts fail."""

    def script(command: StartAttempt) -> Act:
        fails = command.declaration.key == "double" and command.task in places
        return Act(error=error(message=f"item {command.task}")) if fails else Act()

    return script


@pytest.mark.parametrize("items", [[], [1], [3, 1, 2], [7, 7, 7], list(range(20))])
def test_a_map_gives_the_results_in_the_order_of_the_items(items: list[int]) -> None:
    assert run(mapped(items)).output == [2 * x for x in items]


def test_equal_items_are_separate_tasks() -> None:
    life = run(mapped([7, 7]))

    assert len({task.spec.id for task in life.tasks("double")}) == 2
    assert life.started_keys == ["listed", "double", "double"]


def test_items_run_at_the_same_time() -> None:
    assert run(mapped([1, 2, 3, 4])).state.at == 2 * SECOND


def test_a_map_may_have_several_steps_and_read_what_is_outside() -> None:
    assert run(two_steps([1, 2], 10)).output == [22, 24]


@pytest.mark.parametrize("items", [[[1, 2], [], [3]], [[]], [], [[1], [1], [1, 1]]])
def test_maps_nest(items: list[list[int]]) -> None:
    assert run(inside_out(items)).output == [[2 * x for x in row] for row in items]


def test_a_map_may_give_its_items_as_they_are() -> None:
    assert run(identity([3, 1])).output == [3, 1]


def test_a_failed_item_fails_the_map_and_leaves_the_others_running() -> None:
    life = run(mapped([1, 2, 3]), failing_at(3))

    assert life.status == "failed"
    assert life.state.error is not None
    assert life.state.error.message == "item 3"
    assert life.statuses("double") == ["failed", "succeeded", "succeeded"]


def test_a_failed_item_is_left_out_where_errors_are_dropped() -> None:
    life = run(dropping([1, 2, 3]), lambda c: Act(error=error()) if c.task == 4 else Act())

    assert life.output == 2
    assert life.status == "succeeded"


def test_a_failed_item_is_an_outcome_where_errors_are_kept() -> None:
    life = run(keeping([1, 2, 3]), lambda c: Act(error=error()) if c.task == 4 else Act())

    assert life.output == ["failed", "succeeded", "succeeded"]
    assert life.status == "succeeded"


@pytest.mark.parametrize("errors", ["drop", "keep"])
def test_a_map_whose_items_all_failed_still_ends(errors: Literal["drop", "keep"]) -> None:
    workflow = dropping if errors == "drop" else keeping

    life = run(workflow([1, 2]), by_key(double=Act(error=error())))

    assert life.status == "succeeded"


def test_at_most_so_many_items_run_at_once() -> None:
    life = run(narrow([1, 2, 3, 4, 5]))

    assert life.output == [2, 4, 6, 8, 10]
    assert life.state.at == (1 + 3) * SECOND


def test_more_items_than_the_limit_width_fail_the_map_naming_it() -> None:
    life = run(mapped([1, 2, 3]), limits=Limits(width=2))

    assert life.status == "failed"
    assert life.state.error is not None
    assert "`width`" in life.state.error.message
    assert not life.tasks("double")


def test_maps_in_maps_deeper_than_the_limit_depth_fail_naming_it() -> None:
    life = run(inside_out([[1]]), limits=Limits(depth=1))

    assert life.status == "failed"
    assert life.state.error is not None
    assert "`depth`" in life.state.error.message


def test_more_tasks_than_the_limit_tasks_fail_the_map_naming_it() -> None:
    life = run(mapped([1, 2, 3]), limits=Limits(tasks=5))

    assert life.status == "failed"
    assert life.state.error is not None
    assert "`tasks`" in life.state.error.message


def test_a_map_over_what_is_no_list_fails_naming_its_task() -> None:
    life = run(mapped([1]), by_key(listed=Act(value=b"\x07")))

    assert life.status == "failed"
    assert life.state.error is not None
    assert "not a list" in life.state.error.message


def test_a_map_behind_a_failed_list_is_skipped() -> None:
    life = run(mapped([1]), by_key(listed=Act(error=error(message="no list"))))

    assert life.status == "failed"
    assert life.state.error is not None
    assert life.state.error.message == "no list"


def test_a_map_cut_in_the_middle_runs_only_the_items_that_had_not_ended() -> None:
    script = by_key(double=Act(SECOND))

    life = Life(narrow([1, 2, 3, 4]), script).run(until=2 * SECOND).crash().resume().run()

    assert life.output == [2, 4, 6, 8]
    assert life.started_keys.count("double") == 4 + 2


@ms.task
def describe(values: list[ms.Outcome[int]]) -> list[int | None]:
    return [value.result for value in values]


@ms.workflow
def keeping_choices(items: list[int]) -> list[int | None]:
    def choose(x: int) -> ms.Ref[int]:
        return ms.when(double(x), lambda: double(x), lambda: add(x, 100), test="value > 3")

    return describe(ms.map(choose, listed(items), errors="keep"))


@ms.workflow
def keeping_items(items: list[int]) -> list[int | None]:
    return describe(ms.map(lambda x: x, listed(items), errors="keep"))


@ms.workflow
def keeping_choices_of_known_items() -> list[int | None]:
    return describe(ms.map(lambda x: ms.first(double(x), double(x)), [1, 2], errors="keep"))


def test_outcomes_of_choices_hold_the_value_chosen() -> None:
    assert run(keeping_choices([1, 2])).output == [101, 4]
    assert run(keeping_choices_of_known_items()).output == [2, 4]


def test_outcomes_of_the_items_themselves_hold_the_items() -> None:
    assert run(keeping_items([5, 6])).output == [5, 6]

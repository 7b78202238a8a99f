"""Today's code against a run that has been, without doing anything."""

from __future__ import annotations

from typing import Any

import makespan as ms
from makespan.rehearsal import rehearse
from tests.machine.driver import Life, run


@ms.task
def fetch(x: int) -> int:
    return x


@ms.task
def total(x: int) -> int:
    return x


def workflow(function: Any) -> Any:
    return ms.workflow(key="flow")(function)


async def first_version(x: int) -> int:
    return await total(await fetch(x))


async def asks_more(x: int) -> int:
    return await total(await fetch(x)) + await fetch(99)


async def asks_otherwise(x: int) -> int:
    return await total(await fetch(x) + 1)


def plain_version(x: int) -> Any:
    return total(fetch(x))


def plain_with_more(x: int) -> Any:
    return total(fetch.options(key="fetch again")(x))


def test_unchanged_code_is_clean_for_runs_that_ended_and_runs_that_did_not() -> None:
    ended = run(workflow(first_version)(1))
    cut = Life(workflow(first_version)(1)).run(turns=1)

    for life in (ended, cut):
        told = rehearse(life.folded(), workflow(first_version))
        assert told.is_clean, told


def test_new_calls_are_seen_as_far_as_results_are_there() -> None:
    life = run(workflow(first_version)(1))

    told = rehearse(life.folded(), workflow(asks_more))

    assert told.added == ["fetch"]
    assert told.same == 2


def test_other_arguments_are_a_new_call_and_one_that_is_not_asked_for_any_more() -> None:
    life = run(workflow(first_version)(1))

    told = rehearse(life.folded(), workflow(asks_otherwise))

    assert [name.partition(" ")[0] for name in told.dropped] == ["total"]
    assert told.added == ["total"]


def test_traced_graphs_are_compared_task_by_task() -> None:
    life = run(workflow(plain_version)(1))

    assert rehearse(life.folded(), workflow(plain_version)).is_clean
    told = rehearse(life.folded(), workflow(plain_with_more))
    assert "fetch again" in told.added
    assert any(name.startswith("fetch ") for name in told.dropped)

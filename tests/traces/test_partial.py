"""The best result so far of runs that have no output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import makespan as ms
from makespan.traces.partial import partial_value
from makespan.values import untyped
from tests.machine.driver import SECOND, Act, Life, by_key, error


@dataclass(frozen=True)
class Draft:
    text: str


@ms.task
def first(x: int) -> int:
    return x


@ms.task
def slow(x: int) -> int:
    return x * 2


@ms.task
def numbers(x: int) -> list[int]:
    return list(range(x))


@ms.task
def write(text: str) -> Draft:
    return Draft(text)


@ms.workflow
def pair(x: int) -> tuple[int, int]:
    return ms.gather(first(x), slow(x))


@ms.workflow
def mapped(x: int) -> list[int]:
    return ms.map(slow, numbers(x))


@ms.workflow
async def better(x: int) -> Draft:
    draft = await write("first")
    draft = await write(draft.text + ", second")
    await slow(x)
    return await write("last")


def so_far(life: Life) -> Any:
    value = partial_value(life.state)
    return None if value is None else untyped(value)


def test_a_traced_output_has_what_is_there_and_null_for_what_is_missing() -> None:
    life = Life(pair(3), by_key(slow=Act(9 * SECOND)), deadline_ns=5 * SECOND).run()

    assert life.status == "paused"
    assert so_far(life) == [3, None]


def test_a_map_has_the_items_that_ended() -> None:
    def script(command: Any) -> Act:
        return Act(SECOND, error=error() if command.declaration.key == "slow" and command.args[-1] == 1 else None)

    life = Life(mapped(3), script).run()

    assert life.status == "failed"
    assert so_far(life) == [0, 4]


def test_of_a_live_workflow_the_newest_result_of_its_type_stands_in() -> None:
    life = Life(better(1), by_key(slow=Act(9 * SECOND)), deadline_ns=5 * SECOND).run()

    assert life.status == "paused"
    assert so_far(life) == {"text": "first, second"}


def test_without_any_result_there_is_none() -> None:
    life = Life(pair(3), by_key(first=Act(9 * SECOND), slow=Act(9 * SECOND)), deadline_ns=SECOND).run()

    assert so_far(life) == [None, None]
    assert so_far(Life(better(1), by_key(write=Act(9 * SECOND)), deadline_ns=SECOND).run()) is None

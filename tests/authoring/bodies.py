"""Tasks and helpers of the tests of live bodies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import makespan as ms
from makespan.machine.records import TaskState
from makespan.machine.state import State
from tests.property.live_world import Life

SEEN: list[Any] = []
"""What the code of this test's workflows noted."""


@ms.task
def draw(n: int) -> int:
    """Another answer at every attempt."""
    SEEN.append("drawn")
    return len(SEEN)


@ms.task
def echo(n: int) -> int:
    return n


@ms.task
def total(ns: list[int]) -> int:
    return sum(ns)


@ms.task(raises=(ValueError, KeyError))
def fails(n: int) -> int:
    SEEN.append("failed")
    raise ValueError(f"no {n}") if n else KeyError("nothing")


@ms.task
def word(how: ms.Outcome[int]) -> str:
    return how.status


def whole(call: Any, seed: int = 1) -> Life:
    return Life.first(call, seed).run()


def again_after_every_turn(call: Any, workflow: Any, seed: int = 1) -> Iterator[tuple[Life, Life]]:
    """The whole run, and its next life after a cut at every turn."""
    run = whole(call, seed)
    for cut in range(1, len(run.turns)):
        yield run, Life.resumed(run.turns[:cut], workflow, seed + 100 + cut).run()


def statuses(life: Life, key: str) -> list[str]:
    return [task.status.name.lower() for task in life.state.tasks if task.declaration.key == key]


def folded(run: Life, turns: int) -> list[TaskState]:
    state = State()
    for fact in (fact for turn in run.turns[:turns] for fact in turn):
        state.apply(fact)
    return state.tasks

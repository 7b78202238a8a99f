"""Random goals under random edits: one path of a goal at a time, nothing after success, the same end after any kill."""

from __future__ import annotations

import asyncio
import random

import pytest

import makespan as ms
from makespan.planners.goal_edits import (
    AddGoal,
    AddPath,
    DropGoal,
    DropPath,
    Goal,
    GoalChange,
    ReplaceGoal,
    ReplacePath,
)
from makespan.planners.goals import Goals
from makespan.planners.live import LivePlan
from makespan.testing import running
from tests.planners.test_goals import Told
from tests.prove import prove_count

SPANS: list[tuple[str, float, float]] = []
"""Calls with start and end, those that were cancelled included."""
BEGUN: list[str] = []
REACHED: dict[str, int] = {}
"""Goal → how many calls had begun when it was seen to be reached."""


@ms.task(retries=0)
async def walk(place: str, seconds: float, given: str = "") -> str:
    """A call whose first letters are its goal and path."""
    clock = asyncio.get_running_loop().time
    begun = clock()
    BEGUN.append(place)
    try:
        await asyncio.sleep(seconds)
    finally:
        SPANS.append((place, begun, clock()))
    if "bad" in place:
        raise LookupError(place)
    return "poor" if "poor" in place else place


def drawn_path(rng: random.Random, place: str, *, is_chain: bool = False) -> list[str]:
    calls = []
    for number in range(1, rng.randint(1, 4) + 1):
        quality = rng.choices(["", "bad", "poor"], [6, 1, 1])[0]
        given = (
            f", ${number - 1 if is_chain else rng.randrange(1, number)}"
            if number > 1 and (is_chain or rng.random() < 0.5)
            else ""
        )
        calls.append(f'{number}. walk("{place} {number} {quality}", {rng.randint(1, 40) / 4}{given})')
    return calls


def drawn_change(rng: random.Random, number: int) -> GoalChange:
    name, path = f"g{rng.randrange(5)}", rng.randint(1, 4)
    new = Goal(f"n{number}", "", [drawn_path(rng, f"n{number} {n}") for n in range(2)], "result != 'poor'")
    calls = drawn_path(rng, f"{name} e{number}")
    changes: list[GoalChange] = [
        AddGoal(new),
        DropGoal(name),
        ReplaceGoal(name, new),
        AddPath(name, calls),
        DropPath(name, path),
        ReplacePath(name, path, calls),
    ]
    return rng.choice(changes)


@ms.workflow
async def at_random(seed: int, is_edited: bool) -> Told:
    """Random goals under random edits, or paths without any order that depends on time; what they came to."""
    rng = random.Random(seed)
    goals = Goals(LivePlan([walk]))
    names = [f"g{n}" for n in range(rng.randint(1, 4))]
    for name in names:
        paths = [drawn_path(rng, f"{name} {n}", is_chain=not is_edited) for n in range(rng.randint(1, 4))]
        assert await goals.edit([AddGoal(Goal(name, "", paths, "result != 'poor'"))])

    async def watched() -> Told:
        while not goals.are_over:
            await goals.advance()
            for view in goals.views():
                if view.status == "completed":
                    REACHED.setdefault(view.name, len(BEGUN))
            if not goals.are_over:
                await goals.plan.news()
        return [(view.name, view.status, view.result, [path.status for path in view.paths]) for view in goals.views()]

    pursuing = asyncio.get_running_loop().create_task(watched())
    for number in range(rng.randint(0, 5) if is_edited else 0):
        await ms.sleep(rng.randint(1, 40) / 4 + 0.1)
        await goals.edit([drawn_change(rng, number) for _ in range(rng.randint(1, 2))])
    told = await pursuing
    while not goals.are_over:  # the last edit may have come after all was over
        told = await watched()
    return told


@pytest.mark.prove
def test_whatever_is_edited_paths_of_a_goal_never_run_beside_each_other_nor_after_success() -> None:
    for seed in range(prove_count(200)):
        SPANS.clear()
        BEGUN.clear()
        REACHED.clear()
        told = running.run(at_random(seed, True)).output
        assert told
        assert {status for _, status, *_ in told} <= {"completed", "blocked", "dropped"}
        begun: dict[tuple[str, str], float] = {}
        ended: dict[tuple[str, str], float] = {}
        for place, start, end in SPANS:
            name, path, *_ = place.split()
            begun[name, path] = min(start, begun.get((name, path), start))
            ended[name, path] = max(end, ended.get((name, path), end))
        for name, count in REACHED.items():
            assert not any(place.startswith(f"{name} ") for place in BEGUN[count:]), (seed, name)
        for name, path in begun:
            beside = [
                other
                for other in begun
                if other != (name, path)
                and other[0] == name
                and begun[other] < ended[name, path]
                and begun[name, path] < ended[other]
            ]
            assert beside == [], (seed, name, path, beside)


@pytest.mark.prove
def test_killed_anywhere_random_goals_come_to_the_same_end() -> None:
    for seed in range(prove_count(4)):
        running.run(at_random(seed, False), crash_at="each")

"""`Run.edit`: a person changes the plan or the graph of a run by names, and hears what became of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

import makespan as ms
from makespan.app import Engine
from makespan.graph.edit import RemoveTask
from makespan.graph.node import Kind
from makespan.journal.memory import MemoryJournal
from makespan.planners.changes import Add, Drop, EditVerdict
from makespan.planners.live import LivePlan
from makespan.planners.steps import Reference, Step
from makespan.testing.world import SimulatedWorld
from makespan.values import TaskId


@ms.task
async def work(name: str, takes_s: float = 10.0, reads: list[Any] = []) -> str:  # noqa: B006
    await asyncio.sleep(takes_s)
    return name


@ms.task
def short(name: str) -> int:
    return len(name)


@ms.task
def other(name: str) -> str:
    return f"other {name}"


def step(name: str, *reads: str) -> Step:
    return Step(name, "work", (), {"name": name, "reads": [Reference(each) for each in reads]})


@ms.workflow
async def planned(plans: int = 1) -> dict[str, Any]:
    made = [LivePlan([work], name=f"plan{n}") for n in range(plans)]
    for plan in made:
        await plan.edit([Add(step("a")), Add(step("b", "a"))], author="planner")
    for plan in made:
        await plan.settled()
    return {f"{plan.name}.{name}": outcome.value for plan in made for name, outcome in plan.outcomes().items()}


@ms.workflow
def traced(name: str) -> str:
    return other(work(name))


@ms.workflow
async def plain_body(name: str) -> str:
    return await other(await work(name))


People = Callable[[Any], Awaitable[list[EditVerdict]]]


def edited(call: Any, people: People) -> tuple[Any, list[EditVerdict]]:
    """A run that people edit: its result, and the verdicts."""

    async def live() -> tuple[Any, list[EditVerdict]]:
        async with Engine(world=world, journal=journal, look_s=3_600.0) as engine:
            run = engine.start(call, id="r")
            await asyncio.sleep(1)
            verdicts = await people(run)
            return await run, verdicts

    with SimulatedWorld(1) as world, contextlib.closing(MemoryJournal()) as journal:
        result: tuple[Any, list[EditVerdict]] = world.run_until(live())
        return result


def test_a_plan_is_edited_by_the_names_of_its_steps() -> None:
    async def people(run: Any) -> list[EditVerdict]:
        return [
            await run.edit([{"drop": "b"}, {"add": {"name": "c", "tool": "work", "args": ["c"]}}], "ann", why="faster"),
            await run.edit([Add(step("d", "c")), Drop("nobody")], "bo"),
            await run.edit([Add(step("d", "c"))], "bo", seen=1),
        ]

    result, verdicts = edited(planned(), people)

    assert [verdict.reason for verdict in verdicts] == ["", "unknown_task", ""]
    assert result.output == {"plan0.a": "a", "plan0.c": "c", "plan0.d": "d"}


@pytest.mark.parametrize(
    ("wanted", "reasons"),
    [
        ({}, ["ambiguous"]),
        ({"plan": "plan1"}, [""]),
        ({"plan": "plan7"}, ["unknown_plan"]),
        ({"plan": False}, ["unknown_task"]),
    ],
)
def test_of_several_plans_one_is_said(wanted: dict[str, Any], reasons: list[str]) -> None:
    async def people(run: Any) -> list[EditVerdict]:
        return [await run.edit([{"drop": "b"}], "ann", **wanted)]

    result, verdicts = edited(planned(2), people)

    assert [verdict.reason for verdict in verdicts] == reasons
    assert ("plan1.b" in result.output) == bool(reasons[0])


def test_an_edit_by_somebody_who_looked_too_long_ago_is_stale() -> None:
    async def people(run: Any) -> list[EditVerdict]:
        changed = {"tool": "work", "args": ["changed", 1, ["${a}"]]}
        return [
            await run.edit([{"replace": "b", "with": changed}], "ann"),
            await run.edit([{"drop": "b"}], "bo", seen=1),
        ]

    result, verdicts = edited(planned(), people)

    assert [verdict.reason for verdict in verdicts] == ["", "stale"]
    assert "changed by ann" in verdicts[1].detail
    assert result.output == {"plan0.a": "a", "plan0.b": "changed"}


def test_a_traced_graph_is_edited_by_keys_labels_and_ids() -> None:
    async def people(run: Any) -> list[EditVerdict]:
        id = next(task.spec.id.hex() for task in run.state.tasks if task.declaration.key.endswith("other"))
        return [
            await run.edit([{"add": {"name": "n", "tool": "short", "args": {"name": "${work}"}}}]),
            await run.edit({"replace": id[:10], "with": {"tool": "work", "args": ["new ${work}", 1]}}, "ann"),
            await run.edit([{"drop": "wrk"}]),
            await run.edit([{"drop": "work"}]),
            await run.edit(RemoveTask(TaskId(b"?" * 16)), "bo"),
        ]

    result, verdicts = edited(traced("n"), people)

    assert [verdict.reason for verdict in verdicts] == ["", "", "unknown_task", "ambiguous", "unknown_task"]
    assert "did you mean 'work'?" in verdicts[2].detail
    assert "say which by its id" in verdicts[3].detail
    assert result.output == "new n"


def test_what_a_body_waits_for_is_its_own() -> None:
    async def people(run: Any) -> list[EditVerdict]:
        await asyncio.sleep(0)
        return [
            await run.edit([{"drop": "work"}]),
            await run.edit({"add": {"name": "n", "tool": "short", "args": ["x"]}}),
        ]

    result, verdicts = edited(plain_body("n"), people)

    assert [verdict.reason for verdict in verdicts] == ["already_started", ""]
    assert result.output == "other n"


def test_an_edit_that_comes_to_nothing_before_the_run_ends_says_so() -> None:
    async def people(run: Any) -> list[EditVerdict]:
        await asyncio.sleep(1_000)
        with pytest.raises(ms.errors.UsageError, match="has succeeded"):
            run.edit([{"drop": "b"}])
        return []

    edited(planned(), people)


@pytest.mark.parametrize("body", [None, {}, {"edits": 5}, {"edits": [], "seen": "yes"}, {"edits": [7]}])
def test_a_request_that_cannot_be_read_is_refused_on_record(body: Any) -> None:
    async def people(run: Any) -> list[EditVerdict]:
        run.driver.post(run.observed("edit", msgspec.json.encode(body), run.driver.clock()))
        async for update in run.updates(only="edit"):
            if update.status == "refused":
                return [EditVerdict(update.value["reason"], update.value["detail"])]
        return []

    _, verdicts = edited(planned(), people)

    assert [verdict.reason for verdict in verdicts] == ["unreadable"]


def test_to_listen_costs_nothing_until_somebody_edits() -> None:
    async def people(run: Any) -> list[EditVerdict]:
        kinds.append({task.kind for task in run.state.tasks})
        verdict = await run.edit([{"drop": "b"}])
        kinds.append({task.kind for task in run.state.tasks})
        return [verdict]

    kinds: list[set[Kind]] = []
    edited(planned(), people)

    assert [Kind.SIGNAL in each for each in kinds] == [False, True]


def test_the_same_id_is_the_same_edit() -> None:
    async def people(run: Any) -> list[EditVerdict]:
        return [await run.edit([{"drop": "b"}], id="e"), await run.edit([{"drop": "b"}], id="e")]

    result, verdicts = edited(planned(), people)

    assert verdicts == [EditVerdict(), EditVerdict()]
    assert list(result.output) == ["plan0.a"]

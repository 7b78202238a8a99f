"""Constellation as a recipe: a plan over devices, edited while it runs; nobody booked twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import makespan as ms
from makespan.models.scripted import Scripted, prompt_text
from makespan.planners.cycles import Window
from makespan.ports import ModelRequest
from makespan.recipes.constellation import Constellation, Device, constellation, pools
from makespan.testing import running

DEVICES = [Device("laptop", ("browser",)), Device("desk", ("browser", "gpu")), Device("phone", ("camera",), slots=2)]
AT_WORK: dict[str, int] = {}
MOST: dict[str, int] = {}
SPANS: dict[str, tuple[float, float]] = {}


@ms.task
async def run_on(device: str, command: str, takes_s: float = 10.0, reads: list[Any] = []) -> str:  # noqa: B006
    """Do something on a device."""
    began = asyncio.get_running_loop().time()
    AT_WORK[device] = AT_WORK.get(device, 0) + 1
    MOST[device] = max(MOST.get(device, 0), AT_WORK[device])
    await asyncio.sleep(takes_s)
    AT_WORK[device] -= 1
    SPANS[command] = (began, asyncio.get_running_loop().time())
    if command == "fails":
        raise ConnectionError(f"{device} is off")
    return f"{device} did {command}"


@pytest.fixture(autouse=True)
def fresh() -> None:
    for each in (AT_WORK, MOST, SPANS):
        each.clear()


def step(name: str, device: str, *reads: str, takes_s: float = 10.0) -> str:
    needs = f'"needs": {{"{device}": 1}}'
    args = f'{{"device": "{device}", "command": "{name}", "takes_s": {takes_s}, "reads": {list(reads)}}}'
    return f'{{"name": "{name}", "tool": "run_on", "args": {args}, {needs}}},\n'.replace("'", '"')


def written(*steps: str, line_s: float = 1.0) -> Any:
    """A planner that takes a second for each step."""

    @ms.task(key="written")
    async def planner(goal: str, tools: list[str], devices: list[str]) -> AsyncIterator[str]:
        yield "["
        for line in steps:
            await asyncio.sleep(line_s)
            yield line
        yield "]"

    return planner


def run(planner: Any, **how: Any) -> Constellation:
    models = how.pop("models", None)

    @ms.workflow
    async def reach(goal: str) -> Constellation:
        return await constellation(goal, tools=[run_on], devices=DEVICES, planner=planner, **how)

    result = ms.testing.run(
        reach("be done"), models=models, options={"budget_usd": 0.0}, engine={"pools": pools(DEVICES)}
    )
    return result.output


def test_no_device_is_booked_twice_and_steps_start_while_the_plan_is_written() -> None:
    steps = [step(f"{device}{n}", device) for n in range(4) for device in ("laptop", "phone")]

    came = run(written(*steps), editor=None)

    assert MOST == {"laptop": 1, "phone": 2}
    assert SPANS["laptop0"][0] - SPANS["phone0"][0] == -1.0
    assert not came.missing


def test_the_editor_replaces_what_a_failed_device_should_have_done() -> None:
    def editor(window: Window) -> Any:
        failed = [ended for ended in window.ended if ended.status == "failed"]
        if failed and failed[0].name == "fails":
            return {"add": {"name": "again", "tool": "run_on", "args": ["desk", "again"], "needs": {"desk": 1}}}
        return None

    came = run(written(step("fails", "laptop"), step("other", "phone")), editor=editor, when="failed")

    assert [(each.step, each.status) for each in came.steps] == [
        ("fails", "failed"),
        ("other", "succeeded"),
        ("again", "succeeded"),
    ]
    assert (came.edits.calls, came.edits.applied) == (1, 1)


def test_a_slow_editor_holds_only_what_reads_the_ends_it_thinks_about() -> None:
    @ms.task
    async def slow(window: Window) -> list[str]:
        await asyncio.sleep(100)
        return []

    plan = "[" + step("a", "laptop") + step("b", "phone", "${a}") + step("c", "desk", takes_s=50) + "]"
    plan += step("d", "phone", "${c}")
    run(plan.replace("]", "") + "]", editor=slow)

    assert SPANS["c"][1] - SPANS["a"][0] == 50.0
    assert SPANS["b"][0] - SPANS["a"][1] == 100.0


def test_models_plan_and_edit() -> None:
    answers = [
        f"[{step('1', 'laptop')}]",
        '{"edits": [{"op": "add", "name": "2", "tool": "run_on", "args": {"device": "phone", "command": "${1}!"}}]}',
        '{"edits": []}',
    ]
    asked: list[str] = []

    def answer(request: ModelRequest) -> str:
        asked.append(prompt_text(request))
        return answers[len(asked) - 1]

    @ms.workflow
    async def reach(goal: str) -> Constellation:
        return await constellation(goal, tools=[run_on], devices=DEVICES, models=["main"])

    came = ms.testing.run(
        reach("be done"), models=Scripted(answer), options={"budget_usd": 0.0}, engine={"pools": pools(DEVICES)}
    ).output

    assert [each.said for each in came.steps] == ["laptop did 1", "phone did laptop did 1!"]
    assert "phone: camera; 2 at a time" in asked[0]
    assert "1 succeeded: laptop did 1" in asked[1]
    assert came.edits.calls == 2


def test_it_comes_to_the_same_wherever_it_is_killed() -> None:
    @ms.task
    async def editor(window: Window) -> list[dict[str, Any]]:
        await asyncio.sleep(3)
        if window.ended[0].name != "a":
            return []
        return [{"drop": "b"}, {"add": {"name": "c", "tool": "run_on", "args": ["desk", "c", 1, ["${a}"]]}}]

    plan = "[" + step("a", "laptop") + step("b", "phone", "${a}") + "]"

    @ms.workflow
    async def reach(goal: str) -> list[str]:
        came = await constellation(goal, tools=[run_on], planner=plan, editor=editor)
        return [f"{each.step} {each.status}" for each in came.steps]

    engine = {"pools": pools(DEVICES)}
    assert ms.testing.run(reach("be done"), crash_at="each", engine=engine).output == ["a succeeded", "c succeeded"]


@ms.task
async def grid(size: int) -> dict[tuple[int, int], bytes]:
    """A grid."""
    return {(size, size): b"x"}


@ms.workflow
async def look_at_a_grid(goal: str) -> Constellation:
    plan = '[{"name": "1", "tool": "grid", "args": {"size": 2}}]'
    return await constellation(goal, tools=[grid], planner=plan, models=["m"])


def test_an_editor_is_shown_results_that_json_does_not_know() -> None:
    model = Scripted('{"edits": [], "why": "fine"}')
    result = running.run(look_at_a_grid("look"), models=model)

    assert [step.status for step in result.output.steps] == ["succeeded"]
    assert "(2, 2)" in prompt_text(model.calls[0])

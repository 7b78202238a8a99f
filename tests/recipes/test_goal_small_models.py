"""Models in this process that plan: every call fits by grammar; how often the plan is right is reported, not claimed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import makespan as ms
from makespan.errors import ProviderError
from makespan.models.embedded import Embedded
from makespan.models.pull import locate
from makespan.models.weights import QWEN, locate_weights
from makespan.planners.paper import PaperPlan
from makespan.planners.saved import shown
from makespan.planners.tools import Tools
from makespan.ports import Model
from makespan.recipes.goal import draft_plan, goal, load_tools
from tests.recipes.small_goals import GOALS

pytestmark = [pytest.mark.embedded, pytest.mark.slow]
TOOLS = ["tests.recipes.small_goals"]


def model_of(name: str) -> Model:
    if name != QWEN.name:
        return Embedded(locate())
    try:
        return Embedded(locate_weights(QWEN), name=QWEN.name)
    except ProviderError as error:
        pytest.skip(str(error))


async def plans_and_answers(model: Model) -> list[tuple[str, str, Any, str]]:
    """Of every goal: itself, its plan's text, the output, the error."""
    found = []
    async with ms.Engine("memory", models={"small": model}, allow_unknown_prices=True) as engine:
        for text in GOALS:
            plan = await engine.start(draft_plan(text, TOOLS, models=["small"]))
            assert plan.status == "succeeded", plan.error
            done = await engine.start(goal(text, TOOLS, models=["small"]))
            found.append((text, plan.output, done.output if done.status == "succeeded" else None, str(done.error or "")))
    return found


@pytest.mark.parametrize(("name", "least_valid"), [("smollm2-135m", 0), (QWEN.name, 8)])
def test_three_step_goals_over_five_tools_are_planned_and_done_offline(
    name: str, least_valid: int, capsys: pytest.CaptureFixture[str]
) -> None:
    found = asyncio.run(plans_and_answers(model_of(name)))

    valid = right = 0
    with capsys.disabled():
        print()
        for text, written, output, error in found:
            paper = PaperPlan(Tools("these goals", load_tools(TOOLS)))
            paper.take(written)
            paper.done()
            is_valid, is_right = bool(paper.steps) and not paper.faults, GOALS[text](output)
            valid, right = valid + is_valid, right + is_right
            steps = "; ".join(f"{number} {shown(each.step)}" for number, each in paper.steps.items())
            print(f"  {'valid' if is_valid else 'INVALID'} {'right' if is_right else 'wrong'}  {text}\n    {steps}")
            print(f"    = {output} {error or '; '.join(map(str, paper.faults))}")
        print(f"{name}: {len(GOALS)} goals: {valid} valid plans, {right} right answers")
    assert valid >= least_valid

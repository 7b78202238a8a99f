"""Every recipe that takes a goal does so by the same door; those that do not say why."""

from __future__ import annotations

import asyncio
import inspect
from pathlib import Path
from typing import Any

import pytest

import makespan as ms
from makespan.errors import UsageError
from makespan.models.scripted import Scripted, calling, prompt_text
from makespan.ports import ModelReply, ModelRequest
from makespan.recipes.goal import RECIPES, find_recipe, function_of, goal, load_tools, run_plan

TOOLS = ["tests.recipes.small_goals"]
HERE = Path(__file__).parents[2] / "src/makespan/recipes"


def there() -> list[str]:
    return [name for name in RECIPES if (HERE / f"{name}.py").exists()]


def run(call: Any, model: Scripted) -> Any:
    async def main() -> Any:
        async with ms.Engine("memory", models={"m": model}) as engine:
            return await engine.start(call)

    return asyncio.run(main())


@pytest.mark.parametrize("recipe", there())
def test_a_recipe_takes_a_goal_as_agreed_or_says_why_not(recipe: str) -> None:
    pursue = getattr(find_recipe(recipe), "pursue", None)

    if pursue is None:
        with pytest.raises(UsageError, match=f"{recipe} cannot be given a goal on the command line: it "):
            function_of(recipe, "pursue")
    else:
        parameters = inspect.signature(pursue).parameters
        assert inspect.iscoroutinefunction(pursue)
        assert next(iter(parameters)) == "goal"
        assert {"tools", "models"} <= set(parameters) <= {"goal", "tools", "models", "format"}


def in_parts(request: ModelRequest) -> str | ModelReply:
    said = prompt_text(request)
    if request.messages[-1].role == "tool":
        return "Ulm has 128928 people"
    if "Can this be done" in said:
        return '{"value": false}' if "Goal: G\n" in said else '{"value": true}'
    if "Split this goal" in said:
        return '{"value": [{"goal": "one", "needs": []}, {"goal": "two", "needs": [0]}]}'
    return "together" if "Answer this goal" in said else calling(("population", {"city": "Ulm"}))


def test_roma_gives_its_parts_to_an_agent_with_the_tools() -> None:
    done = run(goal("G", TOOLS, recipe="roma", models=["m"]), Scripted(in_parts))

    keys = [task.declaration.key for task in done._state.tasks]
    assert done.output == "together"
    assert keys.count("population") == 2


def test_dta_gives_its_answer_with_the_calls_behind_it() -> None:
    model = Scripted(['1. population("Ulm")\n', 'finish("128928")\n'])

    output = run(goal("G", TOOLS, recipe="dta", models=["m"]), model).output

    assert (output["text"], output["rounds"]) == ("128928", 2)


@pytest.mark.parametrize("small", [True, False])
def test_llmcompiler_plans_by_the_model_and_its_joiner_may_ask_for_more(small: bool) -> None:
    def said(request: ModelRequest) -> str:
        text = prompt_text(request)
        if "Do they answer the question?" in text:
            return '{"answer": "128928"}' if "128928" in text else '{"again": "Ulm is missing", "answer": null}'
        city = "Ulm" if "Ulm is missing" in text else "Bonn"
        if not small:
            return f'1. population("{city}")\n2. join()\n'
        return f'{{"steps": [{{"why": "", "tool": "population", "args": {{"city": "{city}"}}}}]}}'

    model = Scripted(said, native_tools=not small)
    output = run(goal("G", TOOLS, recipe="llmcompiler", models=["m"]), model).output

    assert (output["answer"], output["rounds"]) == ("128928", 2)
    assert (model.calls[0].schema is not None) == small


def test_a_kept_plan_that_is_not_whole_starts_nothing() -> None:
    plan = '[{"name": "a", "tool": "population", "args": {"city": "Ulm"}}, {"name": "b", "tool": "polulation"}]'

    done = run(run_plan(plan, TOOLS), Scripted("never"))

    assert done.status == "failed"
    assert "did you mean 'population'" in str(done.error)
    assert "population" not in [task.declaration.key for task in done._state.tasks]


def test_tools_are_what_a_module_defines_each_once() -> None:
    names = [task.key for task in load_tools([*TOOLS, "tests.recipes.small_goals:population"])]

    assert names == ["river_length", "population", "convert_length", "calculate", "sort_numbers"]
    with pytest.raises(UsageError, match="defines no tasks"):
        load_tools(["makespan.values"])
    with pytest.raises(UsageError, match="is no task: decorate it"):
        load_tools(["tests.recipes.small_goals:RIVERS"])

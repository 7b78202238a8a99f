"""A plan is asked for as the model needs it, told piece by piece, and asked for again when it is not whole."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import makespan as ms
from makespan.errors import ProviderError
from makespan.models.scripted import Scripted, prompt_text
from makespan.planners.asking import planner
from makespan.planners.formats.choose import reader_for
from makespan.planners.schema import offers
from makespan.planners.tools import Tools
from makespan.ports import ModelReply, ModelRequest
from makespan.recipes.goal import draft_plan, goal
from makespan.recipes.one_plan import one_plan
from tests.recipes import small_goals
from tests.recipes.small_goals import population

TOOLS = ["tests.recipes.small_goals"]
NUMBERED = '1. population("Ulm")\n2. population("Bonn")\n3. calculate($1, "+", $2)\n4. join()\n'
UNDER_SCHEMA = (
    '{"steps": [{"tool": "population", "args": {"city": "Ulm"}}, {"tool": "population", "args": {"city": "Bonn"}}, '
    '{"tool": "calculate", "args": {"a": "$1", "operation": "+", "b": "$2"}}]}'
)


async def result(call: Any, **models: Any) -> Any:
    async with ms.Engine("memory", models=models) as engine:
        return await engine.start(call)


def run(call: Any, **models: Any) -> Any:
    return asyncio.run(result(call, **models))


def test_a_model_that_knows_tools_writes_lines_and_one_that_does_not_is_held_to_a_schema() -> None:
    large, small = Scripted(NUMBERED), Scripted(UNDER_SCHEMA, native_tools=False)

    for model in (large, small):
        assert run(goal("Ulm and Bonn", TOOLS, models=["m"]), m=model).output == 464_903

    assert large.calls[0].schema is None
    assert small.calls[0].schema is not None
    assert "join()" in prompt_text(large.calls[0])
    for model in (large, small):
        assert "population(city: string) -> integer: How many people live in a city." in prompt_text(model.calls[0])


@pytest.mark.parametrize(("format", "has_schema"), [("schema", True), ("numbered", False)])
def test_the_format_can_be_said_whatever_the_model_is(format: str, has_schema: bool) -> None:
    for native in (True, False):
        model = Scripted(UNDER_SCHEMA if has_schema else NUMBERED, native_tools=native)

        assert run(goal("G", TOOLS, models=["m"], format=format), m=model).output == 464_903
        assert (model.calls[0].schema is not None) == has_schema


def test_each_model_of_a_list_is_asked_in_its_own_way() -> None:
    fault = ProviderError("away", kind="unavailable", retryable=False)
    large = Scripted(NUMBERED, faults={0: fault})
    small = Scripted(UNDER_SCHEMA, native_tools=False)

    done = run(goal("G", TOOLS, models=["large", "small"]), large=large, small=small)

    assert done.output == 464_903
    assert (large.calls[0].schema is None, small.calls[0].schema is None) == (True, False)


STARTED: list[str] = []
RAN = asyncio.Event()


@ms.task(effect="pure", executor="inline")
def note(text: str) -> str:
    """Writes down."""
    STARTED.append(text)
    RAN.set()
    return text


class Halting(Scripted):
    """A small model that stops in the middle of its plan until the first step has run."""

    async def stream(self, request: ModelRequest, on_text: Any) -> ModelReply:
        reply = await self.complete(request)
        half = reply.text.index('{"tool": "note", "args": {"text": "$1"')
        on_text(reply.text[:half])
        await RAN.wait()
        on_text(reply.text[half:])
        return reply


@ms.workflow
async def noted() -> Any:
    return await one_plan("G", tools=[note], models=["m"])


def test_a_step_of_a_plan_under_a_schema_starts_while_the_next_one_is_written() -> None:
    STARTED.clear()
    text = '{"steps": [{"tool": "note", "args": {"text": "a"}}, {"tool": "note", "args": {"text": "$1"}}]}'

    done = run(noted(), m=Halting(text, native_tools=False))

    assert done.status == "succeeded", done.error
    assert STARTED == ["a", "a"]


@ms.workflow
async def pieces(text: str) -> list[str]:
    written = planner(["m"])("G", offers(Tools("it", [population])))
    heard = [piece async for piece in written]
    assert heard == await written
    return heard


@pytest.mark.parametrize("text", [NUMBERED, UNDER_SCHEMA, UNDER_SCHEMA + "\n", "}, }, \n\n}, ", "word"])
def test_what_is_heard_piece_by_piece_is_the_whole_text(text: str) -> None:
    assert "".join(run(pieces(text), m=Scripted(text)).output) == text


def test_a_plan_with_parts_that_came_to_nothing_is_asked_for_again_with_what_was_wrong() -> None:
    model = Scripted(['1. population("Ulm")\n2. populate("Bonn")\n3. join()\n', NUMBERED])

    done = run(goal("G", TOOLS, models=["m"]), m=model)

    assert done.output == 464_903
    assert "did you mean 'population'" in prompt_text(model.calls[1])
    keys = [task.declaration.key for task in done._state.tasks]
    assert keys.count("population") == 2, "Ulm was known already"


def test_a_plan_that_is_never_whole_fails_with_what_is_wrong_with_it() -> None:
    done = run(goal("G", TOOLS, models=["m"]), m=Scripted("I would rather not."))

    assert done.status == "failed"
    assert "is not whole after 2 rounds" in str(done.error)


def test_a_plan_of_several_ends_gives_them_by_name() -> None:
    plan = '1. population("Ulm")\n2. population("Bonn")\n3. join()\n'

    assert run(goal("G", TOOLS, models=["m"]), m=Scripted(plan)).output == {"1": 128_928, "2": 335_975}


def test_a_plan_under_a_schema_that_was_cut_is_asked_for_again() -> None:
    cut = "[" + "1," * 9_000
    model = Scripted([cut, UNDER_SCHEMA], native_tools=False)

    assert run(draft_plan("G", TOOLS, models=["m"]), m=model).output == UNDER_SCHEMA
    assert "cut off" in prompt_text(model.calls[1])
    assert model.calls[1].schema is not None


def test_a_goal_survives_a_kill_at_every_commit() -> None:
    done = ms.testing.run(
        goal("G", TOOLS, models=["m"]), models={"m": Scripted(lambda request: NUMBERED)}, crash_at="each"
    )

    assert done.output == 464_903


@pytest.mark.parametrize(
    "text", [NUMBERED, "Thought: so\n" + NUMBERED, UNDER_SCHEMA, "Plan:\n```json\n[]\n```", "no plan"]
)
def test_the_format_of_a_text_is_found_however_it_is_cut(text: str) -> None:
    whole, apart = reader_for("auto"), reader_for("auto")

    found = [each for letter in text for each in apart.feed(letter)]

    assert [*found, *apart.close()] == [*whole.feed(text), *whole.close()]


def test_small_goals_are_right_when_their_plans_are() -> None:
    def written(request: ModelRequest) -> str:
        return '{"steps": [{"tool": "river_length", "args": {"river": "Thames"}}]}'

    assert run(goal("G", TOOLS, models=["m"]), m=Scripted(written, native_tools=False)).output == 346
    assert small_goals.has(346)(346.0)
    assert not small_goals.has(346)([346.0, 1])

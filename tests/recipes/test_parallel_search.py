"""ParallelSearch and ReAct as recipes: many searches at once, or one call at a time, by the same parts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

import makespan as ms
from makespan.errors import TaskError
from makespan.models.scripted import Scripted, prompt_text
from makespan.planners.known import Known
from makespan.recipes.dta import Answer
from makespan.recipes.parallel_search import Found, parallel_search
from makespan.recipes.react import react
from makespan.testing import running

MADE: list[str] = []


@pytest.fixture(autouse=True)
def fresh() -> None:
    MADE.clear()


@ms.task
async def search(query: str) -> str:
    """Look something up."""
    MADE.append(query)
    await asyncio.sleep(1)
    if query == "gone":
        raise LookupError("there is no such page")
    return f"about {query}"


def run(*said: str, **how: object) -> tuple[ms.Result[Found], Scripted]:
    @ms.workflow
    async def answer(question: str) -> Found:
        return await parallel_search(question, search=search, **how)  # type: ignore[arg-type]

    model = Scripted(list(said))
    return running.run(answer("why?"), models=model, options={"budget_usd": 0.0}), model


def test_the_queries_of_a_block_run_side_by_side_and_the_model_sees_all_of_them() -> None:
    result, model = run("<think>two</think><search>a ## b ## c</search>", "<answer> because </answer>")

    assert (result.output.text, result.output.rounds, result.output.missing) == ("because", 2, ())
    assert result.makespan_s == pytest.approx(1.0, abs=0.01)
    assert "<information>a: about a\nb: about b\nc: about c</information>" in prompt_text(model.calls[1])


def test_one_of_n_queries_that_fails_leaves_the_others_and_a_typed_gap() -> None:
    result, _ = run("<search>a ## gone ## c</search>", "<answer>x</answer>")

    assert [query.status for query in result.output.queries] == ["succeeded", "failed", "succeeded"]
    assert [gap.said for gap in result.output.missing] == ["LookupError: there is no such page"]


def test_a_query_is_made_once_however_often_it_is_asked() -> None:
    _, model = run("<search>A ## b ## a</search>", "<search>  a ## C</search>", "<answer>x</answer>")

    assert sorted(MADE) == ["A", "C", "b"]
    assert "a: about A\nc: about C" in prompt_text(model.calls[2])


def test_a_block_has_a_limit_that_the_model_is_told_of() -> None:
    _, model = run("<search>a ## b ## c</search>", "<answer>x</answer>", max_queries=2)

    assert sorted(MADE) == ["a", "b"]
    assert "c: not made, too many in one block" in prompt_text(model.calls[1])


def test_words_without_tags_are_answered_with_how_to_write_them() -> None:
    _, model = run("I think it is a", "<search>a", "<answer>x")

    assert "use the tags" in prompt_text(model.calls[1])
    assert MADE == ["a"]


def test_an_answer_to_a_search_that_was_not_made_yet_does_not_count() -> None:
    made_up = "<search>a</search><information>a: nonsense</information><answer>nonsense</answer>"
    result, model = run(made_up, "<answer>about a</answer><search>b</search>")

    assert (result.output.text, result.output.rounds, MADE) == ("about a", 2, ["a"])
    assert "nonsense" not in prompt_text(model.calls[1])


def test_in_the_last_round_an_answer_counts_wherever_it_stands() -> None:
    assert run("<search>a</search><answer>x</answer>", max_rounds=1)[0].output.text == "x"


def test_the_last_round_has_to_answer() -> None:
    with pytest.raises(TaskError, match="no answer within max_rounds=2"):
        _ = run("<search>a</search>", "<search>b</search>", max_rounds=2)[0].output


def test_a_kill_before_and_after_every_commit_changes_nothing() -> None:
    @ms.task(effect="pure", key="script")
    def script(question: str, transcript: str, last: bool) -> str:
        if "about c" in transcript:
            return "<answer>so</answer>"
        return "<search>c</search>" if transcript else "<search>a ## gone</search>"

    @ms.workflow
    async def answer(question: str) -> Found:
        return await parallel_search(question, search=search, reader=script)

    assert running.run(answer("why?"), crash_at="each").output.rounds == 3


# ------------------------------------------------------------ react


def test_react_makes_one_call_at_a_time_and_thinks_after_each() -> None:
    asked: list[int] = []

    @ms.task(key="thinking")
    async def think(
        question: str, tools: list[str], calls: list[Known], problems: list[str], last: bool
    ) -> AsyncIterator[str]:
        asked.append(len(calls))
        await asyncio.sleep(1)
        yield "Thought: what next?\n"
        yield '1. search("a")\n' if not calls else '2. search("${1}")\n' if len(calls) == 1 else 'finish("so")\n'

    @ms.workflow
    async def answer(question: str) -> Answer:
        return await react(question, tools=[search], planner=think)

    result = running.run(answer("why?"))
    assert (result.output.text, result.output.rounds, asked) == ("so", 3, [0, 1, 2])
    assert MADE == ["a", "about a"]
    assert result.makespan_s == pytest.approx(5, abs=0.01)


def test_react_asks_a_model_with_what_it_has_seen() -> None:
    model = Scripted(['Thought: look\n1. search("a")\n', 'finish("so")'])

    @ms.workflow
    async def answer(question: str) -> Answer:
        return await react(question, tools=[search])

    assert running.run(answer("why?"), models=model, options={"budget_usd": 0.0}).output.text == "so"
    assert '1. search("a") -> succeeded: about a' in prompt_text(model.calls[1])

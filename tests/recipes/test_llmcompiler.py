"""LLMCompiler as a recipe: plans that run while they are written, a joiner that judges, nothing done twice."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import makespan as ms
from bench.plans import examples
from bench.plans import llmcompiler as measured
from makespan.errors import TaskError
from makespan.models.scripted import Scripted, prompt_text
from makespan.planners.known import ALL_CHARS, Known
from makespan.recipes.llmcompiler import Compiled, Verdict, llmcompiler
from makespan.testing import running

MADE: list[str] = []
JUDGED: list[list[Known]] = []
TOLD: list[list[str]] = []
"""Problems that the joiner was told of."""
PLANNED: list[tuple[list[Known], str]] = []
PLANNED_WITH: list[list[str]] = []
"""Problems that the planner was told of."""


@pytest.fixture(autouse=True)
def fresh() -> None:
    MADE.clear()
    JUDGED.clear()
    TOLD.clear()
    PLANNED_WITH.clear()
    PLANNED.clear()


@ms.task
async def search(query: str) -> str:
    """Look something up."""
    MADE.append(query)
    await asyncio.sleep(20 if "slow" in query else 1)
    if "gone" in query:
        raise LookupError(f"{query} is not there")
    return f"<{query}>"


def planner(*texts: str) -> ms.Task[..., list[str]]:
    @ms.task(key="planner")
    async def write(
        question: str, tools: list[str], calls: list[Known], why: str, problems: list[str]
    ) -> AsyncIterator[str]:
        PLANNED.append((calls, why))
        PLANNED_WITH.append(problems)
        for line in texts[min(len(PLANNED), len(texts)) - 1].splitlines():
            await asyncio.sleep(0.25)
            yield f"{line}\n"

    return write


def joiner(*verdicts: Verdict) -> ms.Task[..., Verdict]:
    @ms.task(key="joiner")
    async def judge(question: str, calls: list[Known], problems: list[str], last: bool) -> Verdict:
        JUDGED.append(calls)
        TOLD.append(problems)
        return verdicts[min(len(JUDGED), len(verdicts)) - 1]

    return judge


def run(write: Any, judge: Any, **how: object) -> ms.Result[Compiled]:
    @ms.workflow
    async def answer(question: str) -> Compiled:
        return await llmcompiler(question, tools=[search], planner=write, joiner=judge, **how)  # type: ignore[arg-type]

    return running.run(answer("why?"))


DONE = Verdict(answer="so")


# ------------------------------------------------------------ the eight plans


def test_our_lines_have_the_shapes_and_the_times_that_are_published() -> None:
    assert sum(map(len, examples.PLANS)) == 38
    assert sum(map(examples.serial_s, examples.PLANS)) == pytest.approx(71.2)
    assert sum(map(examples.plan_then_run_s, examples.PLANS)) == pytest.approx(33.1)
    assert sum(map(examples.streaming_s, examples.PLANS)) == pytest.approx(29.1)


def test_our_lines_have_the_shapes_of_the_recorded_plans() -> None:
    folder = Path(os.environ.get("MAKESPAN_DATA", Path(__file__).parents[3] / "shared" / "data"))
    recorded = folder / "llmcompiler" / "plan_shapes.json"
    if not recorded.exists():
        pytest.skip("no recorded plans: put plan_shapes.json in llmcompiler below MAKESPAN_DATA, or ../shared/data")
    shapes = [
        [(call["tool"], call["needs"]) for call in plan["calls"] if call["tool"] != "join"]
        for plan in json.loads(recorded.read_text())["plans"]
    ]
    assert [[(examples.tool_of(call), examples.needs_of(call)) for call in plan] for plan in examples.PLANS] == shapes


@pytest.mark.parametrize("number", range(len(examples.PLANS)))
def test_a_plan_takes_what_ideal_streaming_takes(number: int) -> None:
    result = running.run(measured.answering(1.0)(str(number)))
    assert result.makespan_s == pytest.approx(examples.streaming_s(examples.PLANS[number]), rel=0.001)


def test_a_call_starts_in_the_turn_of_its_line_while_the_planner_is_silent() -> None:
    assert measured.lag(quick=True)["virtual_s"] == 0.0


# ------------------------------------------------------------ failures


def test_a_tool_that_raises_is_a_typed_gap_and_independent_branches_finish() -> None:
    result = run(planner('1. search("gone")\n2. search("b")\n3. search($1)\n4. search($2)\njoin()'), joiner(DONE))

    assert MADE == ["gone", "b", "<b>"]
    assert [(call.step, call.status) for call in result.output.missing] == [("1", "failed"), ("3", "failed")]
    assert result.output.missing[0].said == "LookupError: gone is not there"


def test_slips_of_planners_are_repaired_or_reported_and_never_dropped() -> None:
    text = '1. search("a"\n2. Search("b)\n3. find("c")\n4. search("d", "e")\n5. search($9)\nand so on\n6. search("f")'
    result = run(planner(text), joiner(DONE)).output

    assert sorted(MADE) == ["a", "b", "f"]
    said = "\n".join(result.problems)
    assert all(piece in said for piece in ("find", "takes 1 arguments", "9"))


def test_reference_one_is_no_part_of_reference_ten() -> None:
    lines = [f'{n}. search("q{n}")' for n in range(1, 11)]
    run(planner("\n".join([*lines, "11. search($10)", '12. search("of ${1}0")'])), joiner(DONE))

    assert set(MADE[10:]) == {"<q10>", "of <q1>0"}


def test_the_joiner_may_be_asked_as_soon_as_something_fails() -> None:
    again = [Verdict(again="1 failed", add=['3. search("c")']), DONE]
    result = run(planner('1. search("gone")\n2. search("slow")\n'), joiner(*again), judge_on="failure")

    assert [call.status for call in JUDGED[0]] == ["failed", "missing"]
    assert result.output.calls[2].said == "<c>"


# ------------------------------------------------------------ rounds


def test_another_plan_uses_the_results_of_the_first_and_repeats_no_call() -> None:
    texts = ('1. search("a")\n2. search("b")', '3. search("a")\n4. search("${2} and ${3}")')
    result = run(planner(*texts), joiner(Verdict(again="b alone does not do"), DONE))

    assert MADE == ["a", "b", "<b> and <a>"]
    assert PLANNED[1][1] == "b alone does not do"
    assert [call.said for call in PLANNED[1][0]] == ["<a>", "<b>"]
    assert result.output.rounds == 2


def test_a_second_plan_that_counts_from_one_again_means_its_own_steps() -> None:
    run(planner('1. search("a")', '1. search("b")\n2. search($1)'), joiner(Verdict(again="more"), DONE))
    assert MADE == ["a", "b", "<b>"]


def test_a_call_that_failed_is_made_again_when_it_is_asked_for_again() -> None:
    run(planner('1. search("gone")', '2. search("gone")'), joiner(Verdict(again="it may be back"), DONE))
    assert MADE == ["gone", "gone"]


def test_the_joiner_may_drop_what_has_not_started() -> None:
    verdicts = [Verdict(again="no need", add=['4. search("d")'], drop=["3"]), DONE]
    text = '1. search("gone")\n2. search("slow")\n3. search($2)'
    result = run(planner(text), joiner(*verdicts), judge_on="failure").output

    assert [call.step for call in result.calls] == ["1", "2", "4"]
    assert "<slow>" not in MADE


def test_the_joiner_may_replace_what_has_not_started_without_another_plan() -> None:
    verdicts = [Verdict(replace=['3. search("${2} more")']), DONE]
    text = '1. search("gone")\n2. search("slow")\n3. search($2)\n4. search($3)'
    result = run(planner(text), joiner(*verdicts), judge_on="failure").output

    assert {call.step: call.call for call in result.calls}["3"] == 'search("${2} more")'
    assert (len(PLANNED), MADE) == (1, ["gone", "slow", "<slow> more", "<<slow> more>"])


def test_what_the_joiner_could_not_have_is_said_to_it_to_the_planner_and_to_the_caller() -> None:
    verdicts = [Verdict(again="1 is bad", drop=["1"], replace=['1. find("x")', "nonsense"]), DONE]
    result = run(planner('1. search("a")\n2. search("gone")', ""), joiner(*verdicts)).output

    told = "\n".join(TOLD[-1])
    assert all(piece in told for piece in ("replace 1", "drop 1", "nonsense"))
    assert PLANNED_WITH[1] == TOLD[-1]
    assert set(TOLD[-1]) <= set(result.problems)


def test_lines_that_came_to_nothing_are_said_to_the_joiner_and_to_the_next_planner() -> None:
    run(planner('1. search("a")\n2. find("b")\n3. search("c"', '4. search("d")'), joiner(Verdict(again="2"), DONE))

    assert [len(told) for told in TOLD] == [1, 0]
    assert "find" in TOLD[0][0]
    assert TOLD[0] == PLANNED_WITH[1]


def test_planner_and_joiner_may_be_plain_functions() -> None:
    async def judge(question: str, calls: list[Known], problems: list[str], last: bool) -> Verdict:
        return Verdict(answer=calls[-1].said)

    result = run(lambda *_: '1. search("a")\n2. search($1)', judge)
    assert result.output.answer == "<<a>>"
    assert run(lambda *_: '1. search("a")', lambda *_: DONE).output.answer == "so"


def test_results_that_are_long_together_give_way_to_each_other() -> None:
    @ms.task
    def page(number: int) -> str:
        return str(number) * (10 if number == 1 else 5_000)

    lines = "\n".join(f"{n}. page({n})" for n in range(1, 41))

    @ms.workflow
    async def answer() -> list[int]:
        seen: list[list[Known]] = []

        def judge(question: str, calls: list[Known], problems: list[str], last: bool) -> Verdict:
            seen.append(calls)
            return DONE

        await llmcompiler("?", tools=[page], planner=lambda *_: lines, joiner=judge)
        return [len(call.said) for call in seen[-1]]

    lengths = running.run(answer()).output
    assert lengths[0] == 10
    assert 39_000 < sum(lengths) <= ALL_CHARS


def test_the_last_round_has_to_answer() -> None:
    with pytest.raises(TaskError, match="no answer within max_rounds=2; the joiner's last word: not yet"):
        _ = run(planner('1. search("a")'), joiner(Verdict(again="not yet")), max_rounds=2).output


# ------------------------------------------------------------ models, crashes


def test_models_are_asked_with_the_tools_and_the_results() -> None:
    model = Scripted(['1. search("a")\njoin()\n', '{"answer": "so"}'])

    @ms.workflow
    async def answer(question: str) -> Compiled:
        return await llmcompiler(question, tools=[search])

    assert running.run(answer("why?"), models=model, options={"budget_usd": 0.0}).output.answer == "so"
    plan, judge = map(prompt_text, model.calls)
    assert "search(query" in plan
    assert '1. search("a") -> succeeded: <a>' in judge


def test_a_kill_before_and_after_every_commit_changes_nothing() -> None:
    @ms.task(key="by calls")
    async def write(
        question: str, tools: list[str], calls: list[Known], why: str, problems: list[str]
    ) -> AsyncIterator[str]:
        for line in ('4. search("${1}")',) if calls else ('1. search("a")', '2. search("gone")', '3. search("$1")'):
            await asyncio.sleep(0.25)
            yield f"{line}\n"

    @ms.task(key="by number", effect="pure")
    def judge(question: str, calls: list[Known], problems: list[str], last: bool) -> Verdict:
        return DONE if len(calls) > 3 else Verdict(again="more")

    @ms.workflow
    async def answer(question: str) -> Compiled:
        return await llmcompiler(question, tools=[search], planner=write, joiner=judge)

    assert len(running.run(answer("why?"), crash_at="each").output.calls) == 4

"""Live plans: steps start while the planner writes, edits are whole or refused, and no crash changes the outcome."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pytest

import makespan as ms
from makespan.errors import ProviderError
from makespan.machine.facts import AttemptStarted, EditApplied, EditRefused, TaskAdded
from makespan.models.scripted import Scripted
from makespan.planners.changes import Add, Drop, Replace
from makespan.planners.live import LivePlan
from makespan.planners.steps import Reference, Step, Text
from makespan.testing import run
from tests.planners.tools import CALLED, TOOLS, add, height, journaled, says, search, step
from tests.property.live_world import Life, reruns


@pytest.fixture(autouse=True)
def nothing_called() -> None:
    CALLED.clear()


def told(plan: LivePlan) -> dict[str, Any]:
    """How the steps of a plan did: the value, or the error's type."""
    return {
        name: how.value if how else how.error.type if how.error else how.status for name, how in plan.outcomes().items()
    }


@ms.workflow
async def planned(text: str, format: str = "numbered") -> tuple[dict[str, Any], list[str], list[str]]:
    plan = LivePlan(TOOLS)
    got = await plan.ingest(says(text), format=format)
    await plan.settled()
    return told(plan), list(got.steps), [problem.message for problem in got.problems]


# ---------------------------------------------------------------- while the planner writes


@ms.workflow
async def stamped(text: str) -> dict[str, tuple[float, float]]:
    plan = LivePlan(TOOLS)
    await plan.ingest(says(text))
    await plan.settled()
    return {name: (planned.at_s, 0.0) for name, planned in plan.steps.items()}


def test_a_step_starts_when_its_line_is_complete_and_its_inputs_are_there() -> None:
    text = '1. search("a")\n2. search("b")\n3. glue([$1, $2])\n4. join()\n'

    result, facts = journaled(stamped(text))

    assert result.output["1"][0] == pytest.approx(2.5, abs=0.01)
    assert result.output["2"][0] == pytest.approx(3.0, abs=0.01)
    assert result.output["3"][0] == pytest.approx(3.0, abs=0.01)
    assert len([fact for fact in facts if isinstance(fact, EditApplied)]) == 3


def test_a_plan_gives_the_results_of_its_steps_by_name() -> None:
    results, steps, problems = run(planned('1. height("K2")\n2. add($1, 3)\n3. join()\n'), crash_at="each").output

    assert results == {"1": 2.0, "2": 5.0}
    assert steps == ["1", "2"]
    assert problems == []


def test_each_step_is_an_edit_with_its_author_and_thought() -> None:
    _, facts = journaled(planned('Thought: how high?\n1. height("K2")\n2. join()\n'))

    (edit,) = [fact for fact in facts if isinstance(fact, EditApplied)]
    assert (edit.author, edit.kind, edit.tasks) == ("planner", "AddTasks", 1)
    assert "how high" in edit.why


def test_a_text_with_results_in_it_reads_them() -> None:
    results, _, _ = run(planned('1. height("K2")\n2. search("${1} m high")\n'), crash_at="each").output

    assert results["2"] == "<2 m high>"


def test_a_step_may_refer_to_one_that_comes_later() -> None:
    results, steps, problems = run(planned("1. add($2, $3)\n2. add($3, 1)\n3. height('ab')\n"), crash_at="each").output

    assert results == {"3": 2.0, "2": 3.0, "1": 5.0}
    assert steps == ["3", "2", "1"]
    assert problems == []


def test_steps_that_need_each_other_are_problems_and_the_rest_runs() -> None:
    text = "1. add($2)\n2. add($1)\n3. add($9)\n4. add($3)\n5. height('abc')\n"

    results, _, problems = run(planned(text), crash_at="each").output

    assert results == {"5": 3.0}
    assert problems == [
        "it needs step 2, which need each other",
        "it needs step 1, which need each other",
        "it needs step 9, which is not in the plan",
        "it needs step 3, which could not be added",
    ]


def test_what_cannot_be_a_step_is_on_record_with_its_reason() -> None:
    text = "1. find('x')\n2. height()\n3. height('abc')\n"

    result, facts = journaled(planned(text))

    assert result.output[0] == {"3": 3.0}
    refused = [fact for fact in facts if isinstance(fact, EditRefused)]
    assert [fact.reason for fact in refused] == ["unfit", "unfit"]
    assert "there is no tool 'find'" in refused[0].detail


def test_a_failure_is_data_and_what_reads_it_is_skipped() -> None:
    results, _, _ = run(planned("1. broken('x')\n2. search($1)\n3. height('ab')\n"), crash_at="each").output

    assert results["1"] == "ValueError"
    assert results["3"] == 2.0
    assert "search" not in " ".join(CALLED)
    assert set(results) == {"1", "2", "3"}


@pytest.mark.parametrize(
    ("format", "text"),
    [
        ("numbered", "1. height('ab')\n2. add($1, 1)\n"),
        ("json", '{"steps": [{"tool": "height", "args": ["ab"]}, {"tool": "add", "args": ["$1", 1]}]}'),
        ("program", "h = height('ab')\nreturn add(h, 1)\n"),
    ],
)
def test_every_format_makes_the_same_plan(format: str, text: str) -> None:
    results, _, _ = run(planned(text, format)).output

    assert sorted(results.values()) == [2.0, 3.0]


@ms.workflow
async def from_text(text: str) -> dict[str, Any]:
    plan = LivePlan(TOOLS)
    await plan.ingest(text)
    await plan.settled()
    return told(plan)


def test_a_plan_may_be_a_text() -> None:
    assert run(from_text("1. height('ab')\n2. add($1, 1)"), crash_at="each").output == {"1": 2.0, "2": 3.0}


@ms.prompt(models=["main"])
def asks(goal: str) -> AsyncIterator[str]:
    """Plan {goal}."""
    return ms.chat()


@ms.workflow
async def by_model(goal: str) -> dict[str, Any]:
    plan = LivePlan(TOOLS)
    await plan.ingest(asks(goal))
    await plan.settled()
    return told(plan)


def test_a_model_may_write_the_plan() -> None:
    models = Scripted("1. height('ab')\n2. add($1, 1)\n3. join()")

    assert run(by_model("x"), models=models, crash_at="each").output == {"1": 2.0, "2": 3.0}


# ---------------------------------------------------------------- planners that are cut


class Drafts:
    """A planner whose attempts say other texts."""

    texts: ClassVar[list[tuple[str, bool]]] = []
    """Text, and whether the attempt ends well."""


@ms.task(retries=3)
async def changes_its_mind(goal: str) -> AsyncIterator[str]:
    attempt = CALLED.count("planner")
    CALLED.append("planner")
    text, is_whole = Drafts.texts[min(attempt, len(Drafts.texts) - 1)]
    for line in text.splitlines(keepends=True):
        await asyncio.sleep(0.5)
        yield line
    if not is_whole:
        raise ConnectionError("cut")


@ms.workflow
async def replanned(goal: str) -> tuple[dict[str, Any], list[str]]:
    plan = LivePlan(TOOLS)
    got = await plan.ingest(changes_its_mind(goal))
    await plan.settled()
    return told(plan), list(got.steps)


def replan(*texts: tuple[str, bool]) -> tuple[Any, list[Any]]:
    Drafts.texts = list(texts)
    return journaled(replanned("x"))


def test_a_planner_that_is_cut_and_says_the_same_again_changes_nothing() -> None:
    text = "1. search('a')\n2. search('b $1')\n"

    result, facts = replan((text, False), (text + "3. height('ab')\n", True))

    assert result.output[1] == ["1", "2", "3"]
    assert CALLED.count("search a") == 1
    assert len([fact for fact in facts if isinstance(fact, EditApplied)]) == 3


def test_a_planner_that_begins_otherwise_replaces_what_has_not_started() -> None:
    first = "1. slow('a')\n2. search('b ${1}')\n3. height($2)\n"
    second = "1. slow('a')\n2. search('c ${1}')\n3. height($2)\n"

    result, facts = replan((first, False), (second, True))

    assert "search c (a)" in CALLED
    assert "search b (a)" not in CALLED
    assert result.output[0]["3"] == float(len("<c (a)>"))
    assert "Batch" in {fact.kind for fact in facts if isinstance(fact, EditApplied)}


def test_what_has_started_stays_and_the_other_gets_a_name_of_its_own() -> None:
    result, _ = replan(("1. search('a')\n", False), ("1. search('b')\n2. glue([$1])\n", True))

    results, steps = result.output
    assert steps == ["1.2", "2"]
    assert results == {"1": "<a>", "1.2": "<b>", "2": "<b>"}


def test_what_is_not_said_again_is_dropped_where_it_has_not_started() -> None:
    first = "1. slow('a')\n2. search('b ${1}')\n3. glue([$2])\n"

    result, facts = replan((first, False), ("1. slow('a')\n", True))

    assert result.output == ({"1": "(a)"}, ["1"])
    assert CALLED == ["planner", "slow a", "planner"]
    reasons = [fact.why for fact in facts if isinstance(fact, EditApplied) and fact.kind != "AddTasks"]
    assert reasons == ["the planner began again without it"] * 2


@ms.workflow
async def planner_fails() -> tuple[str, dict[str, Any], list[str]]:
    plan = LivePlan(TOOLS)
    kind = ""
    try:
        await plan.ingest(changes_its_mind.options(retries=0)("x"))
    except ms.TaskError as error:
        kind = error.type
    await plan.settled()
    return kind, told(plan), [problem.message for problem in plan.problems]


def test_what_a_planner_said_before_it_failed_stays_with_its_problems() -> None:
    Drafts.texts = [("1. height('ab')\nwhat?\n2. broken(\n3. height($1\n", False)]

    result, _ = journaled(planner_fails())

    kind, results, problems = result.output
    assert kind == "ConnectionError"
    assert results["1"] == 2.0
    assert problems


def test_a_planner_of_which_another_answer_counts_than_was_heard() -> None:
    class Breaking(Scripted):
        async def stream(self, request: Any, on_text: Any) -> Any:
            on_text("1. height('abc')\n2. height('$1 x')\n")
            raise ProviderError("overloaded", kind="server", retryable=True)

    models = {"bad": Breaking(""), "good": Scripted("1. height('ab')")}

    @ms.workflow
    async def falls_back() -> dict[str, Any]:
        plan = LivePlan(TOOLS)
        await plan.ingest(asks.options(models=["bad", "good"])("x"))
        await plan.settled()
        return told(plan)

    results = run(falls_back(), models=models).output

    assert 2.0 in results.values()


# ---------------------------------------------------------------- edits


@ms.workflow
async def edited() -> tuple[dict[str, Any], list[str]]:
    plan = LivePlan(TOOLS)
    await plan.edit([Add(step("1", "search", "a")), Add(step("2", "search", "$1")), Add(step("3", "glue", ["x"]))])
    await plan.edit([Add(step("4", "glue", ["y"], after=["2"]))], author="ann", why="at the end")
    verdicts = [
        await plan.edit([Replace("2", step("2", "height", "$1"))], author="ann"),
        await plan.edit([Drop("4")]),
        await plan.edit([Add(step("5", "add", "$2"))]),
    ]
    await plan.settled()
    return told(plan), [verdict.reason for verdict in verdicts]


def test_steps_are_added_replaced_and_dropped() -> None:
    results, reasons = run(edited(), crash_at="each").output

    assert results == {"1": "<a>", "3": "x", "2": 3.0, "5": 3.0}
    assert reasons == ["", "", ""]


@ms.workflow
async def one_batch() -> dict[str, Any]:
    plan = LivePlan(TOOLS)
    await plan.ingest("1. search('a')\n2. search('b ${1}')\n3. search('c ${2}')\n")
    verdict = await plan.edit(
        [Drop("3"), Drop("2"), Add(step("4", "height", "$1")), Add(step("2", "add", "$4", 1.0))], seen=plan.revision
    )
    assert verdict.added == ("4", "2")
    await plan.settled()
    return told(plan)


def test_several_changes_are_one_edit() -> None:
    assert run(one_batch(), crash_at="each").output == {"1": "<a>", "4": 3.0, "2": 4.0}


REFUSED: list[tuple[list[Any], str, str]] = [
    ([Add(step("1", "search", "x"))], "duplicate", "there is a step 1 already"),
    ([Add(step("9", "search", "x")), Add(step("9", "search", "y"))], "duplicate", "there is a step 9 already"),
    ([Add(step("9", "find", "x"))], "unfit", "step 9: there is no tool 'find'"),
    ([Add(step("9", "search", "$8"))], "unfit", "step 9: it refers to step 8"),
    ([Add(step("9", "search", "x", after=["8"]))], "unfit", "step 9: it comes after step 8"),
    ([Drop("8")], "unknown_task", "there is no step 8"),
    ([Drop("3"), Drop("3")], "unknown_task", "there is no step 3"),
    ([Drop("1")], "already_started", "step 1 has ended"),
    ([Drop("2")], "already_started", "has started"),
    ([Replace("2", step("2", "search", "z"))], "already_started", "has started"),
    ([Drop("3")], "dangling", "which would be gone"),
    ([Drop("3"), Replace("4", step("4", "glue", ["$3"]))], "unfit", "it refers to step 3"),
    ([Replace("3", step("1", "search", "z"))], "duplicate", "there is a step 1 already"),
    ([Replace("3", step("3", "search", "$4"))], "cycle", "need each other"),
    ([Replace("3", step("3", "search", "b"))], "duplicate", "the same call as another step"),
]


@ms.workflow
async def refused(number: int) -> tuple[str, str, dict[str, Any]]:
    plan = LivePlan(TOOLS)
    await plan.ingest("1. search('a')\n2. search('b')\n")
    await plan.settled(["1"])
    await plan.ingest("3. search('c ${2}')\n4. glue([$3])\n")
    changes = REFUSED[number][0]
    verdict = await plan.edit(changes, author="ann", why="try")
    await plan.settled()
    return verdict.reason, verdict.detail, told(plan)


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_an_edit_that_makes_no_sense_is_refused_and_changes_nothing(number: int) -> None:
    _, reason, detail = REFUSED[number]
    slow = {search: _slow_search}

    result = run(refused(number), fakes=slow, crash_at="each")

    assert result.output[0] == reason
    assert detail in result.output[1]
    assert result.output[2] == {"1": "<a>", "2": "<b>", "3": "<c <b>>", "4": "<c <b>>"}


async def _slow_search(query: str, limit: int = 3) -> str:
    await asyncio.sleep(5 if query == "b" else 1)
    return f"<{query}>"


@ms.workflow
async def stale() -> list[str]:
    plan = LivePlan(TOOLS)
    await plan.ingest("1. search('a')\n2. search('b ${1}')\n3. search('c ${1}')\n")
    seen = plan.revision
    first = await plan.edit([Replace("2", step("2", "height", "$1"))], author="ann", seen=seen)
    second = await plan.edit([Drop("2")], author="bob", seen=seen)
    third = await plan.edit([Drop("3")], author="bob", seen=seen)
    return [first.reason, second.reason, second.detail, third.reason]


def test_an_editor_does_not_change_what_another_has_changed_since_it_looked() -> None:
    output = run(stale(), crash_at="each").output

    assert output == ["", "stale", "step 2 was changed by ann meanwhile", ""]


@ms.workflow
async def at_once() -> tuple[list[str], list[str]]:
    plan = LivePlan(TOOLS)
    verdicts = await asyncio.gather(
        plan.edit([Add(step("1", "search", "a"))]),
        plan.edit([Add(step("1", "search", "b"))]),
        plan.edit([Add(step("2", "search", "$1"))]),
    )
    await plan.settled()
    return [verdict.reason for verdict in verdicts], sorted(map(str, told(plan).values()))


def test_edits_asked_for_at_once_are_made_one_after_the_other() -> None:
    assert run(at_once(), crash_at="each").output == (["", "duplicate", ""], ["<<a>>", "<a>"])


@ms.workflow
async def editor_is_cancelled() -> dict[str, Any]:
    plan = LivePlan(TOOLS)
    editor = asyncio.create_task(plan.edit([Add(step("1", "search", "a"))]))
    await asyncio.sleep(0)
    editor.cancel()
    await asyncio.gather(editor, return_exceptions=True)
    await plan.edit([Add(step("2", "glue", ["$1"]))])
    await plan.settled()
    return told(plan)


def test_an_edit_whose_editor_is_cancelled_is_made_all_the_same_and_known_to_the_plan() -> None:
    assert run(editor_is_cancelled(), crash_at="each").output == {"1": "<a>", "2": "<a>"}


@ms.workflow
async def limited() -> list[str]:
    plan = LivePlan(TOOLS, max_steps=2)
    verdicts = [await plan.edit([Add(step(name, "search", name))]) for name in "123"]
    verdicts.append(await plan.edit([Drop("2"), Add(step("4", "search", "4", after=["1"]))]))
    return [verdict.reason for verdict in verdicts]


def test_a_plan_has_at_most_so_many_steps() -> None:
    result, facts = journaled(limited())

    assert result.output[:3] == ["", "", "limit"]
    assert next(fact.reason for fact in facts if isinstance(fact, EditRefused)) == "limit"


# ---------------------------------------------------------------- one call, several steps


@ms.workflow
async def twice_the_same() -> tuple[dict[str, Any], list[str]]:
    plan = LivePlan(TOOLS)
    await plan.ingest("1. search('a')\n2. search('a')\n3. glue([$1, $2])\n")
    await plan.settled()
    return told(plan), plan.steps_of(plan.steps["1"].ref._task)


def test_the_same_call_twice_is_made_once() -> None:
    result, _ = journaled(twice_the_same())

    assert result.output == ({"1": "<a>", "2": "<a>", "3": "<a><a>"}, ["1", "2"])
    assert CALLED.count("search a") == 1


@ms.workflow
async def drops_one_of_two(dropped: str) -> tuple[list[str], dict[str, Any]]:
    plan = LivePlan(TOOLS)
    await plan.ingest("1. height('ab')\n2. search('x ${1}')\n3. search('x ${1}')\n4. glue([$3])\n")
    verdicts = [
        await plan.edit([Drop(dropped)]),
        await plan.edit([Replace("3", step("3", "height", "z"))]),
    ]
    await plan.settled()
    return [verdict.reason for verdict in verdicts], told(plan)


def test_a_step_that_shares_its_call_may_go_and_the_call_stays_for_the_other() -> None:
    reasons, results = run(drops_one_of_two("2"), crash_at="each").output

    assert reasons == ["", ""]
    assert results["3"] == 1.0
    assert "2" not in results


def test_a_step_that_is_read_may_not_go_although_its_call_would_stay() -> None:
    reasons, results = run(drops_one_of_two("3"), crash_at="each").output

    assert reasons == ["dangling", "duplicate"]
    assert results["2"] == results["3"] == "<x 2>"


@ms.workflow
async def drops_shared_text() -> dict[str, Any]:
    plan = LivePlan(TOOLS)
    await plan.ingest("1. height('ab')\n2. search('x ${1}')\n3. search('x ${1}', 7)\n")
    assert await plan.edit([Drop("2")])
    assert await plan.edit([Add(step("4", "search", "$1"))])
    await plan.settled(["1"])
    assert await plan.edit([Add(Step("5", "search", (Text(("x ", Reference("1"))), 9)))])
    await plan.settled()
    return told(plan)


def test_a_text_that_another_step_reads_stays_when_a_step_goes() -> None:
    output = run(drops_shared_text(), crash_at="each").output

    assert output == {"1": 2.0, "3": "<x 2>", "4": "<2>", "5": "<x 2>"}


@ms.workflow
async def drops_and_adds() -> dict[str, Any]:
    plan = LivePlan(TOOLS)
    await plan.ingest("1. height('ab')\n2. search('x ${1}')\n")
    same = Step("2", "search", (Text(("x ", Reference("1"))),))
    assert await plan.edit([Drop("2")])
    assert await plan.edit([Add(same)])
    assert await plan.edit([Drop("2"), Add(Step("3", "search", same.args))])
    assert await plan.edit([Replace("3", Step("3", "search", same.args, why="said better"))])
    await plan.settled()
    return told(plan)


def test_a_step_that_went_may_come_again() -> None:
    assert run(drops_and_adds(), crash_at="each").output == {"1": 2.0, "3": "<x 2>"}


@ms.workflow
async def asks_again() -> tuple[dict[str, Any], int]:
    plan = LivePlan(TOOLS)
    for name in ("1", "2", "3"):
        await plan.edit([Add(step(name, "broken", "x"))])
        await plan.settled()
    await plan.edit([Add(step("4", "broken", "x")), Add(step("5", "broken", "x"))])
    await plan.settled()
    return told(plan), len({planned.ref._task for planned in plan.steps.values()})


def test_a_call_that_failed_is_made_again_when_it_is_asked_for_again() -> None:
    results, calls = run(asks_again(), crash_at="each").output

    assert set(results.values()) == {"ValueError"}
    assert calls == 4, "two that are asked for together are one"


# ---------------------------------------------------------------- needs, after, waiting


@ms.workflow
async def narrow() -> list[tuple[str, float]]:
    plan = LivePlan([search, height])
    for name in ("1", "2"):
        await plan.edit([Add(Step(name, "search", (name,), needs={"desk": 1}))])
    await plan.edit([Add(step("3", "height", "x", after=["2"]))])
    await plan.settled()
    return [(name, round(planned.at_s)) for name, planned in plan.steps.items()]


def test_steps_take_units_of_pools_and_wait_for_others() -> None:
    assert run(narrow(), engine={"pools": {"desk": 1}}).output == [("1", 2), ("2", 4), ("3", 5)]


@ms.workflow
async def batches() -> list[list[str]]:
    plan = LivePlan(TOOLS)
    await plan.ingest("1. height('a')\n2. search('b')\n3. slow('cc')\n4. search($1)\n")
    seen = []
    while ended := await plan.completions():
        seen.append(ended)
    return seen


def test_completions_come_in_the_order_of_the_ends_and_are_empty_at_the_end() -> None:
    assert run(batches()).output == [["1"], ["2"], ["4"], ["3"]]


@ms.workflow
async def waits_for_some() -> tuple[float, list[str], list[str]]:
    plan = LivePlan(TOOLS)
    began = ms.context().now()
    await plan.ingest("1. height('a')\n2. search('b')\n3. add($1)\n4. glue([$2])\n")
    await plan.settled(["1", "3", "nothing"])
    at = (ms.context().now() - began).total_seconds()
    return at, plan.open_steps(), plan.dependants(["2"])


def test_a_body_may_wait_for_some_steps() -> None:
    at, left, dependants = run(waits_for_some()).output

    assert at == pytest.approx(2, abs=0.01)
    assert set(left) <= {"2", "4"}
    assert dependants in ([], ["4"])


@ms.workflow
async def held_back() -> tuple[dict[str, Any], str]:
    plan = LivePlan(TOOLS)
    await plan.ingest("1. height('ab')\n2. search('b ${1}')\n3. glue([$2])\n")
    plan.hold(plan.dependants(["1"]))
    await plan.settled(["1"])
    await says("thinking", 3.0)
    verdict = await plan.edit([Replace("2", step("2", "height", "better"))], why="a better idea")
    plan.let_go(["2", "3"])
    await plan.settled()
    return told(plan), verdict.reason


def test_steps_that_are_held_can_still_be_replaced_when_their_inputs_are_there() -> None:
    results, reason = run(held_back(), crash_at="each").output

    assert reason == ""
    assert results["2"] == 6.0
    assert not [call for call in CALLED if call.startswith("search b")]


# ---------------------------------------------------------------- workflows as tools, and where plans live


@ms.workflow
def twice(x: float) -> float:
    return add(x, height("ab"))


@ms.workflow
async def thrice(x: float) -> float:
    return await add(await add(x, x), x)


@ms.workflow
async def with_workflows() -> dict[str, Any]:
    plan = LivePlan([twice, thrice])
    await plan.ingest("1. twice(1)\n2. thrice($1)\n")
    await plan.settled()
    return told(plan)


def test_workflows_of_both_kinds_are_tools() -> None:
    assert run(with_workflows(), crash_at="each").output == {"1": 3.0, "2": 9.0}


@ms.workflow
async def two_plans() -> list[dict[str, Any]]:
    first, second = LivePlan(TOOLS, name="first"), LivePlan(TOOLS, name="second")
    await asyncio.gather(first.ingest("1. search('a')"), second.ingest("1. search('a')"))
    await asyncio.gather(first.settled(), second.settled())
    return [told(first), told(second)]


def test_two_plans_of_one_workflow_know_nothing_of_each_other() -> None:
    assert run(two_plans(), crash_at="each").output == [{"1": "<a>"}, {"1": "<a>"}]


@ms.workflow
async def inner(text: str) -> dict[str, Any]:
    async with ms.scope("planned", deadline_s=60):
        plan = LivePlan(TOOLS)
        await plan.ingest(text)
        await plan.settled()
    return told(plan)


@ms.workflow
async def outer() -> list[dict[str, Any]]:
    return await ms.gather(inner("1. search('a')"), inner("1. height('ab')\n2. add($1)"))


def test_plans_live_in_sub_workflows_and_scopes() -> None:
    assert run(outer(), crash_at="each").output == [{"1": "<a>"}, {"1": 2.0, "2": 2.0}]


@ms.workflow
async def second_round() -> dict[str, Any]:
    plan = LivePlan(TOOLS)
    await plan.ingest("1. height('ab')\n2. add($1, 1)\n")
    await plan.settled()
    again = await plan.ingest("1. add($2, 10)\n3. add($1, 100)\n")
    await plan.settled()
    return {**told(plan), "names": list(again.steps)}


def test_a_second_text_has_names_of_its_own_and_may_refer_to_the_first() -> None:
    output = run(second_round(), crash_at="each").output

    assert output == {"1": 2.0, "2": 3.0, "1.2": 13.0, "3": 113.0, "names": ["1.2", "3"]}


@ms.workflow
async def over_in_time() -> tuple[str, list[str]]:
    plan = None
    try:
        async with ms.scope("short", deadline_s=1):
            plan = LivePlan(TOOLS)
            await plan.ingest(says("1. search('a')\n2. search('${1}')\n3. search('c')\n", 0.4))
            await plan.settled()
    except ms.LimitError:
        assert plan is not None
        return "over", sorted({how.status for how in plan.outcomes().values()})
    return "in time", []


def test_a_deadline_around_a_plan_ends_it() -> None:
    how, statuses = run(over_in_time()).output

    assert how == "over"
    assert "succeeded" not in statuses


@ms.workflow
def plain() -> int:
    LivePlan(TOOLS)
    return 1  # type: ignore[return-value]


def test_a_plan_grows_in_async_workflows_only() -> None:
    with pytest.raises(ms.GraphError, match="in an async workflow only"):
        run(plain())
    with pytest.raises(ms.GraphError, match="inside a workflow only"):
        LivePlan(TOOLS)


def test_a_format_that_is_not_there_is_said() -> None:
    result = run(planned("x", "yaml"))

    assert "no plan format is called 'yaml'" in str(result.error)


# ---------------------------------------------------------------- cost


def facts_for(steps: int) -> list[Any]:
    lines = "".join(f"{n}. glue(['{n}'])\n" for n in range(1, steps + 1))
    return journaled(from_text(lines))[1]


def test_a_step_costs_the_journal_the_same_however_many_there_are() -> None:
    few, many = facts_for(5), facts_for(55)

    assert (len(many) - len(few)) / 50 == 6
    kinds = [sum(isinstance(fact, kind) for fact in many) for kind in (EditApplied, TaskAdded, AttemptStarted)]
    assert kinds == [55, 1 + 2 * 55, 1 + 55]


# ---------------------------------------------------------------- changed code


def author_of(version: list[str]) -> Any:
    """A workflow whose edits say another reason in each version of its code."""

    @ms.workflow(key="versioned")
    async def versioned() -> dict[str, Any]:
        plan = LivePlan([echo, double])
        why = version[0]
        assert await plan.edit([Add(step("1", "echo", 3))], why=why)
        await plan.settled()
        assert await plan.edit([Add(step("2", "double", "$1"))], why=why)
        await plan.settled()
        return told(plan)

    return versioned


@ms.task
def echo(n: int) -> int:
    return n


@ms.task
def double(n: int) -> int:
    CALLED.append(f"double {n}")
    return 2 * n


def test_code_that_asks_for_the_same_step_in_other_words_gets_its_result() -> None:
    workflow = author_of(["first"])
    whole = Life.first(workflow(), 1).run()
    for cut in range(1, len(whole.turns)):
        again = Life.resumed(whole.turns[:cut], author_of(["second"]), 1).run()

        assert again.output == whole.output == {"1": 3, "2": 6}
        assert not reruns(whole.turns[:cut], again)


def test_a_step_takes_as_many_calls_of_functions_however_many_there_are() -> None:
    few, more, most = (calls_for(steps) for steps in (40, 120, 360))

    assert (most - more) / 240 == pytest.approx((more - few) / 80, rel=0.03)


def calls_for(steps: int) -> int:
    """Calls of Python functions that a streamed plan takes."""
    text = "".join(f"{n}. glue(['{n}'{', $' + str(n - 1) if n > 1 else ''}])\n" for n in range(1, steps + 1))
    call, calls = planned(text), 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        result, _ = journaled(call)
    finally:
        sys.setprofile(before)
    assert len(result.output[0]) == steps
    return calls

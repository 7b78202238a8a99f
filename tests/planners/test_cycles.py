"""Edit cycles: batches, holds, late and failing editors, refusals that are told. On the virtual clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import makespan as ms
from makespan.errors import GraphError
from makespan.planners.changes import Add, Drop, Replace
from makespan.planners.cycles import Cycle, Window, edit_cycle
from makespan.planners.live import LivePlan
from makespan.planners.patches import Answer, Said
from makespan.planners.steps import Reference, Step


@ms.task
async def work(name: str, takes_s: float = 1.0, reads: list[Any] = []) -> str:  # noqa: B006
    await asyncio.sleep(takes_s)
    if name == "broken":
        raise ValueError("it is broken")
    return name


def step(name: str, takes_s: float = 1.0, *reads: str, says: str = "") -> Step:
    return Step(name, "work", (), {"name": says or name, "takes_s": takes_s, "reads": [Reference(r) for r in reads]})


Thought = Callable[[Window], Any]


def slow(thought: Thought, *takes_s: float) -> tuple[Any, list[Window]]:
    """An editor that thinks so long for each of its calls, the last for all that follow; and what it was asked."""
    asked: list[Window] = []

    @ms.task(key="slow_editor")
    async def editor(window: Window) -> list[Add | Drop | Replace] | Answer | str | None:
        asked.append(window)
        await asyncio.sleep(takes_s[min(len(asked), len(takes_s)) - 1])
        answer: list[Add | Drop | Replace] | Answer | str | None = thought(window)
        return answer

    return editor, asked


def cycled(steps: list[Step], editor: Any, **options: Any) -> tuple[Cycle, dict[str, float], dict[str, str]]:
    """What an edit cycle came to, when each step of its plan ended, and how."""

    @ms.workflow
    async def flow() -> tuple[Cycle, dict[str, float], dict[str, str]]:
        plan = LivePlan([work])
        await plan.edit([Add(each) for each in steps], author="planner")
        cycle = await edit_cycle(plan, editor, **options)
        await plan.settled()
        ends = {name: planned.at_s for name, planned in plan.steps.items()}
        return cycle, ends, {name: outcome.status for name, outcome in plan.outcomes().items()}

    return ms.testing.run(flow()).output


def names(windows: list[Window]) -> list[list[str]]:
    return [[ended.name for ended in window.ended] for window in windows]


def test_what_ends_while_the_editor_thinks_is_given_to_it_in_one_batch() -> None:
    editor, asked = slow(lambda _: None, 10.0)

    cycle, _, _ = cycled([step("a", 1), *[step(f"b{n}", 2 + n) for n in range(5)]], editor)

    assert names(asked) == [["a"], ["b0", "b1", "b2", "b3", "b4"]]
    assert cycle.calls == 2


def test_what_reads_an_ended_step_is_held_while_all_else_goes_on() -> None:
    editor, _ = slow(lambda _: None, 10.0, 0.0)

    _, ends, _ = cycled([step("a", 1), step("reads a", 1, "a"), step("b", 2), step("c", 9)], editor)

    assert ends == {"a": 1.0, "b": 2.0, "c": 9.0, "reads a": 12.0}


def test_a_held_step_can_still_be_replaced_and_what_depends_on_it_reads_the_new_one() -> None:
    def thought(window: Window) -> Any:
        return [Replace("b", step("b2", 1, "a"))] if "a" in names([window])[0] else None

    editor, _ = slow(thought, 5.0, 0.0)
    cycle, ends, _ = cycled([step("a", 1), step("b", 1, "a"), step("c", 1, "b")], editor)

    assert cycle.applied == 1
    assert ends == {"a": 1.0, "b2": 7.0, "c": 8.0}


def test_a_step_that_is_added_while_the_editor_thinks_waits_if_it_reads_what_is_thought_about() -> None:
    editor, asked = slow(lambda w: [Add(step("new", 1, "b"))] if len(w.ended) == 1 and not w.refused else None, 3.0)

    _, ends, _ = cycled([step("a", 1), step("b", 2)], editor, max_calls=2)

    assert names(asked) == [["a"], ["b"]]
    assert ends["new"] == 8.0  # added at 4 s, and b is thought about until 7 s


def test_an_editor_slower_than_its_timeout_holds_nobody_and_its_answer_still_counts() -> None:
    editor, asked = slow(lambda w: [Add(step("late", 1))] if w.revision == 1 else None, 5_000.0, 0.0)

    cycle, ends, _ = cycled([step("a", 1), step("b", 1, "a"), step("c", 1, "b")], editor, editor_timeout_s=10.0)

    assert ends == {"a": 1.0, "b": 12.0, "c": 13.0, "late": 5_002.0}
    assert names(asked)[:2] == [["a"], ["b", "c"]]
    assert (cycle.overdue, cycle.applied) == (1, 1)


def test_a_late_edit_of_what_has_started_meanwhile_is_refused_and_told() -> None:
    editor, asked = slow(lambda w: [Drop("b")] if w.ended[0].name == "a" and not w.refused else None, 60.0, 0.0)

    cycle, ends, _ = cycled([step("a", 1), step("b", 100, "a")], editor, editor_timeout_s=10.0)

    assert ends["b"] == 111.0
    assert [refused.reason for refused in cycle.refused] == ["already_started"]
    assert [refused.reason for refused in asked[1].refused] == ["already_started"]


def test_an_edit_of_a_step_that_another_has_changed_since_is_stale() -> None:
    @ms.workflow
    async def flow() -> list[str]:
        plan = LivePlan([work])
        await plan.edit([Add(step("a")), Add(step("gate", 50)), Add(step("b", 1, "gate"))])
        editor, _ = slow(lambda w: [Drop("b")] if w.revision == 1 and not w.refused else None, 10.0, 0.0)
        cycling = asyncio.ensure_future(edit_cycle(plan, editor))
        await ms.sleep(5)
        await plan.edit([Replace("b", step("b", 2, "gate"))], author="ann")
        return [refused.reason + " " + refused.detail for refused in (await cycling).refused]

    assert ms.testing.run(flow()).output == ["stale step b was changed by ann meanwhile"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ([Drop("nobody")], "unknown_task"),
        ([Add(Step("x", "walk"))], "unfit"),
        ([Add(step("a"))], "duplicate"),
        ([Drop("a")], "already_started"),
        ("I would rather talk about the weather.", "unreadable"),
        ('[{"frob": 1}]', "unreadable"),
    ],
)
def test_an_edit_that_makes_no_sense_is_refused_and_the_editor_asked_once_more(answer: Any, reason: str) -> None:
    editor, asked = slow(lambda _: answer, 1.0)

    cycle, _, statuses = cycled([step("a"), step("b", 1, "a")], editor, max_calls=2)

    assert [refused.reason for refused in cycle.refused] == [reason, reason]
    assert names(asked) == [["a"], ["a"]]
    assert [refused.reason for refused in asked[1].refused] == [reason]
    assert statuses == {"a": "succeeded", "b": "succeeded"}


def test_a_failing_editor_is_on_record_and_the_next_batch_has_what_it_was_asked_about() -> None:
    def thought(window: Window) -> Any:
        if window.ended[-1].name == "a":
            raise ValueError("the model is down")

    editor, asked = slow(thought, 1.0)
    cycle, ends, _ = cycled([step("a"), step("b", 1, "a")], editor)

    assert names(asked) == [["a"], ["a", "b"]]
    assert ends["b"] == 3.0
    assert len(cycle.failures) == 1
    assert "the model is down" in cycle.failures[0]


def test_a_failing_editor_is_told_in_the_journal_as_a_refused_edit() -> None:
    @ms.workflow
    async def flow() -> int:
        plan = LivePlan([work])
        await plan.edit([Add(step("a"))])
        return (await edit_cycle(plan, _raises)).calls

    result = ms.testing.run(flow())
    assert result.output == 1


def _raises(window: Window) -> None:
    raise RuntimeError("no")


def test_only_failures_are_a_reason_where_one_says_so_and_the_batch_has_all_ends() -> None:
    editor, asked = slow(lambda w: [Add(step("instead", 1))] if w.revision == 1 else None, 1.0)

    _, ends, statuses = cycled(
        [step("a", 1), step("b", 1, "a"), step("bad", 5, says="broken"), step("reads", 1, "bad")], editor, when="failed"
    )

    assert names(asked) == [["a", "b", "bad", "reads"]]
    assert [ended.status for ended in asked[0].ended] == ["succeeded", "succeeded", "failed", "failed"]
    assert asked[0].ended[2].error == "ValueError: it is broken"
    assert ends["b"] == 2.0
    assert statuses["instead"] == "succeeded"


def test_a_predicate_chooses_the_ends_that_are_a_reason() -> None:
    editor, asked = slow(lambda _: None, 1.0)

    cycle, _, _ = cycled([step("a", 1), step("b", 2), step("c", 3)], editor, when=lambda name, _: name == "b")

    assert names(asked) == [["a", "b"]]
    assert cycle.untold == ["c"]


def test_a_typed_answer_and_text_with_slips_are_edits_too() -> None:
    answers: list[Any] = [
        Answer([Said("add", "x", "work", {"name": "x", "reads": ["${a}"]})], "more"),
        'Sure!\n```json\n[{"add": {"name": "y", "tool": "work", "args": {"name": "y",},}}]\n```',
        "No changes needed.",
        None,
    ]
    editor, _ = slow(lambda w: answers.pop(0) if answers else None, 1.0)

    cycle, _, statuses = cycled([step("a")], editor)

    assert statuses == {"a": "succeeded", "x": "succeeded", "y": "succeeded"}
    assert cycle.refused == []


def test_a_person_may_be_the_editor() -> None:
    @ms.workflow
    async def flow() -> list[str]:
        plan = LivePlan([work])
        await plan.edit([Add(step("a")), Add(step("b", 1, "a"))])
        await edit_cycle(plan, lambda w: ms.ask(f"{w.ended[0].name} is done: what now?", str), max_calls=1)
        await plan.settled()
        return list(plan.steps)

    result = ms.testing.run(flow(), answers={"a is done: what now?": '[{"drop": "b"}]'})

    assert result.output == ["a"]


def test_the_editor_sees_the_plan_in_the_words_of_edits() -> None:
    editor, asked = slow(lambda _: None, 1.0)

    cycled([step("a"), step("b", 1, "a")], editor, goal="be done")

    shown = asked[0].plan[1]
    assert (shown.name, shown.tool, shown.args["reads"], shown.status) == ("b", "work", ["${a}"], "waiting")
    assert asked[0].goal == "be done"
    assert [tool["name"] for tool in asked[0].tools] == ["work"]


def test_a_cycle_goes_on_while_a_planner_writes() -> None:
    @ms.task
    async def planner() -> AsyncIterator[str]:
        yield '1. work("a")\n'
        await asyncio.sleep(20)
        yield '2. work("b")\n'

    asked: list[list[str]] = []

    @ms.workflow
    async def flow() -> list[str]:
        plan = LivePlan([work])
        writing = asyncio.ensure_future(plan.ingest(planner()))
        await plan.news()
        cycle = await edit_cycle(plan, lambda w: asked.append([e.name for e in w.ended]))
        await writing
        return [str(cycle.calls), *plan.outcomes()]

    assert ms.testing.run(flow()).output == ["2", "1", "2"]


def test_an_edit_cycle_belongs_into_a_live_body() -> None:
    with pytest.raises(GraphError):
        asyncio.run(edit_cycle(None, lambda _: None))  # type: ignore[arg-type]


def test_a_killed_cycle_asks_the_same_again_and_applies_each_answer_once() -> None:
    @ms.task
    async def editor(window: Window) -> list[dict[str, Any]]:
        await asyncio.sleep(7)
        if window.ended[0].name != "a":
            return []
        return [{"drop": "d"}, {"add": {"name": "e", "tool": "work", "args": {"name": "e", "reads": ["${b}"]}}}]

    @ms.workflow
    async def flow() -> list[str]:
        plan = LivePlan([work])
        await plan.edit([Add(step("a")), Add(step("b", 2)), Add(step("d", 1, "a"))])
        cycle = await edit_cycle(plan, editor)
        return [*plan.steps, str(cycle.applied)]

    assert ms.testing.run(flow(), crash_at="each").output == ["a", "b", "e", "1"]

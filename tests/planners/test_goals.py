"""Goals with fallbacks in a live plan: what starts, what is cancelled, what is left alone, and how they may change."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import makespan as ms
from makespan.machine.facts import EditApplied, EditRefused
from makespan.planners.goal_edits import (
    MAX_PATHS,
    AddGoal,
    AddPath,
    DropGoal,
    DropPath,
    Goal,
    GoalChange,
    ReplaceGoal,
    ReplacePath,
)
from makespan.planners.goals import Goals, Judge
from makespan.planners.live import LivePlan
from makespan.testing import running
from tests.planners.tools import journaled

MADE: list[str] = []
ENDED: list[str] = []


@pytest.fixture(autouse=True)
def fresh() -> None:
    MADE.clear()
    ENDED.clear()


@ms.task(retries=0)
async def search(query: str, seconds: float = 1.0) -> str:
    """Look something up."""
    MADE.append(query)
    await asyncio.sleep(seconds)
    if "gone" in query:
        raise LookupError(f"{query} is not there")
    ENDED.append(query)
    return f"<{query}>"


@ms.task(effect="irreversible", retries=0)
async def send(text: str) -> str:
    """Send something that cannot be taken back."""
    MADE.append(f"send {text}")
    await asyncio.sleep(10)
    ENDED.append(f"send {text}")
    return f"sent {text}"


def goal(name: str, *paths: str, **how: Any) -> Goal:
    return Goal(name, f"what {name} is", [path.split("; ") for path in paths], **how)


Told = list[tuple[str, str, Any, list[str]]]
"""Of each goal: name, status, result, and how its paths did."""


async def pursue(goals: Goals) -> Told:
    while not goals.are_over:
        await goals.advance()
        if not goals.are_over:
            await goals.plan.news()
    return [(view.name, view.status, view.result, [path.status for path in view.paths]) for view in goals.views()]


def trying(*wanted: Goal, judge: Judge | None = None, judge_all: bool = False) -> ms.Ref[Told]:
    @ms.workflow(key="try")
    async def attempt() -> Told:
        goals = Goals(LivePlan([search, send]), judge=judge, judge_all=judge_all)
        verdict = await goals.edit([AddGoal(each) for each in wanted], author="planner")
        assert verdict, verdict
        return await pursue(goals)

    return attempt()


# ------------------------------------------------------------ paths


def test_goals_run_side_by_side_and_paths_one_after_the_other() -> None:
    call = trying(goal("a", 'search("gone a")', 'search("a2")', 'search("a3")'), goal("b", 'search("b1", 2)'))
    result = running.run(call, crash_at="each")

    assert result.output == [
        ("a", "completed", "<a2>", ["failed", "succeeded", "untried"]),
        ("b", "completed", "<b1>", ["succeeded"]),
    ]
    assert result.makespan_s == pytest.approx(2, abs=0.1)


def test_a_result_that_does_not_pass_its_check_is_a_failure() -> None:
    wanted = goal("a", 'search("long")', 'search("no")', 'search("never")', check="len(result) < 5")

    (told,) = running.run(trying(wanted)).output

    assert told == ("a", "completed", "<no>", ["failed", "succeeded", "untried"])
    assert MADE == ["long", "no"]


def test_a_check_that_does_not_fit_a_result_is_a_failure_too() -> None:
    (told,) = running.run(trying(goal("a", 'search("x")', check="result.price > 3"))).output
    assert told == ("a", "blocked", None, ["failed"])


def test_calls_of_a_path_start_as_soon_as_their_references_are_there() -> None:
    wanted = goal("a", '1. search("x"); 2. search("y", 2); 3. search("of ${1} and ${2}")')
    result = running.run(trying(wanted))

    assert result.output[0][2] == "<of <x> and <y>>"
    assert result.makespan_s == pytest.approx(3, abs=0.1)


def test_what_is_in_flight_when_a_goal_is_reached_is_cancelled_and_what_waits_never_starts() -> None:
    wanted = goal("a", '1. search("slow", 60); 2. search("late ${1}"); 3. search("quick")', 'search("second")')
    result = running.run(trying(wanted))

    assert result.output == [("a", "completed", "<quick>", ["succeeded", "untried"])]
    assert (MADE, ENDED) == (["slow", "quick"], ["quick"])
    assert result.makespan_s == pytest.approx(1, abs=0.1)


def test_what_is_in_flight_of_a_failed_path_is_cancelled_before_the_next_begins() -> None:
    wanted = goal("a", '1. search("slow", 60); 2. search("gone")', '1. search("slow", 60)')
    result = running.run(trying(wanted))

    assert result.output == [("a", "completed", "<slow>", ["failed", "succeeded"])]
    assert MADE == ["slow", "gone", "slow"]
    assert result.makespan_s == pytest.approx(61, abs=0.1)


def test_a_call_that_another_goal_needs_as_well_is_not_cancelled_and_not_made_twice() -> None:
    call = trying(goal("a", '1. search("both", 5); 2. search("quick")'), goal("b", 'search("both", 5)'))
    result = running.run(call)

    assert [told[2] for told in result.output] == ["<quick>", "<both>"]
    assert sorted(MADE) == ["both", "quick"]


def test_a_path_that_reads_another_goal_starts_what_it_can_and_waits_for_the_rest() -> None:
    call = trying(
        goal("b", '1. search("own", 2); 2. search("$a and ${1}")'), goal("a", 'search("gone")', 'search("a")')
    )
    result = running.run(call, crash_at="each")

    assert [told[2] for told in result.output] == ["<<a> and <own>>", "<a>"]
    assert result.makespan_s == pytest.approx(3, abs=0.1)


def test_a_path_that_needs_a_goal_out_of_paths_fails_and_the_next_is_tried() -> None:
    call = trying(goal("b", 'search("of $a")', 'search("alone")'), goal("a", 'search("gone")'))

    told = running.run(call).output

    assert told[0] == ("b", "completed", "<alone>", ["failed", "succeeded"])
    assert told[1][1] == "blocked"


def test_a_call_that_does_not_fit_its_tool_makes_its_path_fail() -> None:
    (told,) = running.run(trying(goal("a", 'search(query="x", limit=3)', 'search("ok")'))).output
    assert told == ("a", "completed", "<ok>", ["failed", "succeeded"])


# ------------------------------------------------------------ irreversible calls


def test_an_irreversible_call_waits_for_the_calls_before_it() -> None:
    running.run(trying(goal("a", '1. search("x", 3); 2. send("hello")')))
    assert (MADE, ENDED) == (["x", "send hello"], ["x", "send hello"])


def test_an_irreversible_call_does_not_start_when_a_call_before_it_failed() -> None:
    running.run(trying(goal("a", '1. search("gone"); 2. send("hello")')))
    assert MADE == ["gone"]


def test_an_irreversible_call_in_flight_is_left_alone_and_no_fallback_starts_beside_it() -> None:
    wanted = goal("a", '1. send("hello"); 2. search("gone", 2)', 'search("other")')
    result = running.run(trying(wanted))

    assert result.output == [("a", "completed", "<other>", ["failed", "succeeded"])]
    assert ENDED == ["send hello", "other"]
    assert result.makespan_s == pytest.approx(11, abs=0.1)


# ------------------------------------------------------------ judges


@ms.task(key="short", retries=0)
async def is_short(want: str, criterion: str, result: str) -> bool:
    MADE.append(f"judge {result}")
    await asyncio.sleep(1)
    if "odd" in result:
        raise ValueError("who knows")
    return len(result) < 5


def test_a_task_judges_results_of_goals_with_a_criterion() -> None:
    call = trying(
        goal("a", 'search("long")', 'search("odd")', 'search("no")', criterion="it is short"),
        goal("b", 'search("long b")'),
        judge=is_short,
    )
    told = running.run(call, crash_at="each").output

    assert told[0] == ("a", "completed", "<no>", ["failed", "failed", "succeeded"])
    assert told[1][2] == "<long b>"


def test_a_function_may_judge_and_all_goals_where_that_is_wanted() -> None:
    def judge(wanted: Goal, result: Any) -> bool:
        return bool(result == f"<{wanted.name}>")

    (told,) = running.run(trying(goal("a", 'search("b")', 'search("a")'), judge=judge, judge_all=True)).output
    assert told == ("a", "completed", "<a>", ["failed", "succeeded"])


# ------------------------------------------------------------ edits


Changed = tuple[list[str], Told]
"""Why edits were refused, and what the goals came to."""


def changing(*wanted: Goal, at_s: float, body: Callable[[Goals], Awaitable[list[str]]]) -> ms.Ref[Changed]:
    @ms.workflow(key="change")
    async def attempt() -> Changed:
        goals = Goals(LivePlan([search, send]))
        assert await goals.edit([AddGoal(each) for each in wanted], author="planner")
        running = asyncio.get_running_loop().create_task(pursue(goals))
        await ms.sleep(at_s)
        said = await body(goals)
        return said, await running

    return attempt()


def reasons(*changes: GoalChange, at_s: float = 1.5, seen: int | None = None) -> list[str]:
    wanted = [
        goal("done", 'search("d")'),
        goal("open", 'search("gone")', 'search("x", 9)', 'search("y")'),
        goal("sent", '1. send("s"); 2. search($1)'),
    ]

    async def change(goals: Goals) -> list[str]:
        return [(await goals.edit([each], seen=seen)).reason for each in changes]

    found: list[str] = running.run(changing(*wanted, at_s=at_s, body=change)).output[0]
    return found


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (DropGoal("none"), "unknown_goal"),
        (AddPath("none", ['search("z")']), "unknown_goal"),
        (DropGoal("done"), "already_ended"),
        (AddPath("done", ['search("z")']), "already_ended"),
        (DropPath("open", 1), "already_ended"),
        (DropPath("open", 9), "unknown_path"),
        (ReplacePath("open", 0, ['search("z")']), "unknown_path"),
        (DropGoal("sent"), "already_started"),
        (DropPath("sent", 1), "already_started"),
        (ReplaceGoal("sent", goal("other", 'search("z")')), "already_started"),
        (AddGoal(goal("open", 'search("z")')), "duplicate"),
        (AddGoal(goal("no name", 'search("z")')), "unfit"),
        (AddGoal(goal("new", 'fly("z")')), "unfit"),
        (AddGoal(goal("new", 'search("z")', check="import os")), "unfit"),
        (AddGoal(goal("new", *['search("z")'] * (MAX_PATHS + 1))), "unfit"),
        (AddPath("open", []), "unfit"),
        (AddPath("open", ["search($7)"]), "unfit"),
        (AddPath("open", ["search($nobody)"]), "unfit"),
        (AddPath("open", ['search("z")'] * 6), "unfit"),
        (AddPath("open", ['search("z")', "join()"]), "unfit"),
        (AddPath("open", ["search($open)"]), "cycle"),
        (AddPath("open", ["search($done)"]), ""),
        (DropPath("open", 2), ""),
        (DropGoal("open"), ""),
        (ReplaceGoal("open", goal("open", 'search("z")')), ""),
    ],
)
def test_a_change_is_made_or_refused_with_a_typed_reason(change: GoalChange, reason: str) -> None:
    assert reasons(change) == [reason]


def test_there_may_be_so_many_goals_and_paths() -> None:
    assert reasons(*(AddGoal(goal(f"g{n}", 'search("z", 50)')) for n in range(4))) == ["", "", "", "limit"]
    assert reasons(*(AddPath("open", [f'search("{n}")']) for n in range(5))) == ["", "", "", "", "limit"]


def test_what_was_changed_since_it_was_shown_is_not_changed_again() -> None:
    path = ReplacePath("open", 3, ['search("z")'])
    assert reasons(path, path, DropPath("open", 2), seen=1) == ["", "stale", ""]


def test_goals_that_would_wait_for_each_other_are_refused() -> None:
    async def circle(goals: Goals) -> list[str]:
        verdict = await goals.edit([AddGoal(goal("b", "search($c)")), AddGoal(goal("c", "search($b)"))])
        return [verdict.reason, verdict.detail]

    verdict, told = running.run(changing(goal("a", 'search("a", 3)'), at_s=1, body=circle)).output
    assert verdict == ["cycle", "goals b, c need each other"]
    assert [name for name, *_ in told] == ["a"]


def test_an_edit_is_made_whole_or_not_at_all_and_either_is_on_record() -> None:
    async def two(goals: Goals) -> list[str]:
        wrong: list[GoalChange] = [AddPath("a", ['search("z")']), DropGoal("none")]
        return [
            (await goals.edit(wrong, author="refiner", why="try")).reason,
            (await goals.edit(wrong[:1], author="refiner", why="try")).reason,
        ]

    result, facts = journaled(changing(goal("a", 'search("a", 3)'), at_s=1, body=two))

    assert result.output[0] == ["unknown_goal", ""]
    assert [len(paths) for *_, paths in result.output[1]] == [2]
    said = [(type(f), f.why) for f in facts if isinstance(f, EditApplied | EditRefused) and f.author == "refiner"]
    assert said == [(EditRefused, "try"), (EditApplied, "try")]


def test_a_path_that_is_given_up_in_flight_is_cancelled_and_the_next_begins() -> None:
    async def drop(goals: Goals) -> list[str]:
        return [(await goals.edit([ReplacePath("a", 1, ['search("b")'])])).reason]

    result = running.run(changing(goal("a", 'search("slow", 60)', 'search("c")'), at_s=2, body=drop))

    assert result.output == ([""], [("a", "completed", "<b>", ["dropped", "succeeded", "untried"])])
    assert (MADE, ENDED) == (["slow", "b"], ["b"])
    assert result.makespan_s == pytest.approx(3, abs=0.1)


def test_a_goal_that_is_replaced_makes_its_own_calls() -> None:
    async def replace(goals: Goals) -> list[str]:
        return [(await goals.edit([ReplaceGoal("a", goal("a", 'search("slow", 6)', check="len(result) > 3"))])).reason]

    result = running.run(changing(goal("a", 'search("slow", 6)', check="len(result) > 99"), at_s=2, body=replace))

    assert result.output[1][0][:3] == ("a", "completed", "<slow>")
    assert MADE == ["slow", "slow"]


def test_a_call_that_is_being_cancelled_is_not_taken_for_a_new_one() -> None:
    async def replace(goals: Goals) -> list[str]:
        return [(await goals.edit([ReplaceGoal("a", goal("b", 'search("slow", 6)'))])).reason]

    result = running.run(changing(goal("a", 'search("slow", 6)'), at_s=2, body=replace))

    assert [told[:3] for told in result.output[1]] == [("a", "dropped", None), ("b", "completed", "<slow>")]
    assert MADE == ["slow", "slow"]


def test_a_path_for_a_blocked_goal_is_tried() -> None:
    async def add(goals: Goals) -> list[str]:
        return [(await goals.edit([AddPath("a", ['search("found")'])])).reason]

    result = running.run(changing(goal("a", 'search("gone")'), goal("b", 'search("b", 5)'), at_s=2, body=add))
    assert result.output[1][0] == ("a", "completed", "<found>", ["failed", "succeeded"])


def test_stopped_goals_start_nothing_more() -> None:
    async def stop(goals: Goals) -> list[str]:
        goals.stop("enough")
        goals.plan.ring()
        return [view.why for view in goals.views()]

    wanted = [goal("a", 'search("slow", 60)', 'search("c")'), goal("b", 'search("b")')]
    result = running.run(changing(*wanted, at_s=2, body=stop))

    assert result.output == (
        ["enough", ""],
        [("a", "stopped", None, ["leaving", "untried"]), ("b", "completed", "<b>", ["succeeded"])],
    )
    assert MADE == ["slow", "b"]


def test_rounds_are_counted_by_what_waits_for_what() -> None:
    @ms.workflow(key="count")
    async def count() -> tuple[int, int]:
        goals = Goals(LivePlan([search, send]))
        wanted = [
            goal(f"g{n}", f'1. search("gone {n}", {n + 1})', f'1. search("x{n}"); 2. search("y{n}")') for n in range(5)
        ]
        assert await goals.edit([AddGoal(each) for each in wanted])
        await pursue(goals)
        return goals.rounds, goals.calls

    assert running.run(count()).output == (1 + 2, 15)

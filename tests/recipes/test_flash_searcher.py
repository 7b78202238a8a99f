"""Flash-Searcher as a recipe: goals side by side, fallbacks one after the other, prompts that do not grow."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

import makespan as ms
from bench.plans import flash_searcher as measured
from makespan.errors import TaskError
from makespan.machine.facts import AttemptStarted, DeclarationAdded, EditApplied, EditRefused, TaskAdded, TaskSucceeded
from makespan.models.scripted import Scripted, prompt_text
from makespan.planners.goal_edits import AddGoal, AddPath, DropGoal, Goal, GoalChange
from makespan.ports import ModelRequest
from makespan.recipes.flash_searcher import Answer, Refinement, flash_searcher
from makespan.testing import running
from tests.planners.tools import journaled

MADE: list[str] = []
VIEWS: list[str] = []


@pytest.fixture(autouse=True)
def fresh() -> None:
    MADE.clear()
    VIEWS.clear()
    measured.STARTED.clear()


# ------------------------------------------------------------ thirty questions


def test_thirty_questions_reach_all_goals_in_few_steps_and_make_the_calls_that_are_needed() -> None:
    ours = theirs = 0
    for seed in range(measured.QUESTIONS):
        measured.STARTED.clear()
        done = running.run(measured.with_goals(seed)).output
        needed = sum(len(goal.made()) for goal in measured.script(seed))
        assert [view.status for view in done.goals] == ["completed"] * 3
        assert (done.gaps, done.calls, len(measured.STARTED)) == ([], needed, needed)
        ours += done.steps - done.model_rounds + 1
        theirs += needed + 1
    assert ours <= measured.AT_MOST * theirs


def test_one_call_at_a_time_makes_the_same_calls() -> None:
    for seed in range(3):
        measured.STARTED.clear()
        steps = running.run(measured.one_at_a_time(seed)).output
        assert steps == len(measured.STARTED) + 1 == sum(len(goal.made()) for goal in measured.script(seed)) + 1


def started_after_success(facts: list[Any], tool: str) -> tuple[int, int]:
    """Calls of a tool that started after the goal of their first argument's second part was reached; and all calls."""
    keys = [fact.declaration.key for fact in facts if isinstance(fact, DeclarationAdded)]
    tasks = [fact for fact in facts if isinstance(fact, TaskAdded)]
    goal_of: dict[int, tuple[str, ...]] = {}
    for number, task in enumerate(tasks):
        if keys[task.declaration] == tool:
            found = re.search(rb"\d+/goal\d/\d/\d", b"".join(arg for arg in task.args if isinstance(arg, bytes)))
            assert found is not None
            goal_of[number] = tuple(found[0].decode().split("/"))
    reached, late, all_calls = set[str](), 0, 0
    for fact in facts:
        if isinstance(fact, AttemptStarted) and fact.task in goal_of:
            all_calls += 1
            late += goal_of[fact.task][1] in reached
        if isinstance(fact, TaskSucceeded) and fact.task in goal_of:
            seed, name, path, call = goal_of[fact.task]
            goal = next(each for each in measured.script(int(seed)) if each.name == name)
            if goal.fails_at[int(path) - 1] == 0 and int(call) == goal.calls[int(path) - 1]:
                reached.add(name)
    assert len(reached) == 3
    return late, all_calls


def test_no_call_of_a_goal_starts_after_it_was_reached() -> None:
    for seed in range(measured.QUESTIONS):
        _, facts = journaled(measured.with_goals(seed))
        late, calls = started_after_success(facts, measured.look.key)
        assert (late, calls) == (0, sum(len(goal.made()) for goal in measured.script(seed)))


def test_a_kill_before_and_after_every_commit_changes_nothing() -> None:
    running.run(measured.with_goals(3), crash_at="each")


def test_no_prompt_outgrows_its_cap_however_long_the_run_is() -> None:
    seen = measured.prompts(True)

    assert min(seen["summed_steps"], seen["plain_steps"]) >= 40
    assert max(seen["summed_longest"], seen["plain_longest"]) <= 1.2 * seen["cap"]


# ------------------------------------------------------------ refining


@ms.task(retries=0)
async def search(query: str) -> str:
    """Look something up."""
    MADE.append(query)
    await asyncio.sleep(30 if "slow" in query else 1)
    if "gone" in query:
        raise LookupError(f"{query} is not there")
    return f"<{query}>"


@ms.task(effect="irreversible")
async def send(text: str) -> str:
    MADE.append(text)
    await asyncio.sleep(5)
    return f"sent {text}"


def planner(*plans: list[Goal]) -> ms.Task[..., list[Goal]]:
    left = list(plans)

    @ms.task(key="plan")
    async def plan(question: str, tools: list[str], problems: list[str]) -> list[Goal]:
        VIEWS.extend(problems)
        return left.pop(0) if len(left) > 1 else left[0]

    return plan


def refiner(*answers: list[GoalChange] | str) -> ms.Task[..., Refinement]:
    left = list(answers)

    @ms.task(key="refine", retries=0)
    async def again(view: str) -> Refinement:
        VIEWS.append(view)
        await asyncio.sleep(2)
        said = left.pop(0) if left else []
        if isinstance(said, str):
            raise ValueError(said)
        return Refinement(said, "because")

    return again


@ms.task(key="conclude")
async def conclude(view: str) -> str:
    VIEWS.append(view)
    return "the answer"


def workflow(plan: ms.Task[..., list[Goal]], **how: Any) -> ms.Workflow[[str], Answer]:
    @ms.workflow(key="ask")
    async def ask(question: str) -> Answer:
        given = {"planner": plan, "refiner": refiner(), "answerer": conclude, **how}
        return await flash_searcher(question, tools=[search, send], **given)

    return ask


def goal(name: str, *paths: str, **how: Any) -> Goal:
    return Goal(name, f"what {name} is", [path.split("; ") for path in paths], **how)


def test_a_goal_without_paths_left_gets_new_ones_from_the_refiner() -> None:
    plan = planner([goal("a", 'search("gone")'), goal("b", 'search("slow b")')])
    ask = workflow(plan, refiner=refiner([AddPath("a", ['search("found")'])]))

    result, facts = journaled(ask("q"))

    answer = result.output
    assert [(view.status, view.result) for view in answer.goals] == [
        ("completed", "<found>"),
        ("completed", "<slow b>"),
    ]
    assert "- a [blocked] what a is" in VIEWS[0]
    assert "- b [in progress]" in VIEWS[0]
    assert "LookupError: gone is not there" in VIEWS[0]
    assert ("refiner", "because") in [(fact.author, fact.why) for fact in facts if isinstance(fact, EditApplied)]
    assert (answer.text, answer.gaps, answer.model_rounds) == ("the answer", [], 3)
    assert result.makespan_s == pytest.approx(30, abs=0.1)  # nobody waited for the refiner


def test_a_change_that_makes_no_sense_is_refused_with_a_reason_and_told() -> None:
    plan = planner([goal("a", 'search("gone")')])
    ask = workflow(plan, refiner=refiner([AddPath("a", ['fly("x")'])], [AddPath("a", ['search("ok")'])]))

    result, facts = journaled(ask("q"))

    assert result.output.goals[0].result == "<ok>"
    assert "Your change was refused: unfit: a path for goal a" in VIEWS[1]
    assert [(fact.author, fact.reason) for fact in facts if isinstance(fact, EditRefused)] == [("refiner", "unfit")]
    assert len(result.output.refused) == 1


def test_a_refiner_may_drop_and_add_goals() -> None:
    plan = planner([goal("a", 'search("gone")'), goal("b", 'search("b")')])

    @ms.task(key="refine by view")
    async def by_view(view: str) -> Refinement:
        assert "- a [blocked]" in view
        return Refinement([DropGoal("a"), AddGoal(goal("c", 'search("c ${b}")'))])

    ask = workflow(plan, refiner=by_view)

    answer = running.run(ask("q"), crash_at="each").output

    assert {view.name: view.status for view in answer.goals} == {"a": "dropped", "b": "completed", "c": "completed"}
    assert [(gap.goal, gap.reason) for gap in answer.gaps] == [("a", "dropped")]
    assert answer.goals[2].result == "<c <b>>"


def test_goals_that_nobody_can_help_are_gaps_and_the_answer_comes() -> None:
    answer = running.run(workflow(planner([goal("a", 'search("gone")'), goal("b", 'search("b")')]))("q")).output

    assert answer.text == "the answer"
    (gap,) = answer.gaps
    assert (gap.goal, gap.want, gap.reason) == ("a", "what a is", "blocked")
    assert "LookupError: gone is not there" in gap.detail


def test_a_refiner_that_fails_changes_nothing() -> None:
    ask = workflow(planner([goal("a", 'search("gone")')]), refiner=refiner("no idea"))
    answer = running.run(ask("q")).output

    assert answer.text == "the answer"
    assert "no idea" in answer.refused[0]


def test_without_a_refiner_the_first_plan_stays() -> None:
    answer = running.run(workflow(planner([goal("a", 'search("gone")')]), refiner=None)("q")).output

    assert (answer.model_rounds, len(answer.gaps)) == (2, 1)


def test_it_refines_every_few_calls_though_all_goes_well() -> None:
    chain = '1. search("x"); ' + "; ".join(f"{n}. search($" + str(n - 1) + ")" for n in range(2, 6))
    answer = running.run(workflow(planner([goal("a", chain), goal("b", 'search("slow")')]), refine_every=2)("q")).output

    assert answer.model_rounds == 4
    assert [view.count("Last actions") for view in VIEWS] == [1, 1, 1]


def test_the_refiner_is_stopped_when_nothing_is_left_to_refine() -> None:
    plan = planner([goal("a", 'search("gone")', 'search("a")')])
    result = running.run(workflow(plan, refine_on_failed_path=True)("q"))

    assert result.output.goals[0].status == "completed"
    assert result.makespan_s == pytest.approx(2, abs=0.1)  # the refiner would have taken until 3


def test_at_max_steps_the_last_round_answers_with_typed_gaps() -> None:
    paths = [f'search("gone {n}")' for n in range(5)]
    for most in (3, 4, 6):
        MADE.clear()
        answer = running.run(
            workflow(planner([goal("a", *paths), goal("b", 'search("b")')]), max_steps=most)("q")
        ).output

        assert answer.text == "the answer"
        assert answer.steps == most
        assert [(gap.goal, gap.reason, gap.detail.split(";")[0]) for gap in answer.gaps] == [
            ("a", "stopped", "there are no more steps")
        ]
        assert len(MADE) == most - 2 + 1


def test_a_plan_that_cannot_be_used_is_asked_for_again_and_then_what_is_right_of_it_is_taken() -> None:
    wrong = [goal("a", 'fly("x")', 'search("a")'), goal("2", 'search("z")')]
    answer = running.run(workflow(planner(wrong, [goal("a", 'search("a")')]))("q")).output
    assert (answer.goals[0].result, answer.model_rounds) == ("<a>", 3)
    assert "there is no tool 'fly'" in VIEWS[0]

    answer = running.run(workflow(planner(wrong))("q")).output
    assert [(view.name, view.status, len(view.paths)) for view in answer.goals] == [("a", "completed", 1)]
    assert len(answer.refused) == 2


def test_limits_that_make_no_sense_are_refused() -> None:
    with pytest.raises(TaskError, match="max_steps of at least 3"):
        _ = running.run(workflow(planner([]), max_steps=2)("q")).output


# ------------------------------------------------------------ prompts


def scripted(request: ModelRequest) -> str:
    text = prompt_text(request)
    MADE.append(text)
    if text.startswith("Split"):
        return json.dumps(
            [
                {
                    "name": "tin",
                    "want": "the price of tin",
                    "paths": [['search("a")'], ['search("b")']],
                    "criterion": "a price",
                }
            ]
        )
    if text.startswith("Wanted"):
        return "true" if "<c>" in text else "false"
    if "What should change?" in text:
        change = {"type": "AddPath", "goal": "tin", "calls": ['search("c")']}
        return json.dumps({"changes": [change], "why": "b was no price"})
    return "It is <c>."


def test_with_its_own_prompts_a_model_plans_judges_refines_and_answers() -> None:
    @ms.workflow(key="all prompts")
    async def ask(question: str) -> Answer:
        return await flash_searcher(question, tools=[search], models=["m"])

    answer = running.run(ask("What is tin?"), models=Scripted(scripted), options={"budget_usd": 0.0}).output

    assert (answer.text, answer.goals[0].result) == ("It is <c>.", "<c>")
    assert [path.status for path in answer.goals[0].paths] == ["failed", "failed", "succeeded"]
    assert "its result is not what is wanted (a price): <a>" in answer.goals[0].paths[0].why
    assert any("tin [completed] the price of tin = <c>" in text for text in MADE)

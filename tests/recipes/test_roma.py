"""ROMA as a recipe: goals inside goals, with a small view at every level and a second try for what failed."""

from __future__ import annotations

import asyncio
import random

import pytest

import makespan as ms
from bench.plans.roma import grown
from makespan.errors import TaskError
from makespan.recipes.roma import MAX_WIDTH, Subtask, _problems, roma
from makespan.testing import running
from tests.prove import prove_count


def test_a_tree_of_81_leaves_needs_small_prompts_and_takes_its_critical_path() -> None:
    seen = grown(quick=True)

    assert (seen["leaves"], seen["flat_tokens"]) == (81, 40_500)
    assert seen["most_tokens"] <= 1_500
    assert seen["makespan_s"] <= 1.05 * seen["critical_path_s"]


# ------------------------------------------------------------ what fails


TRIED: list[str] = []


@ms.task(effect="pure", executor="inline")
def is_leaf(goal: str, given: list[str]) -> bool:
    return goal.count(".") == 2


@ms.task(effect="pure", executor="inline")
def thirds(goal: str, given: list[str], problems: list[str]) -> list[Subtask]:
    return [Subtask(f"{goal}.0"), Subtask(f"{goal}.1"), Subtask(f"{goal}.2", [0])]


@ms.task
async def do(goal: str, given: list[str]) -> str:
    TRIED.append(goal)
    await asyncio.sleep(1)
    if goal.endswith(".0.1"):
        raise ValueError(f"{goal} cannot be done")
    return f"({goal}{''.join(given)})"


@ms.task(effect="pure", executor="inline")
def joined(goal: str, parts: list[str]) -> str:
    return f"[{' '.join(parts)}]"


@ms.task(effect="pure", executor="inline")
def in_other_words(goal: str, failed: str, why: str) -> str:
    assert f"{failed} cannot be done" in why
    return f"{failed}b"


@ms.task(effect="pure", executor="inline")
def stubbornly(goal: str, failed: str, why: str) -> str:
    return failed


def of(replanner: ms.Task[..., str]) -> ms.Workflow[[str], str]:
    @ms.workflow(key=f"of {replanner.key}")
    async def pursue(goal: str) -> str:
        parts = {"atomizer": is_leaf, "planner": thirds, "executor": do, "aggregator": joined}
        return await roma(goal, **parts, replanner=replanner)

    return pursue


def test_one_failing_leaf_is_planned_again_by_one_edit_and_its_siblings_are_reused() -> None:
    TRIED.clear()
    result = running.run(of(in_other_words)("g"))

    assert sorted(TRIED) == sorted([*{f"g.{a}.{b}" for a in range(3) for b in range(3)}, "g.0.1b"])
    assert "(g.0.1b)" in result.output
    assert result.output.index("(g.0.1b)") < result.output.index("(g.0.2")


def test_a_child_that_fails_again_fails_the_run_with_its_reason() -> None:
    with pytest.raises(TaskError, match=r"g\.0\.1 cannot be done"):
        _ = running.run(of(stubbornly)("g")).output


def test_what_waited_for_a_failed_child_is_done_after_the_second_try() -> None:
    @ms.task(effect="pure", executor="inline", key="chain")
    def chain(goal: str, given: list[str], problems: list[str]) -> list[Subtask]:
        return [
            Subtask(f"{goal}.0"),
            Subtask(f"{goal}.0.1" if goal == "g" else f"{goal}.1", [0]),
            Subtask("g.0.2", [1]),
        ]

    @ms.workflow
    async def pursue(goal: str) -> str:
        parts = {"atomizer": is_leaf, "executor": do, "aggregator": joined, "replanner": in_other_words}
        return await roma(goal, planner=chain, **parts, max_depth=1)

    TRIED.clear()
    result = running.run(pursue("g"))
    assert TRIED == ["g.0", "g.0.1", "g.0.1b", "g.0.2"]
    assert result.output.endswith("(g.0.2(g.0.1b(g.0))) ]".replace(" ]", "]"))


@pytest.mark.prove
def test_killed_at_random_commits_it_gives_the_identical_artefact_and_repeats_nothing_finished() -> None:
    TRIED.clear()
    whole = running.run(of(in_other_words)("g"))
    at_most = len(TRIED) + 9
    rng = random.Random(5)
    for commit in rng.sample(range(1, 100), prove_count(50)):
        TRIED.clear()
        cut = running.run(of(in_other_words)("g"), crash_at=commit)
        assert cut.output == whole.output
        assert len(TRIED) <= at_most  # the 9 leaves that may have been in flight


def test_a_kill_before_and_after_every_commit_changes_nothing() -> None:
    running.run(of(in_other_words)("g"), crash_at="each")


# ------------------------------------------------------------ several in one run


@ms.workflow
async def one_goal(goal: str) -> str:
    return await roma(goal, atomizer=is_leaf, planner=thirds, executor=do, aggregator=joined, max_depth=1)


@ms.workflow
async def several(goals: list[str]) -> list[str]:
    mapped = await ms.map(one_goal, goals)
    return [*mapped, await roma("c", atomizer=is_leaf, planner=thirds, executor=do, aggregator=joined, max_depth=1)]


def test_a_map_of_goals_and_another_goal_beside_them_need_no_names() -> None:
    result = running.run(several(["a", "b"]), crash_at="each")
    assert result.output == [f"[({g}.0) ({g}.1) ({g}.2({g}.0))]" for g in "abc"]


@ms.task(key="do it differently")
async def do_differently(goal: str, given: list[str]) -> str:
    return f"<{goal}>"


def two_uses(second: str) -> ms.Workflow[[], list[str]]:
    @ms.workflow(key=f"two uses, the second {second}")
    async def pursue() -> list[str]:
        parts = {"atomizer": is_leaf, "planner": thirds, "aggregator": joined, "max_depth": 1}
        return [await roma("a", executor=do, **parts), await roma("a", executor=do_differently, name=second, **parts)]

    return pursue


def test_two_different_uses_in_one_run_need_two_names() -> None:
    assert running.run(two_uses("second")()).output == ["[(a.0) (a.1) (a.2(a.0))]", "[<a.0> <a.1> <a.2>]"]
    with pytest.raises(TaskError, match="two different uses in one run are called 'roma'; give one of them name="):
        _ = running.run(two_uses("roma")()).output


# ------------------------------------------------------------ what planners get wrong


def test_what_is_wrong_with_subtasks_is_said_in_words() -> None:
    assert _problems([Subtask("a", [1]), Subtask("b")], 3) == []
    assert _problems([], 3) == ["0 subtasks; give 1 to 3"]
    assert _problems([Subtask("a", [0])], 3) == ["subtask 0 needs 0, which is itself"]
    assert _problems([Subtask("a", [7])], 3) == ["subtask 0 needs 7, which is not in the list"]
    assert _problems([Subtask("a", [1]), Subtask("b", [0])], 3) == ["subtasks 0, 1 need each other"]


def test_a_planner_hears_what_is_wrong_and_a_goal_it_cannot_split_is_done_at_once() -> None:
    heard: list[list[str]] = []

    @ms.task(effect="pure", executor="inline", key="too wide")
    def too_wide(goal: str, given: list[str], problems: list[str]) -> list[Subtask]:
        heard.append(problems)
        return [Subtask(f"{goal}.{n}") for n in range(MAX_WIDTH + 1)]

    @ms.workflow
    async def pursue(goal: str) -> str:
        return await roma(goal, atomizer=is_leaf, planner=too_wide, executor=do, aggregator=joined)

    assert running.run(pursue("g")).output == "(g)"
    assert heard == [[], ["9 subtasks; give 1 to 8"]]


def test_an_aggregator_whose_result_cannot_stand_for_the_executors_is_refused() -> None:
    @ms.task(effect="pure", key="count")
    def count(goal: str, parts: list[str]) -> int:
        return len(parts)

    @ms.workflow
    async def pursue(goal: str) -> str:
        return await roma(goal, executor=do, aggregator=count)

    with pytest.raises(TaskError, match="the aggregator's result"):
        _ = running.run(pursue("g")).output

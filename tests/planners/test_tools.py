"""A step as the call of a tool: what fits, what is repaired and said so, and what is wrong."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

import makespan as ms
from makespan.authoring.ref import Ref
from makespan.planners.steps import Reference, Step, Text
from makespan.planners.tools import Tools, Unfit, fill, text
from makespan.values import TaskId
from tests.planners.tools import TOOLS, add, glue, height, search, step


def ref(task: Any = search, number: int = 1) -> Ref[Any]:
    return Ref(None, TaskId(bytes([number] * 16)), task.returns, task.key)


RESULTS: dict[str, Ref[Any] | None] = {"1": ref(), "2": ref(height, 2), "gone": None}


def bound(said: Step) -> tuple[Any, dict[str, Any], list[str]]:
    task, values, repairs = Tools("the plan", TOOLS).bind(said, RESULTS)
    return task, values, [str(problem) for problem in repairs]


def test_a_step_becomes_a_call_with_its_arguments_by_name() -> None:
    task, values, repairs = bound(step("3", "search", "cats", limit=2))

    assert task.key == search.key
    assert values == {"query": "cats", "limit": 2}
    assert repairs == []


def test_references_become_refs_and_their_parts() -> None:
    _, values, _ = bound(Step("3", "glue", ([Reference("1"), Reference("1")],)))

    assert values["parts"][0] is RESULTS["1"]


@pytest.mark.parametrize(
    ("said", "name", "value"),
    [
        (step("3", "Search", "cats"), "query", "cats"),
        (step("3", "sea-rch", "cats"), "query", "cats"),
        (step("3", "search", 5), "query", "5"),
        (step("3", "search", 5.0), "query", "5"),
        (step("3", "search", "cats", limit="2"), "limit", 2),
        (step("3", "add", "1.5"), "a", 1.5),
        (step("3", "add", " 2 "), "a", 2.0),
    ],
)
def test_a_slip_that_leaves_no_doubt_is_repaired_and_said_so(said: Step, name: str, value: Any) -> None:
    _, values, repairs = bound(said)

    assert values[name] == value
    assert len(repairs) == 1


def test_a_parameter_is_found_whatever_its_case() -> None:
    _, values, _ = bound(step("3", "search", Query="cats"))

    assert values == {"query": "cats"}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (step("3", "find", "cats"), r"there is no tool 'find'; the tools are search, slow, height"),
        (step("3", "serch", "cats"), r"there is no tool 'serch'.*search"),
        (step("3", "search"), r"search misses 'query'"),
        (step("3", "search", "a", 2, 3), r"search takes 2 arguments \(query, limit\), 3 are given"),
        (step("3", "search", "a", query="b"), r"search gets 'query' twice"),
        (step("3", "search", "a", most=3), r"search has no parameter 'most'; it takes query, limit"),
        (step("3", "search", "a", limitt=3), r"no parameter 'limitt'.*limit"),
        (step("3", "search", "a", limit="many"), r"argument 'limit' of search does not fit"),
        (step("3", "search", ["a"]), r"argument 'query' of search does not fit"),
        (step("3", "search", True), r"argument 'query' of search does not fit"),
        (step("3", "add", "1.5 km"), r"argument 'a' of add does not fit"),
        (step("3", "search", "$9"), r"refers to step 9, which is not in the plan"),
        (step("3", "search", "$gone"), r"refers to step gone, which is not in the plan"),
    ],
)
def test_what_is_no_call_says_what_is_wrong(said: Step, message: str) -> None:
    with pytest.raises(Unfit, match=message):
        bound(said)


def test_nothing_for_a_parameter_with_a_default_means_the_default() -> None:
    _, values, _ = bound(step("3", "search", "cats", limit=None))

    assert values == {"query": "cats"}


def test_a_result_that_is_no_text_is_written_out_where_a_text_is_wanted() -> None:
    _, values, _ = bound(step("3", "search", "$2"))

    assert values["query"]._name == text.key


def test_a_text_with_results_in_it_is_put_together_by_a_task() -> None:
    _, values, _ = bound(Step("3", "search", (Text(("height of ", Reference("1"), "?")),)))

    assert values["query"]._name == text.key


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        (["a", 5, "b"], "a5b"),
        ([5.0], "5"),
        ([5.5, " m"], "5.5 m"),
        ([["x", 1]], '["x", 1]'),
        ([{"ü": None}], '{"ü": null}'),
        ([True], "true"),
        ([1e20], "1e+20"),
        ([], ""),
    ],
)
def test_a_text_of_parts(parts: list[Any], whole: str) -> None:
    assert text.fn(parts) == whole


def test_results_that_json_does_not_know_are_texts_all_the_same() -> None:
    assert text.fn([b"\xff", " ", date(2020, 1, 2)]) == '"/w==" "2020-01-02"'
    assert text.fn([{(1, 2): "x"}]) == "{(1, 2): 'x'}"


def test_a_part_that_a_result_has_not_is_said() -> None:
    with pytest.raises(Unfit, match="'title'"):
        fill(Reference("2", ("title",)), RESULTS)


def test_tools_are_tasks_each_once() -> None:
    with pytest.raises(ms.GraphError, match="which is no task"):
        Tools("the plan", [len])  # type: ignore[list-item]
    with pytest.raises(ms.GraphError, match="two tools of the plan"):
        Tools("the plan", [search, search])
    assert Tools("the plan", [add, glue]).names == ("add", "glue")

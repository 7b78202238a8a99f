"""Tracing a plain workflow: the function runs once with Refs, its calls are the graph, nothing of a task runs."""

from __future__ import annotations

from typing import Any

import pytest

import makespan as ms
from makespan.authoring.trace import template_of
from makespan.errors import GraphError, UsageError
from makespan.graph.check import check
from makespan.values import untyped
from tests.authoring.graphs import calls_of, ids_of, nodes_of, traced
from tests.machine.driver import run


@ms.task
def double(x: int) -> int:
    return 2 * x


@ms.task
def text(x: int) -> str:
    return str(x)


@ms.workflow
def inner(x: int, y: int = 5) -> int:
    return double(double(x))


@ms.workflow
def outer(x: int) -> list[int]:
    return ms.gather(inner(x), inner(double(x)), inner(7))


@ms.workflow
def shaped(x: int, name: str = "n") -> dict[str, Any]:
    return {"doubled": double(x), "fixed": [1, 2], "name": name}


def test_nothing_of_a_task_runs_while_tracing() -> None:
    @ms.task
    def explode(x: int) -> int:
        raise AssertionError("it ran")

    @ms.workflow
    def plan() -> int:
        return explode(1)

    assert len(calls_of(plan())) == 1


def test_the_graph_does_not_depend_on_the_inputs() -> None:
    assert ids_of(outer(1)) == ids_of(outer(2))
    assert traced(outer(1)).inputs != traced(outer(2)).inputs


def test_inputs_hold_defaults_too() -> None:
    assert untyped(traced(shaped(1)).inputs) == {"x": 1, "name": "n"}


def test_a_workflow_may_return_what_holds_refs() -> None:
    assert run(shaped(4)).output == {"doubled": 8, "fixed": [1, 2], "name": "n"}


def test_workflows_nest_and_each_call_has_tasks_of_its_own() -> None:
    life = run(outer(1))

    assert life.output == [4, 8, 28]
    assert len(set(ids_of(outer(1)))) == len(ids_of(outer(1))) == 7


def test_a_traced_graph_makes_sense() -> None:
    template = traced(outer(1)).template

    check(template.nodes, template.scopes)


def test_a_task_alone_is_a_graph_of_one() -> None:
    assert len(nodes_of(double(1))) == 1


@pytest.mark.parametrize("value", [3, None, "x"])
def test_a_workflow_that_returns_a_value_of_the_wrong_type_is_refused(value: Any) -> None:
    @ms.workflow
    def wrong() -> list[int]:
        return value  # type: ignore[no-any-return]

    with pytest.raises(GraphError, match=r"the result of .*wrong"):
        calls_of(wrong())


def test_a_workflow_that_returns_another_type_names_both_ends() -> None:
    @ms.workflow
    def wrong() -> int:
        return text(1)

    with pytest.raises(GraphError, match=r"the workflow .*wrong returns <Ref text>: str does not fit int"):
        calls_of(wrong())


def test_arguments_of_a_run_are_values() -> None:
    @ms.workflow
    def wrapping() -> int:
        return inner(double)  # type: ignore[arg-type]

    with pytest.raises(GraphError, match="argument 'x' of inner"):
        calls_of(wrapping())


def test_an_error_of_the_workflows_own_code_passes_through() -> None:
    @ms.workflow
    def broken() -> int:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        calls_of(broken())


def test_a_workflow_traced_after_one_that_failed_is_outside_again() -> None:
    @ms.workflow
    def broken() -> int:
        raise KeyError("mine")

    with pytest.raises(KeyError):
        calls_of(broken())

    assert repr(double(1)) == "<Ref double>"
    with pytest.raises(GraphError, match="works inside a workflow only"):
        ms.gather()


@pytest.mark.parametrize("thing", [3, double, outer, None])
def test_what_is_no_call_is_refused_with_an_example(thing: Any) -> None:
    with pytest.raises(UsageError, match="give the call itself"):
        ms.plan(thing)


def test_a_map_keeps_its_id_when_only_the_code_inside_it_changes() -> None:
    def with_step(step: Any) -> Any:
        work = ms.task(key="work")(step)

        def flow(count: int) -> Any:
            return ms.map(work, numbers(count))

        return ms.workflow(key="flow")(flow)

    @ms.task
    def numbers(count: int) -> list[int]:
        return list(range(count))

    def one(x: int) -> int:
        return x + 1

    def two(x: int) -> int:
        return x + 2

    first, second = (template_of(with_step(step)) for step in (one, two))

    assert [node.id for node in first.nodes] == [node.id for node in second.nodes]
    assert first.root == second.root

"""Options: declared once, changed at a call, refused when they make no sense."""

from __future__ import annotations

from typing import Any

import pytest

import makespan as ms
from makespan.authoring.task import read_options
from makespan.errors import GraphError, record_of
from makespan.graph.node import Effect, Options
from makespan.machine.facts import Limits
from makespan.machine.retry import may_retry
from makespan.values import nano_usd, nanos
from tests.authoring.graphs import calls_of


@ms.task(retries=2, timeout_s=1.5, needs={"gpu": 1}, priority=3, effect="pure", budget_usd=0.25, version="7")
def train(x: int) -> int:
    return x


class Declined(Exception):
    pass


def test_options_become_data_with_units() -> None:
    (node,) = calls_of(train(1))

    assert node.declaration.options == Options(
        effect=Effect.PURE,
        retries=2,
        timeout_ns=nanos(1.5),
        needs=(("gpu", 1),),
        priority=3,
        budget=nano_usd(0.25),
        version="7",
    )


def test_options_at_a_call_change_that_call_only() -> None:
    changed = train.options(retries=0)

    assert calls_of(changed(1))[0].declaration.options.retries == 0
    assert calls_of(changed(1))[0].declaration.options.priority == 3
    assert calls_of(train(1))[0].declaration.options.retries == 2


def test_options_pile_up() -> None:
    options = calls_of(train.options(retries=5).options(priority=1)(1))[0].declaration.options

    assert (options.retries, options.priority) == (5, 1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"retrys": 2}, "did you mean 'retries'"),
        ({"timeout": 2}, "did you mean 'timeout_s'"),
        ({"effect": "idempotant"}, "one of pure, idempotent, irreversible"),
        ({"executor": "gpu"}, "one of auto, inline, thread, process"),
        ({"retries": -1}, "retries"),
        ({"retries": 1.5}, "retries"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"timeout_s": float("nan")}, "timeout_s"),
        ({"timeout_s": float("inf")}, "timeout_s"),
        ({"budget_usd": -0.1}, "budget_usd"),
        ({"deadline_s": -1}, "deadline_s"),
        ({"needs": {"gpu": 0}}, "needs"),
        ({"needs": {"truck": ["t1", "t1"]}}, "needs"),
        ({"needs": {"truck": []}}, "needs"),
        ({"needs": {"budget": ["usd"]}}, "needs"),
        ({"retry_on": "ValueError"}, "retry_on"),
        ({"raises": [ValueError]}, "raises"),
        ({"key": ""}, "key"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_by_name(options: Any, said: str) -> None:
    with pytest.raises(GraphError, match=said):
        _ = ms.task(**options)(train.fn).declaration


@pytest.mark.parametrize(
    "option",
    [
        {"retries": 1},
        {"timeout_s": 1},
        {"needs": {"gpu": 1}},
        {"effect": "pure"},
        {"executor": "thread"},
        {"models": ["m"]},
        {"retry_on": OSError},
    ],
)
def test_what_belongs_to_tasks_is_refused_on_a_workflow(option: dict[str, Any]) -> None:
    with pytest.raises(GraphError, match=f"{next(iter(option))} belongs to tasks"):
        ms.workflow(**option)(train.fn)


def test_a_generator_is_no_workflow() -> None:
    def steps() -> Any:
        yield 1

    with pytest.raises(GraphError, match="is a generator; return a value"):
        ms.workflow(steps)


def test_an_exception_class_is_recognised_by_the_name_it_is_recorded_under() -> None:
    options = read_options({"retries": 1, "retry_on": Declined}, Options())

    assert may_retry(options, record_of(Declined("no")), 1, Limits())
    assert not may_retry(options, record_of(ValueError("no")), 1, Limits())


def test_a_class_of_the_running_script_is_recognised_too() -> None:
    script_class = type("Busy", (Exception,), {"__module__": "__main__"})

    options = read_options({"retries": 1, "retry_on": script_class}, Options())

    assert may_retry(options, record_of(script_class("no")), 1, Limits())


def test_after_makes_an_edge_without_a_value() -> None:
    @ms.workflow
    def ordered() -> int:
        first = train(1)
        return train.options(after=[first])(2)

    first, second = calls_of(ordered())
    assert [source.task for source in second.sources] == [first.id]
    assert len(second.args) == 1


def test_units_that_are_needed_by_name_are_one_need_each() -> None:
    options = train.options(needs={"truck": ("t2", "t1"), "crane": 2}).declaration.options

    assert options.needs == (("crane", 2), ("truck:t1", 1), ("truck:t2", 1))

"""Putting Refs together: what makes no sense is refused where it is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import makespan as ms
from makespan.authoring.ref import Ref
from makespan.errors import GraphError
from makespan.graph.node import Kind
from tests.authoring.graphs import calls_of, ids_of, nodes_of
from tests.machine.driver import SECOND, Act, by_key, run


@ms.task
def double(x: int) -> int:
    return 2 * x


@ms.task
def text(x: int) -> str:
    return str(x)


@ms.task
def listed(n: int) -> list[int]:
    return list(range(n))


@ms.task
def total(values: list[int]) -> int:
    return sum(values)


@ms.task
def either(value: int | str) -> str:
    return str(value)


ANY: Any = ms

WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "no candidates": (lambda: ANY.first(), "wants 1 of 0 candidates"),
    "too many wanted": (lambda: ANY.first(double(1), n=2), "wants 2 of 1 candidates"),
    "none wanted": (lambda: ANY.first(double(1), n=0), "wants 0 of 1"),
    "a function judges": (lambda: ANY.first(double(1), accept=lambda v: v), "not durable, make it a task"),
    "an expression that is none": (lambda: ANY.first(double(1), accept="value >"), "expected a value"),
    "another name": (lambda: ANY.first(double(1), accept="valeu > 1"), "did you mean 'value'"),
    "a value in first": (lambda: ANY.first(3), "int is a value, not a Ref"),
    "a value in gather": (lambda: ANY.gather(3), "int is a value, not a Ref"),
    "a value as condition": (lambda: ANY.when(True, lambda: double(1)), "write a plain `if`"),
    "a branch without a Ref": (lambda: ANY.when(double(1), lambda: 3), "a branch of ms.when returned int"),
    "a test that is none": (lambda: ANY.when(double(1), lambda: double(2), test="f(value)"), "column"),
    "map's function gives a value": (lambda: ANY.map(lambda x: 3, [1]), "returned int; return the Ref"),
    "map's template gives a value": (lambda: ANY.map(lambda x: 3, listed(2)), "returned int; return the Ref"),
    "map's errors": (lambda: ANY.map(double, [1], errors="ignore"), "one of raise, keep, drop"),
    "map's key over a Ref": (lambda: ANY.map(double, listed(2), key=str), "await the list first"),
    "scope in a template": (lambda: ANY.map(in_a_scope, listed(2)), "ms.scope inside the function of ms.map"),
    "outcome of a part": (lambda: ANY.outcome(listed(2)[0]), "outcome of a part"),
    "a drop map of unknown length": (
        lambda: total(ANY.map(double, [1, 2], errors="drop")),
        'the length of a map with errors="drop" is not known yet',
    ),
    "a scope without a name": (lambda: ANY.scope(""), "1 to 100 characters"),
    "a fallback of nothing": (lambda: ANY.fallback(), "needs at least one task"),
    "cancel in a plain workflow": (lambda: ANY.cancel(double(1)), "works in async workflows only"),
    "mapping over a number": (lambda: total(ANY.map(text, listed(2))), "list\\[str\\] does not fit list\\[int\\]"),
}


def in_a_scope(x: Any) -> Ref[int]:
    with ms.scope("inner"):
        return double(x)


@pytest.mark.parametrize("name", WRONG)
def test_what_makes_no_sense_is_refused_where_it_is_written(name: str) -> None:
    wrong, said = WRONG[name]

    @ms.workflow
    def workflow() -> Any:
        wrong()
        return double(1)

    with pytest.raises(GraphError, match=said):
        nodes_of(workflow())


def test_a_race_of_unlike_results_fits_a_union() -> None:
    @ms.workflow
    def race() -> str:
        return either(ms.first(double(2), text(3)))

    assert run(race(), by_key(double=Act(2 * SECOND))).output == "3"
    assert run(race(), by_key(text=Act(2 * SECOND))).output == "4"


def test_a_map_over_a_known_list_makes_its_tasks_at_once() -> None:
    @ms.workflow
    def known() -> int:
        return total(ms.map(double, [1, 2, 3]))

    assert len(calls_of(known())) == 4
    assert run(known()).output == 12


def test_items_of_a_map_are_known_by_content_not_by_place() -> None:
    def of(items: list[int]) -> Any:
        @ms.workflow(key="w")
        def mapped() -> list[int]:
            return ms.map(double, items)

        return mapped()

    assert sorted(ids_of(of([1, 2, 3]))) == sorted(ids_of(of([3, 1, 2])))
    assert set(ids_of(of([1, 2]))) < set(ids_of(of([9, 1, 2])))


def test_equal_items_are_apart() -> None:
    @ms.workflow
    def mapped() -> list[int]:
        return ms.map(double, [1, 1, 1])

    assert len(set(ids_of(mapped()))) == 3


def test_a_key_of_its_own_keeps_an_item_what_it_was() -> None:
    def of(item: int) -> Any:
        @ms.workflow(key="w")
        def mapped() -> list[int]:
            return ms.map(lambda x: double(7), [item], key=lambda x: "the one")

        return mapped()

    assert ids_of(of(1)) == ids_of(of(2))


def test_a_limit_on_a_map_of_known_items_holds() -> None:
    @ms.workflow
    def narrow() -> list[int]:
        return ms.map(double, range(5), limit=2)

    assert run(narrow()).state.at == 3 * SECOND


def test_joins_maps_and_timers_are_nodes_without_code() -> None:
    @ms.workflow
    def mixed() -> Any:
        ms.sleep(1)
        ms.first(double(1), double(2))
        return ms.map(double, listed(2))

    kinds = {node.declaration.kind for node in nodes_of(mixed())}
    assert kinds == {Kind.CALL, Kind.TIMER, Kind.FIRST, Kind.MAP}


def test_a_fallback_is_a_task_like_any_other() -> None:
    chosen = ms.fallback(double, double.options(version="2"))

    assert chosen.key == "double|double"
    assert run(chosen(3)).output == 6

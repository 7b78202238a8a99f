"""Calls are checked where they are made: the argument is named, and what to write instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

import makespan as ms
from makespan.errors import GraphError
from tests.authoring.graphs import calls_of


class Point(msgspec.Struct):
    x: int


@dataclass
class Pair:
    a: int
    b: list[int]


@ms.task
def grade(text: str, weight: float = 1.0, *, strict: bool = False) -> float:
    return weight


@ms.task
def loose(value) -> Any:  # type: ignore[no-untyped-def]
    return value


@ms.task
def number(x: int) -> int:
    return x


@ms.task
def word(x: str) -> str:
    return x


@ms.task
def paired(pair: tuple[int, str]) -> str:
    return pair[1]


@ms.task
def several(values: list[int]) -> int:
    return sum(values)


@ms.task
def held(pair: Pair) -> int:
    return pair.a


CALL: Any = grade
ANY: Any = loose
INT: Any = number


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: CALL(), "grade misses its argument 'text'"),
        (lambda: CALL("a", 1.0, True), "takes 2 positional arguments, 3 were given"),
        (lambda: CALL("a", text="b"), "argument 'text' of grade is given twice"),
        (lambda: CALL("a", wieght=1), "no parameter 'wieght'; did you mean 'weight'"),
        (lambda: CALL(1), "argument 'text' of grade: .*str"),
        (lambda: CALL("a", "heavy"), "argument 'weight' of grade"),
        (lambda: INT(2**70), "argument 'x' of number"),
        (lambda: INT(1.5), "argument 'x' of number"),
        (lambda: CALL("\ud800"), "argument 'text' of grade"),
        (lambda: CALL("a", 10**400), "argument 'weight' of grade"),
        (lambda: ANY((1, 2)), "tuple needs a declared type.*annotate it"),
        (lambda: ANY({1, 2}), "set needs a declared type"),
        (lambda: ANY(Point(1)), "Point needs a declared type"),
        (lambda: ANY([{"x": (1,)}]), "tuple needs a declared type"),
        (lambda: ANY({1: 2}), "keys must be str"),
        (lambda: ANY(float("nan")), "not JSON"),
        (lambda: ANY(2**70), "argument 'value' of loose"),
        (lambda: ANY(object()), "object"),
    ],
)
def test_a_call_that_does_not_fit_is_refused_naming_the_argument(call: Any, said: str) -> None:
    with pytest.raises(GraphError, match=said):
        calls_of(call())


def test_a_nest_of_lists_without_end_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)

    with pytest.raises(GraphError, match="nests deeper than"):
        calls_of(ANY(endless))


@pytest.mark.parametrize("value", [None, True, 1, 1.5, "a", b"a", [], [1, "a", None], {"a": {"b": []}}])
def test_json_values_pass_where_nothing_is_declared(value: Any) -> None:
    (node,) = calls_of(ANY(value))

    assert ANY.signature.decode(node.args[0]) == {"value": value}


def test_star_arguments_are_refused_at_the_first_call() -> None:
    @ms.task
    def many(*values: int) -> int:
        return sum(values)

    with pytest.raises(GraphError, match="declare one parameter that is a list or dict"):
        calls_of(many(1))


def test_defaults_of_a_task_come_back_as_they_are() -> None:
    (node,) = calls_of(CALL("a"))

    assert "weight" not in CALL.signature.decode(node.args[0])


def test_refs_may_stand_at_any_depth_of_lists_and_dicts() -> None:
    @ms.workflow
    def deep() -> Any:
        return loose({"all": [number(1), {"x": number(2)}], "n": 3})

    node = calls_of(deep())[-1]
    assert len(node.sources) == 2


def test_a_ref_inside_an_object_is_refused_saying_what_to_do() -> None:
    @ms.workflow
    def wrong() -> int:
        return held(Pair(number(1), []))

    with pytest.raises(GraphError, match="a Ref inside a Pair; pass the Ref itself, or build it in a task"):
        calls_of(wrong())


def test_a_tuple_of_refs_is_checked_place_by_place() -> None:
    @ms.workflow
    def right() -> str:
        return paired((number(1), word("a")))

    @ms.workflow
    def wrong() -> str:
        return paired((word("a"), number(1)))

    assert len(calls_of(right())) == 3
    with pytest.raises(GraphError, match="argument 'pair' of paired"):
        calls_of(wrong())


def test_a_gather_of_unlike_results_fits_a_tuple() -> None:
    @ms.workflow
    def right() -> tuple[int, str]:
        return ms.gather(number(1), word("a"))

    assert len(calls_of(right())) == 2


def test_a_list_of_refs_is_checked_item_by_item() -> None:
    @ms.workflow
    def wrong() -> int:
        return several([number(1), word("a")])

    with pytest.raises(GraphError, match="<Ref word>"):
        calls_of(wrong())


def test_a_list_of_refs_for_what_is_no_list_is_refused() -> None:
    @ms.workflow
    def wrong() -> int:
        return INT([number(1)])  # type: ignore[no-any-return]

    with pytest.raises(GraphError, match="argument 'x' of number"):
        calls_of(wrong())


def test_an_annotation_that_is_not_defined_is_named() -> None:
    @ms.task
    def unknown(x: Nowhere) -> int:  # type: ignore[name-defined]  # noqa: F821
        return 1

    with pytest.raises(GraphError, match="Nowhere"):
        calls_of(unknown(1))

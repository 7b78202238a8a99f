"""A Ref stands for a value that is not there yet: whatever would need it now says so, and names it."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, TypedDict

import msgspec
import pytest

import makespan as ms
from makespan.authoring.ref import Ref
from makespan.errors import GraphError
from tests.authoring.graphs import calls_of


class Answer(msgspec.Struct):
    text: str
    scores: list[float]


class Row(TypedDict):
    name: str
    size: int


@ms.task
def answer(q: str) -> Answer:
    return Answer(q, [])


@ms.task
def row(q: str) -> Row:
    return {"name": q, "size": 1}


@ms.task
def show(text: str) -> str:
    return text


@ms.task
def weigh(score: float) -> float:
    return score


USES: dict[str, Callable[[Any], Any]] = {
    "str": str,
    "f-string": lambda ref: f"{ref}",
    "f-string with a format": lambda ref: f"{ref:>10}",
    "percent": lambda ref: "%s" % ref,  # noqa: UP031
    "==": lambda ref: ref == 3,
    "== reversed": lambda ref: 3 == ref,  # noqa: SIM300
    "!=": lambda ref: ref != 3,
    "<": lambda ref: ref < 3,
    ">=": lambda ref: ref >= 3,
    "len": len,
    "in it": lambda ref: 3 in ref,
    "in a list": lambda ref: 3 in [ref],
    "int": int,
    "float": float,
    "index": lambda ref: [1, 2][ref],
    "range": range,
    "for": list,
    "unpacking": lambda ref: [*ref],
    "tuple unpacking": lambda ref: operator.itemgetter(0)(tuple(ref)),
    "if": lambda ref: 1 if ref else 2,
    "not": operator.not_,
    "and": lambda ref: ref and 1,
    "+": lambda ref: ref + 1,
    "+ reversed": lambda ref: 1 + ref,
    "join": lambda ref: "".join(ref),
    "-": lambda ref: ref - 1,
    "*": lambda ref: ref * 2,
    "/": lambda ref: ref / 2,
    "call": lambda ref: ref(),
    "slice": lambda ref: ref[1:2],
    "sorted": lambda ref: sorted([ref, ref]),
    "sum": lambda ref: sum([ref]),
    "max": lambda ref: max(ref, ref),
}


@pytest.mark.parametrize("use", USES)
def test_using_a_ref_as_its_value_is_refused_naming_it(use: str) -> None:
    @ms.workflow
    def wrong() -> str:
        USES[use](show("a"))
        return show("b")

    with pytest.raises(GraphError, match=r"<Ref show>: the value is not there yet"):
        calls_of(wrong())


def test_a_ref_made_outside_is_refused_the_same_way() -> None:
    with pytest.raises(GraphError, match="<Ref show>"):
        f"{show('a')}"


def test_a_ref_can_be_looked_at_and_be_a_key() -> None:
    ref = show("a")

    assert repr(ref) == "<Ref show>"
    assert {ref: 1}[ref] == 1


def test_parts_are_edges_with_a_path() -> None:
    @ms.workflow
    def parts() -> float:
        found = answer("q")
        show(found.text)
        return weigh(found.scores[0])

    _, shown, weighed = calls_of(parts())
    assert shown.sources[0].path == ("text",)
    assert weighed.sources[0].path == ("scores", 0)


def test_fields_of_a_dict_are_items() -> None:
    @ms.workflow
    def parts() -> str:
        return show(row("q")["name"])

    assert calls_of(parts())[1].sources[0].path == ("name",)


def test_a_field_that_is_not_there_is_refused_with_a_suggestion() -> None:
    @ms.workflow
    def wrong() -> str:
        return show(answer("q").txet)

    with pytest.raises(GraphError, match=r"txet.*text"):
        calls_of(wrong())


def test_private_names_are_no_fields() -> None:
    with pytest.raises(AttributeError):
        _ = show("a")._nothing


def test_a_result_of_the_wrong_type_is_refused_naming_both_ends() -> None:
    @ms.workflow
    def wrong() -> float:
        return weigh(show("a"))

    with pytest.raises(GraphError, match=r"argument 'score' of weigh gets the result of <Ref show>.*str.*float"):
        calls_of(wrong())


@pytest.mark.parametrize("take", [lambda ref: show(ref.scores), lambda ref: weigh(ref.text)])
def test_a_part_of_the_wrong_type_is_refused_too(take: Callable[[Any], Ref[Any]]) -> None:
    @ms.workflow
    def wrong() -> Any:
        return take(answer("q"))

    with pytest.raises(GraphError, match="gets the result of <Ref answer"):
        calls_of(wrong())


def test_awaiting_in_a_plain_workflow_is_refused() -> None:
    @ms.workflow
    def wrong() -> str:
        show("a").__await__().send(None)
        return show("b")

    with pytest.raises(GraphError, match="make it `async def`"):
        calls_of(wrong())

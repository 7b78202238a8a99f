"""What a model under the schema of its tools' plans can write, and what it cannot."""

from __future__ import annotations

from typing import Any, Literal

import jsonschema
import msgspec
import pytest

import makespan as ms
from makespan.planners.paper import PaperPlan
from makespan.planners.schema import offers, plan_schema, signature
from makespan.planners.tools import Tools


class City(msgspec.Struct):
    name: str
    people: int


@ms.task(effect="pure")
def look(city: str) -> City:
    """Facts of a city."""
    return City(city, 1)


@ms.task(effect="pure")
def convert(value: float, to: Literal["km", "mi"], digits: int = 2) -> float:
    """A length in another unit.

    Args:
        value: the length.
    """
    return value


@ms.task(effect="pure")
def total(numbers: list[float]) -> float:
    return sum(numbers)


class Tree(msgspec.Struct):
    children: list[Tree]


@ms.task(effect="pure")
def grow(tree: Tree) -> int:
    return 1


TOOLS = Tools("these tests", [look, convert, total])
SCHEMA = plan_schema(offers(TOOLS), max_steps=3)


def call(tool: str, **args: Any) -> dict[str, Any]:
    return {"why": "it does", "tool": tool, "args": args}


def may(*steps: dict[str, Any]) -> bool:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    return bool(validator.is_valid({"steps": list(steps)}))


ULM = call("look", city="Ulm")


@pytest.mark.parametrize(
    "steps",
    [
        [ULM],
        [ULM, call("convert", value="$1.people", to="km")],
        [ULM, call("look", city="$1.name"), call("look", city="near ${1} and ${2}")],
        [call("convert", value=1.5, to="mi", digits=0), call("total", numbers=["$1", 2])],
        [ULM, call("look", city="$1")],
    ],
)
def test_plans_whose_calls_fit_can_be_written_and_pass_the_checks(steps: list[dict[str, Any]]) -> None:
    paper = PaperPlan(TOOLS)
    paper.take(msgspec.json.encode({"steps": steps}).decode())
    paper.done()

    assert may(*steps)
    assert not paper.faults
    assert len(paper.steps) == len(steps)


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [call("search", q="Ulm")],
        [call("look")],
        [call("look", city="Ulm", country="de")],
        [call("look", city=3)],
        [call("convert", value=1, to="feet")],
        [call("convert", value="$1.people", to="km")],
        [ULM, call("convert", value="$2", to="km")],
        [ULM, call("convert", value="$1.name", to="km")],
        [ULM, call("convert", value=1, to="$1")],
        [ULM, call("total", numbers=["$1", "$3"])],
        [call("look", city="near ${1}")],
        [ULM, call("look", city="costs $5")],
        [ULM, ULM, ULM, ULM],
    ],
)
def test_what_is_no_call_or_refers_to_nothing_cannot_be_written(steps: list[dict[str, Any]]) -> None:
    assert not may(*steps)


def test_a_tool_is_told_on_one_line_with_its_types_and_defaults() -> None:
    lines = [signature(offer) for offer in offers(TOOLS)]

    assert lines == [
        "look(city: string) -> {name: string, people: integer}: Facts of a city.",
        'convert(value: number, to: "km" | "mi", digits: integer = 2) -> number: A length in another unit.',
        "total(numbers: list of number) -> number",
    ]


def test_the_schema_has_only_keywords_that_grammar_engines_know() -> None:
    text = msgspec.json.encode(SCHEMA).decode()

    for keyword in ("default", "title", "description", "$ref", "$defs"):
        assert f'"{keyword}":' not in text


def test_a_type_that_holds_itself_has_a_schema_of_bounded_depth() -> None:
    schema = plan_schema(offers(Tools("a tree", [grow])), 1)

    validator = jsonschema.Draft202012Validator(schema)
    leaf: dict[str, Any] = {"children": []}
    assert validator.is_valid({"steps": [call("grow", tree={"children": [leaf, leaf]})]})
    assert not validator.is_valid({"steps": [call("grow", tree={"children": 3})]})

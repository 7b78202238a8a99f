"""What a model is told about the tasks it may call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pydantic
import pytest

import makespan as ms
from makespan.authoring.toolbox import DESCRIPTION_CHARACTERS, Toolbox, tool_name
from makespan.errors import GraphError


@dataclass(frozen=True)
class Place:
    city: str
    street: str = ""


class Item(pydantic.BaseModel):
    name: str


class Cart(pydantic.BaseModel):
    items: list[Item]


@ms.task
async def deliver(
    cart: Cart,
    to: Place,
    on: date,
    label: Path = Path("label.pdf"),
    express: Annotated[bool, msgspec.Meta(description="before noon")] = False,
    note: str | None = None,
) -> str:
    """Send a cart somewhere.

    It is gone then.

    Args:
        cart: what to send.
        on (date): the day.
    Returns:
        A number to follow it.
    """
    return ""


def described(task: Any) -> Any:
    return Toolbox("agent", [task]).tools[0]


def test_the_description_is_the_docstring_up_to_its_sections() -> None:
    assert described(deliver).description == "Send a cart somewhere.\n\nIt is gone then."


def test_parameters_have_the_schema_of_their_types_their_defaults_and_what_the_docstring_says_of_them() -> None:
    schema = described(deliver).parameters

    properties = schema["properties"]
    assert schema["required"] == ["cart", "to", "on"]
    assert properties["on"] == {"type": "string", "format": "date", "description": "the day."}
    assert properties["express"] == {"type": "boolean", "description": "before noon", "default": False}
    assert properties["label"] == {"type": "string", "default": "label.pdf"}
    assert properties["note"]["default"] is None
    assert properties["cart"]["description"] == "what to send."
    assert set(schema["$defs"]) == {"Place", "Item"}
    assert schema["additionalProperties"] is False


def test_every_reference_of_a_schema_names_one_of_its_definitions() -> None:
    def references(node: Any) -> list[str]:
        if isinstance(node, list):
            return [found for part in node for found in references(part)]
        if not isinstance(node, dict):
            return []
        return [value for key, value in node.items() if key == "$ref"] + references(list(node.values()))

    schema = described(deliver).parameters

    assert references(schema)
    assert {name.removeprefix("#/$defs/") for name in references(schema)} <= set(schema["$defs"])


def test_a_long_docstring_is_cut_where_services_would_refuse_it() -> None:
    def long() -> str:
        return ""

    long.__doc__ = "x" * 5000

    assert len(described(ms.task(long)).description) == DESCRIPTION_CHARACTERS


def test_a_parameter_that_no_schema_can_say_is_named() -> None:
    @ms.task
    def odd(good: int, bad: Callable[[], int]) -> str:
        return ""

    with pytest.raises(GraphError, match="'bad'"):
        Toolbox("agent", [odd])


def test_a_tool_has_its_functions_name_or_the_key_it_was_given() -> None:
    @ms.task(key="shop: pay now!")
    def pay() -> str:
        return ""

    @ms.task(key="€")
    def nameless() -> str:
        return ""

    assert tool_name(deliver) == "deliver"
    assert tool_name(pay) == "shop_pay_now"
    with pytest.raises(GraphError, match="give it key="):
        tool_name(nameless)

"""What stands in for results fits their type, counts as true, and leads readers somewhere."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import uuid
from typing import Annotated, Any, Literal, TypedDict

import msgspec
import pytest

from makespan.authoring.task import HOOKS
from makespan.forecast.values import typed_stand_in
from makespan.sim.stand_in import instance, shape


class Colour(enum.Enum):
    NONE = ""
    RED = "red"


@dataclasses.dataclass
class Grade:
    ok: bool
    score: float
    notes: list[str]
    best: Grade | None
    colour: Colour
    left_out: int = 7


class Row(TypedDict):
    id: int
    when: datetime.datetime


Small = Annotated[int, msgspec.Meta(ge=3, le=10)]
Long = Annotated[str, msgspec.Meta(min_length=9)]
Several = Annotated[list[int], msgspec.Meta(min_length=5)]

KINDS: list[Any] = [
    int,
    float,
    bool,
    str,
    bytes,
    None,
    list[int],
    dict[str, int],
    tuple[int, str],
    tuple[int, ...],
    set[str],
    Grade,
    Row,
    Small,
    Long,
    Several,
    Colour,
    Literal["a", "b"],
    int | None,
    datetime.datetime,
    datetime.date,
    datetime.timedelta,
    uuid.UUID,
    decimal.Decimal,
    list[Grade],
]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_value_of_every_kind_can_be_made(kind: Any) -> None:
    encoded = typed_stand_in(kind, 3)
    value = HOOKS.codec(type(None) if kind is None else kind).decode(encoded)

    if kind is not None and kind != dict[str, int]:
        assert value, "it counts as true"


def test_a_record_has_its_required_fields_and_its_own_defaults() -> None:
    grade = HOOKS.codec(Grade).decode(typed_stand_in(Grade, 2))

    assert (grade.ok, grade.score, grade.notes, grade.colour) == (True, 1.0, ["text", "text"], Colour.RED)
    assert grade.left_out == 7
    assert isinstance(grade.best, Grade)  # not None: whoever reads `best.ok` finds it


def test_lists_have_as_many_items_as_wanted_and_allowed() -> None:
    assert len(instance({"type": "array", "items": {"type": "integer"}}, 4)) == 4
    assert len(instance({"type": "array", "items": {}, "maxItems": 2}, 4)) == 2
    assert len(instance({"type": "array", "items": {}, "minItems": 6}, 4)) == 6
    assert instance({"type": "array", "items": {}}, 0) == []


def test_a_pydantic_model_is_made_from_its_own_schema() -> None:
    pydantic = pytest.importorskip("pydantic")
    kind = pydantic.create_model("Answer", text=(str, ...), parts=(list[int], ...))
    value = HOOKS.codec(kind).decode(typed_stand_in(kind, 2))

    assert (value.text, value.parts) == ("text", [1, 1])


def test_without_a_type_a_value_has_what_its_readers_look_for() -> None:
    assert shape([]) is True
    assert shape([()]) is True
    assert shape([("a", "b"), ("c",), ("a", "d")]) == {"a": {"b": True, "d": True}, "c": True}
    assert shape([(1,), (0, "x")]) == [{"x": True}, True]
    assert shape([(-1,)]) == [True]

"""Spellings of unions are the point here."""

# ruff: noqa: UP045
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, NamedTuple, Optional, TypedDict

import pytest
from msgspec import Struct

from makespan.errors import GraphError
from makespan.graph.fields import field_type


class Row(TypedDict):
    cells: list[int]


class Pair(NamedTuple):
    left: int
    right: str


@dataclass
class Verdict:
    score: float
    why: str | None
    later: "Nowhere"  # type: ignore[name-defined]  # noqa: F821


class Answer(Struct):
    text: str
    rows: list[Row]
    pair: Pair
    note: Annotated[str, "for people"]
    parent: "Answer | None" = None
    count: ClassVar[int] = 0


class Plain:
    pass


@pytest.mark.parametrize(
    ("annotation", "path", "found"),
    [
        (Answer, (), Answer),
        (Answer, ("text",), str),
        (Answer, ("rows", 0, "cells", -1), int),
        (Answer, ("pair", 1), str),
        (Answer, ("pair", "left"), int),
        (Answer, ("parent", "parent", "text"), str),
        (Optional[Answer], ("text",), str),
        (Answer | Row, ("text",), str),
        (dict[str, list[int]], ("any", 3), int),
        (tuple[int, str], (1,), str),
        (tuple[int, ...], (9,), int),
        (str, (0,), str),
        (list, (0,), None),
        (Any, ("x", "y"), None),
        (dict, ("x",), None),
        (Plain, ("x",), None),
        ("Unresolved", ("x",), None),
        (Verdict, ("anything",), None),
    ],
)
def test_the_type_at_a_path(annotation: Any, path: tuple[str | int, ...], found: Any) -> None:
    assert field_type(annotation, path) == found


@pytest.mark.parametrize(
    ("annotation", "path", "said"),
    [
        (Answer, ("txet",), "Answer has no field 'txet'; did you mean 'text'"),
        (Answer, ("count",), "Answer has no field 'count'"),
        (Answer, ("rows", "cells"), "indexed by whole numbers"),
        (Answer, ("rows", 0, "cell"), "Row has no field 'cell'; did you mean 'cells'"),
        (Answer, ("pair", 2), "no index 2; it has 2 places"),
        (int, ("real",), "int has no field 'real'"),
        (str, ("upper",), "str has no field 'upper'"),
        (Optional[int], ("x",), "int has no field 'x'"),
        (Answer | Row, ("x",), "has no field 'x'"),
    ],
)
def test_an_unknown_field_is_an_error_with_a_suggestion(
    annotation: Any, path: tuple[str | int, ...], said: str
) -> None:
    with pytest.raises(GraphError, match=said):
        field_type(annotation, path)

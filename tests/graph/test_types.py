"""Spellings of unions are the point here."""

# ruff: noqa: UP006, UP007, UP035, UP045
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from types import GenericAlias
from typing import Annotated, Any, List, Literal, NewType, Optional, TypedDict, TypeVar, Union

import pytest
from msgspec import Struct

from makespan.graph.types import assignable, explain

T = TypeVar("T")
UserId = NewType("UserId", str)


class Animal(Struct):
    name: str


class Cat(Animal):
    lives: int = 9


class Point(TypedDict):
    x: int


class Pixel(Point):
    colour: str


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (int, int),
        (int, float),
        (bool, int),
        (bool, float),
        (Cat, Animal),
        (Any, int),
        (int, Any),
        (str, object),
        (T, int),
        ("Later", int),
        (None, Optional[int]),
        (int, Optional[int]),
        (int | str, Union[str, int, None]),
        (list[Cat], list[Animal]),
        (list[Cat], Sequence[Animal]),
        (list[int], Iterable[float]),
        (List[int], Collection[int]),
        (list, list[int]),
        (list[int], list),
        (list[Any], list[int]),
        (tuple[int, str], Iterable[int | str]),
        (tuple[int, ...], Sequence[int]),
        (tuple[int, int], tuple[int, ...]),
        (tuple[int, str], tuple[float, object]),
        (set[int], Collection[int]),
        (dict[str, int], Mapping[str, float]),
        (dict[str, int], Iterable[str]),
        (Point, Mapping[str, object]),
        (Pixel, Point),
        (Literal["a"], str),
        (Literal["a"], Literal["a", "b"]),
        (Literal["a", 1], str | int),
        (Literal["a", None], Literal["a"] | None),
        (Annotated[int, ["unhashable"]], int),
        (int, Annotated[int, ["unhashable"]]),
        (UserId, str),
        (str, UserId),
        (list[UserId], Sequence[str]),
    ],
)
def test_these_fit(source: Any, target: Any) -> None:
    assert assignable(source, target)
    assert assignable(source, target)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (float, int),
        (int, bool),
        (int, str),
        (Animal, Cat),
        (Optional[int], int),
        (int | str, int),
        (None, int),
        (list[Animal], list[Cat]),
        (list[int], set[int]),
        (list[int], tuple[int, ...]),
        (Sequence[int], list[int]),
        (str, list[str]),
        (str, Sequence[str]),
        (tuple[int, str], Sequence[int]),
        (tuple[int, ...], tuple[int, int]),
        (tuple[int], tuple[int, int]),
        (dict[str, int], Mapping[str, str]),
        (dict[str, int], Iterable[int]),
        (dict[str, int], Point),
        (Point, Pixel),
        (str, Literal["a"]),
        (Literal["a", "c"], Literal["a", "b"]),
        (Literal[1], Literal[True]),
        (Literal["a"], int),
        (int, Callable[[int], int]),
    ],
)
def test_these_do_not_fit(source: Any, target: Any) -> None:
    assert not assignable(source, target)
    assert not assignable(source, target)


def test_the_explanation_names_both_ends_and_what_is_left_over() -> None:
    said = explain(int | None, int)

    assert "int | None does not fit int" in said
    assert "None would be left over" in said
    assert "pure task" in said
    assert explain(list[Animal], list[Cat]).startswith("list[Animal] does not fit list[Cat]")


def test_answers_stay_right_when_annotations_come_and_go() -> None:
    for number in range(10_000):
        made = GenericAlias(tuple, (int,) * (number % 5 + 1))
        assert assignable(made, tuple[int, ...])
        assert not assignable(made, tuple[str, ...])

"""What each piece of an expression means: a tree of frozen terms, each giving its value from the names'
values.

Values are plain JSON-like data. A term never touches a Python attribute, never calls anything, and either
gives a value or raises `GuardError`. Its work is bounded by the size of the tree and of the data it is given.

    family     values          == !=             < <= > >=    `x in` it
    null       None            with everything   no           no
    bool       true, false     with bools        no           no
    number     int, float      with numbers      yes          no
    text       str             with text         yes          substring
    list       list, tuple     with lists        no           an equal element
    dict       dict            with dicts        no           a key

Everything else is unlike and refused, so a wrong guard is an error, never a silent false. Inside lists and
dicts, equality is Python's own.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

import msgspec

from makespan.errors import GraphError, suggestion

MAX_SUGGESTED = 64


class GuardError(GraphError):
    """An expression met data it has no answer for: a missing field, or unlike things compared."""


class Literal(msgspec.Struct, frozen=True, tag=True):
    """A number, a string, true, false or null."""

    value: int | float | str | bool | None

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        return self.value


class Name(msgspec.Struct, frozen=True, tag=True):
    """A declared field."""

    name: str

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        try:
            return values[self.name]
        except KeyError:
            raise GuardError(f"no value for {self.name!r}{nearest(self.name, values)}") from None


class Access(msgspec.Struct, frozen=True, tag=True):
    """`.field` and `[index]` steps into a value, from left to right."""

    base: Term
    steps: tuple[Term, ...]

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        value = self.base.evaluate(values)
        for step in self.steps:
            value = inside(value, step.evaluate(values))
        return value


class Several(msgspec.Struct, frozen=True, tag=True):
    """A list of terms, mostly to look for something in."""

    terms: tuple[Term, ...]

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        return [term.evaluate(values) for term in self.terms]


class Compare(msgspec.Struct, frozen=True, tag=True):
    """`first op term op term ...`: true when each neighbouring pair is; stops at the first that is not."""

    first: Term
    rest: tuple[tuple[str, Term], ...]

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        left = self.first.evaluate(values)
        for symbol, term in self.rest:
            right = term.evaluate(values)
            if not COMPARISONS[symbol](left, right):
                return False
            left = right
        return True


class Every(msgspec.Struct, frozen=True, tag=True):
    """`and`: true or false, never an operand; stops at the first untrue one."""

    terms: tuple[Term, ...]

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        return all(is_true(term.evaluate(values)) for term in self.terms)


class Some(msgspec.Struct, frozen=True, tag=True):
    """`or`: true or false, never an operand; stops at the first true one."""

    terms: tuple[Term, ...]

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        return any(is_true(term.evaluate(values)) for term in self.terms)


class Not(msgspec.Struct, frozen=True, tag=True):
    """`not`: true or false."""

    term: Term

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        return not is_true(self.term.evaluate(values))


class Length(msgspec.Struct, frozen=True, tag=True):
    """`len(x)` of text, a list or a dict."""

    term: Term

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        value = self.term.evaluate(values)
        if not isinstance(value, str | list | tuple | dict):
            raise GuardError(f"len() takes text, a list or a dict, not {shown(value)}")
        return len(value)


Term = Literal | Name | Access | Several | Compare | Every | Some | Not | Length


def is_true(value: Any) -> bool:
    """Null, false, zero and what is empty are untrue; everything else is true."""
    return bool(value) if isinstance(value, FAMILIES) else True


def inside(value: Any, step: Any) -> Any:
    """One step into a value: a key of a dict, or an index of a list."""
    if isinstance(value, dict):
        if isinstance(step, str | int) and not isinstance(step, bool) and step in value:
            return value[step]
        raise GuardError(f"no field {shown(step)} in a dict of {len(value)}{nearest(step, value)}")
    if not isinstance(value, list | tuple):
        raise GuardError(f"no field {shown(step)} in {shown(value)}")
    if not isinstance(step, int) or isinstance(step, bool):
        raise GuardError(f"a list takes a whole number as index, not {shown(step)}")
    if not -len(value) <= step < len(value):
        raise GuardError(f"index {step} is outside a list of {len(value)}")
    return value[step]


def nearest(step: Any, known: Mapping[Any, Any]) -> str:
    """A suggestion among the first few short keys: the search must not grow with the data."""
    names = [key for key in islice(known, MAX_SUGGESTED) if isinstance(key, str) and len(key) <= MAX_SUGGESTED]
    return suggestion(step, names) if isinstance(step, str) and len(step) <= MAX_SUGGESTED else ""


def equal(left: Any, right: Any) -> bool:
    """Equality of like things; null may be compared with everything."""
    if left is None or right is None:
        return left is right
    if family(left) != family(right):
        raise GuardError(f"{shown(left)} and {shown(right)} are unlike and cannot be compared")
    return python_equal(left, right)


def python_equal(left: Any, right: Any) -> bool:
    """Python's equality, with data nested too deep for it refused."""
    try:
        return bool(left == right)
    except RecursionError:
        raise GuardError("the values are nested too deep to be compared") from None


def contains(item: Any, container: Any) -> bool:
    """`item in container`. Elements unlike the item are simply not it."""
    if isinstance(container, str) and isinstance(item, str):
        return item in container
    if isinstance(container, dict) and isinstance(item, str | int) and not isinstance(item, bool):
        return item in container
    if isinstance(container, list | tuple):
        return any(family(item) == family(each) and python_equal(item, each) for each in container)
    raise GuardError(f"cannot look for {shown(item)} in {shown(container)}")


def ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    """An ordering of two numbers or two texts."""

    def checked(left: Any, right: Any) -> bool:
        kind = family(left)
        if kind not in ("number", "text") or family(right) != kind:
            raise GuardError(f"{shown(left)} and {shown(right)} have no order")
        return compare(left, right)

    return checked


COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": equal,
    "!=": lambda left, right: not equal(left, right),
    "<": ordered(operator.lt),
    "<=": ordered(operator.le),
    ">": ordered(operator.gt),
    ">=": ordered(operator.ge),
    "in": contains,
    "not in": lambda left, right: not contains(left, right),
}

FAMILY: Mapping[type, str] = {
    type(None): "null",
    bool: "bool",
    int: "number",
    float: "number",
    str: "text",
    list: "list",
    tuple: "list",
    dict: "dict",
}
FAMILIES = tuple(FAMILY)


def family(value: Any) -> str:
    """The family of a value; every type outside the table is its own."""
    return FAMILY.get(type(value)) or type(value).__name__


def shown(value: Any) -> str:
    """A value in a message: short, and never the whole of a large one."""
    if value is None:
        return "null"
    if isinstance(value, bool | int | float):
        return f"{family(value)} {str(value).lower()[:40]}" if abs(value) < 10**40 else "a huge number"
    if isinstance(value, str):
        return f"text {value[:40]!r}"
    return f"a {family(value)}"

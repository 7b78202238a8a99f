"""What type stands at a path inside a declared type: the `.verdict.score` or `[0]` that a Ref was asked for.

Works on classes with annotated fields (Struct, dataclass, TypedDict, NamedTuple, pydantic), lists, tuples and
dicts.
"""

from __future__ import annotations

import collections.abc
import typing
from functools import lru_cache
from typing import Any, ClassVar, Union

from makespan.errors import GraphError, suggestion
from makespan.graph.types import UNIONS, class_of, is_unknown, plain, shown

SCALARS = (int, float, bool, complex, bytes, type(None))


def field_type(annotation: Any, path: tuple[str | int, ...]) -> Any | None:
    """The annotation at a path inside another.

    Args:
        path: field names, keys and indexes from the outside in.
    Returns:
        None where it cannot be known before the value is there (`Any`, classes without annotations).
    Raises:
        GraphError: there is no such field or index; the message names the nearest.
    """
    for step in path:
        annotation = plain(annotation)
        if is_unknown(annotation):
            return None
        annotation = step_into(annotation, step)
        if annotation is None:
            return None
    return annotation


def step_into(annotation: Any, step: str | int) -> Any | None:
    """One step of `field_type`. A union gives what those of its members have that have the field."""
    if typing.get_origin(annotation) not in UNIONS:
        return member(annotation, step)
    found: list[Any] = []
    missing: list[GraphError] = []
    for each in typing.get_args(annotation):
        try:
            found.append(step_into(plain(each), step))
        except GraphError as error:
            if each is not type(None):
                missing.append(error)
    if not found:
        raise missing[0]
    return None if None in found else Union[tuple(found)]  # noqa: UP007 - made of a list


def member(annotation: Any, step: str | int) -> Any | None:
    """One step into a type that is no union."""
    known = class_of(annotation)
    if known is None or annotation is object:
        return None
    fields = fields_of(known)
    if known in SCALARS:
        raise GraphError(f"{shown(annotation)} has no field {step!r}")
    if issubclass(known, str):
        return text_at(annotation, step)
    if fields and isinstance(step, str):
        return named_field(annotation, fields, step)
    if issubclass(known, tuple):
        return tuple_at(annotation, fields, step)
    arguments = typing.get_args(annotation)
    if issubclass(known, collections.abc.Mapping):
        return arguments[1] if len(arguments) == 2 else None
    if issubclass(known, collections.abc.Sequence):
        return element(annotation, arguments, step)
    return None


def text_at(annotation: Any, step: str | int) -> Any:
    """A text has letters and no fields."""
    if isinstance(step, str):
        raise GraphError(f"{shown(annotation)} has no field {step!r}")
    return str


def named_field(annotation: Any, fields: dict[str, Any], step: str) -> Any:
    """A field by its name."""
    if step not in fields:
        known = ", ".join(fields)
        is_attribute = hasattr(class_of(annotation), step)
        only = f"; .{step} is there with the value only: use it in a task" if is_attribute else ""
        what = f"{shown(annotation)} has no field {step!r}{suggestion(step, fields)} (it has: {known}){only}"
        raise GraphError(what)
    return fields[step]


def tuple_at(annotation: Any, fields: dict[str, Any], step: str | int) -> Any | None:
    """A place in a tuple or named tuple."""
    places = tuple(fields.values()) or typing.get_args(annotation)
    if isinstance(step, str):
        raise GraphError(f"{shown(annotation)} has no field {step!r}; it is indexed by whole numbers")
    if not places:
        return None
    if places[-1] is Ellipsis:
        return places[0]
    if not -len(places) <= step < len(places):
        raise GraphError(f"{shown(annotation)} has no index {step}; it has {len(places)} places")
    return places[step]


def element(annotation: Any, arguments: tuple[Any, ...], step: str | int) -> Any | None:
    """An element of a list."""
    if isinstance(step, str):
        raise GraphError(f"{shown(annotation)} has no field {step!r}; it is indexed by whole numbers")
    return arguments[0] if len(arguments) == 1 else None


@lru_cache(maxsize=4096)
def fields_of(known: type) -> dict[str, Any]:
    """The annotated fields of a class, in order; empty where it has none or they do not resolve.

    Do not change the dict: it is remembered.
    """
    if known.__module__ in ("builtins", "collections", "collections.abc"):
        return {}
    try:
        hints = typing.get_type_hints(known, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return {}
    return {
        name: hint
        for name, hint in hints.items()
        if typing.get_origin(hint) is not ClassVar and hint is not ClassVar and not name.startswith("_")
    }

"""What a plan is made of before it is a graph: steps that name tools and each other, and problems with a place.

    2. divide($1, "of ${3}")  ──▶  Step("2", "divide", (Reference("1"), Text(("of ", Reference("3")))))

Invariant: a reader loses nothing. Every piece of a planner's text that says something becomes a step, a thought or a
problem that quotes it.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

JOIN = "join"
"""The tool whose call ends a plan in the formats that have an end: everything before it is waited for."""


class Reference(msgspec.Struct, frozen=True, tag="ref"):
    """The result of another step, or a part of it."""

    step: str
    path: tuple[str | int, ...] = ()


class Text(msgspec.Struct, frozen=True, tag="text"):
    """A string with the results of steps in it: strings and references in order."""

    parts: tuple[str | Reference, ...]


Argument = Any
"""None, bool, int, float, str, a list or dict of Arguments, a Reference or a Text."""


class Spot(msgspec.Struct, frozen=True):
    """Where in a planner's text something stands, both from 1."""

    line: int = 1
    column: int = 1


class Step(msgspec.Struct, frozen=True):
    """One call of a tool that a plan asks for."""

    name: str
    """Unique in its plan: what references say."""
    tool: str
    args: tuple[Argument, ...] = ()
    """By position, in the order of the tool's parameters."""
    kwargs: dict[str, Argument] = {}
    after: tuple[str, ...] = ()
    """Steps that must succeed before, besides those it refers to."""
    needs: dict[str, int | tuple[str, ...]] = {}
    """Units of pools: how many, or which by name."""
    why: str = ""
    """The planner's thought."""
    spot: Spot = Spot()


class Problem(msgspec.Struct, frozen=True):
    """Something wrong in a planner's text."""

    spot: Spot
    text: str
    """What stands there, as written."""
    message: str
    """What is wrong and what was done about it, one sentence without a full stop."""
    repaired: bool = False
    """Whether it became a step all the same."""

    def __str__(self) -> str:
        return f"{self.spot.line}:{self.spot.column}: {self.message}: {self.text!r}"


class Join(msgspec.Struct, frozen=True):
    """The planner says that its plan is complete."""

    spot: Spot = Spot()
    args: tuple[Argument, ...] = ()
    why: str = ""


Found = Step | Problem | Join


class PlanReader(Protocol):
    """Reads one planner's text as it comes. The same text gives the same finds however it is cut into pieces."""

    def feed(self, text: str) -> list[Found]:
        """What is complete now."""
        ...

    def close(self) -> list[Found]:
        """What is left at the end of the text."""
        ...


def references(argument: Argument) -> list[Reference]:
    """The references inside an argument, in order."""
    if isinstance(argument, Reference):
        return [argument]
    if isinstance(argument, Text):
        return [part for part in argument.parts if isinstance(part, Reference)]
    if isinstance(argument, dict):
        return [found for value in argument.values() for found in references(value)]
    if isinstance(argument, list | tuple):
        return [found for value in argument for found in references(value)]
    return []


def depends_on(step: Step) -> tuple[str, ...]:
    """Names of the steps that a step waits for, each once, in order."""
    named = [reference.step for value in (*step.args, *step.kwargs.values()) for reference in references(value)]
    return tuple(dict.fromkeys([*named, *step.after]))

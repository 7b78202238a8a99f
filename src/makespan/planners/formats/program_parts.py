"""What the reading of a plan written in Python is made of: its ends, its limits in words, and questions to syntax."""

from __future__ import annotations

import ast

import msgspec

from makespan.planners.steps import Argument, Join, Problem, Reference, Spot, Step, Text

POSSIBLE = (
    "possible are calls of tools, names for their results, lists, dicts, f-strings, `for` and comprehensions over "
    "known values, asyncio.gather and return"
)
"""What to write instead."""


class Unplannable(Exception):
    """A piece of syntax that no plan can hold."""

    def __init__(self, node: ast.AST, message: str) -> None:
        super().__init__(message)
        self.node, self.message = node, message


class Returned(Exception):
    """A function of the plan, or the plan, is done."""

    def __init__(self, value: Argument, spot: Spot) -> None:
        super().__init__("returned")
        self.value, self.spot = value, spot


class Outcome(msgspec.Struct):
    """What one statement asks for."""

    found: list[Step | Problem | Join]
    bound: tuple[str, ...] = ()
    """Names it gives values to."""
    last: Argument = None
    """The value of the statement where it is an expression."""
    has_value: bool = False


class Function(msgspec.Struct, frozen=True):
    """A function that the plan defines, and where."""

    node: ast.FunctionDef | ast.AsyncFunctionDef
    lines: list[str]
    start: Spot


def parts_of(value: Argument, limit: int) -> int:
    """How many items and parts a value has, counted up to a limit. Cost: the limit."""
    pending, count = [value], 0
    while pending and count < limit:
        each = pending.pop()
        if isinstance(each, str):
            count += len(each) // 1000
        inner = each.parts if isinstance(each, Text) else each.values() if isinstance(each, dict) else each
        if isinstance(inner, str | Reference) or not hasattr(inner, "__iter__"):
            count += 1
            continue
        count += 1
        pending.extend(inner)
    return count


def is_call(node: ast.expr) -> bool:
    """Whether a value is the result of one call, or a part of it."""
    while isinstance(node, ast.Await | ast.Subscript | ast.Attribute):
        node = node.value
    return isinstance(node, ast.Call)


def is_main(test: ast.expr) -> bool:
    return ast.unparse(test).replace('"', "'") == "__name__ == '__main__'"


def dotted(node: ast.expr) -> str | None:
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(names)]) if isinstance(node, ast.Name) else None


def kind(node: ast.AST) -> str:
    """What a piece of syntax is called."""
    known = {"Try": "try", "With": "with", "AsyncWith": "async with", "ClassDef": "class", "Lambda": "lambda"}
    name = type(node).__name__
    return f"`{known[name]}`" if name in known else f"`{name}`"

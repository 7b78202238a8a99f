"""Steps as a JSON plan, in the form that `JsonReader` reads.

    Step("2", "divide", (), {"by": Text(("of ", Reference("1", ("x",))))})
    ──▶  {"name": "2", "tool": "divide", "args": {"by": "of ${1.x}"}}

A dollar sign that would refer to a step is doubled. A text cannot have a dollar sign or backslash right before a
reference, nor what reads like a field right behind one. Invariant: the reader gives the same steps again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from makespan.errors import GraphError
from makespan.planners.steps import Argument, Reference, Step, Text, references

_MARK = re.compile(r"\$(?=\{|\w)")
_STEP = re.compile(r"\w{1,200}(?:-\w{1,200}){0,5}")
_WORD = re.compile(r"[A-Za-z_]\w{0,200}")
_KEY = re.compile(r"""[^"'\]\[{}\n\\]{1,100}""")
_FIELD = re.compile(r"""\.[A-Za-z_]|\[(?:-?\d|["'])""")
LONGEST_PATH = 20
ADVICE = "give the step and the field plain names, and put a blank between a reference and $, \\, .name or [0]"


def plan_text(steps: Iterable[Step]) -> str:
    """The steps as JSON tasks.

    Raises:
        GraphError: something that `can_be_written` says no to, or arguments by position and by name in one step.
    """
    tasks = [_task(step) for step in steps]
    return msgspec.json.format(msgspec.json.encode({"tasks": tasks}), indent=2).decode() + "\n"


def _task(step: Step) -> dict[str, Any]:
    task: dict[str, Any] = {"name": step.name, "tool": step.tool}
    if step.args and step.kwargs:
        raise GraphError(f"step {step.name!r} has arguments by position and by name: a JSON plan takes one kind")
    task["args"] = [_said(each) for each in step.args] if step.args else _said(step.kwargs)
    if step.after:
        task["depends_on"] = list(step.after)
    if step.needs:
        task["needs"] = step.needs
    return task | ({"why": step.why} if step.why else {})


def _said(argument: Argument) -> Any:
    if isinstance(argument, Reference | Text):
        if not can_be_written(argument):
            raise GraphError(f"{argument!r} cannot be written in a plan's text; {ADVICE}")
        parts = argument.parts if isinstance(argument, Text) else (argument,)
        return "".join(_mark(part) if isinstance(part, Reference) else _escaped(part) for part in parts)
    if isinstance(argument, str):
        return _escaped(argument)
    if isinstance(argument, dict):
        return {key: _said(each) for key, each in argument.items()}
    if isinstance(argument, list | tuple):
        return [_said(each) for each in argument]
    return argument


def _escaped(text: str) -> str:
    return _MARK.sub("$$", text) if "$" in text else text


def can_be_written(argument: Reference | Text) -> bool:
    """Whether a plan's text can say this and is read back as the same."""
    if isinstance(argument, Reference):
        path = argument.path
        can_name = all(isinstance(key, int) or _KEY.fullmatch(key) is not None for key in path)
        return can_name and len(path) <= LONGEST_PATH and _STEP.fullmatch(argument.step) is not None
    pairs = zip(("", *argument.parts), (*argument.parts, ""), strict=True)
    return all(map(can_be_written, references(argument))) and all(map(_can_meet, pairs))


def _can_meet(pair: tuple[str | Reference, str | Reference]) -> bool:
    left, right = pair
    if isinstance(right, Reference):
        return not (isinstance(left, str) and left.endswith(("$", "\\")))
    return not (isinstance(left, Reference) and _FIELD.match(right))


def _mark(reference: Reference) -> str:
    return "${" + reference.step + "".join(map(_part, reference.path)) + "}"


def _part(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return f".{key}" if _WORD.fullmatch(key) else f'["{key}"]'

"""Steps in the words in which edits are written: the inverse of reading a patch.

Step("2", "math", (Reference("1", ("height",)),))  ──▶  {"name": "2", "tool": "math", "args": ["${1.height}"], ...}
"""

from __future__ import annotations

import re
from typing import Any

from makespan.planners.steps import Argument, Reference, Step, Text

_NAME = re.compile(r"[A-Za-z_]\w*")
_MARK = re.compile(r"\$(?=[\w{])")


def written_step(step: Step) -> dict[str, Any]:
    """A step as plain values: name, tool, args (by parameter, or in order), after, needs."""
    args: Any = {name: written(value) for name, value in step.kwargs.items()}
    if step.args:
        args = [written(value) for value in step.args]
    said: dict[str, Any] = {"name": step.name, "tool": step.tool, "args": args}
    if step.after:
        said["after"] = list(step.after)
    if step.needs:
        said["needs"] = dict(step.needs)
    return said


def written(argument: Argument) -> Any:
    """An argument as plain values, `${name.part}` for results."""
    match argument:
        case Reference():
            return written_reference(argument)
        case Text():
            return "".join(
                _escaped(part) if isinstance(part, str) else written_reference(part) for part in argument.parts
            )
        case str():
            return _escaped(argument)
        case dict():
            return {key: written(value) for key, value in argument.items()}
        case list() | tuple():
            return [written(value) for value in argument]
        case _:
            return argument


def written_reference(reference: Reference) -> str:
    """`${name}`, with the part of the result that is meant."""
    parts = "".join(_part(part) for part in reference.path)
    return "${" + reference.step + "}" + parts


def _part(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return f".{part}" if _NAME.fullmatch(part) else f'["{part}"]'


def _escaped(text: str) -> str:
    return _MARK.sub("$$", text)

"""A plan as JSON to keep, to read and to change by hand, and back.

    {"goal": "…", "tools": ["tools.py"], "steps": [
        {"name": "1", "tool": "lookup", "args": {"city": "Ulm"}},
        {"name": "2", "tool": "say", "args": {"text": "It has ${1.people}."}, "depends_on": ["1"]}]}

`steps` is what every reader of JSON plans takes, with one form more: {"$text": ["…", "${1}", "…"]} is a text whose
parts cannot stand in one string (`${1}.people` would be a part of the result). A dollar sign that refers to nothing is
doubled. Invariant: the steps of a kept plan are the steps that were kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from makespan.errors import UsageError
from makespan.planners.formats.json_plan import JsonReader
from makespan.planners.formats.marks import Dialect, joined
from makespan.planners.steps import Argument, Found, Reference, Step, Text
from makespan.planners.tools import Tools

TEXT = "$text"
"""Key of a text in parts."""
_DIALECT = Dialect(lambda name: None, words=True)


class SavedPlan(msgspec.Struct, omit_defaults=True):
    """A plan on its way to a file or from one."""

    steps: list[dict[str, Any]]
    goal: str = ""
    tools: list[str] = []
    """Whose tasks its steps call, as `--tools` takes them."""
    recipe: str = ""
    models: list[str] = []

    def text(self) -> str:
        """Its steps for a `SavedReader`."""
        return msgspec.json.encode(self.steps).decode()


def saved_steps(steps: Iterable[Step], tools: Tools) -> list[dict[str, Any]]:
    """Steps as plain data; arguments by name."""
    return [saved_step(_by_name(step, tools)) for step in steps]


def read_saved(text: bytes | str, where: str) -> SavedPlan:
    """A kept plan. Its steps are checked when they are read, not here.

    Raises:
        UsageError: it is no JSON, or there are no steps in it; `where` is named.
    """
    try:
        found = msgspec.json.decode(text)
        plan = msgspec.convert({"steps": found} if isinstance(found, list) else found, SavedPlan)
    except msgspec.MsgspecError as error:
        raise UsageError(
            f"{where} is no plan: {error}; `makespan plan GOAL --tools MODULE -o {where}` makes one"
        ) from None
    if not plan.steps:
        raise UsageError(f"{where} has no steps: there is nothing to run")
    return plan


def saved_step(step: Step) -> dict[str, Any]:
    """A step as plain data: arguments by name, or in order where they have no names."""
    args: Any = [written(value) for value in step.args] if step.args else written(step.kwargs)
    said: dict[str, Any] = {"name": step.name, "tool": step.tool, "args": args}
    said |= {"depends_on": list(step.after)} if step.after else {}
    needs = {pool: units if isinstance(units, int) else list(units) for pool, units in step.needs.items()}
    return said | ({"needs": needs} if needs else {}) | ({"why": step.why} if step.why else {})


def _by_name(step: Step, tools: Tools) -> Step:
    """A step with the tool's own name, and names for all its arguments."""
    tool = tools.named(step.tool)
    names = [parameter.name for parameter in tools.task(tool).signature.parameters]
    given = {**dict(zip(names, step.args, strict=False)), **step.kwargs}
    return msgspec.structs.replace(step, tool=tool, args=(), kwargs=given)


def written(argument: Argument) -> Any:
    """An argument as a JSON plan says it."""
    if isinstance(argument, Reference):
        return _mark(argument)
    if isinstance(argument, Text):
        parts = [_mark(part) if isinstance(part, Reference) else _escaped(part) for part in argument.parts]
        known = {part.step for part in argument.parts if isinstance(part, Reference)}
        dialect = Dialect(lambda name: name if name in known else None, words=True)
        return "".join(parts) if dialect.linked("".join(parts))[0] == argument else {TEXT: parts}
    if isinstance(argument, Mapping):
        return {name: written(value) for name, value in argument.items()}
    if isinstance(argument, list | tuple):
        return [written(value) for value in argument]
    return _escaped(argument) if isinstance(argument, str) else argument


class SavedReader:
    """Reads kept plans; a `PlanReader`."""

    def __init__(self) -> None:
        self._reader = JsonReader()

    def feed(self, text: str) -> list[Found]:
        """The steps that are complete now."""
        return [_linked(each) for each in self._reader.feed(text)]

    def close(self) -> list[Found]:
        """What is left at the end of the text."""
        return [_linked(each) for each in self._reader.close()]


def _linked(found: Found) -> Found:
    if not isinstance(found, Step):
        return found
    kwargs = {name: with_texts(value) for name, value in found.kwargs.items()}
    return msgspec.structs.replace(found, args=tuple(map(with_texts, found.args)), kwargs=kwargs)


def with_texts(argument: Argument) -> Argument:
    """An argument whose `$text` lists are texts."""
    if isinstance(argument, dict):
        parts = argument.get(TEXT)
        if len(argument) == 1 and isinstance(parts, list):
            flat = (part.parts if isinstance(part, Text) else (part,) for part in parts)
            return joined([part for several in flat for part in several])
        return {name: with_texts(value) for name, value in argument.items()}
    return [with_texts(value) for value in argument] if isinstance(argument, list | tuple) else argument


def shown(step: Step) -> str:
    """A step as a call, for people: `convert($1, to="km")`."""
    said = [_shown(value) for value in step.args]
    said += [f"{name}={_shown(value)}" for name, value in step.kwargs.items()]
    return f"{step.tool}({', '.join(said)})"


def _shown(argument: Argument) -> str:
    if isinstance(argument, Reference):
        return f"${argument.step}{_path(argument)}"
    if isinstance(argument, list | tuple):
        return f"[{', '.join(map(_shown, argument))}]"
    if isinstance(argument, dict):
        return f"{{{', '.join(f'{name}: {_shown(value)}' for name, value in argument.items())}}}"
    if isinstance(argument, Text):
        argument = "".join(_mark(part) if isinstance(part, Reference) else part for part in argument.parts)
    return msgspec.json.encode(argument).decode()


def _mark(reference: Reference) -> str:
    return f"${{{reference.step}}}{_path(reference)}"


def _path(reference: Reference) -> str:
    return "".join(
        f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{msgspec.json.encode(key).decode()}]"
        for key in reference.path
    )


def _escaped(text: str) -> str:
    """A string whose dollar signs refer to nothing."""
    out, at = [], 0
    for mark in _DIALECT.marks(text):
        sign = mark.at + mark.escaped
        out += [text[at:sign], "$"]
        at = sign
    return "".join([*out, text[at:]])

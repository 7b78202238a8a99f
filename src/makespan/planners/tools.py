"""The tools a plan may call, and a step as the call of one: names, arguments and types are checked first.

    Step("2", "search", ("height of ${1}",))  ──bind──▶  search(query=text(["height of ", Ref]))    or what is wrong

Slips that leave no doubt are repaired and reported: case and spacing of names, numbers as text and text as numbers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

from makespan.authoring.ref import Ref, part_of
from makespan.authoring.signature import MISSING, Parameter
from makespan.authoring.task import HOOKS, Task, task
from makespan.authoring.toolbox import Toolbox
from makespan.codec import NotEncodable
from makespan.errors import GraphError, suggestion
from makespan.planners.steps import Problem, Reference, Step, Text
from makespan.ports import Tool

Results = Mapping[str, Ref[Any] | None]
"""What stands for the results of steps, by name; None for one that is going."""
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")


@task(key="makespan.text", effect="pure", executor="inline")
def text(parts: list[Any]) -> str:
    """Texts and results put together; what is no text is written as JSON."""
    return "".join(part if isinstance(part, str) else _written(part) for part in parts)


def _written(value: Any) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    try:
        return json.dumps(value, ensure_ascii=False, default=msgspec.to_builtins)
    except (TypeError, ValueError):  # such as keys that are no texts
        return repr(value)


class Unfit(Exception):
    """A step that cannot become a call; its text says why."""


class Tools:
    """Tasks as planners know them.

    Raises:
        GraphError: something that is no task, a name twice, or a parameter without a JSON Schema.
    """

    def __init__(self, owner: str, tasks: Sequence[Task[..., Any]]) -> None:
        box = Toolbox(owner, tasks)
        self.described: tuple[Tool, ...] = box.tools
        """What a planner is told: name, docstring, JSON Schema of the arguments."""
        self._tasks = {tool.name: box.task(tool.name) for tool in box.tools}
        self._loosely = {_plain(name): name for name in self._tasks}

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._tasks)

    def task(self, name: str) -> Task[..., Any]:
        """The task behind a tool's name."""
        return self._tasks[name]

    def named(self, name: str) -> str:
        """The tool's own name for what a planner wrote. Raises Unfit where there is none."""
        if name in self._tasks:
            return name
        found = self._loosely.get(_plain(name))
        if found is None:
            known = suggestion(name, self._tasks) or f"; the tools are {', '.join(self._tasks)}"
            raise Unfit(f"there is no tool {name!r}{known}")
        return found

    def bind(self, step: Step, results: Results) -> tuple[Task[..., Any], dict[str, Any], list[Problem]]:
        """The task to call, its arguments with Refs in the places of references, and what was repaired.

        Raises:
            Unfit: an unknown tool or parameter, too few or too many arguments, a type that does not fit.
        """
        name = self.named(step.tool)
        repairs = [] if name == step.tool else [_repair(step, f"{step.tool!r} is the tool {name!r}")]
        tool = self._tasks[name]
        given = self._by_name(step, tool)
        values: dict[str, Any] = {}
        for parameter in tool.signature.parameters:
            if parameter.name in given:
                value = self._value(step, parameter, given[parameter.name], results, repairs)
                if value is not MISSING:
                    values[parameter.name] = value
        return tool, values, repairs

    def _by_name(self, step: Step, tool: Task[..., Any]) -> dict[str, Any]:
        """The step's arguments by the names of the tool's parameters."""
        names = [parameter.name for parameter in tool.signature.parameters]
        if len(step.args) > len(names):
            takes = f"{len(names)} arguments ({', '.join(names)})" if names else "no arguments"
            raise Unfit(f"{step.tool} takes {takes}, {len(step.args)} are given")
        given = dict(zip(names, step.args, strict=False))
        for name, value in step.kwargs.items():
            known = name if name in names else {_plain(each): each for each in names}.get(_plain(name))
            if known is None:
                close = suggestion(name, names) or f"; it takes {', '.join(names) or 'none'}"
                raise Unfit(f"{step.tool} has no parameter {name!r}{close}")
            if known in given:
                raise Unfit(f"{step.tool} gets {known!r} twice")
            given[known] = value
        missing = [p.name for p in tool.signature.parameters if p.default is MISSING and p.name not in given]
        if missing:
            raise Unfit(f"{step.tool} misses {', '.join(map(repr, missing))}")
        return given

    def _value(self, step: Step, parameter: Parameter, said: Any, results: Results, repairs: list[Problem]) -> Any:
        """An argument by its declared type, Refs inside."""
        filled = fill(said, results)
        if not _has_ref(filled):
            return _converted(step, parameter, filled, repairs)
        if isinstance(filled, Ref) and takes_text(parameter.annotation) and not _is_text(filled._type):
            return text([filled])
        return filled


def fill(argument: Any, results: Results) -> Any:
    """An argument with Refs for its references. Raises Unfit for a step that is not there, or a part it has not."""
    if isinstance(argument, Reference):
        ref = results.get(argument.step)
        if ref is None:
            raise Unfit(f"it refers to step {argument.step}, which is not in the plan")
        try:
            for key in argument.path:
                ref = part_of(ref, key)
        except GraphError as error:
            raise Unfit(str(error)) from None
        return ref
    if isinstance(argument, Text):
        return text([fill(part, results) if isinstance(part, Reference) else part for part in argument.parts])
    if isinstance(argument, dict):
        return {name: fill(value, results) for name, value in argument.items()}
    if isinstance(argument, list | tuple):
        return [fill(value, results) for value in argument]
    return argument


def _converted(step: Step, parameter: Parameter, plain: Any, repairs: list[Problem]) -> Any:
    try:
        return HOOKS.convert(plain, parameter.annotation)
    except NotEncodable as error:
        if plain is None and parameter.default is not MISSING:
            return MISSING
        other = _other_form(plain)
        if other is not None:
            try:
                value = HOOKS.convert(other, parameter.annotation)
            except NotEncodable:
                pass
            else:
                repairs.append(_repair(step, f"the argument {parameter.name!r} of {step.tool} is {other!r}"))
                return value
        raise Unfit(f"the argument {parameter.name!r} of {step.tool} does not fit: {error}") from None


def _other_form(plain: Any) -> Any:
    """A number as text, or a text as the number it writes; None where there is no such form."""
    if isinstance(plain, bool) or not isinstance(plain, int | float | str):
        return None
    if not isinstance(plain, str):
        return _written(plain)
    if not _NUMBER.fullmatch(plain.strip()):
        return None
    number = float(plain)
    return int(plain) if plain.strip().lstrip("+-").isdigit() else number


def takes_text(annotation: Any) -> bool:
    """Whether a parameter takes a text and would refuse anything else."""
    if get_origin(annotation) is Annotated:
        return takes_text(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return Any not in get_args(annotation) and any(map(takes_text, get_args(annotation)))
    return annotation is str


def _is_text(kind: Any) -> bool:
    return kind is str


def _has_ref(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_ref, value.values()))
    return any(map(_has_ref, value)) if isinstance(value, list) else isinstance(value, Ref)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _repair(step: Step, message: str) -> Problem:
    return Problem(step.spot, step.tool, message, repaired=True)

"""Tasks as tools: what a model is told about them, and a model's call as a call of the task.

    def refund(order: str, usd: float = 5.0)  ──▶  {"properties": {"order": …, "usd": …}, "required": ["order"]}
    {"order": "o1"}                           ──▶  refund(order="o1")

Invariant: whatever a model writes becomes a call whose arguments fit, or one sentence that tells it what to mend.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import msgspec

from makespan.authoring.place import Place
from makespan.authoring.ref import Ref
from makespan.authoring.signature import MISSING, Parameter
from makespan.authoring.task import HOOKS, Task
from makespan.authoring.trace import to_node
from makespan.codec import NotEncodable
from makespan.errors import GraphError, suggestion
from makespan.ports import Tool, ToolCall
from makespan.values import untyped

MAX_TOOLS = 128
"""Tools of one agent."""
DESCRIPTION_CHARACTERS = 1_024
"""Of a tool's docstring a model is told this much: the most that services take."""
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_SECTION = re.compile(r"^[ \t]*(?:Args|Arguments|Parameters|Returns?|Yields|Raises|Examples?|Cost|Source):?\s*$", re.M)
_ABOUT = re.compile(r"^[ \t]*(?::param[ \t]+)?(\w+)(?:[ \t]*\([^)\n]*\))?:[ \t]+(\S.*)$", re.M)


class Misuse(Exception):
    """A call that cannot be made; its text is for the model."""


class Toolbox:
    """The tools of one agent, by the names under which its model knows them.

    Raises:
        GraphError: something that is no task, a name twice, or a parameter without a JSON Schema.
    """

    def __init__(self, owner: str, tasks: Sequence[Task[..., Any]]) -> None:
        if len(tasks) > MAX_TOOLS:
            raise GraphError(f"the prompt {owner} has {len(tasks)} tools, {MAX_TOOLS} are possible")
        self._tasks: dict[str, Task[..., Any]] = {}
        for task in tasks:
            if not isinstance(task, Task):
                raise GraphError(f"tools= of {owner} holds {_named(task)}, which is no task: decorate it with @ms.task")
            name = tool_name(task)
            if name in self._tasks:
                raise GraphError(f"two tools of {owner} are called {name!r}; give one of them key=...")
            self._tasks[name] = task.as_tool()
        self.tools = tuple(described(name, task) for name, task in self._tasks.items())

    def task(self, name: str) -> Task[..., Any]:
        """The task behind a tool's name."""
        return self._tasks[name]

    def call(self, place: Place, call: ToolCall) -> Ref[Any]:
        """The task's call that the model asked for. Raises Misuse when it cannot be made."""
        task = self._tasks.get(call.name)
        if task is None:
            raise Misuse(self._unknown(call.name))
        given = _given(call)
        parameters = {parameter.name: parameter for parameter in task.signature.parameters}
        for name in given:
            if name not in parameters:
                known = f"; it takes {', '.join(parameters) or 'none'}"
                raise Misuse(f"{call.name} has no parameter {name!r}{suggestion(name, parameters) or known}")
        missing = [name for name, p in parameters.items() if p.default is MISSING and name not in given]
        if missing:
            raise Misuse(f"{call.name} misses {', '.join(map(repr, missing))}: call it again with all of its arguments")
        values = {name: _value(call.name, parameters[name], plain) for name, plain in given.items()}
        try:
            kept = {name: value for name, value in values.items() if value is not MISSING}
            return to_node(task(**kept), place, task)
        except GraphError as error:
            raise Misuse(str(error)) from error

    def _unknown(self, name: str) -> str:
        if not self._tasks:
            return f"there is no tool {name!r}: there are none; answer instead"
        close = suggestion(name, self._tasks)
        return f"there is no tool {name!r}{close}; the tools are {', '.join(self._tasks)}"


def tool_name(task: Task[..., Any]) -> str:
    """The function's name, or its key where that was given; GraphError when a model could not write it."""
    given = task._options.get("key")
    name = re.sub(r"[^a-zA-Z0-9_-]+", "_", given or task.__name__).strip("_")
    if not _NAME.fullmatch(name):
        raise GraphError(f"the tool {task.key!r} needs a name of 1 to 64 letters, digits, _ or -: give it key=...")
    return name


def described(name: str, task: Task[..., Any]) -> Tool:
    """What a model is told: the docstring up to its sections, and the parameters that are arguments."""
    doc = inspect.getdoc(task.fn) or ""
    about = {found[1]: found[2].strip() for found in _ABOUT.finditer(doc)}
    section = _SECTION.search(doc)
    summary = (doc[: section.start()] if section else doc).strip()
    properties: dict[str, Any] = {}
    shared: dict[str, Any] = {}
    for parameter in task.signature.parameters:
        said = _schema(task, parameter, shared)
        if parameter.name in about:
            said.setdefault("description", about[parameter.name])
        if parameter.default is not MISSING:
            said["default"] = msgspec.to_builtins(untyped(parameter.default))
        properties[parameter.name] = said
    required = [p.name for p in task.signature.parameters if p.default is MISSING]
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    schema |= {"required": required} if required else {}
    schema |= {"$defs": shared} if shared else {}
    return Tool(name, summary[:DESCRIPTION_CHARACTERS], schema)


def _schema(task: Task[..., Any], parameter: Parameter, shared: dict[str, Any]) -> dict[str, Any]:
    """JSON Schema of a parameter; what it names goes into `shared`."""

    def hook(kind: Any) -> dict[str, Any]:
        if hasattr(kind, "model_json_schema"):
            said: dict[str, Any] = kind.model_json_schema(ref_template="#/$defs/{model}")
            shared.update(said.pop("$defs", {}))
            return said
        if isinstance(kind, type) and issubclass(kind, PurePath):
            return {"type": "string"}
        raise NotImplementedError

    try:
        (said,), parts = msgspec.json.schema_components([parameter.annotation], schema_hook=hook)
    except (TypeError, RuntimeError, NotImplementedError):
        kind = getattr(parameter.annotation, "__name__", None) or str(parameter.annotation)
        raise GraphError(
            f"the tool {task.key} has the parameter {parameter.name!r} of type {kind}, which has no JSON Schema: "
            f"declare plain data, or take it as `= ms.use(...)`"
        ) from None
    for part in parts:
        # `schema_components` writes its references like this; services want them below the root.
        shared[part] = parts[part]
    return dict(said)


def _given(call: ToolCall) -> dict[str, Any]:
    try:
        given = msgspec.json.decode(call.arguments or "{}")
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Misuse(f"the arguments of {call.name} are not JSON ({error}): write one JSON object") from None
    if not isinstance(given, dict):
        raise Misuse(f"the arguments of {call.name} are {type(given).__name__}: write one JSON object")
    return given


def _value(tool: str, parameter: Parameter, plain: Any) -> Any:
    """An argument by its declared type; MISSING for a null that stands for the default."""
    try:
        return HOOKS.convert(plain, parameter.annotation)
    except NotEncodable as error:
        if plain is None and parameter.default is not MISSING:
            return MISSING
        raise Misuse(f"the argument {parameter.name!r} of {tool} does not fit: {error}") from None


def _named(thing: Any) -> str:
    return getattr(thing, "__name__", None) or repr(thing)

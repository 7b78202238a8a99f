"""The form of a workflow in YAML, as one table: which keys a document, a task and an input have, and what each holds.

The parser, the suggestions in its errors, the JSON Schema and the tests all read this table. Options of tasks are not
written here: they are those of `TaskOptions`, and those of prompts and scopes come from their signatures.
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Literal

import msgspec

from makespan.authoring.prompt import prompt
from makespan.authoring.ref import Ref
from makespan.authoring.schedule import Cron
from makespan.authoring.scope import scope
from makespan.authoring.task import Task, TaskOptions
from makespan.graph.node import Errors


class Key(msgspec.Struct, frozen=True):
    """One key: the form of its value, and a line for people. `choices` belong to the form `choice`."""

    form: str
    about: str = ""
    choices: tuple[str, ...] = ()


DOCUMENT: Mapping[str, Key] = {
    "workflow": Key("name", "Name of the workflow; runs are listed under it."),
    "description": Key("text", "What it is for."),
    "version": Key("text", "Changes the identity of all its tasks when another workflow calls it."),
    "schedule": Key("schedule", "When it starts by itself, under `makespan serve --schedules`."),
    "on_end": Key("target", "A task of one parameter, the Result; called at each end and pause of a run."),
    "inputs": Key("inputs", "Name to type, `type = default`, or {type, default, description}."),
    "types": Key("types", "Name to type; those above may be used."),
    "tasks": Key("tasks", "Name to task. The order does not matter: references say what needs what."),
    "output": Key("value", "What the workflow gives: a reference, or data that holds references."),
    "returns": Key("type", "Type of the output; that of the referenced task unless given."),
}
NEEDED = ("workflow", "tasks", "output")

INPUT: Mapping[str, Key] = {
    "type": Key("type", "Type of the input."),
    "default": Key("data", "Its value when none is given."),
    "description": Key("text", "What it is for."),
}

ELSEWHERE: Mapping[str, str] = {
    **dict.fromkeys(("steps", "jobs", "nodes", "task"), "tasks"),
    **dict.fromkeys(("name", "flow", "id"), "workflow"),
    **dict.fromkeys(("outputs", "result", "return"), "output"),
    **dict.fromkeys(("params", "parameters", "variables"), "inputs"),
    **dict.fromkeys(("args", "arguments", "params", "inputs", "parameters"), "with"),
    **dict.fromkeys(("if", "condition"), "when"),
    **dict.fromkeys(("depends_on", "dependencies", "requires"), "after"),
    "else": "otherwise",
    "model": "models",
    "timeout": "timeout_s",
    "retry": "retries",
    "budget": "budget_usd",
    "deadline": "deadline_s",
    "concurrency": "limit",
    "response_format": "returns",
}
"""What other formats call the keys; where two fit, the place decides."""

COMMON: Mapping[str, Key] = {
    "when": Key("expression", "The task runs only if this holds; otherwise its value is null, or that of `otherwise`."),
    "otherwise": Key("task", "The task to run instead when `when` does not hold."),
    "description": Key("text", "What it is for."),
}

MAP_ERRORS = tuple(each.name.lower() for each in Errors)

_RETURNS = Key("type", "Type of its value.")
_WITH = Key("arguments", "Arguments by parameter; values may hold references at any depth.")
_NODE_KEY = Key("text", "Name in listings and in the identity; only needed to match a workflow in Python.")

KINDS: Mapping[str, Mapping[str, Key]] = {
    "call": {"call": Key("target", "`module:function`, `./file.py:function` or `./other.yaml`."), "with": _WITH},
    "prompt": {
        "prompt": Key("template", "What to say to the model: a text with ${references}, or a list of messages."),
        "system": Key("template", "The system message."),
        "with": Key("arguments", "Values under names of their own; the texts see these names first."),
        "returns": Key("type", "Type of the answer, `str` unless given; the model is held to its schema."),
    },
    "map": {
        "map": Key("items", "A reference to a list, or a list."),
        "do": Key("task", "The task for each item, which it sees as ${item}."),
        "as": Key("name", "Another name for the item: needed for a map inside a map."),
        "errors": Key("choice", "Failed items: fail the map, give outcomes, or leave them out.", MAP_ERRORS),
        "limit": Key("whole", "Most items at once."),
        "key": _NODE_KEY,
    },
    "first": {
        "first": Key("candidates", "References and tasks; the first that succeeds counts, the others are cancelled."),
        "n": Key("whole", "How many are wanted; the value is then a list."),
        "accept": Key("accept", "What counts: an expression over `value`, or {call: target} of a task that judges."),
    },
    "fallback": {"fallback": Key("alternatives", "Tasks in order; each is tried when the one before failed.")},
    "tasks": {
        "tasks": Key("tasks", "A group: tasks that see each other and what is around; outside sees its output."),
        "output": Key("value", "The value of the group."),
        "scope": Key("text", "Opens a named scope around the group; limits below do so too, under the task's name."),
    },
    "value": {"value": Key("value", "Data that may hold references."), "returns": _RETURNS, "key": _NODE_KEY},
    "outcome": {"outcome": Key("reference", "How this task ended, as data: .status, .value, .error. Never fails.")},
    "sleep": {"sleep": Key("seconds", "A durable timer: seconds, or a reference to them.")},
    "until": {"until": Key("moment", "A durable timer: a moment with a time zone, or a reference to one.")},
    "receive": {"receive": Key("text", "Waits for the next message with this name."), "returns": _RETURNS},
    "ask": {
        "ask": Key("value", "Asks a person: a text, or a reference to one."),
        "returns": Key("type", "Type of the answer, `bool` unless given."),
        "about": Key("value", "What the person should see with it."),
        "deadline_s": Key("number", "How long to wait for an answer, in seconds."),
        "default": Key("data", "The answer when none came in time."),
    },
}
"""Kind of task, which is also the key that says so, to its own keys."""


@cache
def option_keys() -> Mapping[str, Key]:
    """Every option of tasks that can be written in YAML, with the form of its value."""
    hints = typing.get_type_hints(TaskOptions)
    return {name: key for name, hint in hints.items() if (key := _form_of(hint)) is not None}


@cache
def prompt_keys() -> Mapping[str, Key]:
    """Parameters of `prompt` besides the options of all tasks."""
    return _parameters(prompt)


@cache
def scope_keys() -> Mapping[str, Key]:
    """Parameters of `scope` besides its name."""
    return _parameters(scope)


@cache
def schedule_keys() -> Mapping[str, Key]:
    """Parameters of `Cron`."""
    return {
        "cron": Key("text", "Minute, hour, day of month, month, day of week; or @daily and its like."),
        **_parameters(Cron),
    }


@cache
def keys_of(kind: str) -> Mapping[str, Key]:
    """All keys a task of a kind may have."""
    more: Mapping[str, Key] = {
        "call": option_keys(),
        "prompt": {**prompt_keys(), **option_keys()},
        "tasks": scope_keys(),
    }.get(kind, {})
    return {**more, **KINDS[kind], **COMMON}


def _parameters(function: Callable[..., Any]) -> dict[str, Key]:
    made: Any = function
    hints = typing.get_type_hints(made.__init__ if isinstance(function, type) else made)
    named = [p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    found = {name: _form_of(hints.get(name)) for name in named}
    return {name: key for name, key in found.items() if key is not None}


def _form_of(hint: Any) -> Key | None:
    """The form in which a value of an annotation is written; None where YAML has none."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if any(typing.get_origin(each) is Callable for each in arguments):
            return Key("function")
        forms = [form for each in arguments if each is not type(None) and (form := _form_of(each)) is not None]
        return forms[0] if forms else None
    if origin is tuple and arguments[-1] is Ellipsis:
        return _form_of(arguments[0])
    if origin is type and issubclass(arguments[0], BaseException):
        return Key("errors")
    if origin is Literal:
        return Key("choice", choices=arguments)
    if origin in (Sequence, Mapping):
        return _form_of_container(arguments)
    scalars: Mapping[Any, str] = {str: "text", int: "whole", float: "number", bool: "flag"}
    if hint in scalars:
        return Key(scalars[hint])
    return Key("target") if (origin or hint) is Task else None


def _form_of_container(arguments: tuple[Any, ...]) -> Key | None:
    if arguments == (str, int | Sequence[str]):
        return Key("units")
    if (typing.get_origin(arguments[0]) or arguments[0]) is Ref:
        return Key("references")
    if (typing.get_origin(arguments[0]) or arguments[0]) is Task:
        return Key("targets")
    return Key("texts") if arguments == (str,) else None

"""Tools as a JSON Schema of whole plans, so that a model held to it can write nothing but calls that fit.

    {"steps": [{"why": "…", "tool": "lookup", "args": {"city": "Ulm"}},      a call of a tool, by its own arguments
               {"why": "…", "tool": "add", "args": {"a": "$1", "b": 4}}]}    $1: the result of the first step

The place in the list says what may be referred to: step 3 offers `$1` and `$2` where a parameter can take the result
of some tool, and nothing else. Strings may hold `${1}` in their midst and no other dollar sign. Which tool a step
called is not known to a schema: that `$1` has the right type for the place is for the checks after reading.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any, get_args, get_origin, is_typeddict

import msgspec

from makespan.errors import GraphError
from makespan.graph.fields import field_type
from makespan.graph.types import assignable, plain
from makespan.planners.tools import Tools, takes_text

MAX_STEPS = 8
"""Steps that a model is offered unless more are asked for: small ones do not know when to stop."""
WHY_CHARACTERS = 90
"""Of what a step is for, said before the call: small models choose better tools then."""
MAX_ITEMS = 20
"""Of a list that is written out: small models do not stop by themselves."""
MAX_CHARACTERS = 500
"""Of a text that is written out, a reference in it counting as one."""
MAX_DEPTH = 6
"""Levels of an argument's schema; below that anything goes, and is checked when the step is read."""

_KEPT = frozenset(
    {
        "type",
        "enum",
        "const",
        "anyOf",
        "oneOf",
        "items",
        "prefixItems",
        "properties",
        "required",
        "minItems",
        "maxItems",
    }
    | {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "pattern", "format"}
    | {"additionalProperties"}
)
"""Keywords that grammar engines know; an unknown one makes some of them drop the whole schema without a word."""
_FORMATS = frozenset({"date-time", "date", "time", "duration", "email", "uuid"})
_FIXED = frozenset({"enum", "const", "pattern", "format", "minLength", "maxLength"})


class Offer(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tool as a planner is told of it: plain data, so that a journaled call of a planner carries it."""

    name: str
    about: str
    parameters: dict[str, Any]
    """JSON Schema of the arguments."""
    returns: str = ""
    takes: dict[str, tuple[str, ...]] = {}
    """Parameter → what of some tool's result fits there: the whole (an empty string), or a field (`.name`)."""
    items: dict[str, tuple[str, ...]] = {}
    """The same for what is in a parameter that is a list."""


def offers(tools: Tools) -> list[Offer]:
    """The tools as planners are told of them, with what results go where."""
    tasks = [tools.task(tool.name) for tool in tools.described]
    parts = [part for task in tasks for part in _parts(task.returns)]
    found = []
    for tool, task in zip(tools.described, tasks, strict=True):
        takes: dict[str, tuple[str, ...]] = {}
        items: dict[str, tuple[str, ...]] = {}
        for parameter in task.signature.parameters:
            takes[parameter.name] = _fitting(parts, parameter.annotation)
            items[parameter.name] = _fitting(parts, _item(parameter.annotation))
        kept = {name: fitting for name, fitting in takes.items() if fitting}
        listed = {name: fitting for name, fitting in items.items() if fitting}
        found.append(Offer(tool.name, tool.description, tool.parameters, _named(task.returns), kept, listed))
    return found


def plan_schema(tools: list[Offer], max_steps: int = MAX_STEPS) -> dict[str, Any]:
    """JSON Schema of the plans over some tools.

    Cost: O(max_steps × parameters); about 200 B for each parameter and step.
    """
    places = [{"anyOf": [_call(offer, place) for offer in tools]} for place in range(1, max_steps + 1)]
    steps = {"type": "array", "prefixItems": places, "items": False, "minItems": 1, "maxItems": max_steps}
    return _closed({"steps": steps}, ["steps"])


def signature(offer: Offer) -> str:
    """A tool on one line: `convert(value: number, to: "km" | "mi") -> number: kilometres to miles and back`."""
    properties: dict[str, Any] = offer.parameters.get("properties", {})
    required, defs = offer.parameters.get("required", []), offer.parameters.get("$defs", {})
    said = []
    for name, schema in properties.items():
        default = "" if name in required else f" = {msgspec.json.encode(schema.get('default')).decode()}"
        said.append(f"{name}: {_kind(schema, defs)}{default}")
    about = " ".join(offer.about.split())
    return f"{offer.name}({', '.join(said)}) -> {offer.returns or 'any'}{f': {about}' if about else ''}"


# ---------------------------------------------------------------- what fits where


def _parts(kind: Any) -> list[tuple[str, Any]]:
    """A result and its fields, with their types."""
    fields = _fields(plain(kind))
    return [("", kind), *((f".{name}", _field(kind, name)) for name in fields)]


def _fields(kind: Any) -> tuple[str, ...]:
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    if is_typeddict(kind):
        return tuple(kind.__annotations__)
    named: Any = getattr(kind, "__struct_fields__", None) or getattr(kind, "model_fields", ())
    return tuple(str(name) for name in named)


def _field(kind: Any, name: str) -> Any:
    try:
        found = field_type(kind, (name,))
    except GraphError:
        return None
    return Any if found is None else found


def _fitting(parts: list[tuple[str, Any]], annotation: Any) -> tuple[str, ...]:
    """The parts that go into a parameter. A parameter of text takes any result: it is written out."""
    if annotation is None:
        return ()
    fits = (path for path, kind in parts if takes_text(annotation) or assignable(kind, annotation))
    return tuple(dict.fromkeys(fits))


def _item(annotation: Any) -> Any:
    """What is in a list, None where a parameter is no list."""
    kind, arguments = get_origin(plain(annotation)), get_args(plain(annotation))
    is_list = isinstance(kind, type) and issubclass(kind, list | tuple) and len(arguments) == (1 if kind is list else 2)
    return arguments[0] if is_list and (kind is list or arguments[1] is Ellipsis) else None


# ---------------------------------------------------------------- one call at one place


def _call(offer: Offer, place: int) -> dict[str, Any]:
    properties = offer.parameters.get("properties", {})
    defs = offer.parameters.get("$defs", {})
    known = {name: _argument(offer, name, _kept(schema, defs), place) for name, schema in properties.items()}
    args = _closed(known, list(offer.parameters.get("required", [])))
    why = {"type": "string", "maxLength": WHY_CHARACTERS}
    return _closed({"why": why, "tool": {"const": offer.name}, "args": args}, ["why", "tool", "args"])


def _argument(offer: Offer, name: str, schema: dict[str, Any], place: int) -> dict[str, Any]:
    """An argument as it is, with what it may refer to at this place."""
    schema = _bounded(schema, place)
    inside = _reference(offer.items.get(name, ()), place)
    if inside is not None and schema.get("type") == "array" and isinstance(schema.get("items"), dict):
        schema = {**schema, "items": {"anyOf": [inside, schema["items"]]}}
    whole = _reference(offer.takes.get(name, ()), place)
    return schema if whole is None else {"anyOf": [whole, schema]}


def _reference(parts: tuple[str, ...], place: int) -> dict[str, Any] | None:
    """A string that is a reference to a step before this place; None where there is none to refer to."""
    if not parts or place == 1:
        return None
    steps = "|".join(str(number) for number in range(1, place))
    fields = "|".join(re.escape(part) for part in parts if part)
    path = f"({fields})" if fields else ""
    return {"type": "string", "pattern": rf"^\$({steps}){path}{'?' if path and '' in parts else ''}$"}


def _bounded(schema: dict[str, Any], place: int) -> dict[str, Any]:
    """The same, its free strings without dollar signs but those of references to steps before this place."""
    if schema.get("type") == "string" and not _FIXED & set(schema):
        steps = "|".join(str(number) for number in range(1, place))
        mark = rf"|\$\{{({steps})\}}" if steps else ""
        return {**schema, "pattern": f"^([^$]{mark}){{0,{MAX_CHARACTERS}}}$"}
    bounded = dict(schema)
    if schema.get("type") == "array":
        bounded.setdefault("maxItems", MAX_ITEMS)
    for key in ("anyOf", "oneOf", "prefixItems"):
        if key in schema:
            bounded[key] = [_bounded(each, place) for each in schema[key]]
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            bounded[key] = _bounded(schema[key], place)
    if "properties" in schema:
        bounded["properties"] = {name: _bounded(each, place) for name, each in schema["properties"].items()}
    return bounded


def _kept(schema: Any, defs: dict[str, Any], depth: int = 0) -> dict[str, Any]:
    """A schema without its `$ref`s and without what grammar engines do not know."""
    if depth > MAX_DEPTH or not isinstance(schema, dict):
        return {}
    if "$ref" in schema:
        return _kept(defs.get(str(schema["$ref"]).rpartition("/")[2], {}), defs, depth + 1)
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key not in _KEPT or (key == "format" and value not in _FORMATS):
            continue
        if key == "properties":
            kept[key] = {name: _kept(each, defs, depth + 1) for name, each in value.items()}
        elif isinstance(value, dict):
            kept[key] = _kept(value, defs, depth + 1)
        elif key in ("anyOf", "oneOf", "prefixItems"):
            kept["anyOf" if key == "oneOf" else key] = [_kept(each, defs, depth + 1) for each in value]
        else:
            kept[key] = value
    return kept


def _closed(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


# ---------------------------------------------------------------- for people and models


def _kind(schema: dict[str, Any], defs: dict[str, Any], depth: int = 0) -> str:
    """A schema in a few words."""
    if depth > MAX_DEPTH:
        return "any"
    if "$ref" in schema:
        return _kind(defs.get(str(schema["$ref"]).rpartition("/")[2], {}), defs, depth + 1)
    if "enum" in schema or "const" in schema:
        return " | ".join(msgspec.json.encode(value).decode() for value in schema.get("enum", [schema.get("const")]))
    if "anyOf" in schema or "oneOf" in schema:
        return " | ".join(_kind(each, defs, depth + 1) for each in schema.get("anyOf") or schema["oneOf"])
    kind = schema.get("type", "any")
    if kind == "array" and isinstance(schema.get("items"), dict):
        return f"list of {_kind(schema['items'], defs, depth + 1)}"
    if kind == "object" and schema.get("properties"):
        fields = (f"{name}: {_kind(each, defs, depth + 1)}" for name, each in schema["properties"].items())
        return f"{{{', '.join(fields)}}}"
    return " | ".join(kind) if isinstance(kind, list) else str(kind)


def _named(annotation: Any) -> str:
    """A result's type in the words of a schema."""
    try:
        (schema,), defs = msgspec.json.schema_components([annotation])
    except (TypeError, RuntimeError):
        return "any"
    return _kind(schema, defs)

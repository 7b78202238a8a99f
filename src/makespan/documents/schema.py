"""The JSON Schema of workflows in YAML, made from the table in `form`: editors complete and check with it.

    # yaml-language-server: $schema=workflow.schema.json

It is what an editor can know: keys, forms and choices. References, targets and types are checked by `load`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from makespan.documents.form import DOCUMENT, INPUT, KINDS, NEEDED, Key, keys_of, schedule_keys

FILE = Path(__file__).with_name("workflow.schema.json")
"""The schema as it is shipped; a test keeps it fresh."""

_TEXT = {"type": "string"}
_TARGET = {"type": "string", "minLength": 1}
_TASK = {"$ref": "#/$defs/task"}
_TYPE = {"$ref": "#/$defs/type"}
_REFERENCE = {"type": "string", "pattern": r"^\s*\$\{[^{}]+\}\s*$"}


def _some(item: Mapping[str, Any]) -> dict[str, Any]:
    """One, or a list of them."""
    return {"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]}


_MESSAGE = {
    "type": "object",
    "properties": dict.fromkeys(("system", "user", "assistant"), _TEXT),
    "additionalProperties": False,
    "minProperties": 1,
    "maxProperties": 1,
}
_FORMS: Mapping[str, Mapping[str, Any]] = {
    "text": _TEXT,
    "name": {"type": "string", "minLength": 1},
    "whole": {"type": "integer"},
    "number": {"type": "number"},
    "flag": {"type": "boolean"},
    "texts": _some(_TEXT),
    "errors": _some(_TEXT),
    "units": {
        "type": "object",
        "additionalProperties": {"anyOf": [{"type": "integer"}, {"type": "array", "items": _TEXT, "minItems": 1}]},
    },
    "target": _TARGET,
    "function": _TARGET,
    "targets": _some(_TARGET),
    "type": _TYPE,
    "types": {"type": "object", "additionalProperties": _TYPE},
    "inputs": {"type": "object", "additionalProperties": {"$ref": "#/$defs/input"}},
    "schedule": {"$ref": "#/$defs/schedule"},
    "tasks": {"type": "object", "additionalProperties": _TASK, "minProperties": 1},
    "task": _TASK,
    "arguments": {"type": "object"},
    "template": {"anyOf": [_TEXT, {"type": "array", "items": _MESSAGE, "minItems": 1}]},
    "expression": _TEXT,
    "accept": {"anyOf": [_TEXT, _TASK]},
    "candidates": {"type": "array", "items": {"anyOf": [_REFERENCE, _TASK]}, "minItems": 1},
    "alternatives": {"type": "array", "items": _TASK, "minItems": 1},
    "items": {"anyOf": [_REFERENCE, {"type": "array"}]},
    "reference": _REFERENCE,
    "references": _some(_REFERENCE),
    "seconds": {"anyOf": [{"type": "number"}, _REFERENCE]},
    "moment": _TEXT,
    "value": {},
    "data": {},
}


def schema() -> dict[str, Any]:
    """The schema, as plain data."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "makespan workflow",
        "description": "A workflow for makespan: tasks that name what they need, as a graph.",
        **_object(DOCUMENT, NEEDED),
        "$defs": {
            "input": {"anyOf": [_TYPE, _object(INPUT, ("type",))]},
            "schedule": _object(schedule_keys(), ()),
            "type": {
                "description": "A type: str, list[int], dict[str, float] | null, module:Class, or an object of fields.",
                "anyOf": [
                    _TEXT,
                    {"type": "null"},
                    {"type": "object", "properties": {"enum": {"type": "array"}}, "minProperties": 1},
                ],
            },
            "task": {
                "type": "object",
                "oneOf": [{"$ref": f"#/$defs/{kind}"} for kind in KINDS],
            },
            **{kind: _object(keys_of(kind), (kind,)) for kind in KINDS},
        },
    }


def text() -> str:
    """The schema as the file holds it."""
    return msgspec.json.format(msgspec.json.encode(schema()), indent=2).decode() + "\n"


def _object(keys: Mapping[str, Key], needed: tuple[str, ...]) -> dict[str, Any]:
    properties = {name: _property(key) for name, key in keys.items()}
    return {"type": "object", "properties": properties, "required": list(needed), "additionalProperties": False}


def _property(key: Key) -> dict[str, Any]:
    form: dict[str, Any] = {"enum": list(key.choices)} if key.form == "choice" else dict(_FORMS[key.form])
    return {"description": key.about, **form} if key.about else form

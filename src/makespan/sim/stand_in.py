"""Values for results that nobody has recorded: the smallest instance of a JSON Schema that counts as true.

A text is `"text"`, a number 1 (or the nearest that is allowed), a flag true, a list so many items, a choice its first.
True wherever possible, because `if grade.ok:` and `when(...)` then go the way that ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

TEXT = "text"
DEPTH_LIMIT = 32
"""Recursive types end here."""
ITEMS = 3
"""Items of a list that nothing is known of."""

_FORMATS = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "duration": "PT1S",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "decimal": "1",
}


def instance(schema: Mapping[str, Any], items: int = ITEMS, text: str = TEXT) -> Any:
    """JSON-like data that fits a JSON Schema.

    Args:
        items: how many items lists have, as far as the schema allows. text: what texts are.
    Cost: O(size of the instance).
    """
    return _Maker(schema.get("$defs") or schema.get("definitions") or {}, items, text).make(schema, 0)


def shape(paths: Iterable[Sequence[str | int]]) -> Any:
    """A value in which each of these paths leads to something: for results without a declared type.

    >>> shape([("a", "b"), ("c",)])
    {'a': {'b': True}, 'c': True}
    """
    heads: dict[str | int, list[Sequence[str | int]]] = {}
    for path in paths:
        if path:
            heads.setdefault(path[0], []).append(path[1:])
    if not heads:
        return True
    if all(isinstance(head, int) for head in heads):
        length = max((head if head >= 0 else -head - 1) + 1 for head in heads if isinstance(head, int))
        made = {head % length: shape(rest) for head, rest in heads.items() if isinstance(head, int)}
        return [made.get(place, True) for place in range(length)]
    return {str(head): shape(rest) for head, rest in heads.items()}


class _Maker:
    """One schema's definitions at hand."""

    def __init__(self, definitions: Mapping[str, Any], items: int, text: str) -> None:
        self._definitions, self._items, self._text = definitions, items, text

    def make(self, schema: Any, depth: int) -> Any:
        if not isinstance(schema, Mapping):
            return True
        if "$ref" in schema:
            return self.make(self._definitions.get(schema["$ref"].rpartition("/")[2], {}), depth + 1)
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            return _truest(schema["enum"])
        choices = schema.get("anyOf") or schema.get("oneOf")
        if choices:
            return self._choice(choices, depth)
        if schema.get("allOf"):
            return self._merged([self.make(each, depth + 1) for each in schema["allOf"]])
        return self._of_type(schema, depth)

    def _choice(self, choices: Sequence[Any], depth: int) -> Any:
        """The first that is not null; where the type holds itself, null rather than for ever."""
        is_deep = depth >= DEPTH_LIMIT
        for choice in choices:
            is_null = isinstance(choice, Mapping) and choice.get("type") == "null"
            if is_null == is_deep:
                return self.make(choice, depth + 1)
        return self.make(choices[0], depth + 1)

    def _merged(self, parts: Sequence[Any]) -> Any:
        if all(isinstance(part, dict) for part in parts):
            return {name: value for part in parts for name, value in part.items()}
        return parts[0]

    def _of_type(self, schema: Mapping[str, Any], depth: int) -> Any:
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((each for each in kind if each != "null"), "null")
        match kind:
            case "string":
                return _text(schema, self._text)
            case "integer" | "number":
                return _number(schema, kind == "integer")
            case "boolean":
                return True
            case "null":
                return None
            case "array":
                return self._list(schema, depth)
            case "object":
                return self._object(schema, depth)
        return self._object(schema, depth) if "properties" in schema else True

    def _list(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        first = list(schema.get("prefixItems") or ())
        each = schema.get("items", {})
        if each is False:
            return [self.make(part, depth + 1) for part in first]
        wanted = 0 if depth >= DEPTH_LIMIT else max(self._items, len(first))
        count = min(max(wanted, schema.get("minItems", 0)), schema.get("maxItems", wanted + schema.get("minItems", 0)))
        made = [self.make(part, depth + 1) for part in first]
        item = self.make(each, depth + 1) if count > len(made) else None
        return made + [item] * (count - len(made))

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        return {name: self.make(properties.get(name, {}), depth + 1) for name in schema.get("required") or ()}


def _truest(choices: Sequence[Any]) -> Any:
    return next((choice for choice in choices if choice), choices[0])


def _text(schema: Mapping[str, Any], text: str) -> str:
    if schema.get("contentEncoding") == "base64":
        return "AQ=="
    found = _FORMATS.get(str(schema.get("format", "")))
    if found is not None:
        return found
    least, most = int(schema.get("minLength", 0)), int(schema.get("maxLength", 10**9))
    return (text * (least // len(text) + 1))[: max(least, min(len(text), most))]


def _number(schema: Mapping[str, Any], whole: bool) -> int | float:
    """1, or the allowed number nearest to it."""
    step = schema.get("multipleOf")
    gap = 1 if whole else 1e-6
    low = schema.get("minimum", schema["exclusiveMinimum"] + gap if "exclusiveMinimum" in schema else None)
    high = schema.get("maximum", schema["exclusiveMaximum"] - gap if "exclusiveMaximum" in schema else None)
    value: int | float = 1 if whole else 1.0
    if low is not None and value < low:
        value = low
    if high is not None and value > high:
        value = high
    if step:
        value = step * max(1, -(-value // step)) if high is None or step * max(1, -(-value // step)) <= high else 0
    return value

"""Typed answers: a Python type to the JSON Schema a model is held to, and a reply's text back to the type.

Invariant: nothing is believed. Constrained or not, every answer is decoded by its declared type; what does
not fit is a ProviderError of kind `malformed`, `truncated` or `refused`, and `reask` turns the first two
into another question.

    type ──schema_of──▶ JSON Schema ──▶ model ──▶ text ──read──▶ value | ProviderError ──reask──▶ messages
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, get_origin

import msgspec

from makespan.errors import GraphError, ProviderError
from makespan.ports import Message, ModelReply

REASKABLE = frozenset({"malformed", "truncated"})
"""Kinds of failure another question can mend."""

_DROPPED = frozenset({"title", "default", "discriminator", "uniqueItems", "contentEncoding", "examples"})
"""Keywords that grammar engines do not know. An unknown one makes llguidance drop the whole schema without
a word."""
_KNOWN_FORMATS = frozenset({"date-time", "date", "time", "duration", "email", "uuid"})
_MAX_STARTS = 64
_EXCERPT = 200


def schema_of(wanted: Any) -> dict[str, Any] | None:
    """JSON Schema for answers of type `wanted`; None for `str`, which is free text.

    The root is always an object (services ask for it): other types are wrapped as `{"value": ...}`. Objects
    are closed and all their fields required, optional ones may be null; `$defs` stay, as recursion needs
    them.

    Raises:
        GraphError: the type has no JSON form.
    """
    if wanted is str:
        return None
    schema: dict[str, Any] = _cleaned(_object_schema(wanted))
    return schema


def read(reply: ModelReply, wanted: Any) -> Any:
    """The reply's value, of type `wanted`.

    Plain `str` is the text itself, even when `max_tokens` cut it. Else the whole text is tried as JSON
    first, then the JSON values inside it, so fences and chatter around an answer do no harm.

    Raises:
        ProviderError: `refused` (a filter ended it), `truncated` (cut and not decodable), `malformed` (does
            not fit).
    Cost: O(text) usually; at most 64 scans of it.
    """
    if reply.finish_reason == "filter":
        raise ProviderError(f"the model refused to answer: {_excerpt(reply.text)}", kind="refused", retryable=False)
    if wanted is str:
        return reply.text
    cause: Exception | None = None
    decode = _decoder(wanted)
    for candidate in _candidates(reply.text):
        try:
            return decode(candidate)
        except _UNDECODABLE as error:
            cause = cause or error
    raise _failure(reply, wanted, cause) from cause


def reask(messages: tuple[Message, ...], reply: ModelReply, error: ProviderError) -> tuple[Message, ...]:
    """The conversation with the bad answer and what was wrong with it, ready for another call."""
    if error.kind == "truncated":
        wish = "Your answer was cut off. Answer again, shorter, with complete JSON only."
    else:
        how = " with JSON only" if reply.text.strip() else ""
        wish = f"That answer does not fit: {error.__cause__ or error}. Answer again{how}."
    return (*messages, Message.assistant(_excerpt(reply.text, limit=2000)), Message.user(wish))


# A struct's own checks may raise anything that msgspec does not turn into a ValidationError.
_UNDECODABLE = (msgspec.MsgspecError, ValueError, RecursionError)


def _object_schema(wanted: Any) -> dict[str, Any]:
    schema = _json_schema(wanted)
    return schema if _is_object(schema) else _json_schema(_wrapper(wanted))


def _json_schema(wanted: Any) -> dict[str, Any]:
    """msgspec's schema with a `$ref` at the root replaced by what it names."""
    try:
        schema = msgspec.json.schema(wanted)
    except (TypeError, RuntimeError) as error:
        why = str(error).splitlines()[-1]
        raise GraphError(
            f"a model cannot answer with {_type_name(wanted)}: {why}; use a msgspec Struct or plain types"
        ) from error
    name = schema.get("$ref", "").removeprefix("#/$defs/")
    if not name:
        return schema
    inlined = {**schema["$defs"][name], "$defs": schema["$defs"]}
    if f'"#/$defs/{name}"'.encode() not in msgspec.json.encode(schema["$defs"]):
        inlined["$defs"] = {key: value for key, value in schema["$defs"].items() if key != name}
    return inlined


def _is_object(schema: dict[str, Any]) -> bool:
    return schema.get("type") == "object"


def _wrapper(wanted: Any) -> Any:
    return msgspec.defstruct("Answer", [("value", wanted)])


def _cleaned(node: Any) -> Any:
    """The schema without what engines refuse, objects closed. Property names are data and stay."""
    if isinstance(node, list):
        return [_cleaned(part) for part in node]
    if not isinstance(node, dict):
        return node
    kept = {key: _cleaned_value(key, value) for key, value in node.items() if _is_kept(key, value)}
    if "properties" in kept:
        kept["required"] = list(kept["properties"])
        kept.setdefault("additionalProperties", False)
    return kept


def _cleaned_value(key: str, value: Any) -> Any:
    if key in ("properties", "$defs"):
        return {name: _cleaned(part) for name, part in value.items()}
    return value if key in ("enum", "const", "required") else _cleaned(value)


def _is_kept(key: str, value: Any) -> bool:
    if key == "format":
        return value in _KNOWN_FORMATS
    # `false` closes a fixed-length array, which minItems and maxItems say too; llama.cpp wants an object
    # here.
    is_closed_tuple = key == "items" and value is False
    return key not in _DROPPED and not is_closed_tuple and not (key == "$defs" and not value)


def _decoder(wanted: Any) -> Callable[[str], Any]:
    """JSON text to a value, wrapped or bare: models that ignore the schema leave the wrapping out."""
    bare = msgspec.json.Decoder(wanted)
    if _is_object(_json_schema(wanted)):
        return bare.decode
    wrapped = msgspec.json.Decoder(_wrapper(wanted))

    def decode(text: str) -> Any:
        try:
            return wrapped.decode(text).value
        except _UNDECODABLE:
            return bare.decode(text)

    return decode


def _candidates(text: str) -> Iterator[str]:
    """The whole text, then every balanced JSON object or array in it, from the left."""
    yield text.strip()
    starts = [index for index, character in enumerate(text) if character in "{["]
    for start in starts[:_MAX_STARTS]:
        end = _balanced_end(text, start)
        if end is not None:
            yield text[start:end]


def _balanced_end(text: str, start: int) -> int | None:
    """Where the bracket at `start` closes, brackets inside strings left out."""
    depth, in_string, escaped = 0, False, False
    for index in range(start, len(text)):
        character = text[index]
        if in_string:
            in_string = escaped or character != '"'
            escaped = not escaped and character == "\\"
        elif character == '"':
            in_string = True
        elif character in "{[":
            depth += 1
        elif character in "}]":
            depth -= 1
            if depth == 0:
                return index + 1
    return None


def _failure(reply: ModelReply, wanted: Any, cause: Exception | None) -> ProviderError:
    if reply.finish_reason == "length":
        used = reply.usage.completion_tokens
        message = f"the answer was cut off after {used} tokens; raise max_tokens or ask for less"
        return ProviderError(f"{message}: {_excerpt(reply.text)}", kind="truncated", retryable=False)
    message = f"the answer is not a valid {_type_name(wanted)}: {cause}; it was {_excerpt(reply.text)}"
    return ProviderError(message, kind="malformed", retryable=True)


def _type_name(wanted: Any) -> str:
    return wanted.__name__ if isinstance(wanted, type) and get_origin(wanted) is None else str(wanted)


def _excerpt(text: str, limit: int = _EXCERPT) -> str:
    if not text:
        return "(no text)"
    return text if len(text) <= limit else f"{text[:limit]}…"

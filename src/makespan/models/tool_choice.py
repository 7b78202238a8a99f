"""Tools for models that do not know them: which tool to call is asked for as an answer with a schema.

    {"tool": "search", "arguments": {...}}    one call            {"answer": ...}    the answer

One place for the whole translation: `ToolChoice` stands in front of a model without `native_tools`, turns a request
with tools into one with a schema, and its answer back into a call or an answer. Requests without tools pass.
Invariant: a reply with tool calls names a tool that was offered; everything else is an answer, right or wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from makespan.models.answer_text import AnswerText
from makespan.ports import Message, Model, ModelReply, ModelRequest, Tool, ToolCall, streamed
from makespan.values import Usage

CHOICE_TOKENS = 64
"""Completion tokens that the wrapping of a choice may take, besides those the caller allows for the answer."""

_INSTRUCTION = (
    'You have tools. To call one, answer with JSON: {"tool": its name, "arguments": {...}}. '
    'When you know enough, answer with JSON: {"answer": ...}.\nTools:\n'
)


class _Choice(msgspec.Struct):
    """What such a model says. `tool` wins when it says both."""

    tool: str = ""
    arguments: msgspec.Raw = msgspec.Raw(b"{}")
    answer: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class ToolChoice:
    """A `Model` with tools, in front of one without."""

    native_tools = True

    def __init__(self, model: Model) -> None:
        self.model = model

    @property
    def name(self) -> str:
        return self.model.name

    def check(self) -> None:
        """What the model checks before it is called, if it does."""
        check: Callable[[], None] | None = getattr(self.model, "check", None)
        if check is not None:
            check()

    def worst_case(self, request: ModelRequest) -> Usage:
        return self.model.worst_case(asked(request))

    async def complete(self, request: ModelRequest) -> ModelReply:
        """The model's choice, as calls or an answer."""
        return chosen(request, await self.model.complete(asked(request)))

    async def stream(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelReply:
        """As `complete`; of a choice only the answer's text is passed on."""
        if not request.tools:
            return await streamed(self.model, request, on_text)
        answer = AnswerText(on_text, is_plain=request.schema is None)
        reply = chosen(request, await streamed(self.model, asked(request), answer.take))
        if not reply.tool_calls and reply.text.startswith(answer.said):
            rest = reply.text[len(answer.said) :]
            if rest:
                on_text(rest)
        return reply

    async def close(self) -> None:
        await self.model.close()


def with_tools(model: Model) -> Model:
    """The model itself if it knows tools, else with `ToolChoice` in front of it."""
    return model if getattr(model, "native_tools", False) else ToolChoice(model)


def asked(request: ModelRequest) -> ModelRequest:
    """The request without tools that asks for the same."""
    if not request.tools and not any(message.role == "tool" or message.tool_calls for message in request.messages):
        return request
    messages = told(request.messages)
    if not request.tools:
        return msgspec.structs.replace(request, messages=messages)
    return msgspec.structs.replace(
        request,
        messages=_instructed(messages, request.tools),
        schema=choice_schema(request.tools, request.schema),
        max_tokens=request.max_tokens + CHOICE_TOKENS,
        tools=(),
    )


def told(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The conversation with calls and their results as plain text."""
    names: dict[str, str] = {}
    plain: list[Message] = []
    for message in messages:
        names |= {call.id: call.name for call in message.tool_calls}  # ids may be used again in a later turn
        if message.role == "tool":
            plain.append(Message.user(f"Result of {names.get(message.call_id, 'the tool')}: {message.text}"))
        elif message.tool_calls:
            plain.append(Message.assistant("\n".join(_call_text(call) for call in message.tool_calls)))
        else:
            plain.append(message)
    return tuple(plain)


def choice_schema(tools: tuple[Tool, ...], answer: dict[str, Any] | None) -> dict[str, Any]:
    """JSON Schema of one call of one of the tools, with that tool's arguments, or an answer."""
    shared: dict[str, Any] = {}
    choices = []
    for number, tool in enumerate(tools):
        parameters = _without_defs(tool.parameters, f"tool{number}_", shared)
        choices.append(_closed({"tool": {"const": tool.name}, "arguments": parameters}))
    choices.append(_closed({"answer": {"type": "string"} if answer is None else _without_defs(answer, "", shared)}))
    return {"anyOf": choices, "$defs": shared} if shared else {"anyOf": choices}


def chosen(request: ModelRequest, reply: ModelReply) -> ModelReply:
    """The model's reply with its choice read: calls, or the answer alone as the text."""
    if not request.tools:
        return reply
    choices = _choices(reply.text)
    offered = {tool.name for tool in request.tools}
    calls = [choice for choice in choices if choice.tool in offered]
    if calls:
        said = tuple(
            ToolCall(f"call_{number}", call.tool, bytes(call.arguments).decode()) for number, call in enumerate(calls)
        )
        return msgspec.structs.replace(reply, text="", finish_reason="tools", tool_calls=said, logprobs=())
    for choice in choices:
        if choice.answer is not msgspec.UNSET:
            text = _answer_text(bytes(choice.answer), is_plain=request.schema is None)
            return msgspec.structs.replace(reply, text=text, logprobs=())
    begun = AnswerText(_unheard, is_plain=request.schema is None)
    begun.take(reply.text)
    return msgspec.structs.replace(reply, text=begun.said, logprobs=()) if begun.said else reply


def _unheard(text: str) -> None:
    """Nobody listens: only what was said is wanted."""


def _answer_text(encoded: bytes, *, is_plain: bool) -> str:
    value = msgspec.json.decode(encoded)
    return value if is_plain and isinstance(value, str) else encoded.decode()


def _choices(text: str) -> list[_Choice]:
    """The choices in a text: the whole of it, or one a line, which is how calls of the past are shown."""
    for parts in ([text], text.splitlines()):
        found = [choice for part in parts if (choice := _choice(part.strip())) is not None]
        if found:
            return found
    return []


def _choice(text: str) -> _Choice | None:
    start, end = text.find("{"), text.rfind("}")
    try:
        return msgspec.json.decode(text[start : end + 1], type=_Choice)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _call_text(call: ToolCall) -> str:
    try:
        arguments = msgspec.json.decode(call.arguments)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        arguments = call.arguments
    said = msgspec.json.encode({"tool": call.name, "arguments": arguments})
    return msgspec.json.format(said, indent=0).decode()


def _instructed(messages: tuple[Message, ...], tools: tuple[Tool, ...]) -> tuple[Message, ...]:
    """The instruction at the end of the first system message, which is made if there is none."""
    lines = [f"- {tool.name}({_parameters(tool)}): {tool.description}" for tool in tools]
    said = _INSTRUCTION + "\n".join(lines)
    if messages and messages[0].role == "system":
        return (Message.system(f"{messages[0].text}\n\n{said}"), *messages[1:])
    return (Message.system(said), *messages)


def _parameters(tool: Tool) -> str:
    return ", ".join(tool.parameters.get("properties", {}))


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _without_defs(schema: dict[str, Any], prefix: str, shared: dict[str, Any]) -> dict[str, Any]:
    """The schema with its `$defs` moved to `shared` under names of their own."""
    renamed: dict[str, Any] = _renamed({key: part for key, part in schema.items() if key != "$defs"}, prefix)
    for name, part in schema.get("$defs", {}).items():
        shared[prefix + name] = _renamed(part, prefix)
    return renamed


def _renamed(node: Any, prefix: str) -> Any:
    if isinstance(node, list):
        return [_renamed(part, prefix) for part in node]
    if not isinstance(node, dict):
        return node
    return {key: _reference(part, prefix) if key == "$ref" else _renamed(part, prefix) for key, part in node.items()}


def _reference(target: Any, prefix: str) -> Any:
    """A `$ref` that points to the renamed definition; a property that is called `$ref` is left alone."""
    if not isinstance(target, str):
        return _renamed(target, prefix)
    return target.replace("#/$defs/", f"#/$defs/{prefix}", 1)

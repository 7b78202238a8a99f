"""Chat completions as data: our request as the body of theirs, their answer as what we read of it.

Invariant: nothing here sends or waits; what is not read of an answer is skipped, so services may add fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from makespan.models.openai_errors import malformed
from makespan.ports import Message, ModelRequest, TokenLogprob, Tool, ToolCall
from makespan.values import Usage

FinishReason = Literal["stop", "length", "filter", "tools"]
FINISH: Mapping[str, FinishReason] = {"length": "length", "content_filter": "filter"}

_TOLD_SCHEMA = "When you answer instead of calling a tool, answer with JSON only, following this JSON Schema: "


class Function(msgspec.Struct):
    """Name and arguments of a call, or a piece of them."""

    name: str | None = None
    arguments: str | None = None


class Call(msgspec.Struct):
    """A call of a tool, or a piece of one: pieces with one index belong together."""

    index: int | None = None
    id: str | None = None
    function: Function = msgspec.field(default_factory=Function)


class Said(msgspec.Struct):
    """A message, or a piece of one."""

    content: str | None = None
    refusal: str | None = None
    tool_calls: list[Call] | None = None


class Logprobs(msgspec.Struct):
    content: list[TokenLogprob] | None = None


class _Cached(msgspec.Struct):
    cached_tokens: int | None = None


class Used(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int
    prompt_tokens_details: _Cached | None = None

    def as_usage(self) -> Usage:
        cached = self.prompt_tokens_details.cached_tokens if self.prompt_tokens_details is not None else 0
        return Usage(self.prompt_tokens, cached or 0, self.completion_tokens)


class _Choice(msgspec.Struct):
    message: Said
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class _Completion(msgspec.Struct):
    choices: list[_Choice]
    usage: Used | None = None


class Collected:
    """An answer, put together from one message or from many pieces."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._refusal: list[str] = []
        self._logprobs: list[TokenLogprob] = []
        self._calls: list[Call] = []
        self._by_index: dict[int, Call] = {}
        self._finish = ""
        self.usage: Usage | None = None

    def add(self, said: Said, finish_reason: str | None, logprobs: Logprobs | None) -> str:
        """Take a message or a piece of one; returns its text."""
        self._finish = finish_reason or self._finish
        if logprobs is not None and logprobs.content:
            self._logprobs += logprobs.content
        if said.refusal:
            self._refusal.append(said.refusal)
        for call in said.tool_calls or ():
            self._add_call(call)
        text = said.content or ""
        self._text.append(text)
        return text

    @property
    def is_finished(self) -> bool:
        """Whether the service said that it is."""
        return bool(self._finish)

    @property
    def text(self) -> str:
        return "".join(self._refusal) or "".join(self._text)

    @property
    def logprobs(self) -> tuple[TokenLogprob, ...]:
        return tuple(self._logprobs)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls in their order; a service that gives them no id gets one by number."""
        if self._finish == "length":
            return ()  # the last one may be cut, and the rest of a plan that nobody finished is none
        return tuple(
            ToolCall(call.id or f"call_{number}", call.function.name or "", call.function.arguments or "{}")
            for number, call in enumerate(self._calls)
        )

    @property
    def finish_reason(self) -> FinishReason:
        """Services disagree on the word for calls, so the calls themselves say it."""
        if self._refusal:
            return "filter"
        if self.tool_calls:
            return "tools"
        return FINISH.get(self._finish, "stop")

    def _add_call(self, piece: Call) -> None:
        """Pieces of one call share an index; where there is none, a new id or name begins a new call."""
        known = self._by_index.get(piece.index) if piece.index is not None else None
        if piece.index is None and self._calls and not piece.id and not piece.function.name:
            known = self._calls[-1]
        if known is None:
            self._calls.append(piece)
            if piece.index is not None:
                self._by_index[piece.index] = piece
            return
        known.id = known.id or piece.id
        known.function.name = known.function.name or piece.function.name
        known.function.arguments = (known.function.arguments or "") + (piece.function.arguments or "")


def reply_in(model: str, content: bytes) -> Collected:
    """A whole chat completion. Raises ProviderError `malformed`."""
    try:
        completion = msgspec.json.decode(content, type=_Completion)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise malformed(model, str(error)) from error
    if not completion.choices:
        raise malformed(model, "no choices")
    choice, found = completion.choices[0], Collected()
    found.add(choice.message, choice.finish_reason or "stop", choice.logprobs)
    found.usage = None if completion.usage is None else completion.usage.as_usage()
    return found


def body_of(model: str, request: ModelRequest, *, formats: bool, tells: bool) -> dict[str, Any]:
    """The JSON body of a call, but for its token limit.

    Args:
        formats: whether a schema goes into `response_format`.
        tells: whether a schema goes into a system message.
    """
    messages = [_message(message) for message in request.messages]
    body: dict[str, Any] = {"model": model, "messages": messages, "temperature": request.temperature}
    if request.seed is not None:
        body["seed"] = request.seed
    if request.logprobs:
        body["logprobs"] = True
    if request.stop:
        body["stop"] = list(request.stop)
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
    if request.schema is not None and formats:
        body["response_format"] = _response_format(request.schema)
    if request.schema is not None and tells:
        said = _TOLD_SCHEMA + msgspec.json.encode(request.schema).decode()
        place = 1 if request.messages and request.messages[0].role == "system" else 0
        messages.insert(place, {"role": "system", "content": said})
    return body


def _message(message: Message) -> dict[str, Any]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.call_id, "content": message.text}
    if not message.tool_calls:
        return {"role": message.role, "content": message.text}
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in message.tool_calls
    ]
    return {"role": message.role, "content": message.text or None, "tool_calls": calls}


def _tool(tool: Tool) -> dict[str, Any]:
    said = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": said}


def _response_format(schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema, "strict": _is_strict(schema)},
    }


def _is_strict(schema: Any) -> bool:
    """Whether OpenAI's strict mode takes the schema: closed objects only, no fixed-length arrays."""
    if isinstance(schema, list):
        return all(_is_strict(part) for part in schema)
    if not isinstance(schema, dict):
        return True
    if "prefixItems" in schema or (schema.get("type") == "object" and schema.get("additionalProperties") is not False):
        return False
    return all(_is_strict(part) for part in schema.values())

"""Logs of messages as OpenAI-style APIs have them: a list, `{"messages": [...]}`, or JSON lines of either.

    message            a step: system, user, assistant (a model's turn), tool (with its call)
    several records    a record that goes on with what the one before had adds only what is new
    several choices    the first goes on; the others are turns beside it

Source: the shapes of Chat Completions and of the items of Responses, as their public references have them.
"""

from __future__ import annotations

from typing import Any

import msgspec

from makespan.traces.importers.fields import count, kind_of, objects, text_of
from makespan.traces.importers.foreign import MESSAGE, MODEL, OTHER, TOOL, ForeignStep, ForeignTrace, NotReadable
from makespan.values import Usage

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
ITEMS = ("message", "function_call", "function_call_output", "reasoning", "item_reference", "compaction")
ENDINGS = ("_call", "_output", "_tools", "_request", "_response")
"""Of the types of items of tools that the API brings along: `web_search_call`, `mcp_list_tools` and so on."""


def is_openai(data: Any) -> bool:
    """Whether decoded data (of JSON lines: the list of them) are messages, or records that hold some."""
    try:
        return bool(_records(data))
    except NotReadable:
        return True  # there are messages, and something among them that is none: reading it says what


def read_openai(data: Any) -> ForeignTrace:
    """Decoded messages.

    Raises:
        NotReadable: there are none, or one of them is none.
    """
    records = _records(data)
    if not records:
        raise NotReadable('an OpenAI-style log is a list of {"role", "content"}, or has them under "messages"')
    reader, before, taken = _Reader(), list[Any](), 0
    for record in records:
        goes_on = record.messages[: len(before)] == before
        if not goes_on:
            reader.last = []
        new = record.messages[len(before) :] if goes_on else record.messages
        for message in new:
            reader.take(message, taken, record)
            taken += 1
        for message in record.others:
            reader.beside(message, taken, record)
            taken += 1
        before = record.messages
    return ForeignTrace(
        form="openai",
        name="conversation",
        session=next((r.session for r in records if r.session), ""),
        steps=reader.steps,
        in_file=taken,
        output=reader.answer,
    )


class _Record(msgspec.Struct):
    messages: list[Any]
    model: str = ""
    usage: Usage | None = None
    session: str = ""
    others: list[Any] = []
    """Further choices for the last message."""


def _records(data: Any) -> list[_Record]:
    if isinstance(data, list) and any(map(_is_message, data)):
        return [_Record(_messages(data, ""))]
    each = data if isinstance(data, list) else [data]
    found = [_record(one, f"[{place}]" if each is data else "") for place, one in enumerate(each)]
    return [one for one in found if one is not None] if found and all(found) else []


def _record(said: Any, where: str) -> _Record | None:
    """Messages of a request and the answer to it, in whatever of the usual shapes they were logged."""
    if isinstance(said, list):
        return _Record(_messages(said, where)) if any(map(_is_message, said)) else None
    if not isinstance(said, dict):
        return None
    request = said["request"] if isinstance(said.get("request"), dict) else said
    response = said["response"] if isinstance(said.get("response"), dict) else said
    messages = request.get("messages", request.get("input"))
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    if not isinstance(messages, list) or (messages and not any(map(_is_message, messages))):
        return None
    messages = _messages(messages, f"{where}.messages")
    choices, items = response.get("choices"), response.get("output")
    answers, others = list[Any](), list[Any]()
    if choices is not None:
        chosen = [each.get("message") for each in objects(choices, f"{where}.choices")]
        answers, others = chosen[:1], _messages(chosen[1:], f"{where}.choices")
    elif isinstance(items, list):
        answers = items
    messages = [*messages, *_messages(answers, f"{where}.output")]
    model, session = response.get("model") or request.get("model"), said.get("session_id", said.get("id"))
    usage = _usage(response.get("usage"), f"{where}.usage")
    return _Record(messages, text_of(model), usage, text_of(session), others) if messages else None


def _messages(found: list[Any], where: str) -> list[Any]:
    for place, each in enumerate(found):
        if not _is_message(each):
            said = f"has role {each.get('role')!r}" if isinstance(each, dict) else f"is {kind_of(each)}"
            raise NotReadable(f"{where}[{place}] {said[:80]}: no message; roles are {', '.join(ROLES)}")
    return found


def _is_message(said: Any) -> bool:
    if not isinstance(said, dict):
        return False
    role, kind = said.get("role"), said.get("type")
    return (isinstance(role, str) and role in ROLES) or (
        isinstance(kind, str) and (kind in ITEMS or kind.endswith(ENDINGS))
    )


def _usage(said: Any, where: str) -> Usage | None:
    if not isinstance(said, dict):
        return None
    details = said.get("prompt_tokens_details") or said.get("input_tokens_details") or {}
    counts = (
        said.get("prompt_tokens", said.get("input_tokens")),
        details.get("cached_tokens") if isinstance(details, dict) else 0,
        said.get("completion_tokens", said.get("output_tokens")),
    )
    return Usage(*(count(each, where) for each in counts))


class _Reader:
    def __init__(self) -> None:
        self.steps: list[ForeignStep] = []
        self.last: list[int] = []
        """What the next step follows from."""
        self.calls: dict[str, int] = {}
        """Id of a call → the place of the step that asked for it."""
        self.asked: dict[str, tuple[str, Any]] = {}
        self.before: list[int] = []
        """What the latest turn followed from."""
        self.answer: Any = None

    def take(self, message: dict[str, Any], of: int, record: _Record) -> None:
        """Add one message, the `of`-th of the file."""
        role, kind = message.get("role"), message.get("type")
        kind = kind if isinstance(kind, str) and role not in ROLES else ""
        if role == "assistant" or kind == "reasoning" or (kind.endswith("_call") and message.get("call_id")):
            self._turn(message, of, record)
        elif role in ("tool", "function") or kind.endswith("_output"):
            self._result(message, of)
        elif kind.endswith("_call"):
            self._builtin(message, kind.removesuffix("_call"), of)
        elif kind and kind != "message":
            self._add(ForeignStep(kind=OTHER, name=kind, of=of, output=message))
        else:
            text = _text(message.get("content"))
            self._add(ForeignStep(kind=MESSAGE, name=str(role or OTHER), of=of, arguments=text, output=text))

    def beside(self, message: dict[str, Any], of: int, record: _Record) -> None:
        """Add another choice for the turn that was just taken; what follows does not follow from it."""
        last, answer = self.last, self.answer
        self.last = self.before
        self._turn(message, of, record)
        self.steps[-1].usage = None  # the record's figures are of all choices together
        self.last, self.answer = last, answer

    def _builtin(self, message: dict[str, Any], name: str, of: int) -> None:
        """A call of a tool that the API brings along: what came back, if anything, is in the same item."""
        given = next((message[key] for key in ("arguments", "action", "queries", "code") if key in message), None)
        error = message.get("error") or (message.get("status") == "failed" and "failed") or None
        step = ForeignStep(kind=TOOL, name=text_of(message.get("name")) or name, of=of, arguments=_given(given))
        step.output, step.error = message.get("output", message), None if error is None else str(error)
        self._add(step)

    def _add(self, step: ForeignStep) -> None:
        step.sources = step.sources or list(self.last)
        self.steps.append(step)
        self.last = [len(self.steps) - 1]

    def _turn(self, message: dict[str, Any], of: int, record: _Record) -> None:
        calls = list(_calls(message))
        output: dict[str, Any] = {"value": _text(message.get("content", message.get("summary")))}
        if calls:
            output["tool_calls"] = [{"id": id, "name": name, "arguments": given} for id, name, given in calls]
        is_last = message is record.messages[-1]
        self.before = list(self.last)
        self._add(
            ForeignStep(
                kind=MODEL,
                name="turn",
                of=of,
                output=output,
                model=record.model,
                usage=record.usage if is_last else None,
            )
        )
        self.answer = output["value"] or self.answer
        for id, name, given in calls:
            self.calls[id], self.asked[id] = self.last[0], (name, given)

    def _result(self, message: dict[str, Any], of: int) -> None:
        id = text_of(message.get("tool_call_id") or message.get("call_id") or message.get("name"))
        name, given = self.asked.get(id, (text_of(message.get("name")) or "tool", None))
        turn = self.calls.get(id)
        content = _text(message.get("content", message.get("output")))
        step = ForeignStep(kind=TOOL, name=name, of=of, arguments=given, output=content)
        step.sources = list(self.last) if turn is None else [turn]
        self.steps.append(step)
        beside = [place for place in self.last if self.steps[place].kind == TOOL]
        self.last = [*beside, len(self.steps) - 1]


def _calls(message: dict[str, Any]) -> list[tuple[str, str, Any]]:
    kind = message.get("type")
    if isinstance(kind, str) and kind.endswith("_call"):
        given = next((message[key] for key in ("arguments", "input", "action") if key in message), None)
        name = text_of(message.get("name")) or kind.removesuffix("_call")
        return [(text_of(message.get("call_id")), name, _given(given))]
    found = []
    for call in objects(message.get("tool_calls"), "tool_calls of a message"):
        said = next((call[key] for key in ("function", "custom") if isinstance(call.get(key), dict)), call)
        name = text_of(said.get("name")) or "tool"
        found.append((text_of(call.get("id")), name, _given(said.get("arguments", said.get("input")))))
    old = message.get("function_call")
    if isinstance(old, dict):
        found.append((text_of(old.get("name")), text_of(old.get("name")) or "tool", _given(old.get("arguments"))))
    return found


def _given(arguments: Any) -> Any:
    if not isinstance(arguments, str):
        return arguments
    try:
        return msgspec.json.decode(arguments)
    except msgspec.DecodeError:
        return arguments


def _text(content: Any) -> Any:
    """Parts that are only text, as one text; anything else as it is."""
    if isinstance(content, list) and content and all(isinstance(p, dict) and "text" in p for p in content):
        return "".join(str(part["text"]) for part in content)
    return content

"""A model that says what you tell it to: answers, latencies and faults, for tests, examples and dry runs.

Invariant: same script, same calls in the same order, same replies; it waits only through the `sleep` it was
given, so it runs on a virtual clock. Tokens are counted as four characters each, and `max_tokens` cuts like
a real model does.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from makespan.errors import ProviderError
from makespan.models.tokens import byte_bound
from makespan.ports import ModelReply, ModelRequest, ToolCall
from makespan.values import Usage

Answer = str | ModelReply
Answers = Answer | Sequence[Answer] | Mapping[str, Answer] | Callable[[ModelRequest], Answer]

CHARACTERS_PER_TOKEN = 4


class Scripted:
    """A `Model` with a script.

    Args:
        answers: one for every call; or in order of the calls; or by a part of the prompt (first match
            wins); or a function of the request.
        latency_s: of every call, or a function of the request.
        sleep: how to wait; give the virtual clock's.
        faults: by index of the call (from 0): raised after the latency instead of an answer.
        native_tools: whether it takes tools as they are; its answers may be `calling(...)` then.
    """

    def __init__(
        self,
        answers: Answers,
        *,
        name: str = "scripted",
        latency_s: float | Callable[[ModelRequest], float] = 0.0,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        faults: Mapping[int, Exception] | None = None,
        native_tools: bool = True,
    ) -> None:
        self.name = name
        self.native_tools = native_tools
        self.calls: list[ModelRequest] = []
        self._answers = answers
        self._latency_s = latency_s
        self._sleep = sleep
        self._faults = dict(faults or {})
        self._answered = 0

    def worst_case(self, request: ModelRequest) -> Usage:
        return byte_bound(request, count_schema=False)

    async def complete(self, request: ModelRequest) -> ModelReply:
        """The script's next reply. Raises the fault of this call, ProviderError `bad_request` when the
        script has none."""
        call = len(self.calls)
        self.calls.append(request)
        latency_s = self._latency_s(request) if callable(self._latency_s) else self._latency_s
        if latency_s > 0:
            await self._sleep(latency_s)
        if call in self._faults:
            raise self._faults[call]
        answer = self._answer(request)
        return answer if isinstance(answer, ModelReply) else reply_with(answer, request)

    async def stream(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelReply:
        """As `complete`, its text word by word."""
        reply = await self.complete(request)
        for word in re.findall(r"\S+\s*|\s+", reply.text):
            on_text(word)
        return reply

    async def close(self) -> None:
        """Nothing to close."""

    def _answer(self, request: ModelRequest) -> Answer:
        if callable(self._answers):
            return self._answers(request)
        if isinstance(self._answers, str | ModelReply):
            return self._answers
        if isinstance(self._answers, Mapping):
            return self._matching(self._answers, prompt_text(request))
        if self._answered >= len(self._answers):
            raise _no_answer(f"all {len(self._answers)} answers are used", prompt_text(request))
        self._answered += 1
        return self._answers[self._answered - 1]

    def _matching(self, answers: Mapping[str, Answer], prompt: str) -> Answer:
        for part, answer in answers.items():
            if part in prompt:
                return answer
        raise _no_answer(f"none of the {len(answers)} prompt parts occurs", prompt)


def prompt_text(request: ModelRequest) -> str:
    """All messages as one text, in order."""
    return "\n".join(message.text for message in request.messages)


def echo(request: ModelRequest) -> str:
    """The last message, as an answer."""
    return request.messages[-1].text if request.messages else ""


def calling(*calls: tuple[str, Mapping[str, Any]], text: str = "") -> ModelReply:
    """A reply that asks for calls of tools, each given as its name and arguments, maybe after some text."""
    said = tuple(
        ToolCall(f"call_{number}", name, msgspec.json.encode(dict(arguments)).decode())
        for number, (name, arguments) in enumerate(calls)
    )
    written = sum(_tokens(call.name) + _tokens(call.arguments) for call in said)
    return ModelReply(text, "tools", Usage(completion_tokens=_tokens(text) + written), tool_calls=said)


def reply_with(text: str, request: ModelRequest) -> ModelReply:
    """`text` as a reply to `request`, cut at its stop strings and `max_tokens`."""
    for stop in request.stop:
        text = text.split(stop, 1)[0]
    room = request.max_tokens * CHARACTERS_PER_TOKEN
    usage = Usage(prompt_tokens=_tokens(prompt_text(request)), completion_tokens=min(_tokens(text), request.max_tokens))
    return ModelReply(text[:room], "length" if len(text) > room else "stop", usage)


def _tokens(text: str) -> int:
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def _no_answer(why: str, prompt: str) -> ProviderError:
    return ProviderError(
        f"the scripted model has no answer: {why}; the prompt was {prompt[:200]!r}",
        kind="bad_request",
        retryable=False,
    )

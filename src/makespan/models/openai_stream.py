"""A streamed chat completion: server-sent events, one JSON chunk each, put together to one answer.

    data: {"choices": [{"delta": {"content": "Hel"}}]}
    data: {"choices": [], "usage": {...}}
    data: [DONE]

Invariant: an answer counts only when the service finished it; one that breaks off is an error, whatever was read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from makespan.errors import ProviderError
from makespan.models.openai_errors import error_in_stream, malformed
from makespan.models.openai_messages import Collected, Logprobs, Said, Used


class _Choice(msgspec.Struct):
    delta: Said = msgspec.field(default_factory=Said)
    finish_reason: str | None = None
    logprobs: Logprobs | None = None
    index: int = 0


class _Chunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: Used | None = None
    error: Any = None


_decoder = msgspec.json.Decoder(_Chunk)


async def collected(
    model: str, lines: AsyncIterator[str], on_text: Callable[[str], None], key: str | None = None
) -> Collected:
    """The answer that the lines of the stream spell; `on_text` hears its text as it comes.

    Args:
        key: taken out of what the service says is wrong.
    Raises:
        ProviderError: `malformed` for what is no chunk, `unavailable` when the stream ends early, else what the
            service says in it.
    """
    found = Collected()
    async for line in lines:
        if not line.startswith("data:"):
            continue  # comments keep the connection open; names of events say nothing here
        data = line[5:].strip()
        if data == "[DONE]":
            break
        chunk = _chunk(model, data, key)
        if chunk.usage is not None:
            found.usage = chunk.usage.as_usage()
        for choice in chunk.choices:
            text = found.add(choice.delta, choice.finish_reason, choice.logprobs) if choice.index == 0 else ""
            if text:
                on_text(text)
    if not found.is_finished:
        raise ProviderError(
            f"model {model!r}: the answer broke off before its end; the engine can retry",
            kind="unavailable",
            retryable=True,
        )
    return found


def _chunk(model: str, data: str, key: str | None) -> _Chunk:
    try:
        chunk = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise malformed(model, f"in its stream: {error}") from error
    if chunk.error is not None:
        raise error_in_stream(model, chunk.error, key)
    return chunk

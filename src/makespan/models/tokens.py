"""How many tokens a call can use at most, without a tokenizer.

A token of a byte-level tokenizer covers at least one byte, so bytes bound tokens from above (about four
times too high for English). What a chat template adds around messages is covered by constants.
"""

from __future__ import annotations

import msgspec

from makespan.ports import ModelRequest
from makespan.values import Usage

TOKENS_AROUND_MESSAGE = 16
TOKENS_AROUND_PROMPT = 128
"""Start and end marks, and a template's default system prompt."""
TOKENS_AROUND_SCHEMA = 128
"""The sentence that tells it, where a service takes no schema beside tools."""


def byte_bound(request: ModelRequest, *, count_schema: bool) -> Usage:
    """Upper bound of a call's usage; nothing is assumed cached.

    Args:
        count_schema: whether the service puts the schema into the prompt (a grammar engine does not).
    """
    prompt = TOKENS_AROUND_PROMPT
    for message in request.messages:
        prompt += TOKENS_AROUND_MESSAGE + _bytes(message.text)
        for call in message.tool_calls:
            prompt += TOKENS_AROUND_MESSAGE + _bytes(call.name) + _bytes(call.arguments)
    for tool in request.tools:
        prompt += TOKENS_AROUND_MESSAGE + len(msgspec.json.encode(tool))
    if count_schema and request.schema is not None:
        prompt += len(msgspec.json.encode(request.schema))
        if request.tools:
            prompt += TOKENS_AROUND_SCHEMA
    return Usage(prompt_tokens=prompt, completion_tokens=max(request.max_tokens, 0))


def _bytes(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))

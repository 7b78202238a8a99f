"""Any service that speaks OpenAI's chat completions, over httpx.

Invariant: the key is read from where its reference points (`env:NAME`) at the moment of the call, goes into
one header, and into no message, representation or record. What goes wrong is told in `openai_errors`.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from makespan.errors import ProviderError, UsageError
from makespan.models.openai_errors import connection_error, http_error, malformed, timeout_error
from makespan.models.tokens import byte_bound
from makespan.ports import ModelReply, ModelRequest, TokenLogprob
from makespan.values import Usage

if TYPE_CHECKING:
    import httpx

OPENAI_URL = "https://api.openai.com/v1"
OPENAI_KEY = "env:OPENAI_API_KEY"
CONNECT_TIMEOUT_S = 10.0

_FINISH: Mapping[str, Literal["stop", "length", "filter"]] = {"length": "length", "content_filter": "filter"}


class _Text(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None


class _Logprobs(msgspec.Struct):
    content: list[TokenLogprob] | None = None


class _Choice(msgspec.Struct):
    message: _Text
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Cached(msgspec.Struct):
    cached_tokens: int | None = None


class _Used(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int
    prompt_tokens_details: _Cached | None = None


class _Completion(msgspec.Struct):
    """The part of a chat completion that is read; the rest is skipped."""

    choices: list[_Choice]
    usage: _Used | None = None


class OpenAICompatible:
    """A `Model` behind an OpenAI-compatible address.

    Args:
        name: as the service and the price list know it.
        base_url: up to and with `/v1`.
        key: a reference, `env:NAME`; None sends no key. Never the key itself.
        timeout_s: for a whole call.
        supports_schema: whether the service takes `response_format` of type `json_schema`.
        omit: fields of the request body the service refuses, e.g. `temperature` for reasoning models.
        environ, wall_s: where keys and the time (for `Retry-After` dates) come from.
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str = OPENAI_URL,
        key: str | None = OPENAI_KEY,
        timeout_s: float = 60.0,
        supports_schema: bool = True,
        omit: frozenset[str] = frozenset(),
        environ: Mapping[str, str] = os.environ,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        if key is not None and not key.removeprefix("env:").isidentifier():
            raise UsageError("a key is given by reference, like `env:OPENAI_API_KEY`, never as itself")
        self.name, self.base_url = name, base_url.rstrip("/")
        self._variable = None if key is None else key.removeprefix("env:")
        self._timeout_s, self._supports_schema, self._omit = timeout_s, supports_schema, omit
        self._environ, self._wall_s = environ, wall_s
        self._client: httpx.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def check(self) -> None:
        """Raise ProviderError `auth` when the key is not there or cannot be one; nothing is sent."""
        self._key()

    def worst_case(self, request: ModelRequest) -> Usage:
        return byte_bound(request, count_schema=True)

    async def complete(self, request: ModelRequest) -> ModelReply:
        """One chat completion, one HTTP request; retries belong to the engine.

        Without `usage` in the answer the worst case counts: money is never guessed downwards.

        Raises:
            ProviderError: every kind but `unknown_price`; see `openai_errors`.
        """
        key = self._key()
        content = msgspec.json.encode(self.body(request))
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._post(content, key)
        except TimeoutError as error:
            raise timeout_error(self.name, self._timeout_s) from error
        if response.status_code != 200:
            raise http_error(self.name, response, key, self._wall_s())
        return self._reply(request, response.content)

    async def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def body(self, request: ModelRequest) -> dict[str, Any]:
        """The JSON body of the call."""
        # OpenAI's own service renamed the field for its reasoning models; others know only the old name.
        limit = "max_completion_tokens" if self.base_url == OPENAI_URL else "max_tokens"
        body: dict[str, Any] = {
            "model": self.name,
            "messages": [{"role": message.role, "content": message.text} for message in request.messages],
            limit: request.max_tokens,
            "temperature": request.temperature,
        }
        if request.seed is not None:
            body["seed"] = request.seed
        if request.logprobs:
            body["logprobs"] = True
        if request.stop:
            body["stop"] = list(request.stop)
        if request.schema is not None and self._supports_schema:
            body["response_format"] = _response_format(request.schema)
        return {field: value for field, value in body.items() if field not in self._omit}

    def _key(self) -> str | None:
        if self._variable is None:
            return None
        key = self._environ.get(self._variable, "").strip()
        problem = "is not set" if not key else "" if key.isascii() and key.isprintable() else "is not a key"
        if problem:
            raise ProviderError(
                f"model {self.name!r} needs a key: the environment variable {self._variable} {problem}; "
                f"`export {self._variable}=...` and try again",
                kind="auth",
                retryable=False,
            )
        return key

    async def _post(self, content: bytes, key: str | None) -> httpx.Response:
        import httpx

        headers = {"content-type": "application/json"}
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        try:
            return await self._connected().post("/chat/completions", content=content, headers=headers)
        except (httpx.ReadTimeout, httpx.WriteTimeout) as error:
            raise timeout_error(self.name, self._timeout_s) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise connection_error(self.name, self.base_url, error) from error

    def _connected(self) -> httpx.AsyncClient:
        """The client of the running loop: connections do not outlive their loop."""
        import httpx

        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            timeout = httpx.Timeout(self._timeout_s, connect=min(CONNECT_TIMEOUT_S, self._timeout_s))
            is_local = httpx.URL(self.base_url).host in ("127.0.0.1", "localhost", "::1")
            self._client = httpx.AsyncClient(base_url=self.base_url, timeout=timeout, trust_env=not is_local)
            self._loop = loop
        return self._client

    def _reply(self, request: ModelRequest, content: bytes) -> ModelReply:
        try:
            completion = msgspec.json.decode(content, type=_Completion)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise malformed(self.name, str(error)) from error
        if not completion.choices:
            raise malformed(self.name, "no choices")
        choice = completion.choices[0]
        refusal = choice.message.refusal
        finish = "filter" if refusal else _FINISH.get(choice.finish_reason or "stop", "stop")
        logprobs = choice.logprobs.content if choice.logprobs else None
        usage = self.worst_case(request) if completion.usage is None else _usage(completion.usage)
        return ModelReply(refusal or choice.message.content or "", finish, usage, tuple(logprobs or ()))


def _usage(used: _Used) -> Usage:
    details = used.prompt_tokens_details
    cached = details.cached_tokens if details is not None else 0
    return Usage(used.prompt_tokens, cached or 0, used.completion_tokens)


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

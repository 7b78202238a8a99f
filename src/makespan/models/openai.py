"""Any service that speaks OpenAI's chat completions, over httpx.

Invariant: the key is read from where its reference points (`env:NAME`) at the moment of the call, goes into
one header, and into no message, representation or record. What goes wrong is told in `openai_errors`.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from makespan.errors import ProviderError, UsageError
from makespan.models.openai_errors import connection_error, http_error, timeout_error
from makespan.models.openai_messages import Collected, body_of, reply_in
from makespan.models.openai_stream import collected
from makespan.models.tokens import byte_bound
from makespan.ports import ModelReply, ModelRequest
from makespan.references import Secret
from makespan.values import Usage

if TYPE_CHECKING:
    import httpx

OPENAI_URL = "https://api.openai.com/v1"
OPENAI_KEY = "env:OPENAI_API_KEY"
CONNECT_TIMEOUT_S = 10.0


class OpenAICompatible:
    """A `Model` behind an OpenAI-compatible address.

    Args:
        name: as the service and the price list know it.
        base_url: up to and with `/v1`.
        key: a reference, `env:NAME`, `file:/path` or `keyring:service/name`; None sends no key. Never the key itself.
        timeout_s: for a whole call.
        supports_schema: whether the service takes `response_format` of type `json_schema`.
        schema_with_tools: whether it takes that beside tools; otherwise the schema is told in a system message.
            OpenAI's own service does, most others refuse or stop calling tools.
        native_tools: whether it takes tools; without, the choice of one is asked for as an answer with a schema.
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
        schema_with_tools: bool | None = None,
        native_tools: bool = True,
        omit: frozenset[str] = frozenset(),
        environ: Mapping[str, str] = os.environ,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        if (
            key is not None
            and not key.startswith(("file:", "keyring:"))
            and not key.removeprefix("env:").isidentifier()
        ):
            raise UsageError("a key is given by reference, like `env:OPENAI_API_KEY`, never as itself")
        self.name, self.base_url = name, base_url.rstrip("/")
        reference = key if key is None or ":" in key else f"env:{key}"
        self._secret = None if reference is None else Secret(reference, environ=environ)
        self._timeout_s, self._omit, self.native_tools = timeout_s, omit, native_tools
        self._supports_schema = supports_schema
        self._schema_with_tools = self.base_url == OPENAI_URL if schema_with_tools is None else schema_with_tools
        self._wall_s = wall_s
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
        async with self._answer(self.body(request)) as response:
            content = await response.aread()
        return self._reply(request, reply_in(self.name, content))

    async def stream(self, request: ModelRequest, on_text: Callable[[str], None]) -> ModelReply:
        """As `complete`, with the text passed on as the service sends it (server-sent events).

        A service that answers in one piece all the same is understood. An answer that breaks off is `unavailable`.
        """
        body = self.body(request) | {"stream": True}
        if "stream_options" not in self._omit:
            body["stream_options"] = {"include_usage": True}
        async with self._answer(body) as response:
            if "json" in response.headers.get("content-type", ""):
                reply = self._reply(request, reply_in(self.name, await response.aread()))
                if reply.text:
                    on_text(reply.text)
                return reply
            found = await collected(self.name, response.aiter_lines(), on_text, self._key())
        return self._reply(request, found)

    async def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def body(self, request: ModelRequest) -> dict[str, Any]:
        """The JSON body of the call."""
        has_room = self._schema_with_tools or not request.tools
        body = body_of(self.name, request, formats=self._supports_schema and has_room, tells=not has_room)
        # OpenAI's own service renamed the field for its reasoning models; others know only the old name.
        body["max_completion_tokens" if self.base_url == OPENAI_URL else "max_tokens"] = request.max_tokens
        return {field: value for field, value in body.items() if field not in self._omit}

    def _key(self) -> str | None:
        secret = self._secret
        if secret is None:
            return None
        try:
            key = secret.make().strip()
        except ProviderError as error:
            raise ProviderError(f"model {self.name!r} needs a key: {error}", kind="auth", retryable=False) from None
        if not (key and key.isascii() and key.isprintable()):
            raise ProviderError(
                f"model {self.name!r} needs a key: what {secret.reference} holds is not a key; set it and try again",
                kind="auth",
                retryable=False,
            )
        return key

    @asynccontextmanager
    async def _answer(self, body: dict[str, Any]) -> AsyncIterator[httpx.Response]:
        """The service's answer, its status 200 and its content not read yet. All of it within the timeout."""
        import httpx

        key = self._key()
        headers = {"content-type": "application/json"}
        if key is not None:
            headers["authorization"] = f"Bearer {key}"
        content = msgspec.json.encode(body)
        try:
            client = self._connected()
            async with asyncio.timeout(self._timeout_s):
                call = client.stream("POST", "/chat/completions", content=content, headers=headers)
                async with call as response:
                    if response.status_code != 200:
                        await response.aread()
                        raise http_error(self.name, response, key, self._wall_s())
                    yield response
        except (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout) as error:
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

    def _reply(self, request: ModelRequest, found: Collected) -> ModelReply:
        usage = self.worst_case(request) if found.usage is None else found.usage
        return ModelReply(found.text, found.finish_reason, usage, found.logprobs, found.tool_calls)

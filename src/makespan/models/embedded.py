"""A small language model inside this process: SmolLM2-135M on llama.cpp, through xllamacpp.

One worker thread owns the engine. Calls queue there in order, so the event loop stays free, and the native
code lets go of the interpreter lock while it computes. One compute thread: two spin against each other
beside other work.

Invariant: a cancelled or closed call stops at its next token (while reading the prompt: at its next batch).
The engine opens a loopback port by itself; it always gets an API key, a random one unless you give yours.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from makespan.errors import ProviderError
from makespan.models.tokens import byte_bound
from makespan.ports import ModelReply, ModelRequest, TokenLogprob
from makespan.values import Usage

EMBEDDED_NAME = "smollm2-135m"
CONTEXT_TOKENS = 4096
BATCH_TOKENS = 256
"""Prompt tokens read at a time: about 1.2 s of work that cannot be interrupted."""
PROMPT_CACHE_MIB = 256

# `", "` and `": "` are what the model was trained on: fewer tokens and better spans than free white space,
# and unlike llama.cpp's own `response_format` no Markdown fence, so that tokens and text agree.
_JSON_STYLE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}

Heard = Callable[[str], None]


class Embedded:
    """A `Model` on this machine's processor; loads at its first call (0.7 s, about 280 MB).

    Args:
        path: a GGUF file; `pull.locate()` finds ours.
        name: as priced.
        api_key: for the loopback server.
    Raises:
        ProviderError: `unavailable` when xllamacpp is not installed.
    """

    native_tools = False
    """At this size a choice by grammar beats the model's own format for calls."""

    def __init__(
        self,
        path: Path,
        *,
        name: str = EMBEDDED_NAME,
        context_tokens: int = CONTEXT_TOKENS,
        api_key: str | None = None,
    ) -> None:
        self.name = name
        self.api_key = api_key or secrets.token_urlsafe(24)
        self._path, self._context_tokens = path, context_tokens
        self._native = _import_native()
        self._engine: Any = None
        self._closing = threading.Event()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="makespan-embedded")

    def worst_case(self, request: ModelRequest) -> Usage:
        bound = byte_bound(request, count_schema=False)
        return Usage(
            min(bound.prompt_tokens, self._context_tokens),
            completion_tokens=min(bound.completion_tokens, self._context_tokens),
        )

    async def complete(self, request: ModelRequest) -> ModelReply:
        """The model's reply; JSON that follows `request.schema`, if there is one.

        `logprobs` are the model's own, before the schema ruled tokens out; their tokens spell the text, but
        for characters that take several tokens.

        Raises:
            ProviderError: `bad_request` (prompt too long, schema not understood), `unavailable` (cannot
                load, closed).
        Cost: about 200 prompt tokens and 110 completion tokens a second on one core; a repeated prefix is
            cached.
        """
        return await self._call(request, None)

    async def stream(self, request: ModelRequest, on_text: Heard) -> ModelReply:
        """As `complete`, token by token."""
        return await self._call(request, on_text)

    async def _call(self, request: ModelRequest, on_text: Heard | None) -> ModelReply:
        body = self._body(request)
        cancelled = threading.Event()
        loop = asyncio.get_running_loop()

        def hear(text: str) -> None:
            """On the loop: a piece that was on its way when the caller gave up is dropped."""
            if on_text is not None and not cancelled.is_set():
                on_text(text)

        def pass_on(text: str) -> None:
            """In the worker."""
            try:
                loop.call_soon_threadsafe(hear, text)
            except RuntimeError:  # the loop was closed over it
                cancelled.set()

        try:
            chunks = await self._in_worker(
                lambda: self._generate(body, cancelled, None if on_text is None else pass_on)
            )
        finally:
            cancelled.set()
        return self._checked(request, reply_of(chunks))

    async def address(self) -> str:
        """Base URL of the engine's OpenAI-compatible server on a loopback port, for the holder of
        `api_key`."""
        engine = await self._in_worker(self._load)
        return f"{engine.listening_address}/v1"

    async def close(self) -> None:
        """Stop what runs, refuse what waits, free the model, end the thread. May be called twice."""
        if not self._closing.is_set():
            self._closing.set()
            await asyncio.get_running_loop().run_in_executor(self._worker, self._unload)
        self._worker.shutdown()

    async def _in_worker(self, work: Callable[[], Any]) -> Any:
        if self._closing.is_set():
            raise _closed(self.name)
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)

    def _body(self, request: ModelRequest) -> dict[str, Any]:
        if request.max_tokens < 1:
            raise _bad_request(self.name, f"max_tokens is {request.max_tokens}, it must be at least 1")
        body: dict[str, Any] = {
            "messages": [{"role": message.role, "content": message.text} for message in request.messages],
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "stop": list(request.stop),
            "stream": True,  # chunks are where a call can be stopped
            "stream_options": {"include_usage": True},
            "return_progress": True,
        }
        if request.seed is not None:
            body["seed"] = request.seed
        if request.logprobs:
            body |= {"logprobs": True, "top_logprobs": 1}
        if request.schema is not None:
            body["grammar"] = grammar_of(request.schema)
        return body

    def _generate(
        self, body: dict[str, Any], cancelled: threading.Event, pass_on: Heard | None = None
    ) -> list[dict[str, Any]]:
        """Runs in the worker. Chunks of one streamed completion, fewer when it was stopped."""
        engine = self._load()
        chunks: list[dict[str, Any]] = []

        def on_chunk(chunk: dict[str, Any]) -> bool:
            chunks.append(chunk)
            text = "" if pass_on is None else _text_of(chunk)
            if text and pass_on is not None:
                pass_on(text)
            return cancelled.is_set() or self._closing.is_set()

        try:
            engine.handle_chat_completions(body, on_chunk)
        except (RuntimeError, ValueError, TypeError) as error:
            raise _bad_request(self.name, str(error)) from error
        if self._closing.is_set():
            raise _closed(self.name)
        for chunk in chunks:
            if "error" in chunk:
                raise _refused(self.name, chunk["error"])
        return chunks

    def _load(self) -> Any:
        """Runs in the worker. The engine, loaded once."""
        if self._closing.is_set():
            raise _closed(self.name)
        if self._engine is None:
            try:
                self._engine = self._native.Server(self._parameters())
            except (RuntimeError, ValueError) as error:
                raise ProviderError(
                    f"cannot load the model file {self._path.name}: {error}; run `makespan models pull`",
                    kind="unavailable",
                    retryable=False,
                ) from error
        return self._engine

    def _unload(self) -> None:
        self._engine = None

    def _parameters(self) -> Any:
        parameters = self._native.CommonParams()
        parameters.model.path = str(self._path)
        parameters.model_alias = {self.name}
        parameters.n_ctx = self._context_tokens
        parameters.n_batch = parameters.n_ubatch = BATCH_TOKENS
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
        parameters.n_parallel = 1
        parameters.n_threads_http = 2
        parameters.cache_ram_mib = PROMPT_CACHE_MIB  # the engine's default is 8 GiB
        parameters.api_keys = [self.api_key]
        parameters.warmup = parameters.fit_params = parameters.ui = False
        parameters.verbosity = -1
        return parameters

    def _checked(self, request: ModelRequest, reply: ModelReply) -> ModelReply:
        """llguidance ignores a schema it does not understand, with a line on stderr at most; that must not
        pass."""
        if request.schema is None or request.stop or reply.finish_reason != "stop":
            return reply
        try:
            msgspec.json.decode(reply.text)
        except msgspec.DecodeError as error:
            raise _bad_request(self.name, "the schema uses a keyword the engine does not know") from error
        return reply


def grammar_of(schema: dict[str, Any]) -> str:
    """The schema as an llguidance grammar that writes JSON on one line."""
    styled = {**schema, "x-guidance": _JSON_STYLE}
    return f"%llguidance {{}}\nstart: %json {msgspec.json.encode(styled).decode()}"


def reply_of(chunks: list[dict[str, Any]]) -> ModelReply:
    """The reply that the chunks of a streamed chat completion spell."""
    text: list[str] = []
    logprobs: list[TokenLogprob] = []
    finish, used = "stop", dict[str, Any]()
    for chunk in chunks:
        used = chunk.get("usage") or used
        text.append(_text_of(chunk))
        for choice in chunk.get("choices", ()):
            finish = choice.get("finish_reason") or finish
            tokens = (choice.get("logprobs") or {}).get("content") or ()
            logprobs += [TokenLogprob(token["token"], token["logprob"]) for token in tokens]
    cached = (used.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
    usage = Usage(used.get("prompt_tokens", 0), cached, used.get("completion_tokens", 0))
    return ModelReply("".join(text), "length" if finish == "length" else "stop", usage, tuple(logprobs))


def _text_of(chunk: dict[str, Any]) -> str:
    return "".join(choice["delta"].get("content") or "" for choice in chunk.get("choices", ()))


def _import_native() -> Any:
    """xllamacpp, which has no type information: `Any` here, and nowhere outside this module."""
    try:
        import xllamacpp
    except ImportError as error:
        raise ProviderError(
            "the embedded model needs xllamacpp; run `pip install 'makespan[local]'`",
            kind="unavailable",
            retryable=False,
        ) from error
    return xllamacpp


def _bad_request(name: str, why: str) -> ProviderError:
    return ProviderError(f"model {name!r}: {why}; change the request", kind="bad_request", retryable=False)


def _closed(name: str) -> ProviderError:
    return ProviderError(f"model {name!r} is closed; make a new one", kind="unavailable", retryable=False)


def _refused(name: str, error: dict[str, Any]) -> ProviderError:
    """The engine's own error: the caller's below 500, passing otherwise."""
    message = str(error.get("message", error))
    if int(error.get("code", 500)) < 500:
        return _bad_request(name, message)
    return ProviderError(f"model {name!r}: {message}", kind="unavailable", retryable=True)

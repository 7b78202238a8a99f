"""Streams and tools of the OpenAI-compatible client over real HTTP on a loopback port."""

import asyncio
import json
from typing import Any

import pytest

from makespan.errors import ProviderError
from makespan.models.openai import OPENAI_URL, OpenAICompatible
from makespan.models.structured import schema_of
from makespan.ports import Message, ModelReply, ModelRequest, TokenLogprob, Tool, ToolCall
from makespan.values import Usage
from tests.models.loopback import Loopback, completion, http_answer, loopback

KEY = "sk-very-secret-0123456789"
ASK = ModelRequest((Message.user("Hello"),), max_tokens=20)
WEATHER = Tool("weather", "Weather of a city.", {"type": "object", "properties": {"city": {"type": "string"}}})
WITH_TOOLS = ModelRequest((Message.user("Hello"),), max_tokens=20, tools=(WEATHER,))
USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 4}}


def piece(content: str | None = None, finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": content, **delta}, "finish_reason": finish}]}


def call_piece(
    index: int | None, arguments: str = "", id: str | None = None, name: str | None = None
) -> dict[str, Any]:
    call: dict[str, Any] = {"id": id, "function": {"name": name, "arguments": arguments}}
    return piece(tool_calls=[call if index is None else {"index": index, **call}])


def events(*chunks: object, done: bool = True) -> bytes:
    """An answer as server-sent events, with what else such streams hold."""
    lines = [": keep-alive", ""]
    for chunk in chunks:
        lines += ["event: message", f"data: {json.dumps(chunk) if not isinstance(chunk, str) else chunk}", ""]
    text = "\n".join([*lines, "data: [DONE]", ""] if done else lines) + "\n"
    return http_answer(200, text.encode(), {"content-type": "text/event-stream"})


def stream(answer: bytes, request: ModelRequest = ASK, **options: Any) -> tuple[ModelReply, list[str], Loopback]:
    async def main() -> tuple[ModelReply, list[str], Loopback]:
        heard: list[str] = []
        async with loopback(answer) as server:
            environ = {"TEST_KEY": KEY}
            model = OpenAICompatible("small", base_url=server.base_url, key="env:TEST_KEY", environ=environ, **options)
            try:
                return await model.stream(request, heard.append), heard, server
            finally:
                await model.close()

    return asyncio.run(main())


def failure(answer: bytes) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        stream(answer)
    return caught.value


def body_for(request: ModelRequest, **options: Any) -> dict[str, Any]:
    return OpenAICompatible("small", base_url="http://127.0.0.1:1/v1", key=None, **options).body(request)


# ---------------------------------------------------------------- streams


def test_pieces_are_heard_as_they_come_and_spell_the_reply() -> None:
    usage = {"choices": [], "usage": USAGE}

    reply, heard, server = stream(events(piece(""), piece("Hel"), piece("lo ☀"), piece(finish="stop"), usage))

    assert heard == ["Hel", "lo ☀"]
    assert reply == ModelReply("Hello ☀", "stop", Usage(9, 4, 3))
    assert server.bodies[0]["stream"] is True
    assert server.bodies[0]["stream_options"] == {"include_usage": True}


def test_a_stream_gives_the_same_reply_as_a_whole_answer() -> None:
    async def main() -> ModelReply:
        whole = completion("Hi there", "length")
        async with loopback(http_answer(200, whole)) as server:
            model = OpenAICompatible("small", base_url=server.base_url, key=None)
            try:
                return await model.complete(ASK)
            finally:
                await model.close()

    reply, _, _ = stream(events(piece("Hi "), piece("there", "length"), {"choices": [], "usage": USAGE}))

    assert reply == asyncio.run(main())


def test_calls_are_put_together_from_interleaved_pieces() -> None:
    chunks = [
        piece("Let me look."),
        call_piece(0, '{"ci', "call_a", "weather"),
        call_piece(1, "", "call_b", "weather"),
        call_piece(0, 'ty": "Ulm"}'),
        call_piece(1, '{"city": "Bonn"}'),
        piece(finish="tool_calls"),
    ]

    reply, heard, _ = stream(events(*chunks), WITH_TOOLS)

    assert reply.tool_calls == (
        ToolCall("call_a", "weather", '{"city": "Ulm"}'),
        ToolCall("call_b", "weather", '{"city": "Bonn"}'),
    )
    assert (reply.finish_reason, reply.text, heard) == ("tools", "Let me look.", ["Let me look."])


def test_calls_without_index_or_id_of_lesser_services_are_told_apart() -> None:
    chunks = [
        call_piece(None, '{"city":', None, "weather"),
        call_piece(None, '"Ulm"}'),
        call_piece(None, "{}", None, "w"),
    ]

    reply, _, _ = stream(events(*chunks, piece(finish="stop")), WITH_TOOLS)

    assert reply.tool_calls == (ToolCall("call_0", "weather", '{"city":"Ulm"}'), ToolCall("call_1", "w", "{}"))
    assert reply.finish_reason == "tools"


def test_a_call_that_max_tokens_cut_is_no_call() -> None:
    reply, _, _ = stream(events(call_piece(0, '{"city": "U', "a", "weather"), piece(finish="length")), WITH_TOOLS)

    assert (reply.finish_reason, reply.tool_calls) == ("length", ())


def test_log_probabilities_of_all_pieces_are_kept() -> None:
    chunk = piece("Hi", "stop")
    chunk["choices"][0]["logprobs"] = {"content": [{"token": "Hi", "logprob": -0.5}]}

    reply, _, _ = stream(events(chunk))

    assert reply.logprobs == (TokenLogprob("Hi", -0.5),)


def test_a_stream_without_usage_counts_as_the_worst_case() -> None:
    reply, _, server = stream(events(piece("Hi", "stop")))

    assert reply.usage == OpenAICompatible("small", base_url=server.base_url, key=None).worst_case(ASK)


def test_a_service_that_does_not_stream_is_understood() -> None:
    reply, heard, _ = stream(http_answer(200, completion("Hi"), {"content-type": "application/json"}))

    assert (reply.text, heard) == ("Hi", ["Hi"])


@pytest.mark.parametrize("done", [True, False])
def test_an_answer_that_breaks_off_is_unavailable_whatever_was_read(done: bool) -> None:
    caught = failure(events(piece("Hel"), done=done))

    assert (caught.kind, caught.retryable) == ("unavailable", True)


def test_a_failure_inside_a_stream_is_told_without_the_key() -> None:
    caught = failure(events(piece("Hel"), {"error": {"message": f"overloaded {KEY}"}}))

    assert (caught.kind, caught.retryable) == ("unavailable", True)
    assert "overloaded [key]" in str(caught)


def test_an_empty_account_inside_a_stream_is_not_tried_again() -> None:
    caught = failure(events({"error": {"message": "pay", "code": "insufficient_quota"}}))

    assert (caught.kind, caught.retryable) == ("quota", False)


def test_a_chunk_that_is_no_json_is_malformed() -> None:
    assert failure(events("{oops")).kind == "malformed"


def test_a_refused_stream_has_the_kind_of_its_status() -> None:
    assert failure(http_answer(429, {"error": {"message": "slow down"}}, {"Retry-After": "2"})).kind == "rate_limit"


# ---------------------------------------------------------------- tools


def test_a_whole_answer_carries_calls_too() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    answer = http_answer(200, completion(None, "tool_calls", tool_calls=[call]), {"content-type": "application/json"})

    reply, heard, _ = stream(answer, WITH_TOOLS)

    assert (reply.tool_calls, reply.finish_reason, heard) == ((ToolCall("a", "weather", "{}"),), "tools", [])


def test_tools_calls_and_results_are_sent_in_the_services_words() -> None:
    asked = Message.assistant("", (ToolCall("a", "weather", '{"city":"Ulm"}'),))
    request = ModelRequest((Message.user("?"), asked, Message.tool("a", "sunny")), tools=(WEATHER,))

    body = body_for(request)

    function = {"name": "weather", "description": "Weather of a city.", "parameters": WEATHER.parameters}
    assert body["tools"] == [{"type": "function", "function": function}]
    assert body["messages"][1:] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Ulm"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "sunny"},
    ]


def test_beside_tools_only_openais_own_service_gets_a_response_format_and_others_are_told_the_schema() -> None:
    request = ModelRequest((Message.system("Be brief."), Message.user("?")), schema=schema_of(int), tools=(WEATHER,))

    own = OpenAICompatible("gpt-5", base_url=OPENAI_URL, key=None).body(request)
    other = body_for(request)

    assert own["response_format"]["json_schema"]["schema"] == schema_of(int)
    assert "response_format" not in other
    assert other["messages"][0]["content"] == "Be brief."
    assert '"value"' in other["messages"][1]["content"]


def test_the_worst_case_covers_tools_calls_and_results() -> None:
    call = ToolCall("a", "weather", "x" * 300)
    messages = (Message.user("?"), Message.assistant("", (call,)), Message.tool("a", "y" * 200))
    model = OpenAICompatible("small", key=None)

    plain = model.worst_case(ModelRequest(messages[:1])).prompt_tokens
    full = model.worst_case(ModelRequest(messages, tools=(WEATHER,))).prompt_tokens

    assert full >= plain + 500 + len(json.dumps(WEATHER.parameters, separators=(",", ":")))

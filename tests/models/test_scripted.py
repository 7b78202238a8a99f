"""The scripted model."""

import asyncio

import pytest

from makespan.errors import ProviderError
from makespan.models.scripted import Scripted, echo
from makespan.ports import Message, Model, ModelReply, ModelRequest
from makespan.values import Usage


def ask(text: str, max_tokens: int = 100, stop: tuple[str, ...] = ()) -> ModelRequest:
    return ModelRequest((Message.user(text),), max_tokens=max_tokens, stop=stop)


def texts(model: Model, *prompts: str) -> list[str]:
    async def main() -> list[str]:
        return [(await model.complete(ask(prompt))).text for prompt in prompts]

    return asyncio.run(main())


def test_a_list_answers_in_order_and_then_says_it_is_used_up() -> None:
    model = Scripted(["one", "two"])

    assert texts(model, "a", "b") == ["one", "two"]
    with pytest.raises(ProviderError, match="all 2 answers are used"):
        texts(model, "c")


def test_a_mapping_answers_by_a_part_of_the_prompt() -> None:
    model = Scripted({"sky": "blue", "grass": "green"})

    assert texts(model, "the grass?", "the sky?") == ["green", "blue"]
    with pytest.raises(ProviderError, match="the sea"):
        texts(model, "the sea?")


def test_a_function_and_a_single_text_answer_every_call() -> None:
    assert texts(Scripted(echo), "a", "b") == ["a", "b"]
    assert texts(Scripted("same"), "a", "b") == ["same", "same"]


def test_a_reply_is_passed_on_as_it_is() -> None:
    reply = ModelReply("no", "filter", Usage(1, 1, 1))

    assert asyncio.run(Scripted([reply]).complete(ask("a"))) is reply


def test_latency_is_waited_for_only_through_the_given_sleep() -> None:
    waited_s: list[float] = []

    async def sleep(duration_s: float) -> None:
        waited_s.append(duration_s)

    model = Scripted(echo, latency_s=lambda request: float(len(request.messages[0].text)), sleep=sleep)

    texts(model, "abc", "", "a")

    assert waited_s == [3.0, 1.0]


def test_a_fault_hits_its_call_only_and_uses_no_answer() -> None:
    model = Scripted(["one", "two"], faults={1: ProviderError("busy", kind="rate_limit", retryable=True)})

    assert texts(model, "a") == ["one"]
    with pytest.raises(ProviderError, match="busy"):
        texts(model, "b")
    assert texts(model, "b") == ["two"]
    assert [call.messages[0].text for call in model.calls] == ["a", "b", "b"]


def test_answers_are_cut_like_a_models_and_stay_within_the_worst_case() -> None:
    model, request = Scripted("abcdefghij"), ask("ä" * 50, max_tokens=2)

    reply = asyncio.run(model.complete(request))

    bound = model.worst_case(request)
    assert (reply.text, reply.finish_reason) == ("abcdefgh", "length")
    assert reply.usage.prompt_tokens <= bound.prompt_tokens
    assert reply.usage.completion_tokens <= bound.completion_tokens


def test_a_stop_text_ends_the_answer() -> None:
    reply = asyncio.run(Scripted("yes. no.").complete(ask("a", stop=(".",))))

    assert (reply.text, reply.finish_reason) == ("yes", "stop")


def test_a_stream_says_the_same_word_by_word() -> None:
    heard: list[str] = []

    reply = asyncio.run(Scripted("one two\n three").stream(ask("a"), heard.append))

    assert heard == ["one ", "two\n ", "three"]
    assert "".join(heard) == reply.text

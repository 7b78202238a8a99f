"""Cassettes."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from makespan.errors import EngineError, ProviderError, UsageError
from makespan.models.recorded import Recorded, read_cassette, request_digest
from makespan.models.scripted import Scripted, echo
from makespan.ports import Message, ModelReply, ModelRequest, TokenLogprob, Tool
from makespan.values import Usage


def ask(text: str, max_tokens: int = 512, seed: int | None = None) -> ModelRequest:
    return ModelRequest((Message.user(text),), max_tokens=max_tokens, seed=seed)


def complete(model: Recorded, request: ModelRequest) -> ModelReply:
    return asyncio.run(model.complete(request))


@pytest.fixture
def cassette(tmp_path: Path) -> Path:
    return tmp_path / "tapes" / "calls.jsonl"


def test_what_was_recorded_is_replayed_without_the_model(cassette: Path) -> None:
    reply = complete(Recorded(cassette, "record", model=Scripted(["blue"])), ask("the sky?"))

    replayed = complete(Recorded(cassette, "replay", name="scripted"), ask("the sky?"))

    assert replayed == reply


def test_auto_calls_the_model_only_for_what_is_not_recorded(cassette: Path) -> None:
    model = Scripted(echo)
    recorded = Recorded(cassette, "auto", model=model)

    for text in ("a", "b", "a"):
        complete(recorded, ask(text))
    complete(Recorded(cassette, "auto", model=model), ask("b"))

    assert [call.messages[0].text for call in model.calls] == ["a", "b"]


def test_recording_again_replaces_the_reply(cassette: Path) -> None:
    for answer in ("old", "new"):
        complete(Recorded(cassette, "record", model=Scripted([answer])), ask("a"))

    assert complete(Recorded(cassette, "replay", name="scripted"), ask("a")).text == "new"


def test_a_missing_request_names_the_nearest_recorded_prompt_and_what_differs(cassette: Path) -> None:
    recording = Recorded(cassette, "record", model=Scripted(echo))
    complete(recording, ask("Why is the sky blue?"))
    complete(recording, ask("Count to ten"))
    replaying = Recorded(cassette, "replay", name="scripted")

    with pytest.raises(ProviderError, match=r"'Why is the sky blue\?', which differs in max_tokens, seed") as caught:
        complete(replaying, ask("Why is the sky blue?", max_tokens=9, seed=1))

    assert (caught.value.kind, caught.value.retryable) == ("bad_request", False)


def test_replaying_an_empty_cassette_says_so(cassette: Path) -> None:
    with pytest.raises(ProviderError, match="it is empty"):
        complete(Recorded(cassette, "replay", name="scripted"), ask("a"))


def test_the_digest_depends_on_model_and_request_and_not_on_the_order_of_schema_keys() -> None:
    one = ModelRequest((Message.user("a"),), schema={"type": "object", "required": []})
    same = ModelRequest((Message.user("a"),), schema={"required": [], "type": "object"})

    assert request_digest("m", one) == request_digest("m", same)
    assert request_digest("m", one) != request_digest("other", one)
    assert request_digest("m", one) != request_digest("m", msgspec.structs.replace(one, seed=1))


def test_a_secret_is_never_written_and_may_change_before_the_replay(cassette: Path) -> None:
    spelled = ModelReply("it is hunter2", "stop", Usage(), (TokenLogprob("hun", -1.0), TokenLogprob("ter2", -1.0)))
    recording = Recorded(cassette, "record", model=Scripted([spelled]), secrets=["hunter2"])
    assert complete(recording, ask("say hunter2")) == spelled

    replayed = complete(Recorded(cassette, "replay", name="scripted", secrets=["swordfish"]), ask("say swordfish"))

    assert (replayed.text, replayed.logprobs) == ("it is [secret]", ())
    assert b"hun" not in cassette.read_bytes()


def test_a_line_that_a_crash_left_unfinished_is_passed_over_and_written_again(cassette: Path) -> None:
    complete(Recorded(cassette, "record", model=Scripted(echo)), ask("a"))
    complete(Recorded(cassette, "record", model=Scripted(echo)), ask("b"))
    cassette.write_bytes(cassette.read_bytes()[:-20])

    assert [recording.reply.text for recording in read_cassette(cassette)] == ["a"]
    complete(Recorded(cassette, "auto", model=Scripted(echo)), ask("b"))
    assert [recording.reply.text for recording in read_cassette(cassette)] == ["a", "b"]


def test_a_damaged_line_is_named(cassette: Path) -> None:
    complete(Recorded(cassette, "record", model=Scripted(echo)), ask("a"))
    cassette.write_bytes(cassette.read_bytes() + b"{}\n")

    with pytest.raises(EngineError, match=r"calls\.jsonl, line 2"):
        Recorded(cassette, "replay", name="scripted")


def test_a_mode_that_calls_needs_a_model() -> None:
    with pytest.raises(UsageError, match="needs a model"):
        Recorded(Path("calls.jsonl"), "auto")
    with pytest.raises(UsageError, match="or its name"):
        Recorded(Path("calls.jsonl"), "replay")


def stream(model: Recorded, request: ModelRequest) -> tuple[ModelReply, list[str]]:
    heard: list[str] = []
    return asyncio.run(model.stream(request, heard.append)), heard


def test_a_stream_is_replayed_in_the_pieces_in_which_it_came(cassette: Path) -> None:
    live = stream(Recorded(cassette, "record", model=Scripted(["blue as ever"])), ask("the sky?"))

    replayed = stream(Recorded(cassette, "replay", name="scripted"), ask("the sky?"))

    assert replayed == live
    assert live[1] == ["blue ", "as ", "ever"]


def test_what_nobody_streamed_is_replayed_in_one_piece(cassette: Path) -> None:
    complete(Recorded(cassette, "record", model=Scripted(["blue as ever"])), ask("the sky?"))

    assert stream(Recorded(cassette, "replay", name="scripted"), ask("the sky?"))[1] == ["blue as ever"]


def test_pieces_that_spell_a_secret_are_not_written(cassette: Path) -> None:
    recording = Recorded(cassette, "record", model=Scripted(["it is hunter 2"]), secrets=["hunter 2"])
    assert stream(recording, ask("say"))[1] == ["it ", "is ", "hunter ", "2"]

    replayed = stream(Recorded(cassette, "replay", name="scripted", secrets=["hunter 2"]), ask("say"))

    assert replayed[1] == ["it is [secret]"]
    assert b"hunter" not in cassette.read_bytes()


def test_a_call_of_a_tool_is_replayed_whether_or_not_the_model_knew_tools(cassette: Path) -> None:
    request = ModelRequest((Message.user("?"),), tools=(Tool("clock", "The time.", {"type": "object"}),))
    model = Scripted('{"tool": "clock", "arguments": {}}', native_tools=False)
    live = complete(Recorded(cassette, "record", model=model), request)

    replayed = complete(Recorded(cassette, "replay", name="scripted"), request)

    assert replayed == live
    assert [call.name for call in replayed.tool_calls] == ["clock"]


def test_a_request_without_tools_has_the_digest_it_had_before_there_were_tools() -> None:
    assert request_digest("m", ask("a")) == "1ce303861b95bd4988faf3fd3c51bf32"

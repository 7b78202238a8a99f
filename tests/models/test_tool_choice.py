"""Tools for models that do not know them."""

import asyncio
import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from makespan.models.answer_text import AnswerText
from makespan.models.scripted import Scripted, calling
from makespan.models.tool_choice import ToolChoice, choice_schema, with_tools
from makespan.ports import Message, ModelReply, ModelRequest, Tool, ToolCall
from makespan.values import Usage

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER, CLOCK = Tool("weather", "Weather of a city.", CITY), Tool("clock", "The time.", {"type": "object"})


def ask(*messages: Message, **options: Any) -> ModelRequest:
    return ModelRequest(messages or (Message.user("?"),), **{"tools": (WEATHER, CLOCK), **options})


class Plain:
    """A model written against nothing but `complete`: no tools, no streams."""

    name = "plain"

    def __init__(self, text: str) -> None:
        self.text, self.asked = text, list[ModelRequest]()

    def worst_case(self, request: ModelRequest) -> Usage:
        return Usage(len(str(request)), 0, request.max_tokens)

    async def complete(self, request: ModelRequest) -> ModelReply:
        self.asked.append(request)
        return ModelReply(self.text, "stop", Usage(1, 0, 1))

    async def close(self) -> None:
        """Nothing to close."""


def heard_from(text: str, request: ModelRequest) -> tuple[ModelReply, list[str]]:
    heard: list[str] = []
    model = ToolChoice(Scripted(text, native_tools=False))
    return asyncio.run(model.stream(request, heard.append)), heard


def reply_to(text: str, request: ModelRequest) -> ModelReply:
    return asyncio.run(ToolChoice(Plain(text)).complete(request))


def test_a_model_that_knows_tools_is_left_alone() -> None:
    native = Scripted("x")

    assert with_tools(native) is native
    assert isinstance(with_tools(Plain("x")), ToolChoice)


def test_the_choice_of_a_tool_is_a_call_with_its_arguments() -> None:
    reply = reply_to('{"tool": "weather", "arguments": {"city": "Ulm"}}', ask())

    assert reply.tool_calls == (ToolCall("call_0", "weather", '{"city": "Ulm"}'),)
    assert (reply.text, reply.finish_reason) == ("", "tools")


def test_several_choices_a_line_each_are_several_calls() -> None:
    reply = reply_to('{"tool": "clock", "arguments": {}}\n{"tool": "weather", "arguments": {"city": "Ulm"}}', ask())

    assert [call.name for call in reply.tool_calls] == ["clock", "weather"]


def test_an_answer_is_the_text_it_stands_for_or_its_json() -> None:
    assert reply_to('{"answer": "It is \\"sunny\\"."}', ask()).text == 'It is "sunny".'
    assert reply_to('{"answer": {"value": 3}}', ask(schema={"type": "object"})).text == '{"value": 3}'


def test_a_tool_nobody_offered_and_plain_prose_are_answers() -> None:
    assert reply_to('{"tool": "refund", "arguments": {}}', ask()).tool_calls == ()
    assert reply_to("just sunny", ask()).text == "just sunny"


def test_an_answer_that_was_cut_is_the_text_so_far() -> None:
    assert reply_to('{"answer": "It is sun', ask()).text == "It is sun"


def test_the_schema_holds_each_tool_with_its_own_arguments_and_the_answer() -> None:
    schema = choice_schema((WEATHER, CLOCK), {"type": "integer"})

    by_tool = {part["properties"].get("tool", {}).get("const"): part["properties"] for part in schema["anyOf"]}
    assert by_tool["weather"]["arguments"] == CITY
    assert by_tool[None] == {"answer": {"type": "integer"}}
    assert all(part["additionalProperties"] is False for part in schema["anyOf"])


def test_definitions_of_two_tools_under_one_name_are_kept_apart() -> None:
    def tool(name: str, kind: str) -> Tool:
        of = {"type": "object", "properties": {"x": {"$ref": "#/$defs/X"}}, "$defs": {"X": {"type": kind}}}
        return Tool(name, "", of)

    schema = choice_schema((tool("a", "string"), tool("b", "integer")), {"$ref": "#/$defs/X", "$defs": {"X": {}}})

    def kind_of(part: dict[str, Any]) -> Any:
        reference = part["properties"]["arguments"]["properties"]["x"]["$ref"]
        return schema["$defs"][reference.removeprefix("#/$defs/")]

    assert kind_of(schema["anyOf"][0]) == {"type": "string"}
    assert kind_of(schema["anyOf"][1]) == {"type": "integer"}


def test_calls_and_results_are_told_as_text_under_the_name_of_their_turn() -> None:
    model = Plain('{"answer": "ok"}')
    asked = ask(
        Message.system("Be brief."),
        Message.user("?"),
        Message.assistant("", (ToolCall("call_0", "clock", "{}"),)),
        Message.tool("call_0", "noon"),
        Message.assistant("", (ToolCall("call_0", "weather", '{"city": "Ulm"}'),)),
        Message.tool("call_0", "sunny"),
    )

    asyncio.run(ToolChoice(model).complete(asked))

    system, _, *rest = model.asked[0].messages
    assert system.text.startswith("Be brief.")
    assert "- weather(city): Weather of a city." in system.text
    assert [(message.role, message.text) for message in rest] == [
        ("assistant", '{"tool": "clock", "arguments": {}}'),
        ("user", "Result of clock: noon"),
        ("assistant", '{"tool": "weather", "arguments": {"city": "Ulm"}}'),
        ("user", "Result of weather: sunny"),
    ]


def test_a_request_without_tools_passes_as_it_is() -> None:
    model, request = Plain("x"), ModelRequest((Message.user("?"),), schema={"type": "object"})

    asyncio.run(ToolChoice(model).complete(request))

    assert model.asked == [request]


def test_the_worst_case_is_that_of_what_is_asked() -> None:
    wrapped, model = ToolChoice(Plain("x")), Plain("x")

    bound = wrapped.worst_case(ask(max_tokens=10))
    asyncio.run(ToolChoice(model).complete(ask(max_tokens=10)))

    assert bound == model.worst_case(model.asked[0])
    assert model.asked[0].max_tokens > 10


def test_only_the_text_of_an_answer_is_heard() -> None:
    reply, heard = heard_from('{"answer": "It is sunny in Ulm."}', ask())
    assert (reply.text, "".join(heard)) == ("It is sunny in Ulm.", "It is sunny in Ulm.")
    assert len(heard) > 1

    reply, heard = heard_from('{"tool": "weather", "arguments": {"city": "Ulm"}}', ask())
    assert (len(reply.tool_calls), heard) == (1, [])


@given(st.text(), st.data())
def test_whatever_the_pieces_what_is_heard_begins_the_answer(answer: str, data: st.DataObject) -> None:
    text = json.dumps({"answer": answer}, ensure_ascii=data.draw(st.booleans()))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    heard: list[str] = []
    reader = AnswerText(heard.append, is_plain=True)

    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        reader.take(text[start:end])

    assert answer.startswith("".join(heard))
    if "\\u" not in text:
        assert "".join(heard) == answer


def test_a_scripted_call_is_what_a_model_with_tools_says() -> None:
    reply = calling(("weather", {"city": "Ulm"}), text="one moment")

    assert reply.finish_reason == "tools"
    assert msgspec.json.decode(reply.tool_calls[0].arguments) == {"city": "Ulm"}

"""Types to schemas, replies to values."""

import datetime
from typing import Annotated, Any, Literal, Optional

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from makespan.errors import GraphError, ProviderError
from makespan.models.structured import REASKABLE, read, reask, schema_of
from makespan.ports import Message, ModelReply
from makespan.values import Usage


class Part(msgspec.Struct, frozen=True):
    name: str
    kind: Literal["bolt", "nut"]


class Machine(msgspec.Struct, frozen=True):
    """A thing of parts."""

    title: str
    parts: list[Part]
    note: str | None = None
    count: Annotated[int, msgspec.Meta(ge=0)] = 1


class Chain(msgspec.Struct, frozen=True):
    value: int
    next: Optional["Chain"] = None


class Left(msgspec.Struct, frozen=True, tag=True):
    left: int


class Right(msgspec.Struct, frozen=True, tag=True):
    right: int


MACHINE = Machine("press", [Part("m8", "bolt")])


def said(text: str, finish: Literal["stop", "length", "filter"] = "stop") -> ModelReply:
    return ModelReply(text, finish, Usage(10, 0, 5))


def parts_of(schema: Any) -> list[dict[str, Any]]:
    """Every dict inside a schema, itself included."""
    if isinstance(schema, list):
        return [found for part in schema for found in parts_of(part)]
    if not isinstance(schema, dict):
        return []
    return [schema, *(found for part in schema.values() for found in parts_of(part))]


def test_plain_text_has_no_schema() -> None:
    assert schema_of(str) is None


@pytest.mark.parametrize(
    "wanted",
    [
        Machine,
        Chain,
        Left | Right,
        int,
        bool,
        float,
        list[int],
        Literal["a", "b"],
        Part | None,
        tuple[int, str],
    ],
)
def test_every_schema_is_a_closed_object_with_all_fields_required(wanted: Any) -> None:
    schema = schema_of(wanted)

    assert schema is not None
    assert schema["type"] == "object"
    for part in parts_of(schema):
        if isinstance(part.get("properties"), dict):
            assert part["required"] == list(part["properties"])
            assert part["additionalProperties"] is False


def test_keywords_that_grammar_engines_do_not_know_are_left_out_but_property_names_stay() -> None:
    wanted = msgspec.defstruct("Odd", [("title", set[str]), ("default", Left | Right), ("format", datetime.timedelta)])

    schema = schema_of(wanted)

    assert schema is not None
    assert list(schema["properties"]) == ["title", "default", "format"]
    assert schema["properties"]["title"] == {"type": "array", "items": {"type": "string"}}
    assert "discriminator" not in schema["properties"]["default"]


def test_limits_and_descriptions_stay_in_the_schema() -> None:
    schema = schema_of(Machine)

    assert schema is not None
    assert schema["description"] == "A thing of parts."
    assert schema["properties"]["count"] == {"type": "integer", "minimum": 0}


def test_a_type_without_a_json_form_is_an_error_of_the_plan() -> None:
    with pytest.raises(GraphError, match="cannot answer with list"):
        schema_of(list[type])


@pytest.mark.parametrize(
    "around",
    [
        "{}",
        "\n {} \n",
        "```json\n{}\n```",
        "Sure! Here it is: {}. Anything else?",
        "Use {{braces}}: {}",
        "[1] says {}",
    ],
)
def test_an_answer_is_found_inside_fences_and_chatter(around: str) -> None:
    text = around.format(msgspec.json.encode(MACHINE).decode())

    assert read(said(text), Machine) == MACHINE


@given(st.text(max_size=20), st.text(alphabet='{}[]" \\abc', max_size=20))
def test_brackets_and_quotes_inside_strings_do_not_end_the_answer(title: str, chatter: str) -> None:
    answer = Machine(title, [])

    found = read(said(f"{msgspec.json.encode(answer).decode()} {chatter}"), Machine)

    assert found == answer


@given(st.text(alphabet='{}[]",:\\ ae01', max_size=80))
def test_any_text_gives_a_value_or_a_typed_failure(text: str) -> None:
    try:
        assert isinstance(read(said(text), int), int)
    except ProviderError as error:
        assert error.kind == "malformed"  # noqa: PT017 - both outcomes are right


def test_text_nested_deeper_than_the_stack_is_malformed() -> None:
    with pytest.raises(ProviderError, match="not a valid"):
        read(said("[" * 100_000 + "]" * 100_000), list[Any])


@pytest.mark.parametrize(
    ("text", "wanted", "value"),
    [
        ('{"value": 7}', int, 7),
        ("7", int, 7),
        ('{"value": true}', bool, True),
        ('{"value": 3}', float, 3.0),
        ('{"value": [1, 2]}', list[int], [1, 2]),
        ("[1, 2]", list[int], [1, 2]),
        ('{"value": null}', Part | None, None),
        ('{"name": "m8", "kind": "nut"}', Part | None, Part("m8", "nut")),
        ('{"value": {"type": "Left", "left": 1}}', Left | Right, Left(1)),
        ('{"a": 1}', dict[str, int], {"a": 1}),
        ("any text", str, "any text"),
    ],
)
def test_values_are_read_wrapped_or_bare(text: str, wanted: Any, value: object) -> None:
    assert read(said(text), wanted) == value


def test_an_answer_that_does_not_fit_is_malformed_and_says_where() -> None:
    with pytest.raises(ProviderError, match=r"\$\.kind") as caught:
        read(said('{"name": "m8", "kind": "screw"}'), Part)

    assert (caught.value.kind, caught.value.retryable) == ("malformed", True)


def test_an_answer_cut_by_the_token_limit_is_truncated() -> None:
    with pytest.raises(ProviderError, match="max_tokens") as caught:
        read(said('{"name": "m8', "length"), Part)

    assert (caught.value.kind, caught.value.retryable) == ("truncated", False)


def test_an_answer_that_was_complete_when_it_was_cut_still_counts() -> None:
    assert read(said('{"name": "m8", "kind": "nut"} and', "length"), Part) == Part("m8", "nut")


@pytest.mark.parametrize("wanted", [str, Part])
def test_a_filtered_answer_is_refused_whatever_the_type(wanted: Any) -> None:
    with pytest.raises(ProviderError) as caught:
        read(said("no", "filter"), wanted)

    assert caught.value.kind == "refused"
    assert caught.value.kind not in REASKABLE


@pytest.mark.parametrize("finish", ["stop", "length"])
def test_asking_again_shows_the_model_its_answer_and_what_was_wrong(
    finish: Literal["stop", "length"],
) -> None:
    reply = said('{"name": "m8", "kind": "screw"', finish)
    with pytest.raises(ProviderError) as caught:
        read(reply, Part)

    messages = reask((Message.user("Which part?"),), reply, caught.value)

    assert [message.role for message in messages] == ["user", "assistant", "user"]
    assert messages[1].text == reply.text
    assert caught.value.kind in REASKABLE
    assert "JSON" in messages[2].text

"""Intents as a model may write them: JSON under a schema that offers what there is, or lines."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from makespan.memory import revising
from makespan.memory.fold import fold
from makespan.memory.intents import (
    EVERYTHING,
    OFFERED_SLOTS,
    PREVIOUS,
    Change,
    Check,
    Compute,
    Intent,
    MarkNow,
    Nothing,
    Remove,
    Replace,
    Revisions,
    Rollback,
    SetSlot,
    events_of,
    offered_slots,
    read_lines,
    schema_for,
)
from makespan.memory.state import Author, Memory, RevisionRefused


@pytest.mark.parametrize(
    ("line", "intent"),
    [
        ("set people = 3", SetSlot("people", 3)),
        ("Set hotel: Astra under trip", SetSlot("hotel", "Astra", "trip")),
        ("set trip", SetSlot("trip")),
        ("change price to 120.5", Change("price", 120.5)),
        ('update guests = ["Ada"]', Change("guests", ["Ada"])),
        ('compute total = multiply(people, "price")', Compute("total", "multiply", ["people", "price"])),
        ("compute total by multiply@2 (people)", Compute("total", "multiply@2", ["people"])),
        ("go back", Rollback(EVERYTHING, PREVIOUS)),
        ("back price", Rollback("price", PREVIOUS)),
        ('back price to "before the change"', Rollback("price", "before the change")),
        ("rollback everything to noon", Rollback(EVERYTHING, "noon")),
        ("mark noon", MarkNow("noon")),
        ("replace flight with train = 90", Replace("flight", "train", 90)),
        ("replace flight by train", Replace("flight", "train")),
        ("forget flight", Remove("flight")),
        ("- `check total?`", Check("total")),
        ("2. nothing", Nothing()),
    ],
)
def test_a_line_is_an_intent(line: str, intent: Intent) -> None:
    assert read_lines(line) == Revisions([intent])


def test_no_line_is_lost() -> None:
    read = read_lines("Sure!\nset a = 1\n\nwhatever that is\ncheck a")

    assert read == Revisions([SetSlot("a", 1), Check("a")], "Sure!\nwhatever that is")


@pytest.mark.parametrize(
    "line", ["set a = 1", "change a = 2", "check a", "back a to m", "mark m", "nothing", "remove a"]
)
def test_what_a_line_says_can_be_said_in_the_json_that_the_schema_asks_for(line: str) -> None:
    schema = schema_for(["a"], ["m"], ["add"])
    (intent,) = read_lines(line).revisions
    plain = msgspec.to_builtins(intent)

    fitting = [choice for choice in schema["properties"]["revisions"]["items"]["anyOf"] if is_fit(plain, choice)]

    assert schema["$defs"]["slot"] == {"enum": ["a"]}
    assert len(fitting) == 1
    assert msgspec.convert({"revisions": [plain]}, Revisions) == Revisions([intent])


def is_fit(plain: dict[str, Any], choice: dict[str, Any]) -> bool:
    """A small reader of schemas: enums, and which properties there are."""
    properties = choice["properties"]
    given = {name: value for name, value in plain.items() if not (name == "parent" and value is None)}
    return given.keys() <= properties.keys() and all(is_in(value, properties[name]) for name, value in given.items())


def is_in(value: Any, schema: dict[str, Any]) -> bool:
    if "anyOf" in schema:
        return any(is_in(value, each) for each in schema["anyOf"])
    if schema.get("$ref") == "#/$defs/slot":
        return bool(value == "a")
    return value in schema.get("enum", [value])


def test_a_schema_offers_only_what_there_is() -> None:
    def offered(*given: list[str]) -> list[str]:
        choices = schema_for(*given)["properties"]["revisions"]["items"]["anyOf"]
        return [choice["properties"]["intent"]["enum"][0] for choice in choices]

    assert offered([], [], ["add"]) == ["set", "check", "mark", "nothing"]
    assert "compute" not in offered(["a"], [], [])
    assert {"change", "replace", "remove", "rollback", "compute"} <= set(offered(["a"], [], ["add"]))


def test_slots_that_a_message_names_are_offered_however_many_there_are() -> None:
    memory = Memory()
    for number in range(200):
        memory = fold(memory, revising.set_slot(memory, f"slot {number}", number))
    memory = fold(memory, revising.set_slot(memory, "dinner", 1))

    offered = offered_slots(memory, "How much is Slot 3 again?")

    assert len(offered) == OFFERED_SLOTS
    assert "slot 3" in offered
    assert offered_slots(memory, "And now?", most=2) == ["slot 199", "dinner"]  # the newest


def test_a_number_written_as_text_stays_a_number() -> None:
    memory = fold(Memory(), revising.set_slot(Memory(), "price", 120))

    memory = fold(memory, events_of(memory, Change("price", "130"), {}, Author()))

    current = memory.slots["price"].current
    assert current is not None
    assert current.value == 130


@pytest.mark.parametrize(
    ("intent", "says"),
    [
        (Compute("x", "ad", ["a"]), "did you mean 'add'"),
        (Compute("x", "add", ["a", "a", "a"]), "takes 2 slots, 3 are given"),
        (Rollback(), "mark a moment first"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(intent: Intent, says: str) -> None:
    memory = fold(Memory(), revising.set_slot(Memory(), "a", 1))

    with pytest.raises(RevisionRefused, match=says):
        events_of(memory, intent, {"add": ["a", "b"]}, Author())

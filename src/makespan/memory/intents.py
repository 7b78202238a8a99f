"""What a turn of a conversation wants of a memory: intents, as a model is asked for them and as it may write them.

    {"revisions": [{"intent": "change", "slot": "price", "value": 120}, {"intent": "check", "slot": "total"}]}
    change price = 120
    check total                                        the same in lines, for models that do not write JSON

The schema offers only what there is: slots, marks and rules by name. Invariant: whatever is read becomes the events of
one revision, or one sentence that says what to mend.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from makespan.errors import suggestion
from makespan.memory.events import Events
from makespan.memory.revising import (
    back,
    change,
    compute,
    go_back,
    mark,
    remove,
    replace,
    set_slot,
)
from makespan.memory.staleness import ancestors
from makespan.memory.state import Author, Memory, RevisionRefused

EVERYTHING = "(everything)"
PREVIOUS = "(previous)"
ELSEWHERE = "(not in memory)"
MOST_REVISIONS = 8
"""Of one turn."""
OFFERED_SLOTS = 64
"""A model is offered so many slots: those the turn names first, then what is around the active one, then the newest."""

LINE_CHARACTERS = 2_000
"""A longer line is no intent."""


class SetSlot(msgspec.Struct, frozen=True, tag_field="intent", tag="set"):
    """A new slot with its value; without one it is a heading for others."""

    name: str
    value: Any = None
    parent: str | None = None


class Change(msgspec.Struct, frozen=True, tag_field="intent", tag="change"):
    """Another value for a slot that there is."""

    slot: str
    value: Any


class Compute(msgspec.Struct, frozen=True, tag_field="intent", tag="compute"):
    """A slot computed by a rule; `needs` are slots in the order of its parameters."""

    name: str
    rule: str
    needs: list[str]


class Rollback(msgspec.Struct, frozen=True, tag_field="intent", tag="rollback"):
    """One slot or everything as it was."""

    slot: str = EVERYTHING
    to: str = PREVIOUS


class MarkNow(msgspec.Struct, frozen=True, tag_field="intent", tag="mark"):
    """A name for how things are now."""

    label: str


class Replace(msgspec.Struct, frozen=True, tag_field="intent", tag="replace"):
    """Another slot in the place of one; without a value it keeps its own."""

    slot: str
    name: str
    value: Any = None


class Remove(msgspec.Struct, frozen=True, tag_field="intent", tag="remove"):
    """A slot taken out."""

    slot: str


class Check(msgspec.Struct, frozen=True, tag_field="intent", tag="check"):
    """A question about a slot."""

    slot: str


class Nothing(msgspec.Struct, frozen=True, tag_field="intent", tag="nothing"):
    """A turn that wants nothing of the memory."""


Intent = SetSlot | Change | Compute | Rollback | MarkNow | Replace | Remove | Check | Nothing


class Revisions(msgspec.Struct, frozen=True):
    """What one turn wants, in order."""

    revisions: list[Intent]
    unread: str = ""
    """What a model wrote that is no intent."""


def events_of(memory: Memory, intent: Intent, rules: Mapping[str, Sequence[str]], by: Author) -> Events:
    """The events of one intent; none for a question.

    Args:
        rules: name → its parameters in order.
    Raises:
        RevisionRefused: it cannot be done.
    """
    match intent:
        case SetSlot(name, value, parent):
            given = {} if value is None else {"value": value}
            return set_slot(memory, name, parent=parent or None, by=by, **given)
        case Change(slot, value):
            return change(memory, slot, _like(memory, slot, value), by=by)
        case Compute(name, rule, needs):
            return compute(memory, name, rule, paired(rule, needs, rules))
        case Rollback(slot, to):
            if slot != EVERYTHING:
                return back(memory, slot, None if to == PREVIOUS else to, by=by)
            return go_back(memory, _latest_mark(memory) if to == PREVIOUS else to, by=by)
        case MarkNow(label):
            return mark(memory, label)
        case Replace(slot, name, value):
            return replace(memory, slot, name, by=by) if value is None else replace(memory, slot, name, value, by=by)
        case Remove(slot):
            return remove(memory, slot)
        case Check() | Nothing():
            return ()


def paired(rule: str, needs: Sequence[str], rules: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Parameters of a rule with the slots given for them, in order. Raises RevisionRefused: `fit`."""
    if rule not in rules:
        there = suggestion(rule, rules) or f"; there are {', '.join(rules) or 'none'}"
        raise RevisionRefused(f"there is no rule {rule!r}{there}", reason="fit")
    parameters = rules[rule]
    if len(needs) > len(parameters):
        wanted = f"{rule}({', '.join(parameters)})"
        raise RevisionRefused(f"{wanted} takes {len(parameters)} slots, {len(needs)} are given", reason="fit")
    return dict(zip(parameters, needs, strict=False))


def _latest_mark(memory: Memory) -> str:
    if not memory.marks:
        raise RevisionRefused("there is no mark to go back to: name a slot, or mark a moment first", reason="no mark")
    return max(memory.marks.values(), key=lambda mark: mark.revision).label


def _like(memory: Memory, name: str, value: Any) -> Any:
    """A number that a model wrote as text, where the slot holds a number."""
    current = memory.slots[name].current if name in memory.slots else None
    if isinstance(value, str) and current is not None and type(current.value) in (int, float):
        number = _json(value.strip())
        return number if type(number) in (int, float) else value
    return value


# ---------------------------------------------------------------- what is offered


def offered_slots(memory: Memory, text: str, most: int = OFFERED_SLOTS) -> list[str]:
    """The slots that a turn may be about, in the order of the memory."""
    said = text.lower()
    words = set(re.findall(r"\w+", said))
    near = {memory.active} | (ancestors(memory, memory.active) if memory.active in memory.slots else set())

    def rank(name: str) -> tuple[bool, int, bool, int]:
        slot = memory.slots[name]
        shared = len(words & set(re.findall(r"\w+", name.lower())))
        newest = slot.versions[-1].number if slot.versions else slot.number
        return (name.lower() not in said, -shared, name not in near, -newest)

    chosen = set(sorted(memory.slots, key=rank)[:most])
    return [name for name in memory.slots if name in chosen]


_VALUE: dict[str, Any] = {
    "anyOf": [
        *({"type": kind} for kind in ("string", "number", "boolean", "null")),
        {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "number"}]}},
    ]
}
_TEXT: dict[str, Any] = {"type": "string"}
_A_SLOT: dict[str, Any] = {"$ref": "#/$defs/slot"}
_A_VALUE: dict[str, Any] = {"$ref": "#/$defs/value"}


def schema_for(slots: Sequence[str], marks: Sequence[str], rules: Sequence[str]) -> dict[str, Any]:
    """JSON Schema of `Revisions`, with what there is as enums; what needs something that is not there is left out."""
    shared: dict[str, Any] = {"value": _VALUE}
    choices = [_choice("set", name=_TEXT, value=_A_VALUE, parent=_or(slots, ""))]
    if slots:
        shared["slot"] = {"enum": list(slots)}
        choices += [
            _choice("change", slot=_A_SLOT, value=_A_VALUE),
            _choice("replace", slot=_A_SLOT, name=_TEXT, value=_A_VALUE),
            _choice("remove", slot=_A_SLOT),
            _choice("rollback", slot=_or(slots, EVERYTHING), to={"enum": [PREVIOUS, *marks]}),
        ]
    if slots and rules:
        needs = {"type": "array", "items": _TEXT, "minItems": 1}
        choices.append(_choice("compute", name=_TEXT, rule={"enum": list(rules)}, needs=needs))
    choices.append(_choice("check", slot=_or(slots, ELSEWHERE)))
    choices += [_choice("mark", label=_TEXT), _choice("nothing")]
    every = {"type": "array", "items": {"anyOf": choices}, "minItems": 1, "maxItems": MOST_REVISIONS}
    return {**_closed({"revisions": every}), "$defs": shared}


def _or(slots: Sequence[str], word: str) -> dict[str, Any]:
    """A slot, or a word for what is none."""
    return {"anyOf": [_A_SLOT, {"enum": [word]}]} if slots else {"enum": [word]}


def _choice(intent: str, **fields: dict[str, Any]) -> dict[str, Any]:
    return _closed({"intent": {"enum": [intent]}, **fields})


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


# ---------------------------------------------------------------- lines

_Made = Callable[[Mapping[str, str]], Intent]
_LINES: tuple[tuple[str, _Made], ...] = (
    (
        r"set (?P<name>.+?)\s*(?:=|:|\bto\b)\s*(?P<value>.+?)(?:\s+under\s+(?P<parent>[^=]+))?",
        lambda said: SetSlot(_name(said["name"]), _value(said["value"]), _name(said["parent"]) or None),
    ),
    (
        r"set (?P<name>[^=:]+?)(?:\s+under\s+(?P<parent>[^=]+))?",
        lambda said: SetSlot(_name(said["name"]), None, _name(said["parent"]) or None),
    ),
    (
        r"(?:change|update) (?P<name>.+?)\s*(?:=|:|\bto\b)\s*(?P<value>.+)",
        lambda said: Change(_name(said["name"]), _value(said["value"])),
    ),
    (
        r"compute (?P<name>.+?)\s*(?:=|:|\bby\b)\s*(?P<rule>[\w-]+(?:@[\w.-]+)?)\s*\((?P<needs>[^()]*)\)",
        lambda said: Compute(_name(said["name"]), said["rule"], [_name(need) for need in said["needs"].split(",")]),
    ),
    (
        r"(?:go )?(?:back|rollback)(?: (?P<name>.+?))??(?: to (?P<to>.+))?",
        lambda said: Rollback(_everything(_name(said["name"])), _name(said["to"]) or PREVIOUS),
    ),
    (r"mark (?P<name>.+)", lambda said: MarkNow(_name(said["name"]))),
    (
        r"replace (?P<name>.+?) (?:by|with) (?P<to>[^=]+?)(?:\s*=\s*(?P<value>.+))?",
        lambda said: Replace(_name(said["name"]), _name(said["to"]), _value(said["value"]) if said["value"] else None),
    ),
    (r"(?:remove|delete|forget) (?P<name>.+)", lambda said: Remove(_name(said["name"]))),
    (r"(?:check|ask) (?P<name>.+?)\??", lambda said: Check(_name(said["name"]))),
    (r"nothing\.?", lambda said: Nothing()),
)
_FORMS = tuple((re.compile(form, re.IGNORECASE), made) for form, made in _LINES)
_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s+")


def read_lines(text: str) -> Revisions:
    """The intents that stand in a text one a line; lines that are none are kept as `unread`, in their order."""
    found: list[Intent] = []
    unread: list[str] = []
    for line in text.splitlines():
        said = _BULLET.sub("", line).strip().strip("`")
        intent = _read_line(said)
        if intent is not None:
            found.append(intent)
        elif said:
            unread.append(said)
    return Revisions(found, "\n".join(unread))


def _read_line(line: str) -> Intent | None:
    if len(line) > LINE_CHARACTERS:
        return None
    for form, made in _FORMS:
        said = form.fullmatch(line)
        if said is not None:
            return made({name: text or "" for name, text in said.groupdict().items()})
    return None


def _name(text: str) -> str:
    return text.strip().strip("\"'“”`").strip()


def _everything(name: str) -> str:
    return EVERYTHING if name.lower() in ("", "everything", "all", EVERYTHING) else name


def _value(text: str) -> Any:
    """JSON where it is, else the text itself."""
    decoded = _json(text.strip())
    return text.strip() if decoded is _NO_JSON else decoded


_NO_JSON: Any = object()


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return _NO_JSON

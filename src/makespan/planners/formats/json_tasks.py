"""One object of a JSON plan as a step: which fields mean what.

    name    id, task_id, step, step_id, name, task          needs   needs, resources, robots, robot_type + robot_count,
    tool    tool, tool_name, function, instruction_function         robot_ids
            action                                          after   depends_on, dependencies, after, requires
    args    args, arguments, kwargs, params, parameters,    why     thought, thoughts, why, reason, reasoning,
            input, inputs, tool_input, action_input                 rationale, comment

Where no field says the tool, `name` does. A tool that is an object itself (`{"function": {"name": ..., "arguments":
...}}`) is read as a part of the task. Without a field for arguments, the fields that mean nothing are the arguments.
"""

from __future__ import annotations

import msgspec

from makespan.planners.formats.literals import Linker, Literals, Mapping, Member, Quoted, Raw, Repair, Unreadable
from makespan.planners.formats.marks import Dialect
from makespan.planners.steps import Argument

_NAME = ("id", "task_id", "step", "step_id", "name", "task")
_TOOL = ("tool", "tool_name", "function", "instruction_function", "action")
_ARGS = (
    "args",
    "arguments",
    "kwargs",
    "params",
    "parameters",
    "input",
    "inputs",
    "tool_input",
    "action_input",
)
_AFTER = ("depends_on", "dependencies", "after", "requires")
_NEEDS = ("needs", "resources", "robots")
_ROBOT = ("robot_type", "robot_count", "robot_ids")
_WHY = ("thought", "thoughts", "why", "reason", "reasoning", "rationale", "comment")
FIELDS: dict[str, str] = {
    **dict.fromkeys(_NAME, "name"),
    **dict.fromkeys(_TOOL, "tool"),
    **dict.fromkeys(_ARGS, "args"),
    **dict.fromkeys(_AFTER, "after"),
    **dict.fromkeys(_NEEDS, "needs"),
    **dict.fromkeys(_ROBOT, "robot"),
    **dict.fromkeys(_WHY, "why"),
}
"""What each field means; upper and lower case, dashes and blanks make no difference."""

Needs = dict[str, int | tuple[str, ...]]


class Sorted(msgspec.Struct):
    """The members of one task, by what they mean."""

    tool: str = ""
    names: list[str] = msgspec.field(default_factory=list)
    """The first one is the name of the step; the others mean it too."""
    why: list[str] = msgspec.field(default_factory=list)
    after: list[str] = msgspec.field(default_factory=list)
    args: list[Member] = msgspec.field(default_factory=list)
    needs: Needs = msgspec.field(default_factory=dict)
    others: list[Member] = msgspec.field(default_factory=list)
    complete: bool = True
    """Whether nothing that changes what the step does was cut off."""


def meaning(key: str) -> str | None:
    """What a field means; None for one that is not in the table."""
    return FIELDS.get(key.strip().lower().replace("-", "_").replace(" ", "_"))


def looks_like_task(mapping: Mapping) -> bool:
    """Whether an object in the midst of text can be a task at all."""
    return any(meaning(member.key) in ("tool", "name") for member in mapping.members)


def sort_members(mapping: Mapping, dialect: Dialect) -> Sorted:
    """The members of a task by what they mean.

    Raises:
        Unreadable: a field says something that no step can be made of.
    """
    found = Sorted()
    members = list(_flat(mapping))
    by_meaning: dict[str, list[Member]] = {}
    for member in members:
        by_meaning.setdefault(meaning(member.key) or "", []).append(member)
        if not member.complete and meaning(member.key) != "why":
            found.complete = False
    found.tool = _tool(by_meaning)
    _sort_names(found, by_meaning.get("name", []))
    for member in by_meaning.get("why", []):
        found.why.append(said(member.value))
    for member in by_meaning.get("after", []):
        found.after += _names_in(member)
    for member in by_meaning.get("needs", []):
        found.needs |= _needs(member)
    found.needs |= _robots(by_meaning.get("robot", []), mapping.at)
    found.args = by_meaning.get("args", [])
    found.others = by_meaning.get("", [])
    found.complete = found.complete and not mapping.rest
    return found


def _flat(mapping: Mapping) -> list[Member]:
    """The members, those of a tool that is an object in its place; there `name` is the tool."""
    flat: list[Member] = []
    for member in mapping.members:
        if meaning(member.key) == "tool" and isinstance(member.value, Mapping):
            for inner in member.value.members:
                is_name = inner.key.strip().lower() == "name"
                flat.append(msgspec.structs.replace(inner, key="tool") if is_name else inner)
        else:
            flat.append(member)
    return flat


def _tool(by_meaning: dict[str, list[Member]]) -> str:
    for member in by_meaning.get("tool", []):
        if isinstance(member.value, Quoted) and member.value.text.strip():
            return member.value.text.strip()
    names = by_meaning.get("name", [])
    for member in names:
        if member.key.strip().lower() == "name" and isinstance(member.value, Quoted):
            names.remove(member)
            return member.value.text.strip()
    return ""


def _sort_names(found: Sorted, members: list[Member]) -> None:
    order = {key: rank for rank, key in enumerate(_NAME)}
    for member in sorted(members, key=lambda each: order.get(each.key.strip().lower(), 0)):
        name = said(member.value).strip()
        if any(letter.isspace() for letter in name):
            found.why.append(name)  # a task that is described, not named
        if name:
            found.names.append(name)
    found.names.sort(key=lambda name: any(letter.isspace() for letter in name))


def said(raw: Raw) -> str:
    """A raw value as the words it was, for names and thoughts."""
    if isinstance(raw, Quoted):
        return raw.text
    if raw is None:
        return ""
    if isinstance(raw, list):
        return ", ".join(said(item) for item in raw)
    if isinstance(raw, Mapping):
        return ", ".join(f"{member.key}: {said(member.value)}" for member in raw.members)
    return str(raw)


def _names_in(member: Member) -> list[str]:
    """Names of steps in a field: a list, or one; a leading dollar sign is no part of them."""
    values = member.value if isinstance(member.value, list) else [member.value]
    found: list[str] = []
    for value in values:
        if isinstance(value, Mapping):
            inner = next(
                (each.value for each in value.members if meaning(each.key) == "name" or each.key == "$ref"), None
            )
            name = said(inner)
        else:
            name = value.mark.name if hasattr(value, "mark") else said(value)
        name = name.strip()
        name = name[2:-1] if name.startswith("${") and name.endswith("}") else name.removeprefix("$")
        if name and name.lower() not in ("none", "null"):
            found.append(name)
        elif value is not None and not name:
            raise Unreadable(member.at, f"{member.key!r} names no step; write a list of names")
    return found


# ---------------------------------------------------------------- needs


def _needs(member: Member) -> Needs:
    """Units of pools, as a name, a list of names, counts by pool, or objects with a type and a count or ids."""
    values = member.value if isinstance(member.value, list) else [member.value]
    found: Needs = {}
    alone: list[str] = []
    for value in values:
        if isinstance(value, Mapping):
            found |= _typed(member, value) if _is_typed(value) else _counted(value)
        elif isinstance(value, Quoted) and value.text.strip():
            alone.append(value.text.strip())
        elif value is not None:
            raise Unreadable(member.at, f"{member.key!r} names no resource; write {{pool: count}} or names of pools")
    if alone and member.key.strip().lower() == "robots":
        found[member.key.strip()] = tuple(dict.fromkeys(alone))
    else:
        found |= {name: alone.count(name) for name in alone}
    return found


def _is_typed(value: Mapping) -> bool:
    return {"type", "count", "ids", "id", "names"} & {member.key.strip().lower() for member in value.members} != set()


def _typed(member: Member, value: Mapping) -> Needs:
    by_key = {each.key.strip().lower(): each for each in value.members}
    kind = by_key.get("type") or by_key.get("pool") or by_key.get("name")
    pool = said(kind.value).strip() if kind is not None else member.key.strip()
    named = by_key.get("ids") or by_key.get("id") or by_key.get("names")
    if named is not None and (ids := _ids(named)):
        return {pool: ids}
    return {pool: _count(by_key["count"]) if "count" in by_key else 1}


def _counted(value: Mapping) -> Needs:
    found: Needs = {}
    for member in value.members:
        is_named = isinstance(member.value, list) or (isinstance(member.value, Quoted) and not _digits(member.value))
        found[member.key.strip()] = _ids(member) if is_named else _count(member)
    return found


def _robots(members: list[Member], at: int) -> Needs:
    """`robot_type` with `robot_count` or `robot_ids` beside each other."""
    if not members:
        return {}
    by_key = {member.key.strip().lower(): member for member in members}
    kind = by_key.get("robot_type")
    pool = said(kind.value).strip() if kind is not None else "robots"
    named = by_key.get("robot_ids")
    if named is not None and (ids := _ids(named)):
        return {pool: ids}
    if not pool or (kind is None and "robot_count" not in by_key):
        raise Unreadable(at, "the robots are neither counted nor named")
    return {pool: _count(by_key["robot_count"]) if "robot_count" in by_key else 1}


def _ids(member: Member) -> tuple[str, ...]:
    values = member.value if isinstance(member.value, list) else [member.value]
    return tuple(dict.fromkeys(name for name in (said(value).strip() for value in values) if name))


def _count(member: Member) -> int:
    value = int(member.value.text) if _digits(member.value) else member.value
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        message = f"{member.key!r} is neither a count from 1 nor names: {said(member.value) or member.value!r}"
        raise Unreadable(member.at, message)
    return value


def _digits(value: Raw) -> bool:
    text = value.text.strip() if isinstance(value, Quoted) else ""
    return text.isascii() and text.isdigit() and len(text) < 10


# ---------------------------------------------------------------- arguments


class Arguments(msgspec.Struct, frozen=True):
    """What a tool is called with."""

    args: tuple[Argument, ...]
    kwargs: dict[str, Argument]


def arguments(found: Sorted, linker: Linker, dialect: Dialect) -> Arguments:
    """The arguments of a task; without a field for them, the fields that are in no table."""
    args: list[Argument] = []
    kwargs: dict[str, Argument] = {}
    for member in found.args:
        value = _decoded(member.value, dialect)
        if isinstance(value, Mapping) and not _is_pointer(value):
            kwargs |= {each.key: linker.linked(each.value) for each in value.members}
        elif isinstance(value, list):
            args += [linker.linked(item) for item in value]
        elif value is not None:
            args.append(linker.linked(value))
    if not found.args:
        kwargs |= {member.key: linker.linked(member.value) for member in found.others}
    else:
        for member in found.others:
            linker.repairs.append(
                Repair(member.at, member.end, f"{member.key!r} is no field of a task; it is left out")
            )
    return Arguments(tuple(args), kwargs)


def _is_pointer(value: Mapping) -> bool:
    return any(member.key == "$ref" for member in value.members)


def _decoded(value: Raw, dialect: Dialect) -> Raw:
    """Arguments that are JSON inside a string, as some model interfaces write them."""
    if not isinstance(value, Quoted) or not value.text.lstrip().startswith("{"):
        return value
    inner = Literals(value.text.strip(), dialect=dialect, comments=True)
    try:
        read = inner.value()
    except Unreadable:
        return value
    is_all = isinstance(read, Mapping) and not inner.repairs and not inner.text[inner.at :].strip()
    return read if is_all else value

"""Edits as people and models write them, read into changes of a plan: the same words in YAML, JSON and typed answers.

    {"add": {"name": "5", "tool": "search", "args": {"q": "${2.city} weather"}}}      a new step
    {"drop": "3"}                                                                     a step away
    {"replace": "4", "with": {"tool": "math", "args": ["${1} * 2"], "after": ["5"]}}  another step in its place

`${name.part}` and `{"$ref": "name", "path": ["part"]}` stand for results, `$${name}` is that text. Invariant: what
cannot be read is refused with the place where it stands; nothing is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from makespan.errors import suggestion
from makespan.machine.resources import are_units
from makespan.planners.changes import Add, Drop, PlanChange, Refused, Replace
from makespan.planners.formats.json_tasks import FIELDS
from makespan.planners.formats.literals import Bare, Literals, Quoted, Sum, Unreadable
from makespan.planners.formats.literals import Mapping as RawMapping
from makespan.planners.formats.marks import Dialect
from makespan.planners.saved import with_texts
from makespan.planners.steps import Argument, Reference, Step, Text

MAX_EDITS = 500
"""Changes of one patch."""
MAX_TRIES = 4
"""Brackets in a model's text that are tried as the beginning of its answer."""
UNREADABLE = "unreadable"
"""Why an edit is refused that cannot be read."""

_NOTHING = re.compile(r"[\W_]*(?:(?:no|keep)\b.{0,80}|none|nothing|null|ok(?:ay)?|done|unchanged)?[\W_]*", re.I | re.S)
_BRACKET = re.compile(r"[\[{]")
_WORDS = ("add", "drop", "replace")
_LISTS = ("edits", "changes", "operations")


class Said(msgspec.Struct, frozen=True):
    """One change, for models that fill in a form."""

    op: Literal["add", "drop", "replace"]
    name: str
    """The new step, or the one that goes."""
    tool: str = ""
    args: dict[str, Any] = {}
    """By parameter; a text `${name}` stands for a result."""
    after: list[str] = []
    why: str = ""


class Answer(msgspec.Struct, frozen=True):
    """What an editor wants changed; empty for nothing."""

    edits: list[Said] = []
    why: str = ""


class Patch(msgspec.Struct, frozen=True):
    """An edit on its way to a plan or a graph."""

    edits: list[Any]
    author: str = ""
    why: str = ""
    request: str = ""
    """Id under which its verdict is found."""
    seen: int | None = None
    """The plan's revision that its author looked at; what was changed since is not changed again."""


# ---------------------------------------------------------------- what models answer


def changes_in(answer: Any, known: Callable[[str], str | None]) -> tuple[list[PlanChange], str]:
    """An editor's answer as changes, and what it says for them.

    Args:
        answer: text with JSON in it, `Answer`, changes, or plain values in the same words; None is no change.
        known: the step that a name means, None where there is none.
    Raises:
        Refused: `unreadable`, with the place.
    """
    if answer is None or isinstance(answer, str):
        plain = _in_text(answer or "")
    elif isinstance(answer, list | tuple) and all(isinstance(each, Add | Drop | Replace) for each in answer):
        return [_revived(each) for each in answer], ""
    else:
        plain = msgspec.to_builtins(answer)
    why = plain.get("why", "") if isinstance(plain, dict) else ""
    return changes_of(edits_of(plain), known), why if isinstance(why, str) else ""


def _in_text(text: str) -> Any:
    """The JSON in a model's text, with its usual slips; an empty list where it says that nothing is to change."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        pass
    problem, tries = "there is no JSON in it", 0
    for found in _BRACKET.finditer(text):
        reader = Literals(text, found.start(), dialect=Dialect(lambda _: None, words=True), comments=True)
        try:
            return _plain(reader.value())
        except Unreadable as error:
            problem, tries = error.message, tries + 1
        if tries == MAX_TRIES:
            break
    if _NOTHING.fullmatch(text):
        return []
    raise Refused(UNREADABLE, f"the answer cannot be read: {problem}: {text[:200]!r}")


def _plain(raw: Any) -> Any:
    """What was read with repairs, as plain values; marks are written as they were."""
    match raw:
        case Quoted():
            return raw.text
        case Bare():
            return raw.mark.written
        case Sum():
            return "".join(str(_plain(part)) for part in raw.parts)
        case RawMapping():
            return {member.key: _plain(member.value) for member in raw.members}
        case list():
            return [_plain(each) for each in raw]
        case _:
            return raw


# ---------------------------------------------------------------- plain values


def edits_of(plain: Any) -> list[Any]:
    """The changes of a patch, one by one: a list of them, `{"edits": [...]}`, or lists by what is done.

    Raises:
        Refused: `unreadable`.
    """
    if isinstance(plain, list):
        edits = plain
    elif not isinstance(plain, dict):
        raise Refused(UNREADABLE, f"a patch is a list of changes, not {_kind(plain)}")
    else:
        key = next((key for key in _LISTS if key in plain), None)
        edits = _listed(plain, key) if key is not None else _by_word(plain)
    if len(edits) > MAX_EDITS:
        raise Refused("limit", f"a patch has at most {MAX_EDITS} changes (MAX_EDITS), this one has {len(edits)}")
    return edits


def _listed(plain: dict[str, Any], key: str) -> list[Any]:
    edits = plain[key] or []
    if not isinstance(edits, list):
        raise Refused(UNREADABLE, f"{key}: a list of changes stands here, not {_kind(edits)}")
    return edits


def _by_word(plain: dict[str, Any]) -> list[Any]:
    """`{"add": [...], "drop": [...], "replace": {name: step}}`, or a single change."""
    if "op" in plain or "with" in plain:
        return [plain]
    edits: list[Any] = []
    steps = plain.get("add") or []
    edits += [{"add": step} for step in (steps if isinstance(steps, list) else [steps])]
    replaced = plain.get("replace") or {}
    if not isinstance(replaced, dict):
        raise Refused(UNREADABLE, f"replace: names with their new steps stand here, not {_kind(replaced)}")
    edits += [{"replace": name, "with": step} for name, step in replaced.items()]
    names = plain.get("drop")
    edits += [{"drop": name} for name in (names if isinstance(names, list) else [] if names is None else [names])]
    return edits


def changes_of(edits: Sequence[Any], known: Callable[[str], str | None]) -> list[PlanChange]:
    """Changes of a plan from plain values.

    Args:
        known: the step that a name means now, None where there is none.
    Raises:
        Refused: `unreadable`, with the place: `edits[2].with.args.q: ...`.
    """
    names: dict[str, str] = {}
    for edit in edits:
        if isinstance(edit, dict):
            step = edit.get("add") if isinstance(edit.get("add"), dict) else edit if edit.get("op") == "add" else {}
            if isinstance(step, dict) and (name := _name_in(step)):
                names[name] = name
    dialect = Dialect(lambda name: names.get(name) or known(name), words=True)
    changes: list[PlanChange] = []
    for place, edit in enumerate(edits):
        changes += _change(edit, f"edits[{place}]", dialect)
    return changes


def _change(edit: Any, where: str, dialect: Dialect) -> list[PlanChange]:
    if isinstance(edit, Add | Drop | Replace):
        return [_revived(edit)]
    if not isinstance(edit, dict):
        raise Refused(
            UNREADABLE, f"{where}: a change is {{add: step}}, {{drop: name}} or {{replace: name, with: step}}"
        )
    if "op" in edit:
        edit = _spread(edit, where)
    word = [word for word in _WORDS if word in edit]
    if len(word) != 1:
        raise Refused(UNREADABLE, f"{where}: a change says one of add, drop and replace; it has {_keys(edit)}")
    _refuse_others(edit, {"add", "drop", "replace", "with", "why"}, where)
    said, why = edit[word[0]], edit.get("why", "")
    if word[0] == "add":
        return [Add(_step(said, f"{where}.add", "", why, dialect))]
    if word[0] == "drop":
        names = said if isinstance(said, list) else [said]
        return [Drop(_meant(each, f"{where}.drop", dialect)) for each in names]
    name = _meant(said, f"{where}.replace", dialect)
    if "with" not in edit:
        raise Refused(UNREADABLE, f"{where}: replace: {name} needs `with:` and the new step")
    return [Replace(name, _step(edit["with"], f"{where}.with", name, why, dialect))]


def _revived(change: PlanChange) -> PlanChange:
    """The references inside arguments, which are plain values once a task has given them."""
    if isinstance(change, Drop):
        return change
    step = change.step
    step = msgspec.structs.replace(
        step, args=tuple(map(_reference, step.args)), kwargs={key: _reference(v) for key, v in step.kwargs.items()}
    )
    return msgspec.structs.replace(change, step=step)


def _reference(argument: Any) -> Argument:
    match argument:
        case {"type": "ref", "step": str(step), "path": [*path], **rest} if not rest:
            return Reference(step, tuple(path))
        case {"type": "text", "parts": [*parts], **rest} if not rest:
            return Text(tuple(map(_reference, parts)))
        case dict():
            return {key: _reference(value) for key, value in argument.items()}
        case list() | tuple():
            return [_reference(value) for value in argument]
        case _:
            return argument


def _spread(edit: dict[str, Any], where: str) -> dict[str, Any]:
    """`{"op": ..., "name": ..., "tool": ...}` in the words of the others."""
    op, step = edit["op"], {key: value for key, value in edit.items() if key not in ("op", "why")}
    why = {"why": edit["why"]} if edit.get("why") else {}
    if op == "add":
        return {"add": step, **why}
    if op == "drop":
        return {"drop": edit.get("name"), **why}
    if op == "replace":
        return {"replace": edit.get("name"), "with": step, **why}
    raise Refused(UNREADABLE, f"{where}.op: {op!r} is none of add, drop and replace")


def _step(said: Any, where: str, name: str, why: Any, dialect: Dialect) -> Step:
    """A step from a mapping. One that takes the place of another has its name unless it says its own."""
    if not isinstance(said, dict):
        raise Refused(UNREADABLE, f"{where}: a step is {{tool: ..., args: ...}}, not {_kind(said)}")
    parts = _sorted(said, where)
    name = _name_in(said) or name
    if not name:
        raise Refused(UNREADABLE, f"{where}: a new step needs a `name:` that the plan does not have")
    tool = parts.get("tool")
    if not isinstance(tool, str) or not tool.strip():
        raise Refused(UNREADABLE, f"{where}: a step needs a `tool:`, the name of a task")
    args = parts.get("args")
    kwargs: dict[str, Argument] = {}
    given: tuple[Argument, ...] = ()
    if isinstance(args, dict) and "$ref" not in args:
        kwargs = {str(key): with_texts(_linked(value, f"{where}.args.{key}", dialect)) for key, value in args.items()}
    elif args is not None:
        values = args if isinstance(args, list) else [args]
        given = tuple(with_texts(_linked(value, f"{where}.args[{n}]", dialect)) for n, value in enumerate(values))
    after = parts.get("after") or []
    waits = tuple(_meant(each, f"{where}.after", dialect) for each in (after if isinstance(after, list) else [after]))
    reason = parts.get("why") or why or ""
    return Step(name, tool.strip(), given, kwargs, waits, _needs(parts.get("needs"), where), str(reason))


def _sorted(said: dict[str, Any], where: str) -> dict[str, Any]:
    """The fields of a step by what they mean. Raises Refused for one that means nothing, or two that mean the same."""
    parts: dict[str, Any] = {}
    for key, value in said.items():
        meaning = FIELDS.get(str(key).strip().lower().replace("-", "_").replace(" ", "_"))
        if meaning is None or meaning == "robot":
            close = suggestion(str(key), FIELDS) or "; a step has name, tool, args, after, needs, why"
            raise Refused(UNREADABLE, f"{where}: {key!r} is no part of a step{close}")
        if meaning == "name":
            continue
        if value in (None, "", [], {}):
            continue
        if meaning in parts:
            raise Refused(UNREADABLE, f"{where}: {key!r} says again what another field says")
        parts[meaning] = value
    return parts


def _name_in(said: dict[str, Any]) -> str:
    for key in ("name", "id", "step", "task_id", "step_id"):
        value = said.get(key)
        if isinstance(value, str | int) and not isinstance(value, bool) and str(value).strip():
            return str(value).strip()
    return ""


def _needs(said: Any, where: str) -> dict[str, int | tuple[str, ...]]:
    if said is None:
        return {}
    if isinstance(said, str):
        return {said: 1}
    if isinstance(said, list) and all(isinstance(each, str) for each in said):
        return {each: said.count(each) for each in said}
    if not isinstance(said, dict) or not all(map(are_units, said.values())):
        raise Refused(UNREADABLE, f"{where}.needs: units by pool stand here, as {{gpu: 1}} or {{truck: [truck_1]}}")
    return {str(pool): units if isinstance(units, int) else tuple(units) for pool, units in said.items()}


def _meant(said: Any, where: str, dialect: Dialect) -> str:
    """A step's name where it is meant itself: `3`, `"3"`, `$3` or `${3}`."""
    if isinstance(said, bool) or not isinstance(said, str | int) or not str(said).strip():
        raise Refused(UNREADABLE, f"{where}: the name of a step stands here, not {_kind(said)}")
    text = str(said).strip()
    mark = dialect.mark_at(text, 0)
    if mark is not None and mark.written == text and not mark.path:
        text = mark.name
    return dialect.canonical(text) or text


def _linked(said: Any, where: str, dialect: Dialect) -> Argument:
    """An argument with its references."""
    if isinstance(said, str):
        argument, kept = dialect.linked(said)
        lost = next((each.written for each in kept if each.written.startswith("${")), None)
        if lost is not None:
            raise Refused(UNREADABLE, f"{where}: {lost} is no step of the plan; write ${lost} to mean this text")
        return argument
    if isinstance(said, list | tuple):
        return [_linked(each, f"{where}[{place}]", dialect) for place, each in enumerate(said)]
    if not isinstance(said, dict):
        return said
    if "$ref" not in said:
        return {str(key): _linked(value, f"{where}.{key}", dialect) for key, value in said.items()}
    _refuse_others(said, {"$ref", "path"}, where)
    path = said.get("path", [])
    parts = tuple(path if isinstance(path, list) else [path])
    if not all(isinstance(part, str | int) and not isinstance(part, bool) for part in parts):
        raise Refused(UNREADABLE, f"{where}.path: names of fields and places in lists stand here")
    return Reference(_meant(said["$ref"], f"{where}.$ref", dialect), parts)


def _refuse_others(said: Mapping[str, Any], known: set[str], where: str) -> None:
    for key in said:
        if key not in known:
            close = suggestion(str(key), known) or f"; these are: {', '.join(sorted(known))}"
            raise Refused(UNREADABLE, f"{where}: {key!r} is not known here{close}")


def _keys(said: Mapping[str, Any]) -> str:
    return ", ".join(map(str, said)) or "nothing"


def _kind(said: Any) -> str:
    names = {type(None): "nothing", dict: "a mapping", list: "a list", bool: "true or false"}
    return names.get(type(said)) or f"{said!r}"[:60]

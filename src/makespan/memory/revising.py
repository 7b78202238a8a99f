"""The changes of a memory that can be asked for: each is checked here and gives the events that make it, or none.

    events = change(memory, "price", 120, by=Author("ada"))       RevisionRefused, with a reason, when it cannot be
    memory = fold(memory, events)

Nothing here alters a memory, and what changes nothing gives no events. What a change costs: O(slots + needs).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from makespan.memory.checks import (
    check_label,
    check_room,
    check_total,
    check_tree,
    check_value,
    known,
    known_mark,
    named,
    over,
    path_between,
    refused_cycle,
)
from makespan.memory.events import (
    Confirmed,
    Defined,
    Events,
    Focused,
    Marked,
    Moved,
    Opened,
    Removed,
    Renamed,
    Retargeted,
    Unmarked,
    WentBack,
    Written,
)
from makespan.memory.fold import fold
from makespan.memory.staleness import basis_of, readers, recalled, stale
from makespan.memory.state import UNSET, Author, Basis, Memory, RevisionRefused, Slot, Version

NOBODY = Author()
_KEEP: Any = object()


def set_slot(
    memory: Memory, name: str, value: Any = _KEEP, *, parent: str | None = None, by: Author = NOBODY
) -> Events:
    """Make a slot, or give an existing one a value or another parent.

    Args:
        value: JSON-like; without one a new slot is a heading for others, and an old one keeps what it has.
        parent: the slot above; empty for none. A new slot has none unless given, an old one keeps its own.
    Raises:
        RevisionRefused: `name`, `value`, `limit`, `unknown` (the parent), `cycle` (in the tree), `computed`.
    """
    name = named(memory, name)
    slot = memory.slots.get(name)
    events: Events = ()
    if slot is None:
        check_room(memory, parent or "")
        events = (Opened(name, parent or ""),)
    elif parent is not None and parent != slot.parent:
        check_tree(memory, name, parent)
        events = (Moved(name, parent),)
    return events if value is _KEEP else (*events, *_written(memory, slot, name, value, by))


def change(memory: Memory, name: str, value: Any, *, by: Author = NOBODY) -> Events:
    """Give a slot that there is another value.

    Raises:
        RevisionRefused: `unknown`, `value`, `limit`, `computed`: change what it is computed from, or `release` it.
    """
    return _written(memory, known(memory, name), name, value, by)


def _written(memory: Memory, slot: Slot | None, name: str, value: Any, by: Author) -> Events:
    if slot is not None and slot.is_computed:
        raise RevisionRefused(
            f"{name!r} is computed by {slot.rule} from {_listed(slot.needs.values())}: change one of those, "
            f"or release {name!r} first to make it a plain slot",
            reason="computed",
            slot=name,
        )
    text = check_value(memory, name, value)
    last = None if slot is None else slot.current
    return () if last is not None and last.text == text else (Written(name, text, by),)


def compute(
    memory: Memory, name: str, rule: str, needs: Mapping[str, str] | Iterable[str], *, parent: str | None = None
) -> Events:
    """Say that a slot, new or not, is computed from others; nothing is computed yet.

    Args:
        rule: the name of what computes it, a task for one.
        needs: parameter of the rule → slot, or slots whose names are the parameters'.
    Raises:
        RevisionRefused: `unknown` (a slot it needs), `cycle`, `name`, `limit`.
    """
    events = set_slot(memory, name, parent=parent)
    name = named(memory, name)
    wanted = dict(needs) if isinstance(needs, Mapping) else {each: each for each in needs}
    if not rule:
        raise RevisionRefused(f"{name!r}: a computed slot needs a rule", reason="name", slot=name)
    if len(wanted) > memory.limits.needs:
        raise over(memory, "needs", len(wanted), name, "compute a part of it first")
    _check_needs(memory, name, wanted)
    slot = memory.slots.get(name)
    if slot is not None and (slot.rule, slot.needs) == (rule, wanted):
        return events
    return (*events, Defined(name, rule, wanted))


def _check_needs(memory: Memory, name: str, needs: Mapping[str, str]) -> None:
    for need in needs.values():
        if need == name:
            raise refused_cycle(name, (name, name))
        known(memory, need)
        way = path_between(memory, need, name)
        if way:
            raise refused_cycle(name, (name, *way))


def release(memory: Memory, name: str) -> Events:
    """Make a computed slot plain; it keeps its value, fresh or not. Raises RevisionRefused: `unknown`."""
    return (Defined(name),) if known(memory, name).is_computed else ()


def computed(memory: Memory, name: str, value: Any, basis: Basis, *, by: Author = NOBODY) -> Events:
    """Record what a rule gave for `basis`, which `staleness.basis_of` said before it ran.

    If the slot's dependencies have changed since, the value is recorded all the same, and is stale; if the slot is
    plain or has another rule by now, or a value that stands, it is dropped. A value equal to the one that counts is no
    new version.

    Raises:
        RevisionRefused: `unknown`, `value`, `limit`.
    """
    slot = known(memory, name)
    if slot.rule != basis.rule or _is_late(memory, name, basis):
        return ()
    text = check_value(memory, name, value)
    if slot.current is not None and slot.current.text == text:
        return () if slot.current.basis == basis else (Confirmed(name, basis),)
    return (Written(name, text, by, basis),)


def _is_late(memory: Memory, name: str, basis: Basis) -> bool:
    """Somebody else has computed the slot meanwhile, from what its dependencies are now."""
    now = basis_of(memory, name)
    return now is not None and now.contents != basis.contents and name not in stale(memory)


def recall(memory: Memory, name: str, *, by: Author = NOBODY) -> Events:
    """Bring back the kept version that was computed from what the dependencies are now; no events if none was."""
    version = recalled(memory, name)
    if version is None:
        return ()
    last = memory.slots[name].current
    if last is not None and last.text == version.text:
        return () if last.basis == version.basis else (Confirmed(name, version.basis),)
    return (Written(name, version.text, by, version.basis, version.number),)


# ---------------------------------------------------------------- marks, and the way back


def mark(memory: Memory, label: str) -> Events:
    """Give this moment a name to go back to; a name given before is moved here.

    Raises:
        RevisionRefused: `name`, `limit`.
    """
    events = (Marked(check_label(memory, label)),)
    check_total(fold(memory, events))
    return events


def unmark(memory: Memory, label: str) -> Events:
    """Forget a mark. Raises RevisionRefused: `no mark`."""
    known_mark(memory, label)
    return (Unmarked(label),)


def go_back(memory: Memory, to: str, *, by: Author = NOBODY) -> Events:
    """Everything as it was at a mark: values, what is computed from what, names, tree. Slots made since are removed,
    removed ones come back; marks stay, so one can go forth again.

    Raises:
        RevisionRefused: `no mark`, `limit`.
    """
    known_mark(memory, to)
    events = (WentBack(to, by),)
    after = fold(memory, events)
    check_total(after)
    return () if after.slots == memory.slots else events


def back(memory: Memory, name: str, to: str | int | None = None, *, by: Author = NOBODY) -> Events:
    """One slot as it was: its value, and how it was computed. It is a new version; the later ones are kept.

    Args:
        to: a mark; the number of a kept version; None takes the latest step back (again: the one before).
    Raises:
        RevisionRefused: `unknown`, `no mark`, `no version`, `cycle`, `limit`; `needed`: a slot it was computed
            from is gone.
    """
    slot = known(memory, name)
    version, definition = _as_it_was(memory, slot, to)
    events: Events = ()
    if (slot.rule, slot.needs) != definition:
        _check_needs(memory, name, definition[1])
        events = (Defined(name, *definition),)
    last = slot.versions[-1] if slot.versions else None
    if last is not None and (last.text, last.basis) == (version.text, version.basis):
        return events
    if last is None and version.text == UNSET:
        return events
    check_total(memory, len(version.text))
    return (*events, Written(name, version.text, by, version.basis, version.number, to is None))


def _as_it_was(memory: Memory, slot: Slot, to: str | int | None) -> tuple[Version, tuple[str, dict[str, str]]]:
    """The version to restore, with rule and needs."""
    if isinstance(to, str):
        held = next((held for held in known_mark(memory, to).slots.values() if held.number == slot.number), None)
        if held is None:
            raise RevisionRefused(f"there was no {slot.name!r} at {to!r} yet", reason="no version", slot=slot.name)
        version = held.versions[-1] if held.versions else Version(0, UNSET, "")
        numbers = {parameter: known_mark(memory, to).slots[need].number for parameter, need in held.needs.items()}
        return version, (held.rule, _by_number(memory, slot.name, numbers))
    version = _before(slot) if to is None else _numbered(slot, to)
    numbers = {parameter: source.slot_number for parameter, source in version.basis.sources.items()}
    return version, (version.basis.rule, _by_number(memory, slot.name, numbers))


def _by_number(memory: Memory, name: str, numbers: Mapping[str, int]) -> dict[str, str]:
    """Needs by the names that slots have now."""
    names = {slot.number: slot.name for slot in memory.slots.values()}
    missing = [parameter for parameter, number in numbers.items() if number not in names]
    if missing:
        raise RevisionRefused(
            f"{name!r} was computed from a slot that is gone (as {_listed(missing)}): go back to a mark as a whole",
            reason="needed",
            slot=name,
        )
    return {parameter: names[number] for parameter, number in numbers.items()}


def _before(slot: Slot) -> Version:
    """What the latest step that was not taken back yet has changed."""
    steps: list[Version] = []
    for version in slot.versions:
        if version.is_undo and len(steps) > 1:
            steps.pop()
        else:
            steps.append(version)
    if steps and slot.rule and steps[-1].basis.rule != slot.rule:
        return steps[-1]  # the step was to say how it is computed
    if len(steps) < 2:
        raise RevisionRefused(f"{slot.name!r} has no earlier version", reason="no version", slot=slot.name)
    return steps[-2]


def _numbered(slot: Slot, number: int) -> Version:
    found = next((version for version in slot.versions if version.number == number), None)
    if found is None:
        kept = _listed(str(version.number) for version in slot.versions) or "none"
        raise RevisionRefused(
            f"{slot.name!r} has no version {number}; kept are {kept}", reason="no version", slot=slot.name
        )
    return found


# ---------------------------------------------------------------- names


def rename(memory: Memory, name: str, to: str) -> Events:
    """Another name for a slot, also where others are computed from it; nothing becomes stale.

    Raises:
        RevisionRefused: `unknown`, `name`, `exists`.
    """
    known(memory, name)
    to = named(memory, to)
    if to == name:
        return ()
    if to in memory.slots:
        raise RevisionRefused(f"there is a slot {to!r} already; `replace` puts it in place", reason="exists", slot=to)
    return (Renamed(name, to),)


def replace(memory: Memory, name: str, to: str, value: Any = _KEEP, *, by: Author = NOBODY) -> Events:
    """Put one slot in the place of another: what was computed from `name` is computed from `to`, and `name` is gone.

    A slot `to` that there is not yet is the old one renamed, with its history. Dependants are stale only if the value
    differs.

    Raises:
        RevisionRefused: `unknown`, `name`, `cycle`, `computed`, `value`, `limit`.
    """
    known(memory, name)
    to = named(memory, to)
    if to == name:
        return () if value is _KEEP else change(memory, name, value, by=by)
    if to not in memory.slots:
        events: Events = (Renamed(name, to),)
    else:
        _check_retarget(memory, name, to)
        events = (Retargeted(name, to), Removed(name), Focused(to))
    return events if value is _KEEP else (*events, *change(fold(memory, events), to, value, by=by))


def _check_retarget(memory: Memory, name: str, to: str) -> None:
    for reader in readers(memory.slots)[name]:
        way = (to,) if reader == to else path_between(memory, to, reader)
        if way:
            raise refused_cycle(reader, (reader, *way) if reader != to else (to, to))


def remove(memory: Memory, name: str) -> Events:
    """Take a slot out; its children belong to its parent then.

    Raises:
        RevisionRefused: `unknown`; `needed`: others are computed from it.
    """
    known(memory, name)
    behind = readers(memory.slots)[name]
    if behind:
        raise RevisionRefused(
            f"{name!r} is needed by {_listed(behind)}: remove those first, or `replace` it by another slot",
            reason="needed",
            slot=name,
        )
    return (Removed(name),)


def focus(memory: Memory, name: str) -> Events:
    """Say that the work is at this slot now, for `view.context`. Raises RevisionRefused: `unknown`."""
    known(memory, name)
    return () if memory.active == name else (Focused(name),)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(names))


__all__ = [
    "NOBODY",
    "back",
    "change",
    "compute",
    "computed",
    "focus",
    "go_back",
    "mark",
    "recall",
    "release",
    "remove",
    "rename",
    "replace",
    "set_slot",
    "unmark",
]

"""`fold`: events to the memory they make. Each event is one revision; applying one decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from makespan.memory.events import (
    Confirmed,
    Defined,
    Focused,
    Marked,
    MemoryEvent,
    Moved,
    Opened,
    Removed,
    Renamed,
    Retargeted,
    Unmarked,
    WentBack,
    Written,
)
from makespan.memory.state import Author, Basis, Mark, Memory, Slot, Version, digest_of

_replace = msgspec.structs.replace
_NONE: Mapping[str, str] = {}


def fold(memory: Memory, events: Iterable[MemoryEvent]) -> Memory:
    """The memory after `events`, which `revising` decided for it or for the memory it was then.

    Cost: O(slots) an event.
    """
    for event in events:
        memory = _apply(_replace(memory, revision=memory.revision + 1), event)
    return memory


def _apply(memory: Memory, event: MemoryEvent) -> Memory:
    match event:
        case Opened(slot, parent):
            return _put(_replace(memory, gone=_gone(memory, back=(slot,))), Slot(slot, memory.revision, parent))
        case Moved(slot, parent):
            return _put(memory, _replace(memory.slots[slot], parent=parent))
        case Defined(slot, rule, needs):
            return _put(memory, _replace(memory.slots[slot], rule=rule, needs=dict(needs)))
        case Written(slot, text, author, basis, restores, is_undo):
            version = Version(memory.revision, text, digest_of(text), author, basis, restores, is_undo)
            return _put(memory, _with_version(memory.slots[slot], version, memory.limits.versions))
        case Confirmed(slot, basis):
            return _put(memory, _confirmed(memory.slots[slot], basis))
        case Renamed(slot, name):
            return _renamed(memory, slot, name)
        case Retargeted(slot, onto):
            return _retargeted(memory, slot, onto)
        case Removed(slot):
            return _removed(memory, slot)
        case Marked(label):
            return _marked(memory, label)
        case Unmarked(label):
            return _replace(memory, marks={name: mark for name, mark in memory.marks.items() if name != label})
        case WentBack(label, author):
            return _went_back(memory, memory.marks[label], author)
        case Focused(slot):
            return _replace(memory, active=slot)


def _put(memory: Memory, slot: Slot) -> Memory:
    """The memory with a slot made or changed, which is where the work is then."""
    return _replace(memory, slots={**memory.slots, slot.name: slot}, active=slot.name)


def _with_version(slot: Slot, version: Version, kept: int) -> Slot:
    return _replace(slot, versions=(*slot.versions, version)[-kept:])


def _confirmed(slot: Slot, basis: Basis) -> Slot:
    return _replace(slot, versions=(*slot.versions[:-1], _replace(slot.versions[-1], basis=basis)))


def _renamed(memory: Memory, old: str, new: str) -> Memory:
    """Under the new name at the old one's place, so that the order in which slots are shown stays."""
    slots = {}
    for slot in memory.slots.values():
        needs = {parameter: new if name == old else name for parameter, name in slot.needs.items()}
        name, parent = new if slot.name == old else slot.name, new if slot.parent == old else slot.parent
        slots[name] = _replace(slot, name=name, parent=parent, needs=needs)
    return _replace(memory, slots=slots, active=new, gone=_gone(memory, {old: new}, back=(new,)))


def _retargeted(memory: Memory, old: str, onto: str) -> Memory:
    slots = {
        name: _replace(slot, needs={parameter: onto if need == old else need for parameter, need in slot.needs.items()})
        for name, slot in memory.slots.items()
    }
    return _replace(memory, slots=slots, active=onto, gone=_gone(memory, {old: onto}))


def _removed(memory: Memory, name: str) -> Memory:
    parent = memory.slots[name].parent
    slots = {
        other.name: _replace(other, parent=parent) if other.parent == name else other
        for other in memory.slots.values()
        if other.name != name
    }
    active = parent if memory.active == name else memory.active
    return _replace(memory, slots=slots, active=active, gone=_gone(memory, {name: memory.gone.get(name, "")}))


def _gone(memory: Memory, left: Mapping[str, str] = _NONE, *, back: Iterable[str] = ()) -> dict[str, str]:
    """The names that are gone, once some have left and some are back."""
    kept = {name: place for name, place in {**memory.gone, **left}.items() if name not in back}
    return dict(list(kept.items())[-memory.limits.slots :])


def _marked(memory: Memory, label: str) -> Memory:
    held = {name: _replace(slot, versions=slot.versions[-1:]) for name, slot in memory.slots.items()}
    return _replace(memory, marks={**memory.marks, label: Mark(label, memory.revision, held, memory.active)})


def _went_back(memory: Memory, mark: Mark, author: Author) -> Memory:
    now = {slot.number: slot for slot in memory.slots.values()}
    slots = {
        name: restored(now.get(held.number), held, memory, author, parent=held.parent)
        for name, held in mark.slots.items()
    }
    gone = _gone(memory, {name: "" for name in memory.slots if name not in slots}, back=slots)
    return _replace(memory, slots=slots, active=mark.active, gone=gone)


def restored(now: Slot | None, held: Slot, memory: Memory, author: Author, *, parent: str) -> Slot:
    """A slot as a mark holds it: its history goes on, with a new version where the value or its basis differs."""
    slot = _replace(held, parent=parent, versions=() if now is None else now.versions)
    then = held.versions[-1] if held.versions else Version(0, "", "")
    last = slot.versions[-1] if slot.versions else None
    if last is None and not held.versions:
        return slot
    if last is not None and (last.text, last.basis) == (then.text, then.basis):
        return slot
    version = Version(memory.revision, then.text, digest_of(then.text), author, then.basis, then.number)
    return _with_version(slot, version, memory.limits.versions)

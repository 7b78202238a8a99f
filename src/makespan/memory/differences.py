"""`differences`: what a revision did to a memory, as sentences for people."""

from __future__ import annotations

from makespan.memory.state import Memory, Slot
from makespan.memory.view import shortened

VALUE_CHARACTERS = 200
"""Of a value in a sentence."""


def differences(before: Memory, after: Memory) -> list[str]:
    """One sentence a slot or mark that differs, in the order of the memory; what became stale is not said here."""
    names = {slot.number: slot.name for slot in before.slots.values()}
    said = [
        sentence
        for slot in after.slots.values()
        if (sentence := _difference(before.slots.get(names.get(slot.number, "")), slot))
    ]
    kept = {slot.number for slot in after.slots.values()}
    said += [f"{slot.name} is gone" for slot in before.slots.values() if slot.number not in kept]
    said += [f"marked {label!r}" for label, mark in after.marks.items() if before.marks.get(label) != mark]
    return said + [f"mark {label!r} is gone" for label in before.marks if label not in after.marks]


def _difference(was: Slot | None, slot: Slot) -> str:
    parts = [f"{slot.name} (before: {was.name})" if was and was.name != slot.name else ""]
    if slot.is_computed and (was is None or (was.rule, was.needs) != (slot.rule, slot.needs)):
        parts.append(f"{slot.name} is computed by {slot.rule} from {', '.join(dict.fromkeys(slot.needs.values()))}")
    then, now = _text(was), _text(slot)
    if then != now:
        parts.append(f"{slot.name} = {now or 'nothing'}" + (f" (was {then})" if then else ""))
    elif was is None and not slot.is_computed:
        parts.append(f"{slot.name} is new")
    return ", ".join(part for part in parts if part)


def _text(slot: Slot | None) -> str:
    return shortened(slot.current.text, VALUE_CHARACTERS) if slot is not None and slot.current is not None else ""

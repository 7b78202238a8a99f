"""`ask`: a question answered from a memory and nothing else, with a value or with the reason why there is none."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from makespan.memory.checks import what_became_of
from makespan.memory.staleness import ancestors, stale
from makespan.memory.state import Memory, Slot, Version

GapReason = Literal["unknown", "removed", "unset", "stale", "failed"]


class Known(msgspec.Struct, frozen=True, tag=True):
    """The value of a slot, and the version that has it."""

    slot: str
    value: Any
    version: Version


class Gap(msgspec.Struct, frozen=True, tag=True):
    """Why a memory has no value to give.

    `unknown`: never heard of · `removed` · `unset`: no value yet, here or in what it is computed from · `stale`: what
    it was computed from has changed · `failed`: computing it did (said by `recipes.task_memory`, never by `ask`).
    """

    slot: str
    reason: GapReason
    why: str
    """One sentence for people."""
    because: tuple[str, ...] = ()
    """Slots that have no value, or that changed."""


def ask(memory: Memory, name: str) -> Known | Gap:
    """The value of a slot if it stands, else a Gap. Nothing is computed. Cost: O(slots + needs)."""
    slot = memory.slots.get(name)
    if slot is None:
        reason: GapReason = "removed" if name in memory.gone else "unknown"
        return Gap(name, reason, f"there is no slot {name!r}{what_became_of(memory, name)}")
    return missing(memory, slot) or outdated(memory, slot) or _known(slot)


def _known(slot: Slot) -> Known:
    assert slot.current is not None
    return Known(slot.name, slot.current.value, slot.current)


def missing(memory: Memory, slot: Slot) -> Gap | None:
    """The gap of a slot that cannot have a value, because it, or a plain slot it is computed from, has none."""
    if not slot.is_computed:
        return None if slot.current else Gap(slot.name, "unset", f"{slot.name!r} has no value yet", (slot.name,))
    above = [memory.slots[name] for name in ancestors(memory, slot.name)]
    empty = tuple(sorted(each.name for each in above if not each.is_computed and each.current is None))
    if not empty:
        return None
    return Gap(slot.name, "unset", f"{slot.name!r} is computed from {', '.join(empty)}, without a value yet", empty)


def outdated(memory: Memory, slot: Slot) -> Gap | None:
    """The gap of a computed slot that is stale: what it was computed from has changed, or it never was."""
    if not slot.is_computed or slot.name not in stale(memory):
        return None
    if slot.current is None:
        needs = ", ".join(dict.fromkeys(slot.needs.values())) or "nothing"
        return Gap(slot.name, "stale", f"{slot.name!r} is not computed yet, by {slot.rule} from {needs}")
    causes = changed(memory, slot.name)
    why = f"{slot.name!r} was {slot.current.text} before {', '.join(causes) or 'its rule'} changed"
    return Gap(slot.name, "stale", why, causes)


def changed(memory: Memory, name: str) -> tuple[str, ...]:
    """What a slot was computed from, directly or through others, that has changed since; in the order of the memory."""
    looked_at = ancestors(memory, name) | {name}
    found: set[str] = set()
    for reader in (memory.slots[each] for each in looked_at):
        sources = reader.current.basis.sources if reader.current else {}
        for parameter, need in reader.needs.items():
            current, source = memory.slots[need].current, sources.get(parameter)
            if current is not None and (source is None or source.digest != current.digest):
                found.add(need)
    return tuple(each for each in memory.slots if each in found)
